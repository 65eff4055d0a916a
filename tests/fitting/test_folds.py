"""Dyad K-fold: what a fold holds, and, marked slow, whether it finds the model that made the data."""

from types import SimpleNamespace

import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.engines.pymc_engine import same_shape
from bayesdyn.errors import InputError
from bayesdyn.fitting.diagnostics import diagnose
from bayesdyn.fitting.folds import deal, measures_from, without
from bayesdyn.structure.problem import prepare
from synthetic import fit_around

WITH = """
[model]
name = "with"
paths = '''
disclosure ~ 0.6*empathy + lag(disclosure)
disclosure ~ (1 | dyad)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""
WITHOUT = WITH.replace('"with"', '"without"').replace("0.6*empathy", "0*empathy")

TIMED = WITH.replace('name = "with"', 'name = "timed"\ntime = "minutes"')


def simulated(text=WITH):
    spec = bd.load_model(text)
    return bd.simulate(spec, dyads=12, sessions=2, exchanges=8, reliability=0.8, random_seed=3)[0], spec


def test_folds_are_even_and_whole():
    fold_of = deal(23, 5, np.random.default_rng(1))
    assert sorted(np.bincount(fold_of)) == [4, 4, 5, 5, 5]


def test_a_problem_is_its_own_measures():
    measures, spec = simulated()
    problem = prepare(measures, spec, "known")
    again = prepare(measures_from(problem), problem.spec, "known")
    for name in ("score", "se", "rated", "session_of", "dyad_of", "shift", "scale", "kappa_sd"):
        np.testing.assert_allclose(getattr(again, name), getattr(problem, name), atol=1e-12)
    assert again.sessions == problem.sessions
    assert again.spec == problem.spec


def test_one_compiled_model_serves_all_folds_with_uncorrelated_errors():
    measures, spec = simulated()
    problem = prepare(measures, spec, "known")
    left = prepare(without(measures_from(problem), {"d03"}, "known"), problem.spec, "known")
    held = np.array(problem.dyads)[problem.dyad_of] == "d03"
    assert not left.rated[held].any()
    assert left.rated[~held].all()
    np.testing.assert_allclose(left.score[~held], problem.score[~held], atol=1e-12)
    assert same_shape(problem, left)
    corr = np.array([[1.0, 0.3], [0.3, 1.0]])
    correlated = measures.assign(error_corr=(("construct", "construct2"), corr))
    whole = prepare(correlated, spec, "known")
    part = prepare(without(measures_from(whole), {"d03"}, "known"), whole.spec, "known")
    assert not same_shape(whole, part)


def test_scores_as_they_are_lose_their_rows():
    measures, spec = simulated()
    problem = prepare(measures, spec, "none")
    left = prepare(without(measures_from(problem), {"d03", "d07"}, "none"), problem.spec, "none")
    assert len(left.dyads) == 10
    assert left.endogenous == problem.endogenous == ("disclosure",)
    np.testing.assert_allclose(left.scale, problem.scale)


@pytest.mark.parametrize("measurement", ["known", "none"])
def test_a_fold_keeps_the_times_and_what_time_is_usual(measurement):
    """Six dyads talk three times as slowly: without them the median step of the rest is another."""
    measures, spec = simulated(TIMED)
    slow = {f"d{d:02d}" for d in range(1, 7)}
    assert slow < set(measures["dyad"].values)
    pace = np.where(np.isin(measures["dyad"].values, sorted(slow)), 3.0, 1.0)
    problem = prepare(measures.assign(minutes=measures["minutes"] * pace), spec, measurement)
    again = prepare(measures_from(problem), problem.spec, measurement)
    np.testing.assert_allclose(again.excess, problem.excess)
    left = prepare(without(measures_from(problem), slow, measurement), problem.spec, measurement)
    kept = ~np.isin(np.array(problem.dyads)[problem.dyad_of], sorted(slow))
    rows = slice(None) if measurement == "none" else kept
    np.testing.assert_allclose(left.excess[rows], problem.excess[kept])
    assert left.usual_time != np.median(np.diff(problem.times)[(problem.previous[1:] >= 0) & kept[1:]])


def test_what_is_wrong_with_the_fit_of_a_fold_is_noted(monkeypatch):
    measures, spec = simulated()
    truth = bd.simulate(spec, dyads=12, sessions=2, exchanges=8, reliability=0.8, random_seed=3)[1]
    fitted, found = [], []

    def fit_of(tree, problem, rest, settings):
        fit = fit_around(problem.spec, rest, truth, draws=40)
        fit["sample_stats"]["diverging"][0, : 3 + len(fitted)] = True
        fitted.append(fit)
        found.extend(f"fold {len(fitted)}: {problem}" for problem in diagnose(fit).problems)
        return fit

    def evaluate(draws, seed):
        every = np.zeros((len(draws["path"]), 12))
        return SimpleNamespace(value=every, ess=every + 64, mcse=every, settled=every == 0)

    drawing = SimpleNamespace(draw=lambda design, problems, settings: [None])
    monkeypatch.setattr("bayesdyn.fitting.folds.refitting", lambda *_: drawing)
    monkeypatch.setattr(
        "bayesdyn.engines.likelihood.build_likelihood", lambda problem: SimpleNamespace(evaluate=evaluate)
    )
    monkeypatch.setattr("bayesdyn.fitting.folds.assemble", fit_of)
    notes = bd.kfold(
        measures, spec, folds=2, draws=40, chains=2, likelihood_draws=10, random_seed=1
    ).notes  # fmt: skip
    assert any("fold 1: 3 of 80 draws diverged. Raise target_accept" in note for note in notes)
    assert any("fold 2: 4 of 80 draws diverged. Raise target_accept" in note for note in notes)
    assert len(found) > 2
    assert all(any(note.startswith(problem) for note in notes) for problem in found)


class ReachedError(Exception):
    pass


@pytest.mark.parametrize(("asked", "taken"), [(None, "none"), ("two_stage", "two_stage")])
def test_the_model_file_says_how_scores_are_taken_unless_the_call_does(asked, taken, monkeypatch):
    def caught(problem, backend, sampler):
        assert problem.measurement == taken
        raise ReachedError

    monkeypatch.setattr("bayesdyn.engines.pymc_engine.compile_problem", caught)
    measures, _ = simulated()
    spec = bd.load_model(WITH.replace('name = "with"', 'name = "with"\nmeasurement = "none"'))
    with pytest.raises(ReachedError):
        bd.kfold(measures, spec, folds=2, measurement=asked, random_seed=1)


@pytest.mark.slow
def test_a_model_with_time_is_folded():
    measures, spec = simulated(TIMED)
    settings = {"folds": 2, "draws": 20, "tune": 50, "likelihood_draws": 4, "random_seed": 5}
    predicted = bd.kfold(measures, spec, **settings)
    assert np.isfinite(predicted.by_dyad["elpd"]).all()


@pytest.mark.slow
def test_both_engines_predict_the_same():
    """A dyad's elpd is a mean over few weighty draws: apart by their chance, but not on one side."""
    measures, spec = simulated()
    settings = {"folds": 2, "draws": 400, "tune": 400, "likelihood_draws": 200, "random_seed": 5}
    one, other = (
        bd.kfold(measures, spec, engine=engine, **settings).by_dyad["elpd"] for engine in ("pymc", "jax")
    )
    apart = other - one
    print(apart.describe())
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(len(apart))
    assert np.corrcoef(one, other)[0, 1] > 0.99


def test_too_many_folds_are_refused():
    measures, spec = simulated()
    with pytest.raises(InputError, match="2 to 12"):
        bd.kfold(measures, spec, folds=13, random_seed=1)
    with pytest.raises(InputError, match="device 'cpu' is not for engine 'pymc'"):
        bd.kfold(measures, spec, folds=2, device="cpu", random_seed=1)


@pytest.mark.slow
def test_the_model_that_made_the_data_is_found():
    # A path of .6 explains about a quarter of the variance of 192 scores: log(1 - .25) / -2 * 192 = 28 nats
    # less what the error takes. The threshold is two standard errors of the paired difference.
    measures, _ = simulated()
    settings = {"folds": 3, "draws": 150, "tune": 200, "likelihood_draws": 60, "random_seed": 5}
    models = {
        name: bd.kfold(measures, bd.load_model(text), **settings)
        for name, text in (("with", WITH), ("without", WITHOUT))
    }
    for predicted in models.values():
        assert sorted(predicted.by_dyad["fold"].value_counts()) == [4, 4, 4]
        assert np.isfinite(predicted.by_dyad["elpd"]).all()
    table = bd.compare(models)
    assert list(table.index) == ["with", "without"]
    assert table.loc["without", "difference"] < -2 * table.loc["without", "difference_se"]
    assert table.loc["with", "weight"] > 0.5
