"""What the states say to everything else: cross-products of the columns by session, and the starts."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.gibbs.expansion import Expansion, Primitive
from bayesdyn.engines.gibbs.lanes import Lanes, before
from bayesdyn.engines.gibbs.packing import Packing
from bayesdyn.engines.raters import Ratings


class Rows(NamedTuple):
    """Constants of the exchanges, in lanes: T steps of L lanes.

    Attributes
    ----------
    covariate, covariate_lag
        (Q, T, L) now and one exchange before.
    later
        (T, L) 1 where an exchange has one before it, 0 at starts and idle places.
    score, precision, rated
        (C, T, L) scores, 1 / se, and 1 where rated; 0 elsewhere. With ``joint`` they are those at the
        raters' present parameters.
    ratings
        (C, R, T, L) with ``joint``.
    """

    covariate: jax.Array
    covariate_lag: jax.Array
    later: jax.Array
    score: jax.Array | tuple[jax.Array, ...]
    precision: jax.Array | tuple[jax.Array, ...]
    rated: jax.Array
    ratings: Ratings[jax.Array] | None = None


class Columns(NamedTuple):
    """States of each construct (T, L), now and one exchange before.

    Both are kept: a shift inside a fused loop would be made element by element, at each of its uses.
    """

    now: tuple[jax.Array, ...]
    lag: tuple[jax.Array, ...]

    def put(self, c: int, states: jax.Array) -> "Columns":
        """Return the columns with other states of a construct."""
        earlier = jax.lax.optimization_barrier(before(states))
        return Columns(put(self.now, c, states), put(self.lag, c, earlier))


class Sums(NamedTuple):
    """Cross-products (S, U, U) of columns over a session's later exchanges; states at starts (S, V)."""

    gram: jax.Array
    starts: jax.Array


def columns_of(states: jax.Array) -> Columns:
    """Return the columns of states (C, T, L)."""
    lag = jax.lax.optimization_barrier(before(states))
    return Columns(tuple(states), tuple(lag))


def monomial(primitives: tuple[Primitive, ...], columns: Columns, rows: Rows) -> jax.Array | None:
    """Return a product of raw columns (T, L); None for the empty one, which is 1."""
    found = {
        "now": columns.now,
        "lag": columns.lag,
        "covariate": rows.covariate,
        "covariate_lag": rows.covariate_lag,
    }
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
    at = lanes.place[packing.exchange]

    def chunked(values: tuple[jax.Array, ...] | jax.Array) -> tuple[jax.Array, ...]:
        return tuple(value.reshape(-1)[at] for value in values)

    later = chunked((rows.later * jnp.asarray(lanes.filled, rows.later.dtype),))[0]
    later = later * jnp.asarray(packing.filled, later.dtype)
    moved = Columns(chunked(columns.now), chunked(columns.lag))
    given = rows._replace(covariate=chunked(rows.covariate), covariate_lag=chunked(rows.covariate_lag))
    values = [monomial(one, moved, given) for one in expansion.monomials]
    laid = jnp.stack([later if value is None else value * later for value in values], axis=1)
    by_chunk = jnp.einsum("hub,hvb->huv", laid, laid)
    count = int(packing.session.max()) + 1
    gram = jax.ops.segment_sum(by_chunk.astype(jnp.float64), packing.session, count, indices_are_sorted=True)
    starts = [columns.now[c][lanes.first] for c in own]
    return Sums(gram, jnp.stack(starts, axis=1).astype(jnp.float64))


def put(values: Iterable[jax.Array], c: int, value: jax.Array) -> tuple[jax.Array, ...]:
    """Return arrays of the constructs with another one of construct c."""
    every = tuple(values)
    return (*every[:c], value, *every[c + 1 :])
