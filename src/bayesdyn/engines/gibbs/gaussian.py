"""Gaussian blocks: unknowns that the innovations are affine in, given everything else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bayesdyn.engines.gibbs.model import Law
from bayesdyn.engines.gibbs.sums import Sums


class Precisions(NamedTuple):
    """Inverse covariances (V, V) of innovations and of starts."""

    later: jax.Array
    start: jax.Array


class Quadratic(NamedTuple):
    """A log density -x'Ax/2 + b'x: A (..., K, K), b (..., K)."""

    precision: jax.Array
    linear: jax.Array


def by_session(law: Law, tangent: Law, at: jax.Array, sums: Sums, precisions: Precisions) -> Quadratic:
    """Return what each session says of K unknowns x at which the law is affine.

    Parameters
    ----------
    law
        The law at the present x.
    tangent
        Its derivatives: weights (S, K, V, U), means (S, K, V).
    at
        The present x, (S, K) or (K,).
    """
    weights = law.weights - jnp.einsum(
        "...k,skvu->svu" if at.ndim == 1 else "sk,skvu->svu", at, tangent.weights
    )
    means = law.means - jnp.einsum("...k,skv->sv" if at.ndim == 1 else "sk,skv->sv", at, tangent.means)
    seen = jnp.einsum(
        "vw,skwu->skvu", precisions.later, jnp.einsum("skvu,sux->skvx", tangent.weights, sums.gram)
    )
    at_start = jnp.einsum("vw,skw->skv", precisions.start, tangent.means)
    precision = jnp.einsum("skvu,sjvu->skj", seen, tangent.weights)
    precision = precision + jnp.einsum("skv,sjv->skj", at_start, tangent.means)
    linear = -jnp.einsum("skvu,svu->sk", seen, weights)
    return Quadratic(precision, linear + jnp.einsum("skv,sv->sk", at_start, sums.starts - means))


def draw(key: jax.Array, quadratic: Quadratic) -> jax.Array:
    """Return draws (..., K) of the normals with these log densities."""
    factor = jnp.linalg.cholesky(quadratic.precision)
    noise = jax.random.normal(key, quadratic.linear.shape, quadratic.linear.dtype)
    half = jax.lax.linalg.triangular_solve(factor, quadratic.linear[..., None], left_side=True, lower=True)
    return jax.lax.linalg.triangular_solve(
        factor, half + noise[..., None], left_side=True, lower=True, transpose_a=True
    )[..., 0]
