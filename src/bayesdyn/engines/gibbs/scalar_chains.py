"""Scalar Gaussian chains over all sessions at once: sessions side by side in lanes, solved step by step.

The density is exp(-sum_t (d_t x_t^2 / 2 + f_t x_t x_{t-1} - l_t x_t)), f = 0 where a session starts. Its
precision is tridiagonal: L D L' step by step, with all lanes in one vector, which a processor's cache holds;
the algebra is that of a Kalman filter and smoother in precision form (Rue & Held 2005, Gaussian Markov Random
Fields, section 2.4; the moments are Takahashi's recursions, section 2.5 there). On other devices, to which
each step is a launch, the same by cyclic reduction (:mod:`.reduction`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bayesdyn.engines.gibbs import reduction
from bayesdyn.engines.gibbs.lanes import after, before, total


class Chain(NamedTuple):
    """A scalar chain: diagonal d, what is below it f, and the linear term l; all of one shape."""

    diagonal: jax.Array
    below: jax.Array
    linear: jax.Array


class Moments(NamedTuple):
    """Entropy of a chain, less N log(2 pi e) / 2, and its moments (T, L).

    ``second`` is E[x_t^2], ``cross`` E[x_t x_{t-1}]: all that slopes of its integral take (Fisher's
    identity), so nothing solved step by step is differentiated.
    """

    entropy: jax.Array
    mean: jax.Array
    second: jax.Array
    cross: jax.Array


class _Factors(NamedTuple):
    """D and L^-1 l of L D L', (T, L) each, and the multipliers of L one step ahead."""

    pivot: jax.Array
    value: jax.Array
    ahead: jax.Array


def _factorise(chain: Chain) -> _Factors:
    """Return the factors: ``ahead`` at t is L's entry in row t + 1, column t."""

    def step(t: jax.Array, done: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        pivot, value = done
        below = chain.below[t]
        multiplier = below / pivot[t - 1]
        # In place: outputs gathered by a scan would each be filled and copied once more.
        return (
            pivot.at[t].set(pivot[t] - multiplier * below),
            value.at[t].set(value[t] - multiplier * value[t - 1]),
        )

    begin = (chain.diagonal, chain.linear)
    pivot, value = jax.lax.fori_loop(1, len(chain.diagonal), step, begin)
    return _Factors(pivot, value, after(chain.below) / pivot)


def _back(own: jax.Array, ahead: jax.Array) -> jax.Array:
    """Return x with x_t = own_t - ahead_t x_{t+1}."""
    last = len(own) - 1

    def step(i: jax.Array, done: jax.Array) -> jax.Array:
        t = last - 1 - i
        return done.at[t].set(done[t] - ahead[t] * done[t + 1])

    return jax.lax.fori_loop(0, last, step, own)


def draw(chain: Chain, noise: jax.Array) -> jax.Array:
    """Return a draw of a chain (T, L) for standard normal noise; its mean for zero noise."""
    return jax.lax.platform_dependent(chain, noise, cpu=draw_walking, default=draw_halving)


def moments(chain: Chain) -> Moments:
    """Return the entropy and the moments of a chain (T, L); the entropy is a sum in double precision."""
    return jax.lax.platform_dependent(chain, cpu=moments_walking, default=moments_halving)


def draw_walking(chain: Chain, noise: jax.Array) -> jax.Array:
    """Do as :func:`draw`, step by step: what a processor is fastest at."""
    factors = _factorise(chain)
    inverse = 1 / factors.pivot
    return _back(factors.value * inverse + noise * jnp.sqrt(inverse), factors.ahead)


def draw_halving(chain: Chain, noise: jax.Array) -> jax.Array:
    """Do as :func:`draw`, by cyclic reduction: the noise stands for other directions."""
    halvings, last = reduction.reduced(reduction.padded(chain))
    missing = (1 << len(halvings)) - len(noise)
    by_halving, of_last = reduction.by_halving(jnp.pad(noise, ((0, missing), (0, 0))))
    begin = last[2] / last[0] + of_last / jnp.sqrt(last[0])
    return reduction.put_back(halvings, begin, by_halving)[: len(noise)]


def moments_walking(chain: Chain) -> Moments:
    """Do as :func:`moments`, step by step."""
    factors = _factorise(chain)
    inverse = 1 / factors.pivot
    mean = _back(factors.value * inverse, factors.ahead)
    variance = _back(inverse, -(factors.ahead**2))
    # A state's covariance with the one a step ahead is that one's variance, times -ahead.
    cross = before(mean * after(mean) - factors.ahead * after(variance))
    return Moments(-0.5 * total(jnp.log(factors.pivot)), mean, variance + mean**2, cross)


def moments_halving(chain: Chain) -> Moments:
    """Do as :func:`moments`, by cyclic reduction."""
    count = len(chain.diagonal)
    halvings, last = reduction.reduced(reduction.padded(chain))
    mean = reduction.put_back(halvings, last[2] / last[0])[:count]
    variance, cross = (values[:count] for values in reduction.covariances(halvings, 1 / last[0]))
    entropy = -0.5 * jnp.sum(reduction.log_determinant(halvings, last), dtype=float)
    return Moments(entropy, mean, variance + mean**2, cross + mean * before(mean))
