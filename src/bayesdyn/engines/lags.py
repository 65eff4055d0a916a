"""Gaussian chains with lags of more than one exchange, as chains with one lag of blocks of exchanges.

With lags up to K, K exchanges in a row of one session make one block, whose state holds theirs: what a block
says of the states before it reaches no further than the block before. The chain of blocks is then one of
:mod:`bayesdyn.engines.chain`. Where a session ends within a block, idle standard normal states fill it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines import chain


@dataclass(frozen=True)
class Blocks:
    """Where exchanges stand in B blocks of K.

    Attributes
    ----------
    member
        (K, B) the exchange at each place of each block, -1 where idle.
    block, place
        (N,) block of each exchange, and its place there.
    """

    member: NDArray[np.int64]
    block: NDArray[np.int64]
    place: NDArray[np.int64]


def blocks_of(position: NDArray[np.int64], order: int) -> Blocks:
    """Return the blocks of exchanges whose places in their sessions are given.

    Parameters
    ----------
    position
        (N,) place of each exchange in its session, from 0, sessions one after the other.
    order
        K, exchanges in a block.
    """
    begins = position % order == 0
    block = np.cumsum(begins) - 1
    place = position % order
    member = np.full((order, int(begins.sum())), -1)
    member[place, block] = np.arange(len(position))
    return Blocks(member, block, place)


def log_integral_at(blocks: Blocks) -> Callable[..., jax.Array]:
    """Return :func:`.chain.log_integral` for lags, of ``(now, constant, before at lag 1, at lag 2, ...)``."""

    def log_integral(now: jax.Array, constant: jax.Array, *before: jax.Array) -> jax.Array:
        if len(before) == 1:
            return chain.log_integral(now, before[0], constant)
        return chain.log_integral(*in_blocks(blocks, now, constant, before))

    return log_integral


def draw_states_at(blocks: Blocks) -> Callable[..., jax.Array]:
    """Return :func:`.chain.draw_states` for lags, of ``(noise, now, constant, before at lag 1, ...)``.

    ``noise`` and the states are (M, N).
    """

    def draw_states(noise: jax.Array, now: jax.Array, constant: jax.Array, *before: jax.Array) -> jax.Array:
        if len(before) == 1:
            return chain.draw_states(now, before[0], constant, noise)
        size, order = len(noise), len(before)
        wide = noise[:, np.maximum(blocks.member, 0)] * (blocks.member >= 0)
        wide = jnp.swapaxes(wide, 0, 1).reshape(order * size, -1)
        drawn = chain.draw_states(*in_blocks(blocks, now, constant, before), wide)
        return drawn.reshape(order, size, -1)[blocks.place, :, blocks.block].T

    return draw_states


def in_blocks(
    blocks: Blocks, now: jax.Array, constant: jax.Array, before: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return rows of exchanges (R, M, N), and at each lag, as rows of blocks (K R, K M, B)."""
    rows, size, _ = now.shape
    order, idle = len(before), blocks.member < 0
    pad = np.eye(rows, size)[:, :, None]

    def coefficient(place: int, lag: int) -> jax.Array:
        member = np.maximum(blocks.member[place], 0)
        if lag == 0:
            return jnp.where(idle[place], pad, now[:, :, member])
        if 0 < lag <= order:
            return jnp.where(idle[place], 0.0, before[lag - 1][:, :, member])
        return jnp.zeros((rows, size, idle.shape[1]))

    def matrix(back: int) -> jax.Array:
        return jnp.concatenate(
            [
                jnp.concatenate([coefficient(place, place - other + back) for other in range(order)], axis=1)
                for place in range(order)
            ]
        )

    fixed = [
        jnp.where(idle[place], 0.0, constant[:, np.maximum(blocks.member[place], 0)])
        for place in range(order)
    ]
    return matrix(0), matrix(order), jnp.concatenate(fixed)
