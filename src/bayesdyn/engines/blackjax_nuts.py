"""NUTS as BlackJAX has it: Stan's windows of warm-up in one run, then trajectories built in a loop."""

from typing import NamedTuple

import blackjax
import jax
from blackjax.mcmc.hmc import HMCState

from bayesdyn.engines.jax_chains import MOST_DOUBLINGS, Asked, Record
from bayesdyn.engines.jax_density import JaxDensity


class Tuned(NamedTuple):
    """A chain after its warm-up: where it stands, its step size, the diagonal of its inverse metric (P,)."""

    key: jax.Array
    at: HMCState
    step_size: jax.Array
    inverse_metric: jax.Array


class BlackjaxNuts:
    """BlackJAX's kernel for one density; the whole warm-up is part of ``begin``."""

    steps_of_warmup = 0

    def __init__(self, density: JaxDensity, asked: Asked) -> None:
        self._density, self._asked = density, asked
        self._kernel = blackjax.nuts.build_kernel()

    def begin(self, key: jax.Array, point: jax.Array, *data: jax.Array) -> Tuned:
        """Return the state of a chain that started at a point and was warmed up."""
        later, now = jax.random.split(key)
        adaptation = blackjax.window_adaptation(
            blackjax.nuts,
            lambda at: self._density.log_density(at, *data),
            target_acceptance_rate=self._asked.target_accept,
            # Nothing is kept of the warm-up's own transitions.
            adaptation_info_fn=lambda *_: None,
            max_num_doublings=MOST_DOUBLINGS,
        )
        # Their protocol leaves out the number of steps, which the function takes.
        (at, found), _ = adaptation.run(now, point, num_steps=self._asked.tune)  # type: ignore[call-arg]
        return Tuned(later, at, found["step_size"], found["inverse_mass_matrix"])

    def step(self, state: Tuned, *data: jax.Array) -> tuple[Tuned, Record]:
        """Return the state after one transition, and what is kept of it."""
        later, now = jax.random.split(state.key)
        at, told = self._kernel(
            now,
            state.at,
            lambda point: self._density.log_density(point, *data),
            state.step_size,
            state.inverse_metric,
            MOST_DOUBLINGS,
        )
        record = Record(
            at.position, told.is_divergent, told.energy, told.num_integration_steps, state.step_size
        )
        return state._replace(key=later, at=at), record
