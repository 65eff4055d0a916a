"""A fit with known draws, made without a sampler: normal draws around a simulated truth."""

import numpy as np
import xarray as xr

import bayesdyn as bd
from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.structure.problem import prepare
from truths import whole_residual_cov


def synthetic_fit(measurement="known", chains=2, draws=2000, spread=0.05, seed=3, model="chen2026"):
    """Return (fit, measures, truth): the draws of every quantity are N(truth, spread^2), independent."""
    spec = bd.load_model(model)
    measures, truth = bd.simulate(spec, dyads=3, sessions=2, exchanges=6, random_seed=seed)
    return fit_around(spec, measures, truth, measurement, chains, draws, spread, seed), measures, truth


def fit_around(spec, measures, truth, measurement="known", chains=2, draws=2000, spread=0.05, seed=3):
    """Return a fit of simulated measures: its draws are N(truth, spread^2), those of kappa its prior's."""
    problem = prepare(measures, spec, measurement)
    rng = np.random.default_rng(seed)
    paths = [path.name for path in problem.spec.paths]
    values = {"path": truth["path"].sel(path_name=paths)}
    for name in ("dyad_cov", "session_cov"):
        values[name] = truth[name]
    own = list(problem.endogenous)
    for name in ("residual_cov", "start_cov"):
        values[name] = whole_residual_cov(truth).sel(endogenous=own, endogenous2=own)
    values["level_mean"] = truth["level_mean"].sel(endogenous=own)
    posterior = xr.Dataset(
        {
            name: (
                ("chain", "draw", *value.dims),
                value.values + spread * rng.standard_normal((chains, draws, *value.shape)),
            )
            for name, value in values.items()
        },
        coords={
            "path_name": paths,
            "endogenous": own,
            "endogenous2": own,
            **{
                name: truth[name.rstrip("2")].values
                for name in ("dyad_effect", "dyad_effect2", "session_effect", "session_effect2")
            },
        },
    )
    if measurement != "none":
        kappa = problem.kappa_sd * rng.standard_normal((chains, draws, len(problem.constructs)))
        posterior["kappa"] = ("chain", "draw", "construct"), kappa
        posterior = posterior.assign_coords(construct=list(problem.constructs))
    stats = xr.Dataset(
        {
            "diverging": (("chain", "draw"), np.zeros((chains, draws), dtype=bool)),
            "maxdepth_reached": (("chain", "draw"), np.zeros((chains, draws), dtype=bool)),
            "energy": (("chain", "draw"), rng.standard_normal((chains, draws))),
        }
    )
    tree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})
    return assemble(tree, problem, measures, Settings(draws, draws, chains, seed))
