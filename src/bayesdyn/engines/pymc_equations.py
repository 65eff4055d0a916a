"""The equations of the structural model in PyMC: latent means, the factor matrix, what it predicts.

Exchanges are sorted, so the exchange before is the row before: slices and products with constant one-hot
matrices, whose gradients are cheap everywhere, instead of gathers, whose gradients are scatters.
"""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayesdyn.structure.priors import Priors
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.terms import between_order, effect_names, intercept_places, offsets


def levels(
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
    place = one_hot(own, len(problem.constructs))
    lawless = 1.0 - place.sum(axis=0)
    of_dyad = one_hot(problem.dyad_of_session, len(problem.dyads))
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
        outcome = one_hot(
            np.array([problem.constructs.index(problem.spec.paths[p].outcome)]), len(problem.constructs)
        )
        by_session = by_session + path[p] * term[:, None] * outcome
    return by_session


def factor_matrix(
    problem: Problem,
    latent: TensorVariable,
    level_dyad: TensorVariable,
    session: TensorVariable,
    data: dict[str, TensorVariable],
) -> TensorVariable:
    """Return the factor matrix (N, width) of :mod:`bayesdyn.structure.terms`; rows of starts are idle."""
    dyad = pt.dot(one_hot(problem.dyad_of, len(problem.dyads)), level_dyad)
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


def one_hot(index: np.ndarray, size: int) -> np.ndarray:
    """Return (len(index), size) with a one where the index points."""
    return np.eye(size)[index]


def _intercepts(problem: Problem, group: str) -> np.ndarray:
    """Return (effects, V): which effect of a group is the intercept of which construct."""
    matrix = np.zeros((len(effect_names(problem.spec, group)), len(problem.endogenous)))
    effect, outcome = intercept_places(problem.spec, group, problem.endogenous)
    matrix[effect, outcome] = 1.0
    return matrix


def predicted_deviation(
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
        terms = terms * pt.dot(factors, one_hot(column, width).T)
    within = np.flatnonzero(table.path_term >= 0)
    shape = (len(table.names), len(problem.endogenous))
    place = np.zeros((shape[0] * shape[1], len(problem.spec.paths)))
    place[table.path_term[within] * shape[1] + table.path_outcome[within], within] = 1.0
    predicted = pt.dot(terms, pt.dot(place, path).reshape(shape))
    for group, effects, index in (("dyad", dyad, problem.dyad_of), ("session", session, problem.session_of)):
        slopes = np.array([name == group for name in table.slope_group], dtype=bool)
        if effects is None or not slopes.any():
            continue
        pick = one_hot(table.slope_effect[slopes], len(effect_names(problem.spec, group)))
        slope = pt.dot(one_hot(index, int(index.max()) + 1), pt.dot(effects, pick.T))
        varying = pt.dot(terms, one_hot(table.slope_term[slopes], shape[0]).T)
        predicted = predicted + pt.dot(slope * varying, one_hot(table.slope_outcome[slopes], shape[1]))
    return predicted


def stability(problem: Problem, path: TensorVariable) -> None:
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
