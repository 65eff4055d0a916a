"""Chains of NUTS on a JAX density, whichever package moves them: starts, threads, progress, draws by name.

A chain is one compiled program that is given a state and a number of steps. Chains run side by side in
threads, not as one program over all of them: that takes longer to compile, uses one core, and makes every
chain wait for the longest trajectory (docs/measured.md).
"""

import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayesdyn.engines.jax_density import JaxDensity
from bayesdyn.errors import EngineError, Fault
from bayesdyn.machine import available_cores

MOST_DOUBLINGS = 10
_TRIES = 100
_BLOCK = 50  # steps between two looks at the clock


@dataclass(frozen=True)
class Asked:
    """What a run of a sampler is asked for; see :func:`bayesdyn.fit`.

    ``tell_every`` is in seconds; 0 tells nothing. ``cores`` None takes all that there are.
    """

    draws: int
    tune: int
    chains: int
    random_seed: int
    target_accept: float
    tell_every: float = 0.0
    cores: int | None = None


class Record(NamedTuple):
    """What is kept of one step: the point (P,), and scalars."""

    point: jax.Array
    diverging: jax.Array
    energy: jax.Array
    n_steps: jax.Array
    step_size: jax.Array


class Nuts[State](Protocol):
    """One package's NUTS. Both functions are traced; ``data`` are those of the density."""

    steps_of_warmup: int
    """How many of the steps are warm-up; what ``begin`` does is not counted."""

    def begin(self, key: jax.Array, point: jax.Array, *data: jax.Array) -> State:
        """Return the state of a chain at a point."""
        ...

    def step(self, state: State, *data: jax.Array) -> tuple[State, Record]:
        """Return the state after one transition, and what is kept of it."""
        ...


def sample_chains[State](
    nuts: Nuts[State], density: JaxDensity, data: Mapping[str, jax.Array], asked: Asked
) -> tuple[xr.Dataset, xr.Dataset]:
    """Run chains of a sampler.

    Parameters
    ----------
    nuts
        Made for this density.
    density
        What is drawn from.
    data
        ``pm.Data`` by name, of the shapes that the density was built for.
    asked
        How much.

    Returns
    -------
    posterior, sample_stats : xr.Dataset
        Dims (chain, draw, ...), names as nutpie gives them.

    Raises
    ------
    EngineError
        Where none of many starting points has a finite density.
    """
    of_density = [data[name] for name in density.density_data]
    points = _starting_points(density, of_density, asked)
    keys = jax.random.split(jax.random.key(asked.random_seed), asked.chains)
    # Compiled before any thread asks for it, so that it is compiled once.
    begin = jax.jit(nuts.begin).lower(keys[0], points[0], *of_density).compile()
    state = jax.eval_shape(nuts.begin, keys[0], points[0], *of_density)
    advance = jax.jit(_advance(nuts)).lower(state, jnp.asarray(_BLOCK), *of_density).compile()
    counts = _Counts(asked, nuts.steps_of_warmup + asked.draws)

    def run(chain: int) -> Record:
        state, blocks, done = begin(keys[chain], points[chain], *of_density), [], 0
        while done < counts.steps:
            size = min(_BLOCK, counts.steps - done)
            state, block = advance(state, jnp.asarray(size), *of_density)
            blocks.append(jax.tree.map(lambda kept, size=size: np.asarray(kept[:size]), block))
            done += size
            warm = np.arange(done - size, done) < nuts.steps_of_warmup
            counts.add(size, int(np.sum(blocks[-1].diverging & ~warm)))
        whole = jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)
        return jax.tree.map(lambda values: values[nuts.steps_of_warmup :], whole)

    with ThreadPoolExecutor(asked.cores or available_cores()) as pool:
        made = jax.tree.map(lambda *chains: np.stack(chains), *pool.map(run, range(asked.chains)))
    return _posterior(density, data, made.point), _stats(made)


class _Counts:
    """What all chains have done so far, told now and then; chains add to it from their threads."""

    def __init__(self, asked: Asked, steps: int) -> None:
        self.steps = steps
        self._every, self._chains = asked.tell_every, asked.chains
        self._done = self._diverged = 0
        self._told = time.monotonic()

    def add(self, steps: int, diverged: int) -> None:
        self._done += steps
        self._diverged += diverged
        if self._every and time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            sys.stderr.write(
                f"{self._done} of {self._chains * self.steps} draws, {self._diverged} diverged\n"
            )
            sys.stderr.flush()


def _advance[State](nuts: Nuts[State]) -> Callable[..., tuple[State, Record]]:
    """Return a function of (state, count, *data): count steps, at most a block, kept in a block's arrays."""

    def advance(state: State, count: jax.Array, *data: jax.Array) -> tuple[State, Record]:
        _, one = jax.eval_shape(nuts.step, state, *data)
        kept = jax.tree.map(lambda part: jnp.zeros((_BLOCK, *part.shape), part.dtype), one)

        def once(at: jax.Array, carried: tuple[State, Record]) -> tuple[State, Record]:
            state, record = nuts.step(carried[0], *data)
            return state, jax.tree.map(lambda all_, one: all_.at[at].set(one), carried[1], record)

        return jax.lax.fori_loop(0, count, once, (state, kept))

    return advance


def _starting_points(density: JaxDensity, data: list[jax.Array], asked: Asked) -> list[jax.Array]:
    """Return a point for each chain where the density is finite: outside the stable dynamics it is 0."""
    evaluate, found = jax.jit(density.log_density), []
    for seed in np.random.SeedSequence(asked.random_seed).spawn(asked.chains):
        rng = np.random.default_rng(seed)
        tried = (jnp.asarray(density.start_near(rng)) for _ in range(_TRIES))
        point = next((one for one in tried if np.isfinite(evaluate(one, *data))), None)
        if point is None:
            fault = Fault(
                f"the density is 0 at {_TRIES} starting points",
                "Look for priors of lags that leave next to no stable dynamics",
            )
            raise EngineError("Cannot sample", [fault])
        found.append(point)
    return found


def _posterior(density: JaxDensity, data: Mapping[str, jax.Array], points: np.ndarray) -> xr.Dataset:
    """Return every variable of the model at points (chain, draw, P)."""
    given = [data[name] for name in density.expansion_data]
    expand = jax.jit(lambda all_, *data: jax.lax.map(lambda one: density.expansion(one, *data), all_))
    chains, draws, size = points.shape
    variables = {}
    for name, value in zip(density.names, expand(points.reshape(-1, size), *given), strict=True):
        own = density.dims.get(name, tuple(f"{name}_dim_{axis}" for axis in range(value.ndim - 1)))
        by_chain = np.asarray(value).reshape(chains, draws, *value.shape[1:])
        variables[name] = (("chain", "draw", *own), by_chain)
    return xr.Dataset(variables, coords=_chain_and_draw(chains, draws))


def _stats(made: Record) -> xr.Dataset:
    # After d doublings a trajectory has between 2^(d - 1) and 2^d - 1 steps.
    depth = np.floor(np.log2(np.maximum(made.n_steps, 1))).astype(np.int64) + 1
    values = {
        "depth": depth,
        "maxdepth_reached": made.n_steps >= 2**MOST_DOUBLINGS - 1,
        "diverging": made.diverging,
        "energy": made.energy,
        "n_steps": made.n_steps,
        "step_size": made.step_size,
    }
    return xr.Dataset(
        {name: (("chain", "draw"), np.asarray(value)) for name, value in values.items()},
        coords=_chain_and_draw(*made.energy.shape),
    )


def _chain_and_draw(chains: int, draws: int) -> dict[str, np.ndarray]:
    return {"chain": np.arange(chains), "draw": np.arange(draws)}
