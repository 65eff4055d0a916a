"""Covariances from scatter matrices: the priors of the reference engine, moved by Hamiltonian steps.

A covariance's factor is given by log SDs and atanh partial correlations, in one vector, as in
:mod:`bayesdyn.engines.pymc_covariance`; the densities are the same (tests/engines).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.common import LEAST_REST, LEAST_SD


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


def point_of(covariance: jax.Array) -> jax.Array:
    """Return the unconstrained factor of a covariance: the inverse of :func:`factor_of`."""
    sd = jnp.sqrt(jnp.diag(covariance))
    size = len(sd)
    if size == 1:
        return jnp.log(sd)
    factor = jnp.linalg.cholesky(covariance) / sd[:, None]
    rows, columns = np.tril_indices(size, -1)
    left = (1 - jnp.cumsum(factor**2, axis=1) + factor**2)[rows, columns]
    return jnp.concatenate([jnp.log(sd), jnp.arctanh(factor[rows, columns] / jnp.sqrt(left))])


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
