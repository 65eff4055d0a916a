"""Chance-corrected agreement on the points of a scale: kappas, and Krippendorff's alpha.

The categories are always all points of the scale. Software that takes the labels that happen to occur, in
the order in which they sort, gives another quadratic weight as soon as one point is never used.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesdyn.measures.agreeing.coefficient import Coefficient, Estimates, Family, Floats, ratio

KAPPA, QUADRATIC = "kappa", "kappa quadratic"
FLEISS = "kappa Fleiss"
ALPHAS = ("alpha nominal", "alpha ordinal", "alpha interval")

type Points = NDArray[np.int64]


def points_of(values: Floats, scale_min: float, scale_max: float) -> Points:
    """Return the number of the scale point nearest to each value, from 0 (halves go up); -1 where unrated."""
    nearest = np.floor(np.clip(values, scale_min, scale_max) - scale_min + 0.5)
    return np.where(np.isfinite(values), nearest, -1).astype(np.int64)


def kappas(points: Points, size: int, ci_prob: float = 0.95) -> tuple[list[Coefficient], Family]:
    """Return Cohen's kappa and the quadratic weighted kappa of two raters.

    Parameters
    ----------
    points
        Scale points as numbers from 0, shape (item, 2), none missing.
    size
        How many points the scale has.
    ci_prob
        Probability of the intervals, by the asymptotic standard error of Fleiss, Cohen & Everitt (1969,
        Psychological Bulletin 72, 323), and symmetric.

    Returns
    -------
    list of Coefficient, Family
        For the whole, and for the bootstrap. NaN where chance alone would agree always.
    """
    cells = np.zeros((len(points), size * size))
    cells[np.arange(len(points)), points[:, 0] * size + points[:, 1]] = 1.0
    weights = {KAPPA: np.eye(size), QUADRATIC: _quadratic(size)}

    def estimates(sums: Floats) -> Estimates:
        table = sums.reshape(*sums.shape[:-1], size, size)
        return {name: _kappa(table, weight) for name, weight in weights.items()}

    family = Family(cells, estimates)
    table = cells.sum(axis=0).reshape(size, size)
    half = float(stats.norm.ppf((1 + ci_prob) / 2))
    found = []
    for name, value in family.whole().items():
        away = half * _kappa_se(table, weights[name], value)
        found.append(Coefficient(name, value, value - away, value + away))
    return found, family


def fleiss(points: Points, size: int) -> Family:
    """Return Fleiss' kappa (1971, Psychological Bulletin 76, 378) of k raters; it has no interval of its own.

    Parameters
    ----------
    points
        Scale points as numbers from 0, shape (item, k), none missing.
    size
        How many points the scale has.
    """
    k = points.shape[1]
    counts = _counts(points, size)
    agreeing = (np.square(counts).sum(axis=1) - k) / (k * (k - 1))

    def estimates(sums: Floats) -> Estimates:
        n = sums[..., 0]
        observed = sums[..., 1] / n
        chance = np.square(sums[..., 2:] / (k * n[..., None])).sum(axis=-1)
        return {FLEISS: ratio(observed - chance, 1 - chance, 1e-12)}

    return Family(np.column_stack([np.ones(len(points)), agreeing, counts]), estimates)


def alphas(values: Floats, points: Points, size: int) -> Family:
    """Return Krippendorff's alpha for nominal, ordinal and interval scales; ratings may be missing.

    Parameters
    ----------
    values
        Shape (item, rater), NaN where unrated. The interval alpha takes them as they are.
    points
        The same as scale points, -1 where unrated: for the nominal and the ordinal alpha.
    size
        How many points the scale has.

    Notes
    -----
    Krippendorff, Content Analysis (4th ed., 2018), chapter 12: alpha = 1 - observed / expected disagreement,
    over the coincidences within items. Items with one rating say nothing and are left out. There is no
    interval in closed form: use the bootstrap.
    """
    rated = np.isfinite(values)
    m = rated.sum(axis=1)
    pairable = m >= 2
    counts = _counts(points, size) * pairable[:, None]
    less = np.maximum(m - 1, 1)
    coincidences = counts[:, :, None] * counts[:, None, :]
    coincidences[:, np.arange(size), np.arange(size)] -= counts
    coincidences /= less[:, None, None]
    x = np.where(rated & pairable[:, None], values - np.nanmean(values), 0.0)
    total, squares = x.sum(axis=1), np.square(x).sum(axis=1)
    apart = 2 * (m * squares - np.square(total)) / less * pairable
    parts = [m * pairable, total, squares, apart, coincidences.reshape(len(values), -1)]

    def estimates(sums: Floats) -> Estimates:
        n, total, squares, apart = (sums[..., number] for number in range(4))
        table = sums[..., 4:].reshape(*sums.shape[:-1], size, size)
        margin = table.sum(axis=-1)
        # Coincidences and expected disagreement of the interval alpha need no table: values may be fractions.
        expected = 2 * (n * squares - np.square(total)) / np.maximum(n - 1, 1)
        found = {
            name: _alpha(table, margin, distance)
            for name, distance in zip(ALPHAS[:2], (_nominal(margin), _ordinal(margin)), strict=True)
        }
        return {**found, ALPHAS[2]: 1 - ratio(apart, expected, 1e-12)}

    return Family(np.column_stack(parts), estimates)


def _kappa(table: Floats, weight: Floats) -> Floats:
    n = table.sum(axis=(-1, -2))
    share = table / np.maximum(n, 1)[..., None, None]
    observed = (weight * share).sum(axis=(-1, -2))
    chance = np.einsum("...i,...j,ij->...", share.sum(axis=-1), share.sum(axis=-2), weight)
    return ratio(observed - chance, 1 - chance, 1e-12)


def _kappa_se(table: Floats, weight: Floats, kappa: float) -> float:
    n = table.sum()
    share = table / n
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    mean = (weight @ columns)[:, None] + (weight.T @ rows)[None, :]
    chance = float(rows @ weight @ columns)
    spread = float((share * np.square(weight - mean * (1 - kappa))).sum())
    within = spread - (kappa - chance * (1 - kappa)) ** 2
    return float(np.sqrt(max(within, 0.0) / n) / (1 - chance)) if chance < 1 else float("nan")


def _alpha(table: Floats, margin: Floats, distance: Floats) -> Floats:
    n = margin.sum(axis=-1)
    observed = (table * distance).sum(axis=(-1, -2))
    chance = np.einsum("...i,...j,...ij->...", margin, margin, distance) / np.maximum(n - 1, 1)
    return 1 - ratio(observed, chance, 1e-12)


def _nominal(margin: Floats) -> Floats:
    size = margin.shape[-1]
    return np.broadcast_to(1 - np.eye(size), (*margin.shape, size))


def _ordinal(margin: Floats) -> Floats:
    """Return Krippendorff's ordinal distances: ratings between two points, half the ends, squared."""
    middle = np.cumsum(margin, axis=-1) - margin / 2
    return np.square(middle[..., :, None] - middle[..., None, :])


def _quadratic(size: int) -> Floats:
    apart = np.subtract.outer(np.arange(size), np.arange(size)) / max(size - 1, 1)
    return 1 - np.square(apart)


def _counts(points: Points, size: int) -> Floats:
    counts = np.zeros((len(points), size))
    for column in points.T:
        rated = column >= 0
        counts[np.flatnonzero(rated), column[rated]] += 1
    return counts
