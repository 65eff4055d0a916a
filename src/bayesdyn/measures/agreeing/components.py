"""Intraclass correlations where not every rater rated every item: variance components by REML.

    y_ij = mu + a_i + b_j + e_ij,    a ~ N(0, s_a^2),  b ~ N(0, s_b^2),  e ~ N(0, s_e^2)

for the items i that rater j rated. The items are integrated out in closed form and enter through sums over
those with the same number of ratings, so one evaluation costs the same whatever their number; the raters
are a dense system of their own (Woodbury). Where every rater rated every item this is the analysis of
variance, if that gives no negative component (Searle, Casella & McCulloch 1992, Variance Components, 4.7).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, stats

from bayesdyn.measures.agreeing.coefficient import NAN, Coefficient, Floats

_LOWEST, _HIGHEST = -14.0, 14.0
_STEP = 1e-3


@dataclass(frozen=True)
class Components:
    """Variances of items, raters and residual, in squared units of the scale; ``k`` mean ratings an item."""

    items: float
    raters: float
    residual: float
    k: float


@dataclass(frozen=True)
class _Sums:
    """Sums over the items with m ratings: enough for the likelihood."""

    m: int
    items: int
    squares: float
    totals: float
    total_squares: float
    by_rater: Floats
    counts: Floats
    together: Floats
    totals_by_rater: Floats


def incomplete_icc(values: Floats, ci_prob: float = 0.95) -> list[Coefficient]:
    """Return ICC(1), ICC(A,1), ICC(C,1) and their k-rater forms of an incomplete table.

    Parameters
    ----------
    values
        Shape (item, rater), NaN where unrated. Items with one rating count too: they tell of variance.
    ci_prob
        Probability of the intervals: Wald on Fisher's z of the coefficient, from the curvature of the
        restricted likelihood, stepped up for k raters; NaN where a component is estimated as zero, since the
        curvature says nothing there.

    Returns
    -------
    list of Coefficient
        Named as the complete ones, with `` REML`` behind. k is the harmonic mean of the items' numbers of
        ratings. All NaN where no item has two ratings, or raters never differ.
    """
    rated = np.isfinite(values)
    m = rated.sum(axis=1)
    names = ("ICC(1)", "ICC(A,1)", "ICC(C,1)")
    if (m >= 2).sum() < 2 or np.nanstd(values) == 0:
        return [Coefficient(f"{name} REML", NAN) for name in names]
    sums = _sums(values[m > 0] - np.nanmean(values))
    k = float(stats.hmean(m[m > 0]))
    one_way = _fit(sums, crossed=False)
    two_way = _fit(sums, crossed=True)
    found = [
        _coefficient(names[0], sums, one_way, lambda a, b: a / (a + 1), ci_prob),
        _coefficient(names[1], sums, two_way, lambda a, b: a / (a + b + 1), ci_prob),
        _coefficient(names[2], sums, two_way, lambda a, b: a / (a + 1), ci_prob),
    ]
    return [*found, *(_of_mean(one, k) for one in found)]


def components(values: Floats) -> Components:
    """Return the REML variance components of a table, shape (item, rater), NaN where unrated.

    Raises
    ------
    ValueError
        If no item has two ratings.
    """
    rated = np.isfinite(values)
    m = rated.sum(axis=1)
    if (m >= 2).sum() < 2:
        raise ValueError("no two items have two ratings")
    sums = _sums(values[m > 0] - np.nanmean(values))
    at = _fit(sums, crossed=True)
    residual = _profile(sums, at)[1]
    items, raters = np.exp(at)
    return Components(items * residual, raters * residual, residual, float(stats.hmean(m[m > 0])))


def _sums(values: Floats) -> list[_Sums]:
    rated = np.isfinite(values)
    z, y = rated.astype(np.float64), np.where(rated, values, 0.0)
    m = rated.sum(axis=1)
    found = []
    for size in np.unique(m):
        here = m == size
        zs, ys = z[here], y[here]
        total = ys.sum(axis=1)
        found.append(
            _Sums(
                m=int(size), items=int(here.sum()), squares=float(np.square(ys).sum()),
                totals=float(total.sum()), total_squares=float(total @ total), by_rater=ys.sum(axis=0),
                counts=zs.sum(axis=0), together=zs.T @ zs, totals_by_rater=zs.T @ total,
            )
        )  # fmt: skip
    return found


def _fit(sums: list[_Sums], *, crossed: bool) -> Floats:
    """Return the logs of item and rater over residual variance; -inf for raters where not crossed."""

    def loss(at: Floats) -> float:
        return _profile(sums, at if crossed else np.array([at[0], -np.inf]))[0]

    bounds = [(_LOWEST, _HIGHEST)] * (2 if crossed else 1)
    starts = ([0.0, -2.0], [-3.0, 0.0]) if crossed else ([0.0], [-3.0])
    every = [optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    best = min(every, key=lambda one: one.fun)
    # The last digits: a gradient by differences stops a little early.
    best = optimize.minimize(loss, best.x, method="Nelder-Mead", bounds=bounds,
                             options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 400})  # fmt: skip
    return np.array(best.x) if crossed else np.array([best.x[0], -np.inf])


def _profile(sums: list[_Sums], at: Floats) -> tuple[float, float]:
    """Return minus the restricted log likelihood, the residual variance maximised out, and that variance.

    V = s_e^2 (W^-1 + b Z Z'), W block diagonal with blocks I - c J, c = a / (1 + a m), for items of m.
    """
    a, b = np.exp(at)
    n = sum(one.items * one.m for one in sums)
    k = len(sums[0].counts)
    log_det = sum(one.items * np.log1p(a * one.m) for one in sums)
    zz, zy, z1 = np.zeros((k, k)), np.zeros(k), np.zeros(k)
    yy = y1 = ones = 0.0
    for one in sums:
        c = a / (1 + a * one.m)
        zz += np.diag(one.counts) - c * one.together
        zy += one.by_rater - c * one.totals_by_rater
        z1 += (1 - c * one.m) * one.counts
        yy += one.squares - c * one.total_squares
        y1 += (1 - c * one.m) * one.totals
        ones += (1 - c * one.m) * one.items * one.m
    if b > 0:
        factor = linalg.cho_factor(np.eye(k) / b + zz)
        log_det += 2 * float(np.log(np.diag(factor[0])).sum()) + k * np.log(b)
        solved = linalg.cho_solve(factor, np.column_stack([zy, z1]))
        yy -= zy @ solved[:, 0]
        y1 -= z1 @ solved[:, 0]
        ones -= z1 @ solved[:, 1]
    rest = yy - y1 * y1 / ones
    variance = rest / (n - 1)
    return 0.5 * (log_det + np.log(ones) + (n - 1) * np.log(max(variance, 1e-300))), float(variance)


def _coefficient(
    name: str, sums: list[_Sums], at: Floats, icc: Callable[[float, float], float], ci_prob: float
) -> Coefficient:
    estimate = float(icc(*np.exp(at)))
    free = [place for place in range(2) if np.isfinite(at[place])]
    if any(at[place] < _LOWEST + 1 for place in free):
        return Coefficient(f"{name} REML", estimate)

    def loss(away: Floats) -> float:
        moved = at.copy()
        moved[free] += away
        return _profile(sums, moved)[0]

    size = len(free)
    steps = _STEP * np.eye(size)
    hessian = np.array(
        [
            [(loss(p + q) - loss(p - q) - loss(q - p) + loss(-p - q)) / (4 * _STEP**2) for q in steps]
            for p in steps
        ]
    )

    def z(away: Floats) -> float:
        moved = at.copy()
        moved[free] += away
        return float(np.arctanh(icc(*np.exp(moved))))

    slope = np.array([(z(p) - z(-p)) / (2 * _STEP) for p in steps])
    variance = float(slope @ np.linalg.solve(hessian, slope)) if np.linalg.cond(hessian) < 1e12 else NAN
    half = float(stats.norm.ppf((1 + ci_prob) / 2)) * np.sqrt(variance) if variance > 0 else NAN
    middle = float(np.arctanh(estimate))
    return Coefficient(f"{name} REML", estimate, float(np.tanh(middle - half)), float(np.tanh(middle + half)))


def _of_mean(one: Coefficient, k: float) -> Coefficient:
    name = one.statistic.replace(",1)", ",k)").replace("(1)", "(1,k)")
    up = [value * k / (1 + value * (k - 1)) for value in (one.estimate, one.lower, one.upper)]
    return Coefficient(name, *up)
