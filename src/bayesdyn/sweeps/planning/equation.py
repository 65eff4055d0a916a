"""The equation of a path as moments: its terms, the errors in them, and what is left as true variance."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import flat, measures_of, posterior_of, spec_of
from bayesdyn.structure.language.terms import lagged
from bayesdyn.structure.problem import Problem, prepare
from bayesdyn.sweeps.planning.moments import Moments

type Floats = NDArray[np.float64]

_LEAST_TRUE = 0.05
"""Least share of true variance in any combination of the terms; below it the moments have no inverse."""


@dataclass(frozen=True)
class Equation:
    """One outcome's equation, in the standardised units of the fit.

    Attributes
    ----------
    moments
        Of its T free terms within sessions, and the outcome.
    names
        (T,) the paths, in order.
    true_cov
        (T, T) covariance of the true terms, M; within sessions (or dyads) where the intercept varies by them.
    path
        (T,) coefficients: posterior means.
    residual
        Residual variance of the outcome: posterior mean.
    exchanges
        How many exchanges tell the coefficients: those with all terms rated, less one for each intercept.
    kappa_cov
        (C, C) posterior covariance of the log error variances.
    constructs
        (C,) names.
    score_variance, error_variance
        (C,) of the scores, all exchanges.
    rated
        (C,) number of exchanges with a score.
    tilt
        (C, 2) mean squared deviation of the scores in the lowest and highest thirds, and in the middle third,
        over their variance.
    floored
        Whether some combination of the terms had hardly any true variance left, and was given some.
    """

    moments: Moments
    names: tuple[str, ...]
    true_cov: Floats
    path: Floats
    residual: float
    exchanges: int
    kappa_cov: Floats
    constructs: tuple[str, ...]
    score_variance: Floats
    error_variance: Floats
    rated: NDArray[np.int64]
    tilt: Floats
    floored: bool


def equation_of(fit: xr.DataTree, path_name: str) -> Equation:
    """Return the equation that a path stands in.

    Parameters
    ----------
    fit
        With ``measurement="known"``.
    path_name
        A free path that varies within sessions, of the fit.

    Raises
    ------
    InputError
        A term with more than two noisy factors, or fewer exchanges than the equation has terms.
    """
    problem = prepare(measures_of(fit), spec_of(fit), "known")
    posterior = posterior_of(fit)
    mean = dict(zip(posterior["path_name"].values, flat(posterior["path"]).mean(axis=0), strict=True))
    outcome = next(path.outcome for path in problem.spec.paths if path.name == path_name)
    chosen = [
        (path, int(problem.terms.path_term[p]))
        for p, path in enumerate(problem.spec.paths)
        if path.outcome == outcome and path.fixed is None and problem.terms.path_term[p] >= 0
    ]
    names = tuple(path.name for path, _ in chosen)
    factors = observed_factors(problem)
    now = problem.blocks["now"]
    widest = problem.terms.columns.shape[1]
    own = [now + problem.constructs.index(outcome), *[0] * (widest - 1)]
    columns = np.array([*(problem.terms.columns[m] for _, m in chosen), own])
    used = (problem.previous >= 0) & np.isfinite(factors[:, np.unique(columns)]).all(axis=1)

    kappa_mean, kappa_cov = _kappa(posterior, problem.constructs)
    se = np.where(problem.rated, problem.se, np.nan) * np.exp(kappa_mean / 2)
    error = np.nanmean(se**2, axis=0)
    omega = problem.error_corr * np.sqrt(np.outer(error, error))
    moments = _moments(problem, columns, factors[used], omega, names)

    values = np.prod(factors[used][:, columns], axis=2)
    within, count = _within(values, _groups(problem, outcome)[used])
    faults = FaultList()
    if count <= len(names):
        faults.add(
            f"{max(count, 0)} exchanges are left for the {len(names)} paths of {outcome}",
            "Rate more of them, or give the model fewer terms",
        )
    faults.raise_if_any("Cannot plan ratings")
    true_cov, floored = _true_part((within.T @ within / count)[:-1, :-1], moments.error_cov()[:-1, :-1])
    score = np.where(problem.rated, problem.score, np.nan)
    is_outcome = "outcome" in posterior.coords and outcome in posterior["outcome"].values
    name, dim = ("residual_cov", "outcome") if is_outcome else ("predictor_cov", "predictor")
    residual = posterior[name].sel({dim: outcome, f"{dim}2": outcome})
    return Equation(
        moments=moments,
        names=names,
        true_cov=true_cov,
        path=np.array([mean[name] for name in names], dtype=float),
        residual=float(residual.mean()),
        exchanges=count,
        kappa_cov=kappa_cov,
        constructs=problem.constructs,
        score_variance=np.nanvar(score, axis=0, ddof=1),
        error_variance=error,
        rated=problem.rated.sum(axis=0),
        tilt=np.array([tilt_of(column[np.isfinite(column)]) for column in score.T]),
        floored=floored,
    )


def observed_factors(problem: Problem) -> Floats:
    """Return the observed factor matrix (N, width) of :mod:`bayesdyn.structure.language.terms`, NaN unrated.

    Latent means of sessions and dyads are taken as the observed ones: their errors are averaged out.
    """
    score = np.where(problem.rated, problem.score, np.nan)
    session = _mean_of(score, problem.session_of)
    dyad = _mean_of(score, problem.dyad_of)
    grand = np.nanmean(score, axis=0)
    centre = {"none": 0.0, "grand": grand, "session": session, "dyad": dyad}[problem.spec.centring]

    def before(values: Floats, lag: int) -> Floats:
        return np.where((problem.position >= lag)[:, None], values[np.arange(len(score)) - lag], np.nan)

    past = [
        before(values, lag)
        for lag in range(1, problem.spec.order + 1)
        for values in (score - centre, score - session, problem.covariate)
    ]
    now = [np.ones((len(score), 1)), score - centre, session, dyad, problem.covariate]
    return np.concatenate([*now, *past], axis=1)


def tilt_of(score: Floats) -> tuple[float, float]:
    """Return mean squared deviations in both outer thirds and in the middle third, over the variance."""
    square = np.square(np.sort(score) - score.mean())
    third = max(1, round(len(score) / 3))
    outer = np.concatenate([square[:third], square[-third:]])
    middle = square[third:-third] if len(score) > 2 * third else outer
    return float(outer.mean() / square.mean()), float(middle.mean() / square.mean())


def _moments(
    problem: Problem, columns: NDArray[np.int64], factors: Floats, omega: Floats, names: tuple[str, ...]
) -> Moments:
    size = len(problem.constructs)
    start, lags = problem.blocks, range(1, problem.spec.order + 1)
    noisy = {start["now"] + c: c for c in range(size)}
    noisy |= {
        start[lagged(block, lag)] + c: size * lag + c
        for block in ("lag", "deviation") for lag in lags for c in range(size)
    }  # fmt: skip
    rows, terms = len(factors), len(columns)
    column = np.full((terms, 2), -1)
    clean, rest = np.ones((rows, terms)), np.zeros((rows, terms, 2))
    faults = FaultList()
    for m, members in enumerate(columns):
        own = [int(part) for part in members if int(part) in noisy]
        if len(own) > 2:
            faults.add(
                f"{names[m]} has {len(own)} factors with error", "Plan with a model of products of two"
            )
            continue
        clean[:, m] = np.prod(factors[:, [part for part in members if int(part) not in noisy]], axis=1)
        column[m, : len(own)] = [noisy[part] for part in own]
        for place in range(len(own)):
            others = [part for at, part in enumerate(own) if at != place]
            rest[:, m, place] = clean[:, m] * np.prod(factors[:, others], axis=1)
    faults.raise_if_any("Cannot plan ratings")
    every = rest.reshape(rows, -1)
    return Moments(
        column=column,
        product=(every.T @ every / max(rows, 1)).reshape(terms, 2, terms, 2),
        clean=clean.T @ clean / max(rows, 1),
        omega=omega,
    )


def _true_part(observed: Floats, error: Floats) -> tuple[Floats, bool]:
    """Return observed less error covariance, positive definite, and whether that took a floor."""
    factor = np.linalg.cholesky(observed + 1e-12 * np.trace(observed) * np.eye(len(observed)))
    inverse = np.linalg.inv(factor)
    roots, vectors = np.linalg.eigh(np.eye(len(observed)) - inverse @ error @ inverse.T)
    back = factor @ vectors
    return (back * np.maximum(roots, _LEAST_TRUE)) @ back.T, bool(roots.min() < _LEAST_TRUE)


def _kappa(posterior: xr.Dataset, constructs: tuple[str, ...]) -> tuple[Floats, Floats]:
    if "kappa" not in posterior:
        return np.zeros(len(constructs)), np.zeros((len(constructs), len(constructs)))
    draws = flat(posterior["kappa"].sel(construct=list(constructs))).astype(float)
    return draws.mean(axis=0), np.cov(draws, rowvar=False).reshape(len(constructs), -1)


def _mean_of(score: Floats, group: NDArray[np.int64]) -> Floats:
    rated = np.isfinite(score)
    total, count = (np.zeros((group.max() + 1, score.shape[1])) for _ in range(2))
    np.add.at(total, group, np.where(rated, score, 0.0))
    np.add.at(count, group, rated.astype(float))
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)[group]


def _groups(problem: Problem, outcome: str) -> NDArray[np.int64]:
    """Return the smallest groups by which the outcome's intercept varies; one group where it does not."""
    varying = {item.group for item in problem.spec.varying if item.outcome == outcome and item.intercept}
    if "session" in varying:
        return problem.session_of
    return problem.dyad_of if "dyad" in varying else np.zeros(len(problem.t), dtype=np.int64)


def _within(values: Floats, group: NDArray[np.int64]) -> tuple[Floats, int]:
    """Return values less their groups' means, and the degrees of freedom that are left."""
    return values - _mean_of(values, group), len(values) - len(np.unique(group))
