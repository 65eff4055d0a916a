"""Correlation of errors across constructs (halo), from how raters differ at the same exchange."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

_FEWEST_DIFFERENCES = 50


@dataclass(frozen=True)
class Residuals:
    """Ratings of all constructs on the scale of the standardised true score.

    Attributes
    ----------
    value
        (exchange, construct, rater): (rating - mean) / loading, so that the true score has loading 1 and
        cancels from differences between raters; NaN where unrated.
    error_sd
        (construct, rater) SD of its own error on that scale; NaN where the rater has no part in the
        construct.
    shared_sd
        (construct,) SD of the error that LLMs share, on that scale.
    human
        (rater,) who is human.
    """

    value: NDArray[np.float64]
    error_sd: NDArray[np.float64]
    shared_sd: NDArray[np.float64]
    human: NDArray[np.bool_]

    def pairs(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the pairs of raters of one kind, and those of an LLM and a human."""
        every = list(combinations(range(len(self.human)), 2))
        alike = [pair for pair in every if self.human[pair[0]] == self.human[pair[1]]]
        return alike, [pair for pair in every if pair not in alike]


def error_correlation(residuals: Residuals) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Return the correlation of a rater's errors across constructs, taken as one for all raters.

    Two raters' difference at an exchange holds no true score and, if they are of one kind, nothing of the
    error that LLMs share. Across two constructs c, c' the differences of raters r, s have covariance
    ``R_cc' (s_rc s_rc' + s_sc s_sc')``, with s their error SDs, so

        R_cc' = sum over pairs and exchanges of d_c d_c' / sum of (s_rc s_rc' + s_sc s_sc').

    It is then shrunk to the identity, every off-diagonal by the same factor 1 - a, with Schaefer and
    Strimmer's intensity (2005, Statistical Applications in Genetics 4, 32): a = sum of the sampling variances
    of the entries over the sum of their squares, between 0 and 1, sampling variance (1 - R^2)^2 / (n - 1)
    with n the number of independent differences: exchanges times one less than the raters. Should the
    result not be positive definite (constructs rated at different exchanges), it is shrunk on until its
    smallest eigenvalue is 0.01.

    Returns
    -------
    correlation, exchanges, shrinkage
        (construct, construct); number of exchanges behind each entry, 0 where nothing identifies it (the
        entry is then 0); the factor a that was used.
    """
    _, size, raters = residuals.value.shape
    top, bottom = np.zeros((size, size)), np.zeros((size, size))
    seen = np.zeros((size, size), dtype=np.int64)
    pairs = np.zeros((size, size))
    taking_part = np.zeros((size, size, raters), dtype=bool)
    alike, unlike = residuals.pairs()
    for r, s in alike or unlike:
        products, n, own = _pair(residuals, r, s)
        top += products
        bottom += n * own
        seen = np.maximum(seen, n.astype(np.int64))
        pairs += n
        taking_part[:, :, [r, s]] |= (n > 0)[:, :, None]
    np.fill_diagonal(seen, 0)
    raw = np.divide(top, bottom, out=np.zeros_like(top), where=(bottom > 0) & (seen > 2))
    raw = np.clip(raw, -0.99, 0.99)
    known = seen > 2
    # k raters make k (k - 1) / 2 differences, of which k - 1 are independent.
    independent = 2 * pairs[known] / np.maximum(taking_part.sum(axis=-1)[known], 1)
    sampling = np.square(1 - np.square(raw[known])) / (independent - 1)
    total = float(np.square(raw[known]).sum())
    shrinkage = min(1.0, float(sampling.sum()) / total) if total > 0 else 1.0
    off = np.where(known, raw, 0.0) * (1 - shrinkage)
    lowest = float(np.linalg.eigvalsh(off).min())
    if lowest < -0.99:
        shrinkage = 1 - (1 - shrinkage) * 0.99 / -lowest
        off *= 0.99 / -lowest
    return off + np.eye(size), seen, shrinkage


def shared_correlation(residuals: Residuals, own: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the correlation across constructs of the error that LLMs share, from LLM-human differences.

    Such a difference holds the shared error too: its covariance across constructs is that of
    :func:`error_correlation` plus ``C_cc' w_c w_c'``, w the shared error's SDs, so C follows by moments. It
    is shrunk halfway to ``own``, and on until its smallest eigenvalue is 0.01: a moment of few differences.

    Parameters
    ----------
    residuals
        With at least two LLMs, and humans.
    own
        R of one rater's own errors.

    Returns
    -------
    correlation
        (construct, construct); None where no LLM and human rated two constructs of one exchange, or there is
        no shared error.
    """
    size = len(own)
    w = np.outer(residuals.shared_sd, residuals.shared_sd)
    if not (w > 0).all():
        return None
    top, count = np.zeros((size, size)), np.zeros((size, size))
    for r, s in residuals.pairs()[1]:
        products, n, ours = _pair(residuals, r, s)
        top += products - n * own * ours
        count += n
    if (count <= _FEWEST_DIFFERENCES).any():
        return None
    found = 0.5 * (np.clip(top / (count * w), -0.99, 0.99) + own)
    np.fill_diagonal(found, 1.0)
    lowest = float(np.linalg.eigvalsh(found).min())
    if lowest < 0.01:
        found = np.eye(size) + (found - np.eye(size)) * 0.99 / (1 - lowest)
    return found


def observed_share(
    value: NDArray[np.float64], error_sd: NDArray[np.float64], human: NDArray[np.bool_]
) -> float:
    """Return how large one construct's differences between raters are, of what the error SDs say.

    Parameters
    ----------
    value
        (exchange, rater) as in :class:`Residuals`.
    error_sd, human
        (rater,) of that construct.

    Returns
    -------
    float
        Root of the ratio of mean squares; 1 where no two raters of a kind rated one exchange.
    """
    residuals = Residuals(value[:, None], error_sd[None], np.zeros(1), human)
    top = bottom = 0.0
    for r, s in residuals.pairs()[0]:
        products, n, own = _pair(residuals, r, s)
        top, bottom = top + float(products[0, 0]), bottom + float((n * own)[0, 0])
    return float(np.sqrt(top / bottom)) if bottom > 0 else 1.0


def _pair(
    residuals: Residuals, r: int, s: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return sums of products of two raters' differences, their counts, and products of own error SDs."""
    difference = residuals.value[:, :, r] - residuals.value[:, :, s]
    both = np.isfinite(difference).astype(np.float64)
    d = np.where(both > 0, difference, 0.0)
    a, b = np.nan_to_num(residuals.error_sd[:, r]), np.nan_to_num(residuals.error_sd[:, s])
    return d.T @ d, both.T @ both, np.outer(a, a) + np.outer(b, b)


def of_scores(
    correlation: NDArray[np.float64], shared: NDArray[np.float64], parts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the error correlation of the scores, which combine raters with other weights per construct.

    Parameters
    ----------
    correlation, shared
        (construct, construct) R of one rater's own errors, and C of the error that LLMs share.
    parts
        (construct, rater + 1) each rater's part of the score's error SD, weight times error SD over se, and
        last the shared part: a unit vector per construct. Scores that lean on different raters share less
        error.
    """
    own, common = parts[:, :-1], parts[:, -1]
    found = correlation * (own @ own.T) + shared * np.outer(common, common)
    np.fill_diagonal(found, 1.0)
    return found
