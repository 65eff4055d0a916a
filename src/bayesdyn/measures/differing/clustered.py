"""Slopes on a covariate with standard errors that hold where the rows of a cluster are alike.

Regression by weighted least squares on a constant and one covariate, with the variance estimate CR2 of Bell &
McCaffrey (2002, Survey Methodology 28, 169) and their Satterthwaite degrees of freedom, which Imbens &
Kolesár (2016, Review of Economics and Statistics 98, 701) and Pustejovsky & Tipton (2018, Journal of Business
& Economic Statistics 36, 672) recommend for few clusters. The working model is equal, independent errors.

All is computed from sums by cluster and 2 by 2 matrices. With ``X = (1, x)``, ``X'X = (L L')^-1`` and ``S_g =
L' X_g' X_g L``, the adjustment ``(I - H_gg)^(-1/2)`` of the cluster's residuals enters only as ``X_g' (I -
H_gg)^(-1/2) e_g``, which is ``L'^-1 (I - S_g)^(-1/2) L' X_g' e_g``: no matrix has the size of a cluster.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

FEWEST_ROWS, FEWEST_CLUSTERS = 30, 5
_LEVERAGE = 1 - 1e-8


@dataclass(frozen=True)
class Slopes:
    """Slopes on several covariates, each on its own; NaN where no standard error would hold.

    Attributes
    ----------
    slope
        (covariate,) of the outcome, per unit of the covariate.
    variance
        (covariate,) CR2, of the slope.
    df
        (covariate,) Satterthwaite's.
    parts
        (covariate, part) slopes of further outcomes, without errors.
    """

    slope: Floats
    variance: Floats
    df: Floats
    parts: Floats


def clustered_slopes(
    y: Floats, x: Floats, weight: Floats, cluster: NDArray[np.int64], parts: Floats
) -> Slopes:
    """Return the slopes of ``y`` on each column of ``x``.

    They are NaN below 30 rows or 5 clusters, where the covariate is constant, and where the slope rests on
    one cluster alone (a level that one cluster only has), which then tells nothing of how clusters vary.

    Parameters
    ----------
    y
        (row,) no NaN, near 0 for numerical reasons.
    x
        (row, covariate) near 0 and of size 1, NaN where missing: such rows are left out.
    weight
        (row,) above 0.
    cluster
        (row,) labels; rows of one cluster stand together.
    parts
        (row, part) further outcomes.
    """
    known = np.isfinite(x)
    w = known * weight[:, None]
    total = w.sum(axis=0)
    centred = np.where(known, x, 0.0)
    centred -= np.divide((w * centred).sum(axis=0), total, out=np.zeros(len(total)), where=total > 0)
    pull = w * centred
    spread = (pull * centred).sum(axis=0)
    starts = np.flatnonzero(np.append(True, cluster[1:] != cluster[:-1]))

    def summed(values: Floats) -> Floats:
        return np.add.reduceat(values, starts, axis=0)

    of_w = summed(w)
    usable = (known.sum(axis=0) >= FEWEST_ROWS) & ((of_w > 0).sum(axis=0) >= FEWEST_CLUSTERS) & (spread > 0)
    total, spread = np.where(usable, total, 1.0), np.where(usable, spread, 1.0)
    y = y[:, None] - (w * y[:, None]).sum(axis=0) / total
    slope = (pull * y).sum(axis=0) / spread
    of_pull, of_spread = summed(pull), summed(pull * centred)
    told = np.stack(
        [
            (summed(w * y) - slope * of_pull) / np.sqrt(total),
            (summed(pull * y) - slope * of_spread) / np.sqrt(spread),
        ],
        axis=-1,
    )
    s = np.empty((*of_w.shape, 2, 2))
    s[..., 0, 0], s[..., 1, 1] = of_w / total, of_spread / spread
    s[..., 0, 1] = s[..., 1, 0] = of_pull / np.sqrt(total * spread)
    own, basis = np.linalg.eigh(s)
    usable &= own.max(axis=(0, 2)) < _LEVERAGE
    own = np.where(usable[None, :, None], own, 0.0)
    adjust = (basis / np.sqrt(1 - own)[..., None, :]) @ np.swapaxes(basis, -1, -2)
    variance = np.square((adjust @ told[..., None])[..., 1, 0]).sum(axis=0) / spread
    df = np.array([_degrees(s[:, j], adjust[:, j]) if usable[j] else np.nan for j in range(len(usable))])
    nan = np.where(usable, 0.0, np.nan)
    return Slopes(slope + nan, variance + nan, df, (pull.T @ parts) / spread[:, None] + nan[:, None])


def _degrees(s: Floats, adjust: Floats) -> float:
    """Return Satterthwaite's degrees of freedom: (trace)^2 / sum of squares of ``diag(d) - q q'``.

    That matrix is the covariance of the clusters' adjusted scores under the working model; its diagonal
    ``d`` and ``q`` (cluster, 2) are, with c the slope's unit vector, ``c' A S A c`` and ``A S c``.
    """
    q = (adjust @ s)[:, :, 1]
    d = np.einsum("gi,gij->gj", q, adjust)[:, 1]
    size = np.square(q).sum(axis=1)
    squares = np.square(d).sum() - 2 * (d @ size) + np.square(q.T @ q).sum()
    return float((d - size).sum() ** 2 / squares)
