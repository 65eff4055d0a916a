"""A JAX density handed to nutpie as one function per gradient.

A gradient here is some hundreds of small operations. Called as it is, it was seen to switch threads several
times; put into a loop of one round it takes little more than half the time (docs/measured.md).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.typing import ArrayLike

from bayesdyn.engines.jax_density import JaxDensity

if TYPE_CHECKING:
    from nutpie.compiled_pyfunc import PyFuncModel


def compile_for_nutpie(density: JaxDensity) -> "PyFuncModel":
    """Return a compiled model for ``nutpie.sample`` whose ``pm.Data`` can be changed with ``with_data``.

    Chains start uniformly within 1 of the initial point, in the unconstrained space.
    """
    from nutpie.compiled_pyfunc import from_pyfunc

    @jax.jit
    def gradient(rounds: ArrayLike, point: jax.Array, *data: jax.Array) -> tuple[jax.Array, jax.Array]:
        def once(_: ArrayLike, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            return jax.value_and_grad(density.log_density)(state[1], *data)

        # The number of rounds is an argument, so that XLA cannot see that it is one.
        return jax.lax.fori_loop(0, rounds, once, (jnp.zeros(()), point))

    expand_all = jax.jit(density.expansion)
    one = jnp.asarray(1)

    def make_gradient() -> Callable[..., tuple[float, np.ndarray]]:
        def evaluate(point: np.ndarray, **data: jax.Array) -> tuple[float, np.ndarray]:
            value, slope = gradient(one, point, *[data[name] for name in density.density_data])
            return float(value), np.asarray(slope)

        return evaluate

    def make_expansion(_seed: int, _seed2: int, _chain: int) -> Callable[..., dict[str, np.ndarray]]:
        def evaluate(point: np.ndarray, **data: jax.Array) -> dict[str, np.ndarray]:
            values = expand_all(point, *[data[name] for name in density.expansion_data])
            return {name: np.asarray(value) for name, value in zip(density.names, values, strict=True)}

        return evaluate

    return from_pyfunc(
        ndim=density.start.size,
        make_logp_fn=make_gradient,
        make_expand_fn=make_expansion,
        make_initial_point_fn=lambda seed: density.start_near(np.random.default_rng(seed)),
        expanded_dtypes=[np.dtype("float64")] * len(density.names),
        expanded_shapes=list(density.shapes),
        expanded_names=list(density.names),
        dims=dict(density.dims),
        coords={name: pd.Index(values) for name, values in density.coords.items()}
        | {"unconstrained_parameter": pd.RangeIndex(density.start.size)},
        shared_data=dict(density.data),
    )
