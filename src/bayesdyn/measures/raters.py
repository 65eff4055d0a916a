"""Which raters count for a construct, and what is assumed of their discriminations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bayesdyn.measures.cells import Cells
from bayesdyn.measures.dataset import Notes
from bayesdyn.measures.patterns import find_patterns
from bayesdyn.measures.rater_model import Discrimination, Problem
from bayesdyn.measures.tokens import binned, relative_variance

Choice = Literal["auto", "equal", "proportional", "free"]
CHOICES: tuple[str, ...] = get_args(Choice)

_FEWEST_RATINGS = 3
_FEWEST_TRIPLES = 50
"""Exchanges that three raters must share before their discriminations are estimated unasked."""


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
    problem
        What the sampler takes.
    """

    construct: str
    raters: NDArray[np.intp]
    human: NDArray[np.bool_]
    value: NDArray[np.float64]
    q: NDArray[np.float64]
    noise: NDArray[np.float64]
    problem: Problem


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
    cells: Cells, c: int, raters: NDArray[np.intp], choice: Choice, prior: tuple[float, float], notes: Notes
) -> Part:
    """Return one construct as a problem of the rater model; what it assumes goes into the notes.

    Parameters
    ----------
    cells, c, raters
        The ratings, the construct's place, its raters' places (at least one).
    choice
        See :func:`bayesdyn.measures.build.measure`.
    prior
        Beta parameters of the reliability of a single rater.
    notes
        Gathers what is assumed.
    """
    value = cells.value[:, c, raters]
    token = cells.token[:, c, raters]
    noise = cells.noise[:, c, raters]
    discrimination = _decide(value, choice)
    q = np.column_stack([relative_variance(value[:, r], token[:, r]) for r in range(len(raters))])
    guided = np.ptp(q, axis=0) > 0
    coarse = np.column_stack([binned(q[:, r], int(guided.sum())) for r in range(len(raters))])
    names = [cells.raters[r] for r in raters]
    notes.add(_said(cells.constructs[c], names, discrimination, choice, prior))
    _overlap(cells.constructs[c], names, value, notes)
    return Part(
        construct=cells.constructs[c],
        raters=raters,
        human=cells.human[raters],
        value=value,
        q=q if discrimination != "single" else np.ones_like(q),
        noise=noise,
        problem=Problem(
            patterns=find_patterns(value, coarse, noise),
            centre=np.nanmean(value, axis=0),
            spread=np.nanstd(value, axis=0, ddof=1),
            tokens=bool(guided.any()),
            reliability_prior=prior if discrimination == "single" else (2.0, 2.0),
            discrimination=discrimination,
        ),
    )


def _decide(value: NDArray[np.float64], choice: Choice) -> Discrimination:
    raters = value.shape[1]
    if raters == 1:
        return "single"
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
    choice: Choice,
    prior: tuple[float, float],
) -> str:
    listed = ", ".join(names)
    count = "two" if len(names) == 2 else str(len(names))
    if discrimination == "single":
        a, b = prior
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
        if len(names) > 2 and choice in ("auto", "free")
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
