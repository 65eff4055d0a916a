"""Parameters and priors of the Gaussian rater model of one construct, sampled by HMC.

The density is that of :mod:`bayesdyn.measures.rater.density`. It is sampled in terms that have no arbitrary
scale: each rater's mean ``mu_r``, spread ``tau_r``, and ``rho_r``, the share of its variance that raters of
its kind hold in common, so that c_r = tau_r sqrt(rho_r) is its loading on what is common and sigma_r =
tau_r sqrt(1 - rho_r) the SD of its own error. Of what LLMs have in common, a share s is error: their loading
on the true score is g_r = c_r sqrt(1 - s), on the error that they share h_r = c_r sqrt(s); humans have g_r =
c_r and h_r = 0. Origin and unit of the true score are fixed afterwards
(:mod:`bayesdyn.measures.rater.scale`).

Priors, with M_r and S_r the observed mean and SD of rater r, and S the geometric mean of the S_r:

========================  =====================================================================
mu_r                      Normal(M_r, S_r): worth one rating
tau_r                     LogNormal(log S_r, 1)          (discrimination other than "equal")
c                         LogNormal(log 0.7 S, 1)        (discrimination "equal": one c for all)
rho, or rho_r             Beta(2, 2); a construct's only rater, and its only coder beside LLMs, the given one
w                         Beta(1, 2): density highest at 0; fixed at 0 with one rater or no tokens
s                         the given Beta, Beta(1, 4) by default, with two LLMs or more; else 0
true between exchanges    share of sessions and dyads in the true score's variance Beta(2, 3)
error between exchanges   the same in a rater's own error Beta(1, 6)
dyads of it               share of dyads in what is between exchanges Beta(1.5, 1.5), for either
========================  =====================================================================

Without humans nothing in the ratings tells s from rho: its posterior is its prior. With humans it is what
LLMs have in common with each other beyond what they have in common with humans; two coders of the same
exchanges tell the coders' own error, one coder leaves that to its prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.measures.rater.density import Data, Parameters, log_likelihood
from bayesdyn.measures.rater.patterns import Statistics

type Floats = NDArray[np.float64]

Discrimination = Literal["single", "equal", "proportional", "free"]
"""``single``: one rater. ``equal``: c_r = c. ``proportional``: rho_r = rho. ``free``: both free."""

RHO_PRIOR, SHARED_PRIOR = (2.0, 2.0), (1.0, 4.0)
TRUE_BETWEEN, ERROR_BETWEEN, OF_DYADS = (2.0, 3.0), (1.0, 6.0), (1.5, 1.5)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Lane:
    """One construct as arrays, or many with one more leading axis; padded as in ``pad``."""

    data: Data
    spread: jax.Array
    present: jax.Array
    llm: jax.Array
    rho_prior: jax.Array
    shared_prior: jax.Array
    tokens: jax.Array
    sessions: jax.Array
    dyads: jax.Array
    shared_rho: jax.Array
    shared_c: jax.Array


@dataclass(frozen=True)
class Problem:
    """One construct's statistics and priors.

    Attributes
    ----------
    statistics
        Sufficient statistics; their centre is the observed mean of each rater.
    spread
        (rater,) observed SD of each rater, above 0.
    llm
        (rater,) who is an LLM.
    tokens
        Whether token variance is to guide the error variance.
    rho_prior
        (rater, 2) parameters of the Beta prior of each rho; where one rho holds for all, the first row.
    shared_prior
        Two parameters of the Beta prior of s; None: s is 0.
    discrimination
        What is assumed of the raters' discriminations.
    sessions, dyads
        Whether there are parts of sessions, and of dyads, in true score and error.
    """

    statistics: Statistics
    spread: Floats
    llm: NDArray[np.bool_]
    tokens: bool
    rho_prior: Floats
    shared_prior: tuple[float, float] | None = None
    discrimination: Discrimination = "proportional"
    sessions: bool = True
    dyads: bool = True


def unpack(lane: Lane, z: Mapping[str, jax.Array]) -> tuple[Parameters, jax.Array, jax.Array]:
    """Return the parameters at an unconstrained point, s, and the log density of prior and transformation.

    Every coordinate of ``z`` is centred on the observed moments and in units of about its posterior SD, so
    that the mode is found quickly; the prior is added on the natural scale: this choice changes no posterior.
    Coordinates that the construct does not use (absent raters, one shared value in place of several) are
    standard normal: every construct has the same shape, and one compiled sampler serves all.
    """
    root_n = jnp.sqrt(1 + lane.data.count.sum())
    first = jnp.arange(lane.present.shape[-1]) == 0
    used_rho = jnp.where(lane.shared_rho, first, lane.present)
    used_scale = jnp.where(lane.shared_c, first, lane.present)

    mu = lane.data.centre + lane.spread * z["mu"] / root_n
    log_prior = _normal(jnp.where(lane.present > 0, (mu - lane.data.centre) / lane.spread, z["mu"]))

    rho_free = 3 * z["rho"] / root_n
    log_prior += jnp.where(
        used_rho > 0, log_beta(rho_free, lane.rho_prior), -0.5 * jnp.square(z["rho"])
    ).sum()
    rho = jax.nn.sigmoid(jnp.where(lane.shared_rho, rho_free[0], rho_free))

    away = z["scale"] / root_n
    log_prior += _normal(jnp.where(used_scale > 0, away, z["scale"]))
    usual = (lane.present * jnp.log(lane.spread)).sum() / lane.present.sum()
    shared = 0.7 * jnp.exp(usual + away[0])
    tau = jnp.where(lane.shared_c, shared / jnp.sqrt(rho), lane.spread * jnp.exp(away)) * lane.present

    log_prior += jnp.where(lane.tokens, log_beta(z["w"], (1.0, 2.0)), -0.5 * jnp.square(z["w"]))
    with_shared = lane.shared_prior[0] > 0
    log_prior += jnp.where(with_shared, log_beta(z["s"], lane.shared_prior), -0.5 * jnp.square(z["s"]))
    s = jnp.where(with_shared, jax.nn.sigmoid(z["s"]), 0.0)

    true_share, of_true = _shares(lane, z["true"], TRUE_BETWEEN)
    error_share, of_error = _shares(lane, z["error"], ERROR_BETWEEN)
    common = tau * jnp.sqrt(rho)
    parameters = Parameters(
        mu=mu * lane.present,
        g=common * jnp.sqrt(1 - s * lane.llm),
        h=common * jnp.sqrt(s) * lane.llm,
        sigma=tau * jnp.sqrt(1 - rho),
        w=jnp.where(lane.tokens, jax.nn.sigmoid(z["w"]), 0.0),
        true_share=true_share,
        error_share=error_share,
    )
    return parameters, s, log_prior + of_true + of_error


def log_posterior(lane: Lane, z: Mapping[str, jax.Array]) -> jax.Array:
    """Return the log posterior density at an unconstrained point, up to a constant."""
    parameters, _, log_prior = unpack(lane, z)
    return log_prior + log_likelihood(lane.data, parameters)


def _shares(lane: Lane, z: jax.Array, prior: tuple[float, float]) -> tuple[jax.Array, jax.Array]:
    """Return the parts of exchange, session and dyad (sum 1), and the log prior density."""
    any_level = lane.sessions | lane.dyads
    both = lane.sessions & lane.dyads
    log_prior = jnp.where(any_level, log_beta(z[0] - 1.0, prior), -0.5 * jnp.square(z[0]))
    log_prior += jnp.where(both, log_beta(z[1], OF_DYADS), -0.5 * jnp.square(z[1]))
    between = jnp.where(any_level, jax.nn.sigmoid(z[0] - 1.0), 0.0)
    of_dyads = jnp.where(both, jax.nn.sigmoid(z[1]), jnp.where(lane.dyads, 1.0, 0.0))
    return jnp.stack([1 - between, between * (1 - of_dyads), between * of_dyads]), log_prior


def log_beta(x: jax.Array, prior: "tuple[float, float] | jax.Array") -> jax.Array:
    """Return the log density of a logit whose inverse has a Beta prior; ``prior`` has a and b last."""
    a, b = (prior[0], prior[1]) if isinstance(prior, tuple) else (prior[..., 0], prior[..., 1])
    return a * jax.nn.log_sigmoid(x) + b * jax.nn.log_sigmoid(-x)


def _normal(x: jax.Array) -> jax.Array:
    return -0.5 * jnp.square(x).sum()
