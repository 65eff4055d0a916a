"""Rows of a problem: exchanges completed to an unbroken t, scores checked."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.language.words import counted

_MOST_FILLED = 10  # rows of a problem for each exchange given: beyond, t is a clock and no count


def complete_rows(measures: xr.Dataset) -> pd.DataFrame:
    """Return one row per exchange with every gap in t filled, sorted; dyads and sessions in sorted order."""
    given = pd.DataFrame(
        {
            "dyad": measures["dyad"].values.astype(str),
            "session": measures["session"].values.astype(str),
            "t": measures["t"].values.astype(int),
            "row": np.arange(measures.sizes["exchange"]),
        }
    ).sort_values(["dyad", "session", "t"], kind="stable")
    spans = given.groupby(["dyad", "session"])["t"].agg(["min", "max"])
    grid = pd.DataFrame(
        [
            (dyad, session, t)
            for (dyad, session), low, high in spans.itertuples()
            for t in range(low, high + 1)
        ],
        columns=["dyad", "session", "t"],
    )
    frame = grid.merge(given, on=["dyad", "session", "t"], how="left")
    frame["row"] = frame["row"].fillna(-1).astype(int)
    frame["session_label"] = frame["dyad"] + ":" + frame["session"]
    frame["first"] = ~frame.duplicated("session_label")
    return frame


def are_gaps_few(measures: xr.Dataset, faults: FaultList) -> bool:
    """Return whether the gaps in t can be filled; where they are far more than the exchanges, note it."""
    session = pd.MultiIndex.from_arrays([measures[name].values.astype(str) for name in ("dyad", "session")])
    t = pd.Series(measures["t"].values.astype(int)).groupby(session)
    spans = t.max() - t.min() + 1
    given, rows = measures.sizes["exchange"], int(spans.sum())
    if rows > _MOST_FILLED * given:
        dyad, label = (spans - t.size()).idxmax()
        what = (
            f"the gaps in t would make {rows:,} exchanges of {given:,}: session {dyad}:{label} alone spans "
            f"{int(spans.max()):,}"
        )
        remedy = "t counts the exchanges of a session: 0, 1, 2, ...; give time as a covariate of its own"
        faults.add(what, remedy)
        return False
    return True


def check_lags(spec: ModelSpec, longest: int, faults: FaultList) -> None:
    """Note lags that go back further than the longest session; ``longest`` is its number of exchanges.

    Where every session is one exchange, no equation holds at all, and lags of one are no fault of their own.
    """
    told: set[str] = set()
    for path in spec.paths:
        for factor in path.term.factors:
            if factor.lag >= max(longest, 2) and str(factor) not in told:
                told.add(str(factor))
                size = counted(longest, "exchange")
                what = f"{factor} goes back further than the longest session, of {size}"
                faults.add(what, "Write a shorter lag", path.where)


def filled_values(values: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return values (exchange, C) at each row (N, C), missing where a gap was filled."""
    return np.where((row >= 0)[:, None], values[row], np.nan).astype(float)


def labels_of(values: xr.DataArray) -> NDArray[np.str_]:
    """Return a covariate as text, whole numbers without a point, the empty text where it is missing."""
    text = ["" if value is None or value != value else value for value in values.values.tolist()]
    whole = [int(value) if isinstance(value, float) and value.is_integer() else value for value in text]
    return np.array([str(value) for value in whole], dtype=np.str_)


def check_scores(
    spec: ModelSpec,
    constructs: tuple[str, ...],
    raw: np.ndarray,
    raw_se: np.ndarray,
    rated: np.ndarray,
    measurement: str,
    faults: FaultList,
) -> None:
    """Note constructs without a score or with one value only, and standard errors that are none.

    Each fault stands where the model first names the construct.
    """
    for c, name in enumerate(constructs):
        where = spec.where(name)
        present = raw[rated[:, c], c]
        if not present.size:
            faults.add(
                f"construct {name} has no score at all", "Rate it, or leave it out of the model", where
            )
        elif np.ptp(present) == 0:
            remedy = "Leave it out of the model: it cannot predict or be predicted"
            faults.add(f"construct {name} is constant", remedy, where)
        error = raw_se[:, c]
        bad = int((rated[:, c] & ~(np.isfinite(error) & (error > 0))).sum())
        if measurement != "none" and bad:
            what = f"construct {name} has {counted(bad, 'score')} without a finite standard error above 0"
            faults.add(what, 'Give every score its se, or fit with measurement="none"', where)
