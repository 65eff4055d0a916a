"""The PyMC model itself, for those who want to add to it what the model language does not say."""

import pymc as pm
import xarray as xr

from bayesdyn.engines.pymc_collapsed import build_collapsed, multipliers
from bayesdyn.engines.pymc_model import build
from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.problem import Problem, measurement_of, prepare


def build_pymc(
    measures: xr.Dataset,
    spec: ModelSpec,
    *,
    measurement: str | None = None,
    kappa: bool = True,
    integrated: bool = False,
) -> pm.Model:
    """Return the PyMC model that :func:`bayesdyn.fit` draws from, open to further priors and terms.

    Parameters
    ----------
    measures, spec, measurement, kappa
        As for :func:`bayesdyn.fit`.
    integrated
        Whether the latent states that are linear given the others are integrated out, as in ``bd.fit``: far
        easier to sample, but it runs on JAX only (``pm.sample(nuts_sampler="numpyro")``) and has no
        ``latent`` to build on.

    Returns
    -------
    pymc.Model
        On the standardised scale. Deterministics, with the names and dims of a fit: ``path`` (path_name),
        ``level_mean`` (endogenous; drawn itself), ``dyad_effects`` (dyad, dyad_effect), ``dyad_cov``, the
        same of sessions and other groups, ``residual_cov`` (endogenous, endogenous2), ``start_cov``,
        ``kappa`` (construct), ``latent`` (exchange, construct). With measurement ``none`` there is no
        ``kappa``, and where nothing is missing no ``latent`` either. Free variables: ``path_free``
        (free_path: a label or a path), ``dyad_raw`` (dyad, dyad_effect), SDs and partial correlations of
        covariances, ``kappa_raw``, ``latent_raw``. The laws of states and scores are potentials, not observed
        variables (docs/pymc.md).

    Raises
    ------
    InputError
        What :func:`bayesdyn.fit` finds; ``propagated``, which is many models; nothing to integrate.
    """
    problem = prepare(measures, spec, measurement_of(spec, measurement), kappa=kappa)
    _check(problem, integrated)
    return build_collapsed(problem) if integrated else build(problem)


def _check(problem: Problem, integrated: bool) -> None:
    faults = FaultList()
    if problem.measurement == "propagated":
        faults.add("measurement is 'propagated', one model for each draw of the raters", "Use known or joint")
    if integrated and problem.measurement == "none":
        faults.add(
            "scores taken as they are have no states to integrate out", "Leave integrated out, or use known"
        )
    elif integrated and len(multipliers(problem)) == len(problem.endogenous):
        faults.add("no state is linear given the others", "Leave integrated out")
    faults.raise_if_any(f"Cannot build model {problem.spec.name!r}")
