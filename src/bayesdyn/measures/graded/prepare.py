"""From answers to a problem of the ordinal rater model."""

import numpy as np
from numpy.typing import NDArray

from bayesdyn.measures.graded.answers import Answers
from bayesdyn.measures.graded.density import Data, Form
from bayesdyn.measures.graded.model import GradedProblem
from bayesdyn.measures.rater.parts import Part
from bayesdyn.measures.rater.places import Places

MOST_EXCHANGES = 4000
"""The raters are learnt from whole sessions of about so many exchanges at most."""

_WIDEST, _NARROWEST = 0.15, 0.06
_TOLD_AT_ONCE = 1.5


def prepare_graded(part: Part, answers: Answers, places: Places) -> GradedProblem:
    """Return one construct as a problem.

    Parameters
    ----------
    part
        The construct, its raters, and what is assumed of them, as prepared for the Gaussian model.
    answers
        Its answers.
    places
        Where the exchanges stand.
    """
    chosen = _learnt(places)
    pattern, times, row = _weighted(answers.pattern[chosen], part, chosen)
    patterns, place = np.unique(pattern, axis=0, return_inverse=True)
    session = np.unique(places.session[chosen], return_inverse=True)[1].reshape(-1)
    lengths = np.bincount(session)
    session = session[row]
    dyad = np.unique(places.dyad[chosen], return_inverse=True)[1].reshape(-1)[row]
    owner = np.zeros(int(session.max()) + 1, dtype=np.int64)
    owner[session] = dyad
    # Padded to a power of two, so that constructs share one program.
    size = 1 << (len(patterns) - 1).bit_length()
    cell = session * size + place.reshape(-1)
    often = np.bincount(cell, times, minlength=len(owner) * size).reshape(len(owner), size)
    # Sessions in the order of their dyads, so that the sum over a dyad's runs over ascending numbers.
    order = np.argsort(owner, kind="stable")
    problem = part.problem
    prior = problem.rho_prior
    return GradedProblem(
        data=Data(
            counts=answers.padded(),
            pattern=np.pad(patterns, ((0, size - len(patterns)), (0, 0))),
            often=often[order],
            owner=owner[order],
        ),
        form=Form(
            repeated=answers.repeated,
            llm=tuple(bool(one) for one in ~part.human),
            nested=problem.sessions,
            apart=problem.dyads,
            step=_step(lengths),
            dyads=int(dyad.max()) + 1,
        ),
        share=_started(answers, int(chosen.sum())),
        rho_prior=prior,
        shared_prior=problem.shared_prior,
        shared_rho=problem.discrimination in ("single", "proportional"),
    )


def _weighted(
    pattern: NDArray[np.int64], part: Part, chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return joint patterns, how often each counts, and whose exchange it is.

    An exchange of weight w counts as w of its pattern and 1 - w of that pattern without humans, as in
    :func:`bayesdyn.measures.rater.patterns.gather_statistics`: ``w log p(humans | LLMs) + log p(LLMs)``. No
    power of a probability is above 1, so a negative number of exchanges does no harm.
    """
    times, row = np.ones(len(pattern)), np.arange(len(pattern))
    if part.weight is None:
        return pattern, times, row
    weight = part.weight[chosen]
    coded = np.flatnonzero((pattern[:, part.human] > 0).any(axis=1) & (weight != 1))
    times[coded] = weight[coded]
    without = np.where(part.human, 0, pattern[coded])
    return (
        np.vstack([pattern, without]), np.append(times, 1 - weight[coded]), np.append(row, coded),
    )  # fmt: skip


def _learnt(places: Places) -> NDArray[np.bool_]:
    """Return which exchanges are learnt from: an even share of the sessions, if they hold too many."""
    total = int(places.learnt.sum())
    if total <= MOST_EXCHANGES:
        return places.learnt
    sessions = np.unique(places.session[places.learnt])
    number = max(1, len(sessions) * MOST_EXCHANGES // total)
    kept = sessions[np.unique(np.linspace(0, len(sessions) - 1, number).astype(np.int64))]
    return places.learnt & np.isin(places.session, kept)


def _started(answers: Answers, exchanges: int) -> NDArray[np.float64]:
    share = answers.shares()
    points = share.shape[1]
    return (share * exchanges + 0.5) / (exchanges + 0.5 * points)


def _step(lengths: NDArray[np.int64]) -> float:
    """Return a step of the grid that is no wider than what the longest session tells of its level.

    The trapezoid rule is exact to 1e-4 for a normal of SD s at a step of 1.5 s.
    """
    return float(np.clip(_TOLD_AT_ONCE / np.sqrt(lengths.max()), _NARROWEST, _WIDEST))
