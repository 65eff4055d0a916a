"""Sessions dealt to several devices: which session goes where, and how arrays are brought there.

Each device has as many sessions, up to one, and nearly as many exchanges. Dyads are not kept together: what
crosses between devices is by session or less in any case, and whole sessions are dealt more evenly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.block import stacked
from bayesdyn.engines.gibbs.devices import mesh_of
from bayesdyn.engines.gibbs.places import BY_SESSION, SHARD, Dealt, by_lane
from bayesdyn.engines.gibbs.sweep import State, Sweep
from bayesdyn.structure.problem import Problem


def dealt(problem: Problem, shards: int) -> tuple[Problem, Dealt]:
    """Return a problem whose sessions are numbered shard after shard, and how they are dealt.

    Exchanges, and the groups that effects belong to, stay in their order.
    """
    length = np.bincount(problem.session_of)
    each = -(-len(length) // shards)
    # Longest first, there and back: loads differ by less than the longest session.
    turns = np.tile(np.arange(shards), (each, 1))
    turns[1::2] = turns[1::2, ::-1]
    room = np.clip(len(length) - each * np.arange(shards), 0, each)
    taken = turns[np.arange(each)[:, None] < room[turns]]
    shard_of = np.empty(len(length), dtype=np.int64)
    shard_of[np.argsort(-length, kind="stable")] = taken
    order = np.argsort(shard_of, kind="stable")
    number = np.argsort(order)
    renumbered = replace(
        problem,
        sessions=tuple(problem.sessions[s] for s in order),
        session_of=number[problem.session_of],
        dyad_of_session=problem.dyad_of_session[order],
        groupings=tuple(replace(one, of_session=one.of_session[order]) for one in problem.groupings),
    )
    return renumbered, Dealt(shards, each)


@dataclass(frozen=True)
class Shards:
    """The devices that a study's sessions are dealt to: the one axis of a mesh."""

    mesh: Mesh

    @property
    def held_by_all(self) -> NamedSharding:
        """Return how an array stands that every device holds whole."""
        return NamedSharding(self.mesh, PartitionSpec())

    def by_lane(self, values: NDArray[np.generic]) -> jax.Array:
        """Return an array (..., T, L) dealt by lane; no device ever holds more than its own part."""
        return self._dealt(values, by_lane(values))

    def by_session(self, values: NDArray[np.generic]) -> jax.Array:
        """Return an array whose first axis is dealt."""
        return self._dealt(values, BY_SESSION)

    def whole(self, values: NDArray[np.generic]) -> jax.Array:
        """Return an array that every device holds whole."""
        return self._dealt(values, PartitionSpec())

    @cached_property
    def stacked(self) -> Callable[[Sequence[State]], State]:
        """Return what makes one of the states of several chains, where a block takes it."""
        # Compiled: of several hosts none may move by itself what others hold parts of.
        return jax.jit(stacked, out_shardings=self._of_states)

    @property
    def of_block(self) -> tuple[object, ...]:
        """Return how what :func:`.block.run_block` gives of several chains stands, in a tree like it."""
        return self._of_states, self.held_by_all, self._of_states.states

    @property
    def _of_states(self) -> State:
        """Return how states of several chains stand, in a tree like theirs."""
        states = NamedSharding(self.mesh, PartitionSpec(None, None, None, SHARD))
        return State._make((self.held_by_all, self.held_by_all, states, self.held_by_all))

    def _dealt(self, values: NDArray[np.generic], spec: PartitionSpec) -> jax.Array:
        sharding = NamedSharding(self.mesh, spec)
        # Of several hosts each makes the parts of its own devices.
        return jax.make_array_from_callback(values.shape, sharding, lambda at: values[at])


def sweep_on(device: str, count: int, problem: Problem, dtype: str) -> tuple[Sweep, Shards | None]:
    """Return the sweeps of a problem on so many devices of a kind, and the shards, None for one device.

    Raises
    ------
    EngineError
        If JAX sees fewer of them.
    """
    if count == 1:
        return Sweep(problem, dtype), None
    shards = Shards(mesh_of(device, count))
    renumbered, how = dealt(problem, count)
    return Sweep(renumbered, dtype, how._replace(mesh=shards.mesh)), shards
