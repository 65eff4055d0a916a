"""Time between exchanges, where a model lets its lags decay with it (``[model] time = "minutes"``)."""

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList

type Floats = np.ndarray


def excess_time(
    name: str, order: int, measures: xr.Dataset, frame: pd.DataFrame, row: np.ndarray, faults: FaultList
) -> Floats:
    """Return how much more time than usual lies between an exchange and each one before it.

    The usual time between two exchanges is the median over the corpus. An exchange that fills a gap is placed
    evenly between its neighbours.

    Parameters
    ----------
    name
        The covariate that is the time, in any unit, growing within each session.
    order
        K, the longest lag.
    measures, frame, row
        The measures, the problem's rows (:func:`.rows.complete_rows`), and (N,) their place in the measures.
    faults
        Receives a time that is missing, no number, or does not grow.

    Returns
    -------
    numpy.ndarray
        (N, K): time since k exchanges before, in usual times, less k; 0 where there is none in the session.
    """
    if name not in measures or measures[name].dtype.kind not in "biuf":
        said = "no number" if name in measures else "not among the measures"
        faults.add(f"time = {name!r} is {said}", "Name a covariate that is a number, such as minutes")
        return np.zeros((len(row), order))
    values = measures[name].values.astype(float)
    if not np.isfinite(values).all():
        faults.add(
            f"time {name} misses {int((~np.isfinite(values)).sum())} values", "Say the time of every exchange"
        )
        return np.zeros((len(row), order))
    session = frame["session_label"].to_numpy()
    at = pd.Series(np.where(row >= 0, values[row], np.nan))
    at = at.groupby(session).transform(lambda part: part.interpolate()).to_numpy()
    same = session[1:] == session[:-1]
    step = np.diff(at)
    if (step[same] <= 0).any():
        which = ", ".join(dict.fromkeys(session[1:][same & (step <= 0)]))
        faults.add(
            f"time {name} does not grow within sessions ({which})", "Sort out the times of these exchanges"
        )
        return np.zeros((len(row), order))
    usual = np.median(step[same]) if same.any() else 1.0
    excess = np.zeros((len(row), order))
    for lag in range(1, order + 1):
        begun = np.append(np.zeros(lag, dtype=bool), session[lag:] == session[:-lag])
        since = at - np.append(np.zeros(lag), at[:-lag])
        excess[:, lag - 1] = np.where(begun, since / usual - lag, 0.0)
    return excess
