"""The log density of ratings under the Gaussian rater model, all but the rater parameters integrated out.

A rating of exchange i, in session s of dyad d, by rater r, as deviation from the rater's mean:

    y_ir - mu_r = g_r x_i + h_r z_i + b_dr + a_sr + e_ir

with the true score x_i and the error z_i that all LLMs share (h_r = 0 for humans), each a sum of parts of
dyad, session and exchange with variances ``true_share`` (sum 1), and the rater's own error in parts of
dyad, session and exchange with variances ``sigma_r^2 error_share`` (sum 1); the exchange's part follows
token variance, ``sigma_r^2 error_share_0 (1 - w + w q_ir)``, and has the replicates' noise added.

Within a session, given its level, exchanges of one pattern have the same covariance of low rank plus
diagonal (Woodbury), and enter by counts and sums. The levels of session and dyad are then integrated out
as Gaussians of as many dimensions as there are raters. The cost grows with sessions, not exchanges.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

LEVELS = ("exchange", "session", "dyad")

_TINY = 1e-14


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Data:
    """:class:`~bayesdyn.measures.rater.patterns.Statistics` as arrays of JAX, or many with a leading axis."""

    count: jax.Array
    total: jax.Array
    cross: jax.Array
    mask: jax.Array
    q: jax.Array
    noise: jax.Array
    member: jax.Array
    centre: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Parameters:
    """What the density is a function of.

    Attributes
    ----------
    mu, g, h, sigma
        (rater,) mean, loading on the true score, loading on the error that LLMs share, SD of its own error
        (sigma over all levels, at q = 1, without replicate noise). Absent raters have 0.
    w
        () share of the exchange's error variance that follows token variance, in [0, 1).
    true_share, error_share
        (3,) parts of exchange, session and dyad, sum 1; 0 switches a level off.
    """

    mu: jax.Array
    g: jax.Array
    h: jax.Array
    sigma: jax.Array
    w: jax.Array
    true_share: jax.Array
    error_share: jax.Array


def log_likelihood(data: Data, at: Parameters) -> jax.Array:
    """Return the log density of a construct's ratings."""
    away = at.mu - data.centre
    inverse, log_det = _patterns(data, at)
    raters = data.centre.shape[-1]
    sessions, patterns = data.count.shape
    counts = data.count.sum(0)
    # Dense products over (session, pattern): no scatter, and BLAS does them.
    a = (data.count @ inverse.reshape(patterns, -1)).reshape(sessions, raters, raters)
    b = data.total.reshape(sessions, -1) @ inverse.reshape(-1, raters) - a @ away
    whole = data.total.sum(0)
    linear = (inverse * whole[:, None, :]).sum((0, 2))
    quadratic = (inverse * data.cross).sum() - 2 * away @ linear
    quadratic += away @ (counts @ inverse.reshape(patterns, -1)).reshape(raters, raters) @ away

    a, b, gained, det = _integrated(a, b, _root(at, 1))
    quadratic, log_det_sum = quadratic - gained, (counts * log_det).sum() + det
    a = (data.member @ a.reshape(sessions, -1)).reshape(-1, raters, raters)
    _, _, gained, det = _integrated(a, data.member @ b, _root(at, 2))
    quadratic, log_det_sum = quadratic - gained, log_det_sum + det
    rated = (counts[:, None] * data.mask).sum()
    return -0.5 * (rated * jnp.log(2 * jnp.pi) + log_det_sum + quadratic)


def _patterns(data: Data, at: Parameters) -> tuple[jax.Array, jax.Array]:
    """Return inverse and log determinant of each pattern's covariance within a session."""
    error = jnp.square(at.sigma) * at.error_share[0] * (1 - at.w + at.w * data.q) + data.noise
    error = jnp.where(data.mask > 0, error, 1.0)
    weight = data.mask / error
    u, v = weight * at.g, weight * at.h
    share = at.true_share[0]
    # I + U' D^-1 U, two by two, by hand: LAPACK on thousands of tiny matrices is far slower.
    k11 = 1 + share * (u * at.g).sum(-1)
    k22 = 1 + share * (v * at.h).sum(-1)
    k12 = share * (u * at.h).sum(-1)
    det = k11 * k22 - k12 * k12

    def outer(x: jax.Array, y: jax.Array, factor: jax.Array) -> jax.Array:
        return factor[:, None, None] * x[:, :, None] * y[:, None, :]

    low = outer(u, u, k22) + outer(v, v, k11) - outer(u, v, k12) - outer(v, u, k12)
    inverse = weight[:, :, None] * jnp.eye(weight.shape[-1]) - (share / det)[:, None, None] * low
    return inverse, jnp.log(error).sum(-1) + jnp.log(det)


def _root(at: Parameters, level: int) -> jax.Array:
    """Return a root of the covariance of a level's part of the ratings, shape (rater, rater)."""
    covariance = at.true_share[level] * (jnp.outer(at.g, at.g) + jnp.outer(at.h, at.h))
    own = jnp.square(at.sigma) * at.error_share[level]
    # Absent raters, and levels that are off, have no variance, and a root needs some.
    return jnp.linalg.cholesky(covariance + jnp.diag(own + _TINY))


def _integrated(
    a: jax.Array, b: jax.Array, root: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Integrate a normal effect out of exp(b'v - v'a v / 2) for each unit.

    Parameters
    ----------
    a, b
        (unit, rater, rater) and (unit, rater).
    root
        (rater, rater) L of the effect's covariance L L'.

    Returns
    -------
    a, b, gained, log_det
        What stays for the level above, and the sums over units of ``b'L (I + L'aL)^-1 L'b`` and of
        ``log |I + L'aL|``.
    """
    # Sums of products and a factor written out, not matrix products and LAPACK: those handle thousands of
    # tiny matrices one by one.
    moved = (a[:, :, :, None] * root).sum(2)
    inner = (root[:, :, None] * moved[:, :, None, :]).sum(1) + jnp.eye(root.shape[1])
    right = jnp.concatenate([jnp.swapaxes(moved, 1, 2), (b[:, :, None] * root).sum(1)[:, :, None]], axis=2)
    solved, log_det = _solved(inner, right)
    t, s = solved[:, :, :-1], solved[:, :, -1]
    a = a - (t[:, :, :, None] * t[:, :, None, :]).sum(1)
    return a, b - (t * s[:, :, None]).sum(1), jnp.square(s).sum(), log_det


def _solved(matrix: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return ``L^-1 right`` of each matrix ``L L'``, and the sum of log determinants."""
    size = matrix.shape[-1]
    lower: list[list[jax.Array]] = []
    rows: list[jax.Array] = []
    log_det = jnp.zeros(())
    for i in range(size):
        row: list[jax.Array] = []
        for j in range(i):
            inner = matrix[:, i, j] - sum((row[k] * lower[j][k] for k in range(j)), jnp.zeros(()))
            row.append(inner / lower[j][j])
        square = matrix[:, i, i] - sum((part * part for part in row), jnp.zeros(()))
        row.append(jnp.sqrt(square))
        log_det += jnp.log(square).sum()
        lower.append(row)
        left = right[:, i] - sum((row[k][:, None] * rows[k] for k in range(i)), jnp.zeros(()))
        rows.append(left / row[i][:, None])
    return jnp.stack(rows, axis=1), log_det
