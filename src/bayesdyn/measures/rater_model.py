"""The Gaussian rater model of one construct, its true scores integrated out, sampled with NUTS.

    y_ir = m + severity_r + discrimination_r (theta_i - m) + e_ir,     theta_i ~ N(m, phi)
    var(e_ir) = sigma_r^2 (1 - w + w q_ir) + replicate noise_ir

``q_ir`` is token variance relative to that of like scores (mean 1), so w is the share of the error variance
that token variance carries: a_r = (1 - w) sigma_r^2 and b_r = w sigma_r^2 in a_r + b_r q_ir, and w = 0 says
that it is no guide. The model is sampled in terms that have no arbitrary scale: each rater's mean ``mu_r``
= m + severity_r, spread ``tau_r`` and reliability ``rho_r``, so that discrimination_r sqrt(phi) =
tau_r sqrt(rho_r) =: g_r and sigma_r^2 = tau_r^2 (1 - rho_r). Origin and unit of theta are fixed afterwards
(:mod:`bayesdyn.measures.summaries`).

Priors, with M_r and S_r the observed mean and SD of rater r, and S the geometric mean of the S_r:

========================  =====================================================================
mu_r                      Normal(M_r, S_r): worth one rating
tau_r                     LogNormal(log S_r, 1)          (discrimination other than "equal")
g                         LogNormal(log 0.7 S, 1)        (discrimination "equal": one g for all)
rho, or rho_r             Beta(2, 2); with one rater the given prior on its reliability
w                         Beta(1, 2): density highest at 0; fixed at 0 with one rater or no tokens
========================  =====================================================================

The likelihood of a pattern is that of a normal with covariance g g' + D, by the matrix determinant lemma
and Sherman-Morrison: cost grows with patterns times raters, not exchanges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import NUTS

from bayesdyn.measures.patterns import Patterns, pad

Discrimination = Literal["single", "equal", "proportional", "free"]
"""``single``: one rater. ``equal``: g_r = g. ``proportional``: rho_r = rho. ``free``: both free."""

_FEWEST_RATERS = 3
_FEWEST_PATTERNS = 256


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Lane:
    """Data of one construct as arrays, or of many with one more leading axis; padded as in ``pad``."""

    count: jax.Array
    mean: jax.Array
    cross: jax.Array
    mask: jax.Array
    q: jax.Array
    noise: jax.Array
    centre: jax.Array
    spread: jax.Array
    present: jax.Array
    tokens: jax.Array
    prior: jax.Array
    shared_rho: jax.Array
    shared_g: jax.Array


@dataclass(frozen=True)
class Problem:
    """One construct's statistics and priors.

    Attributes
    ----------
    patterns
        Sufficient statistics.
    centre, spread
        (rater,) observed mean and SD of each rater, above 0.
    tokens
        Whether token variance is to guide the error variance.
    reliability_prior
        Two parameters of the Beta prior of rho.
    discrimination
        What is assumed of the raters' discriminations.
    """

    patterns: Patterns
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    tokens: bool
    reliability_prior: tuple[float, float] = (2.0, 2.0)
    discrimination: Discrimination = "proportional"


@dataclass(frozen=True)
class Draws:
    """Posterior of one construct in the units of the ratings, and how well it was sampled.

    Attributes
    ----------
    mu, g, sigma
        (draw, rater): mean, loading on the standardised true score, error SD at q = 1 (no replicate noise).
    w
        (draw,) share of the error variance that follows token variance.
    rhat, ess
        Largest split R-hat and smallest effective sample size over the parameters.
    divergences
        Number of divergent draws.
    """

    mu: NDArray[np.float64]
    g: NDArray[np.float64]
    sigma: NDArray[np.float64]
    w: NDArray[np.float64]
    rhat: float
    ess: float
    divergences: int


def log_likelihood(
    lane: Lane, mu: jax.Array, g: jax.Array, sigma: jax.Array, w: jax.Array | float
) -> jax.Array:
    """Return the log density of a construct's ratings given the rater parameters, theta integrated out.

    Parameters
    ----------
    lane
        One construct's patterns.
    mu, g, sigma
        Shape (rater,): means, loadings, error SDs.
    w
        Share of the error variance that follows token variance, in [0, 1).
    """
    error = jnp.square(sigma) * (1 - w + w * lane.q) + lane.noise
    d = jnp.where(lane.mask > 0, error, 1.0)
    u = lane.mask * g / d
    h = 1 + (u * g).sum(-1)
    away = lane.mask * (lane.mean - mu)
    # Sums of products, not einsum: XLA turns that into batched tiny matrix products, far slower on a CPU.
    diagonal = jnp.diagonal(lane.cross, axis1=-2, axis2=-1) + lane.count[:, None] * jnp.square(away)
    along = ((lane.cross * u[:, None, :]).sum(-1) * u).sum(-1) + lane.count * jnp.square((u * away).sum(-1))
    quadratic = (diagonal / d).sum(-1) - along / h
    rated = lane.mask.sum(-1)
    log_det = jnp.log(d).sum(-1) + jnp.log(h)
    return -0.5 * (lane.count * (rated * jnp.log(2 * jnp.pi) + log_det) + quadratic).sum()


def unpack(lane: Lane, z: Mapping[str, jax.Array]) -> tuple[dict[str, jax.Array], jax.Array]:
    """Return the parameters at an unconstrained point, and the log density of prior and transformation there.

    Every coordinate of ``z`` is centred on the observed moments and in units of about its posterior SD, so
    that NUTS starts well scaled; the prior is added on the natural scale: this choice changes no posterior.
    Coordinates that the construct does not use (absent raters, one shared value in place of several) are
    standard normal: every construct has the same shape, and one compiled sampler serves all.
    """
    root_n = jnp.sqrt(1 + lane.count.sum())
    first = jnp.arange(lane.present.shape[-1]) == 0
    used_rho = jnp.where(lane.shared_rho, first, lane.present)
    used_scale = jnp.where(lane.shared_g, first, lane.present)

    mu = lane.centre + lane.spread * z["mu"] / root_n
    log_prior = _normal(jnp.where(lane.present > 0, (mu - lane.centre) / lane.spread, z["mu"]))

    rho_free = 3 * z["rho"] / root_n
    log_beta = lane.prior[0] * jax.nn.log_sigmoid(rho_free) + lane.prior[1] * jax.nn.log_sigmoid(-rho_free)
    log_prior += jnp.where(used_rho > 0, log_beta, -0.5 * jnp.square(z["rho"])).sum()
    rho = jax.nn.sigmoid(jnp.where(lane.shared_rho, rho_free[0], rho_free))

    away = z["scale"] / root_n
    log_prior += _normal(jnp.where(used_scale > 0, away, z["scale"]))
    usual = (lane.present * jnp.log(lane.spread)).sum() / lane.present.sum()
    shared = 0.7 * jnp.exp(usual + away[0])
    tau = jnp.where(lane.shared_g, shared / jnp.sqrt(rho), lane.spread * jnp.exp(away))

    log_prior += jnp.where(
        lane.tokens, jax.nn.log_sigmoid(z["w"]) + 2 * jax.nn.log_sigmoid(-z["w"]), -0.5 * jnp.square(z["w"])
    )
    return {
        "mu": mu,
        "g": tau * jnp.sqrt(rho),
        "sigma": tau * jnp.sqrt(1 - rho),
        "w": jnp.where(lane.tokens, jax.nn.sigmoid(z["w"]), 0.0),
    }, log_prior


def log_posterior(lane: Lane, z: Mapping[str, jax.Array]) -> jax.Array:
    """Return the log posterior density at an unconstrained point, up to a constant."""
    parameters, log_prior = unpack(lane, z)
    return log_prior + log_likelihood(lane, **parameters)


def _normal(x: jax.Array) -> jax.Array:
    return -0.5 * jnp.square(x).sum()


def _start(lane: Lane, key: jax.Array) -> dict[str, jax.Array]:
    """Return a start near the observed moments, jittered so that R-hat can see a chain that is stuck."""
    raters = lane.centre.shape
    shapes = {"mu": raters, "rho": raters, "scale": raters, "w": ()}
    keys = jax.random.split(key, len(shapes))
    return {
        name: jax.random.normal(own, shape, dtype=lane.centre.dtype)
        for own, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


@partial(jax.jit, static_argnames=("warmup", "draws"))
def _sample(
    lanes: Lane, keys: jax.Array, warmup: int, draws: int
) -> tuple[Mapping[str, jax.Array], jax.Array]:
    """Run one chain per construct and key, all at once; return draws (construct, chain, draw, ...)."""

    def one(lane: Lane, key: jax.Array) -> tuple[Mapping[str, jax.Array], jax.Array]:
        kernel = NUTS(potential_fn=lambda z: -log_posterior(lane, z), dense_mass=True, step_size=0.5)
        start_key, run_key = jax.random.split(key)
        state = kernel.init(run_key, warmup, _start(lane, start_key), (), {})

        def step(state, _):
            state = kernel.sample(state, (), {})
            return state, (state.z, state.diverging)

        _, (z, diverging) = jax.lax.scan(step, state, None, length=warmup + draws)
        kept = jax.tree.map(lambda values: values[warmup:], z)
        return jax.vmap(lambda point: unpack(lane, point)[0])(kept), diverging[warmup:]

    flat = jax.tree.map(lambda part: jnp.repeat(part, keys.shape[1], axis=0), lanes)
    sampled, diverging = jax.vmap(one)(flat, keys.reshape(-1))
    shaped = jax.tree.map(lambda part: part.reshape(*keys.shape, *part.shape[1:]), sampled)
    return shaped, diverging.reshape(*keys.shape, draws)


def make_lane(problem: Problem, size: int, raters: int) -> Lane:
    """Return a problem as NumPy arrays padded to ``size`` patterns and ``raters`` raters."""
    patterns = pad(problem.patterns, size, raters)
    absent = raters - len(problem.centre)
    arrays = {
        **asdict(patterns),
        "centre": np.pad(problem.centre, (0, absent)),
        "spread": np.pad(problem.spread, (0, absent), constant_values=1.0),
        "present": np.pad(np.ones(len(problem.centre)), (0, absent)),
        "tokens": np.asarray(problem.tokens and problem.discrimination != "single"),
        "prior": np.asarray(problem.reliability_prior, dtype=np.float64),
        "shared_rho": np.asarray(problem.discrimination in ("single", "proportional")),
        "shared_g": np.asarray(problem.discrimination == "equal"),
    }
    return Lane(**arrays)


def sample_raters(
    problems: Sequence[Problem], *, random_seed: int, chains: int = 2, warmup: int = 250, draws: int = 400
) -> list[Draws]:
    """Return the posterior of each construct, in float64.

    Parameters
    ----------
    problems
        The constructs; they are independent, and all chains run side by side.
    random_seed
        Seed of all chains.
    chains, warmup, draws
        NUTS chains per construct, adaptation steps and kept draws per chain.
    """
    raters = max(_FEWEST_RATERS, *(len(problem.centre) for problem in problems))
    # Rounded up to a power of two, so that studies of about one size share one compiled sampler.
    most = max(_FEWEST_PATTERNS, *(len(problem.patterns.count) for problem in problems))
    made = [make_lane(problem, 1 << (most - 1).bit_length(), raters) for problem in problems]
    with jax.enable_x64(True):
        lanes = jax.tree.map(lambda *parts: jnp.asarray(np.stack(parts)), *made)
        keys = jax.random.split(jax.random.key(random_seed), (len(problems), chains))
        sampled, diverging = _sample(lanes, keys, warmup, draws)
        found = {name: np.asarray(values) for name, values in sampled.items()}
        divergent = np.asarray(diverging)
    return [
        _one_posterior({name: values[c] for name, values in found.items()}, divergent[c], problem)
        for c, problem in enumerate(problems)
    ]


def _one_posterior(
    found: dict[str, NDArray[np.float64]], diverging: NDArray[np.bool_], problem: Problem
) -> Draws:
    """Return the draws of the raters that are there, chains end to end, with their diagnostics."""
    raters = len(problem.centre)
    own = {name: values[..., :raters] if values.ndim == 3 else values for name, values in found.items()}
    checked = [own[name] for name in ("mu", "g", "sigma")]
    if np.ptp(own["w"]) > 0:
        checked.append(own["w"][..., None])
    together = np.concatenate(checked, axis=-1)
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in own.items()}
    return Draws(
        **flat,
        rhat=float(np.max(split_gelman_rubin(together))),
        ess=float(np.min(effective_sample_size(together))),
        divergences=int(diverging.sum()),
    )
