"""Draws of a quantity as the columns of a table: mean, SD, equal-tailed interval, Pr(> 0)."""

import numpy as np

COLUMNS = ("mean", "sd", "lower", "upper", "prob_positive")


def band(draws: np.ndarray, ci_prob: float) -> dict[str, np.ndarray]:
    """Summarise draws.

    Parameters
    ----------
    draws
        (N, ...) with the draws first.
    ci_prob
        Probability of the equal-tailed interval.

    Returns
    -------
    dict
        Each of :data:`COLUMNS`, of the shape that is left without the draws. ``prob_positive`` is NaN where
        every draw is exactly 0: a path fixed at 0 and an effect without a route are neither positive nor
        negative, and 0 would read as surely negative. Where a draw is NaN all are.
    """
    tail = (1 - ci_prob) / 2
    lower, upper = np.quantile(draws, [tail, 1 - tail], axis=0)
    untold = (draws == 0).all(axis=0) | np.isnan(draws).any(axis=0)
    return {
        "mean": draws.mean(axis=0),
        "sd": draws.std(axis=0, ddof=1),
        "lower": lower,
        "upper": upper,
        "prob_positive": np.where(untold, np.nan, (draws > 0).mean(axis=0)),
    }


def row(draws: np.ndarray, ci_prob: float) -> dict[str, float]:
    """Return the same of one quantity, draws (N,), as numbers."""
    return {name: float(value) for name, value in band(draws, ci_prob).items()}


def truth_row(draws: np.ndarray) -> dict[str, float]:
    """Return the same of what is true (1) or false (0) in each draw: its probability, else NaN."""
    probability, nothing = float(draws.mean()), float("nan")
    return dict(zip(COLUMNS, (probability, nothing, nothing, nothing, probability), strict=True))


def interval_attrs(ci_prob: float, units: str = "standard") -> dict[str, object]:
    """Return what every table says of its intervals."""
    return {"ci_prob": ci_prob, "ci_kind": "eti", "units": units}
