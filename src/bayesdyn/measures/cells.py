"""Ratings as arrays over (exchange, construct, rater): values, replicate noise, token variance."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesdyn.tables import KEY


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


def gather_cells(table: pd.DataFrame, keys: pd.DataFrame) -> Cells:
    """Return checked ratings as arrays.

    Parameters
    ----------
    table
        Ratings after :func:`~bayesdyn.tables.check_ratings`, all raters; unrated rows have no value.
    keys
        The exchanges, one row each; every key of ``table`` is among them.
    """
    constructs = tuple(sorted(map(str, table["construct"].unique())))
    rated = table[table["value"].notna()]
    kinds = rated.groupby("rater")["rater_kind"].first()
    raters = tuple(sorted(map(str, kinds.index), key=lambda name: (kinds[name] == "human", name)))
    shape = (len(keys), len(constructs), len(raters))
    place = keys[KEY].assign(row=np.arange(len(keys)))
    rows = rated[KEY].merge(place, on=KEY, how="left")["row"].to_numpy(dtype=np.int64)
    columns = pd.Index(constructs).get_indexer(rated["construct"].astype(str))
    depth = pd.Index(raters).get_indexer(rated["rater"].astype(str))
    flat = (rows * shape[1] + columns) * shape[2] + depth
    size = int(np.prod(shape))

    def summed(where: NDArray[np.int64], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        return np.bincount(where, weights, minlength=size).astype(np.float64)

    values = rated["value"].to_numpy(dtype=np.float64)
    count = summed(flat)
    mean = np.divide(summed(flat, values), count, out=np.full(size, np.nan), where=count > 0)
    within = summed(flat, np.square(values - mean[flat]))
    variance = token_variance(rated)
    known: NDArray[np.int64] = np.flatnonzero(np.isfinite(variance))
    parts = summed(flat[known])
    token = np.divide(summed(flat[known], variance[known]), parts, out=np.full(size, np.nan), where=parts > 0)
    at_floor, at_ceiling = _shares(rated, columns, len(constructs))
    return Cells(
        keys=keys,
        constructs=constructs,
        raters=raters,
        human=np.array([kinds[name] == "human" for name in raters], dtype=bool),
        value=mean.reshape(shape),
        noise=_replicate_noise(within.reshape(shape), count.reshape(shape)),
        replicates=_mean_count(count.reshape(shape)),
        token=token.reshape(shape),
        floor_share=at_floor,
        ceiling_share=at_ceiling,
    )


def token_variance(rated: pd.DataFrame) -> NDArray[np.float64]:
    """Return the variance of each row's distribution over its scale points; NaN where it has none."""
    found = np.full(len(rated), np.nan)
    given = rated["probabilities"].notna().to_numpy()
    if not given.any():
        return found
    part = rated[given]
    lowest = part["scale_min"].to_numpy(dtype=np.float64)
    lengths = part["probabilities"].map(len).to_numpy()
    result = np.empty(len(part))
    for length in np.unique(lengths):
        chosen = lengths == length
        p = np.stack([np.asarray(row, dtype=np.float64) for row in part["probabilities"].to_numpy()[chosen]])
        points = lowest[chosen, None] + np.arange(length)
        mean = (p * points).sum(axis=1, keepdims=True)
        result[chosen] = (p * np.square(points - mean)).sum(axis=1)
    found[given] = result
    return found


def _replicate_noise(within: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    degrees = np.maximum(count - 1, 0).sum(axis=0)
    pooled = np.divide(within.sum(axis=0), degrees, out=np.zeros(degrees.shape), where=degrees > 0)
    return np.where(count > 0, pooled / np.maximum(count, 1), 0.0)


def _mean_count(count: NDArray[np.float64]) -> NDArray[np.float64]:
    rated = (count > 0).sum(axis=0).astype(np.float64)
    return np.divide(count.sum(axis=0), rated, out=np.full(rated.shape, np.nan), where=rated > 0)


def _shares(
    rated: pd.DataFrame, columns: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of ratings nearest to the lowest and to the highest scale point."""
    value = rated["value"].to_numpy()
    low, high = rated["scale_min"].to_numpy(), rated["scale_max"].to_numpy()
    known = np.isfinite(low) & np.isfinite(high)
    total = np.bincount(columns[known], minlength=size).astype(np.float64)
    total[total == 0] = np.nan
    floor = np.bincount(columns[known & (value < low + 0.5)], minlength=size) / total
    ceiling = np.bincount(columns[known & (value > high - 0.5)], minlength=size) / total
    return floor, ceiling
