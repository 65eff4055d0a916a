"""The rows of a file as utterances: our column names, roles, seconds, and the order of speech."""

from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np
import pandas as pd

from bayesdyn.errors import FaultList
from bayesdyn.transcripts.speakers import normal_label, shown_names

NAMES = ("dyad", "session", "speaker", "text", "order", "time")
_REQUIRED = ("dyad", "session", "speaker", "text")
_OURS = ("t", "therapist_text", "client_text", "role", "source", "row")
_CLOCK = r"^(?:(\d+):)?(\d{1,3}):0?([0-5]\d(?:[.,]\d+)?)$"  # AnnoMI has a 00:09:025
_ROWS_NAMED = 5
_TIME_REMEDY = "Give seconds, clock times (1:02:03), or ISO dates"


def check_columns(columns: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """Check a column map (our name to theirs) before any file is read.

    Raises
    ------
    InputError
        A name of ours that we make ourselves, a value that is no column name.
    """
    faults = FaultList()
    for ours, theirs in (columns or {}).items():
        if ours in _OURS:
            faults.add(
                f"columns maps {ours!r}, a name this reading gives itself", "Call the covariate otherwise"
            )
        if theirs is None and ours != "session":
            faults.add(f"columns maps {ours!r} to None", "Only session may be None: one session per dyad")
        elif theirs is not None and not isinstance(theirs, str):
            faults.add(f"columns maps {ours!r} to no text", "Map it to a column's name")
    faults.raise_if_any("These columns cannot be used")
    return dict(columns or {})


def rename(
    frame: pd.DataFrame, columns: Mapping[str, str | None], source: str, faults: FaultList
) -> pd.DataFrame | None:
    """Return the mapped columns of one file under our names, or note what is missing and return None.

    A name that ``columns`` does not map is taken to be the same in the file; order and time are optional.
    The ids that a file's name gave stand in the frame already.
    """
    theirs: dict[str, str] = {}
    for ours in [*_REQUIRED, *[name for name in [*NAMES, *columns] if name not in _REQUIRED]]:
        name = columns.get(ours, ours)
        if name is None:
            continue
        if name in frame.columns:
            theirs[ours] = name
        elif ours in columns or ours in _REQUIRED:
            near = get_close_matches(name, [str(column) for column in frame.columns], n=1, cutoff=0.5)
            shown = shown_names(near)
            hint = f"Did you mean {shown!r}? " if near and "not shown" not in shown else ""
            mapping = f'Give columns={{"{ours}": ...}}'
            if ours == "session":
                mapping += ', or columns={"session": None} for one session per dyad'
            faults.add(
                f"column {name} is missing (found: {shown_names(frame.columns)})",
                hint + mapping,
                where=source,
            )
    if any(ours not in theirs and columns.get(ours, ours) is not None for ours in [*_REQUIRED, *columns]):
        return None
    renamed = pd.DataFrame({ours: frame[name].reset_index(drop=True) for ours, name in theirs.items()})
    if "session" not in renamed.columns:
        renamed["session"] = "1"
    return renamed.assign(source=source, row=np.arange(1, len(renamed) + 1))


def prepare(
    frame: pd.DataFrame, roles: Mapping[str, str], covariates: tuple[str, ...], faults: FaultList
) -> pd.DataFrame:
    """Give ids, roles, text, order and time their types; note every fault.

    Returns
    -------
    DataFrame with dyad, session, role, label, text (str), order (float64) and time (float64, seconds) where
    given, covariates (numbers where every value is one), source, row.
    """
    out = pd.DataFrame({name: _as_text(frame[name]) for name in ("dyad", "session", "text")})
    for name in ("dyad", "session"):
        out[name] = out[name].str.strip()
        _note_rows(faults, frame, out[name] == "", f"{name} is missing", "Give every row its ids")
    said_by = _as_text(frame["speaker"])
    labels = {label: normal_label(label) for label in said_by.unique()}
    out["label"] = said_by.map(labels).astype("str")
    role = {label: roles.get(label, "other") if label else "" for label in labels.values()}
    out["role"] = out["label"].map(role).astype("str")
    if "order" in frame.columns:
        order = _as_text(frame["order"]).str.strip()
        out["order"] = pd.to_numeric(order, errors="coerce").astype("float64")
        _note_rows(faults, frame, out["order"].isna(), "order is no number",
                   "Number every row, or leave order out: rows are then taken as they stand")  # fmt: skip
        twice = out["order"].notna() & out.duplicated(["dyad", "session", "order"], keep=False)
        for (dyad, session), group in frame[twice].groupby([out["dyad"], out["session"]], sort=False):
            faults.add(f"dyad {dyad}, session {session}: {len(group)} rows share an order with another "
                       f"({_rows(group)})",
                       "Number each row of a session once, or leave order out: rows are taken as they stand",
                       where=str(group["source"].iloc[0]))  # fmt: skip
    if "time" in frame.columns:
        out["time"], bad = _seconds(frame["time"], out)
        _note_rows(
            faults, frame, bad, "time is no time, or of another kind than the other rows", _TIME_REMEDY
        )
    for name in covariates:
        out[name] = _covariate(frame[name])
    return out.assign(source=frame["source"], row=frame["row"])


def in_order(utterances: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Sort the rows of each session by ``order``, else by ``time``, else not at all.

    Sorting is stable; a row without a time stays behind the row above it. Sessions keep the order of their
    first rows.

    Returns
    -------
    The sorted table (a new index from 0) and the number of rows whose place in their session changed.
    """
    session = utterances.groupby(["dyad", "session"], sort=False).ngroup()
    if "order" in utterances.columns:
        rank = utterances["order"]
    elif "time" in utterances.columns:
        rank = utterances.groupby(session)["time"].ffill().fillna(-np.inf)
    else:
        rank = pd.Series(0.0, index=utterances.index)
    before = session.groupby(session).cumcount()
    positions = (
        pd.DataFrame({"session": session, "rank": rank}).sort_values(["session", "rank"], kind="stable").index
    )
    after = before.loc[positions]
    place = session.loc[positions].groupby(session.loc[positions]).cumcount()
    return utterances.loc[positions].reset_index(drop=True), int((after != place).sum())


def _as_text(column: pd.Series) -> pd.Series:
    """Text of any column: missing is empty, and a whole number that came as 3.0 is 3."""

    def text(value: object) -> str:
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            return ""
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

    if isinstance(column.dtype, pd.StringDtype):
        return column.fillna("").astype("str")
    return column.map(text).astype("str")


def _covariate(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    text = _as_text(column).str.strip()
    blank = text == ""
    numbers = pd.to_numeric(text.where(~blank), errors="coerce")
    return (
        numbers.astype("float64") if (numbers.notna() | blank).all() and not blank.all() else text.mask(blank)
    )


def _seconds(column: pd.Series, keys: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Seconds, and the rows that are neither a time nor blank. Dates count from their session's earliest."""
    if pd.api.types.is_timedelta64_dtype(column):
        return column.dt.total_seconds(), pd.Series(False, index=column.index)
    if pd.api.types.is_numeric_dtype(column):
        seconds = column.astype("float64")
        return seconds, np.isinf(seconds)
    text = _as_text(column).str.strip()
    blank = text == ""
    plain = pd.to_numeric(text.where(~blank), errors="coerce").astype("float64")
    parts = text.str.extract(_CLOCK)
    clock = (
        3600 * pd.to_numeric(parts[0]).fillna(0)
        + 60 * pd.to_numeric(parts[1])
        + pd.to_numeric(parts[2].str.replace(",", "."))
    ).astype("float64")
    seconds = plain.fillna(clock)
    rest = ~blank & seconds.isna()
    if rest.any():
        dates = pd.to_datetime(text.where(rest), errors="coerce", format="ISO8601", utc=True)
        if dates.notna().sum() * 2 > (~blank).sum():  # a column of dates: what is not one is the fault
            start = dates.groupby([keys["dyad"], keys["session"]]).transform("min")
            return (dates - start).dt.total_seconds(), ~blank & dates.isna()
    return seconds, rest | np.isinf(seconds)


def _note_rows(faults: FaultList, frame: pd.DataFrame, bad: pd.Series, what: str, remedy: str) -> None:
    """One fault per file, naming its first rows."""
    for source, group in frame[bad].groupby("source", sort=False):
        faults.add(f"{what} in {_rows(group)}", remedy, where=str(source))


def _rows(group: pd.DataFrame) -> str:
    named = ", ".join(str(row) for row in group["row"].head(_ROWS_NAMED))
    more = f" and {len(group) - _ROWS_NAMED} more" if len(group) > _ROWS_NAMED else ""
    return f"row{'s' * (len(group) > 1)} {named}{more}"
