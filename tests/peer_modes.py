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
