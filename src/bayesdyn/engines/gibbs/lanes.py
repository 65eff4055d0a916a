"""Where exchanges stand: sessions side by side in lanes, to be walked through together, step by step."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.places import Dealt, rounded

_MOST_IDLE = 0.2  # of all places, where each session has a lane of its own


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

    def laid[T: np.generic](self, values: NDArray[T]) -> NDArray[T]:
        """Return values (N, ...) in lanes, exchanges last: (..., T, L); 0, or False, where idle."""
        spread = np.moveaxis(values[self.exchange], (0, 1), (-2, -1))
        return np.where(self.filled, spread, np.zeros((), values.dtype))


def lay(session_of: NDArray[np.int64], dealt: Dealt | None = None) -> Lanes:
    """Put sessions into lanes about as long as the longest: each into the fullest one that has room for it.

    Where few places are idle anyway, each session has a lane of its own: what it shares is then by lane.

    Parameters
    ----------
    session_of
        (N,) session of each exchange; those of a session stand together, in order.
    dealt
        No lane holds sessions of two shards, and all have as many lanes, some of them perhaps empty.
    """
    length = np.bincount(session_of)
    shards, each, _ = dealt or Dealt(1, len(length))
    longest = int(length.max())
    # Where all are as long, none is idle; else sizes are rounded, so that studies share programs.
    alike = longest == int(length.min()) and len(length) % shards == 0
    steps = longest if alike else rounded(longest)
    single = len(session_of) >= (1 - _MOST_IDLE) * longest * len(length)
    by_shard: list[list[list[int]]] = []
    for begin in range(0, shards * each, each):
        lengths = length[begin : begin + each]
        own = [[s] for s in range(len(lengths))] if single else _filled_lanes(lengths, steps)
        by_shard.append([[begin + s for s in lane] for lane in own])
    most = max(map(len, by_shard))
    most = most if alike else rounded(most)
    members: list[list[int]] = [lane for own in by_shard for lane in (*own, *[[]] * (most - len(own)))]
    exchange = np.zeros((steps, len(members)), dtype=np.int64)
    filled = np.zeros(exchange.shape, dtype=bool)
    start = np.zeros((2, len(length)), dtype=np.int64)
    first = first_exchanges(session_of)
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
    one_each = all(len(inside) <= 1 for inside in members)
    session = np.array([[(*inside, 0)[0] for inside in members]]) if one_each else session_of[exchange]
    return Lanes(exchange, filled, session, start, place)


def first_exchanges(session_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first exchange of each session (S,); those of a session (N,) stand together."""
    begins = np.flatnonzero(np.diff(session_of, prepend=-1))
    first = np.zeros(len(begins), dtype=np.int64)
    first[session_of[begins]] = begins
    return first


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


def before(values: jax.Array, steps: int = 1) -> jax.Array:
    """Return (..., T, L) moved on by so many steps, fewer than T: what stands at an exchange before."""
    if not steps:
        return values
    return jnp.concatenate([jnp.zeros_like(values[..., :steps, :]), values[..., :-steps, :]], axis=-2)


def after(values: jax.Array, steps: int = 1) -> jax.Array:
    """Return (..., T, L) moved back by so many steps, fewer than T: what stands at an exchange after."""
    return jnp.concatenate([values[..., steps:, :], jnp.zeros_like(values[..., :steps, :])], axis=-2)


def total(values: jax.Array) -> jax.Array:
    """Return the sum of (T, L): by lane in its own precision, over lanes in double."""
    return jnp.sum(jnp.sum(values, axis=0), dtype=float)


def dot(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return the sum of products of (T, L): by lane in their own precision, over lanes in double."""
    return jnp.sum(jnp.einsum("tl,tl->l", one, other), dtype=float)
