"""Rater uncertainty without feedback: one fit for each of several draws of the rater model, pooled.

The joint posterior of ratings and structure lets the structural model change what is believed of the raters.
Where that is not wanted, because the structural model may be wrong, the rater model's posterior is carried
forward as it is: p(structure) = E over rater parameters of p(structure | scores at these parameters), the cut
posterior (Plummer 2015, Statistics and Computing 25, 37). It is estimated by fits at draws of the rater
parameters, as with multiple imputation.
"""

from dataclasses import replace

import numpy as np
import xarray as xr

from bayesdyn.fitting.drawing import Drawing
from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.measures.imputed import imputation_places, measures_at
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.problem import prepare


def fit_propagated(
    measures: xr.Dataset, spec: ModelSpec, settings: Settings, drawing: Drawing, imputations: int
) -> xr.DataTree:
    """Return a fit whose draws are those of fits at draws of the rater parameters, evenly mixed.

    All fits share the standardisation of the measures themselves and one compiled model. Each has its own
    seed and warm-up (of sweeps a fifth of it, but for the first: each begins where the one before ended), and
    gives an equal part of the draws, dealt in turn, so that every stretch of a chain
    holds all of them; ``sample_stats["imputation"]`` (chain, draw) says which.

    Raises
    ------
    InputError
        Measures that cannot be propagated (:func:`~bayesdyn.measures.imputed.imputation_places`).
    """
    places = imputation_places(measures, imputations)
    problem = prepare(measures, spec, "propagated")
    fixed = measures.assign(shift=measures["kappa_sd"] * np.nan, scale=measures["kappa_sd"] * np.nan)
    for name, values in (("shift", problem.shift), ("scale", problem.scale)):
        fixed[name].loc[{"construct": list(problem.constructs)}] = values
    part = replace(
        settings,
        draws=-(-settings.draws // imputations),
        latent_draws=-(-settings.latent_draws // imputations),
    )
    seeds = np.random.SeedSequence(settings.random_seed).generate_state(imputations)
    # One by one: a corpus would stand in memory as often.
    problems = (prepare(measures_at(fixed, int(place)), spec, "propagated") for place in places)
    trees = drawing.draw(problem, problems, [replace(part, random_seed=int(seed)) for seed in seeds])
    return assemble(_dealt(trees), problem, measures, replace(settings, draws=part.draws * imputations))


def _dealt(trees: list[xr.DataTree]) -> xr.DataTree:
    """Return the draws of several runs as one, the first of each, then the second of each, and so on."""
    groups = {}
    for name in ("posterior", "sample_stats"):
        every = [tree[name].to_dataset() for tree in trees]
        count = every[0].sizes["draw"]
        joined = xr.concat(every, dim="draw", data_vars="minimal")
        order = np.arange(count * len(trees)).reshape(len(trees), count).T.ravel()
        joined = joined.isel(draw=order).assign_coords(draw=np.arange(len(order)))
        if name == "sample_stats":
            number = np.tile(np.arange(len(trees)), count)
            joined["imputation"] = (("chain", "draw"), np.tile(number, (joined.sizes["chain"], 1)))
        groups[name] = joined
    if "latent" in trees[0].children:
        groups["latent"] = xr.concat([tree["latent"].to_dataset() for tree in trees], dim="sample")
    if "latent_summary" in trees[0].children:
        every = xr.concat([tree["latent_summary"].to_dataset() for tree in trees], dim="imputation")
        mean, within = every["mean"].mean("imputation"), (every["sd"] ** 2).mean("imputation")
        sd = np.sqrt(within + every["mean"].var("imputation"))
        groups["latent_summary"] = xr.Dataset({"mean": mean, "sd": sd})
    return xr.DataTree.from_dict(groups)
