"""Does the covariance of the raters contradict the rater model? A likelihood ratio, and its size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_FEWEST = 20
_LEVEL = 0.005
_SIZE = 0.05


@dataclass(frozen=True)
class Misfit:
    """The fitted covariance of the raters against the observed one, over exchanges that all rated.

    ``statistic`` is the likelihood ratio against an unrestricted covariance, on ``df`` degrees of freedom
    (at least 1: a saturated model still says that error variances are not negative); ``largest`` is the
    largest difference between observed and fitted covariance, each in units of the observed SDs.
    """

    statistic: float
    df: int
    p: float
    largest: float

    @property
    def contradicts(self) -> bool:
        """Whether the misfit is beyond chance (p < .005) and of a size that matters (over .05)."""
        return self.p < _LEVEL and self.largest > _SIZE


def misfit(
    value: NDArray[np.float64],
    fitted: NDArray[np.float64],
    parameters: int,
    weight: NDArray[np.float64] | None = None,
) -> Misfit | None:
    """Return how the model's covariance fits; None with one rater or fewer than 20 complete exchanges.

    Parameters
    ----------
    value
        (exchange, rater), NaN where unrated.
    fitted
        (rater, rater) the model's covariance at posterior means.
    parameters
        Free parameters of that covariance.
    weight
        (exchange,) of an exchange that all rated; None: all count alike. With weights the exchanges number
        their effective sample size.
    """
    whole = np.isfinite(value).all(axis=1)
    complete = value[whole]
    n, raters = complete.shape
    if raters < 2 or n < _FEWEST:
        return None
    observed = np.cov(complete.T, aweights=None if weight is None else weight[whole])
    if weight is not None:
        n = weight[whole].sum() ** 2 / np.square(weight[whole]).sum()
    sign, log_det = np.linalg.slogdet(observed)
    if sign <= 0:
        return None
    ratio = np.trace(np.linalg.solve(fitted, observed)) + np.linalg.slogdet(fitted)[1] - log_det - raters
    df = max(1, raters * (raters + 1) // 2 - parameters)
    sd = np.sqrt(np.diag(observed))
    largest = float(np.abs((observed - fitted) / np.outer(sd, sd)).max())
    statistic = float((n - 1) * ratio)
    return Misfit(statistic, df, float(stats.chi2.sf(statistic, df)), largest)
