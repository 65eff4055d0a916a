"""Joint-distribution test of the sweeps (Geweke 2004, J. Amer. Statist. Assoc. 99, 799-804).

Scores are drawn anew from the states after each sweep. A sweep that leaves the posterior as it is then leaves
the prior of every unknown as it is, whatever the scores; a wrong density, a missing Jacobian or a stale state
moves it. Means and second moments of all unknowns are set beside the prior's own. What would fail it: a
difference of more than four Monte Carlo standard errors in any of 64, 94 and 102 numbers, and 62 where
ratings are drawn (chance of one in a right sampler: one in 155 and less), or fewer than 200 effective draws
for any. Steps are learnt and frozen first.

Changed after a first run: 30,000 sweeps a chain gave a least ESS of 125; they are 100,000, bounds as before.
"""

from dataclasses import replace
from functools import partial

import arviz_stats
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import ndtr
from scipy.stats import norm

import bayesdyn as bd
from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.gibbs.block import start
from bayesdyn.engines.gibbs.group_effects import GroupEffects
from bayesdyn.engines.gibbs.model import Unknowns
from bayesdyn.engines.gibbs.steps import adapt, frozen, learn, looks
from bayesdyn.engines.gibbs.sweep import Sweep
from bayesdyn.engines.raters import beta_priors, normal_places
from bayesdyn.structure.prior_draws import draw_paths
from bayesdyn.structure.problem import prepare
from prior_studies import flat_measures, with_raters
from small_models import MODERATED, TINY

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")]

WITHIN = """
[model]
name = "levels"
paths = '''
disclosure ~ empathy + mean(empathy) + lag(disclosure) + empathy:mean(rapport) + rapport
disclosure ~ (1 + empathy | dyad) + (1 | session)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
dyad = ["rapport"]
"""
SLOPES = """
[model]
name = "slopes"
centering = "none"
paths = '''
disclosure ~ empathy + lag(disclosure) + (1 + empathy | dyad)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""
# Effects that hold a mean over dyads, drawn in several blocks, and moves between levels that keep it.
GRAND = """
[model]
name = "grand"
centering = "grand"
paths = '''
disclosure ~ empathy + rapport + empathy:rapport + lag(disclosure)
disclosure ~ (1 + empathy | dyad) + (1 + lag(disclosure) | session)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
dyad = ["rapport"]
"""
CONSTRUCTS = ("empathy", "disclosure", "rapport")
NORMALS = ("severity_raw", "discrimination_raw")
SWEEPS, WARM, CHAINS = 100_000, 3_000, 2


def scores_of(key, sweep, state, rows, factor):
    """Scores of the states: errors correlated across constructs, se times exp(kappa / 2); or ratings."""
    if rows.ratings is not None:
        return rows._replace(ratings=ratings_of(key, sweep, state, rows.ratings))
    noise = jnp.einsum("cd,dtl->ctl", factor, jax.random.normal(key, state.states.shape))
    se = 1 / jnp.where(rows.rated > 0, rows.precision, 1.0)
    sd = jnp.exp(sweep.kappa(state.unknowns) / 2)[:, None, None] * se
    return rows._replace(score=rows.rated * (state.states + sd * noise))


def ratings_of(key, sweep, state, ratings):
    """Ratings of the states: severity, discrimination, the error that LLMs share, and each rater's own."""
    values = []
    for c, name in enumerate(sweep.problem.constructs):
        at, states = sweep.integrated[name].measured.raters(state.unknowns.raters[name]), state.states[c]
        severity, loading, error, shared = (part[:, :, None] for part in at[:4])
        of_shared, of_own = jax.random.split(jax.random.fold_in(key, c))
        w, (_, q, noise, _) = at.token_weight[0], ratings
        own = jnp.sqrt(error**2 * (1 - w + w * q[c]) + noise[c])
        drawn = severity + loading * states + shared * jax.random.normal(of_shared, states.shape)
        values.append(drawn + own * jax.random.normal(of_own, own.shape))
    return ratings._replace(value=ratings.mask * jnp.stack(values))


def numbers(sweep, unknowns):
    """Every unknown but the effects, whose covariance is among them, by name: squares too."""
    found = {"free": unknowns.free, "mean": unknowns.level_mean}
    if sweep.problem.rated_by is None:
        found["kappa"] = unknowns.kappa_raw
    for name, values in unknowns.raters.items():
        for part, value in sweep.integrated[name].measured.parts(values).items():
            found[f"{name} {part}"] = value if part in NORMALS else ndtr(value)
    for name, (size, _) in sweep.priors.items():
        point = unknowns.factors[name]
        factor = spreads.factor_of(point, size)
        sd = jnp.exp(point[:size])
        covariance = factor @ factor.T
        found[f"{name} sd"] = jnp.minimum(sd, 3.0)
        found[f"{name} corr"] = (covariance / sd[:, None] / sd)[np.tril_indices(size, -1)]
    for name, effect in unknowns.effects.items():
        found[f"{name} effects"] = jnp.clip(effect[0], -3.0, 3.0)
    values = jnp.concatenate([jnp.ravel(value) for value in found.values()])
    names = [f"{name} {i}" for name, value in found.items() for i in range(value.size)]
    return jnp.concatenate([values, values**2]), [*names, *(f"{name} squared" for name in names)]


def prior_numbers(sweep, count, seed):
    """The same for exact draws from the prior."""
    rng = np.random.default_rng(seed)
    paths = draw_paths(sweep.problem.spec, count, rng)
    free = paths @ np.linalg.pinv(sweep.model.paths.pick).T
    factors, effects = {}, {}
    for name, (size, prior) in sweep.priors.items():
        sd = np.abs(prior.sd * rng.standard_normal((count, size)))
        rows, columns = np.tril_indices(size, -1)
        beta = prior.eta + (size - 2 - columns) / 2
        partial_corr = 2 * rng.beta(beta, beta, (count, len(rows))) - 1
        factors[name] = np.concatenate([np.log(sd), np.arctanh(partial_corr)], axis=1)
    for name, (groups, size) in sweep.model.effect_counts.items():
        factor = jax.vmap(partial(spreads.factor_of, size=size))(jnp.asarray(factors[name]))
        effects[name] = np.einsum("nij,ngj->ngi", factor, rng.standard_normal((count, groups, size)))
    level = rng.standard_normal((count, len(sweep.model.own)))  # the prior of means is normal(0, 1)
    raw = rng.standard_normal((count, len(sweep.problem.constructs)))
    raters = {}
    if sweep.problem.rated_by is not None:
        raters = {name: prior_raters(one.measured, count, rng) for name, one in sweep.integrated.items()}
    unknowns = Unknowns(*jax.tree.map(jnp.asarray, (free, level, effects, factors, raw, raters)))
    return np.asarray(jax.vmap(lambda one: numbers(sweep, one)[0])(unknowns))


def prior_raters(measured, count, rng):
    """Exact draws of the numbers of one construct's raters."""
    betas = beta_priors(measured.rated)
    drawn = {name: rng.standard_normal((count, place.shape[1]))
             for name, place in normal_places(measured.rated).items()}  # fmt: skip
    drawn |= {name: norm.ppf(rng.beta(*prior.T, (count, len(prior)))) for name, prior in betas.items()}
    return np.concatenate(list(drawn.values()), axis=1)


def rated_problem(measures, spec):
    """Three LLMs; token variances and replicates differ, and errors of two constructs do not correlate.

    Of errors that do, the model says how scores correlate, and nothing that ratings could be drawn from.
    """
    measures = measures.assign(error_corr=(("construct", "construct2"), np.eye(3)))
    problem, rng = prepare(with_raters(measures, 3, (4.0, 12.0)), spec, "joint"), np.random.default_rng(6)
    by, shape = problem.rated_by, problem.rated_by.value.shape
    mask = by.mask * (rng.random(shape) < 0.9)
    q, noise = rng.uniform(0.5, 1.5, shape), rng.uniform(0.0, 0.1, shape)
    return replace(problem, rated_by=replace(by, mask=mask, q=q, noise=noise, tokens=np.ones_like(by.tokens)))


@pytest.mark.parametrize(
    ("model", "shape", "measurement", "learns"),
    [
        (MODERATED, (5, 1, 4), "known", False),
        (WITHIN, (4, 2, 3), "known", False),
        (GRAND, (4, 2, 3), "known", False),
        (TINY, (5, 1, 4), "joint", False),
        (SLOPES, (12, 1, 4), "known", True),
    ],
)
def test_sweeps_leave_the_prior_as_it_is(model, shape, measurement, learns, monkeypatch):
    """``learns``: covariances of groups move by long steps in metrics of their own, as those of many do."""
    if learns:
        monkeypatch.setattr(GroupEffects, "learns", True)
    spec = bd.load_model(model)
    measures = flat_measures(*shape, CONSTRUCTS, 5, missing=0.1, kappa_sd=0.5)
    with jax.enable_x64(True):
        joint = measurement == "joint"
        sweep = Sweep(rated_problem(measures, spec) if joint else prepare(measures, spec, "known"))
        factor = jnp.linalg.cholesky(jnp.asarray(sweep.problem.error_corr))

        def once(warm, carried, _):
            state, rows = carried
            look = warm & looks(state.steps.sweeps)
            state, kept, curvature = sweep(state, rows, None, look)
            steps = jax.lax.cond(look, learn, lambda steps, _: steps, state.steps, curvature)
            steps = jax.lax.cond(warm, adapt, lambda steps, _: steps, steps, kept.accepted)
            state = state._replace(steps=steps)
            key, own = jax.random.split(state.key)
            rows = scores_of(own, sweep, state, rows, factor)
            return (state._replace(key=key), rows), numbers(sweep, state.unknowns)[0]

        run = jax.jit(
            lambda warm, carried, count: jax.lax.scan(partial(once, warm), carried, None, length=count),
            static_argnums=2,
        )
        every = []
        for chain in range(CHAINS):
            state, rows = start(sweep, 8, chain), sweep.rows()
            (state, rows), _ = run(jnp.array(True), (state, rows), WARM)
            state = state._replace(steps=frozen(state.steps))
            _, values = run(jnp.array(False), (state, rows), SWEEPS)
            every.append(np.asarray(values))
        drawn = np.stack(every)
        names = numbers(sweep, state.unknowns)[1]
        exact = prior_numbers(sweep, 200_000, 3)
    ess = np.array([float(arviz_stats.ess(drawn[..., k], method="mean")) for k in range(len(names))])
    error = np.sqrt(exact.var(axis=0) * (1 / ess + 1 / len(exact)))
    z = (drawn.mean(axis=(0, 1)) - exact.mean(axis=0)) / error
    worst = np.argsort(-np.abs(z))[:5]
    print({names[k]: round(float(z[k]), 2) for k in worst}, "least ESS", ess.min(), names[int(ess.argmin())])
    print("numbers", len(names), "mean z^2", np.mean(z**2))
    assert ess.min() > 200
    assert np.abs(z).max() < 4
