"""Draws from the prior of a model, exactly: in NumPy, from the distributions of the engine's density."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.structure.data.rated import TOKEN_PRIOR, Rated
from bayesdyn.structure.free_paths import free_paths
from bayesdyn.structure.language.blocks import residual_blocks
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.stability import are_stable, party_lags

type Floats = NDArray[np.float64]

_ROUNDS = 200


def draw_paths(spec: ModelSpec, count: int, rng: np.random.Generator) -> Floats:
    """Return draws of the coefficients (count, path_name).

    Normals, one for all paths of a label, truncated to stable dynamics: a draw with a spectral radius of 1 or
    more is drawn anew as a whole, since a label may tie a lag to another path.

    Parameters
    ----------
    spec
        With the laws of noisy predictors, where they count: their lags are truncated too.
    count
        Number of draws.
    rng
        Source of randomness.

    Raises
    ------
    InputError
        If next to no draw of the lags' priors is stable.
    """
    free = free_paths(spec, resolve_priors(spec))
    lags = party_lags(spec, tuple(dict.fromkeys(path.outcome for path in spec.paths)))
    drawn, wanting = np.zeros((count, len(spec.paths))), np.arange(count)
    for _ in range(_ROUNDS):
        normal = rng.standard_normal((len(wanting), len(free.loc)))
        # The last label takes the first number, as ever: a seed keeps its draws.
        drawn[wanting] = (free.loc + free.sd * normal[:, ::-1]) @ free.pick.T + free.fixed
        wanting = wanting[~are_stable(lags, drawn[wanting])]
        if not wanting.size:
            return drawn
    faults = FaultList()
    faults.add("the priors of the lags leave next to no stable dynamics", "Give lags priors nearer to 0")
    faults.raise_if_any(f"Cannot draw from the prior of model {spec.name!r}")
    raise AssertionError("a fault was added")


def draw_factors(size: int, sd: float, eta: float, count: int, rng: np.random.Generator) -> Floats:
    """Return Cholesky factors (count, size, size) of covariances: half-normal SDs, LKJ correlations.

    The canonical partial correlations of an LKJ correlation matrix are independent, 2 Beta(b, b) - 1 with
    b = eta + (size - 2 - column) / 2 (Lewandowski, Kurowicka & Joe 2009, J. Multivariate Analysis 100,
    1989-2001).
    """
    scale = np.abs(rng.normal(0.0, sd, (count, size)))
    factor, rest = np.zeros((count, size, size)), np.ones((count, size))
    for column in range(size):
        factor[:, column, column] = np.sqrt(rest[:, column])
        below = size - column - 1
        shape = eta + (size - 2 - column) / 2
        if below:
            partial = 2 * rng.beta(shape, shape, (count, below)) - 1
            factor[:, column + 1 :, column] = partial * np.sqrt(rest[:, column + 1 :])
            rest[:, column + 1 :] *= 1 - partial**2
    return scale[:, :, None] * factor


def draw_prior(problem: Problem, count: int, rng: np.random.Generator) -> xr.Dataset:
    """Return draws of every parameter of a problem with the names of the engine's variables.

    Parameters
    ----------
    problem
        Its scores are not used.
    count
        Number of draws.
    rng
        Source of randomness.

    Returns
    -------
    xr.Dataset
        Dims (chain, draw, ...), one chain: ``path``, ``level_mean``, ``residual_cov`` (endogenous,
        endogenous2), ``start_cov``, ``kappa`` where scores have errors; covariances and effects of groups.
    """
    spec, own = problem.spec, list(problem.endogenous)
    priors = resolve_priors(spec)
    mean, mean_sd = priors["mean"].numbers
    (level_sd,), (eta,) = priors["level_sd"].numbers, priors["correlation"].numbers
    (residual_sd,), (start_sd,) = priors["residual_sd"].numbers, priors["start_sd"].numbers
    square = ("endogenous", "endogenous2")
    coords = {"path_name": [path.name for path in spec.paths], **dict.fromkeys(square, own)}
    drawn: dict[str, tuple[tuple[str, ...], Floats]] = {
        "path": (("path_name",), draw_paths(spec, count, rng)),
        "level_mean": (("endogenous",), rng.normal(mean, mean_sd, (count, len(own)))),
    }
    for name in spec.groups:
        labels, effects = problem.grouping(name).labels, list(effect_names(spec, name))
        dims = (f"{name}_effect", f"{name}_effect2")
        coords |= {name: list(labels)} | dict.fromkeys(dims, effects)
        factor = draw_factors(len(effects), level_sd, eta, count, rng)
        raw = rng.standard_normal((count, len(labels), len(effects)))
        drawn[f"{name}_cov"] = (dims, _covariance(factor))
        drawn[f"{name}_effects"] = ((name, dims[0]), raw @ factor.swapaxes(1, 2))
    residual = np.zeros((count, len(own), len(own)))
    for block in residual_blocks(spec, problem.endogenous):
        rows, columns = np.ix_(block, block)
        residual[:, rows, columns] = _covariance(draw_factors(len(block), residual_sd, eta, count, rng))
    drawn["residual_cov"] = (square, residual)
    drawn["start_cov"] = (square, _covariance(draw_factors(len(own), start_sd, eta, count, rng)))
    if spec.time:
        drawn["decay"] = ((), np.abs(rng.normal(0.0, priors["decay"].numbers[0], count)))
    if problem.measurement != "none":
        coords["construct"] = list(problem.constructs)
        kappa = problem.kappa_sd * rng.standard_normal((count, len(problem.constructs)))
        drawn["kappa"] = (("construct",), kappa)
    if problem.rated_by is not None:
        coords["rater"] = list(problem.rated_by.raters)
        drawn |= draw_raters(problem.rated_by, count, rng)
    return xr.Dataset(
        {name: (("chain", "draw", *dims), values[None]) for name, (dims, values) in drawn.items()},
        coords={"chain": [0], "draw": np.arange(count), **coords},
    )


def draw_raters(
    rated: Rated, count: int, rng: np.random.Generator
) -> dict[str, tuple[tuple[str, ...], Floats]]:
    """Return draws of the raters' parameters by name, dims and values (:mod:`bayesdyn.engines.raters`).

    ``severity``, ``discrimination``, ``error_sd``, ``shared`` (rater, construct), in units of the true
    score's scale; ``token_weight`` (construct).
    """
    present, anchor, shape = rated.present, rated.anchor, (count, *rated.present.shape)
    place, ratio = rng.standard_normal(shape), rng.standard_normal(shape) * rated.free
    severity = np.where(present, place - place.mean(axis=1, keepdims=True, where=anchor), 0.0)
    geometric = np.exp(ratio.mean(axis=1, keepdims=True, where=anchor))
    unit = np.where(rated.by_humans, np.exp(ratio).mean(axis=1, keepdims=True, where=anchor), geometric)
    share = _beta(rated.shared_prior, count, rng)[:, None, :] * ~rated.human[:, None]
    alike = np.where(rated.equal_common, np.sqrt(1 - share), 1.0)
    discrimination = np.where(present, np.exp(ratio) / unit, 1.0) * alike
    rho = _beta(rated.rho_priors, count, rng)
    rho = np.where(rated.own_rho, rho, (rho * rated.first).sum(axis=1, keepdims=True))
    common = discrimination / np.sqrt(1 - share)
    error_sd = np.where(present, common * np.sqrt(1 / np.where(present, rho, 1.0) - 1), 0.0)
    tokens = np.outer(rated.tokens, TOKEN_PRIOR)
    by_rater = ("rater", "construct")
    return {
        "severity": (by_rater, severity),
        "discrimination": (by_rater, discrimination),
        "error_sd": (by_rater, error_sd),
        "shared": (by_rater, np.where(present, common * np.sqrt(share), 0.0)),
        "token_weight": (("construct",), _beta(tokens, count, rng)),
    }


def _beta(prior: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Return Beta draws (count, ...) where the parameters, last in ``prior``, are above 0; 0 elsewhere."""
    drawn, used = np.zeros((count, *prior.shape[:-1])), prior[..., 0] > 0
    a, b = prior[used].T
    drawn[:, used] = rng.beta(a, b, (count, len(a)))
    return drawn


def _covariance(factor: Floats) -> Floats:
    return factor @ factor.swapaxes(-1, -2)
