"""Measures and a spec as arrays: gaps, standardisation, masks, merged levels, faults."""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.structure.problem import prepare


@pytest.fixture(scope="module")
def spec():
    return bd.load_model("chen2026")


@pytest.fixture
def measures(spec):
    return bd.simulate(spec, dyads=3, sessions=2, exchanges=5, random_seed=2)[0]


def test_rows_are_sorted_and_a_gap_is_filled(spec, measures):
    shuffled = measures.isel(exchange=np.random.default_rng(1).permutation(measures.sizes["exchange"]))
    gap = shuffled.isel(exchange=~((shuffled["t"] == 2) & (shuffled["dyad"] == "d1")).values)
    problem = prepare(gap, spec)
    assert len(problem.t) == 30
    assert (problem.row < 0).sum() == 2
    assert not problem.rated[problem.row < 0].any()
    np.testing.assert_array_equal(problem.previous[problem.t > 0], np.flatnonzero(problem.t > 0) - 1)
    assert (problem.previous[problem.t == 0] == -1).all()
    assert any("2 gaps" in note for note in problem.notes)


def test_phase_runs_from_minus_half_to_half(spec, measures):
    problem = prepare(measures, spec)
    phase = pd.Series(problem.covariate[:, problem.covariates.index("phase")])
    assert phase.groupby(problem.session_of).min().eq(-0.5).all()
    assert phase.groupby(problem.session_of).max().eq(0.5).all()


def test_the_scale_estimates_the_latent_sd(spec):
    measures, truth = bd.simulate(spec, dyads=150, sessions=2, exchanges=20, reliability=0.6, random_seed=3)
    problem = prepare(measures.drop_vars(["shift", "scale"]), spec)
    true = 0.8 * truth["latent"].std("exchange").values
    # 6,000 exchanges with reliability .6: the moment estimate's relative error has SD about .02.
    np.testing.assert_allclose(problem.scale, true, rtol=0.08)
    naive = measures["score"].std("exchange").values
    assert (naive > 1.2 * true).all()


def test_fixed_scales_win_spec_first(spec, measures):
    given = prepare(measures, spec)
    np.testing.assert_allclose(given.scale, 0.8)
    fixed = bd.load_model(spec.text + "\n[scale]\nempathy = [2.5, 2.0]\n")
    problem = prepare(measures, fixed)
    c = problem.constructs.index("empathy")
    assert (problem.shift[c], problem.scale[c]) == (2.5, 2.0)


def test_noisy_predictors_get_their_law_and_observed_ones_do_not(spec, measures):
    known, none = prepare(measures, spec, "known"), prepare(measures, spec, "none")
    assert set(known.endogenous) == set(known.constructs)
    assert none.endogenous == ("disclosure", "self_negative", "outward_negative")
    assert len(known.spec.paths) - len(none.spec.paths) == 2 * 5 + 1  # Psi and Theta, and rapport's own lag
    unrated = measures.copy(deep=True)
    unrated["score"][0, list(measures["construct"].values).index("rapport")] = np.nan
    assert set(prepare(unrated, spec, "none").endogenous) == set(known.constructs)


def test_one_session_per_dyad_merges_the_levels_and_says_so(spec):
    measures, _ = bd.simulate(spec, dyads=4, sessions=1, exchanges=5, random_seed=2)
    problem = prepare(measures, spec)
    assert not [item for item in problem.spec.varying if item.group == "session"]
    assert any("levels are one" in note for note in problem.notes)


def test_error_factor_scales_variances_and_not_the_standardisation(spec, measures):
    one, two = prepare(measures, spec), prepare(measures, spec, error_factor=2.0)
    np.testing.assert_allclose(two.se, one.se * np.sqrt(2))
    np.testing.assert_array_equal(two.scale, one.scale)


def test_faults_are_gathered_with_their_remedies(spec, measures):
    broken = measures.copy(deep=True)
    names = list(measures["construct"].values)
    broken["score"][:, names.index("empathy")] = np.nan
    broken["score"][:, names.index("rapport")] = 3.0
    broken["se"][0, names.index("disclosure")] = 0.0
    with pytest.raises(InputError) as caught:
        prepare(broken, spec)
    message = str(caught.value)
    assert "empathy has no score at all" in message
    assert "rapport is constant" in message
    assert "disclosure has 1 scores without a standard error above 0" in message
    assert 'measurement="none"' in message


def test_unknown_names_are_told_with_line_and_nearest(measures):
    spec = bd.load_model('[model]\nname = "m"\npaths = """\ndisclosure ~ empaty + mood\n"""\n')
    with pytest.raises(InputError, match=r"line 4") as caught:
        prepare(measures, spec)
    assert "empathy" in str(caught.value)
    assert "mood" in str(caught.value)


def test_unknown_measurement_is_refused(spec, measures):
    with pytest.raises(InputError, match="measurement 'exact'"):
        prepare(measures, spec, "exact")


def test_a_covariate_must_be_complete_and_numeric(measures):
    spec = bd.load_model('[model]\nname = "m"\npaths = """\ndisclosure ~ empathy + dose + site\n"""\n')
    size = measures.sizes["exchange"]
    with_covariates = measures.assign(
        dose=("exchange", np.r_[np.nan, np.ones(size - 1)]), site=("exchange", np.array(["a"] * size))
    )
    with pytest.raises(InputError) as caught:
        prepare(with_covariates, spec)
    assert "dose misses 1 values" in str(caught.value)
    assert "site is not numeric" in str(caught.value)


def test_a_client_construct_that_only_predicts_gets_a_law_too(measures):
    text = """
[model]
name = "m"
centering = "none"
paths = \"\"\"
disclosure ~ self_negative + empathy
\"\"\"
[constructs]
therapist = ["empathy"]
client = ["disclosure", "self_negative"]
"""
    problem = prepare(measures, bd.load_model(text))
    assert set(problem.endogenous) == {"disclosure", "self_negative", "empathy"}
    names = [path.name for path in problem.spec.paths]
    assert "self_negative ~ lag(self_negative)" in names


def test_scores_as_they_are_need_no_standard_errors(spec, measures):
    bare = measures.copy(deep=True)
    bare["se"][:] = np.nan
    problem = prepare(bare, spec, "none")
    assert np.isfinite(problem.se).all()
    with pytest.raises(InputError, match="without a standard error above 0"):
        prepare(bare, spec, "known")
