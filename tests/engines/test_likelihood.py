"""The integrated log-likelihood against dense normals (no product) and against brute force (a product)."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

import bayesdyn as bd
from bayesdyn.engines.likelihood import build_likelihood
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.problem import prepare
from reference.dense_likelihood import dense_log_likelihood

LINEAR = """
[model]
name = "linear"
centering = "session"
paths = '''
rapport    ~ lag(rapport) + lag(disclosure)
disclosure ~ rapport + lag(disclosure) + mean(rapport) + phase
disclosure + rapport ~ (1 | dyad) + (1 | session)
disclosure ~~ rapport
'''
[constructs]
dyad = ["rapport"]
client = ["disclosure"]
"""
LAGGED = LINEAR.replace("lag(disclosure) + mean", "lag(disclosure) + lag(disclosure, 2) + mean").replace(
    "centering", 'time = "minutes"\ncentering'
)
PRODUCT = """
[model]
name = "product"
centering = "session"
paths = '''
disclosure ~ empathy + rapport + empathy:rapport + lag(disclosure)
disclosure ~ (1 + empathy | dyad) + (1 | session)
'''
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
client = ["disclosure"]
"""


def make_problem(model, measurement, dyads, exchanges, reliability=0.7, missing=0.0):
    spec = bd.load_model(model)
    size = 3 if model is PRODUCT else 2
    corr = None if model is PRODUCT else 0.7 * np.eye(size) + 0.3
    measures, _ = bd.simulate(
        spec, dyads=dyads, sessions=2, exchanges=exchanges, reliability=reliability, error_corr=corr,
        missing=missing, random_seed=4,
    )  # fmt: skip
    return prepare(measures, spec, measurement)


def make_draws(problem, count=2):
    """Return hyperparameters of some plausible size, in the names of the engine."""
    rng = np.random.default_rng(2)

    def cov(size, sd):
        factor = np.tril(rng.normal(0, 0.4 * sd, (count, size, size)))
        factor[:, np.arange(size), np.arange(size)] = sd * rng.uniform(0.8, 1.2, (count, size))
        return factor @ np.swapaxes(factor, 1, 2)

    size = len(problem.endogenous)
    residual = cov(size, 0.8)
    if "disclosure ~~ rapport" not in str(problem.spec.text):
        residual = residual * np.eye(size)
    draws = {
        "path": rng.uniform(-0.1, 0.5, (count, len(problem.spec.paths))),
        "level_mean": rng.normal(0, 0.3, (count, size)),
        "kappa": rng.normal(0, 0.3, (count, len(problem.constructs))),
        "residual_cov": residual,
        "start_cov": cov(size, 1.0),
        "decay": rng.uniform(0.2, 0.6, count),
    }
    for group, labels in (("dyad", problem.dyads), ("session", problem.sessions)):
        effects = len(effect_names(problem.spec, group))
        draws[f"{group}_cov"] = cov(effects, 0.5)
        draws[f"{group}_effects"] = rng.normal(0, 0.5, (count, len(labels), effects))
    return draws


@pytest.mark.parametrize(
    ("model", "measurement", "by"),
    [
        (LINEAR, "known", "dyad"),
        (LINEAR, "known", "session"),
        (LINEAR, "none", "dyad"),
        (LINEAR, "none", "session"),
        (LAGGED, "known", "dyad"),
    ],
    ids=["known-dyad", "known-session", "none-dyad", "none-session", "lags-and-time"],
)
def test_without_products_it_is_the_dense_normal_density(model, measurement, by):
    problem = make_problem(model, measurement, dyads=2, exchanges=(3, 5), missing=0.2)
    draws = make_draws(problem)
    found = build_likelihood(problem, by).evaluate(draws, 1)
    expected = [
        dense_log_likelihood(problem, {name: value[k] for name, value in draws.items()}, by) for k in range(2)
    ]
    np.testing.assert_allclose(found.value, expected, rtol=1e-8)
    assert found.settled.all()
    assert (found.mcse < 1e-8).all()


def test_with_products_it_agrees_with_draws_from_the_prior():
    # Scores of reliability .3 tell little, so 1,000,000 draws of effects and states from the prior, written
    # out here, know the likelihood of one dyad well. Both errors are Monte Carlo: four joint standard errors.
    problem = make_problem(PRODUCT, "known", dyads=1, exchanges=3, reliability=0.3)
    draws = make_draws(problem, 1)
    found = build_likelihood(problem).evaluate(draws, 1)
    log_weight = prior_draws(problem, {name: value[0] for name, value in draws.items()}, 1_000_000)
    expected = logsumexp(log_weight) - np.log(log_weight.size)
    weight = np.exp(log_weight - log_weight.max())
    mcse = weight.std() / weight.mean() / np.sqrt(weight.size)
    assert mcse < 0.02
    assert (found.mcse < 0.06).all()
    assert found.ess.min() > 32
    assert abs(found.value[0, 0] - expected) < 4 * np.hypot(mcse, found.mcse[0, 0])


def prior_draws(problem, draw, count):
    """Return the log density of the scores given states and effects that were drawn from their prior."""
    rng = np.random.default_rng(8)
    names, own = list(problem.constructs), list(problem.endogenous)
    path = dict(zip([path.name for path in problem.spec.paths], draw["path"], strict=True))
    of_dyad, of_session = effect_names(problem.spec, "dyad"), effect_names(problem.spec, "session")
    drawn = rng.multivariate_normal(np.zeros(len(of_dyad)), draw["dyad_cov"], count)
    dyad = dict(zip(of_dyad, drawn.T, strict=True))
    total = np.zeros(count)
    for s in range(2):
        mean = np.tile(draw["level_mean"], (count, 1))
        drawn = rng.multivariate_normal(np.zeros(len(of_session)), draw["session_cov"], count)
        session = dict(zip(of_session, drawn.T, strict=True))
        for v, name in enumerate(own):
            mean[:, v] += dyad.get(f"{name} ~ 1", 0.0) + session.get(f"{name} ~ 1", 0.0)
        for n in np.flatnonzero(problem.session_of == s):
            if problem.previous[n] < 0:
                deviation = rng.multivariate_normal(np.zeros(3), draw["start_cov"], count)
            else:
                before = {name: deviation[:, own.index(name)] for name in own}
                noise = rng.multivariate_normal(np.zeros(3), draw["residual_cov"], count)
                now = {}
                for name in ("empathy", "rapport", "disclosure"):
                    now[name] = noise[:, own.index(name)]
                    for other in own:
                        now[name] = now[name] + path.get(f"{name} ~ lag({other})", 0.0) * before[other]
                now["disclosure"] = (
                    now["disclosure"]
                    + (path["disclosure ~ empathy"] + dyad["disclosure ~ empathy"]) * now["empathy"]
                    + path["disclosure ~ rapport"] * now["rapport"]
                    + path["disclosure ~ empathy:rapport"] * now["empathy"] * now["rapport"]
                )
                deviation = np.stack([now[name] for name in own], axis=1)
            for name in own:
                c = names.index(name)
                state = mean[:, own.index(name)] + deviation[:, own.index(name)]
                sd = problem.se[n, c] * np.exp(draw["kappa"][c] / 2)
                # In raw units: a density of a score that is scale times the standardised one.
                total += norm.logpdf(problem.score[n, c], state, sd) - np.log(problem.scale[c])
    return total
