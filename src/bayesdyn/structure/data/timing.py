"""Time between exchanges, where a model lets its lags decay with it (``[model] time = "minutes"``)."""

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.language.words import counted, did_you_mean, sentence

type Floats = np.ndarray


def read_times(
    spec: ModelSpec, measures: xr.Dataset, frame: pd.DataFrame, row: np.ndarray, faults: FaultList
) -> Floats:
    """Return the time of each exchange (N,); one that fills a gap is placed evenly between its neighbours.

    Parameters
    ----------
    spec
        A model whose ``time`` names the covariate that is the time, in any unit, growing within each session.
    measures, frame, row
        The measures, the problem's rows (:func:`.rows.complete_rows`), and (N,) their place in the measures.
    faults
        Receives a time that is missing, no number, or does not grow, at the line of ``time`` in the model.
    """
    name, where = spec.time, spec.line_of("model", "time")
    nothing = np.arange(len(row), dtype=float)
    if name not in measures or measures[name].dtype.kind not in "biuf":
        said = "no number" if name in measures else "not among the measures"
        numbers = [str(other) for other in measures.data_vars if _is_number_of_exchanges(measures[other])]
        remedy = sentence(did_you_mean(name, numbers), "Name a covariate that is a number, such as minutes")
        faults.add(f"time = {name!r} is {said}", remedy, where)
        return nothing
    values = measures[name].values.astype(float)
    lost = int((~np.isfinite(values)).sum())
    if lost:
        faults.add(f"time {name} misses {counted(lost, 'value')}", "Say the time of every exchange", where)
        return nothing
    session = frame["session_label"].to_numpy()
    known = pd.Series(np.where(row >= 0, values[row], np.nan))
    times = known.groupby(session).transform(lambda part: part.interpolate()).to_numpy()
    back = (session[1:] == session[:-1]) & (np.diff(times) <= 0)
    if back.any():
        which = ", ".join(dict.fromkeys(session[1:][back]))
        what = f"time {name} does not grow within sessions ({which})"
        faults.add(what, "Sort out the times of these exchanges", where)
        return nothing
    return times


def _is_number_of_exchanges(variable: xr.DataArray) -> bool:
    return variable.dims == ("exchange",) and variable.dtype.kind in "biuf"


def usual_time(times: Floats, later: np.ndarray, measures: xr.Dataset | None = None) -> float:
    """Return the usual time between two exchanges: what the measures fix it at, else the median.

    Parameters
    ----------
    times, later
        (N,) time of each exchange, and whether its session has one before it.
    measures
        May hold ``usual_time``, a number: part of a corpus is to mean by its paths what the whole does.
    """
    if measures is not None and "usual_time" in measures:
        return float(measures["usual_time"])
    steps = np.diff(times)[later[1:]]
    return float(np.median(steps)) if steps.size else 1.0


def excess_time(times: Floats, position: Floats, order: int, usual: float) -> Floats:
    """Return how much more time than usual lies between an exchange and those before it.

    Parameters
    ----------
    times, position
        (N,) time of each exchange, and its place in its session, from 0.
    order
        K, the longest lag.
    usual
        Time that usually lies between two exchanges (:func:`usual_time`).

    Returns
    -------
    numpy.ndarray
        (N, K): time since k exchanges before, in usual times, less k; 0 where there is none in the session.
    """
    lags = np.arange(1, order + 1)
    earlier = np.maximum(np.arange(len(times))[:, None] - lags, 0)
    return np.where(position[:, None] >= lags, (times[:, None] - times[earlier]) / usual - lags, 0.0)
