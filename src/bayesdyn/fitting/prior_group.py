"""The prior of a model as a group of a fit: what is believed before any score is seen."""

import json

import numpy as np
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.model_text import to_text
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.prior_draws import draw_prior
from bayesdyn.structure.problem import Problem, measurement_of, prepare
from bayesdyn.structure.quantities import in_names_of_fit


def prior(
    measures: xr.Dataset,
    spec: ModelSpec,
    *,
    draws: int = 1000,
    random_seed: int,
    measurement: str | None = None,
    kappa: bool = True,
) -> xr.DataTree:
    """Draw from the prior of a structural model, exactly and independently.

    Parameters
    ----------
    measures
        Scores with standard errors, as for :func:`bayesdyn.fit`. They give the rows, groups and units; the
        scores themselves are not used.
    spec
        From :func:`bayesdyn.load_model`.
    draws
        Number of draws.
    random_seed
        Seed of the draws.
    measurement, kappa
        As for :func:`bayesdyn.fit`.

    Returns
    -------
    xr.DataTree
        Group ``prior`` with the variables, dims and coordinates of a fit's ``posterior`` (one chain); so
        ``fit["prior"] = bayesdyn.prior(...)["prior"]`` sets the two side by side, as ArviZ takes them.
        Lags are from their normal priors truncated to stable dynamics, as in the fitted model.

    Raises
    ------
    InputError
        Faults of the measures or the model; no draws; priors of lags that leave no stable dynamics.
    """
    faults = FaultList()
    if draws < 1:
        faults.add(f"draws is {draws}", "Use at least 1")
    faults.raise_if_any("Cannot draw from the prior")
    problem = prepare(measures, spec, measurement_of(spec, measurement), kappa=kappa)
    tree = xr.DataTree.from_dict({"prior": prior_of(problem, draws, np.random.default_rng(random_seed))})
    tree.attrs = {
        "model": problem.spec.name,
        "spec": json.dumps(to_text(problem.spec)),
        "measurement": problem.measurement,
        "random_seed": json.dumps(random_seed),
        "notes": json.dumps(list(problem.notes)),
    }
    return tree


def prior_of(problem: Problem, draws: int, rng: np.random.Generator) -> xr.Dataset:
    """Return draws from a problem's prior with the names and dims of a fit's ``posterior``."""
    drawn = draw_prior(problem, draws, rng)
    return in_names_of_fit(drawn, problem.spec, problem.constructs, problem.endogenous)
