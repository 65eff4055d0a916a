"""The structural model in PyMC with its states integrated out: the same posterior, a far easier shape.

Given the constructs that multiply others (rapport, in the replication), the states of all others are linear
and Gaussian, and the scores' density is an integral in closed form (:mod:`bayesdyn.engines.chain`). What the
sampler then sees is the hyperparameters and the multiplying states, and the latter as standard normal noise
shaped by their own law and their own scores. The states themselves are drawn afterwards, when asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor import wrap_jax
from pytensor.graph.replace import clone_replace
from pytensor.tensor.variable import TensorVariable

from bayesdyn.engines.common import coordinates
from bayesdyn.engines.given_states import given_state
from bayesdyn.engines.jax_density import with_known_shapes
from bayesdyn.engines.lags import Blocks, blocks_of, draw_states_at, log_integral_at
from bayesdyn.engines.pymc_covariance import inverse_factor
from bayesdyn.engines.pymc_equations import (
    factor_matrix,
    one_hot,
    predicted_change,
    predicted_deviation,
    residual_spread,
)
from bayesdyn.engines.pymc_model import Parts, error_scale, parts, session_means, whitening
from bayesdyn.structure.problem import Problem


def multipliers(problem: Problem) -> tuple[str, ...]:
    """Return the fewest constructs with a law such that, given them, every term is linear in the others.

    In each product all factors but one must be given; where there is a choice, the first in the problem's
    order. Fewer given states make an easier posterior.
    """
    names = problem.endogenous
    terms = [path.term for path in problem.spec.paths]
    terms += [term for item in problem.spec.varying for term in item.slopes]
    products = []
    for term in terms:
        states = [item.name for item in term.factors if item.kind != "mean" and item.name in names]
        products += list(combinations(states, 2))
    for count in range(len(names) + 1):
        for given in combinations(names, count):
            if all(one in given or other in given for one, other in products):
                return given
    raise AssertionError("all constructs given always suffices")


def build_collapsed(problem: Problem) -> pm.Model:
    """Return the PyMC model of a problem with measurement error, its linear states integrated out.

    Its density is that of :func:`bayesdyn.engines.pymc_model.build` integrated over those states, up to a
    constant (tests/engines). It holds the same deterministics except ``latent``, and runs on JAX only.

    Raises
    ------
    ValueError
        If scores are taken as they are: there is nothing to integrate out.
    """
    if problem.measurement == "none":
        raise ValueError("scores as they are have no states to integrate out")
    with pm.Model(coords=coordinates(problem)) as model:
        rows = chain_rows(problem)
        integral = wrap_jax(log_integral_at(blocks(problem)))(rows.now, rows.constant, *rows.before)
        pm.Potential("states", integral + rows.rest + rows.log_spread)
    return model


@dataclass(frozen=True)
class ChainRows:
    """The linear rows of :mod:`bayesdyn.engines.chain`, R = V + C; what is left of the log density; states.

    Attributes
    ----------
    now, before, constant
        (R, M, N); (R, M, N) for each lag; (R, N).
    rest
        Scalar: determinants of the laws and of the errors.
    log_spread
        Scalar: log Jacobian of the given states by their noise.
    scale_at
        (N,): what each exchange adds to ``rest`` and ``log_spread``.
    states
        (N, C): the given states, scores of constructs without a law, and 0 for the M moving ones.
    moving
        Names of the M states.
    """

    now: TensorVariable
    before: tuple[TensorVariable, ...]
    constant: TensorVariable
    rest: TensorVariable
    log_spread: TensorVariable
    scale_at: TensorVariable
    states: TensorVariable
    moving: tuple[str, ...]


def chain_rows(problem: Problem) -> ChainRows:
    """Add everything but the integral to the model in context, and return the rows to integrate over."""
    # As PyTensor does when it compiles for JAX; wrapped functions are traced before that.
    jax.config.update("jax_enable_x64", True)
    shared = parts(problem)
    given = multipliers(problem)
    moving = tuple(name for name in problem.endogenous if name not in given)
    means = session_means(problem, shared)
    kappa = shared.kappa
    assert kappa is not None, "scores with error have kappa"
    precision = shared.data["rated"] * pt.exp(-shared.data["log_se"] - kappa / 2)
    lawless = np.array([float(name not in problem.endogenous) for name in problem.constructs])
    states = shared.data["score"] * lawless
    rest, spread = -error_scale(kappa, shared.data), pt.zeros(())
    scale_at = -pt.sum(shared.data["rated"] * (shared.data["log_se"] + kappa / 2), axis=1)
    if shared.ratings is not None:
        rest, scale_at = rest + pt.sum(shared.ratings), scale_at + shared.ratings
    for name in given:
        value, log_spread = given_state(problem, shared, name, means, precision)
        states = states + value[:, None] * _unit(problem, name)
        spread, scale_at = spread + pt.sum(log_spread), scale_at + log_spread
    laws, lagged, log_scale, law_scale_at = _law_rows(problem, shared, states, means, moving)
    errors = _error_rows(problem, shared, states, precision, moving)
    now, constant = (pt.concatenate([laws[at], errors[at]]) for at in (0, 1))
    # Errors of measurement are of the exchange itself.
    nothing = pt.zeros((len(problem.constructs), len(moving), len(problem.t)))
    before = tuple(pt.concatenate([law, nothing]) for law in lagged)
    return ChainRows(now, before, constant, rest + log_scale, spread, scale_at + law_scale_at, states, moving)


def observed_rows(problem: Problem) -> ChainRows:
    """Return the rows where scores are taken as they are: M = 0, only the laws' rows, all in the constant.

    Scores that a law needs and nobody gave are the model's free variable ``unrated`` (number of them,), row
    by row of the problem.
    """
    shared = parts(problem)
    states, rows, columns = shared.data["score"], *np.nonzero(unrated_states(problem))
    if rows.size:
        unrated = pm.Flat("unrated", shape=rows.size, initval=np.zeros(rows.size))
        states = pt.set_subtensor(states[rows, columns], unrated)
    means = session_means(problem, shared)
    (now, constant), before, log_scale, scale_at = _law_rows(problem, shared, states, means, ())
    return ChainRows(now, tuple(before), constant, log_scale, pt.zeros(()), scale_at, states, ())


def unrated_states(problem: Problem) -> np.ndarray:
    """Return (N, C): which states are neither scores nor anything that a law leaves out."""
    lawful = [name in problem.endogenous for name in problem.constructs]
    return ~problem.rated & np.array(lawful)


def blocks(problem: Problem) -> Blocks:
    """Return the blocks of exchanges that the problem's longest lag asks for."""
    return blocks_of(problem.position, problem.spec.order)


type _Rows = tuple[TensorVariable, TensorVariable]


def _law_rows(
    problem: Problem,
    shared: Parts,
    states: TensorVariable,
    means: TensorVariable,
    moving: tuple[str, ...],
) -> tuple[_Rows, list[TensorVariable], TensorVariable, TensorVariable]:
    """Return the V rows of whitened innovations (of whitened deviations at a start), and their log scale.

    First their coefficients of the states now and their constant, then those of the states at each lag; the
    scale is given as a sum and by exchange (N,).
    """
    later, starts = (problem.previous >= 0).astype(float), (problem.previous < 0).astype(float)
    whiten = _inverse_residual(problem, shared)
    whiten_start = inverse_factor(shared.start, len(problem.endogenous))
    log_scale = later.sum() * _log_diagonal(whiten) + starts.sum() * _log_diagonal(whiten_start)
    factors = factor_matrix(problem, states, shared.level_dyad, means, shared.data, shared.decay)
    predicted = predicted_deviation(problem, shared.path, factors, shared.effects)
    by_now, *by_before = predicted_change(problem, shared.path, factors, shared.effects, moving)
    if shared.decay is not None:
        by_before = [by_lag * shared.decay[:, k] for k, by_lag in enumerate(by_before)]
    scale_at = later * _log_diagonal(whiten) + starts * _log_diagonal(whiten_start)
    spread = residual_spread(problem, shared.effects)
    if spread is not None:
        log_scale, scale_at = log_scale - pt.sum(spread), scale_at - pt.sum(spread, axis=1)
        shrink = pt.exp(-spread).T
        later, starts = later * shrink, starts * shrink
    own = np.stack([_unit(problem, name) for name in problem.endogenous])
    deviation = pt.dot(own, (states - means).T)
    place = np.array([[one == other for other in moving] for one in problem.endogenous], dtype=float)
    by_outcome = later if spread is None else later[:, None]
    now = _rows(whiten, (place[:, :, None] - by_now) * by_outcome)
    if spread is None:
        now = now + pt.dot(whiten_start, place)[:, :, None] * starts
    else:
        now = now + _rows(whiten_start, place[:, :, None] * starts[:, None])
    before = [_rows(whiten, -by_lag * by_outcome) for by_lag in by_before]
    constant = pt.dot(whiten, (deviation - predicted.T) * later) + pt.dot(whiten_start, deviation * starts)
    return (now, constant), before, log_scale, scale_at


def _error_rows(
    problem: Problem,
    shared: Parts,
    states: TensorVariable,
    precision: TensorVariable,
    moving: tuple[str, ...],
) -> _Rows:
    """Return the C rows of whitened errors of measurement; ``precision`` (N, C) is 1 / SD, 0 if unrated."""
    size = len(problem.constructs)
    if np.array_equal(problem.error_corr, np.eye(size)):
        whitener = np.eye(size)[:, :, None]
    else:
        whitener = shared.data["whitening"][whitening(problem)[1]].transpose((1, 2, 0))
    every = np.array([problem.constructs.index(name) for name in moving])
    error = (precision * (shared.data["score"] - states)).T
    now = -whitener[:, every] * precision.T[every][None]
    return now, pt.sum(whitener * error[None], axis=1)


def draw_latent(problem: Problem, draws: Mapping[str, np.ndarray], random_seed: int) -> np.ndarray:
    """Return states (K, N, C) for K draws of the collapsed model, each drawn given its hyperparameters.

    Parameters
    ----------
    problem
        The problem that was fitted.
    draws
        The K draws of every sampled variable by name: (K, ...).
    random_seed
        Seed of the states' own noise.
    """
    with pm.Model(coords=coordinates(problem)) as model:
        rows = chain_rows(problem)
    inputs = list(model.free_RVs)
    outputs = [rows.states, rows.now, rows.constant, *rows.before]
    # Plain variables in the place of the random ones, which a changed graph would draw anew.
    given = {variable: variable.type() for variable in inputs}
    outputs, shared = with_known_shapes(model, clone_replace(outputs, given))
    evaluate = pytensor.function(
        [*given.values(), *shared.values()], outputs, mode="JAX", on_unused_input="ignore"
    )
    data = [model[name].get_value() for name in shared]
    moving = [problem.constructs.index(name) for name in rows.moving]
    shape = (len(draws[inputs[0].name]), len(moving), len(problem.t))
    noise = np.random.default_rng(random_seed).standard_normal(shape)
    draw_states, every = jax.jit(draw_states_at(blocks(problem))), []
    for k in range(shape[0]):
        states, *of_chain = evaluate(*[draws[variable.name][k] for variable in inputs], *data)
        filled = np.array(states)
        filled[:, moving] = np.asarray(draw_states(noise[k], *of_chain)).T
        every.append(filled)
    return np.stack(every)


def _inverse_residual(problem: Problem, shared: Parts) -> TensorVariable:
    size = len(problem.endogenous)
    inverse = pt.zeros((size, size))
    for block, factor in shared.residual:
        members = one_hot(np.array(block), size)
        inverse = inverse + members.T @ inverse_factor(factor, len(block)) @ members
    return inverse


def _rows(matrix: TensorVariable, rows: TensorVariable) -> TensorVariable:
    """Multiply (V, V) into the first axis of (V, M, N)."""
    return pt.tensordot(matrix, rows, axes=[[1], [0]])


def _log_diagonal(matrix: TensorVariable) -> TensorVariable:
    return pt.sum(pt.log(pt.diag(matrix)))


def _unit(problem: Problem, name: str) -> np.ndarray:
    return np.eye(len(problem.constructs))[problem.constructs.index(name)]
