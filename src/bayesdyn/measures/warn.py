"""What a statistician should know of fitted measures, as plain sentences for the notes."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bayesdyn.measures.dataset import Notes
from bayesdyn.measures.gathering.cells import Cells
from bayesdyn.measures.modelled import Modelled
from bayesdyn.measures.rater.contradictions import misfit
from bayesdyn.measures.rater.parts import FEWEST_OVERLAP, Assumed, Part

FLOOR = 0.30
"""Share of ratings at an end of the scale above which a Gaussian summary is not to be trusted."""

MISPREDICTED = 0.1
"""Difference of observed and predicted share at an end of the scale above which the model is warned of."""

TWINS = 0.9
"""Correlation of true scores above which two constructs count as one (Kline 2011, ch. 5, says .85 to .90)."""

_RHAT, _ESS = 1.02, 200.0
_FEWEST_TWINS = 30


def warn_of_ends(cells: Cells, modelled: Sequence[Modelled], notes: Notes) -> None:
    """Warn where ratings pile up at an end of the scale, and more of them than the rater model predicts."""
    for end, share in (("floor", cells.floor_share), ("ceiling", cells.ceiling_share)):
        for one, found in zip(modelled, share, strict=True):
            name, predicted = one.part.construct, getattr(one.ends, end)
            if not one.ordinal and (found > FLOOR or abs(found - predicted) > MISPREDICTED):
                notes.add(
                    f"Warning: {name}: {found:.0%} of the ratings are at the scale's {end}, where the "
                    f"Gaussian rater model predicts {predicted:.0%}. A Gaussian summary can then fake "
                    'moderation: use likelihood="ordinal" for it, and compare.'
                )
            elif one.ordinal and abs(found - predicted) > MISPREDICTED:
                notes.add(
                    f"Warning: {name}: {found:.0%} of the ratings are at the scale's {end}, where the "
                    f"ordinal rater model predicts {predicted:.0%}: it does not describe these ratings."
                )


def warn_of_twins(
    constructs: tuple[str, ...],
    score: NDArray[np.float64],
    se: NDArray[np.float64],
    corr: NDArray[np.float64],
    notes: Notes,
) -> None:
    """Say which constructs the raters hardly tell apart (discriminant validity).

    No warning: a model that holds one of the two only is not touched by it.

    Parameters
    ----------
    constructs
        Names, C of them.
    score, se, corr
        (N, C), (N, C) and the (C, C) correlation of errors: what is left of the covariance of scores without
        that of their errors is the covariance of true scores (Spearman 1904).
    """
    for a, b in combinations(range(len(constructs)), 2):
        both = np.isfinite(score[:, [a, b]]).all(axis=1)
        if both.sum() < _FEWEST_TWINS:
            continue
        x, y, se_x, se_y = score[both, a], score[both, b], se[both, a], se[both, b]
        shared = np.cov(x, y)[0, 1] - np.mean(se_x * se_y) * corr[a, b]
        variances = [np.var(v, ddof=1) - np.mean(e**2) for v, e in ((x, se_x), (y, se_y))]
        if min(variances) <= 0:
            continue
        true = shared / np.sqrt(variances[0] * variances[1])
        if abs(true) > TWINS:
            notes.add(
                f"{constructs[a]} and {constructs[b]}: without error their scores correlate "
                f"{np.clip(true, -1, 1):.2f}. The raters hardly tell them apart, and a model that holds both "
                "is weakly identified: fit fewer outcomes, or find raters that do."
            )


def warn_of_fit(one: Modelled, notes: Notes) -> None:
    """Warn where the sampler did not converge or the covariance of the raters contradicts the model."""
    part, draws = one.part, one.draws
    name = part.construct
    if draws.rhat > _RHAT or draws.ess < _ESS or draws.divergences:
        notes.add(
            f"Warning: {name}: the rater model was not sampled well (R-hat {draws.rhat:.3f}, effective draws "
            f"{draws.ess:.0f}, divergences {draws.divergences}): raise draws, or look at the ratings."
        )
    raters = len(part.raters)
    if one.ordinal:
        notes.add(
            f"{name}: ordinal rater model of the points of the scale. Its scores continue the scale below "
            "its floor and above its ceiling, and their standard errors grow there."
        )
    if raters < 2 or one.ordinal:
        return
    assumed = part.problem.discrimination
    g, h, error = draws.g.mean(axis=0), draws.h.mean(axis=0), np.square(draws.sigma).mean(axis=0)
    parameters = {"equal": 1 + raters, "proportional": 1 + raters, "free": 2 * raters}[assumed]
    parameters += part.problem.shared_prior is not None and bool(part.human.any())
    noise = np.nanmean(np.where(np.isfinite(part.value), part.noise, np.nan), axis=0)
    fitted = np.outer(g, g) + np.outer(h, h) + np.diag(error + noise)
    found = misfit(part.value, fitted, parameters, part.weight)
    if found is not None and found.contradicts:
        remedy = (
            'Their spreads differ more than equal discriminations allow: use discrimination="proportional".'
            if assumed == "equal"
            else "One true score does not explain how they agree: look at the ratings before the paths."
        )
        notes.add(
            f"Warning: {name}: the covariances of the raters contradict the rater model (likelihood ratio "
            f"{found.statistic:.1f} on {found.df}, largest misfit {found.largest:.2f} SD^2). {remedy}"
        )
    reliability = np.square(g) / (np.square(g) + error)
    if reliability.max() < 0.1:
        notes.add(
            f"Warning: {name}: the raters hardly agree (reliability of the best one {reliability.max():.2f})."
        )
    if assumed == "equal" and reliability.max() > 0.95 and reliability.min() < 0.7:
        notes.add(
            f"Warning: {name}: one rater comes out as nearly free of error, as its ratings spread least. "
            'Compare with discrimination="proportional".'
        )


def say_what_is_shared(parts: Sequence[Part], assumed: Assumed, notes: Notes) -> None:
    """Say what tells the error that LLMs have in common: humans, a prior, or nothing."""
    for part in parts:
        name, llms = part.construct, int((~part.human).sum())
        if part.identified == "coder" and part.problem.discrimination == "free":
            c, d = assumed.coder_prior
            notes.add(
                f"{name}: humans anchor the scale. No two of them rated the same {FEWEST_OVERLAP} exchanges: "
                f"a coder's reliability is an assumption, Beta({c:g}, {d:g}) with mean {c / (c + d):.2f}. "
                "The reliability of the LLMs, and the error that they share, lean on it."
            )
        elif part.identified in ("coder", "humans"):
            tell = llms > 1 and part.problem.shared_prior is not None and part.identified == "humans"
            notes.add(
                f"{name}: humans anchor the scale"
                + (" and tell how much of what the LLMs agree on is error." if tell else ".")
            )
        if llms < 2:
            continue
        if assumed.shared_prior is None:
            notes.add(
                "The LLMs are taken to share no error: what they agree on counts as true, so the "
                "reliabilities are upper bounds."
            )
        elif part.identified not in ("coder", "humans"):
            a, b = assumed.shared_prior
            notes.add(
                f"{name}: no humans tell how much of what the LLMs agree on is error. That share is an "
                f"assumption, Beta({a:g}, {b:g}) with mean {a / (a + b):.2f}, and no estimate. It widens the "
                "standard errors."
            )


def say_shared_halo(*, estimated: bool, notes: Notes) -> None:
    """Say where the correlation across constructs of the LLMs' shared error comes from."""
    told = "as the differences between LLMs and humans say."
    untold = "as a rater's own error does: only two coders or more of the same exchanges could tell."
    notes.add(f"The error that LLMs share correlates across constructs {told if estimated else untold}")


def say_halo(constructs: Sequence[str], seen: NDArray[np.int64], shrinkage: float, notes: Notes) -> None:
    """Say where the error correlation across constructs comes from."""
    if len(constructs) < 2:
        return
    alone = [name for name, row in zip(constructs, seen, strict=True) if not (row > 2).any()]
    if len(alone) == len(constructs):
        notes.add(
            "Errors are taken as independent across constructs: only two raters or more of the same "
            "exchanges can show how they correlate (halo). A halo inflates paths."
        )
        return
    head = (
        "The correlation of errors across constructs (halo) is estimated from the differences between raters "
        f"at up to {int(seen.max())} exchanges"
    )
    if shrinkage >= 1:
        notes.add(
            f"{head}; it is no larger than chance would give, and is taken as 0, which is not to say none."
        )
    else:
        notes.add(f"{head}, and multiplied by {1 - shrinkage:.2f} against the noise of few exchanges.")
    if alone:
        notes.add(
            f"Errors of {', '.join(alone)} are taken as independent of the others': nothing identifies them."
        )
