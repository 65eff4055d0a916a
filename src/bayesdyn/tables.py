"""The two tables that travel between stages, checked once at the door: Exchanges and Ratings.

Both are plain pandas DataFrames. The checks return a copy with fixed columns, order and dtypes, or raise
one :class:`~bayesdyn.errors.InputError` that gathers every fault. No message quotes a text column.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pandera.pandas as pa

from bayesdyn.errors import FaultList

KEY = ["dyad", "session", "t"]
EXCHANGE_COLUMNS = [*KEY, "therapist_text", "client_text"]
RATING_COLUMNS = [
    *KEY, "construct", "rater", "replicate", "value", "probabilities", "off_scale",
    "scale_min", "scale_max", "rater_kind", "method", "reason", "prompt_hash", "codebook_hash", "panel_hash",
]  # fmt: skip
LABELLING = "labelling_probability"
RATER_PRIORS = "rater_priors"
"""Attribute of Measures: as JSON, what was assumed of the raters of each construct."""
"""Optional column of human ratings: the known probability with which the exchange was chosen for coding."""
HASHES = ("prompt_hash", "codebook_hash", "panel_hash")
"""Columns of what an LLM was asked with, when it was asked; empty for ratings from elsewhere."""
RATER_KINDS = ("llm", "human")

_WHOLE = pa.Check(lambda column: (column >= 0) & (column % 1 == 0), name="whole")
_FINITE = pa.Check(lambda column: np.isfinite(column), name="finite")
_NAME = pa.Column(str, pa.Check.str_length(min_value=1), coerce=True)
# Whole numbers are checked as float64 and cast afterwards: coercing 1.5 to int64 would quietly give 1.
_COUNT = pa.Column("float64", _WHOLE, coerce=True)
_NUMBER = pa.Column("float64", _FINITE, nullable=True, coerce=True)
_TEXT = pa.Column(str, coerce=True)
_COUNTS = ("t", "replicate")

_EXCHANGES = pa.DataFrameSchema(
    {"dyad": _NAME, "session": _NAME, "t": _COUNT, "therapist_text": _TEXT, "client_text": _TEXT}
)
_RATINGS = pa.DataFrameSchema(
    {
        "dyad": _NAME,
        "session": _NAME,
        "t": _COUNT,
        "construct": _NAME,
        "rater": _NAME,
        "replicate": _COUNT,
        "value": _NUMBER,
        "off_scale": pa.Column("float64", pa.Check.in_range(0, 1), nullable=True, coerce=True),
        "scale_min": _NUMBER,
        "scale_max": _NUMBER,
        "rater_kind": pa.Column(str, pa.Check.isin(RATER_KINDS), coerce=True),
        LABELLING: pa.Column(
            "float64", pa.Check.in_range(0, 1, include_min=False), nullable=True, coerce=True, required=False
        ),
    }
)
_FAULTS: dict[str, tuple[str, str]] = {
    "dyad": ("dyad is empty", "Give every row its ids"),
    "session": ("session is empty", "Give every row its ids"),
    "t": ("t is no whole number from 0", "Number the exchanges of a session 0, 1, ..."),
    "therapist_text": ("therapist_text is missing", "Give every exchange both texts"),
    "client_text": ("client_text is missing", "Give every exchange both texts"),
    "construct": ("construct is empty", "Name the construct that was rated"),
    "rater": ("rater is empty", "Name who gave the rating"),
    "replicate": ("replicate is no whole number from 0", "Number a rater's repeated ratings 0, 1, ..."),
    "value": ("value is no finite number", "Leave it empty where unrated, and give the reason"),
    "off_scale": ("off_scale is no probability", "Give the mass off the scale, between 0 and 1"),
    "scale_min": ("scale_min is no finite number", "Give the scale's lowest point"),
    "scale_max": ("scale_max is no finite number", "Give the scale's highest point"),
    "rater_kind": ("rater_kind is neither llm nor human", "Give one of the two"),
    LABELLING: (f"{LABELLING} is no probability", "Give it above 0, and 1 at most"),
}
_SHOWN = ("t", "replicate", "off_scale", "scale_min", "scale_max", "rater_kind", LABELLING)
"""Columns whose faulty value an error shows: none of them can hold a piece of a transcript's text."""


def check_exchanges(frame: pd.DataFrame) -> pd.DataFrame:
    """Check a table of exchanges and return it sorted by dyad, session, t.

    Parameters
    ----------
    frame
        One row per exchange: ``dyad`` and ``session`` (text; session ids are unique within a dyad only),
        ``t`` (0, 1, ... within its session), ``therapist_text``, ``client_text``; further columns (``time``
        in seconds, covariates) are kept.

    Raises
    ------
    InputError
        Missing columns, missing or duplicate keys, a ``t`` that is no whole number from 0, an empty table.
    """
    return _checked(frame, _EXCHANGES, EXCHANGE_COLUMNS, KEY, "exchanges")


def check_ratings(frame: pd.DataFrame) -> pd.DataFrame:
    """Check a long table of ratings, fill the optional columns and return it sorted.

    Parameters
    ----------
    frame
        One row per rater, construct and replicate at an exchange. Required: ``dyad``, ``session``, ``t``,
        ``construct``, ``rater``, ``value`` (missing where unrated). Optional: ``replicate`` (0),
        ``probabilities`` (sequence over the scale points from ``scale_min`` to ``scale_max``),
        ``off_scale`` (probability mass off the scale), ``scale_min``, ``scale_max``, ``rater_kind``
        (``llm`` or ``human``; default ``human``, since ratings from elsewhere are coders'), ``method``,
        ``reason`` (why unrated), ``prompt_hash``, ``codebook_hash``, ``panel_hash`` (what an LLM was asked
        with, when it was asked), ``labelling_probability`` (of human ratings only: above 0, the known
        probability with which the exchange was chosen to be coded, one per exchange).

    Raises
    ------
    InputError
        Missing columns, duplicate rows, values off their scale, probabilities that are no distribution,
        labelling probabilities of LLMs, missing for some or several of one exchange.
    """
    defaults: dict[str, Any] = {
        "replicate": 0, "probabilities": None, "off_scale": np.nan, "scale_min": np.nan, "scale_max": np.nan,
        "rater_kind": "human", "method": "", "reason": "", **dict.fromkeys(HASHES, ""),
    }  # fmt: skip
    filled = frame.copy(deep=False)
    for name, value in defaults.items():
        if name not in filled.columns:
            filled[name] = (
                pd.Series([value] * len(filled), index=filled.index, dtype=object) if value is None else value
            )
    for name in ("method", "reason", *HASHES):
        filled[name] = filled[name].fillna("").astype(str)
    required = [*KEY, "construct", "rater", "value"]
    checked = _checked(filled, _RATINGS, required, [*KEY, "construct", "rater", "replicate"], "ratings")
    faults = FaultList()
    off = checked["value"].notna() & (
        (checked["value"] < checked["scale_min"] - 1e-9) | (checked["value"] > checked["scale_max"] + 1e-9)
    )
    for row in checked[off].itertuples():
        faults.add(f"value {row.value:g} is off its scale {row.scale_min:g} to {row.scale_max:g}",
                   "Mend the value or the scale", where=_place(row))  # fmt: skip
    for row in checked[checked["probabilities"].notna()].itertuples():
        p = np.asarray(row.probabilities, dtype=float)
        points = row.scale_max - row.scale_min + 1
        if p.ndim != 1 or len(p) != points or not (p.min() >= 0 and abs(p.sum() - 1) <= 1e-6):
            faults.add(f"probabilities are no distribution over the {points:g} scale points",
                       "Give one per scale point, sum 1", where=_place(row))  # fmt: skip
    if LABELLING in checked.columns:
        _check_labelling(checked, faults)
    faults.raise_if_any("These ratings cannot be used")
    unrated = checked["value"].isna() & (checked["reason"] == "")
    checked.loc[unrated, "reason"] = "missing"
    return checked[[*RATING_COLUMNS, *[name for name in checked.columns if name not in RATING_COLUMNS]]]


def _check_labelling(checked: pd.DataFrame, faults: FaultList) -> None:
    """Note labelling probabilities of LLMs, those that are missing, and several of one exchange."""
    given, human = checked[LABELLING].notna(), checked["rater_kind"] == "human"
    for row in checked[given & ~human].itertuples():
        faults.add(f"an LLM's rating has a {LABELLING}", "Leave it empty: LLMs rate what they are given",
                   where=_place(row))  # fmt: skip
    if not (given & human).any():
        return
    for row in checked[human & ~given & checked["value"].notna()].itertuples():
        faults.add(f"{LABELLING} is missing, and others have one",
                   "Give every coded exchange its own, or none", where=_place(row))  # fmt: skip
    of_exchange = checked[given & human].groupby(KEY)[LABELLING]
    for (dyad, session, t), several in of_exchange.unique().items():
        if len(several) > 1:
            faults.add(f"{LABELLING} is {' and '.join(f'{value:g}' for value in several)}",
                       "An exchange is chosen once: give all its rows the same",
                       where=f"dyad {dyad}, session {session}, t {t}")  # fmt: skip


def _checked(
    frame: pd.DataFrame, schema: pa.DataFrameSchema, required: list[str], unique: list[str], noun: str
) -> pd.DataFrame:
    faults = FaultList()
    repeated = sorted(
        {str(name) for name in frame.columns[frame.columns.duplicated()]} & {*required, *unique}
    )
    if repeated:
        faults.add(f"column {', '.join(repeated)} stands more than once", "Name each column once")
    missing = [name for name in required if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns))
        faults.add(f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing (found: {found})",
                   "Rename your columns, or give a column map")  # fmt: skip
    elif frame.empty:
        faults.add("the table has no rows", "Check that the file or filter is the one you meant")
    faults.raise_if_any(f"These {noun} cannot be used")
    for name in ("dyad", "session"):
        for row in frame.index[frame[name].isna()]:
            faults.add(f"{name} is missing", "Give every row its ids", where=f"row {row}")
    faults.raise_if_any(f"These {noun} cannot be used")
    try:
        checked = schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        _add_cases(error.failure_cases, faults)
        faults.raise_if_any(f"These {noun} cannot be used")
        raise
    checked = checked.astype({name: "int64" for name in _COUNTS if name in schema.columns})
    twice = checked.duplicated(unique, keep=False)
    if twice.any():
        for key, group in checked[twice].groupby(unique, sort=True):
            rows = ", ".join(map(str, group.index[:5]))
            faults.add(
                f"{_named(unique, key)} stands in rows {rows}", f"Keep one row per {', '.join(unique)}"
            )
    faults.raise_if_any(f"These {noun} cannot be used")
    return checked.sort_values(unique, kind="stable").reset_index(drop=True)


def _add_cases(cases: pd.DataFrame, faults: FaultList) -> None:
    """Note one fault per faulty cell; pandera reports a cell once for each check that it fails."""
    seen = set()
    placed = cases["index"].notna()
    for case in cases[placed if placed.any() else ~placed].itertuples():
        column = str(case.column)
        if (column, case.index) in seen:
            continue
        seen.add((column, case.index))
        what, remedy = _FAULTS.get(column, (f"{column} fails {case.check}", ""))
        found = f" (found {case.failure_case!r})"
        shown = found if column in _SHOWN and len(found) <= _LONGEST_SHOWN else ""
        faults.add(what + shown, remedy, where="" if pd.isna(case.index) else f"row {case.index}")


def _named(names: list[str], key: Iterable[object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, key, strict=True))


class _Row(Protocol):
    dyad: str
    session: str
    t: int
    construct: str
    rater: str


def _place(row: _Row) -> str:
    return f"dyad {row.dyad}, session {row.session}, t {row.t}, {row.construct}, rater {row.rater}"


_LONGEST_SHOWN = 40
