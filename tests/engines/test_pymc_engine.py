"""Drawing from scores as they are, some of them unrated: the one case where the sampler moves states."""

import re

import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.engines.pymc_engine import compile_problem
from bayesdyn.structure.problem import prepare

MODEL = """
[model]
name = "unrated"
centering = "none"
paths = '''
disclosure ~ empathy + lag(disclosure)
empathy ~ lag(empathy) + lag(disclosure)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""


@pytest.fixture(scope="module")
def drawn():
    spec = bd.load_model(MODEL)
    measures, truth = bd.simulate(
        spec,
        dyads=10,
        sessions=2,
        exchanges=25,
        reliability={"empathy": 1.0, "disclosure": 1.0},
        missing=0.2,
        random_seed=77,
    )
    asked = {"draws": 300, "tune": 300, "chains": 2, "random_seed": 4, "latent_draws": 300}
    return measures, truth, bd.fit(measures, spec, measurement="none", **asked)


def test_rated_scores_stay_as_they_are_and_unrated_ones_are_drawn(drawn):
    _, _, fit = drawn
    latent = fit["latent"]["latent"].transpose("sample", "exchange", "construct")
    score = fit["observed_data"]["score"].sel(construct=latent["construct"]).values
    rated = np.isfinite(score)
    every = latent.values
    assert 0.1 < 1 - rated.mean() < 0.3
    np.testing.assert_allclose(every[:, rated], np.broadcast_to(score[rated], every[:, rated].shape))
    assert (every[:, ~rated].std(axis=0) > 0.05).all()


def test_ninety_percent_intervals_of_unrated_scores_cover_the_truth(drawn):
    """About 200 unrated scores: a share outside .9 +- 3 standard errors of a proportion fails."""
    measures, truth, fit = drawn
    latent = fit["latent"]["latent"].transpose("sample", "exchange", "construct")
    unrated = ~np.isfinite(measures["score"].sel(construct=latent["construct"]).values)
    true = truth["latent"].sel(construct=latent["construct"]).values[unrated]
    lower, upper = np.quantile(latent.values[:, unrated], [0.05, 0.95], axis=0)
    share = ((lower < true) & (true < upper)).mean()
    assert abs(share - 0.9) < 3 * np.sqrt(0.9 * 0.1 / true.size)


def test_a_compiled_model_is_used_again_for_data_of_its_shape(drawn):
    measures, _, _ = drawn
    spec = bd.load_model(MODEL)
    first = compile_problem(prepare(measures, spec, "none"), "jax")
    assert compile_problem(prepare(measures, spec, "none"), "jax") is first


def test_progress_off_a_terminal_is_lines_with_counts(drawn, capfd, monkeypatch):
    monkeypatch.setattr("bayesdyn.engines.pymc_engine.TELL_EVERY_MS", 50)
    measures, _, _ = drawn
    asked = {"draws": 50, "tune": 50, "chains": 2, "random_seed": 4, "progress": True}
    bd.fit(measures, bd.load_model(MODEL), measurement="none", **asked)
    lines = capfd.readouterr().err.splitlines()
    assert lines
    assert all(re.fullmatch(r"\d+ of 200 draws, \d+ diverged", line) for line in lines)
