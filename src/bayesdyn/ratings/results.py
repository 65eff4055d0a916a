"""Ratings as a checked table, from what a ledger holds: whole, or streamed to a file."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesdyn.ratings.answers.parse import unrated
from bayesdyn.ratings.ledgers.files import open_ledger
from bayesdyn.ratings.ledgers.ledger import Entry, Ledger
from bayesdyn.ratings.questions.corpus import Corpus, Session
from bayesdyn.ratings.questions.plans import Place, Plan, chosen_ways, make_plans, requests_of
from bayesdyn.ratings.scoring.codebook import Codebook, load_codebook, pick_constructs
from bayesdyn.ratings.scoring.panel import Panel, load_panel, pick_raters
from bayesdyn.streams import piecewise_table
from bayesdyn.tables import HASHES, check_ratings

if TYPE_CHECKING:
    import pyarrow as pa

NO_WORDS = "no words to rate"
NOT_ASKED = "not asked yet"

_ROWS = 20_000


def read_ledger(
    ledger: str | Path,
    exchanges: pd.DataFrame | str | Path,
    codebook: str | Path | Codebook = "chen2026",
    panel: str | Path | Panel = "local",
    *,
    raters: list[str] | None = None,
    constructs: list[str] | None = None,
) -> pd.DataFrame:
    """Return the Ratings that a ledger holds of a table of exchanges; nothing is asked.

    Parameters
    ----------
    ledger
        The SQLite file that :func:`~bayesdyn.ratings.rate.rate` wrote.
    exchanges, codebook, panel, raters, constructs
        As in :func:`~bayesdyn.ratings.rate.rate`.

    Returns
    -------
    pandas.DataFrame
        A checked Ratings table with one row for each rater, construct, replicate and rated unit; what the
        ledger does not have is unrated with the reason ``not asked yet``.

    Raises
    ------
    InputError, ArtefactError
        If an input, or the ledger, cannot be used, or the ledger is of another codebook.
    """
    book, board = load_codebook(codebook), load_panel(panel)
    chosen = pick_raters(board, raters)
    with open_ledger(ledger, create=False) as opened:
        ways = chosen_ways(opened, book, chosen)
        plans = make_plans(book, pick_constructs(book, constructs), chosen, ways)
        return collect(Corpus(exchanges), book, plans, opened)


def collect(corpus: Corpus, codebook: Codebook, plans: Sequence[Plan], ledger: Ledger) -> pd.DataFrame:
    """Return the ratings of a corpus from an open ledger, as a checked table."""
    return check_ratings(pd.concat(pieces(corpus, codebook, plans, ledger), ignore_index=True))


def export(
    corpus: Corpus,
    codebook: Codebook,
    plans: Sequence[Plan],
    ledger: Ledger,
    out: str | Path,
    inputs: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Stream the ratings of a corpus into a Parquet artefact; memory stays the same whatever its size.

    Returns
    -------
    pandas.DataFrame
        How many ratings each rater gave, and how many were unrated for which reason: rater by reason.
    """
    counts: Counter[tuple[str, str]] = Counter()
    with piecewise_table(out, "ratings", inputs, _schema()) as append:
        for piece in pieces(corpus, codebook, plans, ledger):
            append(piece)
            reasons = piece["reason"].where(piece["value"].isna(), "rated")
            counts.update(zip(piece["rater"], reasons, strict=True))
    rows = [{"rater": rater, "reason": reason, "count": count} for (rater, reason), count in counts.items()]
    table = pd.DataFrame(rows, columns=["rater", "reason", "count"])
    wide = table.pivot_table("count", "rater", "reason", fill_value=0, aggfunc="sum")
    return wide.rename_axis(columns=None)


def pieces(
    corpus: Corpus, codebook: Codebook, plans: Sequence[Plan], ledger: Ledger
) -> Iterator[pd.DataFrame]:
    """Yield checked tables of ratings, whole sessions each, in the corpus's order."""
    rows: list[dict[str, Any]] = []
    for session in corpus.sessions():
        for plan in plans:
            rows += _session_rows(session, codebook, plan, ledger)
        if len(rows) >= _ROWS:
            yield check_ratings(pd.DataFrame(rows))
            rows = []
    if rows:
        yield check_ratings(pd.DataFrame(rows))


def _session_rows(
    session: Session, codebook: Codebook, plan: Plan, ledger: Ledger
) -> Iterator[dict[str, Any]]:
    places = [
        place
        for prompt in plan.prompts
        for _, several in requests_of(session, codebook, plan, prompt)
        for place in several
    ]
    keys = {place.question: place.question.key for place in places if place.question is not None}
    found = ledger.find(list(keys.values()))
    for place in places:
        entry = None if place.question is None else found.get(keys[place.question])
        yield _record(place, entry, codebook, plan)


def _record(place: Place, entry: Entry | None, codebook: Codebook, plan: Plan) -> dict[str, Any]:
    absent = unrated(NO_WORDS if place.question is None else NOT_ASKED)
    reading = absent if entry is None else entry.reading
    origin = {} if entry is None else entry.origin
    return {
        "dyad": place.dyad, "session": place.session, "t": place.t, "construct": place.construct,
        "rater": plan.rater.name, "replicate": place.replicate,
        "value": np.nan if reading.value is None else reading.value,
        "probabilities": None if reading.probabilities is None else list(reading.probabilities),
        "off_scale": np.nan if reading.off_scale is None else reading.off_scale,
        "scale_min": codebook.scale.min, "scale_max": codebook.scale.max, "rater_kind": "llm",
        "method": plan.way if entry is None else entry.method,
        "reason": reading.reason, "prompt_hash": place.prompt_sha256,
        "codebook_hash": origin.get("codebook_sha256", ""), "panel_hash": origin.get("panel_sha256", ""),
    }  # fmt: skip


def _schema() -> "pa.Schema":
    """Return the Arrow types of a ratings table, which an all-empty piece could not tell."""
    import pyarrow as pa

    text, number, count = pa.string(), pa.float64(), pa.int64()
    types = {
        "dyad": text, "session": text, "t": count, "construct": text, "rater": text, "replicate": count,
        "value": number, "probabilities": pa.list_(number), "off_scale": number, "scale_min": number,
        "scale_max": number, "rater_kind": text, "method": text, "reason": text,
        **dict.fromkeys(HASHES, text),
    }  # fmt: skip
    return pa.schema(list(types.items()))
