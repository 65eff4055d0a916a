"""Gaussian chains in JAX, session by session: the integrals of :mod:`bayesdyn.engines.chain`, not summed.

Sessions lie side by side, filled up to the longest, and exchanges are eliminated one after the other: the
recursion of a Kalman filter in the form of precisions (Golub & Van Loan, Matrix Computations, 4th ed., 4.5).
Where many evaluations run side by side, as for a Hessian, that costs no more than cyclic reduction; and its
program has one step, so that its derivatives compile in seconds instead of minutes.
"""

import jax
import jax.numpy as jnp
import numpy as np


def padded_places(session_of: np.ndarray, sessions: int) -> np.ndarray:
    """Return (T, S) the index of each session's exchanges, N where it has no more; exchanges are sorted."""
    length = np.bincount(session_of, minlength=sessions)
    first = np.concatenate([[0], np.cumsum(length)[:-1]])
    step = np.arange(length.max())[:, None]
    return np.where(step < length, first + step, len(session_of))


def session_integrals(
    now: jax.Array, before: jax.Array, constant: jax.Array, places: np.ndarray
) -> jax.Array:
    """Return the log of each session's integral over its states (S,), less half its states times log(2 pi).

    Parameters
    ----------
    now, before, constant
        A, B (R, M, N) and c (R, N), see :mod:`bayesdyn.engines.chain`; M = 0 leaves nothing to integrate.
    places
        See :func:`padded_places`.
    """
    size = now.shape[1]
    squares = jnp.sum(_lay(constant**2, places), axis=(0, 1))
    if not size:
        return -0.5 * squares
    ahead = jnp.concatenate([before[..., 1:], jnp.zeros_like(before[..., :1])], axis=-1)
    ahead_constant = jnp.concatenate([constant[:, 1:], jnp.zeros_like(constant[:, :1])], axis=-1)
    diagonal = _gram(now, now) + _gram(ahead, ahead)
    linear = -jnp.sum(now * constant[:, None] + ahead * ahead_constant[:, None], axis=0)
    # What only fills up is a standard normal state of its own, with an integral of one.
    idle = np.eye(size)[:, :, None] * (places == len(constant.T))[:, None, None]
    parts = (_lay(diagonal, places) + idle, _lay(_gram(now, before), places), _lay(linear, places))

    def eliminate(
        state: tuple[jax.Array, jax.Array], part: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        covariance, mean = state
        own, below, pull = part
        own = own - _product(_product(below, covariance), jnp.swapaxes(below, 0, 1))
        pull = pull - jnp.sum(below * mean[None], axis=1)
        covariance, log_det = _inverse(own)
        mean = jnp.sum(covariance * pull[None], axis=1)
        return (covariance, mean), 0.5 * jnp.sum(pull * mean, axis=0) - 0.5 * log_det

    sessions = places.shape[1]
    none = (jnp.zeros((size, size, sessions)), jnp.zeros((size, sessions)))
    return jnp.sum(jax.lax.scan(eliminate, none, parts)[1], axis=0) - 0.5 * squares


def _lay(values: jax.Array, places: np.ndarray) -> jax.Array:
    """Return (..., N) as (T, ..., S), zero where there is no exchange."""
    filled = jnp.concatenate([values, jnp.zeros_like(values[..., :1])], axis=-1)
    return jnp.moveaxis(filled[..., places], -2, 0)


def _gram(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return the transpose of (R, I, N) times (R, K, N)."""
    return jnp.sum(one[:, :, None] * other[:, None], axis=0)


def _product(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return (I, J, S) times (J, K, S)."""
    return jnp.sum(one[:, :, None] * other[None], axis=1)


def _inverse(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return inverses of positive definite matrices (M, M, S) and their log determinants (S,).

    By sweeping each pivot in turn (Goodnight 1979, The American Statistician 33, 149-158).
    """
    size = matrix.shape[0]
    log_det = jnp.zeros(matrix.shape[-1])
    for k in range(size):
        unit = np.arange(size) == k
        row, column = unit[:, None, None], unit[None, :, None]
        pivot = matrix[k, k]
        log_det = log_det + jnp.log(pivot)
        swept = matrix - matrix[:, k, None] * matrix[None, k] / pivot
        matrix = jnp.where(row & column, -1 / pivot, jnp.where(row | column, matrix / pivot, swept))
    return -matrix, log_det
