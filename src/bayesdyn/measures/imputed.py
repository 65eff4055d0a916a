"""Measures at single draws of the rater model: its uncertainty carried into a fit, draw by draw."""

import numpy as np
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.measures.rater.scale import Point

_NEEDED = ("rating", "rating_q", "rating_noise", "severity_draws", "error_share_draws", "mean_draws")
_ABSENT = {"severity": 0.0, "discrimination": 1.0, "shared": 0.0, "error_sd": 1.0}
"""Parameters of a rater that has no part in a construct: its ratings are masked, whatever these are."""


def imputation_places(measures: xr.Dataset, count: int) -> np.ndarray:
    """Return the places of ``count`` draws of the rater parameters, evenly spaced over those that are kept.

    Parameters
    ----------
    measures
        From :func:`bayesdyn.measure`.
    count
        How many; at most as many as are kept.

    Raises
    ------
    InputError
        Measures without draws of rater parameters, an ordinal construct, a count that there is not.
    """
    faults = FaultList()
    if not set(_NEEDED) <= set(map(str, measures.data_vars)):
        faults.add(
            "these measures hold no draws of rater parameters",
            'Make them with bayesdyn.measure, or fit with measurement="known"',
        )
        faults.raise_if_any("The raters' uncertainty cannot be propagated")
    if "scale" in measures:
        ordinal = [str(n) for n, s in zip(measures["construct"].values, measures["scale"].values, strict=True)
                   if np.isfinite(s)]  # fmt: skip
        if ordinal:
            faults.add(
                f"{', '.join(ordinal)}: ordinal scores are kept at posterior means of the raters only",
                'Fit with measurement="known"',
            )
    kept = measures.sizes["draw"]
    if not 2 <= count <= kept:
        faults.add(f"imputations is {count}", f"Use 2 to {kept}")
    faults.raise_if_any("The raters' uncertainty cannot be propagated")
    return np.linspace(0, kept - 1, count).astype(int)


def measures_at(measures: xr.Dataset, draw: int) -> xr.Dataset:
    """Return measures whose scores and standard errors are those of one draw of the rater parameters.

    The score of an exchange is the generalised least squares estimate of its true score at the draw's
    severities, discriminations and error variances, as in :func:`bayesdyn.measure` at their posterior means;
    with them the standard errors are known, and ``kappa_sd`` is 0.

    Parameters
    ----------
    measures
        From :func:`bayesdyn.measure`, see :func:`imputation_places`.
    draw
        Place of the draw.
    """
    score, se = (measures[name].values.copy() for name in ("score", "se"))
    ratings = [
        measures[name].transpose("exchange", "rater", "construct").values.astype(float)
        for name in ("rating", "rating_q", "rating_noise")
    ]
    for c in range(measures.sizes["construct"]):
        value, q, noise = (part[:, :, c] for part in ratings)
        rated = np.isfinite(value)
        at = _point(measures, draw, c)
        own = at.own_variance(np.where(rated, q, 1.0), np.where(rated, noise, 0.0))
        weights, precision = at.weights(rated, own)
        any_rated = rated.any(axis=1)
        away = np.where(rated, value - at.severity - at.mean, 0.0)
        score[:, c] = np.where(any_rated, at.mean + (weights * away).sum(axis=1), np.nan)
        se[any_rated, c] = 1 / np.sqrt(precision[any_rated])
    dims = ("exchange", "construct")
    return measures.assign(
        score=(dims, score), se=(dims, se), kappa_sd=("construct", np.zeros(score.shape[1]))
    )


def _point(measures: xr.Dataset, draw: int, c: int) -> Point:
    """Return the rater parameters of one construct in one draw."""
    chosen = measures.isel(draw=draw, construct=c)
    by_rater = {
        name: np.nan_to_num(chosen[f"{name}_draws"].values, nan=absent) for name, absent in _ABSENT.items()
    }
    return Point(
        severity=by_rater["severity"],
        discrimination=by_rater["discrimination"],
        shared=by_rater["shared"],
        sigma=by_rater["error_sd"],
        mean=float(chosen["mean_draws"]),
        variance=float(chosen["variance_draws"]),
        w=float(chosen["token_weight_draws"]),
        true_share=chosen["true_share_draws"].values,
        error_share=chosen["error_share_draws"].values,
    )
