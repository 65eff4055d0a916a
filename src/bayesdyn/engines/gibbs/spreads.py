"""Covariances from scatter matrices: the priors of the reference engine, moved by Hamiltonian steps.

A covariance's factor is given by log SDs and atanh partial correlations, in one vector, as in
:mod:`bayesdyn.engines.pymc_covariance`; the densities are the same (tests/engines).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.pymc_covariance import LEAST_REST, LEAST_SD

LEAPFROGS = 8


class SpreadPrior(NamedTuple):
    """Half-normal SDs of scale ``sd``, correlations LKJ(``eta``)."""

    sd: float
    eta: float


def length(size: int) -> int:
    """Return how many numbers a factor of ``size`` takes."""
    return size + size * (size - 1) // 2


def factor_of(point: jax.Array, size: int) -> jax.Array:
    """Return the Cholesky factor (size, size) of a covariance."""
    scale = jnp.exp(point[:size])
    if size == 1:
        return scale[:, None]
    rows, columns = np.tril_indices(size, -1)
    raw = point[size:]
    partial = jnp.eye(size).at[rows, columns].set(jnp.tanh(raw))
    rest = jnp.zeros((size, size)).at[rows, columns].set(_log_rest(raw))
    left = jnp.exp(0.5 * (jnp.cumsum(rest, axis=1) - rest))
    return scale[:, None] * partial * left * np.tril(np.ones((size, size)))


def log_prior(point: jax.Array, size: int, prior: SpreadPrior) -> jax.Array:
    """Return the log density of an unconstrained factor, with the Jacobian of the log, up to a constant."""
    log_sd, raw = point[:size], point[size:]
    value = jnp.sum(log_sd - 0.5 * jnp.exp(2 * log_sd) / prior.sd**2)
    inside = jnp.min(log_sd) >= np.log(LEAST_SD)
    if size > 1:
        _, columns = np.tril_indices(size, -1)
        rest = _log_rest(raw)
        value = value + jnp.dot(prior.eta + (size - 2 - columns) / 2, rest)
        inside = inside & (jnp.min(rest) >= np.log(LEAST_REST))
    return jnp.where(inside, value, -jnp.inf)


def log_normal(factor: jax.Array, scatter: jax.Array, count: jax.Array | float) -> jax.Array:
    """Return the log density of ``count`` normals with this factor and scatter matrix, up to a constant."""
    half = jax.lax.linalg.triangular_solve(factor, scatter, left_side=True, lower=True)
    whole = jax.lax.linalg.triangular_solve(factor, half.T, left_side=True, lower=True)
    return -0.5 * jnp.trace(whole) - count * jnp.sum(jnp.log(jnp.diag(factor)))


def _log_rest(raw: jax.Array) -> jax.Array:
    return 2 * (np.log(2.0) - jnp.abs(raw) - jnp.log1p(jnp.exp(-2 * jnp.abs(raw))))


def hamiltonian(
    key: jax.Array,
    log_density: Callable[[jax.Array], jax.Array],
    point: jax.Array,
    scale: jax.Array,
    leapfrogs: int = LEAPFROGS,
) -> tuple[jax.Array, jax.Array]:
    """Return the point after one Hamiltonian move, and the probability of its acceptance.

    ``scale`` is the step by coordinate. Its length is jittered, so that no trajectory closes on itself.
    """
    of_momentum, of_step, of_accept = jax.random.split(key, 3)
    momentum = jax.random.normal(of_momentum, point.shape, point.dtype)
    step = scale * jax.random.uniform(of_step, (), point.dtype, 0.6, 1.0)
    slope_at = jax.value_and_grad(log_density)
    value, slope = slope_at(point)

    def leap(_: jax.Array, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        at, moving, _, slope = state
        moving = moving + 0.5 * step * slope
        at = at + step * moving
        value, slope = slope_at(at)
        return at, moving + 0.5 * step * slope, value, slope

    end, last, end_value, _ = jax.lax.fori_loop(0, leapfrogs, leap, (point, momentum, value, slope))
    change = end_value - value - 0.5 * (jnp.sum(last**2) - jnp.sum(momentum**2))
    chance = jnp.where(jnp.isfinite(change), jnp.exp(jnp.minimum(change, 0.0)), 0.0)
    taken = jax.random.uniform(of_accept, (), point.dtype) < chance
    return jnp.where(taken, end, point), chance
