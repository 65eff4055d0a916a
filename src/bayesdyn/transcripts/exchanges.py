"""From utterances to turns to exchanges; every row is used or set aside for one reason.

An *exchange* is a therapist turn and the client turn that follows it. A row that is set aside does not
break a turn: what stands before and after it is merged where one speaker said both.
"""

from typing import Any

import numpy as np
import pandas as pd

REASONS: dict[str, str] = {
    "missing_speaker": "no speaker label",
    "third_speaker": "neither the therapist nor the client",
    "empty": "no text",
    "silence": "a mark of silence and nothing else",
    "one_speaker": "in a session where only one of the two speaks",
    "leading_client": "the client, before the therapist's first turn",
    "trailing_therapist": "the therapist's last turn, which no client turn follows",
}
"""Why a row is set aside, in order of precedence."""

_LENGTH = r"(?:\d+(?:[.,:]\d+)?\s*(?:s|secs?|seconds?|m|mins?|minutes?)?|long|short|brief)"
SILENCE = (
    rf"(?i:[\[(<{{*]*\s*(?:{_LENGTH}\s+)*(?:silence|silent|pauses?)"
    rf"(?:\s+(?:of\s+|for\s+)?{_LENGTH})?\s*[\])>}}*.]*|[.…\-–—_*\s]+)"
)
"""A whole utterance that is silence: ``[silence]``, ``(long pause)``, ``(pause 10 s)``, ``...``, ``--``."""


def place_rows(utterances: pd.DataFrame) -> pd.DataFrame:
    """Give every utterance its exchange, or the reason why it is set aside.

    Parameters
    ----------
    utterances
        One row per utterance in the order of speech within each session: ``dyad``, ``session``, ``role``
        (``therapist``, ``client``, ``other``, or empty where no speaker is given), ``text``.

    Returns
    -------
    DataFrame, same index and order, with ``session_index`` (0, 1, ... by first appearance), ``reason``
    (a key of :data:`REASONS`, empty where used), ``turn`` (a running number, -1 where it belongs to none) and
    ``t`` (the exchange, -1 where set aside).
    """
    text = utterances["text"].str.strip()
    role = utterances["role"]
    placed = pd.DataFrame(
        {
            "session_index": utterances.groupby(["dyad", "session"], sort=False).ngroup(),
            "reason": np.select(
                [role == "", role == "other", text == "", text.str.fullmatch(SILENCE)],
                ["missing_speaker", "third_speaker", "empty", "silence"],
                default="",
            ),
            "turn": -1,
            "t": -1,
        },
        index=utterances.index,
    )
    speech = pd.DataFrame(
        {"session": placed["session_index"], "therapist": role == "therapist"}, index=utterances.index
    )[placed["reason"] == ""].sort_values("session", kind="stable")
    both = speech.groupby("session")["therapist"].transform("nunique") == 2
    placed.loc[speech.index[~both], "reason"] = "one_speaker"
    speech = speech[both]
    first = speech["session"] != speech["session"].shift()
    new_turn = first | (speech["therapist"] != speech["therapist"].shift())
    opens = new_turn & speech["therapist"]
    t = opens.astype("int64").groupby(speech["session"]).cumsum() - 1
    answered = (~speech["therapist"]).groupby([speech["session"], t]).transform("any")
    leading, trailing = t < 0, ~answered
    placed.loc[speech.index, "turn"] = new_turn.cumsum() - 1
    placed.loc[speech.index, "t"] = t.where(~leading & ~trailing, -1)
    placed.loc[speech.index[leading], "reason"] = "leading_client"
    placed.loc[speech.index[trailing], "reason"] = "trailing_therapist"
    return placed


def form_exchanges(
    utterances: pd.DataFrame, placed: pd.DataFrame, covariates: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Join the rows that :func:`place_rows` placed into one row per exchange.

    Texts of one turn are joined by a space. ``time`` (seconds) and covariates are those of the exchange's
    first row.

    Returns
    -------
    DataFrame with dyad, session, t, therapist_text, client_text, then ``time`` if given, then covariates.
    """
    used = placed["reason"] == ""
    rows = utterances[used].join(placed[["session_index", "turn", "t"]])
    rows = rows.sort_values(["session_index", "turn"], kind="stable")
    starts = np.flatnonzero(rows["turn"].ne(rows["turn"].shift()).to_numpy())
    texts = rows["text"].str.strip().tolist()
    ends = [*starts[1:], len(texts)][: len(starts)]
    turns = [" ".join(texts[a:b]) for a, b in zip(starts, ends, strict=True)]
    # Used turns come in pairs, therapist then client: what would break the pair was set aside.
    columns = ["dyad", "session", "t", *(["time"] if "time" in rows.columns else []), *covariates]
    exchanges = rows.iloc[starts[::2]][columns].reset_index(drop=True)
    exchanges.insert(3, "therapist_text", pd.Series(turns[::2], dtype="str"))
    exchanges.insert(4, "client_text", pd.Series(turns[1::2], dtype="str"))
    return exchanges


def summarise(utterances: pd.DataFrame, placed: pd.DataFrame) -> dict[str, Any]:
    """Return the counts of a reading, JSON-able: rows_in = rows_used + the sum of set_aside."""
    used = placed["reason"] == ""
    counts = placed.loc[~used, "reason"].value_counts()
    in_use = utterances[used]
    per_session = placed[used].groupby("session_index")["t"].max() + 1
    return {
        "rows_in": len(placed),
        "rows_used": int(used.sum()),
        "set_aside": {reason: int(counts[reason]) for reason in REASONS if reason in counts.index},
        "turns": int(placed.loc[placed["turn"] >= 0, "turn"].nunique()),
        "exchanges": int(per_session.sum()),
        "dyads": int(in_use["dyad"].nunique()),
        "sessions": len(per_session),
        "sessions_without_exchange": int(placed["session_index"].nunique()) - len(per_session),
    }
