"""What Measures tell of the raters: their table, the error budget, the draws, and the ratings themselves."""

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesdyn.measures.gathering.cells import Cells
from bayesdyn.measures.modelled import Modelled
from bayesdyn.measures.rater.density import LEVELS
from bayesdyn.measures.rater.parts import Part
from bayesdyn.measures.rater.scale import kept_draws
from bayesdyn.measures.rater.summaries import SOURCES
from bayesdyn.tables import RATER_PRIORS

_BOUNDS = ("lower", "mean", "upper")


def with_raters(
    made: xr.Dataset,
    cells: Cells,
    modelled: Sequence[Modelled],
) -> xr.Dataset:
    """Return measures with all that is told of raters; NaN where a rater has no part in a construct."""
    parts = [one.part for one in modelled]
    scales, summaries = [one.scale for one in modelled], [one.summary for one in modelled]
    raters, constructs = len(cells.raters), len(cells.constructs)
    table = {
        name: np.full((raters, constructs), np.nan) for name in ("severity", "discrimination", "error_sd")
    }
    budget = np.full((len(SOURCES), raters, constructs), np.nan)
    draws = len(kept_draws(scales[0]))
    by_rater = {
        name: np.full((draws, raters, constructs), np.nan)
        for name in ("severity", "discrimination", "shared", "sigma")
    }
    for c, (part, scale, found) in enumerate(zip(parts, scales, summaries, strict=True)):
        at, kept = scale.at(None), kept_draws(scale)
        table["severity"][part.raters, c] = at.severity
        table["discrimination"][part.raters, c] = at.discrimination
        table["error_sd"][part.raters, c] = at.sigma
        budget[:, part.raters, c] = found.budget
        for name, values in by_rater.items():
            values[:, part.raters, c] = getattr(scale, name)[kept]
    kept = kept_draws(scales[0])
    by_construct = {
        name: np.stack([getattr(scale, source)[kept] for scale in scales], axis=-1)
        for name, source in (("mean", "mean"), ("variance", "variance"), ("token_weight", "w"))
    }
    shares = {
        name: np.stack([getattr(scale, name)[kept] for scale in scales], axis=-1)
        for name in ("true_share", "error_share")
    }
    reliability = np.stack([found.reliability for found in summaries], axis=-1)
    level = np.stack([found.level_reliability for found in summaries], axis=-1)
    bounds = np.stack(
        [np.quantile(level, 0.05, axis=0), level.mean(axis=0), np.quantile(level, 0.95, axis=0)]
    )
    spelled = {"sigma": "error_sd"}
    told = made.assign(
        {
            **{name: (("rater", "construct"), values) for name, values in table.items()},
            "error_budget": (("source", "rater", "construct"), budget),
            "replicates": (("rater", "construct"), cells.replicates.T),
            "level_reliability": (("bound", "level", "construct"), bounds),
            "reliability_draws": (("draw", "construct"), reliability),
            **{
                f"{spelled.get(name, name)}_draws": (("draw", "rater", "construct"), values)
                for name, values in by_rater.items()
            },
            **{f"{name}_draws": (("draw", "construct"), values) for name, values in by_construct.items()},
            **{f"{name}_draws": (("draw", "level", "construct"), values) for name, values in shares.items()},
            **{
                name: (("exchange", "rater", "construct"), values)
                for name, values in _ratings(cells, parts).items()
            },
            "identified_by": (("construct",), np.array([part.identified for part in parts], dtype=object)),
        }
    ).assign_coords(
        rater=np.array(cells.raters, dtype=object),
        rater_kind=("rater", np.where(cells.human, "human", "llm").astype(object)),
        level=np.array(LEVELS, dtype=object),
        source=np.array(SOURCES, dtype=object),
        bound=np.array(_BOUNDS, dtype=object),
    )
    return told.assign_attrs({RATER_PRIORS: json.dumps(_assumed(cells, modelled))})


def _assumed(cells: Cells, modelled: Sequence[Modelled]) -> dict[str, dict[str, object]]:
    """Return, by construct, what was assumed of its raters: a fit with the ratings in it assumes the same."""
    return {
        one.part.construct: {
            "raters": [cells.raters[r] for r in one.part.raters],
            "discrimination": one.part.problem.discrimination,
            "rho_prior": one.part.problem.rho_prior.tolist(),
            "shared_prior": list(one.part.problem.shared_prior or ()),
            "tokens": one.part.problem.tokens and one.part.problem.discrimination != "single",
            "ordinal": one.ordinal,
            "weighted": one.part.weight is not None,
        }
        for one in modelled
    }


def _ratings(cells: Cells, parts: Sequence[Part]) -> dict[str, np.ndarray]:
    """Return what a fit with the ratings' likelihood in it needs, in single precision."""
    shape = (len(cells.keys), len(cells.raters), len(cells.constructs))
    found = {
        name: np.full(shape, np.nan, dtype=np.float32) for name in ("rating", "rating_q", "rating_noise")
    }
    for c, part in enumerate(parts):
        rated = np.isfinite(part.value)
        for name, values in (("rating", part.value), ("rating_q", part.q), ("rating_noise", part.noise)):
            found[name][:, part.raters, c] = np.where(rated, values, np.nan)
    return found
