"""The equations of the structural model in PyMC: latent means, the factor matrix, what it predicts.

Exchanges are sorted, so the exchange before is the row before: slices and products with constant one-hot
matrices, whose gradients are cheap everywhere, instead of gathers, whose gradients are scatters.
"""

from collections.abc import Mapping

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayesdyn.structure.language.priors import Priors
from bayesdyn.structure.language.terms import (
    between_order,
    effect_names,
    intercept_places,
    lagged,
    spread_places,
)
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.stability import SQUARINGS, party_lags

GRAND = "grand_centre"
"""Name of the node (C,) that holds the mean over dyads, where the model centres there."""


def levels(
    problem: Problem,
    priors: Priors,
    path: TensorVariable,
    effects: Mapping[str, TensorVariable],
    data: dict[str, TensorVariable],
) -> tuple[TensorVariable, TensorVariable]:
    """Return latent means by dyad (D, C) and by session (S, C); observed means where there is no law.

    A dyad's mean holds what it shares with other dyads of a group. Where sessions of one dyad are in
    different groups, theirs is a part of the sessions' means only.
    """
    loc, sd = priors["mean"].numbers
    mean = pm.Normal("level_mean", loc, sd, dims="endogenous")
    own = np.array([problem.constructs.index(name) for name in problem.endogenous])
    place = one_hot(own, len(problem.constructs))
    lawless = 1.0 - place.sum(axis=0)
    of_dyad = one_hot(problem.dyad_of_session, len(problem.dyads))
    shared = pt.dot(mean, place)[None, :] + pt.zeros((len(problem.dyads), 1))
    in_session: list[TensorVariable] = []
    for name, effect in effects.items():
        grouping, moved = problem.grouping(name), pt.dot(effect, _intercepts(problem, name) @ place)
        if grouping.of_dyad is not None:
            shared = shared + pt.dot(one_hot(grouping.of_dyad, len(grouping.labels)), moved)
        else:
            in_session.append(pt.dot(one_hot(grouping.of_session, len(grouping.labels)), moved))
    by_session, by_dyad = pt.dot(of_dyad, shared), shared
    if lawless.any():
        by_session = by_session + data["observed_session_mean"] * lawless
        by_dyad = by_dyad + data["observed_dyad_mean"] * lawless
    by_session = sum(in_session, by_session)
    return by_dyad, _between(problem, path, by_session, pt.dot(of_dyad, by_dyad))


def _between(
    problem: Problem, path: TensorVariable, by_session: TensorVariable, by_dyad: TensorVariable
) -> TensorVariable:
    """Add the paths between sessions to the session means (S, C), each mean complete before it predicts."""
    first = problem.blocks["session"]
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
    decay: TensorVariable | None = None,
) -> TensorVariable:
    """Return the factor matrix (N, width), rows of starts idle: :mod:`bayesdyn.structure.language.terms`.

    With ``decay`` (N, K) a state of k exchanges before is drawn to its session's mean by what is left of it.
    """
    dyad = pt.dot(one_hot(problem.dyad_of, len(problem.dyads)), level_dyad)
    grand = pt.mean(level_dyad, axis=0)
    grand.name = GRAND
    centre = {"none": 0.0, "grand": grand, "session": session, "dyad": dyad}[problem.spec.centring]
    now = [pt.ones((len(problem.t), 1)), latent - centre, session, dyad, data["covariate"]]
    past: list[TensorVariable] = []
    for lag in range(1, problem.spec.order + 1):
        before, covariate = _rows_before(latent, lag), _rows_before(data["covariate"], lag)
        if lag > 1:
            # Of the exchanges where equations hold, the first ones have none that far back in their session.
            begun = (problem.position >= lag).astype(float)[:, None]
            before = begun * before + (1 - begun) * session
            covariate = data["covariate"][np.maximum(np.arange(len(problem.t)) - lag, _first(problem))]
        if decay is not None:
            before = session + decay[:, lag - 1][:, None] * (before - session)
        past += [before - centre, before - session, covariate]
    return pt.concatenate([*now, *past], axis=1)


def _rows_before(matrix: TensorVariable, lag: int) -> TensorVariable:
    return pt.concatenate([matrix[:lag], matrix[:-lag]], axis=0)


def _first(problem: Problem) -> np.ndarray:
    return problem.starts[problem.session_of]


def one_hot(index: np.ndarray, size: int) -> np.ndarray:
    """Return (len(index), size) with a one where the index points."""
    return np.eye(size)[index]


def _intercepts(problem: Problem, group: str) -> np.ndarray:
    """Return (effects, V): which effect of a group is the intercept of which construct."""
    matrix = np.zeros((len(effect_names(problem.spec, group)), len(problem.endogenous)))
    effect, outcome = intercept_places(problem.spec, group, problem.endogenous)
    matrix[effect, outcome] = 1.0
    return matrix


def residual_spread(problem: Problem, effects: Mapping[str, TensorVariable]) -> TensorVariable | None:
    """Return the log of how much wider than usual each residual is (N, V); None where none is."""
    parts: list[TensorVariable] = []
    for name, effect in effects.items():
        place, outcome = spread_places(problem.spec, name, problem.endogenous)
        if place.size:
            of = one_hot(problem.grouping(name).of, len(problem.grouping(name).labels))
            parts.append(pt.dot(of, pt.dot(effect[:, place], one_hot(outcome, len(problem.endogenous)))))
    return sum(parts[1:], parts[0]) if parts else None


def predicted_deviation(
    problem: Problem,
    path: TensorVariable,
    factors: TensorVariable,
    effects: Mapping[str, TensorVariable],
) -> TensorVariable:
    """Return what the equations predict of each deviation from the session mean: (N, V)."""
    columns, coefficients = problem.terms.columns, _coefficients(problem, path)
    single, product = _single(problem), np.flatnonzero(~_single(problem))
    # A term of one factor needs no column of its own: its coefficients are moved to the factor's.
    place = _place(problem, columns[single].max(axis=1))
    predicted = pt.dot(factors, pt.dot(place.T, coefficients[np.flatnonzero(single)]))
    if product.size:
        predicted = predicted + pt.dot(_products(problem, factors, product), coefficients[product])
    for slope, at in _slopes(problem, effects):
        outcome = one_hot(problem.terms.slope_outcome[at], len(problem.endogenous))
        varying = slope * _products(problem, factors, problem.terms.slope_term[at])
        predicted = predicted + pt.dot(varying, outcome)
    return predicted


def predicted_change(
    problem: Problem,
    path: TensorVariable,
    factors: TensorVariable,
    effects: Mapping[str, TensorVariable],
    moving: tuple[str, ...],
) -> tuple[TensorVariable, ...]:
    """Return the derivative of :func:`predicted_deviation` by the moving states now, and at each lag.

    Each is (V, M, N). Every term holds at most one moving state, so the derivative does not depend on them
    and ``factors`` may hold any value, zero say, in their place.
    """
    start, lags = problem.blocks, range(1, problem.spec.order + 1)
    index = np.array([problem.constructs.index(name) for name in moving], dtype=int)
    move = np.zeros((start["width"], 1 + len(lags), len(moving)))
    blocks = [("now", 0), *[(lagged(block, lag), lag) for lag in lags for block in ("lag", "deviation")]]
    for block, when in blocks:
        move[start[block] + index, when, np.arange(len(moving))] = 1.0
    shape = (len(problem.endogenous), 1 + len(lags), len(moving))
    coefficients, slopes = _coefficients(problem, path), _slopes(problem, effects)
    # (terms, factors, lags, M): which factor of a term moves with which state.
    by_term = move[problem.terms.columns]
    single = np.flatnonzero(_single(problem) & by_term.any(axis=(1, 2, 3)))
    weight = coefficients[single][:, :, None, None] * by_term[single].sum(axis=1)[:, None]
    change = pt.sum(weight, axis=0).reshape((-1, 1)) + pt.zeros((1, len(problem.t)))
    for position in range(problem.terms.columns.shape[1]):
        mask = by_term[:, position]
        product = np.flatnonzero(~_single(problem) & mask.any(axis=(1, 2)))
        if product.size:
            rest = _products(problem, factors, product, without=position)
            weight = coefficients[product][:, :, None, None] * mask[product][:, None]
            change = change + pt.dot(weight.reshape((product.size, -1)).T, rest.T)
        for slope, at in slopes:
            term = problem.terms.slope_term[at]
            if not mask[term].any():
                continue
            outcome = one_hot(problem.terms.slope_outcome[at], len(problem.endogenous))
            place = (outcome[:, :, None, None] * mask[term][:, None]).reshape(len(at), -1)
            rest = _products(problem, factors, term, without=position)
            change = change + pt.dot(place.T, (slope * rest).T)
    every = change.reshape((*shape, len(problem.t)))
    # What is further back than the session's start was taken to be at its mean, and moves with no state.
    begun = [(problem.position >= lag).astype(float) if lag > 1 else 1.0 for lag in (0, *lags)]
    return tuple(every[:, lag] * begun[lag] for lag in (0, *lags))


def _single(problem: Problem) -> np.ndarray:
    """Return which terms (terms,) are one factor, or none: column 0 is the one."""
    return (problem.terms.columns > 0).sum(axis=1) <= 1


def _place(problem: Problem, columns: np.ndarray) -> np.ndarray:
    return one_hot(columns, problem.blocks["width"])


def _products(
    problem: Problem, factors: TensorVariable, terms: np.ndarray, without: int | None = None
) -> TensorVariable:
    """Return the values (N, len(terms)) of terms, with the factor at one position left out if asked."""
    value = pt.ones((len(problem.t), len(terms)))
    for position, columns in enumerate(problem.terms.columns[terms].T):
        if position != without and columns.any():
            value = value * pt.dot(factors, _place(problem, columns).T)
    return value


def _coefficients(problem: Problem, path: TensorVariable) -> TensorVariable:
    """Return the coefficient of each term in each equation: (terms, V)."""
    table = problem.terms
    within = np.flatnonzero(table.path_term >= 0)
    shape = (len(table.names), len(problem.endogenous))
    place = np.zeros((shape[0] * shape[1], len(problem.spec.paths)))
    place[table.path_term[within] * shape[1] + table.path_outcome[within], within] = 1.0
    return pt.dot(place, path).reshape(shape)


def _slopes(
    problem: Problem, effects: Mapping[str, TensorVariable]
) -> list[tuple[TensorVariable, np.ndarray]]:
    """Return, per group, each exchange's deviations of its varying slopes (N, slopes), and which they are."""
    table, found = problem.terms, []
    for name, effect in effects.items():
        at, grouping = table.in_group(name), problem.grouping(name)
        if at.size:
            pick = one_hot(table.slope_effect[at], len(effect_names(problem.spec, name)))
            found.append((pt.dot(one_hot(grouping.of, len(grouping.labels)), pt.dot(effect, pick.T)), at))
    return found


def stability(problem: Problem, path: TensorVariable) -> None:
    """Truncate the prior to spectral radius < 1 of each party's lags (see ``structure/stability.py``)."""
    for lags in party_lags(problem.spec, problem.endogenous):
        power = pt.set_subtensor(pt.as_tensor(lags.matrix)[lags.rows, lags.columns], path[lags.paths])
        for _ in range(SQUARINGS):
            power = power @ power
        pm.Potential(f"stability_{lags.party}", pt.switch(pt.sum(power**2) < 1.0, 0.0, -np.inf))
