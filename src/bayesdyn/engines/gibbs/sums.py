"""What the states say to everything else: cross-products of the columns by session, and the starts."""

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.expansion import (
    Expansion,
    Primitive,
    begun_before,
    covariate_before,
    state_before,
)
from bayesdyn.engines.gibbs.lanes import Lanes, before
from bayesdyn.engines.gibbs.packing import Packing
from bayesdyn.engines.gibbs.places import Places
from bayesdyn.engines.raters import Ratings


class Rows(NamedTuple):
    """Constants of the exchanges, in lanes: T steps of L lanes.

    Attributes
    ----------
    covariate
        (1 + K, Q, T, L) now and 1 to K exchanges before.
    later
        (T, L) 1 where an exchange has one before it, 0 at starts and idle places.
    begun
        (K, T, L) 1 where an exchange has one so far before it; None where K is 1, which ``later`` tells.
    score, precision, rated
        (C, T, L) scores, 1 / se, and 1 where rated; 0 elsewhere. With ``joint`` they are those at the
        raters' present parameters.
    ratings
        (C, R, T, L) with ``joint``.
    places
        Where exchanges stand, on several devices; None on one, where that is a constant.
    """

    covariate: jax.Array | tuple[tuple[jax.Array, ...], ...]
    later: jax.Array
    begun: jax.Array | tuple[jax.Array, ...] | None
    score: jax.Array | tuple[jax.Array, ...]
    precision: jax.Array | tuple[jax.Array, ...]
    rated: jax.Array
    ratings: Ratings[jax.Array] | None = None
    places: Places | None = None


class Columns(NamedTuple):
    """States of each construct (T, L), now and 1 to K exchanges before.

    All are kept: a shift inside a fused loop would be made element by element, at each of its uses.
    """

    states: tuple[tuple[jax.Array, ...], ...]

    @property
    def now(self) -> tuple[jax.Array, ...]:
        """Return the states now."""
        return self.states[0]

    def put(self, c: int, states: jax.Array) -> "Columns":
        """Return the columns with other states of a construct."""
        earlier = (_kept(before(states, k)) for k in range(1, len(self.states)))
        both = zip(self.states, (states, *earlier), strict=True)
        return Columns(tuple(put(so_far, c, own) for so_far, own in both))


class Sums(NamedTuple):
    """Cross-products (S, U, U) of columns over a session's later exchanges; states at starts (S, V)."""

    gram: jax.Array
    starts: jax.Array


def columns_of(states: jax.Array, order: int) -> Columns:
    """Return the columns of states (C, T, L) up to a longest lag."""
    earlier = (_kept(before(states, k)) for k in range(1, order + 1))
    return Columns(tuple(map(tuple, (states, *earlier))))


def monomial(primitives: tuple[Primitive, ...], columns: Columns, rows: Rows) -> jax.Array | None:
    """Return a product of raw columns (T, L); None for the empty one, which is 1."""
    found = {state_before(k): states for k, states in enumerate(columns.states)}
    found |= {covariate_before(k): values for k, values in enumerate(rows.covariate)}
    if rows.begun is not None:
        found |= {begun_before(k): (values,) for k, values in enumerate(rows.begun, 1)}
    value = None
    for kind, index in primitives:
        value = found[kind][index] if value is None else value * found[kind][index]
    return value


def sums(
    expansion: Expansion, packing: Packing, lanes: Lanes, own: np.ndarray, columns: Columns, rows: Rows
) -> Sums:
    """Return the cross-products of the columns, in double precision.

    A chunk's own sums are of few terms and may be of the states' precision; all that follows is double.
    """
    places, summed = rows.places, partial(_gram, expansion)
    if places is None:
        rows = rows._replace(later=rows.later * jnp.asarray(lanes.filled, rows.later.dtype))
        at, count = lanes.place[packing.exchange], int(packing.session.max()) + 1
        gram = summed((columns, rows), at, packing.filled, packing.session, count)
    else:
        gram = places.by_session(summed, (columns, rows._replace(places=None)))
    starts = [lanes.at_start(columns.now[c], places) for c in own]
    return Sums(gram, jnp.stack(starts, axis=1).astype(jnp.float64))


type _Indices = jax.Array | NDArray[np.int64]


def _gram(
    expansion: Expansion,
    laid: tuple[Columns, Rows],
    at: _Indices,
    used: jax.Array | NDArray[np.bool_],
    session: _Indices,
    count: int,
) -> jax.Array:
    """Return cross-products (S, U, U) by chunk: where its exchanges are (H, B), if any, and its session."""
    columns, rows = laid

    def chunked(values: Iterable[jax.Array]) -> tuple[jax.Array, ...]:
        return tuple(value.reshape(-1)[at] for value in values)

    (later,) = chunked((rows.later,))
    later = later * jnp.asarray(used, later.dtype)
    moved = Columns(tuple(map(chunked, columns.states)))
    begun = None if rows.begun is None else chunked(rows.begun)
    given = rows._replace(covariate=tuple(map(chunked, rows.covariate)), begun=begun)
    values = [monomial(one, moved, given) for one in expansion.monomials]
    every = jnp.stack([later if value is None else value * later for value in values], axis=1)
    by_chunk = jnp.einsum("hub,hvb->huv", every, every)
    return jax.ops.segment_sum(by_chunk.astype(jnp.float64), session, count, indices_are_sorted=True)


def put(values: Iterable[jax.Array], c: int, value: jax.Array) -> tuple[jax.Array, ...]:
    """Return arrays of the constructs with another one of construct c."""
    every = tuple(values)
    return (*every[:c], value, *every[c + 1 :])


_kept = jax.lax.optimization_barrier
