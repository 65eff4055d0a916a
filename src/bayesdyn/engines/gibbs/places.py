"""Where exchanges stand, on one device or on each of several: what takes arrays between lanes and sessions.

Lanes and sessions are dealt to the devices, each of which holds its sessions' lanes. Left to the compiler, an
index from one into the other would bring all exchanges together; here each device looks up its own by itself,
and nothing of an exchange ever leaves its device. What is summed over sessions is left to the compiler.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SHARD = "shard"
"""The axis of the mesh of devices."""
BY_SESSION = PartitionSpec(SHARD)


def by_lane(values: jax.Array | np.ndarray) -> PartitionSpec:
    """Return how an array (..., L) is dealt to the devices."""
    return PartitionSpec(*[None] * (values.ndim - 1), SHARD)


class Dealt(NamedTuple):
    """Sessions dealt to shards, one shard after the other: as many to ``each``, the last may have fewer.

    ``mesh`` are the devices that have a shard each; None where one has all.
    """

    shards: int
    each: int
    mesh: Mesh | None = None


def rounded(size: int) -> int:
    """Return a size rounded up by at most a thirtieth: few occur, so that studies share compiled programs."""
    step = 1 << max(0, size.bit_length() - 6)
    return -(-size // step) * step


def apart[T](by_group: T, dealt: Dealt | None) -> T:
    """Return arrays (groups, ...) so that of several devices each has some of the groups.

    Else each would do for all groups what is done by group.
    """
    if dealt is None or dealt.mesh is None:
        return by_group
    return jax.lax.with_sharding_constraint(by_group, NamedSharding(dealt.mesh, BY_SESSION))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Places:
    """Where exchanges stand: D devices of L lanes and M sessions each, and H chunks of B places.

    Indices count within a device. They are arguments of a program, not its constants: so a program serves all
    studies of one shape, and no device holds what others need.

    Attributes
    ----------
    session
        (T, D L) session of each place, or (1, D L) of each lane where a lane holds one.
    step, lane
        (D M,) of each session's first exchange; a lane that is not there where a device has fewer sessions.
    filled, fixed, pattern
        (T, D L) whether an exchange stands there, (C, T, D L) whether its score is taken as it is, None where
        none is, and (T, D L) which constructs are rated together, None where errors do not correlate.
    chunk, used, of
        (D H, B) place in the flattened lanes of the exchanges in chunks, (D H, B) whether one is there, and
        (D H,) session of each chunk, as in :class:`.packing.Packing`.
    mesh, sessions
        The devices, None for one, and the number of sessions.
    """

    session: jax.Array
    step: jax.Array
    lane: jax.Array
    filled: jax.Array
    fixed: jax.Array | None
    pattern: jax.Array | None
    chunk: jax.Array
    used: jax.Array
    of: jax.Array
    mesh: Mesh | None = field(metadata={"static": True})
    sessions: int = field(metadata={"static": True})

    def spread(self, values: jax.Array) -> jax.Array:
        """Return values (S,) of sessions at each place (T, L), or (1, L)."""
        laid = by_lane(self.session)
        each = self._each(lambda values, session: values[session], (BY_SESSION, laid), laid)
        return each(self._padded(values), self.session)

    def at_start(self, values: jax.Array) -> jax.Array:
        """Return the values (S,) at the sessions' first exchanges, of values (T, L)."""

        def own(values: jax.Array, step: jax.Array, lane: jax.Array) -> jax.Array:
            return values.at[step, lane].get(mode="fill", fill_value=0)

        each = self._each(own, (by_lane(values), BY_SESSION, BY_SESSION), BY_SESSION)
        return each(values, self.step, self.lane)[: self.sessions]

    def add_at_start(self, values: jax.Array, added: jax.Array) -> jax.Array:
        """Return values (T, L) with something (S,), or one number, added at the sessions' first exchanges."""

        def own(values: jax.Array, added: jax.Array, step: jax.Array, lane: jax.Array) -> jax.Array:
            return values.at[step, lane].add(added, mode="drop")

        every = self._padded(jnp.broadcast_to(added, (self.sessions,)))
        each = self._each(own, (by_lane(values), BY_SESSION, BY_SESSION, BY_SESSION), by_lane(values))
        return each(values, every, self.step, self.lane)

    def by_session[T](
        self, summed: Callable[[T, jax.Array, jax.Array, jax.Array, int], jax.Array], laid: T
    ) -> jax.Array:
        """Return the sums (S, ...) that a function makes of arrays in lanes (..., T, L) by chunk."""
        count = len(self.step) // (1 if self.mesh is None else self.mesh.size)

        def own(laid: T, chunk: jax.Array, used: jax.Array, of: jax.Array) -> jax.Array:
            return summed(laid, chunk, used, of, count)

        specs = (jax.tree.map(by_lane, laid), BY_SESSION, BY_SESSION, BY_SESSION)
        return self._each(own, specs, BY_SESSION)(laid, self.chunk, self.used, self.of)[: self.sessions]

    def _each[**P](
        self, function: Callable[P, jax.Array], given: tuple[PartitionSpec, ...], found: PartitionSpec
    ) -> Callable[P, jax.Array]:
        """Return a function that every device does on its own, with how arrays are dealt to the devices."""
        if self.mesh is None:
            return function
        return jax.shard_map(function, mesh=self.mesh, in_specs=given, out_specs=found)

    def _padded(self, values: jax.Array) -> jax.Array:
        """Return values of sessions (S,) with zeros up to as many on every device."""
        return jnp.pad(values, (0, len(self.step) - self.sessions))
