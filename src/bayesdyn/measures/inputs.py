"""What measures are made from: checked ratings, coders' ratings and exchanges that fit together."""

from pathlib import Path

import pandas as pd

from bayesdyn.errors import FaultList
from bayesdyn.measures.dataset import RESERVED, Notes, sorted_by_key
from bayesdyn.measures.gathering.pieces import open_ratings
from bayesdyn.measures.gathering.sources import Source, source_of
from bayesdyn.measures.rater.parts import Assumed
from bayesdyn.tables import KEY, LABELLING, check_ratings

TITLE = "These ratings cannot be made into measures"


def find_sources(
    ratings: pd.DataFrame | str | Path,
    human: pd.DataFrame | None,
    exchanges: pd.DataFrame | None,
    assumed: Assumed,
    most_sessions: int,
    notes: Notes,
    faults: FaultList,
) -> tuple[list[Source], pd.DataFrame]:
    """Return where the ratings come from, and the exchanges in order; gather all that is wrong with either.

    Parameters
    ----------
    ratings, human, exchanges, most_sessions
        As in :func:`bayesdyn.measure`.
    assumed
        What is assumed of the raters.
    notes, faults
        Gather what was set aside and what is wrong.

    Returns
    -------
    sources, keys
        The ratings, then the human ratings that are of these exchanges and constructs; ``exchanges``, or the
        keys of the ratings, sorted by dyad, session, t.

    Raises
    ------
    InputError
        At once, where a table cannot be read as one of ratings or exchanges.
    ArtefactError
        Where a path leads to no file of ratings.
    """
    assumed.check(faults)
    if most_sessions < 1:
        faults.add(f"most_sessions is {most_sessions}", "Give a number of sessions to learn the raters from")
    if isinstance(ratings, pd.DataFrame):
        table = check_ratings(ratings)
        given = source_of(table)
        if LABELLING in table.columns and table[LABELLING].notna().any():
            faults.add(f"{LABELLING} stands in the ratings", "Give the coders' ratings as the human table")
    else:
        given = open_ratings(ratings)
    keys = sorted_by_key(given.keys if exchanges is None else exchanges, faults, TITLE)
    known = pd.MultiIndex.from_frame(keys[KEY])
    strangers = given.keys[~pd.MultiIndex.from_frame(given.keys).isin(known)]
    for dyad, session, t in strangers.itertuples(index=False):
        faults.add(f"dyad {dyad}, session {session}, t {t} is rated but is no exchange", "Read both anew")
    sources = [given]
    if human is not None:
        coders = check_ratings(human).assign(rater_kind="human")
        both = sorted(set(given.raters) & set(coders["rater"]))
        if both:
            faults.add(f"rater {', '.join(both)} stands in both tables", "Give each rater a name of its own")
        found = pd.MultiIndex.from_frame(coders[KEY]).isin(known)
        found &= coders["construct"].isin(given.constructs).to_numpy()
        if not found.any():
            faults.add(
                "no human rating is of an exchange and construct of the ratings",
                "Check that dyad, session, t and construct are spelled alike in both tables",
            )
        elif not found.all():
            notes.add(
                f"{int((~found).sum())} human ratings are of no rated exchange or construct: set aside."
            )
        sources.append(source_of(coders[found]))
    for name in sorted(set(given.constructs) & set(RESERVED)):
        faults.add(f"construct {name} bears the name of a part of measures", "Rename it")
    return sources, keys
