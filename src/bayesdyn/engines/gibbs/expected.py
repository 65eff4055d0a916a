"""The density of scores and other states with one construct's states integrated out: its value and slopes.

By Fisher's identity the slopes are those of the whole log density, in expectation over the states that are
integrated out; the log of the integral is that expectation plus the entropy of the states. Innovations are
e_w = n_w x_t + l_w x_{t-1} + r_w, so all expectations are of products of n, l and r with the moments of x; to
differentiate the integral as it is computed would take longer. The precision's rows times e are made once:
each number is then one product of two arrays.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.lanes import Moments, before, dot
from bayesdyn.engines.gibbs.states import Change, Errors, Weighted
from bayesdyn.engines.gibbs.term_parts import Part


class Slopes(NamedTuple):
    """Slopes by kappa, the coefficients (F,), and the precisions (V, V) of innovations and of starts."""

    kappa: jax.Array
    free: jax.Array
    later: jax.Array
    start: jax.Array


class Products(NamedTuple):
    """Expectations of (P e)_w times the states now, before, and one: (T, L) by outcome w."""

    now: dict[int, jax.Array]
    lag: dict[int, jax.Array]
    rest: dict[int, jax.Array]


def expected_errors(errors: Errors, score: jax.Array, moments: Moments) -> tuple[jax.Array, jax.Array]:
    """Return the expected log density of the scores, without the determinant of their errors' covariance.

    Beside it stands its slope by the log of the error's standard deviation, halved.
    """
    squared = moments.second - 2 * score * moments.mean + score**2
    weighed = 0.5 * dot(errors.weight, squared)
    if errors.others is None:
        return -weighed, weighed
    of_others = dot(errors.others, moments.mean - score)
    return of_others - weighed, weighed - 0.5 * of_others


def expected_products(weighted: Weighted, moments: Moments) -> Products:
    """Return the expected products of the precision's rows times the innovations with the states."""
    second_before, mean_before = before(moments.second), before(moments.mean)
    by_now = (moments.second, moments.cross, moments.mean)
    by_lag = (moments.cross, second_before, mean_before)
    by_one = (moments.mean, mean_before, None)

    def of(w: int, times: tuple[jax.Array, jax.Array, jax.Array | None]) -> jax.Array:
        parts = [
            part[w] if by is None else part[w] * by
            for part, by in zip((weighted.now, weighted.lag, weighted.rest), times, strict=True)
            if w in part
        ]
        return sum(parts[1:], parts[0])

    # Kept: each would else be made anew in every product that it enters.
    kept = jax.lax.optimization_barrier
    return kept(Products(*({w: of(w, by) for w in weighted.rest} for by in (by_now, by_lag, by_one))))


def expected_square(change: Change, w: int, v: int, products: Products) -> jax.Array:
    """Return the expected sum of e_w (P e)_v."""
    parts = zip((change.now, change.lag, change.rest), products, strict=True)
    return jnp.sum(jnp.stack([dot(part[w], product[v]) for part, product in parts if w in part]))


def slope_of_row(place: int, block: tuple[int, ...], row: jax.Array, of_row: jax.Array) -> jax.Array:
    """Return a slope (V, V) by the innovations' precision P, as far as row ``place`` of its covariance moves P.

    Such moves change P by multiples of a b' + b a', where a is the row of P over its diagonal and b any
    vector; so a slope S counts by S a alone, which is -1/2 the expected sum of e (P e)_place over P's diagonal.
    That S is returned which is 0 outside row and column ``place``.

    Parameters
    ----------
    block
        Outcomes in the row, of all V.
    row, of_row
        (V,) the row of P, and the expected sum of e (P e)_place.
    """
    at = np.array(block)
    a, y = (jnp.zeros_like(row).at[at].set(values[at] / row[place]) for values in (row, of_row))
    unit = jnp.zeros_like(row).at[place].set(1.0)
    return -0.5 * (jnp.outer(y, unit) + jnp.outer(unit, y) - (a @ y) * jnp.outer(unit, unit))


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


def slope_of_coefficients(parts: list[Part], count: int, products: Products) -> jax.Array:
    """Return the slopes (F,) by coefficients, each of which takes its terms from the innovations."""
    slopes = jnp.zeros(count)
    for part in parts:
        product = getattr(products, part.kind)[part.outcome]
        for f, value in zip(part.free, part.values, strict=True):
            slopes = slopes.at[f].add(dot(product, value))
    return slopes
