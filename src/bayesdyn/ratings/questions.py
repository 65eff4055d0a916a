"""Which questions exchanges, a codebook and a panel make, and the ratings table of their answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched, groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesdyn.ratings.codebook import Codebook, load_codebook, pick_constructs
from bayesdyn.ratings.ledger import Entry, Ledger, Question, open_ledger
from bayesdyn.ratings.panel import Panel, Rater, load_panel, pick_raters
from bayesdyn.ratings.parse import Reading
from bayesdyn.ratings.prompt import Passage, Prompt, build_prompt, passage_of, passage_sha256
from bayesdyn.ratings.weights import weights_sha256
from bayesdyn.tables import EXCHANGE_COLUMNS, check_exchanges, check_ratings

NO_WORDS = "no words to rate"
NOT_ASKED = "not asked yet"

_CHUNK = 2000


@dataclass(frozen=True)
class Plan:
    """What one rater is to rate: its prompt for each construct, and the weights' hash where embedded."""

    rater: Rater
    prompts: Mapping[str, Prompt]
    weights_sha256: str | None


@dataclass(frozen=True)
class Place:
    """One rating to be: where in the study it belongs, and what has to be asked (None: nothing to read)."""

    dyad: str
    session: str
    t: int
    passage: Passage
    question: Question | None


def make_plans(codebook: Codebook, constructs: Sequence[str], raters: Sequence[Rater]) -> list[Plan]:
    """Return one plan for each rater, with its prompts built.

    Raises
    ------
    InputError
        If weights are unknown, or a prompt template cannot be used.
    """
    plans = []
    for rater in raters:
        digest = None if rater.weights is None else weights_sha256(rater.weights)
        prompts = {name: build_prompt(codebook, name, rater, digest) for name in constructs}
        plans.append(Plan(rater, prompts, digest))
    return plans


def places(exchanges: pd.DataFrame, codebook: Codebook, construct: str, plan: Plan) -> Iterator[Place]:
    """Yield the ratings to be of one construct and rater, exchange by exchange.

    Parameters
    ----------
    exchanges
        A checked table, sorted by dyad, session, t.
    codebook, construct, plan
        What is rated, and by whom.
    """
    entry, prompt = codebook.constructs[construct], plan.prompts[construct]
    rows = exchanges[EXCHANGE_COLUMNS].itertuples(index=False)
    for (dyad, session), group in groupby(rows, key=lambda row: (row.dyad, row.session)):
        turns: list[Any] = list(group)
        for index, exchange in enumerate(turns):
            passage = passage_of(turns, index, entry)
            question = None
            if passage:
                question = Question(construct, plan.rater.name, 0, passage_sha256(passage), prompt.sha256,
                                    codebook.name)  # fmt: skip
            yield Place(dyad, session, int(exchange.t), passage, question)


def missing(
    exchanges: pd.DataFrame, codebook: Codebook, plan: Plan, ledger: Ledger
) -> Iterator[tuple[Prompt, Place]]:
    """Yield what the ledger does not have, each question once, construct by construct.

    All passages of one construct come in a row, since they share the prompt's fixed part, which a server
    can keep evaluated. Passages are made as they are asked for, not all at once.
    """
    for construct, prompt in plan.prompts.items():
        seen: set[str] = set()
        for chunk in batched(places(exchanges, codebook, construct, plan), _CHUNK):
            keyed = [(place.question.key, place) for place in chunk if place.question is not None]
            have = ledger.has([key for key, _ in keyed])
            for key, place in keyed:
                if key not in have and key not in seen:
                    seen.add(key)
                    yield prompt, place


def read_ledger(
    ledger: str | Path,
    exchanges: pd.DataFrame,
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
        A checked Ratings table with one row for each rater, construct and exchange; what the ledger does
        not have is unrated with the reason ``not asked yet``.

    Raises
    ------
    InputError, ArtefactError
        If an input, or the ledger, cannot be used.
    """
    book, board = load_codebook(codebook), load_panel(panel)
    plans = make_plans(book, pick_constructs(book, constructs), pick_raters(board, raters))
    table = check_exchanges(exchanges)
    with open_ledger(ledger, create=False) as opened:
        return collect(table, book, plans, opened)


def collect(
    exchanges: pd.DataFrame, codebook: Codebook, plans: Sequence[Plan], ledger: Ledger
) -> pd.DataFrame:
    """Return the ratings of checked exchanges from an open ledger, as a checked table."""
    rows: list[dict[str, Any]] = []
    for plan in plans:
        for construct, prompt in plan.prompts.items():
            for chunk in batched(places(exchanges, codebook, construct, plan), _CHUNK):
                keys = [place.question.key for place in chunk if place.question is not None]
                found = ledger.find(keys)
                rows += [_record(place, found, codebook, construct, plan, prompt) for place in chunk]
    return check_ratings(pd.DataFrame(rows))


def _record(
    place: Place, found: Mapping[str, Entry], codebook: Codebook, construct: str, plan: Plan, prompt: Prompt
) -> dict[str, Any]:
    entry = None if place.question is None else found.get(place.question.key)
    absent = Reading(None, None, None, NO_WORDS if place.question is None else NOT_ASKED)
    reading = absent if entry is None else entry.reading
    return {
        "dyad": place.dyad, "session": place.session, "t": place.t, "construct": construct,
        "rater": plan.rater.name, "replicate": 0,
        "value": np.nan if reading.value is None else reading.value,
        "probabilities": None if reading.probabilities is None else list(reading.probabilities),
        "off_scale": np.nan if reading.off_scale is None else reading.off_scale,
        "scale_min": codebook.scale.min, "scale_max": codebook.scale.max, "rater_kind": "llm",
        "method": plan.rater.methods[0] if entry is None else entry.method,
        "reason": reading.reason, "prompt_hash": prompt.sha256,
    }  # fmt: skip
