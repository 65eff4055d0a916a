"""Hamiltonian moves of a few unknowns, with a metric that is learnt from slopes around a point.

The density of a move stands in one loop: its slope is compiled once, at the start, along the trajectory, and
at the probes that tell the curvature.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

type SlopeAt = Callable[[jax.Array], tuple[jax.Array, jax.Array]]
"""Gives the log density at a point (K,), and its slope."""

_PROBE = 0.1
_LEAST_CURVATURE = 0.01


class Splitting(NamedTuple):
    """How a trajectory of n slopes beyond the first is walked, in parts of a step.

    Attributes
    ----------
    kicks
        (n + 1) how far each slope pushes, the one at the start first.
    drifts
        (n) how far the unknowns move before each of the other slopes.
    """

    kicks: tuple[float, ...]
    drifts: tuple[float, ...]


def leapfrogs(count: int) -> Splitting:
    """Return so many leapfrog steps."""
    return Splitting((0.5, *[1.0] * (count - 1), 0.5), (1.0,) * count)


EIGHT_STEPS = leapfrogs(8)
_OUTER = (3 - 3**0.5) / 6
TWO_STAGE = Splitting((_OUTER, 1 - 2 * _OUTER, _OUTER), (0.5, 0.5))
"""One long step of two slopes, of least error on normals (Blanes, Casas & Sanz-Serna 2014, SIAM J. Sci.
Comput. 36, A1556-A1580, section 4): it turns a quarter and more where two leapfrogs are rejected."""


class Moved(NamedTuple):
    """What a move gives.

    Attributes
    ----------
    point
        (K,) after the move.
    chance
        Probability of its acceptance.
    curvature
        (K, K) negative Hessian along the columns of the metric's factor, the identity where the metric is
        right; of use only where probes were asked for.
    """

    point: jax.Array
    chance: jax.Array
    curvature: jax.Array


def hamiltonian(
    key: jax.Array,
    slope_at: SlopeAt,
    point: jax.Array,
    factor: jax.Array,
    step: jax.Array | float = 1.0,
    splitting: Splitting = EIGHT_STEPS,
    probe: jax.Array | None = None,
) -> Moved:
    """Return a Hamiltonian move, its length jittered so that no trajectory closes on itself.

    Parameters
    ----------
    key, slope_at, point
        Of K unknowns.
    factor
        F of the metric: (K,) by coordinate, or (K, K); near the normal whose covariance is F F'.
    step
        Length of a step, where that covariance is the identity.
    splitting
        How the trajectory is walked.
    probe
        Whether to look at the slope a little farther along each column of F.
    """
    of_momentum, of_step, of_accept = jax.random.split(key, 3)
    size = len(point)
    momentum = jax.random.normal(of_momentum, point.shape, point.dtype)
    step = step * jax.random.uniform(of_step, (), point.dtype, 0.6, 1.0)
    whole, last = factor.ndim == 2, len(splitting.drifts)
    kicks, drifts = jnp.asarray(splitting.kicks), jnp.asarray((0.0, *splitting.drifts))

    def forth(x: jax.Array) -> jax.Array:
        return factor @ x if whole else factor * x

    def back(x: jax.Array) -> jax.Array:
        return factor.T @ x if whole else factor * x

    class Along(NamedTuple):
        at: jax.Array
        moving: jax.Array
        value: jax.Array
        slopes: jax.Array  # (K + 1, K): at the start, and at the probes
        begin: jax.Array

    def leap(i: jax.Array, now: Along) -> Along:
        first, probes, here = i == 0, i > last, jnp.minimum(i, last)
        at = now.at + step * drifts[here] * forth(now.moving)
        which = jnp.where(probes, i - last, 0)
        aside = jnp.zeros(size, point.dtype).at[which - 1].set(_PROBE)
        value, slope = slope_at(jnp.where(probes, point + forth(aside), at))
        slope = back(slope)
        kept = first | probes
        slopes = now.slopes.at[which].set(jnp.where(kept, slope, now.slopes[which]))
        begin = jnp.where(first, value, now.begin)
        goes_on = Along(at, now.moving + step * kicks[here] * slope, value, slopes, begin)
        probed = now._replace(slopes=slopes)
        return jax.tree.map(lambda walked, still: jnp.where(probes, still, walked), goes_on, probed)

    none = jnp.zeros((), point.dtype)
    start = Along(point, momentum, none, jnp.zeros((size + 1, size), point.dtype), none)
    rounds = last + 1 + (0 if probe is None else jnp.where(probe, size, 0))
    end = jax.lax.fori_loop(0, rounds, leap, start)
    change = end.value - end.begin - 0.5 * (jnp.sum(end.moving**2) - jnp.sum(momentum**2))
    chance = jnp.where(jnp.isfinite(change), jnp.exp(jnp.minimum(change, 0.0)), 0.0)
    taken = jax.random.uniform(of_accept, (), point.dtype) < chance
    curvature = (end.slopes[0] - end.slopes[1:]) / _PROBE
    return Moved(jnp.where(taken, end.at, point), chance, 0.5 * (curvature + curvature.T))


def whitener(precision: jax.Array) -> jax.Array:
    """Return F with F F' the inverse of a precision (K, K)."""
    factor = jnp.linalg.cholesky(precision)
    return jax.lax.linalg.triangular_solve(factor, jnp.eye(len(factor)), left_side=True, lower=True).T


def learnt(precision: jax.Array, curvature: jax.Array, weight: jax.Array) -> jax.Array:
    """Return a metric's precision (K, K) after a look at the curvature along the columns of its whitener.

    Directions in which the density is not concave there, or nearly flat, are taken as a hundred times wider
    than they were at most: the next look goes on from there.
    """
    sound = jnp.all(jnp.isfinite(curvature))
    values, vectors = jnp.linalg.eigh(jnp.where(sound, curvature, jnp.eye(len(curvature))))
    half = vectors * jnp.sqrt(jnp.maximum(jnp.abs(values), _LEAST_CURVATURE))
    # precision = L L' and the whitener is the inverse of L': back along it.
    half = jnp.linalg.cholesky(precision) @ half
    return jnp.where(sound, (1 - weight) * precision + weight * half @ half.T, precision)
