"""The likelihood of a model without products, from the density of design section 6 as a dense quadratic form.

The joint log density of scores, latent states and effects is quadratic in states and effects. Its second
differences are then its Hessian, and the integral over all of them is known. Nothing here is an engine's.
"""

import numpy as np
from scipy.stats import multivariate_normal

from bayesdyn.structure.problem import Problem
from reference.structural_density import log_density


def dense_log_likelihood(problem: Problem, draw: dict[str, np.ndarray], by: str) -> list[float]:
    """Return log p(scores | hyperparameters) of each dyad in raw units, or of each session given its dyad."""
    groups = range(len(problem.dyads) if by == "dyad" else len(problem.sessions))
    return [_of_group(problem, draw, by, group) for group in groups]


def _of_group(problem: Problem, draw: dict[str, np.ndarray], by: str, group: int) -> float:
    dyad_of, session_of = problem.dyad_of_session, problem.session_of
    sessions = np.flatnonzero(dyad_of == group) if by == "dyad" else np.array([group])
    rows = np.isin(session_of, sessions)
    own = [problem.constructs.index(name) for name in problem.endogenous]
    free = np.zeros(problem.score.shape, dtype=bool)
    free[:, own] = rows[:, None] & (~problem.rated[:, own] if problem.measurement == "none" else True)
    alone = _alone(problem, rows)
    sizes = [free.sum(), draw["session_effects"].shape[1] * len(sessions)]
    sizes.append(draw["dyad_effects"].shape[1] if by == "dyad" else 0)

    def joint(point: np.ndarray) -> float:
        states, of_session, of_dyad = np.split(point, np.cumsum(sizes)[:-1])
        latent = problem.score.copy()
        latent[free] = states
        values = {**draw, "latent": latent}
        values["session_effects"] = np.zeros_like(draw["session_effects"])
        values["session_effects"][sessions] = of_session.reshape(len(sessions), -1)
        total = multivariate_normal.logpdf(
            values["session_effects"][sessions], np.zeros(len(draw["session_cov"])), draw["session_cov"]
        ).sum()
        if by == "dyad":
            values["dyad_effects"] = np.zeros_like(draw["dyad_effects"])
            values["dyad_effects"][group] = of_dyad
            total += multivariate_normal.logpdf(of_dyad, np.zeros(len(of_dyad)), draw["dyad_cov"])
        return total + alone(values)

    counted = problem.rated[rows]
    if problem.measurement == "none":
        counted = counted[:, own] @ np.log(problem.scale[own])
    else:
        counted = counted @ np.log(problem.scale)
    return quadratic_integral(joint, sum(sizes)) - counted.sum()


def quadratic_integral(joint, size: int) -> float:
    """Return the log integral of exp of a quadratic function with values at units and their sums."""
    zero, unit = joint(np.zeros(size)), np.eye(size)
    up = np.array([joint(row) for row in unit])
    down = np.array([joint(-row) for row in unit])
    hessian = np.diag(up + down - 2 * zero)
    for i in range(size):
        for j in range(i):
            hessian[i, j] = hessian[j, i] = joint(unit[i] + unit[j]) - up[i] - up[j] + zero
    slope = (up - down) / 2
    sign, log_det = np.linalg.slogdet(-hessian)
    assert sign > 0
    return (
        zero + 0.5 * slope @ np.linalg.solve(-hessian, slope) - 0.5 * log_det + size / 2 * np.log(2 * np.pi)
    )


def _alone(problem: Problem, rows: np.ndarray):
    """Return the density of some sessions' exchanges alone: the whole one with the others cut off."""
    import dataclasses

    kept = np.flatnonzero(rows)
    shift = np.full(len(rows), -1)
    shift[kept] = np.arange(len(kept))
    previous = problem.previous[kept]
    small = dataclasses.replace(
        problem,
        row=problem.row[kept],
        session_of=problem.session_of[kept],
        dyad_of=problem.dyad_of[kept],
        t=problem.t[kept],
        previous=np.where(previous < 0, -1, shift[previous]),
        score=problem.score[kept],
        se=problem.se[kept],
        rated=problem.rated[kept],
        covariate=problem.covariate[kept],
        times=problem.times[kept],
    )
    # The usual time between exchanges is that of all dyads.
    excess = problem.excess[kept]
    return lambda values: log_density(small, {**values, "latent": values["latent"][kept], "excess": excess})
