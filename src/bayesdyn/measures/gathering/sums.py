"""Ratings reduced to sums per cell, a piece of the table at a time: memory follows cells, not ratings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Places = NDArray[np.int64]


@dataclass(frozen=True)
class Axes:
    """What the cells stand on: exchanges, constructs, raters, in the order of the arrays' axes.

    ``keys`` has ``dyad``, ``session``, ``t``, one row per exchange.
    """

    keys: pd.DataFrame
    constructs: tuple[str, ...]
    raters: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(exchange, construct, rater)."""
        return len(self.keys), len(self.constructs), len(self.raters)


@dataclass(frozen=True)
class Rows:
    """Some rows of a checked table of ratings, all arrays of shape (row,).

    Attributes
    ----------
    exchange, construct, rater
        Places on the :class:`Axes`.
    human
        True where a human coder gave the rating.
    value
        In units of the scale, NaN where unrated.
    token
        Variance of the distribution over the scale points, NaN where there is none.
    low, high
        Ends of the scale, NaN where they are not known.
    """

    exchange: Places
    construct: Places
    rater: Places
    human: NDArray[np.bool_]
    value: Floats
    token: Floats
    low: Floats
    high: Floats

    def take(self, kept: NDArray[np.bool_]) -> "Rows":
        """Return the rows where ``kept`` is True."""
        return Rows(**{name: values[kept] for name, values in vars(self).items()})


class Sums:
    """Running sums of ratings, per cell (exchange, construct, rater) and per construct.

    Mean and sum of squared deviations of a cell's replicates are merged over pieces by the update of Chan,
    Golub & LeVeque (1983, The American Statistician 37, 242, eq. 2.1), which loses no digits where the mean
    is large against the spread. With one piece they are those of the textbook's two passes.

    A count that a likelihood needs (of answers per scale point, say) is one more array here, filled in
    :meth:`add` from the same rows.

    Attributes
    ----------
    count, mean, within
        (exchange, construct, rater) number of rated replicates, their mean (0 where none), and their sum of
        squared deviations from it.
    token_count, token
        Same shape: number and sum of token variances.
    known, floor, ceiling
        (construct,) number of ratings with a known scale; of them, those nearest to its lowest point, to its
        highest.
    lowest, highest
        (construct,) ends of its scale, NaN where not known.
    human
        (rater,) whether the rater's first rating is a human's; None before there is one.
    """

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.count, self.token_count = np.zeros(axes.shape, np.int32), np.zeros(axes.shape, np.int32)
        self.mean, self.within, self.token = (np.zeros(axes.shape) for _ in range(3))
        self.known, self.floor, self.ceiling = (
            np.zeros(len(axes.constructs), dtype=np.int64) for _ in range(3)
        )
        self.lowest, self.highest = (np.full(len(axes.constructs), np.nan) for _ in range(2))
        self.human: list[bool | None] = [None] * len(axes.raters)

    def add(self, rows: Rows) -> None:
        """Add rows; those without a value count for nothing."""
        rated = rows.take(np.isfinite(rows.value))
        if len(rated.value) == 0:
            return
        self._add_cells(rated)
        self._add_ends(rated)
        for r in [r for r, kind in enumerate(self.human) if kind is None]:
            first = int(np.argmax(rated.rater == r))
            if rated.rater[first] == r:
                self.human[r] = bool(rated.human[first])

    def _add_cells(self, rows: Rows) -> None:
        flat = np.ravel_multi_index((rows.exchange, rows.construct, rows.rater), self.axes.shape)
        # Rows mostly come session by session: only the stretch of cells that they touch is gone through.
        start = int(flat.min())
        place, size = flat - start, int(flat.max()) - start + 1

        def summed(weights: Floats) -> Floats:
            return np.bincount(place, weights, minlength=size)

        count = np.bincount(place, minlength=size)
        mean = np.divide(summed(rows.value), count, out=np.zeros(size), where=count > 0)
        within = summed(np.square(rows.value - mean[place]))
        so_far, old_mean, old_within, tokens, token = (
            array.reshape(-1)[start : start + size]
            for array in (self.count, self.mean, self.within, self.token_count, self.token)
        )
        both = so_far + count
        share = np.divide(count, both, out=np.zeros(size), where=both > 0)
        apart = mean - old_mean
        old_within += within + np.square(apart) * so_far * share
        old_mean += apart * share
        so_far += count.astype(np.int32)
        known = np.isfinite(rows.token)
        if known.any():
            place = place[known]
            tokens += np.bincount(place, minlength=size).astype(np.int32)
            token += np.bincount(place, rows.token[known], minlength=size)

    def _add_ends(self, rows: Rows) -> None:
        known = np.isfinite(rows.low) & np.isfinite(rows.high)
        for total, chosen in (
            (self.known, known),
            (self.floor, known & (rows.value < rows.low + 0.5)),
            (self.ceiling, known & (rows.value > rows.high - 0.5)),
        ):
            total += np.bincount(rows.construct[chosen], minlength=len(total))
        np.fmin.at(self.lowest, rows.construct, rows.low)
        np.fmax.at(self.highest, rows.construct, rows.high)


def token_variance(rated: pd.DataFrame) -> Floats:
    """Return the variance of each row's distribution over its scale points; NaN where it has none."""
    found = np.full(len(rated), np.nan)
    given = rated["probabilities"].notna().to_numpy()
    if given.any():
        part = rated[given]
        lists: Sequence[Sequence[float]] = part["probabilities"].tolist()
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        flat = np.concatenate([np.asarray(p, dtype=np.float64) for p in lists])
        found[given] = variances(flat, lengths, part["scale_min"].to_numpy(dtype=np.float64))
    return found


def variances(flat: Floats, lengths: Places, lowest: Floats) -> Floats:
    """Return the variances of distributions that lie end to end.

    Parameters
    ----------
    flat
        All probabilities.
    lengths, lowest
        (distribution,) number of its points, which are whole units apart, and the lowest of them.
    """
    found = np.empty(len(lengths))
    for chosen, p in by_length(flat, lengths):
        points = lowest[chosen, None] + np.arange(p.shape[1])
        mean = (p * points).sum(axis=1, keepdims=True)
        found[chosen] = (p * np.square(points - mean)).sum(axis=1)
    return found


def by_length(flat: Floats, lengths: Places) -> list[tuple[Places, Floats]]:
    """Return, for each length, the places of the lists that have it, and these lists as rows."""
    starts = np.cumsum(lengths) - lengths
    found = []
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        if len(chosen) == len(lengths):
            rows = flat.reshape(len(lengths), length)
        else:
            rows = flat[starts[chosen, None] + np.arange(length)]
        found.append((chosen, rows))
    return found
