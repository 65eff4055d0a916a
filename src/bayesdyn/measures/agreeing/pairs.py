"""Two raters: Pearson's and Spearman's correlation, and Bland & Altman's bias and limits of agreement."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesdyn.measures.agreeing.coefficient import (
    NAN,
    Coefficient,
    Estimates,
    Family,
    Floats,
    percentiles,
    ratio,
)

PEARSON, SPEARMAN = "pearson", "spearman"
BIAS, LIMITS = "bias", ("limit lower", "limit upper")

_BINS = 40
_LIMIT = 1.959963984540054


def pearson(values: Floats, ci_prob: float = 0.95) -> tuple[Coefficient, Family]:
    """Return Pearson's r of two columns with Fisher's z interval; ``F`` is t squared, on (1, n - 2).

    Parameters
    ----------
    values
        Shape (item, 2), no missing values. NaN with fewer than 3 items or a constant column; the interval
        is NaN with fewer than 4.
    ci_prob
        Probability of the equal-tailed confidence interval.
    """
    x, y = (values - values.mean(axis=0)).T
    tiny = 1e-12 * max(float(np.square(values).max(initial=0.0)), 1e-300)
    parts = np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])

    def estimates(sums: Floats) -> Estimates:
        n, sx, sy, xx, yy, xy = (sums[..., number] for number in range(6))
        spread = np.maximum(xx - sx * sx / n, 0) * np.maximum(yy - sy * sy / n, 0)
        return {PEARSON: np.clip(ratio(xy - sx * sy / n, np.sqrt(spread), tiny), -1, 1)}

    family = Family(parts, estimates)
    r = family.whole()[PEARSON] if len(values) > 2 else NAN
    return _correlation(PEARSON, r, len(values), 1.0, ci_prob), family


def spearman(values: Floats, ci_prob: float = 0.95) -> Coefficient:
    """Return Spearman's rank correlation of two columns, ties at mean ranks.

    The interval is Fisher's z with the variance of Bonett & Wright (2000, Psychometrika 65, 23),
    (1 + r^2 / 2) / (n - 3). Parameters as :func:`pearson`.
    """
    n = len(values)
    r = NAN
    if n > 2 and np.ptp(values, axis=0).min() > 0:
        r = float(np.corrcoef(stats.rankdata(values, axis=0), rowvar=False).item(1))
    return _correlation(SPEARMAN, r, n, 1 + r * r / 2, ci_prob)


def bootstrap_spearman(
    values: Floats, cluster: NDArray[np.int64], weights: Floats, ci_prob: float
) -> tuple[float, float]:
    """Return the percentile interval of Spearman's r under a cluster bootstrap; ranks anew in each replicate.

    Parameters
    ----------
    values
        Shape (item, 2), no missing values.
    cluster, weights, ci_prob
        As in :func:`~bayesdyn.measures.agreeing.coefficient.bootstrap`.

    Notes
    -----
    Raters with more than 40 distinct values are cut into 40 bins of like size, so that the cost is that of a
    table and not of the items; the interval is then moved by what the cut changes in the estimate.
    """
    codes = [_levels(column) for column in values.T]
    size = int(max(column.max() for column in codes)) + 1
    tables = np.zeros((weights.shape[1], size * size))
    np.add.at(tables, (cluster, codes[0] * size + codes[1]), 1.0)
    drawn = _rank_correlation((weights @ tables).reshape(-1, size, size))
    cut = float(_rank_correlation(tables.sum(axis=0).reshape(1, size, size))[0])
    lower, upper = percentiles(drawn, ci_prob)
    moved = spearman(values).estimate - cut
    return lower + moved, upper + moved


def differences(values: Floats, ci_prob: float = 0.95) -> tuple[list[Coefficient], Family]:
    """Return the bias (first minus second rater) and the 95 % limits of agreement, in the scale's units.

    Parameters
    ----------
    values
        Shape (item, 2), no missing values, at least 2 items.
    ci_prob
        Probability of the intervals of bias and limits; the limits themselves hold 95 % of differences.

    Notes
    -----
    Bland & Altman (1999, Statistical Methods in Medical Research 8, 135): limits at bias +- 1.96 SD, their
    standard error sqrt(1 / n + 1.96^2 / (2 (n - 1))) SD, intervals by t on n - 1. ``F`` is t squared.
    """
    d = values[:, 0] - values[:, 1]
    n = len(d)

    def estimates(sums: Floats) -> Estimates:
        count, total, squares = (sums[..., number] for number in range(3))
        bias = total / count
        sd = np.sqrt(np.maximum(ratio(squares - count * bias**2, count - 1), 0))
        return {BIAS: bias, LIMITS[0]: bias - _LIMIT * sd, LIMITS[1]: bias + _LIMIT * sd}

    family = Family(np.column_stack([np.ones(n), d, d * d]), estimates)
    sd = float(d.std(ddof=1)) if n > 1 else NAN
    reach = float(stats.t.ppf((1 + ci_prob) / 2, n - 1)) * sd if n > 1 else NAN
    wide = {BIAS: np.sqrt(1 / n), **dict.fromkeys(LIMITS, np.sqrt(1 / n + _LIMIT**2 / (2 * max(n - 1, 1))))}
    found = []
    for name, value in family.whole().items():
        away = reach * float(wide[name])
        if name == BIAS and sd > 0:
            F = n * (value / sd) ** 2
            p = float(stats.f.sf(F, 1, n - 1))
            found.append(Coefficient(name, value, value - away, value + away, F, 1, n - 1, p))
        else:
            found.append(Coefficient(name, value, value - away, value + away))
    return found, family


def _correlation(name: str, r: float, n: int, factor: float, ci_prob: float) -> Coefficient:
    if np.isnan(r):
        return Coefficient(name, NAN)
    lower = upper = NAN
    if abs(r) < 1 and n > 3:
        half = float(stats.norm.ppf((1 + ci_prob) / 2)) * np.sqrt(factor / (n - 3))
        lower, upper = float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half))
    F = r**2 * (n - 2) / (1 - r**2) if abs(r) < 1 else float("inf")
    return Coefficient(name, r, lower, upper, F, 1, n - 2, float(stats.f.sf(F, 1, n - 2)))


def _levels(column: Floats) -> NDArray[np.int64]:
    """Return the number of each value's level: distinct values, or bins of like size where there are many."""
    levels, places = np.unique(column, return_inverse=True)
    if len(levels) <= _BINS:
        return places
    edges = np.quantile(column, np.linspace(0, 1, _BINS + 1)[1:-1])
    return np.unique(np.searchsorted(edges, column, side="right"), return_inverse=True)[1]


def _rank_correlation(tables: Floats) -> Floats:
    """Return Pearson's r of the mean ranks of tables of counts, shape (replicate, level, level)."""
    n = tables.sum(axis=(1, 2))
    ranks = []
    for axis in (2, 1):
        margin = tables.sum(axis=axis)
        # A level's mean rank less that of all, (n + 1) / 2.
        ranks.append(np.cumsum(margin, axis=1) - margin / 2 - n[:, None] / 2)
    x, y = ranks
    spread = (tables.sum(axis=2) * x * x).sum(axis=1) * (tables.sum(axis=1) * y * y).sum(axis=1)
    return ratio(np.einsum("bij,bi,bj->b", tables, x, y), np.sqrt(spread), 1e-12)
