"""Densities of covariances: given what they spread, and with it integrated out."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from bayesdyn.engines.chain import inverse_by_sweeps
from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.gibbs.gaussian import Held, Precisions, Quadratic
from bayesdyn.engines.gibbs.hamiltonian import SlopeAt
from bayesdyn.engines.gibbs.model import Law
from bayesdyn.engines.gibbs.spreads import SpreadPrior
from bayesdyn.engines.gibbs.sums import Sums

type Move = Callable[[str, SlopeAt, jax.Array, jax.Array | int], jax.Array]
"""Moves a point on a density by the name of the move; the number tells how many things tell of it."""


def by_scatter(
    point: jax.Array, size: int, prior: SpreadPrior, total: jax.Array, count: jax.Array | int
) -> jax.Array:
    """Return the log density of a covariance's factor given the scatter matrix of ``count`` normals."""
    factor = spreads.factor_of(point, size)
    return spreads.log_prior(point, size, prior) + spreads.log_normal(factor, total, count)


def with_effects_out(
    point: jax.Array, size: int, prior: SpreadPrior, seen: Quadratic, held: Held | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return the log density of the factor of groups' effects, these integrated out, and its slope.

    With ``held`` over the effects that have these sums: the density of what is seen and of the sums together.
    """
    factor, back = jax.vjp(lambda point: spreads.factor_of(point, size), point)
    value, slope = log_marginal(factor, seen)
    if held is not None:
        of_sums, slope_of_sums = jax.value_and_grad(log_sums)(factor, seen, held)
        value, slope = value + of_sums, slope + slope_of_sums
    known, known_slope = jax.value_and_grad(spreads.log_prior)(point, size, prior)
    return value + known, back(slope)[0] + known_slope


def log_marginal(factor: jax.Array, seen: Quadratic) -> tuple[jax.Array, jax.Array]:
    """Return the log density of what is seen of groups' effects, these integrated out, and its slope by L.

    Effects are L z with standard normal z; by Fisher's identity the slope is the expectation of that of
    b'L z - z'L'A L z / 2.

    Parameters
    ----------
    factor
        L, (K, K).
    seen
        A and b of each group.
    """
    half = seen.precision @ factor
    precision = jnp.eye(len(factor)) + jnp.einsum("ki,gkj->gij", factor, half)
    inverse, log_det = inverse_by_sweeps(jnp.moveaxis(precision, 0, -1))
    toward = seen.linear @ factor
    mean = jnp.einsum("ijg,gj->gi", inverse, toward)
    of_covariance = jnp.sum(half @ jnp.moveaxis(inverse, -1, 0), axis=0)
    of_mean = jnp.einsum("gkj,gj,gi->ki", half, mean, mean)
    return 0.5 * (jnp.sum(toward * mean) - log_det), seen.linear.T @ mean - of_covariance - of_mean


def log_sums(factor: jax.Array, seen: Quadratic, held: Held) -> jax.Array:
    """Return the log density of weighted sums of groups' effects given what is seen of the effects."""
    inside = jnp.eye(len(factor)) + factor.T @ seen.precision @ factor
    covariances = factor @ jnp.linalg.inv(inside) @ factor.T
    deviation = held.total - held.of(jnp.einsum("gij,gj->gi", covariances, seen.linear))
    half = jnp.linalg.cholesky(held.spread(covariances))
    return -0.5 * jnp.sum(solved(half, deviation[:, None]) ** 2) - jnp.sum(jnp.log(jnp.diag(half)))


def log_law(law: Law, given: Sums, precisions: Precisions) -> jax.Array:
    """Return the log density of the states, less what depends on the covariances' determinants."""
    seen = jnp.einsum("vw,swu->svu", precisions.later, law.weights)
    deviation = given.starts - law.means
    quadratic = jnp.einsum("svu,sux,svx->", seen, given.gram, law.weights)
    return -0.5 * (quadratic + jnp.sum(deviation * (deviation @ precisions.start)))


def solved(factor: jax.Array, values: jax.Array) -> jax.Array:
    """Return the inverse of a lower triangular factor times values."""
    return jax.lax.linalg.triangular_solve(factor, values, left_side=True, lower=True)


def inverse_of(factor: jax.Array) -> jax.Array:
    """Return the inverse of the covariance with this factor."""
    half = solved(factor, jnp.eye(len(factor)))
    return half.T @ half
