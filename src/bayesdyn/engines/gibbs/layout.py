"""A problem's scores and masks where the exchanges stand, and the priors of its covariances."""

from collections.abc import Callable

import jax
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.lanes import Lanes
from bayesdyn.engines.gibbs.model import Model
from bayesdyn.engines.gibbs.spreads import SpreadPrior
from bayesdyn.engines.gibbs.states import States
from bayesdyn.engines.gibbs.sums import Rows
from bayesdyn.engines.raters import Ratings
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.problem import Problem

type Put = Callable[[NDArray[np.generic]], jax.Array]
"""Brings an array (..., T, L) to where the sweeps are made."""


def rows_of(problem: Problem, lanes: Lanes, noisy: bool, dtype: str, put: Put) -> Rows:
    """Return the constants of the exchanges; ``noisy``: scores have errors."""

    def laid(values: NDArray[np.float64]) -> jax.Array:
        return put(lanes.laid(values).astype(dtype))

    ratings, by = None, problem.rated_by
    if by is not None:
        every = Ratings(by.value, by.q, by.noise, by.mask)
        ratings = Ratings(*(laid(np.moveaxis(value, 1, 2)) for value in every))
    lags = np.arange(1, problem.spec.order + 1)
    begun = problem.position[:, None] >= lags
    # Before a session's first exchange a covariate is as there.
    far = np.minimum(np.arange(problem.spec.order + 1), problem.position[:, None])
    return Rows(
        covariate=laid(problem.covariate[np.arange(len(far))[:, None] - far]),
        later=laid((problem.previous >= 0).astype(float)),
        begun=laid(begun.astype(float)) if len(lags) > 1 else None,
        score=laid(np.where(problem.rated, problem.score, 0.0)),
        precision=laid(problem.rated / problem.se if noisy else np.zeros_like(problem.se)),
        rated=laid(problem.rated.astype(float)),
        ratings=ratings,
    )


def states_of(model: Model, lanes: Lanes, noisy: bool) -> States:
    """Return the updates of the states: which are fixed, and how scores' errors correlate."""
    problem = model.problem
    inverses, pattern = _patterns(problem)
    correlated = noisy and not np.array_equal(problem.error_corr, np.eye(len(problem.constructs)))
    laid = lanes.laid(pattern.astype(float)).astype(int) if correlated else None
    lawless = [c for c in range(len(problem.constructs)) if c not in model.own]
    fixed = None
    if not noisy or lawless:
        fixed = lanes.laid(problem.rated.astype(float)) > 0
        fixed = fixed if not noisy else np.zeros_like(fixed)
        fixed[lawless] = True
    return States(model, lanes, inverses, laid, fixed)


def _patterns(problem: Problem) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return inverses (patterns, C, C) of the errors' correlation among the rated, and which (N,)."""
    patterns, pattern = np.unique(problem.rated, axis=0, return_inverse=True)
    size = len(problem.constructs)
    inverses = np.zeros((len(patterns), size, size))
    for inverse, rated in zip(inverses, patterns, strict=True):
        kept = np.ix_(np.flatnonzero(rated), np.flatnonzero(rated))
        inverse[kept] = np.linalg.inv(problem.error_corr[kept])
    return inverses, pattern.ravel()


def spread_priors(model: Model) -> dict[str, tuple[int, SpreadPrior]]:
    """Return size and prior of each covariance: of blocks of residuals, of starts, of groups' effects."""
    named = resolve_priors(model.problem.spec)
    (eta,) = named["correlation"].numbers

    def prior(name: str) -> SpreadPrior:
        return SpreadPrior(named[name].numbers[0], eta)

    found = {
        f"residual_{number}": (len(block), prior("residual_sd")) for number, block in enumerate(model.blocks)
    }
    found["start"] = (len(model.own), prior("start_sd"))
    return found | {name: (count, prior("level_sd")) for name, (_, count) in model.effect_counts.items()}
