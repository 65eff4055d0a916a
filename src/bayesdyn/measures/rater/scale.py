"""Draws of the rater model on a scale: the origin and the unit of the true score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesdyn.measures.rater.sampler import Draws

type Floats = NDArray[np.float64]

_MOST_DRAWS = 200


@dataclass(frozen=True)
class Scale:
    """Draws with the origin and unit of the true score fixed.

    Attributes
    ----------
    severity, discrimination, shared, sigma
        (draw, rater) in units of the scale (discrimination: none). ``shared`` is the SD of the error that
        LLMs share in a rating of this rater.
    mean, variance
        (draw,) mean m and variance of the true score; a rating is ``m + severity_r + discrimination_r
        (theta - m) + error``, so severity is how much higher a rater rates an average exchange.
    w
        (draw,) share of the error variance that follows token variance.
    true_share, error_share
        (draw, 3) parts of exchange, session, dyad in the true score, and in a rater's own error.
    """

    severity: Floats
    discrimination: Floats
    shared: Floats
    sigma: Floats
    mean: Floats
    variance: Floats
    w: Floats
    true_share: Floats
    error_share: Floats

    def at(self, draw: int | None) -> "Point":
        """Return one draw, or, at None, the posterior means (geometric where positive)."""
        if draw is not None:
            return Point(
                self.severity[draw], self.discrimination[draw], self.shared[draw], self.sigma[draw],
                float(self.mean[draw]), float(self.variance[draw]), float(self.w[draw]),
                self.true_share[draw], self.error_share[draw],
            )  # fmt: skip
        return Point(
            self.severity.mean(axis=0), _geometric(self.discrimination),
            np.sqrt(np.square(self.shared).mean(axis=0)), _geometric(self.sigma), float(self.mean.mean()),
            float(_geometric(self.variance)), float(self.w.mean()), self.true_share.mean(axis=0),
            self.error_share.mean(axis=0),
        )  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One value of each parameter of :class:`Scale`, without the axis of draws."""

    severity: Floats
    discrimination: Floats
    shared: Floats
    sigma: Floats
    mean: float
    variance: float
    w: float
    true_share: Floats
    error_share: Floats

    def own_variance(self, q: Floats, noise: Floats) -> Floats:
        """Return the variance of each rating's own error, of all levels, shape (exchange, rater)."""
        follows = self.error_share[0] * self.w * (q - 1)
        return np.square(self.sigma) * (1 + follows) + noise

    def weights(self, rated: NDArray[np.bool_], own: Floats) -> tuple[Floats, Floats]:
        """Return the weights of generalised least squares, shape (exchange, rater), and their precision.

        The weights are those of the ratings' deviations in the score; the covariance of the errors is what
        LLMs share (rank one) plus what is each rater's own, inverted by Sherman & Morrison.
        """
        pull = np.where(rated, self.discrimination / own, 0.0)
        drag = np.where(rated, self.shared / own, 0.0)
        drop = (drag * self.discrimination).sum(axis=1) / (1 + (drag * self.shared).sum(axis=1))
        weights = pull - drag * drop[:, None]
        precision = (weights * self.discrimination).sum(axis=1)
        scaled = np.divide(
            weights, precision[:, None], out=np.zeros_like(weights), where=precision[:, None] > 0
        )
        return scaled, precision


def fix_scale(draws: Draws, human: NDArray[np.bool_]) -> Scale:
    """Return the draws on a scale: humans anchor it if there are any, else all raters do.

    With humans, their mean discrimination is 1 and their mean severity 0. Without, the discriminations have
    geometric mean 1 and the severities sum 0, so the true score is in the units of the average rater.
    Severities are taken at the mean of the true score, where the ratings are: as intercepts at a true score
    of 0, off the scale, they would mostly tell the error of the discriminations.

    Parameters
    ----------
    draws
        Posterior of one construct.
    human
        (rater,) who is human.
    """
    anchored = bool(human.any())
    anchors = human if anchored else np.ones(len(human), dtype=bool)
    unit = draws.g[:, human].mean(axis=1) if anchored else np.exp(np.log(draws.g).mean(axis=1))
    mean = draws.mu[:, anchors].mean(axis=1)
    return Scale(
        severity=draws.mu - mean[:, None],
        discrimination=draws.g / unit[:, None],
        shared=draws.h,
        sigma=draws.sigma,
        mean=mean,
        variance=np.square(unit),
        w=draws.w,
        true_share=draws.true_share,
        error_share=draws.error_share,
    )


def kept_draws(scale: Scale) -> NDArray[np.int64]:
    """Return the places of at most 200 draws, evenly spaced: what summaries go through and files keep."""
    return np.unique(np.linspace(0, len(scale.w) - 1, _MOST_DRAWS).astype(np.int64))


def _geometric(values: Floats) -> Floats:
    return np.exp(np.log(values).mean(axis=0))
