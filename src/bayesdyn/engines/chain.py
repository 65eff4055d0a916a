"""Gaussian chains in JAX: a Markov chain of states given by linear rows, integrated out or drawn.

A chain has N states x_t of size M and density exp(-sum_t |A_t x_t + B_t x_{t-1} + c_t|^2 / 2), with R rows
per exchange: whitened innovations and whitened measurement errors alike. B_t = 0 starts a new session, so
sessions lie one after the other and nothing is padded to the longest. The precision is block tridiagonal.

Every second block is eliminated, all of them at once, then every second of the rest: cyclic reduction, which
factorises the precision in nested order, in about log2(N) steps of batched algebra (Golub & Van Loan, Matrix
Computations, 4th ed., 4.5.4; the precision sampler is Chan & Jeliazkov 2009, Int. J. Mathematical Modelling
and Numerical Optimisation 1, 101-120).

Exchanges are the last axis, and products of small matrices are written out: on a CPU this is an order of
magnitude faster than batched calls (docs/measured.md).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp


class _Step(NamedTuple):
    """What one elimination leaves for the way back; k blocks eliminated, each between two kept ones."""

    precision: jax.Array  # (M, M, k) of each block given the kept ones
    covariance: jax.Array  # (M, M, k) its inverse
    left: jax.Array  # (M, M, k) regression of the block on the kept block before it
    right: jax.Array  # (M, M, k) and on the one after it
    location: jax.Array  # (M, k) its mean where both are zero


@jax.custom_vjp
def log_integral(now: jax.Array, before: jax.Array, constant: jax.Array) -> jax.Array:
    """Return the log of the chain's integral over its states, less N M log(2 pi) / 2.

    Parameters
    ----------
    now, before
        A and B, (R, M, N); column t of B multiplies the state at t - 1 and is zero at a session's start.
    constant
        c, (R, N).
    """
    return _eliminate(*_precision(now, before, constant))[1] - 0.5 * jnp.sum(constant**2)


def _forward(now: jax.Array, before: jax.Array, constant: jax.Array) -> tuple[jax.Array, tuple]:
    steps, value = _eliminate(*_precision(now, before, constant))
    mean, covariance, cross = _moments(steps, constant.shape[-1])
    return value - 0.5 * jnp.sum(constant**2), (now, before, constant, mean, covariance, cross)


def _backward(saved: tuple, cotangent: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Fisher's identity: the gradient is an expectation over the chain, so no factor is differentiated."""
    now, before, constant, mean, covariance, cross = saved
    earlier = _after_first(mean)
    second = covariance + mean[:, None] * mean[None]
    second_cross = cross + mean[:, None] * earlier[None]
    second_earlier = _after_first(second)
    row = constant + _times(now, mean) + _times(before, earlier)
    by_now = _product(now, second) + _product(before, _swap(second_cross)) + constant[:, None] * mean[None]
    by_before = _product(now, second_cross) + _product(before, second_earlier)
    by_before = by_before + constant[:, None] * earlier[None]
    return -cotangent * by_now, -cotangent * by_before, -cotangent * row


log_integral.defvjp(_forward, _backward)


def draw_states(now: jax.Array, before: jax.Array, constant: jax.Array, noise: jax.Array) -> jax.Array:
    """Return states (M, N) of the chain for standard normal noise (M, N); their mean for zero noise."""
    return draw_given(*_precision(now, before, constant), noise)


def draw_given(diagonal: jax.Array, below: jax.Array, linear: jax.Array, noise: jax.Array) -> jax.Array:
    """Return the same for a chain given by its precision, as :func:`integral_given` takes it."""
    steps, _ = _eliminate(diagonal, below, linear)
    parts, rest = [], noise
    for _ in steps[:-1]:
        rest = _even(rest)
        parts.append(rest[..., 1::2])
        rest = rest[..., 0::2]
    parts.append(rest)
    last = steps[-1]
    value = last.location + _spread(last.precision, parts[-1])
    for step, part in zip(reversed(steps[:-1]), reversed(parts[:-1]), strict=True):
        value = value[..., : part.shape[-1]]
        own = step.location + _times(step.left, value) + _times(step.right, _next(value))
        value = _interleave(value, own + _spread(step.precision, part))
    return value[..., : noise.shape[-1]]


def _precision(
    now: jax.Array, before: jax.Array, constant: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the precision's diagonal D (M, M, N), what is below it E (t with t - 1), and the linear term."""
    ahead = _next(before)
    diagonal = _gram(now, now) + _gram(ahead, ahead)
    linear = -_transposed_times(now, constant) - _transposed_times(ahead, _next(constant))
    return diagonal, _gram(now, before), linear


def _eliminate(diagonal: jax.Array, below: jax.Array, linear: jax.Array) -> tuple[list[_Step], jax.Array]:
    """Return the steps of the elimination, the last of which has one block, and the log normaliser."""
    steps: list[_Step] = []
    value = jnp.zeros(())
    while linear.shape[-1] > 1:
        diagonal, below, linear = _even_precision(diagonal), _even(below), _even(linear)
        precision, to_left, to_right = diagonal[..., 1::2], below[..., 1::2], _swap(_next(below[..., 0::2]))
        covariance, log_det = inverse_by_sweeps(precision)
        left, right = -_product(covariance, to_left), -_product(covariance, to_right)
        location = _times(covariance, linear[..., 1::2])
        value += 0.5 * jnp.sum(location * linear[..., 1::2]) - 0.5 * log_det
        steps.append(_Step(precision, covariance, left, right, location))
        diagonal = diagonal[..., 0::2] + _gram(to_left, left) + _after_first(_gram(to_right, right))
        linear = (
            linear[..., 0::2]
            - _transposed_times(to_left, location)
            - _after_first(_transposed_times(to_right, location))
        )
        below = _after_first(_gram(to_right, left))
    covariance, log_det = inverse_by_sweeps(diagonal)
    location = _times(covariance, linear)
    none = jnp.zeros_like(diagonal)
    steps.append(_Step(diagonal, covariance, none, none, location))
    return steps, value + 0.5 * jnp.sum(location * linear) - 0.5 * log_det


def _moments(steps: list[_Step], count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return mean (M, N), covariance (M, M, N), and each state's covariance with the one before it."""
    mean, covariance = steps[-1].location, steps[-1].covariance
    cross = jnp.zeros_like(covariance)
    for step in reversed(steps[:-1]):
        kept = step.location.shape[-1]
        mean, covariance, cross = mean[..., :kept], covariance[..., :kept], cross[..., :kept]
        after = _next(cross)
        own_mean = step.location + _times(step.left, mean) + _times(step.right, _next(mean))
        with_left = _product(step.left, covariance) + _product(step.right, after)
        with_right = _product(step.left, _swap(after)) + _product(step.right, _next(covariance))
        own = (
            step.covariance + _product(with_left, _swap(step.left)) + _product(with_right, _swap(step.right))
        )
        mean, covariance = _interleave(mean, own_mean), _interleave(covariance, own)
        cross = _interleave(_after_first(_swap(with_right)), with_left)
    return mean[..., :count], covariance[..., :count], cross[..., :count]


def inverse_by_sweeps(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the inverse of positive definite matrices (M, M, k), and the log determinant of them all.

    Written out over the matrices' elements, k of them in a vector.

    By sweeping each pivot in turn (Goodnight 1979, The American Statistician 33, 149-158).
    """
    size = matrix.shape[0]
    log_det = jnp.zeros(())
    for k in range(size):
        unit = jnp.arange(size) == k
        row, column = unit[:, None, None], unit[None, :, None]
        pivot = matrix[k, k]
        log_det += jnp.sum(jnp.log(pivot))
        swept = matrix - matrix[:, k, None] * matrix[None, k] / pivot
        swept = jnp.where(row & column, -1 / pivot, jnp.where(row | column, matrix / pivot, swept))
        matrix = jax.lax.optimization_barrier(swept)
    return -matrix, log_det


def _spread(precision: jax.Array, noise: jax.Array) -> jax.Array:
    """Return noise (M, k) turned into deviations with the given precisions (M, M, k)."""
    if len(precision) == 1:
        return noise / jnp.sqrt(precision[0])
    factor = jnp.linalg.cholesky(jnp.moveaxis(precision, -1, 0))
    solved = jax.lax.linalg.triangular_solve(
        factor, jnp.moveaxis(noise, -1, 0)[..., None], left_side=True, lower=True, transpose_a=True
    )
    return jnp.moveaxis(solved[..., 0], 0, -1)


def _product(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return (I, J, N) times (J, K, N)."""
    return _sum([one[:, j, None] * other[None, j] for j in range(len(other))])


def _gram(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return the transpose of (J, I, N) times (J, K, N)."""
    return _sum([one[j, :, None] * other[j, None] for j in range(len(other))])


def _times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return _sum([matrix[:, j] * vector[None, j] for j in range(len(vector))])


def _transposed_times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return _sum([matrix[j] * vector[j, None] for j in range(len(vector))])


def _sum(terms: list[jax.Array]) -> jax.Array:
    # The barrier keeps XLA from fusing a product into the next one, which computes its elements many times.
    return jax.lax.optimization_barrier(functools.reduce(jnp.add, terms))


def _swap(matrix: jax.Array) -> jax.Array:
    return jnp.swapaxes(matrix, 0, 1)


def _even(blocks: jax.Array) -> jax.Array:
    """Append an idle block where the number of blocks is odd."""
    if blocks.shape[-1] % 2 == 0:
        return blocks
    return jnp.concatenate([blocks, jnp.zeros_like(blocks[..., :1])], axis=-1)


def _even_precision(blocks: jax.Array) -> jax.Array:
    if blocks.shape[-1] % 2 == 0:
        return blocks
    return jnp.concatenate([blocks, jnp.eye(len(blocks), dtype=blocks.dtype)[..., None]], axis=-1)


def _next(blocks: jax.Array) -> jax.Array:
    return jnp.concatenate([blocks[..., 1:], jnp.zeros_like(blocks[..., :1])], axis=-1)


def _after_first(blocks: jax.Array) -> jax.Array:
    return jnp.concatenate([jnp.zeros_like(blocks[..., :1]), blocks[..., :-1]], axis=-1)


def _interleave(kept: jax.Array, eliminated: jax.Array) -> jax.Array:
    return jnp.stack([kept, eliminated], axis=-1).reshape(*kept.shape[:-1], -1)
