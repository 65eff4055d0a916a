"""The variables of Measures that follow from modelled constructs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesdyn.measures.gathering.cells import Cells
from bayesdyn.measures.modelled import Modelled
from bayesdyn.measures.rater.places import Places
from bayesdyn.measures.rater.posterior import posterior_of


def posteriors(places: Places, modelled: Sequence[Modelled]) -> dict[str, NDArray[np.float64]]:
    """Return posterior mean and SD of the true scores, and the scale's own SD, (exchange, construct) each."""
    found = []
    for one in modelled:
        at, told = one.scale.at(None), one.summary
        variances = at.variance * at.true_share
        found.append(
            posterior_of(
                told.score, told.se, places.session, places.dyad, at.mean, variances, told.error_levels
            )
        )
    return {
        **{
            name: np.column_stack([pair[place] for pair in found])
            for place, name in enumerate(("posterior_mean", "posterior_sd"))
        },
        "location_sd": np.column_stack([one.summary.location_sd for one in modelled]),
    }


def by_construct(cells: Cells, modelled: Sequence[Modelled]) -> dict[str, NDArray[np.float64]]:
    """Return what is told once per construct, (construct,) each; intervals are 90 %, equal-tailed."""
    reliability = np.column_stack([one.summary.reliability for one in modelled])
    shared = np.column_stack([one.draws.s for one in modelled])
    effective = np.column_stack([one.summary.effective_raters for one in modelled])
    return {
        "reliability": reliability.mean(axis=0),
        "reliability_lower": np.quantile(reliability, 0.05, axis=0),
        "reliability_upper": np.quantile(reliability, 0.95, axis=0),
        "shared_error": shared.mean(axis=0),
        "shared_error_lower": np.quantile(shared, 0.05, axis=0),
        "shared_error_upper": np.quantile(shared, 0.95, axis=0),
        "effective_raters": effective.mean(axis=0),
        "kappa_sd": np.array([one.summary.kappa_sd for one in modelled]),
        "token_weight": np.array([one.scale.w.mean() for one in modelled]),
        "floor_share": cells.floor_share,
        "floor_predicted": np.array([one.ends.floor for one in modelled]),
        "ceiling_share": cells.ceiling_share,
        "ceiling_predicted": np.array([one.ends.ceiling for one in modelled]),
    }


def fixed_scale(modelled: Sequence[Modelled]) -> dict[str, NDArray[np.float64]]:
    """Return shift and scale (construct,) where the rater model fixes them: mean and SD of the true score.

    Ordinal scores have standard errors without bound at the scale's ends, and moments of the scores would
    tell nothing of the true score's spread. NaN for the others; nothing where all are Gaussian.
    """
    if not any(one.ordinal for one in modelled):
        return {}
    at = [one.scale.at(None) for one in modelled]
    told = np.array([one.ordinal for one in modelled])
    return {
        "shift": np.where(told, [point.mean for point in at], np.nan),
        "scale": np.where(told, [np.sqrt(point.variance) for point in at], np.nan),
    }
