"""Scalar Gaussian chains over all sessions at once: sessions side by side in lanes, solved step by step.

The density is exp(-sum_t (d_t x_t^2 / 2 + sum_k f_tk x_t x_{t-k} - l_t x_t)), k from 1 to the longest lag,
K; f_tk is 0 where a session has no exchange k before. Its precision has K diagonals below the middle one:
L D L' step by step, with all lanes in one vector, which a processor's cache holds; the algebra is that of a
Kalman filter and smoother in precision form (Rue & Held 2005, Gaussian Markov Random Fields, section 2.4; the
moments are Takahashi's recursions, section 2.5 there). On other devices, to which each step is a launch, the
same by cyclic reduction (:mod:`.reduction`) where K is 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bayesdyn.engines.gibbs import reduction
from bayesdyn.engines.gibbs.lanes import after, before, total


class Chain(NamedTuple):
    """A scalar chain: diagonal d, the K below it f, and the linear term l; all of one shape."""

    diagonal: jax.Array
    below: tuple[jax.Array, ...]
    linear: jax.Array


class Moments(NamedTuple):
    """Entropy of a chain, less N log(2 pi e) / 2, and its moments (T, L).

    ``second`` is E[x_t^2], ``cross`` E[x_t x_{t-k}] for k from 1 to K: all that slopes of its integral take
    (Fisher's identity), so nothing solved step by step is differentiated.
    """

    entropy: jax.Array
    mean: jax.Array
    second: jax.Array
    cross: tuple[jax.Array, ...]


class _Factors(NamedTuple):
    """D and L^-1 l of L D L', (T, L) each, and the multipliers of L by how many steps ahead they stand."""

    pivot: jax.Array
    value: jax.Array
    ahead: tuple[jax.Array, ...]


def _factorise(chain: Chain) -> _Factors:
    """Return the factors: ``ahead`` k at t is L's entry in row t + k, column t."""
    order = len(chain.below)
    *nearer, farthest = chain.below

    def step(t: jax.Array, done: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        pivot, value, *left = done
        # Rows of L D; what is farthest below is never touched. What looks to before the first step is 0.
        rows = [one[t] for one in (*left, farthest)]
        for k in range(order - 1, 0, -1):
            for j in range(k + 1, order + 1):
                rows[k - 1] = rows[k - 1] - rows[j - 1] / pivot[t - j] * left[j - k - 1][t - k]
        own, toward = pivot[t], value[t]
        for k, row in enumerate(rows, 1):
            multiplier = row / pivot[t - k]
            own, toward = own - multiplier * row, toward - multiplier * value[t - k]
        # In place: outputs gathered by a scan would each be filled and copied once more.
        kept = (one.at[t].set(row) for one, row in zip(left, rows[:-1], strict=True))
        return pivot.at[t].set(own), value.at[t].set(toward), *kept

    begin = (chain.diagonal, chain.linear, *nearer)
    pivot, value, *left = jax.lax.fori_loop(1, len(chain.diagonal), step, begin)
    ahead = tuple(after(one, k) / pivot for k, one in enumerate((*left, farthest), 1))
    return _Factors(pivot, value, ahead)


def _back(own: jax.Array, ahead: tuple[jax.Array, ...]) -> jax.Array:
    """Return x with x_t = own_t - sum_k ahead_tk x_{t+k}."""
    last = len(own) - 1

    def step(i: jax.Array, done: jax.Array) -> jax.Array:
        t = last - 1 - i
        # Past the end the last one is read, and counts 0.
        known = sum(one[t] * done[t + k] for k, one in enumerate(ahead, 1))
        return done.at[t].set(done[t] - known)

    return jax.lax.fori_loop(0, last, step, own)


def _covariances(pivot: jax.Array, ahead: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """Return the covariances of each state with those k steps ahead, k from 0 to K."""
    order, last = len(ahead), len(pivot) - 1

    def near(t: jax.Array, found: list[jax.Array], one: int, other: int) -> jax.Array:
        """Return the covariance of the states so many steps ahead of t."""
        return found[abs(one - other)][t + min(one, other)]

    def step(i: jax.Array, done: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        t, found = last - 1 - i, list(done)
        rows = [
            -sum(ahead[j - 1][t] * near(t, found, j, k) for j in range(1, order + 1))
            for k in range(1, order + 1)
        ]
        own = found[0][t] - sum(one[t] * row for one, row in zip(ahead, rows, strict=True))
        return tuple(one.at[t].set(row) for one, row in zip(found, (own, *rows[:-1]), strict=True))

    begin = (1 / pivot, *(jnp.zeros_like(pivot) for _ in ahead[1:]))
    found = jax.lax.fori_loop(0, last, step, begin)
    nearest, *others = (one * after(found[order - j], j) for j, one in enumerate(ahead, 1))
    return *found, -sum(others, nearest)


def draw(chain: Chain, noise: jax.Array) -> jax.Array:
    """Return a draw of a chain (T, L) for standard normal noise; its mean for zero noise."""
    halving = draw_halving if len(chain.below) == 1 else draw_walking
    return jax.lax.platform_dependent(chain, noise, cpu=draw_walking, default=halving)


def moments(chain: Chain) -> Moments:
    """Return the entropy and the moments of a chain (T, L); the entropy is a sum in double precision."""
    halving = moments_halving if len(chain.below) == 1 else moments_walking
    return jax.lax.platform_dependent(chain, cpu=moments_walking, default=halving)


def draw_walking(chain: Chain, noise: jax.Array) -> jax.Array:
    """Do as :func:`draw`, step by step: what a processor is fastest at."""
    factors = _factorise(chain)
    inverse = 1 / factors.pivot
    return _back(factors.value * inverse + noise * jnp.sqrt(inverse), factors.ahead)


def draw_halving(chain: Chain, noise: jax.Array) -> jax.Array:
    """Do as :func:`draw` for K = 1, by cyclic reduction: the noise stands for other directions."""
    halvings, last = reduction.reduced(_padded(chain))
    missing = (1 << len(halvings)) - len(noise)
    by_halving, of_last = reduction.by_halving(jnp.pad(noise, ((0, missing), (0, 0))))
    begin = last[2] / last[0] + of_last / jnp.sqrt(last[0])
    return reduction.put_back(halvings, begin, by_halving)[: len(noise)]


def moments_walking(chain: Chain) -> Moments:
    """Do as :func:`moments`, step by step."""
    factors = _factorise(chain)
    mean = _back(factors.value / factors.pivot, factors.ahead)
    variance, *ahead = _covariances(factors.pivot, factors.ahead)
    cross = tuple(before(mean * after(mean, k) + one, k) for k, one in enumerate(ahead, 1))
    return Moments(-0.5 * total(jnp.log(factors.pivot)), mean, variance + mean**2, cross)


def moments_halving(chain: Chain) -> Moments:
    """Do as :func:`moments` for K = 1, by cyclic reduction."""
    count = len(chain.diagonal)
    halvings, last = reduction.reduced(_padded(chain))
    mean = reduction.put_back(halvings, last[2] / last[0])[:count]
    variance, cross = (values[:count] for values in reduction.covariances(halvings, 1 / last[0]))
    entropy = -0.5 * jnp.sum(reduction.log_determinant(halvings, last), dtype=float)
    return Moments(entropy, mean, variance + mean**2, (cross + mean * before(mean),))


def _padded(chain: Chain) -> tuple[jax.Array, jax.Array, jax.Array]:
    (below,) = chain.below
    return reduction.padded((chain.diagonal, below, chain.linear))
