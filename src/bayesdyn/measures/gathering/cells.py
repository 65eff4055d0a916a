"""Ratings as arrays over (exchange, construct, rater): values, replicate noise, token variance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.measures.gathering.sources import Source, source_of
from bayesdyn.measures.gathering.sums import Axes, Sums


@dataclass(frozen=True)
class Cells:
    """What the rater model sees of the ratings.

    Attributes
    ----------
    keys
        ``dyad``, ``session``, ``t``: one row per exchange, in the given order.
    constructs, raters
        Labels of the second and third axis.
    human
        (rater,) True where the rater is a human coder.
    value
        (exchange, construct, rater) mean over replicates in units of the scale, NaN where unrated.
    noise
        Same shape: variance of that mean by the sampling of replicates, the pooled variance within cells
        of that rater and construct over the number of replicates; 0 for a rater without replicates.
    replicates
        (construct, rater) mean number of replicates behind a value; NaN where nothing was rated.
    token
        Same shape as ``value``: variance of the rater's distribution over the scale points; NaN where it gave
        none.
    floor_share, ceiling_share
        (construct,) share of ratings whose nearest scale point is the lowest, the highest; NaN where the
        scale is not known.
    lowest, highest
        (construct,) the ends of its scale; NaN where not known.
    """

    keys: pd.DataFrame
    constructs: tuple[str, ...]
    raters: tuple[str, ...]
    human: NDArray[np.bool_]
    value: NDArray[np.float64]
    noise: NDArray[np.float64]
    replicates: NDArray[np.float64]
    token: NDArray[np.float64]
    floor_share: NDArray[np.float64]
    ceiling_share: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]


def gather_cells(table: pd.DataFrame, keys: pd.DataFrame) -> Cells:
    """Return checked ratings as arrays.

    Parameters
    ----------
    table
        Ratings after :func:`~bayesdyn.tables.check_ratings`, all raters; unrated rows have no value.
    keys
        The exchanges, one row each; every key of ``table`` is among them.
    """
    return reduce_cells([source_of(table)], keys, FaultList())


def reduce_cells(sources: Sequence[Source], keys: pd.DataFrame, faults: FaultList) -> Cells:
    """Return the ratings of several sources as arrays, each read once and reduced piece by piece.

    Parameters
    ----------
    sources
        No rater is in two of them. The order of their rows does not matter but for rounding.
    keys
        The exchanges, one row each. Ratings of others are passed over.
    faults
        Gathers what is wrong with the pieces of a file; the cells are then of no use.
    """
    axes = Axes(
        keys,
        tuple(sorted({name for source in sources for name in source.constructs})),
        tuple(sorted({name for source in sources for name in source.raters})),
    )
    sums = Sums(axes)
    for source in sources:
        for rows in source.rows(axes, faults):
            sums.add(rows)
    rated = [r for r, human in enumerate(sums.human) if human is not None]
    order = np.array(sorted(rated, key=lambda r: (sums.human[r], axes.raters[r])), dtype=np.intp)

    def arranged[T: np.generic](values: NDArray[T]) -> NDArray[T]:
        return values if np.array_equal(order, np.arange(values.shape[2])) else values[:, :, order]

    count, tokens = arranged(sums.count), arranged(sums.token_count)
    known = np.where(sums.known > 0, sums.known, np.nan)
    return Cells(
        keys=keys,
        constructs=axes.constructs,
        raters=tuple(axes.raters[r] for r in order),
        human=np.array([sums.human[r] for r in order], dtype=bool),
        value=np.where(count > 0, arranged(sums.mean), np.nan),
        noise=_replicate_noise(arranged(sums.within), count),
        replicates=_mean_count(count),
        token=np.divide(arranged(sums.token), tokens, out=np.full(tokens.shape, np.nan), where=tokens > 0),
        floor_share=sums.floor / known,
        ceiling_share=sums.ceiling / known,
        lowest=sums.lowest,
        highest=sums.highest,
    )


def _replicate_noise(within: NDArray[np.float64], count: NDArray[np.int32]) -> NDArray[np.float64]:
    degrees = np.maximum(count - 1, 0).sum(axis=0)
    pooled = np.divide(within.sum(axis=0), degrees, out=np.zeros(degrees.shape), where=degrees > 0)
    return np.where(count > 0, pooled / np.maximum(count, 1), 0.0)


def _mean_count(count: NDArray[np.int32]) -> NDArray[np.float64]:
    rated = (count > 0).sum(axis=0).astype(np.float64)
    return np.divide(count.sum(axis=0), rated, out=np.full(rated.shape, np.nan), where=rated > 0)
