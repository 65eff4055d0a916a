"""Which raters count for a construct, and what is assumed of their discriminations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.measures.dataset import Notes
from bayesdyn.measures.gathering.cells import Cells
from bayesdyn.measures.gathering.labelling import labelling_weights, say_labelling
from bayesdyn.measures.rater.model import RHO_PRIOR, Discrimination, Problem
from bayesdyn.measures.rater.patterns import Statistics, gather_statistics
from bayesdyn.measures.rater.places import Places
from bayesdyn.measures.rater.tokens import binned, relative_variance

Choice = Literal["auto", "equal", "proportional", "free"]
CHOICES: tuple[str, ...] = get_args(Choice)

RELIABILITY_PRIOR, CODER_PRIOR = (6.0, 4.0), (7.0, 3.0)

_FEWEST_RATINGS = 3
_FEWEST_UNITS = 3
FEWEST_OVERLAP = 10
_MOST_PATTERNS, _COARSEST = 512, 8
_FEWEST_TRIPLES = 50
"""Exchanges that three raters must share before their discriminations are estimated unasked."""


@dataclass(frozen=True)
class Assumed:
    """What the caller assumes of the raters; see :func:`bayesdyn.measure`."""

    choice: Choice
    reliability_prior: tuple[float, float] | Mapping[str, tuple[float, float]]
    coder_prior: tuple[float, float]
    shared_prior: tuple[float, float] | None
    levels: bool

    def check(self, faults: FaultList) -> None:
        """Note what cannot be."""
        if self.choice not in CHOICES:
            faults.add(f"discrimination is {self.choice!r}", f"Use one of {', '.join(CHOICES)}")
        given = self.reliability_prior
        named = (
            [("reliability_prior", prior) for prior in given.values()] if isinstance(given, Mapping) else []
        )
        named += [] if isinstance(given, Mapping) else [("reliability_prior", given)]
        named += [("coder_prior", self.coder_prior)]
        named += [] if self.shared_prior is None else [("shared_prior", self.shared_prior)]
        for name, (a, b) in named:
            if not (a > 0 and b > 0):
                faults.add(f"{name} is ({a}, {b})", "Give two numbers above 0, as of a Beta")

    def reliability_of(self, construct: str) -> tuple[float, float]:
        """Return the prior of the reliability of a construct's only rater."""
        given = self.reliability_prior
        return given.get(construct, RELIABILITY_PRIOR) if isinstance(given, Mapping) else given


@dataclass(frozen=True)
class Part:
    """One construct, ready for the rater model.

    Attributes
    ----------
    construct
        Its label.
    raters
        Places of its raters on the rater axis of the cells.
    human
        (rater,) who of them is human.
    value, q, noise
        (exchange, rater) ratings with NaN where unrated, relative token variance, replicate noise.
    identified
        What tells the error: ``prior``, ``two_raters``, ``raters``, ``coder`` (humans, of whom no two rated
        the same exchanges, so that a coder's reliability is a prior) or ``humans``.
    problem
        What the sampler takes.
    weight
        (exchange,) of what humans say there (:mod:`bayesdyn.measures.gathering.labelling`); None: all alike.
    """

    construct: str
    raters: NDArray[np.intp]
    human: NDArray[np.bool_]
    value: NDArray[np.float64]
    q: NDArray[np.float64]
    noise: NDArray[np.float64]
    identified: str
    problem: Problem
    weight: NDArray[np.float64] | None = None


def usable_raters(cells: Cells, c: int, notes: Notes) -> NDArray[np.intp]:
    """Return the raters with at least 3 different-enough ratings of a construct; note who is left out."""
    kept = []
    for r, name in enumerate(cells.raters):
        values = cells.value[:, c, r]
        values = values[np.isfinite(values)]
        if len(values) == 0:
            continue
        if len(values) < _FEWEST_RATINGS or np.ptp(values) < 1e-9:
            why = "has too few ratings" if len(values) < _FEWEST_RATINGS else "gave one value throughout"
            notes.add(f"Warning: {cells.constructs[c]}: rater {name} {why} and is left out.")
        else:
            kept.append(r)
    return np.array(kept, dtype=np.intp)


def prepare(
    cells: Cells,
    places: Places,
    c: int,
    raters: NDArray[np.intp],
    assumed: Assumed,
    notes: Notes,
    labelling: NDArray[np.float64] | None = None,
) -> Part:
    """Return one construct as a problem of the rater model; what it assumes goes into the notes.

    Parameters
    ----------
    cells, places
        The ratings, and where they stand.
    c, raters
        The construct's place, its raters' places (at least one).
    assumed
        What is assumed.
    notes
        Gathers what is assumed.
    labelling
        (exchange,) known probability of being coded, NaN where not known; None: none is known.
    """
    value, noise = cells.value[:, c, raters], cells.noise[:, c, raters]
    human, construct = cells.human[raters], cells.constructs[c]
    names = [cells.raters[r] for r in raters]
    q = np.column_stack(
        [relative_variance(value[:, r], cells.token[:, c, rater]) for r, rater in enumerate(raters)]
    )
    discrimination = _decide(value, human, assumed.choice)
    alone = discrimination == "single"
    shared = None if alone or (~human).sum() < 2 else assumed.shared_prior
    prior = np.tile(RHO_PRIOR, (len(raters), 1))
    identified = _identified(value, human)
    if alone:
        prior[:] = assumed.reliability_of(construct)
    elif identified == "coder" and discrimination == "free":
        prior[human] = assumed.coder_prior
    here = places.learnt & np.isfinite(value).any(axis=1)
    sessions, dyads = (len(np.unique(place[here])) for place in (places.session, places.dyad))
    # One rater's levels say nothing of its reliability, and priors on them would seem to.
    several = sessions >= _FEWEST_UNITS and int(here.sum()) > sessions
    levels = assumed.levels and not alone and several
    weight = None
    if labelling is not None and human.any() and not human.all():
        coded = here & np.isfinite(value[:, human]).any(axis=1)
        weight, effective = labelling_weights(labelling, coded)
        say_labelling(construct, labelling, coded, effective, notes)
    if not levels:
        # The density then holds sums over all exchanges only: told as one session, it costs far less.
        nowhere = np.zeros_like(places.session)
        places = Places(nowhere, nowhere, places.learnt)
    if assumed.levels and not alone and not several:
        notes.add(
            f"{construct}: fewer than {_FEWEST_UNITS} sessions, or one rated exchange in each: what true "
            "scores and errors have of session and dyad is not told apart, and stands under exchange."
        )
    notes.add(_said(construct, names, discrimination, assumed))
    _overlap(construct, names, value, notes)
    return Part(
        construct=construct,
        raters=raters,
        human=human,
        value=value,
        q=np.ones_like(q) if alone else q,
        noise=noise,
        identified=identified,
        problem=Problem(
            statistics=_statistics(value, q, noise, places, here, weight, human),
            spread=np.nanstd(value, axis=0, ddof=1),
            llm=~human,
            tokens=bool((np.ptp(q, axis=0) > 0).any()),
            rho_prior=prior,
            shared_prior=shared,
            discrimination=discrimination,
            sessions=levels,
            dyads=levels and _FEWEST_UNITS <= dyads < sessions,
        ),
        weight=weight,
    )


def _statistics(
    value: NDArray[np.float64],
    q: NDArray[np.float64],
    noise: NDArray[np.float64],
    places: Places,
    here: NDArray[np.bool_],
    weight: NDArray[np.float64] | None,
    human: NDArray[np.bool_],
) -> Statistics:
    """Return the statistics of the exchanges that are learnt from, with as many bins of q as can be had."""
    guided = max(int((np.ptp(q, axis=0) > 0).sum()), 1)
    while True:
        coarse = np.column_stack([binned(q[here, r], guided) for r in range(q.shape[1])])
        found = gather_statistics(
            value[here], coarse, noise[here], places.session[here], places.dyad[here],
            np.nanmean(value, axis=0), None if weight is None else weight[here], human,
        )  # fmt: skip
        if len(found.mask) <= _MOST_PATTERNS or guided > _COARSEST:
            return found
        guided += 1


def _identified(value: NDArray[np.float64], human: NDArray[np.bool_]) -> str:
    if len(human) == 1:
        return "prior"
    if human.any() and not human.all():
        rated = np.isfinite(value[:, human])
        return "humans" if (rated.sum(axis=1) > 1).sum() >= FEWEST_OVERLAP else "coder"
    return "two_raters" if len(human) == 2 else "raters"


def _decide(value: NDArray[np.float64], human: NDArray[np.bool_], choice: Choice) -> Discrimination:
    raters = value.shape[1]
    if raters == 1:
        return "single"
    if raters == 2 and human.any() and not human.all() and choice in ("auto", "free"):
        return "free"  # the prior on the coder's reliability tells them apart
    if choice == "equal" or choice == "proportional":
        return choice
    if choice == "free" and raters > 2:
        return "free"
    rated = np.isfinite(value)
    triples = rated[rated.sum(axis=1) > 2].sum(axis=0)
    return "free" if raters > 2 and triples.min() >= _FEWEST_TRIPLES else "proportional"


def _said(
    construct: str,
    names: Sequence[str],
    discrimination: Discrimination,
    assumed: Assumed,
) -> str:
    listed = ", ".join(names)
    count = "two" if len(names) == 2 else str(len(names))
    if discrimination == "single":
        a, b = assumed.reliability_of(construct)
        return (
            f"{construct}: one rater ({listed}), which identifies no error variance. Its reliability is an "
            f"assumption, Beta({a:g}, {b:g}) with mean {a / (a + b):.2f}, and not an estimate: look at the "
            "reliability sweep."
        )
    if discrimination == "free":
        return f"{construct}: {count} raters ({listed}), discriminations estimated."
    head = f"{construct}: {count} raters ({listed}), discriminations equal by assumption"
    if discrimination == "equal":
        return f"{head}, on the raw scale: raters whose ratings spread more are taken as less reliable."
    few = (
        f" Fewer than {_FEWEST_TRIPLES} exchanges have three raters, too few to estimate them."
        if len(names) > 2 and assumed.choice in ("auto", "free")
        else ""
    )
    return (
        f"{head}, each in units of that rater's own spread: the raters are taken as equally reliable, so "
        f"the reliability of one of them is their correlation.{few}"
    )


def _overlap(construct: str, names: Sequence[str], value: NDArray[np.float64], notes: Notes) -> None:
    """Note raters that share no exchange with another: the data do not identify their severity."""
    rated = np.isfinite(value).astype(np.int64)
    shared = rated.T @ rated
    np.fill_diagonal(shared, 0)
    for name, most in zip(names, shared.max(axis=1), strict=True):
        if len(names) > 1 and most < _FEWEST_RATINGS:
            notes.add(
                f"Warning: {construct}: rater {name} shares hardly any exchange with another rater. Its "
                "severity and reliability are not identified by the data: they rest on the prior, and on "
                "its exchanges being like the others'."
            )
