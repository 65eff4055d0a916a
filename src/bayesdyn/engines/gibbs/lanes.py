"""Scalar Gaussian chains over all sessions at once: sessions side by side in lanes, solved step by step.

The density is exp(-sum_t (d_t x_t^2 / 2 + f_t x_t x_{t-1} - l_t x_t)), f = 0 where a session starts. Its
precision is tridiagonal: L D L' step by step, with all lanes in one vector, which a processor's cache holds;
the algebra is that of a Kalman filter and smoother in precision form (Rue & Held 2005, Gaussian Markov Random
Fields, section 2.4; the moments are Takahashi's recursions, section 2.5 there). On other devices, to which
each step is a launch, the same by cyclic reduction (:mod:`.reduction`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs import reduction

_MOST_IDLE = 0.2  # of all places, where each session has a lane of its own


class Chain(NamedTuple):
    """A scalar chain: diagonal d, what is below it f, and the linear term l; all of one shape."""

    diagonal: jax.Array
    below: jax.Array
    linear: jax.Array


@dataclass(frozen=True)
class Lanes:
    """Where N exchanges stand in T steps of L lanes: sessions whole, one after the other, none padded.

    Attributes
    ----------
    exchange
        (T, L) the exchange at each place; idle places repeat one.
    filled
        (T, L) whether an exchange stands there.
    session
        Session of each place (T, L), or of each lane (1, L) where a lane holds one.
    start
        (2, S) step and lane of each session's first exchange.
    place
        (N,) of each exchange in the flattened lanes.
    """

    exchange: NDArray[np.int64]
    filled: NDArray[np.bool_]
    session: NDArray[np.int64]
    start: NDArray[np.int64]
    place: NDArray[np.int64]

    @property
    def first(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the index of the sessions' first exchanges."""
        return self.start[0], self.start[1]

    def laid(self, values: NDArray[np.float64], idle: float = 0.0) -> NDArray[np.float64]:
        """Return values (N, ...) in lanes, exchanges last: (..., T, L)."""
        spread = np.moveaxis(values[self.exchange], (0, 1), (-2, -1))
        return np.where(self.filled, spread, idle)

    def spread(self, values: jax.Array) -> jax.Array:
        """Return values (S,) of sessions at each place (T, L), or (1, L)."""
        return values[self.session]


def lay(session_of: NDArray[np.int64]) -> Lanes:
    """Put sessions into lanes as long as the longest: each into the fullest lane that has room for it.

    Where few places are idle anyway, each session has a lane of its own: what it shares is then by lane.

    Parameters
    ----------
    session_of
        (N,) session of each exchange, in order.
    """
    length = np.bincount(session_of)
    steps = int(length.max())
    members = [[s] for s in range(len(length))]
    if len(session_of) < (1 - _MOST_IDLE) * steps * len(length):
        members = _filled_lanes(length, steps)
    exchange = np.zeros((steps, len(members)), dtype=np.int64)
    filled = np.zeros(exchange.shape, dtype=bool)
    start = np.zeros((2, len(length)), dtype=np.int64)
    first = np.cumsum(length) - length
    for lane, inside in enumerate(members):
        at = 0
        for s in inside:
            start[:, s] = at, lane
            exchange[at : at + length[s], lane] = np.arange(first[s], first[s] + length[s])
            filled[at : at + length[s], lane] = True
            at += length[s]
    exchange[~filled] = 0
    place = np.zeros(len(session_of), dtype=np.int64)
    place[exchange[filled]] = np.flatnonzero(filled.ravel())
    single = all(len(inside) == 1 for inside in members)
    session = np.array(members).T if single else session_of[exchange]
    return Lanes(exchange, filled, session, start, place)


def _filled_lanes(length: NDArray[np.int64], steps: int) -> list[list[int]]:
    """Return the sessions of each lane, longest sessions first."""
    lanes: list[list[int]] = []
    with_room: dict[int, list[int]] = {}
    for s in np.argsort(-length, kind="stable"):
        room = next((room for room in range(length[s], steps) if with_room.get(room)), None)
        lane = len(lanes) if room is None else with_room[room].pop()
        if room is None:
            lanes.append([])
        lanes[lane].append(int(s))
        left = (steps if room is None else room) - int(length[s])
        with_room.setdefault(left, []).append(lane)
    return lanes


def before(values: jax.Array) -> jax.Array:
    """Return (..., T, L) moved on by one step: what stands at the exchange before."""
    return jnp.concatenate([jnp.zeros_like(values[..., :1, :]), values[..., :-1, :]], axis=-2)


def after(values: jax.Array) -> jax.Array:
    """Return (..., T, L) moved back by one step: what stands at the exchange after."""
    return jnp.concatenate([values[..., 1:, :], jnp.zeros_like(values[..., :1, :])], axis=-2)


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


def total(values: jax.Array) -> jax.Array:
    """Return the sum of (T, L): by lane in its own precision, over lanes in double."""
    return jnp.sum(jnp.sum(values, axis=0), dtype=float)


def dot(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return the sum of products of (T, L): by lane in their own precision, over lanes in double."""
    return jnp.sum(jnp.einsum("tl,tl->l", one, other), dtype=float)
