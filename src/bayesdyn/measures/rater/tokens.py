"""Token variance as a covariate of the error variance: relative to what the expected score implies.

A distribution on a bounded scale is narrow at the ends and wide in the middle, whatever the rater knows.
Dividing by the mean token variance of ratings with about the same expected score leaves the part that says
"less, or more, sure than usual *here*". Without that step the error variance would follow the score, which
fakes moderation (Gaussian summaries with floors).
"""

import numpy as np
from numpy.typing import NDArray

BINS = 20
_FEWEST = 15
_CAP = 5.0
_LEAST = 0.1
_PATTERNS = 256


def relative_variance(value: NDArray[np.float64], token: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return token variance relative to that of like expected scores: mean 1, between 0 and about 5.

    Parameters
    ----------
    value
        Expected scores of one rater and construct, shape (exchange,), NaN where unrated.
    token
        Variance of the token distributions, same shape, NaN where there is none.

    Returns
    -------
    numpy.ndarray
        Same shape. 1 where there is no distribution, so that such a rating has the average error variance.
        Ratings are sorted by value into at most 20 bins of at least 15, each divided by its own line of
        token variance on value; the mean within each bin is 1 before values above 5 are set to 5 (one odd
        distribution must not rule the estimate) and the whole is divided by its mean.
    """
    q = np.ones(len(value))
    known = np.flatnonzero(np.isfinite(value) & np.isfinite(token))
    if len(known) < 2 * _FEWEST:
        return q
    order = known[np.argsort(value[known], kind="stable")]
    for part in np.array_split(order, min(BINS, len(order) // _FEWEST)):
        ratio = _ratio(value[part], token[part])
        if ratio is not None:
            q[part] = np.minimum(ratio, _CAP)
    q[known] /= q[known].mean()
    return q


def _ratio(value: NDArray[np.float64], token: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return token variance over its line on value within one bin, with mean 1; None where it is all 0."""
    level = token.mean()
    if level <= 1e-12:
        return None
    away = value - value.mean()
    spread = float(np.square(away).sum())
    slope = float((away * token).sum()) / spread if spread > 0 else 0.0
    ratio = token / np.maximum(level + slope * away, _LEAST * level)
    return ratio / ratio.mean()


def binned(q: NDArray[np.float64], raters: int) -> NDArray[np.float64]:
    """Return ``q`` with each value replaced by the mean of its quantile bin.

    Few distinct values keep the number of distinct rows, and so the cost of the likelihood, bounded as
    exchanges grow: 20 bins with one rater, 16 with two, 6 with three, so that complete rows have 256 patterns
    at most. The error variance is linear in q, so bins cost precision of its weight w, and nothing else.

    Parameters
    ----------
    q
        Shape (exchange,), no NaN.
    raters
        Number of raters with token variance.
    """
    bins = int(np.clip(np.floor(_PATTERNS ** (1 / max(raters, 1))), 2, BINS))
    if len(np.unique(q)) <= bins:
        return q
    coarse = np.empty_like(q)
    for part in np.array_split(np.argsort(q, kind="stable"), bins):
        coarse[part] = q[part].mean()
    return coarse
