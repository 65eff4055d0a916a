"""Sufficient statistics of the Gaussian rater model: patterns of who rated with what noise, by session."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """What the likelihood needs of one construct's ratings.

    Within a *pattern* the raters, their relative token variance and their replicate noise are the same, so
    the covariance of the ratings within a session is too. Ratings are taken from ``centre``; unrated raters
    have 0 throughout and ``mask`` 0.

    Attributes
    ----------
    count
        (session, pattern) number of exchanges, weighted: it may be negative; 0 in padding.
    total
        (session, pattern, rater) sum of the ratings.
    cross
        (pattern, rater, rater) sum of products of the ratings.
    mask
        (pattern, rater) 1 where the rater rated.
    q
        (pattern, rater) relative token variance, mean 1.
    noise
        (pattern, rater) variance of the mean of the replicates by their sampling.
    member
        (dyad, session) 1 where the session is of the dyad.
    centre
        (rater,) a fixed value near each rater's mean.
    """

    count: Floats
    total: Floats
    cross: Floats
    mask: Floats
    q: Floats
    noise: Floats
    member: Floats
    centre: Floats

    @property
    def exchanges(self) -> float:
        """How many exchanges have a rating."""
        return float(self.count.sum())


def gather_statistics(
    value: Floats,
    q: Floats,
    noise: Floats,
    session: NDArray[np.int64],
    dyad: NDArray[np.int64],
    centre: Floats,
    weight: Floats | None = None,
    human: NDArray[np.bool_] | None = None,
) -> Statistics:
    """Return the statistics of one construct.

    An exchange of weight w counts with w times the log density of its humans' ratings given its LLMs':
    ``w log p(humans, LLMs) + (1 - w) log p(LLMs)``, so as w exchanges of its pattern and 1 - w of that
    pattern without humans. That may be a negative number of exchanges, and does no harm: the precision of
    all its ratings is that of the LLMs' (in the humans' rows and columns 0) plus a positive semidefinite
    matrix, that of the humans' given the LLMs', and it is only the latter that w, at least 0, multiplies.
    What an exchange tells of its session's level is thus positive semidefinite, and so is each sum over a
    session: roots and determinants stay real. The two rows have the same q and noise of the LLMs, which
    is needed for that.

    Parameters
    ----------
    value
        (exchange, rater) ratings, NaN where unrated.
    q, noise
        Same shape: relative token variance, replicate noise variance.
    session, dyad
        (exchange,) any numbers; a session number belongs to one dyad.
    centre
        (rater,) taken off the ratings.
    weight, human
        (exchange,) at least 0, of the humans' part; (rater,) who is human. None: every weight is 1.
    """
    times = np.ones(len(value))
    if weight is not None and human is not None:
        coded = np.flatnonzero(np.isfinite(value[:, human]).any(axis=1) & (weight != 1))
        times[coded] = weight[coded]
        without = np.where(human, np.nan, value[coded])
        value, times = np.vstack([value, without]), np.append(times, 1 - weight[coded])
        q, noise = np.vstack([q, q[coded]]), np.vstack([noise, noise[coded]])
        session, dyad = np.append(session, session[coded]), np.append(dyad, dyad[coded])
    rated = np.isfinite(value)
    kept = rated.any(axis=1)
    mask = rated[kept].astype(np.float64)
    y, times = np.where(rated, value - centre, 0.0)[kept], times[kept]
    weighted = times[:, None] * y
    described = np.hstack([mask, np.where(rated, q, 0.0)[kept], np.where(rated, noise, 0.0)[kept]])
    rows, pattern = np.unique(described, axis=0, return_inverse=True)
    pattern = pattern.reshape(-1)
    sessions, place = np.unique(session[kept], return_inverse=True)
    dyads, owner = np.unique(dyad[kept], return_inverse=True)
    raters = value.shape[1]
    cell = place * len(rows) + pattern
    size = len(sessions) * len(rows)
    count = np.bincount(cell, times, minlength=size)
    total = np.column_stack([np.bincount(cell, weighted[:, r], minlength=size) for r in range(raters)])
    order = np.argsort(pattern, kind="stable")
    ends = np.searchsorted(pattern[order], np.arange(len(rows) + 1))
    cross = np.stack([weighted[order[a:b]].T @ y[order[a:b]] for a, b in pairwise(ends)])
    member = np.zeros((len(dyads), len(sessions)))
    member[owner, place] = 1.0
    return Statistics(
        count=count.reshape(len(sessions), len(rows)),
        total=total.reshape(len(sessions), len(rows), raters),
        cross=cross,
        mask=rows[:, :raters],
        q=rows[:, raters : 2 * raters],
        noise=rows[:, 2 * raters :],
        member=member,
        centre=centre,
    )


def pad(found: Statistics, dyads: int, sessions: int, patterns: int, raters: int) -> Statistics:
    """Return statistics padded with empty dyads, sessions, patterns and raters, so that they stack."""
    d, s = (0, dyads - len(found.member)), (0, sessions - len(found.count))
    p, r = (0, patterns - len(found.mask)), (0, raters - found.mask.shape[1])
    return Statistics(
        count=np.pad(found.count, (s, p)),
        total=np.pad(found.total, (s, p, r)),
        cross=np.pad(found.cross, (p, r, r)),
        mask=np.pad(found.mask, (p, r)),
        q=np.pad(found.q, (p, r)),
        noise=np.pad(found.noise, (p, r)),
        member=np.pad(found.member, (d, s)),
        centre=np.pad(found.centre, r),
    )
