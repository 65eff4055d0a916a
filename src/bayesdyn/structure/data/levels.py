"""Levels of the data, dyads and sessions: whether they can be told apart, and what must be said of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayesdyn.errors import FaultList
from bayesdyn.structure.data.groups import Grouping
from bayesdyn.structure.language.spec import ModelSpec, Path, Term, Varying
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.language.words import counted

_LEAST_GROUPS = 5  # per effect that varies
_MERGED = "Every dyad has one session: session and dyad levels are one, and are reported as dyad effects."


@dataclass(frozen=True)
class Merged:
    """A model whose session effects can be told from those of dyads, and what was dropped for it.

    Attributes
    ----------
    spec
        The model without the session effects that its dyads have too.
    notes
        One sentence where anything was dropped.
    """

    spec: ModelSpec
    notes: tuple[str, ...] = ()


def merge_levels(spec: ModelSpec, frame: pd.DataFrame) -> Merged:
    """Drop what varies by session and by dyad where every dyad has one session: the two levels are then one.

    Parameters
    ----------
    spec
        The model, with the default laws of its noisy predictors.
    frame
        Rows with their ``dyad`` and ``session``.
    """
    if not _is_one_level(frame):
        return Merged(spec)
    by_dyad = [item for item in spec.varying if item.group == "dyad"]
    means = {(item.outcome, item.spread) for item in by_dyad if item.intercept}
    paths = {(item.outcome, slope.key) for item in by_dyad for slope in item.slopes}
    kept: list[Varying] = []
    for item in spec.varying:
        own = item
        if item.group == "session":
            slopes = tuple(slope for slope in item.slopes if (item.outcome, slope.key) not in paths)
            intercept = item.intercept and (item.outcome, item.spread) not in means
            own = replace(item, intercept=intercept, slopes=slopes)
        if own.intercept or own.slopes:
            kept.append(own)
    merged = replace(spec, varying=tuple(kept))
    return Merged(merged, (_MERGED,) if merged.varying != spec.varying else ())


def check_means(spec: ModelSpec, frame: pd.DataFrame, faults: FaultList) -> None:
    """Note terms of one equation that differ by the level of their means alone, where the levels are one.

    Parameters
    ----------
    spec
        The model.
    frame
        Rows with their ``dyad`` and ``session``.
    faults
        Receives each such term; a path that is fixed is an offset and no fault.
    """
    if not _is_one_level(frame):
        return
    first: dict[tuple[str, tuple[str, ...]], Path] = {}
    for path in spec.paths:
        if path.fixed is not None:
            continue
        earlier = first.setdefault((path.outcome, _of_sessions(path.term).key), path)
        if earlier is not path:
            faults.add(
                f"{earlier.term} and {path.term} are the same where every dyad has one session",
                f"Leave one out of the equation of {path.outcome}",
                path.where,
            )


def level_notes(frame: pd.DataFrame) -> list[str]:
    """Return a sentence on sessions of one exchange, and on dyads of one session where others have more."""
    notes = []
    single = int((frame.groupby("session_label").size() == 1).sum())
    if single:
        verb, they = ("has", "it informs") if single == 1 else ("have", "they inform")
        notes.append(f"{counted(single, 'session')} {verb} one exchange only: {they} the levels, no path.")
    sessions = frame.groupby("dyad")["session"].nunique().to_numpy()
    alone = int((sessions == 1).sum())
    if 0 < alone < len(sessions):
        verb, its = ("has", "its") if alone == 1 else ("have", "their")
        notes.append(
            f"{counted(alone, 'dyad')} {verb} one session: {its} session effects are told from {its} dyad "
            "effects by what the other dyads say of the two spreads alone."
        )
    return notes


def silent_sessions(
    spec: ModelSpec, constructs: tuple[str, ...], frame: pd.DataFrame, rated: np.ndarray
) -> list[str]:
    """Return a sentence on sessions in which no outcome has a score; ``rated`` (N, C) says where one is."""
    places = [c for c, name in enumerate(constructs) if name in spec.outcomes]
    any_score = pd.Series(rated[:, places].any(axis=1)).groupby(frame["session_label"].to_numpy()).any()
    silent = any_score.index[~any_score]
    if silent.empty:
        return []
    named = f"Session {silent[0]} has"
    if len(silent) > 1:
        named = f"{counted(len(silent), 'session')} (the first is {silent[0]}) have"
    return [
        f"{named} no score of any outcome, so no path is told there. Rate what is missing, or leave it out."
    ]


def few_groups(spec: ModelSpec, groupings: Sequence[Grouping]) -> list[str]:
    """Return a sentence for each kind of group that is few for what varies by it; sessions never are."""
    notes = []
    for grouping in groupings:
        effects, many = len(effect_names(spec, grouping.name)), len(grouping.labels)
        if grouping.name == "session" or many >= _LEAST_GROUPS * effects:
            continue
        noun = "dyad" if grouping.name == "dyad" else "group"
        of = "" if grouping.name == "dyad" else f" of {grouping.name}"
        verb = "is" if many == 1 else "are"
        vary = "1 effect that varies" if effects == 1 else f"{effects} effects that vary"
        notes.append(
            f"{counted(many, noun)}{of} {verb} few for {vary} by {grouping.name} (fewer than {_LEAST_GROUPS} "
            f"for each): the prior of their covariance counts for much. Let fewer effects vary by "
            f"{grouping.name}."
        )
    return notes


def _is_one_level(frame: pd.DataFrame) -> bool:
    return bool(frame.groupby("dyad")["session"].nunique().max() == 1)


def _of_sessions(term: Term) -> Term:
    """Return a term with the means of dyads as those of sessions."""
    return Term(tuple(replace(one, level="session") if one.kind == "mean" else one for one in term.factors))
