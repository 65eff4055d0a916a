"""From draws of the rater model to the likelihood summary of each exchange, and the table of raters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesdyn.measures.rater.scale import Point, Scale, kept_draws

type Floats = NDArray[np.float64]

SOURCES = ("true score", "shared by LLMs", "dyad", "session", "exchange", "replicates")
"""What the variance of one rating is made of; the last four are the rater's own error."""

_MOST_EXCHANGES = 1000


@dataclass(frozen=True)
class Summary:
    """Likelihood summary of one construct, in units of the scale.

    Attributes
    ----------
    score, se
        (exchange,) location and standard error of what the ratings say; NaN where no rater rated.
    kappa_sd
        Posterior SD of the log error variance, averaged over exchanges.
    reliability
        (draw,) var(theta) / (var(theta) + mean squared se).
    level_reliability
        (draw, 3) reliability of exchanges within sessions, of sessions' means within dyads, of dyads' means;
        NaN where the level is not told apart.
    budget
        (source, rater) shares of the variance of one rating, posterior means, see :data:`SOURCES`.
    effective_raters
        (draw,) how many independent LLMs would tell as much as these do.
    parts
        (rater,) each rater's part of the score's own error, and last the shared part: a unit vector.
    error_levels
        (2,) variances of the score's error that sessions, and dyads, have in common, on average.
    location_sd
        (exchange,) posterior SD of where the scale stands at this score: raters' severities and
        discriminations are not known exactly. NaN where no rater rated.
    """

    score: Floats
    se: Floats
    kappa_sd: float
    reliability: Floats
    level_reliability: Floats
    budget: Floats
    effective_raters: Floats
    parts: Floats
    error_levels: Floats
    location_sd: Floats


def summarise(
    scale: Scale,
    value: Floats,
    q: Floats,
    noise: Floats,
    human: NDArray[np.bool_],
    exchanges: tuple[float, float],
) -> Summary:
    """Return score and standard error as a likelihood summary: no prior of theta is in it.

    The score is the generalised least squares estimate of the true score at posterior means of the rater
    parameters, all parts of the error counted. The log error variance of an exchange has a posterior; ``se``
    is exp of half its mean, and ``kappa_sd`` is its SD, so that the error SD is ``se exp(kappa / 2)`` with
    ``kappa ~ N(0, kappa_sd^2)``. The posterior is gone through at up to 1,000 exchanges of each set of
    raters, evenly spaced; of the others, the mean of their set is taken for how far it lies from the value at
    posterior means.

    How far a draw's scores lie from these is, within a set of raters, a line over the score: an error of the
    scale that all exchanges share, and no noise. It is told apart, as ``location_sd``.

    Parameters
    ----------
    scale
        Draws on a fixed scale.
    value, q, noise
        (exchange, rater): ratings with NaN where unrated, relative token variance, replicate noise.
    human
        (rater,) who is human.
    exchanges
        Harmonic mean of the exchanges in a session, and of the sessions in a dyad.
    """
    rated = np.isfinite(value)
    any_rated = rated.any(axis=1)
    middle = scale.at(None)
    own = middle.own_variance(q, noise)
    weights, precision = middle.weights(rated, own)
    away = np.where(rated, value - middle.severity - middle.mean, 0.0)
    score = np.where(any_rated, middle.mean + (weights * away).sum(axis=1), np.nan)
    log_variance = np.full(len(value), np.nan)
    log_variance[any_rated] = -np.log(precision[any_rated])

    thin = kept_draws(scale)
    sets, member = np.unique(rated, axis=0, return_inverse=True)
    member = member.reshape(-1)
    level, mean_variance = np.zeros(len(thin)), np.zeros(len(thin))
    location = np.full(len(value), np.nan)
    for number, raters in enumerate(sets):
        every = np.flatnonzero(member == number)
        if not raters.any():
            continue
        some = every[np.unique(np.linspace(0, len(every) - 1, _MOST_EXCHANGES).astype(int))]
        drawn = [_of_exchanges(scale.at(int(d)), value[some], q[some], noise[some]) for d in thin]
        logs = np.stack([one[1] for one in drawn])
        moved = np.stack([one[0] for one in drawn]) - score[some]
        location[every] = spread_of_lines(score[some], moved, score[every])
        log_variance[every] += (logs.mean(axis=0) - log_variance[some]).mean()
        share = len(every) / any_rated.sum()
        level += share * logs.mean(axis=1)
        mean_variance += share * np.exp(logs).mean(axis=1)

    return describe(
        scale, rated, q, noise, human, exchanges,
        score=score,
        se=np.exp(log_variance / 2),
        kappa_sd=float(level.std(ddof=1)),
        reliability=scale.variance[thin] / (scale.variance[thin] + mean_variance),
        location_sd=location,
    )  # fmt: skip


def describe(
    scale: Scale,
    rated: NDArray[np.bool_],
    q: Floats,
    noise: Floats,
    human: NDArray[np.bool_],
    exchanges: tuple[float, float],
    *,
    score: Floats,
    se: Floats,
    kappa_sd: float,
    reliability: Floats,
    location_sd: Floats,
) -> Summary:
    """Return a summary whose scores are given, with what the raters' errors are made of.

    Parameters
    ----------
    scale, q, noise, human, exchanges
        As in :func:`summarise`.
    rated
        (exchange, rater) who rated.
    score, se, kappa_sd, reliability, location_sd
        See :class:`Summary`.
    """
    any_rated = rated.any(axis=1)
    middle = scale.at(None)
    own = middle.own_variance(q, noise)
    weights, _ = middle.weights(rated, own)
    sets, member = np.unique(rated[any_rated], axis=0, return_inverse=True)
    usual = sets[np.bincount(member.reshape(-1)).argmax()]
    found = [
        _of_draw(scale.at(int(d)), usual, _mean_noise(noise, rated), human, exchanges)
        for d in kept_draws(scale)
    ]
    weights = weights[any_rated]
    shared = weights @ middle.shared
    parts = np.append(np.sqrt(np.square(weights) * own[any_rated]).mean(axis=0), shared.mean())
    raters_own = (np.square(weights) @ np.square(middle.sigma)).mean()
    levels = np.square(shared).mean() * middle.true_share + raters_own * middle.error_share
    return Summary(
        score=score,
        se=se,
        kappa_sd=kappa_sd,
        reliability=reliability,
        level_reliability=np.stack([one[0] for one in found]),
        budget=np.mean([one[1] for one in found], axis=0),
        effective_raters=np.array([one[2] for one in found]),
        parts=parts / np.linalg.norm(parts),
        error_levels=levels[1:],
        location_sd=location_sd,
    )


def _of_exchanges(at: Point, value: Floats, q: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Return scores and log error variances (exchange,) at one value of the rater parameters."""
    rated = np.isfinite(value)
    weights, precision = at.weights(rated, at.own_variance(q, noise))
    away = np.where(rated, value - at.severity - at.mean, 0.0)
    return at.mean + (weights * away).sum(axis=1), -np.log(precision)


def spread_of_lines(at: Floats, moved: Floats, wanted: Floats) -> Floats:
    """Return the SD over draws of lines through ``moved`` (draw, place) over ``at`` (place,)."""
    if np.ptp(at) == 0:
        return np.full(len(wanted), float(moved.mean(axis=1).std(ddof=1)))
    centre = at.mean()
    slope = moved @ (at - centre) / np.square(at - centre).sum()
    height = moved.mean(axis=1)
    (vh, both), (_, vs) = np.cov(height, slope)
    away = wanted - centre
    return np.sqrt(np.maximum(vh + 2 * both * away + vs * np.square(away), 0.0))


def _mean_noise(noise: Floats, rated: NDArray[np.bool_]) -> Floats:
    count = np.maximum(rated.sum(axis=0), 1)
    return np.where(rated, noise, 0.0).sum(axis=0) / count


def _of_draw(
    at: Point,
    raters: NDArray[np.bool_],
    noise: Floats,
    human: NDArray[np.bool_],
    exchanges: tuple[float, float],
) -> tuple[Floats, Floats, float]:
    """Return reliabilities by level, the error budget, and the effective number of LLMs, at average q."""
    own = np.square(at.sigma) + noise
    (weights,), _ = at.weights(raters[None, :], own[None, :])
    shared = float(weights @ at.shared) ** 2
    parts = at.true_share * shared + (np.square(weights) @ np.square(at.sigma)) * at.error_share
    parts[0] += np.square(weights) @ noise
    per_session, per_dyad = exchanges
    error = (
        parts[0],
        parts[1] + parts[0] / per_session,
        parts[2] + (parts[1] + parts[0] / per_session) / per_dyad,
    )
    levels = np.array(
        [
            share * at.variance / (share * at.variance + part) if share > 0 else np.nan
            for share, part in zip(at.true_share, error, strict=True)
        ]
    )
    if at.true_share[0] == 1:
        levels[:] = np.nan
    sigma = np.square(at.sigma)[:, None] * at.error_share[[2, 1, 0]]
    budget = np.column_stack(
        [np.square(at.discrimination) * at.variance, np.square(at.shared), sigma, noise]
    ).T
    llm = raters & ~human
    effective = float("nan")
    if llm.any():
        alone = np.square(at.discrimination) / (np.square(at.shared) + own)
        _, together = at.weights(llm[None, :], own[None, :])
        effective = float(together[0] / alone[llm].mean())
    return levels, budget / budget.sum(axis=0), effective
