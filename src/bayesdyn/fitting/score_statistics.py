"""Statistics of a study's scores that a model should reproduce, for many studies of the same rows at once."""

import numpy as np
from numpy.typing import NDArray

from bayesdyn.structure.problem import Problem

type Floats = NDArray[np.float64]

STATISTICS = ("mean", "sd_within", "sd_between", "lag1", "skewness", "floor", "ceiling")
"""``mean``; ``sd_within``, of scores about their session's mean; ``sd_between``, of the sessions' means;
``lag1``, correlation of these deviations at an exchange and the one before; ``skewness`` of all scores; share
of scores at or below the lowest that was observed (``floor``), at or above the highest (``ceiling``)."""


def score_statistics(problem: Problem, score: Floats) -> Floats:
    """Return the statistics (K, C, statistic) of K studies; NaN where a rated score is NaN.

    Parameters
    ----------
    problem
        Tells sessions and which scores are rated; its own scores give floor and ceiling.
    score
        (K, N, C) standardised scores; those that are unrated in the problem are not used.
    """
    rated = problem.rated
    kept = np.where(rated, score, 0.0)
    count, total = rated.sum(axis=0), kept.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        per_session = np.add.reduceat(rated, problem.starts, axis=0, dtype=np.int64)
        means = np.add.reduceat(kept, problem.starts, axis=1) / per_session
        within = np.where(rated, score - means[:, problem.session_of], 0.0)
        sessions = (per_session > 0).sum(axis=0)
        sd_within = np.sqrt(np.square(within).sum(axis=1) / (count - sessions))
        about = np.where(per_session > 0, means - _mean_of(means, per_session > 0), 0.0)
        sd_between = np.sqrt(np.square(about).sum(axis=1) / (sessions - 1))
        centred = np.where(rated, score - mean[:, None], 0.0)
        variance = np.square(centred).sum(axis=1) / count
        skewness = (centred**3).sum(axis=1) / count / variance**1.5
        lowest = np.where(rated, problem.score, np.inf).min(axis=0)
        highest = np.where(rated, problem.score, -np.inf).max(axis=0)
        floor = _share(score <= lowest, rated) + 0 * mean
        ceiling = _share(score >= highest, rated) + 0 * mean
        lag1 = _lag1(problem, within)
    return np.stack([mean, sd_within, sd_between, lag1, skewness, floor, ceiling], axis=-1)


def _mean_of(means: Floats, there: NDArray[np.bool_]) -> Floats:
    return np.where(there, means, 0.0).sum(axis=1, keepdims=True) / there.sum(axis=0)


def _share(holds: NDArray[np.bool_], rated: NDArray[np.bool_]) -> Floats:
    return (holds & rated).sum(axis=1) / rated.sum(axis=0)


def _lag1(problem: Problem, within: Floats) -> Floats:
    """Return the correlation over pairs of neighbours that are both rated."""
    later = problem.later
    before = problem.previous[later]
    both = problem.rated[later] & problem.rated[before]
    one, other = within[:, later] * both, within[:, before] * both
    scale = np.sqrt(np.square(one).sum(axis=1) * np.square(other).sum(axis=1))
    return (one * other).sum(axis=1) / scale
