"""The density of scores and other states with one construct's states integrated out: its value and slopes.

By Fisher's identity the slopes are those of the whole log density, in expectation over the states that are
integrated out. Innovations are e_w = n_w x_t + l_w x_{t-1} + r_w, so all expectations are of products of n, l
and r with the moments of x; to differentiate the integral as it is computed would take longer.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.lanes import Moments, before, dot, total
from bayesdyn.engines.gibbs.states import Change, Errors
from bayesdyn.engines.gibbs.term_parts import KINDS, Part


class Slopes(NamedTuple):
    """Slopes by kappa, the coefficients (F,), and the precisions (V, V) of innovations and of starts."""

    kappa: jax.Array
    free: jax.Array
    later: jax.Array
    start: jax.Array


def expected_errors(errors: Errors, score: jax.Array, moments: Moments) -> tuple[jax.Array, jax.Array]:
    """Return what the scores add to the log density beside the chain, and its slope by kappa.

    All without the determinant of the errors' covariance.
    """
    value = total((0.5 * errors.weight * score - errors.linear) * score)
    squared = moments.second - 2 * score * moments.mean + score**2
    slope = 0.5 * total(errors.weight * squared)
    if errors.others is not None:
        slope = slope - 0.5 * total(errors.others * (moments.mean - score))
    return value, slope


class Products(NamedTuple):
    """Expectations of an innovation times the states now, before, and one: (T, L) each."""

    now: jax.Array
    lag: jax.Array
    rest: jax.Array


def _products(change: Change, w: int, moments: Moments) -> Products:
    second_before, mean_before = before(moments.second), before(moments.mean)
    now, lag, rest = change.rest[w] * moments.mean, change.rest[w] * mean_before, change.rest[w]
    if w in change.now:
        own = change.now[w]
        now, lag, rest = now + own * moments.second, lag + own * moments.cross, rest + own * moments.mean
    if w in change.lag:
        own = change.lag[w]
        now, lag, rest = now + own * moments.cross, lag + own * second_before, rest + own * mean_before
    return Products(now, lag, rest)


def expected_products(change: Change, moments: Moments) -> dict[int, Products]:
    """Return the innovations' expected products with the states, by outcome."""
    return {w: _products(change, w, moments) for w in change.rest}


def expected_scatter(
    change: Change, block: tuple[int, ...], size: int, products: dict[int, Products]
) -> jax.Array:
    """Return the expected sum of e e' (V, V) of a block, 0 elsewhere."""
    scatter = jnp.zeros((size, size))
    for i, w in enumerate(block):
        for v in block[: i + 1]:
            value = dot(change.rest[v], products[w].rest)
            value = value + dot(change.now[v], products[w].now) if v in change.now else value
            value = value + dot(change.lag[v], products[w].lag) if v in change.lag else value
            scatter = scatter.at[w, v].set(value).at[v, w].set(value)
    return scatter


def expected_start(
    change: Change, place: int, moments: Moments, first: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> jax.Array:
    """Return the expected sum of products of the deviations at starts (V, V)."""
    rest = change.start.astype(float)
    mean, second = moments.mean[first].astype(float), moments.second[first].astype(float)
    shared = rest @ mean
    scatter = rest @ rest.T
    scatter = scatter.at[place].add(shared).at[:, place].add(shared)
    return scatter.at[place, place].add(jnp.sum(second))


def slope_of_coefficients(
    parts: list[Part],
    count: int,
    later: jax.Array,
    products: dict[int, Products],
    blocks: list[tuple[int, ...]],
) -> jax.Array:
    """Return the slopes (F,) by coefficients, each of which takes its terms from the innovations."""
    slopes = jnp.zeros(count)
    for part in parts:
        block = next(block for block in blocks if part.outcome in block)
        kind = KINDS.index(part.kind)
        row = later[part.outcome].astype(products[block[0]].rest.dtype)
        weighted = sum(
            (row[v] * products[v][kind] for v in block[1:]), row[block[0]] * products[block[0]][kind]
        )
        for f, value in zip(part.free, part.values, strict=True):
            slopes = slopes.at[f].add(dot(weighted, value))
    return slopes
