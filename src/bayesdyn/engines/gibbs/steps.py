"""Step sizes of the Hamiltonian moves, adapted in the warm-up and frozen after it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

TARGET = 0.8
"""Acceptance at which the Hamiltonian moves' steps are set."""


class Steps(NamedTuple):
    """Step sizes of the Hamiltonian moves, by what they move: logs, and how they were reached.

    Attributes
    ----------
    log_step, average, error
        (moves,) dual averaging (Hoffman & Gelman 2014, JMLR 15, 1593-1623, section 3.2).
    sweeps
        Sweeps of warm-up so far.
    """

    log_step: jax.Array
    average: jax.Array
    error: jax.Array
    sweeps: jax.Array


def begin_steps(moves: int) -> Steps:
    """Return the steps before the first sweep."""
    start = jnp.full(moves, np.log(0.3))
    return Steps(start, start, jnp.zeros(moves), jnp.zeros(()))


def adapt(steps: Steps, accepted: jax.Array) -> Steps:
    """Return steps after one more sweep of warm-up."""
    count = steps.sweeps + 1
    error = steps.error + (TARGET - accepted - steps.error) / (count + 10)
    log_step = np.log(0.3) + np.log(3.0) - jnp.sqrt(count) / 0.05 * error
    weight = count**-0.75
    return Steps(log_step, weight * log_step + (1 - weight) * steps.average, error, count)


def frozen(steps: Steps) -> Steps:
    """Return the steps that are kept after the warm-up."""
    return steps._replace(log_step=steps.average)
