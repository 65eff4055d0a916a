"""Measures from scores whose standard errors or reliabilities are known from elsewhere."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from statistics import NormalDist

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.measures.dataset import RESERVED, Notes, assemble, pick_covariates, sorted_by_key

type Matrix = NDArray[np.float64] | Sequence[Sequence[float]]

_TITLE = "These scores cannot be used as measures"


def as_measures(
    frame: pd.DataFrame,
    scores: Mapping[str, str],
    se: Mapping[str, str | float] | None = None,
    reliability: Mapping[str, float] | float | None = None,
    error_corr: pd.DataFrame | Matrix | None = None,
    covariates: Sequence[str] = (),
    *,
    kappa_sd: Mapping[str, float] | float = 0.0,
) -> xr.Dataset:
    """Return measures made of scores from elsewhere.

    Parameters
    ----------
    frame
        One row per exchange: ``dyad``, ``session``, ``t``, the columns named below.
    scores
        Construct to the column of its score, in any unit; missing where unrated.
    se
        Construct to the column of its standard error, or one number, in the score's unit; above 0.
    reliability
        Construct to its reliability, or one number for all, in (0, 1): for constructs without ``se`` the
        standard error is ``sd(score) sqrt(1 - reliability)``, the same at each exchange.
    error_corr
        Correlation of the errors across constructs: a table labelled with them, or an array in the order
        of ``scores``; None takes the errors as independent.
    covariates
        Columns to keep, numeric or short text.
    kappa_sd
        Standard deviation of the log error variance, per construct or one number: how surely the errors are
        known. 0 takes them as known exactly.

    Returns
    -------
    xarray.Dataset
        Measures: ``score``, ``se``, ``error_corr``, ``reliability`` with a 90 % equal-tailed interval that
        reflects ``kappa_sd`` only, ``kappa_sd``; ``identification`` is ``given``.

    Raises
    ------
    InputError
        All faults at once: missing columns, missing or duplicate keys, a construct all missing or constant,
        a standard error missing, infinite, zero or negative where there is a score, a construct with both or
        neither of ``se`` and ``reliability``, an ``error_corr`` that is no correlation matrix.
    """
    faults = FaultList()
    notes = Notes()
    constructs = list(scores)
    errors = dict(se or {})
    _check_names(frame, constructs, errors, reliability, faults)
    data = sorted_by_key(frame, faults, _TITLE)
    score = np.full((len(data), len(constructs)), np.nan)
    spread = np.full_like(score, np.nan)
    for c, name in enumerate(constructs):
        values = _numbers(data, scores[name], f"score of {name}", faults)
        if values is None:
            continue
        score[:, c] = values
        rated = np.isfinite(values)
        if not rated.any():
            faults.add(f"construct {name} has no score at all", "Leave it out, or give another column")
        elif np.ptp(values[rated]) == 0:
            faults.add(f"construct {name} is constant", "Leave it out: it cannot predict or be predicted")
        else:
            found = _error_of(name, values, errors, reliability, data, faults)
            if found is not None:
                spread[:, c] = np.where(rated, found, np.nan)
    corr = _correlation(error_corr, constructs, faults)
    kappa = np.array([_per_construct(kappa_sd, name, 0.0) for name in constructs])
    if (kappa < 0).any() or not np.isfinite(kappa).all():
        faults.add("kappa_sd is negative or missing", "Give 0, or a standard deviation of a log variance")
    kept = pick_covariates(data, constructs, covariates, notes, faults)
    faults.raise_if_any(_TITLE)
    by_construct = _reliabilities(score, spread, kappa, constructs, notes)
    if error_corr is None:
        notes.add("Errors of different constructs are taken as independent, since no error_corr was given.")
    notes.add(
        "The standard errors were given, not estimated from ratings."
        + (" They are taken as known exactly." if not kappa.any() else "")
    )
    return assemble(
        data, constructs, {"score": score, "se": spread}, by_construct, corr, kept, notes, "given"
    )


def _check_names(
    frame: pd.DataFrame,
    constructs: list[str],
    errors: dict[str, str | float],
    reliability: Mapping[str, float] | float | None,
    faults: FaultList,
) -> None:
    if not constructs:
        faults.add("no score is named", 'Give scores={"empathy": "column", ...}')
    for name in constructs:
        if name in RESERVED:
            faults.add(f"construct {name} bears the name of a part of measures", "Rename it")
    given = {"se": errors, "reliability": reliability if isinstance(reliability, Mapping) else {}}
    for option, mapping in given.items():
        for name in mapping:
            if name not in constructs:
                near = get_close_matches(str(name), constructs, n=1)
                hint = f"Did you mean {near[0]!r}? " if near else ""
                faults.add(
                    f"{option} names {name!r}, which has no score",
                    f"{hint}Use one of {', '.join(constructs)}",
                )


def _numbers(data: pd.DataFrame, column: str, what: str, faults: FaultList) -> NDArray[np.float64] | None:
    if column not in data.columns:
        near = get_close_matches(str(column), [str(name) for name in data.columns], n=1)
        faults.add(
            f"{what}: column {column!r} is missing", f"Did you mean {near[0]!r}?" if near else "Name a column"
        )
        return None
    values = pd.to_numeric(data[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    spoiled = int((np.isnan(values) & data[column].notna().to_numpy()).sum() + np.isinf(values).sum())
    if spoiled:
        faults.add(
            f"{what}: column {column!r} has {spoiled} values that are no finite numbers",
            "Leave the cell empty where a score is missing",
        )
        return None
    return values


def _error_of(
    name: str,
    values: NDArray[np.float64],
    errors: dict[str, str | float],
    reliability: Mapping[str, float] | float | None,
    data: pd.DataFrame,
    faults: FaultList,
) -> NDArray[np.float64] | None:
    """Return the standard error of one construct, shape (exchange,), or note the fault."""
    own = reliability.get(name) if isinstance(reliability, Mapping) else reliability
    if name in errors and isinstance(reliability, Mapping) and own is not None:
        faults.add(f"construct {name} has both se and reliability", "Give one of the two")
        return None
    if name not in errors:
        if own is None:
            faults.add(f"construct {name} has neither se nor reliability", "Give one of the two")
            return None
        if not 0 < own < 1:
            faults.add(f"construct {name} has reliability {own}", "Give a number between 0 and 1")
            return None
        return np.full(len(values), float(np.nanstd(values, ddof=1) * np.sqrt(1 - own)))
    given = errors[name]
    if isinstance(given, str):
        found = _numbers(data, given, f"se of {name}", faults)
    else:
        found = np.full(len(values), float(given))
    if found is not None:
        wrong = np.isfinite(values) & ~(np.isfinite(found) & (found > 0))
        if wrong.any():
            faults.add(
                f"se of {name} is missing, infinite, zero or negative at {int(wrong.sum())} scores",
                "Every score has an error above 0; leave out scores whose error is unknown",
            )
            return None
    return found


def _correlation(
    given: pd.DataFrame | Matrix | None, constructs: list[str], faults: FaultList
) -> NDArray[np.float64]:
    size = len(constructs)
    if given is None:
        return np.eye(size)
    table = pd.DataFrame(given)
    if isinstance(given, pd.DataFrame):
        lost = [n for n in constructs if n not in table.index or n not in table.columns]
        if lost:
            faults.add(f"error_corr lacks {', '.join(lost)}", "Label rows and columns with all constructs")
            return np.eye(size)
        table = table.loc[constructs, constructs]
    matrix = table.to_numpy(dtype=np.float64)
    if matrix.shape != (size, size):
        faults.add(f"error_corr has shape {matrix.shape}", f"Give {size} x {size}, in the order of scores")
    elif not (np.allclose(matrix, matrix.T, atol=1e-8) and np.allclose(np.diag(matrix), 1, atol=1e-8)):
        faults.add("error_corr is not symmetric with ones on its diagonal", "Give a correlation matrix")
    elif np.linalg.eigvalsh(matrix).min() <= 1e-8:
        faults.add("error_corr is not positive definite", "Shrink its off-diagonal towards 0")
    else:
        return matrix
    return np.eye(size)


def _reliabilities(
    score: NDArray[np.float64],
    se: NDArray[np.float64],
    kappa_sd: NDArray[np.float64],
    constructs: list[str],
    notes: Notes,
) -> dict[str, NDArray[np.float64]]:
    """Return reliability = 1 - mean squared se / variance of the scores, and its interval from kappa."""
    total = np.nanvar(score, axis=0, ddof=1)
    error = np.nanmean(np.square(se), axis=0)
    for name, far in zip(constructs, error >= total, strict=True):
        if far:
            notes.add(
                f"Warning: the errors given for {name} are as large as the spread of its scores: "
                "nothing is left for the true score, and its reliability is shown as 0."
            )
    z = NormalDist().inv_cdf(0.95)
    parts = {"reliability": 0.0, "reliability_lower": z, "reliability_upper": -z}
    found = {
        name: np.clip(1 - error * np.exp(shift * kappa_sd) / total, 0, 1) for name, shift in parts.items()
    }
    return {**found, "kappa_sd": kappa_sd}


def _per_construct(given: Mapping[str, float] | float, name: str, default: float) -> float:
    return float(given.get(name, default)) if isinstance(given, Mapping) else float(given)
