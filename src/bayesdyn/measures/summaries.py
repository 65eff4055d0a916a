"""From draws of the rater model to the likelihood summary of each exchange, and the table of raters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesdyn.measures.rater_model import Draws

_MOST_DRAWS = 200


@dataclass(frozen=True)
class Scale:
    """Draws with the origin and unit of the true score fixed.

    Attributes
    ----------
    severity, discrimination, sigma
        (draw, rater) in units of the scale (discrimination: none).
    mean, variance
        (draw,) mean m and variance of the true score; a rating is ``m + severity_r + discrimination_r
        (theta - m) + error``, so severity is how much higher a rater rates an average exchange.
    w
        (draw,) share of the error variance that follows token variance.
    """

    severity: NDArray[np.float64]
    discrimination: NDArray[np.float64]
    sigma: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    w: NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """Likelihood summary of one construct, in units of the scale.

    Attributes
    ----------
    score, se
        (exchange,) location and standard error of what the ratings say; NaN where no rater rated.
    kappa_sd
        Posterior SD of the log error variance, averaged over exchanges.
    reliability
        (draw,) var(theta) / (var(theta) + mean squared se).
    severity, discrimination, error_sd
        (rater,) posterior mean; geometric mean of the others.
    """

    score: NDArray[np.float64]
    se: NDArray[np.float64]
    kappa_sd: float
    reliability: NDArray[np.float64]
    severity: NDArray[np.float64]
    discrimination: NDArray[np.float64]
    error_sd: NDArray[np.float64]


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
    discrimination = draws.g / unit[:, None]
    mean = draws.mu[:, anchors].mean(axis=1)
    return Scale(
        severity=draws.mu - mean[:, None],
        discrimination=discrimination,
        sigma=draws.sigma,
        mean=mean,
        variance=np.square(unit),
        w=draws.w,
    )


def summarise(
    scale: Scale,
    value: NDArray[np.float64],
    q: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> Summary:
    """Return score and standard error as a likelihood summary: no prior of theta is in it.

    The score is m + ``sum_r lambda_r (y_ir - m - severity_r) / v_ir`` over ``sum_r lambda_r^2 / v_ir``, v_ir
    the error variance of the rating, at posterior means (geometric where positive). The log error variance
    of an exchange has a posterior; ``se`` is exp of half its mean, and ``kappa_sd`` is its SD, so that the
    error SD is ``se exp(kappa / 2)`` with ``kappa ~ N(0, kappa_sd^2)``.

    Parameters
    ----------
    scale
        Draws on a fixed scale.
    value, q, noise
        (exchange, rater): ratings with NaN where unrated, relative token variance, replicate noise.
    """
    rated = np.isfinite(value)
    any_rated = rated.any(axis=1)
    severity = scale.severity.mean(axis=0)
    discrimination = np.exp(np.log(scale.discrimination).mean(axis=0))
    sigma = np.exp(np.log(scale.sigma).mean(axis=0))
    variance = np.square(sigma) * (1 + scale.w.mean() * (q - 1)) + noise
    weight = np.where(rated, discrimination / variance, 0.0)
    precision = (weight * discrimination).sum(axis=1)
    centre = scale.mean.mean()
    moved = (weight * np.where(rated, value - severity - centre, 0.0)).sum(axis=1)
    score = centre + np.divide(moved, precision, out=np.full(len(value), np.nan), where=any_rated)

    thin = np.unique(np.linspace(0, len(scale.w) - 1, _MOST_DRAWS).astype(int))
    log_variance = np.zeros(int(any_rated.sum()))
    level = np.empty(len(thin))
    reliability = np.empty(len(thin))
    for row, draw in enumerate(thin):
        own = _error_variance(scale, int(draw), rated[any_rated], q[any_rated], noise[any_rated])
        log_variance += np.log(own) / len(thin)
        level[row] = np.log(own).mean()
        reliability[row] = scale.variance[draw] / (scale.variance[draw] + own.mean())
    se = np.full(len(value), np.nan)
    se[any_rated] = np.exp(log_variance / 2)
    return Summary(
        score=score,
        se=se,
        kappa_sd=float(level.std(ddof=1)),
        reliability=reliability,
        severity=severity,
        discrimination=discrimination,
        error_sd=sigma,
    )


def _error_variance(
    scale: Scale,
    draw: int,
    rated: NDArray[np.bool_],
    q: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the variance of the score's error at each exchange for one draw, shape (exchange,)."""
    variance = np.square(scale.sigma[draw]) * (1 + scale.w[draw] * (q - 1)) + noise
    return 1 / np.where(rated, np.square(scale.discrimination[draw]) / variance, 0.0).sum(axis=1)
