"""What every coefficient of agreement is told by, and how it is bootstrapped by clusters.

Almost every coefficient is a function of sums over items. The sums of each cluster are enough, so that a
bootstrap of whole clusters is one product of matrices, whatever the number of exchanges.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Estimates = Mapping[str, Floats]

NAN = float("nan")
FEWEST_CLUSTERS = 5
"""With fewer clusters a bootstrap of clusters says nothing."""

_UNDEFINED = 0.05


@dataclass(frozen=True)
class Coefficient:
    """One coefficient with its interval and, where there is one, the F test of zero agreement.

    ``estimate``, ``lower`` and ``upper`` have the coefficient's unit (none, but for the differences of
    Bland & Altman); ``df1`` and ``df2`` belong to ``F``. NaN: undefined, or not known in closed form.
    """

    statistic: str
    estimate: float
    lower: float = NAN
    upper: float = NAN
    F: float = NAN
    df1: float = NAN
    df2: float = NAN
    p: float = NAN


@dataclass(frozen=True)
class Family:
    """Coefficients that are functions of sums over items.

    Attributes
    ----------
    per_item
        What is summed, shape (item, part).
    estimates
        Takes sums of shape (..., part), returns each coefficient by its name, shape (...).
    """

    per_item: Floats
    estimates: Callable[[Floats], Estimates]

    def whole(self) -> dict[str, float]:
        """Return the estimates of all items together."""
        return {name: float(value) for name, value in self.estimates(self.per_item.sum(axis=0)).items()}


def cluster_weights(clusters: int, replicates: int, rng: np.random.Generator) -> Floats:
    """Return how often each cluster is drawn, with replacement, shape (replicate, cluster)."""
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates).astype(np.float64)


def bootstrap(
    family: Family, cluster: NDArray[np.int64], weights: Floats, ci_prob: float
) -> dict[str, tuple[float, float]]:
    """Return the equal-tailed percentile interval of each coefficient, clusters drawn with replacement.

    Parameters
    ----------
    family
        What is estimated.
    cluster
        Number of each item's cluster, shape (item,), from 0.
    weights
        From :func:`cluster_weights`.
    ci_prob
        Probability of the intervals.

    Returns
    -------
    dict
        (lower, upper) by name; NaN where more than 5 % of the replicates are undefined.
    """
    sums = np.zeros((weights.shape[1], family.per_item.shape[1]))
    np.add.at(sums, cluster, family.per_item)
    return {name: percentiles(values, ci_prob) for name, values in family.estimates(weights @ sums).items()}


def percentiles(values: Floats, ci_prob: float) -> tuple[float, float]:
    """Return the equal-tailed percentile interval of bootstrap estimates, shape (replicate,)."""
    known = values[np.isfinite(values)]
    if len(known) < (1 - _UNDEFINED) * len(values):
        return NAN, NAN
    lower, upper = np.quantile(known, [(1 - ci_prob) / 2, (1 + ci_prob) / 2])
    return float(lower), float(upper)


def ratio(top: Floats, bottom: Floats, tiny: Floats | float = 0.0) -> Floats:
    """Return top / bottom, NaN where the bottom is not above ``tiny``."""
    bottom = np.asarray(bottom, dtype=np.float64)
    return np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, np.nan), where=bottom > tiny)
