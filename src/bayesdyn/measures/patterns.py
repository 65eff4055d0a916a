"""Sufficient statistics of the Gaussian rater model: one row per pattern of who rated, with what noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Patterns:
    """Exchanges of one construct that share raters, relative token variance and replicate noise.

    Within a pattern the covariance of the ratings is the same, so its count, mean and cross-products are
    all that the likelihood needs. Unrated raters have 0 throughout and ``mask`` 0.

    Attributes
    ----------
    count
        (pattern,) number of exchanges; 0 in padding.
    mean
        (pattern, rater) mean rating.
    cross
        (pattern, rater, rater) sum of products of deviations from that mean.
    mask
        (pattern, rater) 1 where the rater rated.
    q
        (pattern, rater) relative token variance, mean 1.
    noise
        (pattern, rater) variance of the mean of the replicates by their sampling.
    """

    count: NDArray[np.float64]
    mean: NDArray[np.float64]
    cross: NDArray[np.float64]
    mask: NDArray[np.float64]
    q: NDArray[np.float64]
    noise: NDArray[np.float64]


def find_patterns(value: NDArray[np.float64], q: NDArray[np.float64], noise: NDArray[np.float64]) -> Patterns:
    """Return the patterns of one construct.

    Parameters
    ----------
    value
        (exchange, rater) ratings, NaN where unrated.
    q, noise
        Same shape: relative token variance, replicate noise variance.
    """
    rated = np.isfinite(value)
    kept = rated.any(axis=1)
    mask = rated[kept].astype(np.float64)
    y = np.where(rated, value, 0.0)[kept]
    described = np.hstack([mask, np.where(rated, q, 0.0)[kept], np.where(rated, noise, 0.0)[kept]])
    rows, label = np.unique(described, axis=0, return_inverse=True)
    label = label.reshape(-1)
    raters = value.shape[1]
    count = np.bincount(label, minlength=len(rows)).astype(np.float64)
    total = np.zeros((len(rows), raters))
    np.add.at(total, label, y)
    mean = total / count[:, None]
    deviation = (y - mean[label]) * mask
    cross = np.zeros((len(rows), raters, raters))
    np.add.at(cross, label, deviation[:, :, None] * deviation[:, None, :])
    return Patterns(
        count=count,
        mean=mean,
        cross=cross,
        mask=rows[:, :raters],
        q=rows[:, raters : 2 * raters],
        noise=rows[:, 2 * raters :],
    )


def pad(patterns: Patterns, size: int, raters: int) -> Patterns:
    """Return the patterns padded with empty rows and absent raters, so that constructs stack."""
    more, others = size - len(patterns.count), raters - patterns.mask.shape[1]
    return Patterns(
        count=np.pad(patterns.count, (0, more)),
        mean=np.pad(patterns.mean, ((0, more), (0, others))),
        cross=np.pad(patterns.cross, ((0, more), (0, others), (0, others))),
        mask=np.pad(patterns.mask, ((0, more), (0, others))),
        q=np.pad(patterns.q, ((0, more), (0, others))),
        noise=np.pad(patterns.noise, ((0, more), (0, others))),
    )
