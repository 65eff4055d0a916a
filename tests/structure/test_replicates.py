"""Replicated studies against the exchange-by-exchange simulator: the same noise gives the same states."""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.problem import Problem, prepare
from bayesdyn.structure.replicates import Draws, replicate_scores, replicate_states, with_new_groups
from bayesdyn.structure.states import draw_states
from small_problems import CASES, make_problem

OBSERVED = """
[model]
name = "observed"
paths = '''
disclosure ~ empathy + mean(empathy) + lag(disclosure) + (1 + empathy | dyad)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""
WITH_LAWS = [case for case, options in CASES.items() if options[4] == "known"]
"""Cases in which every construct has a law; the simulator has no others."""


class Given:
    """A source of noise that gives each exchange its own (V,), in whatever order they are asked for."""

    def __init__(self, noise: np.ndarray, rows: list[np.ndarray]) -> None:
        self.noise, self.rows = noise, iter(rows)

    def standard_normal(self, size: int | tuple[int, ...]) -> np.ndarray:
        """Return the noise of the next rows, the same for every draw."""
        return np.broadcast_to(self.noise[next(self.rows)], size)


def drawn(problem: Problem, count: int, seed: int = 8) -> Draws:
    """Return draws with moderate coefficients and grand means of 0."""
    rng, own = np.random.default_rng(seed), len(problem.endogenous)

    def covariance(size: int) -> np.ndarray:
        root = 0.4 * np.eye(size) + 0.1 * np.tril(rng.standard_normal((count, size, size)))
        return root @ root.swapaxes(1, 2)

    sizes = {name: len(effect_names(problem.spec, name)) for name in problem.spec.groups}
    effects = {
        name: 0.3 * rng.standard_normal((count, len(problem.grouping(name).labels), size))
        for name, size in sizes.items()
    }
    return Draws(
        path=0.2 * rng.standard_normal((count, len(problem.spec.paths))),
        mean=np.zeros((count, own)),
        effects=effects,
        covs={name: covariance(size) for name, size in sizes.items()},
        residual=covariance(own),
        start=covariance(own),
        kappa=0.1 * rng.standard_normal((count, len(problem.constructs))),
        decay=rng.uniform(0.2, 0.6, count),
    )


@pytest.mark.parametrize("case", WITH_LAWS)
def test_states_are_those_of_the_simulator(case):
    problem = make_problem(case)
    draws = drawn(problem, 3)
    assert set(problem.endogenous) == set(problem.constructs)
    noise = np.random.default_rng(1).standard_normal((len(problem.t), len(problem.endogenous)))
    places = [np.flatnonzero(problem.position == p) for p in range(problem.position.max() + 1)]
    found = replicate_states(problem, draws, Given(noise, places))
    index = pd.DataFrame(
        {
            "dyad": [problem.dyads[d] for d in problem.dyad_of],
            "label": [problem.sessions[s] for s in problem.session_of],
            "t": problem.position,
        }
    )
    for group in problem.spec.crossed:
        grouping = problem.grouping(group)
        index[group] = [grouping.labels[g] for g in grouping.of]
    nothing = {name: np.zeros((len(problem.grouping(name).labels), 0)) for name in ("dyad", "session")}
    for k in range(3):
        expected = draw_states(
            problem.spec,
            problem.terms,
            problem.constructs,
            problem.endogenous,
            problem.covariate,
            draws.path[k],
            nothing | {name: values[k] for name, values in draws.effects.items()},
            draws.residual[k],
            draws.start[k],
            index,
            Given(noise, [np.arange(len(problem.t))]),
            np.exp(-draws.decay[k] * problem.excess) if problem.spec.time else None,
        )
        np.testing.assert_allclose(found[k], expected, rtol=1e-10, atol=1e-10)


def test_scores_of_constructs_without_a_law_stay_as_they_are():
    spec = bd.load_model(OBSERVED)
    measures, _ = bd.simulate(spec, dyads=3, sessions=2, exchanges=(3, 5), random_seed=5)
    problem = prepare(measures, spec, "none")
    score = replicate_scores(problem, drawn(problem, 2), np.random.default_rng(3))
    fixed = [c for c, name in enumerate(problem.constructs) if name not in problem.endogenous]
    assert [problem.constructs[c] for c in fixed] == ["empathy"]
    moved = [c for c in range(len(problem.constructs)) if c not in fixed]
    own = np.where(problem.rated, problem.score, np.nan)
    for k in range(2):
        np.testing.assert_array_equal(score[k][:, fixed], own[:, fixed])
        assert not np.isclose(score[k][:, moved], own[:, moved]).any()


def test_errors_have_their_size_and_correlation():
    """Errors of 4,000 replicates, whitened by se and kappa: correlation .3 within 4 standard errors."""
    problem = make_problem("dyad centred, unrated")
    once = drawn(problem, 1)
    draws = Draws(
        *(np.repeat(part, 4000, axis=0) for part in (once.path, once.mean)),
        effects={name: np.repeat(values, 4000, axis=0) for name, values in once.effects.items()},
        covs={},
        residual=np.repeat(once.residual, 4000, axis=0),
        start=np.repeat(once.start, 4000, axis=0),
        kappa=np.repeat(once.kappa, 4000, axis=0),
        decay=np.repeat(once.decay, 4000, axis=0),
    )
    states = replicate_states(problem, draws, np.random.default_rng(5))
    error = replicate_scores(problem, draws, np.random.default_rng(5)) - states
    np.testing.assert_array_equal(np.isnan(error[0]), ~problem.rated)
    row = np.flatnonzero(problem.rated[:, :2].all(axis=1))[0]
    standard = error[:, row, :2] / (problem.se[row, :2] * np.exp(once.kappa[0, :2] / 2))
    assert abs(np.corrcoef(standard.T)[0, 1] - 0.3) < 4 * (1 - 0.3**2) / np.sqrt(4000)
    assert (np.abs(standard.std(axis=0) - 1) < 4 / np.sqrt(2 * 4000)).all()


def test_new_groups_have_the_covariance_of_their_draw():
    """100,000 effects of one draw: each entry within 5 standard errors, sqrt((c_ij^2 + c_ii c_jj) / n)."""
    cov = np.array([[0.5, 0.2, 0.0], [0.2, 0.3, 0.0], [0.0, 0.0, 0.0]])
    nothing = np.zeros((1, 0))
    draws = Draws(nothing, nothing, {"dyad": np.zeros((1, 100_000, 3))}, {"dyad": cov[None]}, *[nothing] * 4)
    effects = with_new_groups(draws, np.random.default_rng(2)).effects["dyad"][0]
    error = np.sqrt((cov**2 + np.outer(np.diag(cov), np.diag(cov))) / 100_000)
    assert (np.abs(np.cov(effects.T) - cov) <= 5 * error + 1e-12).all()


def test_what_explodes_is_nan_from_there_on():
    problem = make_problem("none centred, observed")
    draws = drawn(problem, 1)
    names = [path.name for path in problem.spec.paths]
    draws.path[:, names.index("disclosure ~ lag(disclosure)")] = 1e4
    at = problem.constructs.index("disclosure")
    state = replicate_states(problem, draws, np.random.default_rng(1))[0, :, at]
    assert np.isfinite(state[problem.position == 0]).all()
    assert np.isnan(state[problem.position == problem.position.max()]).all()
