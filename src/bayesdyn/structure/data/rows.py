"""Rows of a problem: exchanges completed to an unbroken t, scores checked."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.words import counted


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


def filled_values(values: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return values (exchange, C) at each row (N, C), missing where a gap was filled."""
    return np.where((row >= 0)[:, None], values[row], np.nan).astype(float)


def labels_of(values: xr.DataArray) -> NDArray[np.str_]:
    """Return a covariate as text, whole numbers without a point, the empty text where it is missing."""
    text = ["" if value is None or value != value else value for value in values.values.tolist()]
    whole = [int(value) if isinstance(value, float) and value.is_integer() else value for value in text]
    return np.array([str(value) for value in whole], dtype=np.str_)


def check_scores(
    constructs: tuple[str, ...],
    raw: np.ndarray,
    raw_se: np.ndarray,
    rated: np.ndarray,
    measurement: str,
    faults: FaultList,
) -> None:
    """Note constructs that have no score, one score only, or standard errors that are not above 0."""
    for c, name in enumerate(constructs):
        present = raw[rated[:, c], c]
        if not present.size:
            faults.add(f"construct {name} has no score at all", "Rate it, or leave it out of the model")
        elif np.ptp(present) == 0:
            faults.add(
                f"construct {name} is constant",
                "Leave it out of the model: it cannot predict or be predicted",
            )
        bad = rated[:, c] & ~(raw_se[:, c] > 0)
        if measurement != "none" and bad.any():
            faults.add(
                f"construct {name} has {counted(int(bad.sum()), 'score')} without a standard error above 0",
                'Give every score its se, or fit with measurement="none"',
            )
