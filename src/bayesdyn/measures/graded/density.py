"""The log density of answers on scale points under the ordinal rater model, true scores integrated out.

Rater r answers at exchange i with scale point k or lower with probability (graded response, cumulative
probit; Samejima 1969)

    P(v <= k) = Phi((cut_rk - x_i - d_ir) / blur_r),    d_ir ~ N(0, own_r^2),

with x_i what raters of its kind have in common, in units of its SD: for humans the true score theta_i, for
LLMs ``sqrt(1 - s) theta_i + sqrt(s) z_i`` with the error z_i that they share. Several answers of a rater at
an exchange share d_ir, and differ by ``blur`` (replicate noise). A rater that never gives two has one error
only: there is then no d_ir, and own_r takes the place of ``blur``. Given x_i, raters are independent.

theta = dyad + session + exchange, variances ``true_share`` (sum 1). Everything but the rater parameters is
integrated out on one grid of locations: each level is a convolution with a normal, and between levels
the logs are summed. The error that LLMs share, where humans tell it from theta, has no levels of its own.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from numpy.typing import NDArray

_REACH, _FINE_REACH, _FINE_STEP = 6.0, 7.5, 0.05
_TINY = 1e-300


type Array = jax.Array | NDArray[np.generic]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Data:
    """Answers as arrays: R raters, U patterns of one rater, K points, P joint patterns, S sessions.

    Exchanges of one session that all raters answered alike are one joint pattern, counted: three raters of
    five points make 216 at most, whatever the number of exchanges.

    Attributes
    ----------
    counts
        (R, U, K) answers per point; pattern 0 has none.
    pattern
        (P, R) pattern of each rater's answers; 0 throughout in padding.
    often
        (S, P) exchanges of a session with that joint pattern; not whole, or negative, where weighted.
    owner
        (S,) dyad of a session, ascending.
    """

    counts: Array
    pattern: Array
    often: Array
    owner: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Graded:
    """Rater parameters in units of the SD of the true score.

    Attributes
    ----------
    cut
        (R, K - 1) ascending.
    own, blur
        (R,) SD of the rater-by-exchange error, and of the replicates.
    s
        () share of error in what LLMs have in common.
    true_share
        (3,) parts of exchange, session and dyad in the true score, sum 1.
    """

    cut: jax.Array
    own: jax.Array
    blur: jax.Array
    s: jax.Array
    true_share: jax.Array


@dataclass(frozen=True)
class Form:
    """What the compiled density depends on besides shapes.

    Attributes
    ----------
    repeated
        Per rater, whether it gives several answers at an exchange.
    llm
        Per rater, whether it is an LLM.
    nested, apart
        Whether the true score has parts of sessions and dyads; whether the two can be told apart.
    step
        Step of the grid.
    dyads
        Number of dyads.
    """

    repeated: tuple[bool, ...]
    llm: tuple[bool, ...]
    nested: bool
    apart: bool
    step: float
    dyads: int

    @property
    def mixed(self) -> bool:
        """Whether humans and LLMs took part, so that the shared error is told from the true score."""
        return any(self.llm) and not all(self.llm)

    @property
    def grid(self) -> jax.Array:
        """(Q,) locations."""
        half = round(_REACH / self.step)
        return self.step * jnp.arange(-half, half + 1)


def log_likelihood(data: Data, at: Graded, form: Form) -> jax.Array:
    """Return the log density of a construct's answers (without multinomial coefficients)."""
    x = form.grid
    away = by_exchange(data.counts, data.pattern, at, form)
    if not form.nested:
        return (jnp.asarray(data.often).sum(0) * smoothed(away, jnp.zeros(1), 1.0, x)[:, 0]).sum()
    levels = smoothed(data.often @ smoothed(away, x, at.true_share[0], x), x, at.true_share[1], x)
    dyads = jax.ops.segment_sum(levels, data.owner, form.dyads, indices_are_sorted=True)
    return smoothed(dyads, jnp.zeros(1), at.true_share[2], x).sum()


def by_exchange(counts: Array, pattern: Array, at: Graded, form: Form) -> jax.Array:
    """Return the log likelihood of what joint patterns of answers say, on the grid, shape (P, Q).

    With humans and LLMs it is that of the true score, else that of what the raters have in common.
    """
    x = form.grid
    tables = [_of_rater(counts[r], at, r, form) for r in range(counts.shape[0])]

    def summed(kind: bool) -> jax.Array:
        rows = [
            table[pattern[:, r]] for r, table in enumerate(tables) if not form.mixed or form.llm[r] == kind
        ]
        return sum(rows[1:], rows[0])

    if not form.mixed:
        return summed(True)
    return summed(False) + smoothed(summed(True), jnp.sqrt(1 - at.s) * x, at.s, x)


def smoothed(logs: jax.Array, centre: jax.Array, variance: jax.Array | float, x: jax.Array) -> jax.Array:
    """Return the log of the expectation of exp(logs) under normals around each centre.

    Parameters
    ----------
    logs
        (row, Q) on the grid ``x``.
    centre
        (P,).
    variance
        Of the normals. On the grid their weights are normalised, so that a variance of 0 is no change.
    x
        (Q,).

    Returns
    -------
    jax.Array
        (row, P).
    """
    distance = jnp.square(x[:, None] - centre[None, :])
    kernel = jax.nn.softmax(-0.5 * distance / jnp.maximum(variance, 1e-8), axis=0)
    top = jax.lax.stop_gradient(logs.max(axis=1, keepdims=True))
    return jnp.log(jnp.exp(logs - top) @ kernel + _TINY) + top


def log_probabilities(cut: jax.Array, x: jax.Array, sd: jax.Array) -> jax.Array:
    """Return log P(point | x), shape (len(x), K), without cancellation in the tails."""
    away = (cut[None, :] - x[:, None]) / sd
    below, above = log_ndtr(away), log_ndtr(-away)
    low, high = away[:, :-1], away[:, 1:]
    # The difference of two normal tails is taken on the side where both are small.
    flip = low + high > 0
    big = jnp.where(flip, above[:, :-1], below[:, 1:])
    small = jnp.where(flip, above[:, 1:], below[:, :-1])
    middle = big + jnp.log(-jnp.expm1(jnp.minimum(small - big, -1e-12)))
    return jnp.concatenate([below[:, :1], middle, above[:, -1:]], axis=1)


def _of_rater(counts: Array, at: Graded, r: int, form: Form) -> jax.Array:
    """Return the log likelihood of each of a rater's patterns, given what its kind has in common: (U, Q)."""
    x = form.grid
    if not form.repeated[r]:
        return counts @ log_probabilities(at.cut[r], x, at.own[r]).T
    half = round(_FINE_REACH / _FINE_STEP)
    fine = _FINE_STEP * jnp.arange(-half, half + 1)
    return smoothed(counts @ log_probabilities(at.cut[r], fine, at.blur[r]).T, x, jnp.square(at.own[r]), fine)
