"""The density of scores and other states with one construct's states integrated out: its value and slopes.

Innovations are e_w = sum_k a_wk x_{t-k} + r_w and the log density -x'Ax/2 + b'x + c in the states x; its
integral is exp(c + b'm/2) over the root of A's determinant, with m the mean of x. By Fisher's identity the
slopes are those of the log density, in expectation over x: products of a and r with the moments of x; to
differentiate the integral as it is computed would take longer. The precision's rows times e are made once:
each number is then one product of two arrays.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.gibbs.lanes import before, dot
from bayesdyn.engines.gibbs.scalar_chains import Moments
from bayesdyn.engines.gibbs.states import Change, Errors, Weighted
from bayesdyn.engines.gibbs.term_parts import Part


class Slopes(NamedTuple):
    """Slopes by what errors go with (K,), coefficients (F,), precisions (V, V) of innovations and starts."""

    errors: jax.Array
    free: jax.Array
    later: jax.Array
    start: jax.Array


def without_states(
    errors: Errors, score: jax.Array, change: Change, weighted: Weighted, start: jax.Array
) -> jax.Array:
    """Return the log density where the construct's states are 0, without the covariances' determinants.

    ``start`` is the precision of starts (V, V).
    """
    value = dot(errors.weight * score, score)
    if errors.others is not None:
        value = value + 2 * dot(errors.others, score)
    for w, rest in weighted.rest.items():
        value = value + dot(change.rest[w], rest)
    by_start = change.start.astype(float)
    return -0.5 * (value + jnp.sum(by_start * (start @ by_start)))


def slope_of_errors(errors: Errors, score: jax.Array, moments: Moments) -> jax.Array:
    """Return the slope of the expected log density of scores by the log of their errors' variance.

    It lacks that of the determinant of the errors' covariance.
    """
    squared = moments.second - 2 * score * moments.mean + score**2
    slope = 0.5 * dot(errors.weight, squared)
    if errors.others is None:
        return slope
    return slope - 0.5 * dot(errors.others, moments.mean - score)


def slopes_of_scores(
    errors: Errors, score: jax.Array, rated: jax.Array, moments: Moments
) -> tuple[jax.Array, jax.Array]:
    """Return the slopes (T, L) of the expected log density of scores by each score, and by its log se."""
    away = moments.mean - score
    squared = moments.second - score * (moments.mean + away)
    by_score, by_log_se = errors.weight * away, errors.weight * squared
    if errors.others is not None:
        by_score, by_log_se = by_score - errors.others, by_log_se - errors.others * away
    return by_score, by_log_se - rated


class Products:
    """Expected products of the precision's rows times the innovations, (P e)_w, with the states and one.

    Attributes
    ----------
    weighted
        What (P e)_w is made of.
    times
        By how far before the states are that are multiplied with (None: one), what the parts of (P e) are
        multiplied by, its rest first: moments (T, L), 0 where no exchange is before; None is one, where the
        part is 0 there by itself.
    """

    def __init__(self, weighted: Weighted, moments: Moments, later: jax.Array) -> None:
        """Take the moments of the states; ``later`` (T, L) is 1 where an exchange has one before it."""
        far, apart = range(len(weighted.moving)), (moments.second, *moments.cross)
        mean, product = _kept(
            (
                [later * before(moments.mean, k) for k in far],
                # E[x_{t-j} x_{t-k}], k up to j.
                [[later * before(apart[j - k], k) for k in range(j + 1)] for j in far],
            )
        )
        self.weighted = weighted
        self.times: dict[int | None, tuple[jax.Array | None, ...]] = {
            k: (mean[k], *(product[max(j, k)][min(j, k)] for j in far)) for k in far
        }
        self.times[None] = (None, *mean)
        self._arrays: dict[tuple[int | None, int], jax.Array] = {}

    def sum(self, back: int | None, w: int, factor: jax.Array) -> jax.Array:
        """Return the sum over all exchanges of a factor, E[(P e)_w] and the states so far before; None: one.

        A factor of one step is taken out of the sums over steps.
        """
        if len(factor) == 1:
            by_lane = [_by_lane(part, times) for part, times in self._of(back, w)]
            return jnp.sum(factor[0] * sum(by_lane[1:], by_lane[0]), dtype=float)
        if (back, w) not in self._arrays:
            parts = [part if times is None else part * times for part, times in self._of(back, w)]
            # Kept: it would else be made anew in every sum that it enters.
            self._arrays[back, w] = _kept(sum(parts[1:], parts[0]))
        return dot(factor, self._arrays[back, w])

    def _of(self, back: int | None, w: int) -> list[tuple[jax.Array, jax.Array | None]]:
        parts = zip((self.weighted.rest, *self.weighted.moving), self.times[back], strict=True)
        return [(part[w], times) for part, times in parts if w in part]


def _by_lane(part: jax.Array, times: jax.Array | None) -> jax.Array:
    """Return the sums over steps (L,) of a part of (P e), times moments."""
    if times is None:
        return jnp.sum(part, axis=0)
    return part[0] * jnp.sum(times, axis=0) if len(part) == 1 else jnp.einsum("tl,tl->l", part, times)


def expected_square(change: Change, w: int, v: int, products: Products) -> jax.Array:
    """Return the expected sum of e_w (P e)_v."""
    parts = [*enumerate(change.moving), (None, change.rest)]
    return sum((products.sum(back, v, part[w]) for back, part in parts if w in part), jnp.zeros(()))


def slope_of_row(place: int, block: tuple[int, ...], row: jax.Array, of_row: jax.Array) -> jax.Array:
    """Return a slope (V, V) by the innovations' precision P, as far as row ``place`` of its inverse moves P.

    Such moves change P by multiples of a b' + b a', where a is the row of P over its diagonal and b any
    vector; so a slope S counts by S a alone: -1/2 the expected sum of e (P e)_place over P's diagonal. That S
    is returned which is 0 outside row and column ``place``.

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


def expected_start(change: Change, place: int, mean: jax.Array, second: jax.Array) -> jax.Array:
    """Return the expected sum of products of the deviations at starts (V, V), of moments there (S,)."""
    rest = change.start.astype(float)
    mean, second = mean.astype(float), second.astype(float)
    shared = rest @ mean
    scatter = rest @ rest.T
    scatter = scatter.at[place].add(shared).at[:, place].add(shared)
    return scatter.at[place, place].add(jnp.sum(second))


def slope_of_coefficients(parts: list[Part], count: int, products: Products) -> jax.Array:
    """Return the slopes (F,) by coefficients, each of which takes its terms from the innovations."""
    slopes = jnp.zeros(count)
    for part in parts:
        for f, value in zip(part.free, part.values, strict=True):
            slopes = slopes.at[f].add(products.sum(part.back, part.outcome, value))
    return slopes


_kept = jax.lax.optimization_barrier
