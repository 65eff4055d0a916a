"""Ratings as counts of answers per scale point: what the ordinal rater model sees."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.tables import KEY

ANSWERS = 10
"""How many answers a distribution over the scale points counts for: it is read to the nearest tenth.

A distribution is what a very large number of answers would tell. Its small probabilities are the least sure
part of it (servers leave the rarest tokens out), and the rater's own error hides them: ten answers keep what
matters and few distinct rows.
"""

_FEWEST_POINTS = 3
_SHOWN = 5


@dataclass(frozen=True)
class Answers:
    """One construct's answers.

    Attributes
    ----------
    points
        (point,) the scale points.
    pattern
        (exchange, rater) row of ``counts`` that the rater's answers make; 0 where it gave none.
    counts
        Per rater (pattern, point) distinct rows of counts; the first is all 0.
    expected
        Per rater, whether its values are expectations over distributions.
    """

    points: NDArray[np.float64]
    pattern: NDArray[np.int64]
    counts: tuple[NDArray[np.float64], ...]
    expected: tuple[bool, ...]

    @property
    def repeated(self) -> tuple[bool, ...]:
        """Per rater, whether it gave several answers at some exchange: only those tell replicate noise."""
        return tuple(bool((rows.sum(axis=1) > 1).any()) for rows in self.counts)

    def padded(self) -> NDArray[np.float64]:
        """Return all raters' counts, rows padded to a power of two: constructs then share one program."""
        most = 1 << (max(len(rows) for rows in self.counts) - 1).bit_length()
        return np.stack([np.pad(rows, ((0, most - len(rows)), (0, 0))) for rows in self.counts])

    def shares(self) -> NDArray[np.float64]:
        """Return the share of each scale point in a rater's answers, every exchange alike: (rater, point)."""
        found = []
        for r, rows in enumerate(self.counts):
            times = np.bincount(self.pattern[:, r], minlength=len(rows)).astype(np.float64)
            times[0] = 0.0
            total = rows.sum(axis=1)
            found.append(times @ (rows / np.maximum(total, 1.0)[:, None]) / times.sum())
        return np.stack(found)


def gather_answers(
    table: pd.DataFrame, keys: pd.DataFrame, construct: str, raters: tuple[str, ...], faults: FaultList
) -> Answers | None:
    """Return a construct's answers; None, and faults, where they cannot be had.

    Parameters
    ----------
    table
        Checked ratings.
    keys
        The exchanges; every key of ``table`` is among them.
    construct, raters
        The construct, and who of its raters takes part, in order.
    faults
        Gathers: no scale known, scales that differ, fewer than three points, values between the points that
        come without a distribution.
    """
    chosen = table["value"].notna() & (table["construct"] == construct) & table["rater"].isin(raters)
    rows = table[chosen]
    points = _points(rows, construct, faults)
    if points is None:
        return None
    place = pd.MultiIndex.from_frame(keys[KEY]).get_indexer(pd.MultiIndex.from_frame(rows[KEY]))
    cell = place * len(raters) + pd.Index(raters).get_indexer(rows["rater"].astype(str))
    size = len(keys) * len(raters)
    shape = (size, len(points))
    given = rows["probabilities"].notna().to_numpy()
    value = rows["value"].to_numpy(dtype=np.float64)[~given]
    nearest = np.rint(value - points[0]).astype(np.int64)
    off = (nearest < 0) | (nearest >= len(points))
    if off.any():
        # The table's own check sees a row's own scale only, and a coder's rows may have none.
        who = ", ".join(sorted(set(rows.loc[~given, "rater"][off]))[:_SHOWN])
        faults.add(
            f"construct {construct}: {int(off.sum())} values of rater {who} are off the scale "
            f"{points[0]:g} to {points[-1]:g} that others give",
            "Bring all raters to one scale",
        )
        return None
    between = np.abs(value - points[0] - nearest) > 1e-6
    if between.any():
        who = ", ".join(sorted(set(rows.loc[~given, "rater"][between]))[:_SHOWN])
        faults.add(
            f"construct {construct}: {int(between.sum())} values of rater {who} lie between scale points, "
            "without a distribution over them",
            'Give the points that were chosen, or the probabilities, or use likelihood="gaussian"',
        )
        return None
    single = np.bincount(cell[~given] * len(points) + nearest, minlength=size * len(points)).reshape(shape)
    counts = single.astype(np.float64)
    if given.any():
        mass = np.stack([np.asarray(p, dtype=np.float64) for p in rows["probabilities"].to_numpy()[given]])
        total = np.column_stack([np.bincount(cell[given], mass[:, k], size) for k in range(len(points))])
        told = np.flatnonzero(total.sum(axis=1) > 0)
        # A distribution says all that single answers of the same rater at the same place could.
        counts[told] = to_answers(total[told] / total[told].sum(axis=1, keepdims=True))
    counts = counts.reshape(len(keys), len(raters), len(points))
    pattern, distinct = [], []
    for r in range(len(raters)):
        found, place_of = np.unique(
            np.vstack([np.zeros(len(points)), counts[:, r]]), axis=0, return_inverse=True
        )
        distinct.append(found)
        pattern.append(place_of.reshape(-1)[1:])
    expected = tuple(bool((rows["rater"][given] == name).any()) for name in raters)
    return Answers(points, np.column_stack(pattern), tuple(distinct), expected)


def to_answers(probabilities: NDArray[np.float64], number: int = ANSWERS) -> NDArray[np.float64]:
    """Return whole numbers of answers nearest to distributions, by largest remainder.

    Parameters
    ----------
    probabilities
        (row, point), rows sum to 1.
    number
        Answers of a row.
    """
    exact = number * probabilities
    whole = np.floor(exact + 1e-9)
    left = number - whole.sum(axis=1).astype(np.int64)
    order = np.argsort(-(exact - whole), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    return whole + (rank < left[:, None])


def _points(rows: pd.DataFrame, construct: str, faults: FaultList) -> NDArray[np.float64] | None:
    scales = rows[["scale_min", "scale_max"]].dropna().drop_duplicates()
    if scales.empty:
        faults.add(
            f"construct {construct}: its scale is not known, and an ordinal likelihood needs its points",
            'Give columns scale_min and scale_max, or use likelihood="gaussian"',
        )
        return None
    if len(scales) > 1:
        faults.add(
            f"construct {construct} was rated on {len(scales)} scales", "Bring all raters to one scale"
        )
        return None
    low, high = (float(value) for value in scales.iloc[0])
    number = high - low + 1
    if number < _FEWEST_POINTS or number != int(number):
        faults.add(
            f"construct {construct}: its scale from {low:g} to {high:g} has not three whole points or more",
            'Use likelihood="gaussian"',
        )
        return None
    return low + np.arange(int(number), dtype=np.float64)
