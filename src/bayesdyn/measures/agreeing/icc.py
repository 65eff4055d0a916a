"""Intraclass correlations of a complete table of items by raters, by the two-way analysis of variance.

The six forms of Shrout & Fleiss (1979, Psychological Bulletin 86, 420) under the names of McGraw & Wong
(1996, Psychological Methods 1, 30): one-way, two-way absolute agreement and two-way consistency, each for a
single rater and for the mean of k raters. Degrees of freedom of the agreement interval are Satterthwaite's.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesdyn.measures.agreeing.coefficient import Coefficient, Estimates, Family, Floats, ratio

FORMS = ("ICC(1)", "ICC(A,1)", "ICC(C,1)", "ICC(1,k)", "ICC(A,k)", "ICC(C,k)")
"""McGraw & Wong's names, in the order of Shrout & Fleiss's ICC1, ICC2, ICC3, ICC1k, ICC2k, ICC3k."""

SHROUT_FLEISS: dict[str, str] = dict(
    zip(FORMS, ("ICC1", "ICC2", "ICC3", "ICC1k", "ICC2k", "ICC3k"), strict=True)
)
"""Shrout & Fleiss's name for each; theirs count raters as fixed or random, which changes no number."""

_TINY = 1e-12


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of items (rows), raters (columns), residual and within; ``n`` items, ``k`` raters."""

    n: int
    k: int
    rows: float
    columns: float
    residual: float
    within: float


def mean_squares(values: NDArray[np.float64]) -> MeanSquares:
    """Return the mean squares of a complete table, shape (item, rater), at least 2 x 2."""
    n, k = values.shape
    centred = values - values.mean()
    rows = k * float(np.square(centred.mean(axis=1)).sum())
    columns = n * float(np.square(centred.mean(axis=0)).sum())
    within = float(np.square(values - values.mean(axis=1, keepdims=True)).sum())
    residual = float(
        np.square(centred - centred.mean(axis=1, keepdims=True) - centred.mean(axis=0, keepdims=True)).sum()
    )
    return MeanSquares(
        n=n,
        k=k,
        rows=rows / (n - 1),
        columns=columns / (k - 1),
        residual=residual / ((n - 1) * (k - 1)),
        within=within / (n * (k - 1)),
    )


def family_of(values: Floats) -> Family:
    """Return the six coefficients as functions of sums over items, for the bootstrap.

    Parameters
    ----------
    values
        Shape (item, rater), no missing values.
    """
    k = values.shape[1]
    x = values - values.mean()
    sums = [np.ones(len(x)), np.square(x.mean(axis=1)), np.square(x).sum(axis=1), *x.T]

    def estimates(total: Floats) -> Estimates:
        n, means, squares = total[..., 0], total[..., 1], total[..., 2]
        columns = total[..., 3:]
        middle = n * k * np.square(columns.sum(axis=-1) / (n * k))
        between = k * means - middle
        across = np.square(columns).sum(axis=-1) / n - middle
        least = np.maximum(n - 1, 1)
        within = np.maximum(squares - k * means, 0.0)
        residual = np.maximum(squares - middle - between - across, 0.0) / (least * (k - 1))
        rows, cols = between / least, across / (k - 1)
        singles = (
            ratio(rows - within / (n * (k - 1)), rows + within / n, _TINY),
            ratio(rows - residual, rows + (k - 1) * residual + k * (cols - residual) / n, _TINY),
            ratio(rows - residual, rows + (k - 1) * residual, _TINY),
        )
        averages = (_stepped_up(one, k) for one in singles)
        return dict(zip(FORMS, (*singles, *averages), strict=True))

    return Family(np.column_stack(sums), estimates)


def intraclass(values: NDArray[np.float64], ci_prob: float = 0.95) -> list[Coefficient]:
    """Return the six intraclass correlations of a complete table.

    Parameters
    ----------
    values
        Shape (item, rater), no missing values, at least 2 items and 2 raters.
    ci_prob
        Probability of the equal-tailed confidence intervals.

    Returns
    -------
    list of Coefficient
        In the order of :data:`FORMS`. All NaN where the table has no residual or no total variance, since
        F is then 0/0 or infinite.
    """
    ms = mean_squares(values)
    tiny = 1e-12 * max(float(np.square(values).max()), 1e-300)
    if ms.within <= tiny or ms.residual <= tiny:
        return [Coefficient(name, float("nan")) for name in FORMS]
    one_way, agreement, consistency = (
        _one_way(ms, ci_prob),
        _agreement(ms, ci_prob),
        _consistency(ms, ci_prob),
    )
    singles = [one_way, agreement, consistency]
    averages = [
        replace(
            c,
            statistic=name,
            estimate=_stepped_up(c.estimate, ms.k),
            lower=_stepped_up(c.lower, ms.k),
            upper=_stepped_up(c.upper, ms.k),
        )
        for name, c in zip(FORMS[3:], singles, strict=True)
    ]
    return [*singles, *averages]


def _one_way(ms: MeanSquares, ci_prob: float) -> Coefficient:
    n, k, F = ms.n, ms.k, ms.rows / ms.within
    df1, df2 = n - 1, n * (k - 1)
    low, high = _f_bounds(F, df1, df2, ci_prob)
    return Coefficient("ICC(1)", _from_f(F, k), _from_f(low, k), _from_f(high, k), F, df1, df2,
                       float(stats.f.sf(F, df1, df2)))  # fmt: skip


def _consistency(ms: MeanSquares, ci_prob: float) -> Coefficient:
    n, k, F = ms.n, ms.k, ms.rows / ms.residual
    df1, df2 = n - 1, (n - 1) * (k - 1)
    low, high = _f_bounds(F, df1, df2, ci_prob)
    return Coefficient("ICC(C,1)", _from_f(F, k), _from_f(low, k), _from_f(high, k), F, df1, df2,
                       float(stats.f.sf(F, df1, df2)))  # fmt: skip


def _agreement(ms: MeanSquares, ci_prob: float) -> Coefficient:
    n, k = ms.n, ms.k
    icc = (ms.rows - ms.residual) / (ms.rows + (k - 1) * ms.residual + k * (ms.columns - ms.residual) / n)
    ratio = ms.columns / ms.residual
    spread = n * (1 + (k - 1) * icc) - k * icc
    df = (
        (k - 1) * (n - 1) * (k * icc * ratio + spread) ** 2
        / ((n - 1) * (k * icc * ratio) ** 2 + spread**2)
    )  # fmt: skip
    tail = (1 + ci_prob) / 2
    up, down = float(stats.f.ppf(tail, n - 1, df)), float(stats.f.ppf(tail, df, n - 1))
    base = k * ms.columns + (k * n - k - n) * ms.residual
    lower = n * (ms.rows - up * ms.residual) / (up * base + n * ms.rows)
    upper = n * (down * ms.rows - ms.residual) / (base + n * down * ms.rows)
    F = ms.rows / ms.residual
    df1, df2 = n - 1, (n - 1) * (k - 1)
    return Coefficient("ICC(A,1)", icc, lower, upper, F, df1, df2, float(stats.f.sf(F, df1, df2)))


def _f_bounds(F: float, df1: float, df2: float, ci_prob: float) -> tuple[float, float]:
    tail = (1 + ci_prob) / 2
    return F / float(stats.f.ppf(tail, df1, df2)), F * float(stats.f.ppf(tail, df2, df1))


def _from_f(F: float, k: int) -> float:
    return (F - 1) / (F + k - 1)


def _stepped_up[T: (float, Floats)](icc: T, k: float) -> T:
    """Spearman-Brown: the coefficient of the mean of k raters."""
    return icc * k / (1 + icc * (k - 1))
