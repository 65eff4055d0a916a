"""The structural model in PyMC: the reference engine, written to be read beside design section 6.

The latent states are sampled in the centred form (their law is a density of innovations, so no scan is
needed), shifted and scaled by what the measurement alone would say, so that a diagonal metric suits them.
Group effects are non-centred: groups are many and small. Everything that a refit changes is ``pm.Data``.
"""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayesdyn.structure.priors import Priors, resolve_priors
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.terms import between_order, effect_names, intercept_places, offsets, residual_blocks


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
        (endogenous), ``dyad_effects`` (dyad, dyad_effect), ``session_effects``, ``dyad_cov``,
        ``session_cov``, ``residual_cov`` (endogenous, endogenous2), ``start_cov``, ``kappa`` (construct)
        and ``latent`` (exchange, construct), all on the standardised scale.
    """
    priors = resolve_priors(problem.spec)
    with pm.Model(coords=coordinates(problem)) as model:
        data = {name: pm.Data(name, value) for name, value in refit_data(problem).items()}
        path = _paths(problem, priors)
        dyad = _group_effects(problem, "dyad", problem.dyads, priors)
        session = _group_effects(problem, "session", problem.sessions, priors)
        latent = _latent(problem, data)
        level_dyad, level_session = _levels(problem, priors, path, dyad, session, data)
        means = pt.dot(_one_hot(problem.session_of, len(problem.sessions)), level_session)
        factors = _factors(problem, latent, level_dyad, means, data)
        predicted = _predicted(problem, path, factors, dyad, session)
        own = _one_hot(
            np.array([problem.constructs.index(name) for name in problem.endogenous]), len(problem.constructs)
        )
        deviation = pt.dot(latent - means, own.T)
        _residual_law(problem, priors, deviation - predicted)
        _start_law(problem, priors, deviation)
        _stability(problem, path)
        if problem.measurement != "none":
            _measurement(problem, latent, data)
    return model


def coordinates(problem: Problem) -> dict[str, object]:
    """Return the coordinates of every named dimension of a fit."""
    endogenous = list(problem.endogenous)
    return {
        "path_name": [path.name for path in problem.spec.paths],
        "construct": list(problem.constructs),
        "endogenous": endogenous,
        "endogenous2": endogenous,
        "dyad": list(problem.dyads),
        "session": list(problem.sessions),
        "dyad_effect": list(effect_names(problem.spec, "dyad")),
        "dyad_effect2": list(effect_names(problem.spec, "dyad")),
        "session_effect": list(effect_names(problem.spec, "session")),
        "session_effect2": list(effect_names(problem.spec, "session")),
        "exchange": np.arange(len(problem.t)),
    }


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
        "observed_session_mean": _observed_means(problem, problem.session_of, len(problem.sessions)),
        "observed_dyad_mean": _observed_means(problem, problem.dyad_of, len(problem.dyads)),
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


def _observed_means(problem: Problem, group: np.ndarray, groups: int) -> np.ndarray:
    weight = np.zeros((groups, len(problem.constructs)))
    total = np.zeros_like(weight)
    np.add.at(weight, group, problem.rated.astype(float))
    np.add.at(total, group, np.where(problem.rated, problem.score, 0.0))
    return total / np.maximum(weight, 1.0)


def _paths(problem: Problem, priors: Priors) -> TensorVariable:
    """Return the coefficients (path): free ones drawn once per label, fixed ones as constants."""
    spec = problem.spec
    keys = [path.label or path.name for path in spec.paths]
    free = list(dict.fromkeys(key for key, path in zip(keys, spec.paths, strict=True) if path.fixed is None))
    first = {key: path for key, path in reversed(list(zip(keys, spec.paths, strict=True)))}
    numbers = np.array([priors.of_path(spec, first[key]).numbers for key in free]).reshape(len(free), 2)
    fixed = np.array([path.fixed if path.fixed is not None else 0.0 for path in spec.paths])
    pick = np.zeros((len(spec.paths), len(free)))
    for p, (key, path) in enumerate(zip(keys, spec.paths, strict=True)):
        if path.fixed is None:
            pick[p, free.index(key)] = 1.0
    drawn = pm.Normal("path_free", numbers[:, 0], numbers[:, 1], shape=len(free))
    return pm.Deterministic("path", pt.dot(pick, drawn) + fixed, dims="path_name")


def _cholesky(name: str, size: int, sd: float, eta: float) -> TensorVariable:
    """Return the Cholesky factor (size, size) of a covariance: half-normal SDs, LKJ correlations."""
    if size == 1:
        return pm.HalfNormal(f"{name}_sd", sd, shape=1)[:, None]
    factor, _, _ = pm.LKJCholeskyCov(
        name,
        n=size,
        eta=eta,
        sd_dist=pm.HalfNormal.dist(sd, shape=size),
        compute_corr=True,
        store_in_trace=False,
    )
    return factor


def _group_effects(
    problem: Problem, group: str, labels: tuple[str, ...], priors: Priors
) -> TensorVariable | None:
    """Return the effects (group, effect) with full covariance, non-centred; None where nothing varies."""
    names = effect_names(problem.spec, group)
    if not names:
        return None
    (sd,), (eta,) = priors["level_sd"].numbers, priors["correlation"].numbers
    factor = _cholesky(f"{group}_factor", len(names), sd, eta)
    raw = pm.Normal(f"{group}_raw", 0.0, 1.0, shape=(len(labels), len(names)))
    pm.Deterministic(f"{group}_cov", factor @ factor.T, dims=(f"{group}_effect", f"{group}_effect2"))
    return pm.Deterministic(f"{group}_effects", raw @ factor.T, dims=(group, f"{group}_effect"))


def _latent(problem: Problem, data: dict[str, TensorVariable]) -> TensorVariable:
    """Return the states (exchange, construct): latent where noisy or unrated, the scores elsewhere."""
    free = np.ones_like(problem.rated) if problem.measurement != "none" else ~problem.rated
    own = [problem.constructs.index(name) for name in problem.endogenous]
    free[:, [c for c in range(len(problem.constructs)) if c not in own]] = False
    if not free.any():
        return data["score"]
    # Flat here: the states' density is the law of their innovations, added as potentials below.
    if free.all():
        raw = pm.Flat("latent_raw", shape=free.shape, initval=np.zeros(free.shape))
        latent = data["latent_centre"] + data["latent_spread"] * raw
    else:
        rows, columns = np.nonzero(free)
        raw = pm.Flat("latent_raw", shape=rows.size, initval=np.zeros(rows.size))
        value = data["latent_centre"][rows, columns] + data["latent_spread"][rows, columns] * raw
        latent = pt.set_subtensor(data["score"][rows, columns], value)
    return pm.Deterministic("latent", latent, dims=("exchange", "construct"))


def _levels(
    problem: Problem,
    priors: Priors,
    path: TensorVariable,
    dyad: TensorVariable | None,
    session: TensorVariable | None,
    data: dict[str, TensorVariable],
) -> tuple[TensorVariable, TensorVariable]:
    """Return latent means by dyad (D, C) and by session (S, C); observed means where there is no law."""
    loc, sd = priors["mean"].numbers
    mean = pm.Normal("level_mean", loc, sd, dims="endogenous")
    own = np.array([problem.constructs.index(name) for name in problem.endogenous])
    place = _one_hot(own, len(problem.constructs))
    lawless = 1.0 - place.sum(axis=0)
    of_dyad = _one_hot(problem.dyad_of_session, len(problem.dyads))
    shared = pt.dot(mean, place)[None, :] + pt.zeros((len(problem.dyads), 1))
    if dyad is not None:
        shared = shared + pt.dot(dyad, _intercepts(problem, "dyad") @ place)
    by_session, by_dyad = pt.dot(of_dyad, shared), shared
    if lawless.any():
        by_session = by_session + data["observed_session_mean"] * lawless
        by_dyad = by_dyad + data["observed_dyad_mean"] * lawless
    if session is not None:
        by_session = by_session + pt.dot(session, _intercepts(problem, "session") @ place)
    return by_dyad, _between(problem, path, by_session, pt.dot(of_dyad, by_dyad))


def _between(
    problem: Problem, path: TensorVariable, by_session: TensorVariable, by_dyad: TensorVariable
) -> TensorVariable:
    """Add the paths between sessions to the session means (S, C), each mean complete before it predicts."""
    first = offsets(len(problem.constructs), len(problem.covariates))["session"]
    for p in between_order(problem.spec, problem.terms):
        both = pt.concatenate([by_session, by_dyad], axis=1)
        term = pt.ones((len(problem.sessions),))
        for column in problem.terms.between[p]:
            term = term * both[:, column - first]
        outcome = _one_hot(
            np.array([problem.constructs.index(problem.spec.paths[p].outcome)]), len(problem.constructs)
        )
        by_session = by_session + path[p] * term[:, None] * outcome
    return by_session


def _factors(
    problem: Problem,
    latent: TensorVariable,
    level_dyad: TensorVariable,
    session: TensorVariable,
    data: dict[str, TensorVariable],
) -> TensorVariable:
    """Return the factor matrix (N, width) of :mod:`bayesdyn.structure.terms`; rows of starts are idle.

    Rows are sorted, so the exchange before is the row before: slices and products with constant one-hot
    matrices, whose gradients are cheap everywhere, instead of gathers, whose gradients are scatters.
    """
    dyad = pt.dot(_one_hot(problem.dyad_of, len(problem.dyads)), level_dyad)
    grand = pt.mean(level_dyad, axis=0) if problem.spec.centring == "grand" else 0.0
    centre = {"none": 0.0, "grand": grand, "session": session, "dyad": dyad}[problem.spec.centring]
    before = _row_before(latent)
    return pt.concatenate(
        [
            pt.ones((len(problem.t), 1)),
            latent - centre,
            before - centre,
            before - session,
            session,
            dyad,
            data["covariate"],
            _row_before(data["covariate"]),
        ],
        axis=1,
    )


def _row_before(matrix: TensorVariable) -> TensorVariable:
    return pt.concatenate([matrix[:1], matrix[:-1]], axis=0)


def _one_hot(index: np.ndarray, size: int) -> np.ndarray:
    return np.eye(size)[index]


def _intercepts(problem: Problem, group: str) -> np.ndarray:
    """Return (effects, V): which effect of a group is the intercept of which construct."""
    matrix = np.zeros((len(effect_names(problem.spec, group)), len(problem.endogenous)))
    effect, outcome = intercept_places(problem.spec, group, problem.endogenous)
    matrix[effect, outcome] = 1.0
    return matrix


def _predicted(
    problem: Problem,
    path: TensorVariable,
    factors: TensorVariable,
    dyad: TensorVariable | None,
    session: TensorVariable | None,
) -> TensorVariable:
    """Return what the equations predict of each deviation from the session mean: (N, V)."""
    table = problem.terms
    width = offsets(len(problem.constructs), len(problem.covariates))["width"]
    terms = pt.ones((len(problem.t), len(table.names)))
    for column in table.columns.T:
        terms = terms * pt.dot(factors, _one_hot(column, width).T)
    within = np.flatnonzero(table.path_term >= 0)
    shape = (len(table.names), len(problem.endogenous))
    place = np.zeros((shape[0] * shape[1], len(problem.spec.paths)))
    place[table.path_term[within] * shape[1] + table.path_outcome[within], within] = 1.0
    predicted = pt.dot(terms, pt.dot(place, path).reshape(shape))
    for group, effects, index in (("dyad", dyad, problem.dyad_of), ("session", session, problem.session_of)):
        slopes = np.array([name == group for name in table.slope_group], dtype=bool)
        if effects is None or not slopes.any():
            continue
        pick = _one_hot(table.slope_effect[slopes], len(effect_names(problem.spec, group)))
        slope = pt.dot(_one_hot(index, int(index.max()) + 1), pt.dot(effects, pick.T))
        varying = pt.dot(terms, _one_hot(table.slope_term[slopes], shape[0]).T)
        predicted = predicted + pt.dot(slope * varying, _one_hot(table.slope_outcome[slopes], shape[1]))
    return predicted


def _normal_potential(name: str, value: TensorVariable, factor: TensorVariable, kept: np.ndarray) -> None:
    """Add to the model the density of the kept rows of ``value`` (N, k) ~ N(0, factor factor')."""
    whitened = pt.linalg.solve_triangular(factor, value.T, lower=True)
    quadratic = pt.sum(whitened**2 * kept[None, :].astype(float))
    pm.Potential(name, -0.5 * quadratic - float(kept.sum()) * pt.sum(pt.log(pt.diag(factor))))


def _residual_law(problem: Problem, priors: Priors, residual: TensorVariable) -> None:
    (sd,), (eta,) = priors["residual_sd"].numbers, priors["correlation"].numbers
    size = len(problem.endogenous)
    cov = pt.zeros((size, size))
    for number, block in enumerate(residual_blocks(problem.spec, problem.endogenous)):
        factor = _cholesky(f"residual_factor_{number}", len(block), sd, eta)
        members = _one_hot(np.array(block), size)
        value = pt.dot(residual, members.T)
        _normal_potential(f"residual_law_{number}", value, factor, problem.previous >= 0)
        cov = cov + members.T @ pt.dot(factor, factor.T) @ members
    pm.Deterministic("residual_cov", cov, dims=("endogenous", "endogenous2"))


def _start_law(problem: Problem, priors: Priors, deviation: TensorVariable) -> None:
    """Add the law of a session's first exchange: N(its means, free covariance) (design section 6)."""
    (sd,), (eta,) = priors["start_sd"].numbers, priors["correlation"].numbers
    factor = _cholesky("start_factor", len(problem.endogenous), sd, eta)
    _normal_potential("start_law", deviation, factor, problem.previous < 0)
    pm.Deterministic("start_cov", factor @ factor.T, dims=("endogenous", "endogenous2"))


def _stability(problem: Problem, path: TensorVariable) -> None:
    """Truncate the prior to spectral radius < 1 of the lags within each party (Phi, Psi).

    The radius is read off a high power of the matrix (Gelfand's formula): || A^64 ||^(1/64) is within 4 %
    of it for the sizes met here, errs on the strict side, and needs no eigenvalues of a general matrix.
    """
    table, spec = problem.terms, problem.spec
    for party in ("client", "therapist", "dyad"):
        names = [name for name in problem.endogenous if spec.party(name) == party]
        index = {name: i for i, name in enumerate(names)}
        lags = [
            (p, index[item.outcome], index[item.term.factors[0].name])
            for p, item in enumerate(spec.paths)
            if table.path_term[p] >= 0
            and len(item.term.factors) == 1
            and item.term.factors[0].kind == "lag"
            and item.outcome in index
            and item.term.factors[0].name in index
        ]
        if not lags:
            continue
        matrix = pt.zeros((len(names), len(names)))
        which, rows, columns = (np.array(part) for part in zip(*lags, strict=True))
        power = pt.set_subtensor(matrix[rows, columns], path[which])
        for _ in range(6):
            power = power @ power
        pm.Potential(f"stability_{party}", pt.switch(pt.sum(power**2) < 1.0, 0.0, -np.inf))


def _measurement(problem: Problem, latent: TensorVariable, data: dict[str, TensorVariable]) -> None:
    """w_t = latent_t + e_t, e_t ~ N(0, D_t R D_t), D_t = diag(se_t exp(kappa / 2)) (design section 6)."""
    raw = pm.Normal("kappa_raw", 0.0, 1.0, dims="construct")
    kappa = pm.Deterministic("kappa", data["kappa_sd"] * raw, dims="construct")
    error = data["rated"] * (data["score"] - latent) * pt.exp(-data["log_se"] - kappa / 2)
    if np.array_equal(problem.error_corr, np.eye(len(problem.constructs))):
        whitened = error
    else:
        _, pattern = whitening(problem)
        whitened = pt.sum(data["whitening"][pattern] * error[:, None, :], axis=2)
    rated_counts = pt.sum(data["rated"], axis=0)
    log_scale = pt.sum(data["rated"] * data["log_se"])
    pm.Potential("measurement", -0.5 * pt.sum(whitened**2) - 0.5 * pt.dot(rated_counts, kappa) - log_scale)
