"""Measures and a spec as the arrays an engine needs: the shape that all engines share.

Exchanges are completed to an unbroken t within each session (a gap is an exchange that nobody rated),
constructs are standardised, and every term is a product of columns of one factor matrix, so that an
engine holds no case analysis over the model language.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.structure.data.categories import code_categories
from bayesdyn.structure.data.covariates import check_collinear, covariate_values
from bayesdyn.structure.data.groups import Grouping, read_groups
from bayesdyn.structure.data.levels import (
    check_means,
    few_groups,
    level_notes,
    merge_levels,
    silent_sessions,
)
from bayesdyn.structure.data.rated import Rated, check_rated, read_rated
from bayesdyn.structure.data.rows import are_gaps_few, check_lags, check_scores, complete_rows, filled_values
from bayesdyn.structure.data.standardising import one_error, standardisation
from bayesdyn.structure.data.timing import excess_time, read_times, usual_time
from bayesdyn.structure.language.blocks import check_blocks
from bayesdyn.structure.language.laws import endogenous_of, lawless, with_default_laws, with_parties
from bayesdyn.structure.language.model_file import check_names
from bayesdyn.structure.language.priors import unused_priors
from bayesdyn.structure.language.spec import MEASUREMENTS, ModelSpec
from bayesdyn.structure.language.terms import TermTable, check_terms, offsets, tabulate
from bayesdyn.structure.language.words import counted


@dataclass(frozen=True)
class Problem:
    """Everything an engine needs; N exchanges, C constructs, V of them with a law, S sessions, D dyads.

    Attributes
    ----------
    spec
        With the default laws of noisy predictors, the contrasts of categorical covariates, and the party of
        every construct written out.
    measurement
        One of :data:`.language.spec.MEASUREMENTS`.
    constructs, endogenous, covariates
        Names, in the order of the arrays' columns; ``endogenous`` are those with a law, predictors first.
    dyads, sessions
        Labels; a session's label is ``dyad:session``.
    row
        (N,) index into the measures' exchanges, -1 where a gap was filled.
    session_of, dyad_of, dyad_of_session
        (N,), (N,), (S,) indices.
    t, previous
        (N,) exchange number within the session, and index of the exchange before it, -1 at a start.
    score, se, rated
        (N, C) standardised scores (0 where unrated), standard errors (1 where unrated), mask.
    covariate
        (N, Q) values.
    error_corr, kappa_sd
        (C, C) error correlation R; (C,) prior SD of kappa.
    shift, scale
        (C,) raw = shift + scale * standardised.
    terms
        Every term as products of factor columns.
    times
        (N,) time of each exchange where the model has time, else its number.
    usual_time
        Time between two exchanges at which paths of lags hold as they are.
    groupings
        What effects can vary by; dyads and sessions always.
    rated_by
        The ratings themselves, with measurement ``joint``.
    notes
        Sentences that must reach the report.
    """

    spec: ModelSpec
    measurement: str
    constructs: tuple[str, ...]
    endogenous: tuple[str, ...]
    covariates: tuple[str, ...]
    dyads: tuple[str, ...]
    sessions: tuple[str, ...]
    row: np.ndarray
    session_of: np.ndarray
    dyad_of: np.ndarray
    dyad_of_session: np.ndarray
    t: np.ndarray
    previous: np.ndarray
    score: np.ndarray
    se: np.ndarray
    rated: np.ndarray
    covariate: np.ndarray
    error_corr: np.ndarray
    kappa_sd: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    terms: TermTable
    times: np.ndarray
    usual_time: float
    groupings: tuple[Grouping, ...]
    rated_by: Rated | None = None
    notes: tuple[str, ...] = ()

    @property
    def blocks(self) -> dict[str, int]:
        """First column of each block of the factor matrix, and its ``width`` (:mod:`.language.terms`)."""
        return offsets(len(self.constructs), len(self.covariates), self.spec.order)

    @property
    def position(self) -> np.ndarray:
        """(N,) place of each exchange in its session, from 0; whatever the sessions' numbers are."""
        at = np.arange(len(self.t))
        return at - np.maximum.accumulate(np.where(self.previous < 0, at, 0))

    @property
    def excess(self) -> np.ndarray:
        """(N, K) how much more time than usual lies behind each lag (:func:`.data.timing.excess_time`)."""
        return excess_time(self.times, self.position, self.spec.order, self.usual_time)

    def grouping(self, name: str) -> Grouping:
        """Return the groups of that name: dyads, sessions, or those that a covariate names."""
        return next(grouping for grouping in self.groupings if grouping.name == name)

    @property
    def starts(self) -> np.ndarray:
        """(S,) index of each session's first exchange."""
        return np.flatnonzero(self.previous < 0)

    @property
    def later(self) -> np.ndarray:
        """(N - S,) indices of exchanges with one before them, where the equations hold."""
        return np.flatnonzero(self.previous >= 0)


def measurement_of(spec: ModelSpec, asked: str | None = None) -> str:
    """Return how scores are taken: as asked for, else as the model file says, else ``known``."""
    return asked or spec.measurement or "known"


def prepare(
    measures: xr.Dataset,
    spec: ModelSpec,
    measurement: str = "known",
    *,
    error_factor: float = 1.0,
    kappa: bool = True,
) -> Problem:
    """Turn measures and a spec into a problem.

    Parameters
    ----------
    measures
        As :func:`bayesdyn.measure` or :func:`bayesdyn.as_measures` gives.
    spec
        As :func:`bayesdyn.load_model` gives.
    measurement
        One of :data:`.language.spec.MEASUREMENTS`.
    error_factor
        Multiplies every error variance (sensitivity); the standardisation does not change with it.
    kappa
        False fixes kappa at 0: the standard errors are taken as known exactly.

    Raises
    ------
    InputError
        Unknown names (with line and nearest), an all-missing or constant construct, missing covariate values,
        categorical covariates that cannot be coded (:mod:`.data.categories`), constant or perfectly collinear
        covariates, means of covariates, means of a session and of its dyad where they are the same, slopes
        that vary over a mean, lags longer than every session, gaps far more than the exchanges, residuals
        that covary in part, standard errors that are no finite numbers above 0, or an unknown setting.
    """
    faults = FaultList()
    if measurement not in MEASUREMENTS:
        faults.add(f"measurement {measurement!r} is unknown", f"Use one of {', '.join(MEASUREMENTS)}")
    if error_factor <= 0:
        faults.add(f"error_factor {error_factor} is not above 0", 'Use measurement="none" for no error')
    faults.raise_if_any("This model cannot be fitted")
    available = [str(name) for name in measures["construct"].values]
    extra = [str(name) for name in measures.data_vars if measures[name].dims == ("exchange",)]
    check_names(spec, available, extra)
    coded = code_categories(spec, measures, faults)
    spec, measures = coded.spec, coded.measures
    constructs = tuple(name for name in spec.names if name in available)
    covariates = tuple(name for name in spec.names if name not in available)

    title = f"Model {spec.name!r} cannot be fitted to these measures"
    if not are_gaps_few(measures, faults):
        faults.raise_if_any(title)
    frame = complete_rows(measures)
    row = frame["row"].to_numpy()
    picked = measures.sel(construct=list(constructs))
    raw, raw_se = filled_values(picked["score"].values, row), filled_values(picked["se"].values, row)
    rated = np.isfinite(raw)
    check_scores(spec, constructs, raw, raw_se, rated, measurement, faults)
    if measurement == "joint":
        check_rated(measures, constructs, faults)
    if measurement == "two_stage":
        raw_se = one_error(raw_se, rated)
    covariate = np.column_stack(
        [covariate_values(name, measures, frame, row, faults, spec.where(name)) for name in covariates]
        or [np.empty((len(row), 0))]
    )
    previous = np.where(frame["first"], -1, np.arange(len(frame)) - 1)
    groupings = read_groups(spec, measures, frame, faults)
    times = np.arange(len(row), dtype=float)
    if spec.time:
        times = read_times(spec, measures, frame, row, faults)
    check_means(spec, frame, faults)
    check_terms(spec, covariates, faults)
    if not faults.faults:
        check_collinear(spec, covariates, covariate, previous, faults)
    check_lags(spec, int(frame.groupby("session_label").size().max()), faults)
    faults.raise_if_any(title)

    notes = [*coded.notes, *_gap_notes(row), *level_notes(frame)]
    notes += silent_sessions(spec, constructs, frame, rated)
    shift, scale = standardisation(spec, picked, constructs, raw, raw_se, notes)
    led = [constructs.index(name) for name in lawless(spec, constructs)]
    noisy = measurement != "none" or not rated[:, led].all()
    merged = merge_levels((with_default_laws if noisy else with_parties)(spec, constructs), frame)
    full = merged.spec
    endogenous = endogenous_of(full, constructs)
    check_blocks(full, endogenous, faults)
    faults.raise_if_any(title)
    by_dyad, by_session = groupings[:2]
    notes += [*merged.notes, *few_groups(full, groupings), *unused_priors(full)]
    return Problem(
        spec=full,
        measurement=measurement,
        constructs=constructs,
        endogenous=endogenous,
        covariates=covariates,
        dyads=by_dyad.labels,
        sessions=by_session.labels,
        row=row,
        session_of=by_session.of,
        dyad_of=by_dyad.of,
        dyad_of_session=by_dyad.of_session,
        t=frame["t"].to_numpy(),
        previous=previous,
        score=np.where(rated, (raw - shift) / scale, 0.0),
        # Scores as they are may come without any se; it is then used by nothing.
        se=np.where(rated & (raw_se > 0), np.sqrt(error_factor) * raw_se / scale, 1.0),
        rated=rated,
        covariate=covariate,
        error_corr=picked["error_corr"].sel(construct2=list(constructs)).values
        if "error_corr" in measures
        else np.eye(len(constructs)),
        kappa_sd=picked["kappa_sd"].values.astype(float)
        if kappa and "kappa_sd" in measures and measurement not in ("propagated", "joint")
        else np.zeros(len(constructs)),
        shift=shift,
        scale=scale,
        terms=tabulate(full, constructs, covariates, endogenous),
        times=times,
        usual_time=usual_time(times, previous >= 0, measures),
        groupings=groupings,
        rated_by=read_rated(measures, constructs, row, shift, scale) if measurement == "joint" else None,
        notes=tuple(notes),
    )


def _gap_notes(row: np.ndarray) -> list[str]:
    gaps = int((row < 0).sum())
    if not gaps:
        return []
    filled = "was filled with an exchange" if gaps == 1 else "were filled with exchanges"
    return [f"{counted(gaps, 'gap')} in t {filled} that nobody rated."]


def observed_means(problem: Problem, group: np.ndarray, groups: int) -> np.ndarray:
    """Return (groups, C) means of the rated scores, 0 where none is: levels of constructs without a law."""
    weight = np.zeros((groups, len(problem.constructs)))
    total = np.zeros_like(weight)
    np.add.at(weight, group, problem.rated.astype(float))
    np.add.at(total, group, np.where(problem.rated, problem.score, 0.0))
    return total / np.maximum(weight, 1.0)
