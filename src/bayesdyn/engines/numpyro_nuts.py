"""NUTS as NumPyro has it: Stan's windows of warm-up, a diagonal metric, trajectories built in a loop."""

from collections.abc import Callable

import jax
from numpyro.infer.hmc import HMCState, hmc

from bayesdyn.engines.jax_chains import MOST_DOUBLINGS, Asked, Record
from bayesdyn.engines.jax_density import JaxDensity


class NumpyroNuts:
    """NumPyro's kernel for one density; warm-up is steps like others.

    The kernel learns at ``begin`` how long its warm-up is, so ``begin`` is traced before ``step``.
    """

    def __init__(self, density: JaxDensity, asked: Asked) -> None:
        self.steps_of_warmup = asked.tune
        self._target = asked.target_accept

        def energy_of(*data: jax.Array) -> Callable[[jax.Array], jax.Array]:
            return lambda point: -density.log_density(point, *data)

        self._begin, self._step = hmc(potential_fn_gen=energy_of, algo="NUTS")

    def begin(self, key: jax.Array, point: jax.Array, *data: jax.Array) -> HMCState:
        """Return the state of a chain at a point, its warm-up still to come."""
        return self._begin(
            point,
            num_warmup=self.steps_of_warmup,
            target_accept_prob=self._target,
            max_tree_depth=MOST_DOUBLINGS,
            model_args=data,
            rng_key=key,
        )

    def step(self, state: HMCState, *data: jax.Array) -> tuple[HMCState, Record]:
        """Return the state after one transition; the step size is that which the transition took."""
        after = self._step(state, model_args=data)
        taken = state.adapt_state.step_size
        return after, Record(after.z, after.diverging, after.energy, after.num_steps, taken)
