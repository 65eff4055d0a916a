"""Steps of the Hamiltonian moves, adapted in the warm-up and frozen after it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.gibbs.hamiltonian import learnt

TARGET = 0.8
"""Acceptance at which the Hamiltonian moves' steps are set."""
LONGEST = 2.2
"""Of a step: past a quarter turn, so that moves cross the mean and the sweeps forget sooner, and before the
half turn that would bring them back."""
_LOOKS = (10, 20, 35, 50, 80, 110, 140, 170, 200, 240, 280, 320, 360, 400, 500, 600, 700, 800, 900)
"""After how many sweeps the curvature is looked at; the first looks are each forgotten at the next."""
_FIRST_LOOKS = 4


class Steps(NamedTuple):
    """Step sizes of the Hamiltonian moves, by what they move: logs, and how they were reached.

    Attributes
    ----------
    log_step, average, error
        (moves,) dual averaging (Hoffman & Gelman 2014, JMLR 15, 1593-1623, section 3.2).
    sweeps
        Sweeps of warm-up so far.
    metric
        (K, K), by the moves that learn one: precision of the normal that a move takes its density for.
    """

    log_step: jax.Array
    average: jax.Array
    error: jax.Array
    sweeps: jax.Array
    metric: dict[str, jax.Array]


def begin_steps(moves: int, metric: dict[str, jax.Array]) -> Steps:
    """Return the steps before the first sweep."""
    start = jnp.full(moves, np.log(0.3))
    return Steps(start, start, jnp.zeros(moves), jnp.zeros(()), metric)


def looks(sweeps: jax.Array) -> jax.Array:
    """Return whether moves that learn a metric look at the curvature in the sweep after so many."""
    return jnp.any(sweeps == jnp.asarray(_LOOKS))


def adapt(steps: Steps, accepted: jax.Array) -> Steps:
    """Return steps after one more sweep of warm-up."""
    count = steps.sweeps + 1
    error = steps.error + (TARGET - accepted - steps.error) / (count + 10)
    log_step = jnp.minimum(np.log(0.3) + np.log(3.0) - jnp.sqrt(count) / 0.05 * error, np.log(LONGEST))
    weight = count**-0.75
    average = weight * log_step + (1 - weight) * steps.average
    return Steps(log_step, average, error, count, steps.metric)


def learn(steps: Steps, curvature: dict[str, jax.Array]) -> Steps:
    """Return steps whose metrics know of one more look, at the sweep that they are at."""
    seen = jnp.sum(jnp.asarray(_LOOKS) <= steps.sweeps)
    weight = 1 / jnp.maximum(seen - _FIRST_LOOKS, 1)
    return steps._replace(
        metric={name: learnt(steps.metric[name], found, weight) for name, found in curvature.items()}
    )


def frozen(steps: Steps) -> Steps:
    """Return the steps that are kept after the warm-up."""
    return steps._replace(log_step=steps.average)
