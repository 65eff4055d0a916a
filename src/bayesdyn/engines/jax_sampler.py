"""A PyMC model handed to nutpie as one JAX function per gradient.

A gradient here is some hundreds of small operations. Called as it is, it was seen to switch threads several
times; put into a loop of one round it takes little more than half the time (docs/measured.md).
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pymc as pm
from jax.typing import ArrayLike
from pytensor.graph.replace import clone_replace
from pytensor.tensor.variable import TensorVariable

if TYPE_CHECKING:
    from nutpie.compiled_pyfunc import PyFuncModel


def compile_for_nutpie(model: pm.Model) -> "PyFuncModel":
    """Return a compiled model for ``nutpie.sample`` whose ``pm.Data`` can be changed with ``with_data``.

    Chains start uniformly within 1 of the initial point, in the unconstrained space.
    """
    from nutpie.compiled_pyfunc import from_pyfunc

    start = model.initial_point()
    names = [variable.name for variable in model.value_vars]
    sizes = [np.size(start[name]) for name in names]
    edges = np.cumsum([0, *sizes])

    def split(point: jax.Array) -> list[jax.Array]:
        parts = zip(names, edges[:-1], edges[1:], strict=True)
        return [point[low:high].reshape(np.shape(start[name])) for name, low, high in parts]

    density, density_data = _jaxified(model, [model.logp()])
    kept = model.unobserved_value_vars
    transformed = {variable.name for variable in model.value_vars} - {v.name for v in model.free_RVs}
    kept = [variable for variable in kept if variable.name not in transformed]
    expansion, expansion_data = _jaxified(model, kept)

    @jax.jit
    def gradient(rounds: ArrayLike, point: jax.Array, *data: jax.Array) -> tuple[jax.Array, jax.Array]:
        def once(_: ArrayLike, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            return jax.value_and_grad(lambda at: density(*split(at), *data)[0])(state[1])

        # The number of rounds is an argument, so that XLA cannot see that it is one.
        return jax.lax.fori_loop(0, rounds, once, (jnp.zeros(()), point))

    expand_all = jax.jit(lambda point, *data: expansion(*split(point), *data))
    one = jnp.asarray(1)

    def make_gradient() -> Callable[..., tuple[float, np.ndarray]]:
        def evaluate(point: np.ndarray, **data: jax.Array) -> tuple[float, np.ndarray]:
            value, slope = gradient(one, point, *[data[name] for name in density_data])
            return float(value), np.asarray(slope)

        return evaluate

    def make_expansion(_seed: int, _seed2: int, _chain: int) -> Callable[..., dict[str, np.ndarray]]:
        def evaluate(point: np.ndarray, **data: jax.Array) -> dict[str, np.ndarray]:
            values = expand_all(point, *[data[name] for name in expansion_data])
            return {str(v.name): np.asarray(x) for v, x in zip(kept, values, strict=True)}

        return evaluate

    flat = np.concatenate([np.ravel(start[name]) for name in names])

    def initial_point(seed: int) -> np.ndarray:
        return flat + np.random.default_rng(seed).uniform(-1.0, 1.0, flat.size)

    shapes = [tuple(value.shape) for value in expand_all(flat, *_values(model, expansion_data))]
    return from_pyfunc(
        ndim=flat.size,
        make_logp_fn=make_gradient,
        make_expand_fn=make_expansion,
        make_initial_point_fn=initial_point,
        expanded_dtypes=[np.dtype("float64")] * len(kept),
        expanded_shapes=shapes,
        expanded_names=[str(variable.name) for variable in kept],
        dims={name: tuple(dims) for name, dims in model.named_vars_to_dims.items()},
        coords={name: pd.Index(values) for name, values in model.coords.items() if values is not None}
        | {"unconstrained_parameter": pd.RangeIndex(flat.size)},
        shared_data=dict(zip(_used(model), _values(model, _used(model)), strict=True)),
    )


def on_device(data: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Return arrays where JAX keeps them: a NumPy array would be moved there again at every gradient."""
    return {name: jnp.asarray(value) for name, value in data.items()}


def _jaxified(
    model: pm.Model, outputs: list[TensorVariable]
) -> tuple[Callable[..., list[jax.Array]], list[str]]:
    """Return a JAX function of the value variables and the data that these outputs use, and those data."""
    from pymc.sampling.jax import get_jaxified_graph
    from pytensor.graph.traversal import ancestors

    reached = set(ancestors(outputs))
    shared = [variable for variable in model.data_vars if variable in reached]
    # Shapes must be known when JAX traces; a change of data keeps them.
    stand_ins = [variable.type.clone(shape=variable.get_value().shape)() for variable in shared]
    replaced = clone_replace(outputs, dict(zip(shared, stand_ins, strict=True)))
    function = get_jaxified_graph(inputs=[*model.value_vars, *stand_ins], outputs=replaced)
    return function, [str(variable.name) for variable in shared]


def _used(model: pm.Model) -> list[str]:
    return [str(variable.name) for variable in model.data_vars]


def _values(model: pm.Model, names: list[str]) -> list[jax.Array]:
    return list(on_device({name: model[name].get_value() for name in names}).values())
