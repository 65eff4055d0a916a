"""The structural model in PyMC: the reference engine, written to be read beside design section 6.

The latent states are sampled in the centred form (their law is a density of innovations, so no scan is
needed), shifted and scaled by what the measurement alone would say, so that a diagonal metric suits them.
Group effects are non-centred: that mixed better at every size of group that was
tried, from 10 exchanges to 320 (docs/measured.md). Everything that a refit changes is ``pm.Data``.
"""

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayesdyn.engines.common import coordinates
from bayesdyn.engines.pymc_covariance import covariance_factor, normal_potential
from bayesdyn.engines.pymc_equations import (
    factor_matrix,
    levels,
    one_hot,
    predicted_deviation,
    residual_spread,
    stability,
)
from bayesdyn.engines.pymc_raters import add_raters, rated_data
from bayesdyn.structure.free_paths import free_paths
from bayesdyn.structure.language.blocks import residual_blocks
from bayesdyn.structure.language.priors import Priors, resolve_priors
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.problem import Problem, observed_means


def build(problem: Problem) -> pm.Model:
    """Return the PyMC model of a problem.

    Parameters
    ----------
    problem
        As :func:`bayesdyn.structure.problem.prepare` gives: N exchanges, C constructs, V with a law.

    Returns
    -------
    pm.Model
        With ``pm.Data`` (see :func:`refit_data`), and deterministics ``path`` (path_name), ``level_mean``
        (endogenous), ``dyad_effects`` (dyad, dyad_effect), ``dyad_cov``, the same of sessions and of other
        groups, ``residual_cov`` (endogenous, endogenous2), ``start_cov``, ``kappa`` (construct)
        and ``latent`` (exchange, construct), all on the standardised scale.
    """
    with pm.Model(coords=coordinates(problem)) as model:
        shared = parts(problem)
        latent = _latent(problem, shared.data)
        means = session_means(problem, shared)
        factors = factor_matrix(problem, latent, shared.level_dyad, means, shared.data, shared.decay)
        predicted = predicted_deviation(problem, shared.path, factors, shared.effects)
        own = one_hot(
            np.array([problem.constructs.index(name) for name in problem.endogenous]), len(problem.constructs)
        )
        deviation = pt.dot(latent - means, own.T)
        spread = residual_spread(problem, shared.effects)
        shrink = 1.0
        if spread is not None:
            shrink = pt.exp(-spread)
            pm.Potential("spread", -pt.sum(spread))
        for number, (block, factor) in enumerate(shared.residual):
            value = pt.dot(
                (deviation - predicted) * shrink, one_hot(np.array(block), len(problem.endogenous)).T
            )
            normal_potential(f"residual_law_{number}", value, factor, problem.previous >= 0)
        normal_potential("start_law", deviation * shrink, shared.start, problem.previous < 0)
        if shared.kappa is not None:
            _measurement(problem, latent, shared.kappa, shared.data)
        if shared.ratings is not None:
            pm.Potential("ratings", pt.sum(shared.ratings))
    return model


@dataclass(frozen=True)
class Parts:
    """What every form of the model shares: its data, its hyperparameters, its levels.

    Attributes
    ----------
    data
        ``pm.Data`` by name, see :func:`refit_data`.
    path
        (path_name,) coefficients.
    effects
        (group, effect) by the name of the kind of group, where something varies by it.
    level_dyad, level_session
        (D, C) and (S, C) latent means.
    residual
        For each block of constructs whose residuals covary, its members and the Cholesky factor.
    start
        (V, V) Cholesky factor of the first exchange's deviations.
    decay
        (N, K) what is left of each lag's effect for the time that passed; None where time does not count.
    kappa
        (C,) log scale of the error variances; None where scores are taken as they are.
    ratings
        (N,) what the ratings' log density has beside that of the scores; None where they are not in it.
    """

    data: dict[str, TensorVariable]
    path: TensorVariable
    effects: dict[str, TensorVariable]
    level_dyad: TensorVariable
    level_session: TensorVariable
    residual: tuple[tuple[tuple[int, ...], TensorVariable], ...]
    start: TensorVariable
    decay: TensorVariable | None
    kappa: TensorVariable | None
    ratings: TensorVariable | None


def parts(problem: Problem) -> Parts:
    """Add the shared parts to the model in context: data, priors, levels, covariances, stability."""
    priors = resolve_priors(problem.spec)
    data = {name: pm.Data(name, value) for name, value in refit_data(problem).items()}
    ratings = None
    if problem.rated_by is not None:
        said = add_raters(problem.rated_by, data)
        data |= {"score": said.score, "log_se": said.log_se}
        ratings = said.rest
    path = _paths(problem, priors)
    effects = {name: _group_effects(problem, name, priors) for name in problem.spec.groups}
    level_dyad, level_session = levels(problem, priors, path, effects, data)
    residual = _residual_factors(problem, priors)
    (sd,), (eta,) = priors["start_sd"].numbers, priors["correlation"].numbers
    start = covariance_factor("start_factor", len(problem.endogenous), sd, eta, "endogenous")
    pm.Deterministic("start_cov", start @ start.T, dims=("endogenous", "endogenous2"))
    stability(problem, path)
    kappa = None
    if problem.measurement != "none":
        raw = pm.Normal("kappa_raw", 0.0, 1.0, dims="construct")
        kappa = pm.Deterministic("kappa", data["kappa_sd"] * raw, dims="construct")
    decay = None
    if problem.spec.time:
        rate = pm.HalfNormal("decay", *priors["decay"].numbers)
        decay = pt.exp(-rate * data["excess"])
    return Parts(data, path, effects, level_dyad, level_session, residual, start, decay, kappa, ratings)


def session_means(problem: Problem, shared: Parts) -> TensorVariable:
    """Return the latent mean of each exchange's session (N, C)."""
    return pt.dot(one_hot(problem.session_of, len(problem.sessions)), shared.level_session)


def refit_data(problem: Problem) -> dict[str, np.ndarray]:
    """Return what may change between refits of one compiled model: scores, errors, covariates, levels."""
    shrink = _shrinkage(problem)
    centre = np.where(problem.rated, shrink * problem.score, 0.0)
    spread = np.where(problem.rated, np.sqrt(shrink) * problem.se, 1.0)
    return {
        "score": problem.score,
        "log_se": np.log(problem.se),
        "rated": problem.rated.astype(float),
        "kappa_sd": problem.kappa_sd,
        "latent_centre": centre,
        "latent_spread": spread,
        "covariate": problem.covariate,
        "whitening": whitening(problem)[0],
        **({"excess": problem.excess} if problem.spec.time else {}),
        **(rated_data(problem.rated_by) if problem.rated_by is not None else {}),
        "observed_session_mean": observed_means(problem, problem.session_of, len(problem.sessions)),
        "observed_dyad_mean": observed_means(problem, problem.dyad_of, len(problem.dyads)),
    }


def whitening(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return, per pattern of ratings, the matrix that whitens the errors, and each exchange's pattern.

    An unrated value is a mask: its row and column of D R D are dropped (design section 6), so its row of
    the whitening matrix is zero.

    Returns
    -------
    matrices
        (patterns, C, C) inverse Cholesky factors of R over the rated constructs, zero elsewhere.
    pattern
        (N,) index into the matrices.
    """
    patterns, pattern = np.unique(problem.rated, axis=0, return_inverse=True)
    matrices = np.zeros((len(patterns), len(problem.constructs), len(problem.constructs)))
    for matrix, rated in zip(matrices, patterns, strict=True):
        kept = np.flatnonzero(rated)
        if kept.size:
            matrix[np.ix_(kept, kept)] = np.linalg.inv(
                np.linalg.cholesky(problem.error_corr[np.ix_(kept, kept)])
            )
    return matrices, pattern.ravel()


def _shrinkage(problem: Problem) -> np.ndarray:
    """Return (N, C) the weight of a score against a standard normal: what the measurement alone says."""
    return 1.0 / (1.0 + problem.se**2)


def _paths(problem: Problem, priors: Priors) -> TensorVariable:
    """Return the coefficients (path): free ones drawn once per label, fixed ones as constants."""
    free = free_paths(problem.spec, priors)
    drawn = pm.Normal("path_free", free.loc, free.sd, shape=len(free.loc), dims="free_path")
    return pm.Deterministic("path", pt.dot(free.pick, drawn) + free.fixed, dims="path_name")


def _group_effects(problem: Problem, group: str, priors: Priors) -> TensorVariable:
    """Return the effects (group, effect) with full covariance, non-centred."""
    names, labels = effect_names(problem.spec, group), problem.grouping(group).labels
    (sd,), (eta,) = priors["level_sd"].numbers, priors["correlation"].numbers
    factor = covariance_factor(f"{group}_factor", len(names), sd, eta, f"{group}_effect")
    dims = (group, f"{group}_effect")
    raw = pm.Normal(f"{group}_raw", 0.0, 1.0, shape=(len(labels), len(names)), dims=dims)
    pm.Deterministic(f"{group}_cov", factor @ factor.T, dims=(f"{group}_effect", f"{group}_effect2"))
    return pm.Deterministic(f"{group}_effects", raw @ factor.T, dims=dims)


def _latent(problem: Problem, data: dict[str, TensorVariable]) -> TensorVariable:
    """Return the states (exchange, construct): latent where noisy or unrated, the scores elsewhere."""
    free = np.ones_like(problem.rated) if problem.measurement != "none" else ~problem.rated
    own = [problem.constructs.index(name) for name in problem.endogenous]
    free[:, [c for c in range(len(problem.constructs)) if c not in own]] = False
    if not free.any():
        return data["score"]
    # Flat here: the states' density is the law of their innovations, added as potentials below.
    if free.all():
        by = ("exchange", "construct")
        raw = pm.Flat("latent_raw", shape=free.shape, initval=np.zeros(free.shape), dims=by)
        latent = data["latent_centre"] + data["latent_spread"] * raw
    else:
        rows, columns = np.nonzero(free)
        raw = pm.Flat("latent_raw", shape=rows.size, initval=np.zeros(rows.size))
        value = data["latent_centre"][rows, columns] + data["latent_spread"][rows, columns] * raw
        latent = pt.set_subtensor(data["score"][rows, columns], value)
    return pm.Deterministic("latent", latent, dims=("exchange", "construct"))


def _residual_factors(problem: Problem, priors: Priors) -> tuple[tuple[tuple[int, ...], TensorVariable], ...]:
    (sd,), (eta,) = priors["residual_sd"].numbers, priors["correlation"].numbers
    size = len(problem.endogenous)
    cov = pt.zeros((size, size))
    factors = []
    for number, block in enumerate(residual_blocks(problem.spec, problem.endogenous)):
        factor = covariance_factor(
            f"residual_factor_{number}", len(block), sd, eta, f"residual_block_{number}"
        )
        members = one_hot(np.array(block), size)
        cov = cov + members.T @ pt.dot(factor, factor.T) @ members
        factors.append((block, factor))
    pm.Deterministic("residual_cov", cov, dims=("endogenous", "endogenous2"))
    return tuple(factors)


def _measurement(
    problem: Problem, latent: TensorVariable, kappa: TensorVariable, data: dict[str, TensorVariable]
) -> None:
    """w_t = latent_t + e_t, e_t ~ N(0, D_t R D_t), D_t = diag(se_t exp(kappa / 2)) (design section 6)."""
    error = data["rated"] * (data["score"] - latent) * pt.exp(-data["log_se"] - kappa / 2)
    if np.array_equal(problem.error_corr, np.eye(len(problem.constructs))):
        whitened = error
    else:
        _, pattern = whitening(problem)
        whitened = pt.sum(data["whitening"][pattern] * error[:, None, :], axis=2)
    pm.Potential("measurement", -0.5 * pt.sum(whitened**2) - error_scale(kappa, data))


def error_scale(kappa: TensorVariable, data: dict[str, TensorVariable]) -> TensorVariable:
    """Return the log of the product of all rated scores' error standard deviations."""
    return 0.5 * pt.dot(pt.sum(data["rated"], axis=0), kappa) + pt.sum(data["rated"] * data["log_se"])
