"""Parameters and priors of the ordinal rater model of one construct.

Sampled in terms without an arbitrary scale, as the Gaussian model (:mod:`bayesdyn.measures.rater.model`) is,
with the same priors where the two share a parameter:

=====================  ========================================================================
shares of the points   of each rater's answers, Dirichlet(1, ..., 1); the cuts follow from them
rho, or rho_r          Beta(2, 2), or as given: share of what a rater sees, replicate noise aside,
                       that raters of its kind hold in common; own_r^2 = 1 / rho_r - 1
nu_r                   Beta(1, 1): share of replicate noise in all that moves an answer, for raters
                       that gave several at an exchange
s                      the given Beta, Beta(1, 4) by default, with two LLMs or more; else 0
true between           share of sessions and dyads in the true score's variance Beta(2, 3)
dyads of it            share of dyads in what is between exchanges Beta(1.5, 1.5)
=====================  ========================================================================

Dyads and sessions have no part in the raters' errors here: those are the Gaussian model's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from numpy.typing import NDArray

from bayesdyn.measures.graded.density import Data, Form, Graded, log_likelihood
from bayesdyn.measures.rater.model import OF_DYADS, TRUE_BETWEEN, log_beta

_EDGE = 1e-9


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Lane:
    """One construct as arrays; see :class:`GradedProblem`."""

    data: Data
    base: jax.Array
    rho_prior: jax.Array
    shared_prior: jax.Array
    shared_rho: jax.Array


@dataclass(frozen=True)
class GradedProblem:
    """One construct's answers and priors.

    Attributes
    ----------
    data
        Answers of the exchanges that are learnt from, as NumPy arrays.
    form
        What the density is compiled for.
    share
        (rater, point) observed share of the points, none of them 0: where the sampler starts.
    rho_prior
        (rater, 2) Beta parameters of each rho; where one rho holds for all, the first row.
    shared_prior
        Beta parameters of s; None: s is 0.
    shared_rho
        Whether one rho holds for all raters.
    """

    data: Data
    form: Form
    share: NDArray[np.float64]
    rho_prior: NDArray[np.float64]
    shared_prior: tuple[float, float] | None
    shared_rho: bool

    def lane(self) -> Lane:
        """Return the arrays."""
        return Lane(
            data=jax.tree.map(jnp.asarray, self.data),
            base=jnp.asarray(np.log(self.share)),
            rho_prior=jnp.asarray(self.rho_prior),
            shared_prior=jnp.asarray(self.shared_prior or (0.0, 0.0)),
            shared_rho=jnp.asarray(self.shared_rho),
        )

    @property
    def start(self) -> dict[str, NDArray[np.float64]]:
        """An unconstrained point at the observed shares, all raters at a reliability of about .6."""
        raters, points = self.share.shape
        return {
            "share": np.zeros((raters, points)),
            "rho": np.full(raters, 0.5),
            "nu": np.full(raters, -1.0),
            "s": np.array(-1.5),
            "true": np.array([-0.5, 0.0]),
        }


def unpack(lane: Lane, z: Mapping[str, jax.Array], form: Form) -> tuple[Graded, jax.Array]:
    """Return the parameters at an unconstrained point, and the log density of prior and transformation.

    Coordinates that a construct does not use are standard normal.
    """
    logits = lane.base + z["share"]
    log_share = jax.nn.log_softmax(logits, axis=1)
    # Dirichlet(1, ..., 1) of a softmax: its density in the logits is the product of the shares; the direction
    # that moves all logits of a rater alike changes nothing, and is standard normal.
    log_prior = log_share.sum() - 0.5 * jnp.square(z["share"].mean(axis=1)).sum()

    first = jnp.arange(len(z["rho"])) == 0
    used = jnp.where(lane.shared_rho, first, True)
    log_prior += jnp.where(used, log_beta(z["rho"], lane.rho_prior), -0.5 * jnp.square(z["rho"])).sum()
    rho = jax.nn.sigmoid(jnp.where(lane.shared_rho, z["rho"][0], z["rho"]))

    repeated = jnp.array(form.repeated)
    log_prior += jnp.where(repeated, log_beta(z["nu"], (1.0, 1.0)), -0.5 * jnp.square(z["nu"])).sum()
    nu = jnp.where(repeated, jax.nn.sigmoid(z["nu"]), 0.0)

    with_shared = lane.shared_prior[0] > 0
    log_prior += jnp.where(with_shared, log_beta(z["s"], lane.shared_prior), -0.5 * jnp.square(z["s"]))
    s = jnp.where(with_shared, jax.nn.sigmoid(z["s"]), 0.0)

    if form.nested:
        log_prior += log_beta(z["true"][0], TRUE_BETWEEN)
        log_prior += log_beta(z["true"][1], OF_DYADS) if form.apart else -0.5 * jnp.square(z["true"][1])
        between = jax.nn.sigmoid(z["true"][0])
        of_dyads = jax.nn.sigmoid(z["true"][1]) if form.apart else 0.0
        true_share = jnp.stack([1 - between, between * (1 - of_dyads), between * of_dyads])
    else:
        log_prior += -0.5 * jnp.square(z["true"]).sum()
        true_share = jnp.array([1.0, 0.0, 0.0])

    total = 1 / rho / (1 - nu)
    cumulative = jnp.cumsum(jnp.exp(log_share), axis=1)[:, :-1]
    cut = ndtri(jnp.clip(cumulative, _EDGE, 1 - _EDGE)) * jnp.sqrt(total)[:, None]
    found = Graded(
        cut=cut, own=jnp.sqrt(1 / rho - 1), blur=jnp.sqrt(jnp.where(repeated, nu * total, 1.0)), s=s,
        true_share=true_share,
    )  # fmt: skip
    return found, log_prior


def log_posterior(lane: Lane, z: Mapping[str, jax.Array], form: Form) -> jax.Array:
    """Return the log posterior density at an unconstrained point, up to a constant."""
    at, log_prior = unpack(lane, z, form)
    return log_prior + log_likelihood(lane.data, at, form)
