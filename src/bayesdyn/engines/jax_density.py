"""A PyMC model as JAX functions of one flat point: what every sampler on JAX draws from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable


@dataclass(frozen=True)
class JaxDensity:
    """The log density of a model, and what its points mean; P unconstrained values in one flat point.

    Attributes
    ----------
    log_density
        Scalar of ``(point, *data)``, data in the order of ``density_data``. Not compiled yet.
    expansion
        Values of every variable of ``names``, of ``(point, *data)``, data in the order of ``expansion_data``.
    density_data, expansion_data
        Names of the ``pm.Data`` that each takes.
    start
        (P,) initial point.
    names, shapes, dims
        The variables that a draw consists of: parameters and deterministics; their shapes; names of the
        dimensions of those that have any.
    coords
        Coordinates of the named dimensions.
    data
        Every ``pm.Data`` by name, as it was when the model was built.
    """

    log_density: Callable[..., jax.Array]
    expansion: Callable[..., tuple[jax.Array, ...]]
    density_data: tuple[str, ...]
    expansion_data: tuple[str, ...]
    start: NDArray[np.float64]
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dims: Mapping[str, tuple[str, ...]]
    coords: Mapping[str, tuple[object, ...]]
    data: Mapping[str, jax.Array]

    def start_near(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return a point (P,) uniformly within 1 of the initial one."""
        return self.start + rng.uniform(-1.0, 1.0, self.start.size)


def jax_density(model: pm.Model) -> JaxDensity:
    """Return a model's log density, unconstrained and with its Jacobians, as JAX functions."""
    start = model.initial_point()
    names = [variable.name for variable in model.value_vars]
    sizes = [np.size(start[name]) for name in names]
    edges = np.cumsum([0, *sizes])

    def split(point: jax.Array) -> list[jax.Array]:
        parts = zip(names, edges[:-1], edges[1:], strict=True)
        return [point[low:high].reshape(np.shape(start[name])) for name, low, high in parts]

    density, density_data = _jaxified(model, [model.logp()])
    transformed = {variable.name for variable in model.value_vars} - {v.name for v in model.free_RVs}
    kept = [variable for variable in model.unobserved_value_vars if variable.name not in transformed]
    expansion, expansion_data = _jaxified(model, kept)

    def expand(point: jax.Array, *data: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(expansion(*split(point), *data))

    flat = np.concatenate([np.ravel(start[name]) for name in names]).astype(np.float64)
    every = on_device({str(variable.name): variable.get_value() for variable in model.data_vars})
    shapes = jax.eval_shape(expand, flat, *[every[name] for name in expansion_data])
    return JaxDensity(
        log_density=lambda point, *data: density(*split(point), *data)[0],
        expansion=expand,
        density_data=density_data,
        expansion_data=expansion_data,
        start=flat,
        names=tuple(str(variable.name) for variable in kept),
        shapes=tuple(tuple(value.shape) for value in shapes),
        dims={name: tuple(map(str, dims)) for name, dims in model.named_vars_to_dims.items()},
        coords={name: tuple(values) for name, values in model.coords.items() if values is not None},
        data=every,
    )


def on_device(data: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Return arrays where JAX keeps them: a NumPy array would be moved there again at every gradient."""
    return {name: jnp.asarray(value) for name, value in data.items()}


def with_known_shapes(
    model: pm.Model, outputs: list[TensorVariable]
) -> tuple[list[TensorVariable], dict[str, TensorVariable]]:
    """Return outputs of data whose shapes are known, as JAX wants when it traces, and those data by name.

    A change of ``pm.Data`` keeps their shape; their own type does not say so.
    """
    reached = set(ancestors(outputs))
    shared = [variable for variable in model.data_vars if variable in reached]
    stand_ins = [variable.type.clone(shape=variable.get_value().shape)() for variable in shared]
    replaced = clone_replace(outputs, dict(zip(shared, stand_ins, strict=True)))
    return replaced, {str(variable.name): new for variable, new in zip(shared, stand_ins, strict=True)}


def _jaxified(
    model: pm.Model, outputs: list[TensorVariable]
) -> tuple[Callable[..., list[jax.Array]], tuple[str, ...]]:
    """Return a JAX function of the value variables and the data that these outputs use, and those data."""
    from pymc.sampling.jax import get_jaxified_graph

    replaced, data = with_known_shapes(model, outputs)
    function = get_jaxified_graph(inputs=[*model.value_vars, *data.values()], outputs=replaced)
    return function, tuple(data)
