"""What the states say to everything else: cross-products of the columns by session, and the starts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.gibbs.expansion import Expansion, Primitive
from bayesdyn.engines.gibbs.packing import Packing


class Rows(NamedTuple):
    """Constants of the exchanges, in chunks: H chunks of B places.

    Attributes
    ----------
    covariate
        (Q, H, B).
    later
        (H, B) 1 where an exchange has one before it, 0 at starts and idle places.
    start
        (H, B) 1 at starts.
    score, precision, rated
        (C, H, B) scores, 1 / se, and 1 where rated; 0 elsewhere.
    """

    covariate: jax.Array
    later: jax.Array
    start: jax.Array
    score: jax.Array
    precision: jax.Array
    rated: jax.Array


class Sums(NamedTuple):
    """Cross-products (S, U, U) of columns over a session's later exchanges; states at starts (S, V)."""

    gram: jax.Array
    starts: jax.Array


def before(values: jax.Array) -> jax.Array:
    """Return (..., H, B) moved on by one place: what stands at the exchange before."""
    flat = values.reshape(*values.shape[:-2], -1)
    moved = jnp.concatenate([jnp.zeros_like(flat[..., :1]), flat[..., :-1]], axis=-1)
    return moved.reshape(values.shape)


def after(values: jax.Array) -> jax.Array:
    """Return (..., H, B) moved back by one place: what stands at the exchange after."""
    flat = values.reshape(*values.shape[:-2], -1)
    moved = jnp.concatenate([flat[..., 1:], jnp.zeros_like(flat[..., :1])], axis=-1)
    return moved.reshape(values.shape)


def primitive(one: Primitive, states: jax.Array, rows: Rows) -> jax.Array:
    """Return a raw column (H, B)."""
    kind, index = one
    if kind == "now":
        return states[index]
    if kind == "lag":
        return before(states[index])
    return rows.covariate[index] if kind == "covariate" else before(rows.covariate[index])


def monomial(primitives: tuple[Primitive, ...], states: jax.Array, rows: Rows) -> jax.Array:
    """Return a product of raw columns (H, B)."""
    value = jnp.ones_like(rows.later)
    for one in primitives:
        value = value * primitive(one, states, rows)
    return value


def sums(expansion: Expansion, packing: Packing, own: np.ndarray, states: jax.Array, rows: Rows) -> Sums:
    """Return the cross-products for states (C, H, B), in double precision.

    A chunk's own sums are of few terms and may be of the states' precision; all that follows is double.
    """
    columns = jnp.stack([monomial(one, states, rows) * rows.later for one in expansion.monomials], axis=1)
    by_chunk = jnp.einsum("hub,hvb->huv", columns, columns)
    count = int(packing.session.max()) + 1
    gram = jax.ops.segment_sum(by_chunk.astype(jnp.float64), packing.session, count, indices_are_sorted=True)
    first = np.flatnonzero(np.diff(packing.session, prepend=-1))
    return Sums(gram, states[own][:, first, 0].T.astype(jnp.float64))
