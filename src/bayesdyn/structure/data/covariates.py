"""Covariates at each row of a problem, and whether their terms can be told apart."""

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import BUILT_IN_COVARIATES, ModelSpec, Term
from bayesdyn.structure.language.words import counted

_LEAST_OWN = 1e-6  # share of a column's norm that no other column explains: below it, rounding error


def covariate_values(
    name: str, measures: xr.Dataset, frame: pd.DataFrame, row: np.ndarray, faults: FaultList, where: str = ""
) -> np.ndarray:
    """Return one covariate at each row (N,), ``phase`` computed; note missing and infinite values.

    ``where`` is the covariate's place in the model file.
    """
    if name in BUILT_IN_COVARIATES and name not in measures:
        place = frame.groupby("session_label")["t"]
        span = (place.transform("max") - place.transform("min")).to_numpy()
        return np.where(span > 0, (frame["t"] - place.transform("min")) / np.maximum(span, 1) - 0.5, 0.0)
    if name not in measures or measures[name].dtype.kind not in "biuf":
        return np.zeros(len(row))  # a covariate of text that could not be coded: a fault already
    values = measures[name].values.astype(float)
    # A gap has no covariate of its own: it takes the value before it, which for a fixed trait is exact.
    filled = pd.Series(np.where(row >= 0, values[row], np.nan))
    gap = row < 0
    lost = ~np.isfinite(values)
    if lost.any():
        faults.add(f"covariate {name} misses {counted(int(lost.sum()), 'value')}", "Fill or drop them", where)
    return filled.where(~gap, filled.groupby(frame["session_label"].to_numpy()).ffill()).to_numpy()


def check_collinear(
    spec: ModelSpec,
    covariates: tuple[str, ...],
    covariate: np.ndarray,
    previous: np.ndarray,
    faults: FaultList,
) -> None:
    """Note terms of covariates that are the same at every exchange, or a combination of others.

    Only terms of covariates alone are looked at: constructs are latent, and their terms hold error.

    Parameters
    ----------
    spec
        The model; terms are compared within each outcome's equation.
    covariates, covariate, previous
        (Q,) names, (N, Q) values, and (N,) indices of the exchange before, -1 at a start: equations hold at
        the other exchanges.
    """
    later = np.flatnonzero(previous >= 0)
    position = _position(previous)
    told: set[str] = set()
    for outcome in spec.outcomes if len(later) else ():
        terms: list[str] = []
        columns: list[np.ndarray] = []
        for path in spec.paths:
            if path.outcome != outcome or path.fixed is not None or not _is_covariate(path.term, covariates):
                continue
            column = _column(path.term, covariates, covariate, position, later)
            spread = np.linalg.norm(column)
            others = _explained_by(column, columns, terms) if spread else []
            if spread and not others:
                terms.append(str(path.term))
                columns.append(column / spread)
                continue
            name, where = str(path.term), path.where
            # Sessions of two exchanges have one phase; their first exchange still tells the mean.
            if name not in told and others:
                what = f"{', '.join(others)} and {name} are perfectly collinear in the equation of {outcome}"
                faults.add(what, f"Leave one out: {name} is a combination of the rest", where)
            elif name not in told and not set(path.term.names) <= set(BUILT_IN_COVARIATES):
                what = f"{name} is the same at every exchange that has one before it"
                faults.add(what, "Leave it out: it cannot be told from the mean", where)
            told.add(name)


def _is_covariate(term: Term, covariates: tuple[str, ...]) -> bool:
    return all(factor.name in covariates and factor.kind != "mean" for factor in term.factors)


def _position(previous: np.ndarray) -> np.ndarray:
    """Return each exchange's place in its session, from 0."""
    every = np.arange(len(previous))
    return every - np.maximum.accumulate(np.where(previous < 0, every, 0))


def _column(
    term: Term, covariates: tuple[str, ...], covariate: np.ndarray, position: np.ndarray, later: np.ndarray
) -> np.ndarray:
    """Return a term's values at the later exchanges less their mean, exactly 0 where they are constant."""
    value = np.ones(len(later))
    for factor in term.factors:
        # As in the equations: what would lie before the session's start is the covariate at its start.
        rows = later - np.minimum(factor.lag, position[later])
        value = value * covariate[rows, covariates.index(factor.name)]
    return value - value.mean() if np.ptp(value) > 0 else np.zeros(len(later))


def _explained_by(column: np.ndarray, columns: list[np.ndarray], terms: list[str]) -> list[str]:
    """Return the terms of which a column is a combination, an empty list where it is none."""
    if not columns:
        return []
    unit = column / np.linalg.norm(column)
    basis = np.column_stack(columns)
    weights = np.linalg.lstsq(basis, unit)[0]
    if np.linalg.norm(unit - basis @ weights) > _LEAST_OWN:
        return []
    return [term for term, weight in zip(terms, weights, strict=True) if abs(weight) > _LEAST_OWN]
