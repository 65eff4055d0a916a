"""What the states say to everything else: cross-products of the columns by session, and the starts."""

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.gibbs.expansion import (
    Expansion,
    Primitive,
    begun_before,
    covariate_before,
    state_before,
)
from bayesdyn.engines.gibbs.facts import Facts
from bayesdyn.engines.gibbs.lanes import before
from bayesdyn.engines.gibbs.places import Places
from bayesdyn.engines.raters import Ratings


class Rows(NamedTuple):
    """What is given of a study, exchanges in lanes: T steps of L lanes.

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
        Where exchanges stand.
    facts
        What the study is beside its exchanges.
    """

    covariate: jax.Array | tuple[tuple[jax.Array, ...], ...]
    later: jax.Array
    begun: jax.Array | tuple[jax.Array, ...] | None
    score: jax.Array | tuple[jax.Array, ...]
    precision: jax.Array | tuple[jax.Array, ...]
    rated: jax.Array
    ratings: Ratings[jax.Array] | None
    places: Places
    facts: Facts[jax.Array]


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


class Laid(NamedTuple):
    """What monomials are made of, in lanes: of :class:`Rows`, and the columns."""

    columns: Columns
    covariate: jax.Array | tuple[tuple[jax.Array, ...], ...]
    later: jax.Array
    begun: jax.Array | tuple[jax.Array, ...] | None


def monomial(primitives: tuple[Primitive, ...], columns: Columns, rows: Rows | Laid) -> jax.Array | None:
    """Return a product of raw columns (T, L); None for the empty one, which is 1."""
    found = {state_before(k): states for k, states in enumerate(columns.states)}
    found |= {covariate_before(k): values for k, values in enumerate(rows.covariate)}
    if rows.begun is not None:
        found |= {begun_before(k): (values,) for k, values in enumerate(rows.begun, 1)}
    value = None
    for kind, index in primitives:
        value = found[kind][index] if value is None else value * found[kind][index]
    return value


def sums(expansion: Expansion, own: np.ndarray, columns: Columns, rows: Rows) -> Sums:
    """Return the cross-products of the columns, in double precision.

    A chunk's own sums are of few terms and may be of the states' precision; all that follows is double.
    """
    laid = Laid(columns, rows.covariate, rows.later, rows.begun)
    gram = rows.places.by_session(partial(_gram, expansion), laid)
    starts = [rows.places.at_start(columns.now[c]) for c in own]
    return Sums(gram, jnp.stack(starts, axis=1).astype(jnp.float64))


def _gram(
    expansion: Expansion, laid: Laid, at: jax.Array, used: jax.Array, session: jax.Array, count: int
) -> jax.Array:
    """Return cross-products (S, U, U) by chunk: where its exchanges are (H, B), if any, and its session."""

    def chunked(values: Iterable[jax.Array]) -> tuple[jax.Array, ...]:
        return tuple(value.reshape(-1)[at] for value in values)

    (later,) = chunked((laid.later,))
    later = later * jnp.asarray(used, later.dtype)
    moved = Columns(tuple(map(chunked, laid.columns.states)))
    begun = None if laid.begun is None else chunked(laid.begun)
    given = laid._replace(covariate=tuple(map(chunked, laid.covariate)), begun=begun)
    values = [monomial(one, moved, given) for one in expansion.monomials]
    every = jnp.stack([later if value is None else value * later for value in values], axis=1)
    by_chunk = jnp.einsum("hub,hvb->huv", every, every)
    return jax.ops.segment_sum(by_chunk.astype(jnp.float64), session, count, indices_are_sorted=True)


def put(values: Iterable[jax.Array], c: int, value: jax.Array) -> tuple[jax.Array, ...]:
    """Return arrays of the constructs with another one of construct c."""
    every = tuple(values)
    return (*every[:c], value, *every[c + 1 :])


_kept = jax.lax.optimization_barrier
