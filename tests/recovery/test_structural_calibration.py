"""Simulation-based calibration of a small structural model by each engine, its likelihood among the ranked.

200 studies from the prior, one design of 60 exchanges (six dyads, one session of ten each), two constructs
with correlated errors of which the standard errors are not known exactly, lags across, a random intercept of
each. Ranks of the truth among 99 draws (Talts et al. 2018, arXiv 1804.06788); the log-likelihood, states and
effects integrated out, sees faults that no single parameter does (Modrak et al. 2023, Bayesian Analysis).
It is a Kalman filter of this file; ``bd.log_likelihood`` has another road to the same number.

What would fail it, stated before the first run: the empirical distribution function of the ranks of any
quantity outside its simultaneous band (arviz-stats' bands, Saeilynoja et al. 2022), at 99 % for all
quantities together (Bonferroni). Of the sweeps, which forget a small study's variances slowly, every 40th is
ranked, after 600 of warm-up.
"""

from concurrent.futures import ThreadPoolExecutor

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.ecdf_utils import ecdf_pit

import bayesdyn as bd
from bayesdyn.engines.gibbs.block import run_block, start
from bayesdyn.engines.gibbs.named import posterior_of
from bayesdyn.engines.gibbs.steps import frozen
from bayesdyn.engines.gibbs.sweep import Sweep
from bayesdyn.engines.likelihood import build_likelihood
from bayesdyn.engines.pymc_engine import compile_problem, draw
from bayesdyn.fitting.likelihood import hyperparameter_draws
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.problem import prepare
from bayesdyn.structure.quantities import in_names_of_fit
from prior_studies import draw_study, flat_measures

STUDIES, RANKS, SEED = 200, 99, 20261124
DYADS, LENGTH = 6, 10
MODEL = """
[model]
name = "calibration"
centering = "none"
paths = \"\"\"
disclosure ~ b*empathy + lag(disclosure)
disclosure ~ (1 | dyad)
\"\"\"
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""


def design():
    spec = bd.load_model(MODEL)
    return prepare(flat_measures(DYADS, 1, LENGTH, ("empathy", "disclosure"), SEED), spec, "known")


def log_likelihood(problem, draws):
    """Return log p(scores | hyperparameters) of draws (K,): a Kalman filter over (x, y, mean of x, of y).

    ``draws`` as :func:`hyperparameter_draws` gives them, the constructs with a law being empathy, disclosure.
    """
    assert problem.endogenous == ("empathy", "disclosure")
    own = [problem.constructs.index(name) for name in problem.endogenous]
    at = {path.name: draws["path"][:, p] for p, path in enumerate(problem.spec.paths)}
    b, phi = at["disclosure ~ empathy"], at["disclosure ~ lag(disclosure)"]
    psi, theta = at["empathy ~ lag(empathy)"], at["empathy ~ lag(disclosure)"]
    zero, one = np.zeros_like(b), np.ones_like(b)
    row = np.stack([psi, theta, 1 - psi, -theta], axis=-1)
    moved = np.stack([row, np.stack([zero, phi, zero, 1 - phi], axis=-1) + b[:, None] * row], axis=1)
    stays = np.broadcast_to(np.eye(4)[2:], (len(b), 2, 4))
    transition = np.concatenate([moved, stays], axis=1)
    into = np.stack([np.stack([one, zero], axis=-1), np.stack([b, one], axis=-1)], axis=1)
    noise = np.zeros((len(b), 4, 4))
    noise[:, :2, :2] = into @ draws["residual_cov"] @ into.swapaxes(1, 2)
    effects = effect_names(problem.spec, "dyad")
    order = [effects.index(f"{name} ~ 1") for name in problem.endogenous]
    seen = np.eye(2, 4)
    corr = problem.error_corr[np.ix_(own, own)]
    total = np.zeros(len(b))
    for dyad in range(len(problem.dyads)):
        mean = np.concatenate([draws["level_mean"], draws["level_mean"]], axis=1)
        level = draws["dyad_cov"][:, order][:, :, order]
        cov = np.block([[level + draws["start_cov"], level], [level, level]])
        for place, n in enumerate(np.flatnonzero(problem.dyad_of == dyad)):
            if place:
                mean = (transition @ mean[..., None])[..., 0]
                cov = transition @ cov @ transition.swapaxes(1, 2) + noise
            sd = problem.se[n, own] * np.exp(draws["kappa"][:, own] / 2)
            of_score = cov[:, :2, :2] + sd[:, :, None] * corr * sd[:, None, :]
            error = problem.score[n, own] - mean[:, :2]
            gain = np.linalg.solve(of_score, seen @ cov).swapaxes(1, 2)
            solved = np.linalg.solve(of_score, error[..., None])[..., 0]
            total -= 0.5 * ((error * solved).sum(axis=1) + np.linalg.slogdet(2 * np.pi * of_score)[1])
            mean = mean + (gain @ error[..., None])[..., 0]
            cov = cov - gain @ (seen @ cov)
    return total


def quantities(problem, posterior):
    """Return what is ranked, by name, of draws in the names of a fit; each (draw,)."""
    draws = hyperparameter_draws(posterior, problem)
    found = {path.name: draws["path"][:, p] for p, path in enumerate(problem.spec.paths)}
    effects = effect_names(problem.spec, "dyad")
    for v, name in enumerate(problem.endogenous):
        d = effects.index(f"{name} ~ 1")
        found[f"mean {name}"] = draws["level_mean"][:, v]
        found[f"residual {name}"] = draws["residual_cov"][:, v, v]
        found[f"dyads {name}"] = draws["dyad_cov"][:, d, d]
        found[f"start {name}"] = draws["start_cov"][:, v, v]
        found[f"kappa {name}"] = draws["kappa"][:, problem.constructs.index(name)]
    found["correlation of dyads"] = draws["dyad_cov"][:, 0, 1] / np.sqrt(
        draws["dyad_cov"][:, 0, 0] * draws["dyad_cov"][:, 1, 1]
    )
    return {**found, "log-likelihood": log_likelihood(problem, draws)}


def test_the_filter_is_the_integrated_likelihood():
    problem, truth = draw_study(design(), 1)
    draws = hyperparameter_draws(truth.expand_dims(chain=1, draw=1), problem)
    integrated = build_likelihood(problem, "dyad").evaluate(draws, 1).value.sum(axis=1)
    np.testing.assert_allclose(log_likelihood(problem, draws), integrated, rtol=1e-9)


def by_reference(template):
    """Return what draws 500 of each of two chains for a study of the template's design."""
    compiled = compile_problem(template, "jax")

    def drawn(problem, seed):
        tree = draw(compiled, problem, draws=500, tune=400, chains=2, random_seed=seed)
        return tree["posterior"].to_dataset()

    return drawn


def by_sweeps(template):
    """Return the same by sweeps: every fourth of 2,000, compiled once for all."""
    block = {}

    def chain(problem, seed, number):
        with jax.enable_x64(True):
            sweep = Sweep(problem)
            state, rows = start(sweep, seed, number), sweep.rows()
            if not block:
                one = jax.jit(lambda *given: run_block(Sweep(template), 200, *given, None))
                block["compiled"] = one.lower(jnp.array(True), state, rows).compile()
            for _ in range(3):
                state, _, _ = block["compiled"](jnp.array(True), state, rows)
            state, kept = state._replace(steps=frozen(state.steps)), []
            for _ in range(10):
                state, done, _ = block["compiled"](jnp.array(False), state, rows)
                kept.append(jax.tree.map(lambda values: np.asarray(values)[3::4], done.unknowns))
            return jax.tree.map(lambda *parts: np.concatenate(parts), *kept)

    def drawn(problem, seed):
        if not block:
            chain(problem, seed, 0)
        with ThreadPoolExecutor(2) as pool:
            chains = list(pool.map(lambda number: chain(problem, seed, number), range(2)))
        return posterior_of(Sweep(problem), jax.tree.map(lambda *parts: np.stack(parts), *chains))

    return drawn


@pytest.mark.slow
@pytest.mark.parametrize("by", [by_reference, by_sweeps])
def test_ranks_are_uniform(by):
    template = design()
    drawn_by, ranks, ess = by(template), {}, []
    for study in range(STUDIES):
        problem, truth = draw_study(template, SEED + study)
        raw = drawn_by(problem, SEED + study)
        posterior = in_names_of_fit(raw, problem.spec, problem.constructs, problem.endogenous)
        thinned = posterior.isel(draw=np.linspace(0, 499, 50).round().astype(int))
        drawn = quantities(problem, thinned)
        true = quantities(problem, truth.expand_dims(chain=1, draw=1))
        ess.append(least_ess(posterior))
        for name, values in drawn.items():
            # 99 of the 100 draws, so that there are 100 ranks; a place within the rank at random.
            ranks.setdefault(name, []).append((values[:RANKS] < true[name]).sum())
    print("least ESS of the paths: median", np.median(ess), "lowest", np.min(ess))
    rng = np.random.default_rng(SEED)
    outside = {}
    for name, values in ranks.items():
        place = (np.array(values) + rng.random(STUDIES)) / (RANKS + 1)
        _, away, low, high = ecdf_pit(place, 1 - 0.01 / len(ranks), 5000, rng=rng)
        outside[name] = int(((away < low) | (away > high)).sum())
        print(f"{name}: mean rank {place.mean():.3f}, points outside {outside[name]}")
    assert len(ranks) == 16
    assert not any(outside.values()), outside


def least_ess(posterior):
    return float(az.ess(posterior[["path"]])["path"].min())
