"""The engine's density at another program's variances, where mode and curvature need no draws.

With variances and correlations held, the log density of regressions with varying effects is quadratic in
coefficients, means, effects and unrated scores, if no lag multiplies a mean. Its mode under flat priors is
then Henderson's (1975, Biometrics 31, 423): the generalised least squares estimates that REML and ML report
at those variances, and the best linear unbiased predictions. The inverse of its curvature holds the squares
of their standard errors. Both are exact, so they are compared to the precision that the peer reached.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.pymc_collapsed import build_collapsed
from bayesdyn.engines.pymc_model import build
from bayesdyn.structure.problem import Problem

FLAT = """
[priors]
path = "normal(0, 1e6)"
mean = "normal(0, 1e6)"
"""


@dataclass(frozen=True)
class Mode:
    """Estimates and standard errors by name: paths as in a fit, means as ``y ~ 1``."""

    estimate: dict[str, float]
    se: dict[str, float]


def mode_at(problem: Problem, held: Mapping[str, np.ndarray]) -> Mode:
    """Return mode and curvature of the engine's density with some covariances held.

    Parameters
    ----------
    problem
        With ``measurement="none"`` and no labels. Covariances that are not named are held at the start of
        the sampler, which is only right where nothing depends on them.
    held
        Covariance by the name of its factor in the engine: ``dyad_factor``, ``residual_factor_0``.
    """
    from pymc.sampling.jax import get_jaxified_logp

    model = build(problem)
    start = model.initial_point()
    for name, cov in held.items():
        start.update({f"{name}_{part}": value for part, value in _unconstrained(cov).items()})
    names = [variable.name for variable in model.value_vars]
    moved = [name for name in names if name in ("path_free", "level_mean", "dyad_raw", "latent_raw")]
    sizes = [np.size(start[name]) for name in moved]
    edges = np.cumsum([0, *sizes])
    with jax.enable_x64(True):
        density = get_jaxified_logp(model)

        def at(flat: jax.Array) -> jax.Array:
            point = {name: jnp.asarray(start[name], dtype=float) for name in names}
            for name, low, high in zip(moved, edges[:-1], edges[1:], strict=True):
                point[name] = flat[low:high].reshape(np.shape(start[name]))
            return density([point[name] for name in names])

        zero = jnp.zeros(edges[-1])
        gradient = jax.grad(at)
        column = jax.jit(lambda one: jax.jvp(gradient, (zero,), (one,))[1])
        curvature = -np.asarray(jax.jit(lambda: jax.lax.map(column, jnp.eye(edges[-1])))())
        slope = np.asarray(jax.jit(gradient)(zero))
    cov = np.linalg.inv(curvature)
    found, sd = cov @ slope, np.sqrt(np.diag(cov))
    labels = [path.name for path in problem.spec.paths if path.fixed is None]
    places = {name: edges[moved.index("path_free")] + i for i, name in enumerate(labels)}
    first = edges[moved.index("level_mean")]
    places |= {f"{name} ~ 1": first + i for i, name in enumerate(problem.endogenous)}
    return Mode(
        {name: float(found[at]) for name, at in places.items()},
        {name: float(sd[at]) for name, at in places.items()},
    )


def _unconstrained(cov: np.ndarray) -> dict[str, np.ndarray]:
    """Return a covariance in the sampler's space: log SDs, atanh of canonical partial correlations."""
    sd = np.sqrt(np.diag(cov))
    factor = np.linalg.cholesky(cov / np.outer(sd, sd))
    left = np.sqrt(1 - np.cumsum(np.square(factor), axis=1) + np.square(factor))
    rows, columns = np.tril_indices(len(sd), -1)
    partial = np.arctanh(factor[rows, columns] / left[rows, columns])
    return {"sd_log__": np.log(sd), **({"partial": partial} if rows.size else {})}


def slope_of_integral(
    problem: Problem,
    held: Mapping[str, np.ndarray],
    value: Mapping[str, float],
    se: Mapping[str, float],
    collapsed: bool = False,
) -> dict[str, float]:
    """Return the slope of the log likelihood, effects and states integrated out, in units of 1 / SE.

    Given coefficients and covariances every effect and unrated score is Gaussian, so Laplace's integral is
    exact. At another program's maximum likelihood estimate every slope is 0.

    Parameters
    ----------
    problem
        Means and paths as in :func:`mode_at`, lags included.
    held
        All covariances by the name of their factor, ``start_factor`` included.
    value, se
        The other program's estimates and standard errors by our names. Slopes are central differences over
        .02 SE: what they leave out is of third order, below 1e-4.
    collapsed
        Whether to take the density with the states integrated out; ``problem`` then has errors.
    """
    from pymc.sampling.jax import get_jaxified_logp

    model = build_collapsed(problem) if collapsed else build(problem)
    start = model.initial_point()
    for name, cov in held.items():
        start.update({f"{name}_{part}": part_value for part, part_value in _unconstrained(cov).items()})
    names = [variable.name for variable in model.value_vars]
    moved = [name for name in names if name in ("dyad_raw", "latent_raw")]
    edges = np.cumsum([0, *[np.size(start[name]) for name in moved]])
    order = [path.name for path in problem.spec.paths] + [f"{name} ~ 1" for name in problem.endogenous]
    paths = len(problem.spec.paths)
    with jax.enable_x64(True):
        density = get_jaxified_logp(model)

        def at(flat: jax.Array, fixed: jax.Array) -> jax.Array:
            point = {name: jnp.asarray(start[name], dtype=float) for name in names}
            point |= {"path_free": fixed[:paths], "level_mean": fixed[paths:]}
            for name, low, high in zip(moved, edges[:-1], edges[1:], strict=True):
                point[name] = flat[low:high].reshape(np.shape(start[name]))
            return density([point[name] for name in names])

        gradient = jax.grad(at)
        zero = jnp.zeros(edges[-1])

        @jax.jit
        def integral(fixed: jax.Array) -> jax.Array:
            curvature = -jax.lax.map(
                lambda one: jax.jvp(lambda flat: gradient(flat, fixed), (zero,), (one,))[1],
                jnp.eye(edges[-1]),
            )
            slope = gradient(zero, fixed)
            whole = at(zero, fixed) + 0.5 * slope @ jnp.linalg.solve(curvature, slope)
            return whole - 0.5 * jnp.linalg.slogdet(curvature)[1]

        middle = np.array([value[name] for name in order])
        found = {}
        for i, name in enumerate(order):
            step = np.zeros(len(order))
            step[i] = 0.02 * se[name]
            change = integral(jnp.asarray(middle + step)) - integral(jnp.asarray(middle - step))
            found[name] = float(change) / 0.04
    return found
