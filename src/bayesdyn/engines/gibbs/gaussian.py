"""Gaussian blocks: unknowns that the innovations are affine in, given everything else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.model import Law
from bayesdyn.engines.gibbs.sums import Sums

_LEAN = 0.5
"""Correlation, taken negative, of the noise before and after; 0 would be fresh noise."""


class Precisions(NamedTuple):
    """Inverse covariances (V, V) of innovations and of starts."""

    later: jax.Array
    start: jax.Array


class Held(NamedTuple):
    """A weighted sum over G groups of some of their unknowns, which stays as it is.

    Attributes
    ----------
    weights, places
        (G,) weight of each group, (Q,) which of its unknowns.
    total
        (Q,) the sums.
    """

    weights: jax.Array
    places: NDArray[np.int64]
    total: jax.Array

    def of(self, values: jax.Array) -> jax.Array:
        """Return the sums (Q,) of the groups' unknowns (G, K)."""
        return self.weights @ values[:, self.places]

    def spread(self, covariances: jax.Array) -> jax.Array:
        """Return the sums' covariance (Q, Q), of independent groups with covariances (G, K, K)."""
        inside = covariances[:, self.places][:, :, self.places]
        return jnp.einsum("g,gij->ij", self.weights**2, inside)


class Quadratic(NamedTuple):
    """A log density -x'Ax/2 + b'x: A (..., K, K), b (..., K)."""

    precision: jax.Array
    linear: jax.Array


def by_session(
    law: Law, tangent: Law, columns: NDArray[np.int64], at: jax.Array, sums: Sums, precisions: Precisions
) -> Quadratic:
    """Return what each session says of K unknowns x that the law is affine in.

    Parameters
    ----------
    law
        The law at the present x.
    tangent
        Its derivatives: weights (S, K, V, columns), means (S, K, V).
    columns
        The columns whose weights move with x.
    at
        The present x, (S, K).
    """
    seen = jnp.einsum("vw,swu->svu", precisions.later, law.weights @ sums.gram[:, :, columns])
    weighted = jnp.einsum("vw,skwu->skvu", precisions.later, tangent.weights)
    products = jnp.einsum("skvu,sux->skvx", weighted, sums.gram[:, columns][:, :, columns])
    at_start = jnp.einsum("vw,skw->skv", precisions.start, tangent.means)
    count = at.shape[1]
    precision = _flat(products, 2) @ jnp.swapaxes(_flat(tangent.weights, 2), 1, 2)
    precision = precision + at_start @ jnp.swapaxes(tangent.means, 1, 2)
    linear = jnp.einsum("skv,sv->sk", at_start, sums.starts - law.means)
    linear = linear - jnp.einsum("skx,sx->sk", _flat(tangent.weights, 2), _flat(seen, 1))
    # The law is at the present x: back to where x is 0.
    assert precision.shape[1:] == (count, count)
    return Quadratic(precision, linear + jnp.einsum("skj,sj->sk", precision, at))


def _flat(values: jax.Array, kept: int) -> jax.Array:
    return values.reshape(*values.shape[:kept], -1)


def draw(key: jax.Array, quadratic: Quadratic) -> jax.Array:
    """Return draws (..., K) of the normals with these log densities."""
    return _at(_fresh(key, quadratic), quadratic, jnp.linalg.cholesky(quadratic.precision))


def draw_across(key: jax.Array, now: Quadratic, values: jax.Array, quadratic: Quadratic) -> jax.Array:
    """Return draws (..., K) of normals that lean to the other side of the means from present values.

    So a chain in which others follow the values, and these the others, forgets sooner (over-relaxation: Adler
    1981, Phys. Rev. D 23, 2901-2904). It is the noise that leans: standard normals, whatever normals the
    present values are of.

    Parameters
    ----------
    now, values
        Log densities of the normals that the present values are of, and these.
    quadratic
        Log densities of the normals that are drawn from.
    """
    factor = jnp.linalg.cholesky(now.precision)
    noise = jnp.einsum("...ji,...j->...i", factor, values) - _solved(factor, now.linear)
    noise = -_LEAN * noise + (1 - _LEAN**2) ** 0.5 * _fresh(key, quadratic)
    return _at(noise, quadratic, jnp.linalg.cholesky(quadratic.precision))


def draw_held(key: jax.Array, quadratic: Quadratic, held: Held) -> jax.Array:
    """Return draws (G, K) of independent normals given weighted sums of them.

    A draw that knows nothing of the sums is moved by its regression on them (conditioning by kriging: Rue &
    Held 2005, Gaussian Markov Random Fields, equation 2.30).
    """
    factor = jnp.linalg.cholesky(quadratic.precision)
    drawn = _at(_fresh(key, quadratic), quadratic, factor)
    half = jax.lax.linalg.triangular_solve(
        factor, jnp.broadcast_to(jnp.eye(factor.shape[-1]), factor.shape), left_side=True, lower=True
    )
    covariances = jnp.swapaxes(half, 1, 2) @ half
    missing = jnp.linalg.solve(held.spread(covariances), held.total - held.of(drawn))
    return drawn + held.weights[:, None] * (covariances[:, :, held.places] @ missing)


def _fresh(key: jax.Array, quadratic: Quadratic) -> jax.Array:
    return jax.random.normal(key, quadratic.linear.shape, quadratic.linear.dtype)


def _solved(factor: jax.Array, values: jax.Array) -> jax.Array:
    return jax.lax.linalg.triangular_solve(factor, values[..., None], left_side=True, lower=True)[..., 0]


def _at(noise: jax.Array, quadratic: Quadratic, factor: jax.Array) -> jax.Array:
    """Return the values of the normals at noise (..., K); ``factor`` is that of their precision."""
    half = _solved(factor, quadratic.linear) + noise
    return jax.lax.linalg.triangular_solve(
        factor, half[..., None], left_side=True, lower=True, transpose_a=True
    )[..., 0]
