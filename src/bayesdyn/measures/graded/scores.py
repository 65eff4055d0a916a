"""From draws of the ordinal rater model to the likelihood summary of each exchange."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.measures.graded.answers import Answers
from bayesdyn.measures.graded.density import Form, Graded, by_exchange, smoothed
from bayesdyn.measures.graded.sampler import GradedDraws
from bayesdyn.measures.rater.sampler import Draws
from bayesdyn.measures.rater.scale import Scale, kept_draws
from bayesdyn.measures.rater.summaries import spread_of_lines

type Floats = NDArray[np.float64]

_MOST_EXCHANGES = 1000
_CHUNK = 20_000
_LARGEST = 1 - 1e-6


@dataclass(frozen=True)
class GradedScores:
    """What the answers say of the true score, in units of its SD around its mean.

    Attributes
    ----------
    score, se
        (exchange,) likelihood summary, NaN where nobody answered.
    kappa_sd
        Posterior SD of the log error variance, averaged over exchanges.
    reliability
        (draw,) 1 - mean posterior variance of the true score.
    location_sd
        (exchange,) posterior SD of where the scale stands at what is the most likely there, in the units of
        the scale: the shift and stretch of posterior means over draws.
    """

    score: Floats
    se: Floats
    kappa_sd: float
    reliability: Floats
    location_sd: Floats


def linear(draws: GradedDraws, answers: Answers) -> Draws:
    """Return draws in the words of the Gaussian model: each rater's answers as a line on the true score.

    A rater's cuts lie halfway between scale points; the weighted line of those on the cuts gives the raw
    value that the rater's answers have where the true score is 0 (``mu``), and per unit of it. A scale with
    a floor is so continued below it. Weights are the density of answers at the cuts, posterior means: a cut
    that hardly any answer is near tells nothing.
    """
    halves = answers.points[:-1] + 0.5
    total = np.sqrt(1 + np.square(draws.own) + np.square(_blur(draws, answers)))
    weight = np.exp(-0.5 * np.square(draws.cut / total[..., None])).mean(axis=0)
    weight /= weight.sum(axis=-1, keepdims=True)
    cut_mean = (weight * draws.cut).sum(axis=-1)
    half_mean = weight @ halves
    away = draws.cut - cut_mean[..., None]
    unit = (weight * away * (halves - half_mean[:, None])).sum(axis=-1) / (weight * np.square(away)).sum(
        axis=-1
    )
    return Draws(
        mu=half_mean - unit * cut_mean,
        g=unit, h=np.zeros_like(unit), sigma=unit * draws.own, w=np.zeros(len(unit)), s=draws.s,
        true_share=draws.true_share, error_share=np.tile([1.0, 0.0, 0.0], (len(unit), 1)),
        rhat=draws.rhat, ess=draws.ess, divergences=draws.divergences,
    )  # fmt: skip


def with_shared(draws: Draws, llm: NDArray[np.bool_]) -> Draws:
    """Return draws whose loading on what LLMs have in common is split into true score and shared error."""
    s = draws.s[:, None] * llm
    return replace(draws, g=draws.g * np.sqrt(1 - s), h=draws.g * np.sqrt(s))


def noise_of(draws: GradedDraws, found: Draws, answers: Answers) -> Floats:
    """Return each rater's replicate noise in an average rating, raw units squared, shape (rater,)."""
    blur = np.square(_blur(draws, answers) * found.g).mean(axis=0)
    number = [
        rows.sum(axis=1)[answers.pattern[answers.pattern[:, r] > 0, r]].mean()
        for r, rows in enumerate(answers.counts)
    ]
    return blur / np.array(number)


def _blur(draws: GradedDraws, answers: Answers) -> Floats:
    return np.where(answers.repeated, draws.blur, 0.0)


def score_answers(draws: GradedDraws, scale: Scale, answers: Answers, form: Form) -> GradedScores:
    """Return what each exchange's answers say of its true score.

    The likelihood of an exchange's true score is taken under an independent normal prior with the true
    score's own mean and variance, and that prior is divided out of the posterior's mean and variance: finite
    where every rater is at the floor, and no prior twice in a fit. It is log-concave, so the posterior's
    variance is below the prior's. ``se`` and ``kappa_sd`` are of the posterior of its log error variance, as
    :func:`bayesdyn.measures.rater.summaries.summarise` takes them. Reliability is the marginal one of item
    response theory, 1 - mean posterior variance (Green et al. 1984, J. Educ. Meas. 21, 347).

    Parameters
    ----------
    draws
        Posterior of the rater parameters.
    scale
        The same on a scale: its kept draws are gone through.
    answers
        All exchanges' answers.
    form
        As in the sampler.
    """
    with jax.enable_x64(True):
        return _score(draws, scale, answers, form)


def _score(draws: GradedDraws, scale: Scale, answers: Answers, form: Form) -> GradedScores:
    patterns, place = np.unique(answers.pattern, axis=0, return_inverse=True)
    place = place.reshape(-1)
    answered = (patterns > 0).any(axis=1)
    counts = jnp.asarray(answers.padded())
    mean, variance = _moments(counts, patterns, _point(draws, None), form)
    some = np.unique(np.linspace(0, len(place) - 1, _MOST_EXCHANGES).astype(np.int64))
    some, often = np.unique(place[some][answered[place[some]]], return_counts=True)
    share = often / often.sum()
    middle = scale.at(None)
    raw = middle.mean + np.sqrt(middle.variance) * mean
    logs, left, moved = [], [], []
    for d in kept_draws(scale):
        drawn, own = _moments(counts, patterns[some], _point(draws, int(d)), form)
        logs.append(np.log(_error_variance(own)))
        left.append(share @ own)
        at = scale.at(int(d))
        moved.append(at.mean + np.sqrt(at.variance) * drawn - raw[some])
    level = np.array(logs)
    log_variance = np.log(_error_variance(variance))
    log_variance += share @ (level.mean(axis=0) - log_variance[some])
    error = np.where(answered, _error_variance(variance), np.nan)
    score = error * mean / variance
    return GradedScores(
        score=score[place],
        se=np.where(answered, np.exp(log_variance / 2), np.nan)[place],
        kappa_sd=float((level @ share).std(ddof=1)),
        reliability=1 - np.array(left),
        location_sd=np.where(answered, spread_of_lines(raw[some], np.array(moved), raw), np.nan)[place],
    )


def _point(draws: GradedDraws, draw: int | None) -> Graded:
    """Return one draw, or, at None, the posterior means."""

    def at(values: Floats) -> jax.Array:
        return jnp.asarray(values.mean(axis=0) if draw is None else values[draw])

    return Graded(at(draws.cut), at(draws.own), at(draws.blur), at(draws.s), at(draws.true_share))


def _error_variance(variance: Floats) -> Floats:
    return 1 / (1 / np.minimum(variance, _LARGEST) - 1)


def _moments(counts: jax.Array, patterns: NDArray[np.int64], at: Graded, form: Form) -> tuple[Floats, Floats]:
    """Return posterior mean and variance of the true score under N(0, 1), shape (pattern,) each."""
    found = []
    for start in range(0, len(patterns), _CHUNK):
        part = patterns[start : start + _CHUNK]
        padded = np.zeros((1 << max(6, (len(part) - 1).bit_length()), part.shape[1]), dtype=np.int64)
        padded[: len(part)] = part
        mean, variance = _posterior(counts, jnp.asarray(padded), at, form)
        found.append((np.asarray(mean)[: len(part)], np.asarray(variance)[: len(part)]))
    mean, variance = zip(*found, strict=True)
    return np.concatenate(mean), np.concatenate(variance)


@partial(jax.jit, static_argnames=("form",))
def _posterior(counts: jax.Array, pattern: jax.Array, at: Graded, form: Form) -> tuple[jax.Array, jax.Array]:
    x = form.grid
    away = by_exchange(counts, pattern, at, form)
    if not form.mixed and any(form.llm):
        # LLMs alone: what they have in common holds the error that they share, as far as its prior says.
        away = smoothed(away, jnp.sqrt(1 - at.s) * x, at.s, x)
    weight = jax.nn.softmax(away - 0.5 * jnp.square(x), axis=1)
    mean = weight @ x
    return mean, weight @ jnp.square(x) - jnp.square(mean)
