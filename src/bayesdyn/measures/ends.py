"""Shares of ratings at the ends of the scale: what a rater model predicts, beside what was observed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bayesdyn.measures.graded.answers import Answers
from bayesdyn.measures.graded.sampler import GradedDraws
from bayesdyn.measures.rater.scale import Point

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ends:
    """Predicted shares of ratings nearest to the lowest, and to the highest, point of the scale."""

    floor: float
    ceiling: float


def ends_of_normals(at: Point, value: Floats, noise: Floats, bounds: tuple[float, float]) -> Ends:
    """Return what the Gaussian model predicts; NaN where the scale is not known.

    Parameters
    ----------
    at
        Posterior means.
    value, noise
        (exchange, rater) ratings, NaN where unrated, and their replicate noise.
    bounds
        Lowest and highest point.
    """
    rated = np.isfinite(value)
    often = rated.sum(axis=0)
    blur = np.where(rated, noise, 0.0).sum(axis=0) / often
    spread = np.sqrt(
        np.square(at.discrimination) * at.variance + np.square(at.shared) + np.square(at.sigma) + blur
    )
    mean = at.mean + at.severity
    low = ndtr((bounds[0] + 0.5 - mean) / spread)
    high = ndtr((mean - bounds[1] + 0.5) / spread)
    return Ends(float(np.average(low, weights=often)), float(np.average(high, weights=often)))


def ends_of_answers(draws: GradedDraws, answers: Answers) -> Ends:
    """Return what the ordinal model predicts, at posterior means of its parameters.

    A value that is an expectation over a distribution is near an end where that expectation is: the share is
    summed over what the rater sees, N(0, 1 + own^2).
    """
    cut, own, blur = (values.mean(axis=0) for values in (draws.cut, draws.own, draws.blur))
    low, high = [], []
    for r, expected in enumerate(answers.expected):
        seen = np.sqrt(1 + own[r] ** 2)
        if not expected:
            total = np.sqrt(seen**2 + (blur[r] ** 2 if answers.repeated[r] else 0.0))
            low.append(ndtr(cut[r, 0] / total))
            high.append(ndtr(-cut[r, -1] / total))
            continue
        u = np.linspace(-6, 6, 2401)
        weight = np.exp(-0.5 * np.square(u))
        value = answers.points[-1] - ndtr((cut[r][:, None] - seen * u) / blur[r]).sum(axis=0)
        low.append(weight[value < answers.points[0] + 0.5].sum() / weight.sum())
        high.append(weight[value > answers.points[-1] - 0.5].sum() / weight.sum())
    often = (answers.pattern > 0).sum(axis=0)
    return Ends(float(np.average(low, weights=often)), float(np.average(high, weights=often)))
