"""What effects vary by: dyads, sessions, and the groups that a covariate names, such as therapists."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.structure.data.rows import labels_of
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.language.words import counted

_DIMENSIONS = (
    "chain", "draw", "sample", "exchange", "construct", "path_name", "quantity", "outcome", "predictor",
    "endogenous", "t",
)  # fmt: skip

type Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Grouping:
    """Groups of sessions; N exchanges, S sessions, D dyads.

    Attributes
    ----------
    name
        ``dyad``, ``session``, or the covariate that names the groups.
    labels
        The groups' labels.
    of, of_session
        (N,) and (S,) index of the group.
    of_dyad
        (D,) index of the group of a dyad; None where sessions of one dyad are in different groups.
    """

    name: str
    labels: tuple[str, ...]
    of: Indices
    of_session: Indices
    of_dyad: Indices | None


def read_groups(
    spec: ModelSpec, measures: xr.Dataset, frame: pd.DataFrame, faults: FaultList
) -> tuple[Grouping, ...]:
    """Return every group that effects of a model vary by, dyads and sessions first.

    Parameters
    ----------
    spec
        The model.
    measures
        Holds the covariates that name groups, over (exchange,).
    frame
        Rows of the problem (:func:`.rows.complete_rows`); exchanges that fill a gap are in their session's
        group.
    faults
        Receives a group without labels at some exchanges, one that changes within a session, one that has one
        label or as many as there are sessions or dyads, and one whose name is taken.
    """
    sessions = pd.Index(frame["session_label"].drop_duplicates())
    dyads = pd.Index(frame["dyad"].drop_duplicates())
    of = {"dyad": dyads.get_indexer(frame["dyad"]), "session": sessions.get_indexer(frame["session_label"])}
    first = np.flatnonzero(frame["first"].to_numpy())
    dyad_of_session = of["dyad"][first]
    labels = {"dyad": tuple(dyads), "session": tuple(sessions)}
    found = [
        Grouping(
            name, labels[name], of[name], of[name][first], np.arange(len(dyads)) if name == "dyad" else None
        )
        for name in ("dyad", "session")
    ]
    for name in spec.crossed:
        before = len(faults.faults)
        text = _labels(name, measures, frame, faults, spec.where(name))
        if len(faults.faults) > before:
            continue
        at = pd.Index(sorted(set(text)))
        codes = at.get_indexer(text)
        by_session = codes[first]
        by_dyad = np.full(len(dyads), -1)
        by_dyad[dyad_of_session] = by_session
        nested = bool((by_dyad[dyad_of_session] == by_session).all())
        found.append(Grouping(name, tuple(at), codes, by_session, by_dyad if nested else None))
        others = {"dyad": len(dyads) if nested else 0, "session": len(sessions)}
        _check_counts(name, len(at), others, faults, spec.where(name))
    return tuple(found)


def _labels(
    name: str, measures: xr.Dataset, frame: pd.DataFrame, faults: FaultList, where: str
) -> NDArray[np.str_]:
    """Return each row's label; one fault for whatever hinders that."""
    if name in _DIMENSIONS:
        remedy = "Rename the covariate: results have that dimension"
        faults.add(f"a group cannot be called {name!r}", remedy, where)
    text = labels_of(measures[name])[np.maximum(frame["row"].to_numpy(), 0)]
    text = np.where(frame["row"].to_numpy() >= 0, text, "")
    missing = int(((text == "") & (frame["row"].to_numpy() >= 0)).sum())
    if missing:
        faults.add(
            f"group {name} misses {counted(missing, 'value')}", "Say the group of every exchange", where
        )
        return text
    known = pd.Series(text, dtype=object).where(text != "")
    own = known.groupby(frame["session_label"].to_numpy())
    changing = own.nunique()
    if (changing > 1).any():
        which = ", ".join(map(str, changing.index[changing > 1][:3]))
        faults.add(
            f"group {name} changes within {counted(int((changing > 1).sum()), 'session')} (such as {which})",
            "A group is of whole sessions; what changes within them is a covariate",
            where,
        )
    return own.transform("first").to_numpy(dtype=np.str_)


def _check_counts(name: str, count: int, others: dict[str, int], faults: FaultList, where: str) -> None:
    if count == 1:
        faults.add(f"group {name} has one label only", f"Leave out (... | {name})", where)
    for other, size in others.items():
        if count == size:
            faults.add(
                f"every {other} is a group of {name} of its own: the two cannot be told apart",
                f"Leave out (... | {name})",
                where,
            )
            return
