"""States of constructs that multiply others, as noise shaped by their own law and their own scores."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayesdyn.engines.pymc_equations import residual_spread
from bayesdyn.engines.pymc_model import Parts
from bayesdyn.structure.problem import Problem


def given_state(
    problem: Problem, shared: Parts, name: str, means: TensorVariable, precision: TensorVariable
) -> tuple[TensorVariable, TensorVariable]:
    """Return a given construct's states (N,) as shaped noise, and the log Jacobian of the shape (N,).

    The shape is what filtering forward and sampling backward gives for the construct's own lag, innovation SD
    and scores, with the stationary gain of each exchange's own precision: noise and hyperparameters are then
    nearly independent, whatever the reliability. It is a change of variables, so it need not be exact.
    """
    c, v = problem.constructs.index(name), problem.endogenous.index(name)
    noise = pm.Flat(f"{name}_noise", shape=len(problem.t), initval=np.zeros(len(problem.t)), dims="exchange")
    ((factor, place),) = ((factor, block.index(v)) for block, factor in shared.residual if v in block)
    innovation, start = pt.sum(factor[place] ** 2), pt.sum(shared.start[v] ** 2)
    wider = residual_spread(problem, shared.effects)
    if wider is not None:
        innovation, start = innovation * pt.exp(2 * wider[:, v]), start * pt.exp(2 * wider[:, v])
    own = [p for p, path in enumerate(problem.spec.paths) if path.name == f"{name} ~ lag({name})"]
    lag = shared.path[own[0]] if own else pt.zeros(())
    later = (problem.previous >= 0).astype(float)
    followed = np.append(later[1:], 0.0)
    weight = precision[:, c] ** 2
    # Variance before the score: the positive root of w V^2 + b V - q = 0 (the stationary Riccati equation).
    linear = 1 - lag**2 - innovation * weight
    stationary = 2 * innovation / (linear + pt.sqrt(linear**2 + 4 * weight * innovation))
    variance = later * stationary + (1 - later) * start
    gain = weight * variance / (1 + weight * variance)
    filtered_variance = variance / (1 + weight * variance)
    error = shared.data["score"][:, c] - means[:, c]
    filtered = _recurrence((1 - gain) * lag * later, gain * error)
    ahead = lag**2 * filtered_variance + innovation
    back = followed * lag * filtered_variance / ahead
    spread = pt.sqrt(filtered_variance * (followed * innovation / ahead + (1 - followed)))
    value = _recurrence(back[::-1], ((1 - back * lag) * filtered + spread * noise)[::-1])[::-1]
    return means[:, c] + value, pt.log(spread)


def _recurrence(multiplier: TensorVariable, added: TensorVariable) -> TensorVariable:
    """Return x (N,) with x[t] = multiplier[t] x[t - 1] + added[t], by doubling (Hillis & Steele 1986)."""
    count = added.type.shape[0]
    value, reach = added, 1
    while reach < count:
        nothing = pt.zeros((reach,))
        value = value + multiplier * pt.concatenate([nothing, value[:-reach]])
        multiplier = multiplier * pt.concatenate([nothing, multiplier[:-reach]])
        reach *= 2
    return value
