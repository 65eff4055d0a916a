"""The plan as a user has it: limits, curves, refusals, files; fits are made of known draws."""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.artefacts import read_tree, write_dataset
from bayesdyn.errors import ArtefactError, InputError
from bayesdyn.sweeps.planning.options import OPTIONS
from bayesdyn.sweeps.planning.result import RatingPlan
from rated import rated_fit
from synthetic import synthetic_fit

PATH, COST = "disclosure ~ empathy", {"llm_rating": 0.05, "human_coding": 1.0}


@pytest.fixture(scope="module")
def fit():
    return rated_fit()


def at_budget(fit, path=PATH, **given):
    plan = bd.plan_ratings(fit, path, budget=600, cost=COST, points=1, **given)
    return plan.options.set_index("option")["relative"]


@pytest.mark.parametrize("path", [PATH, "der", "disclosure ~ lag(disclosure)"])
def test_every_curve_falls_from_the_sd_of_the_fit(fit, path):
    plan = bd.plan_ratings(fit, path, budget=600, cost=COST, points=6)
    drawn = fit["posterior"]["path"].sel(path_name=plan.path_name)
    for _, curve in plan.table.groupby("option"):
        assert curve["relative"].iloc[0] == pytest.approx(1)
        assert curve["sd"].iloc[0] == pytest.approx(float(drawn.std(ddof=1)), rel=1e-6)
        assert (np.diff(curve["relative"]) < 1e-12).all()
        assert (curve["spent"] <= curve["spend"] + 1e-9).all()
        width = (curve["upper"] - curve["lower"]) / curve["sd"]
        assert width.to_numpy() == pytest.approx(3.91993, abs=1e-4)
    assert set(plan.table["option"]) == set(OPTIONS)
    assert plan.parts["share"].sum() == pytest.approx(1)
    assert (np.diff(plan.options["sd"]) >= 0).all()


def test_the_best_buy_is_told_with_both_intervals(fit):
    plan = bd.plan_ratings(fit, PATH, budget=600, cost=COST, points=4)
    best = plan.options.iloc[0]
    assert best["buys"] in plan.says
    last = plan.table[plan.table["option"] == best["option"]].iloc[-1]
    assert f"[{last['lower']:.3f}, {last['upper']:.3f}]" in plan.says
    assert any("no model was refitted" in note for note in plan.notes)


def test_scores_without_error_gain_nothing():
    fit = rated_fit(reliability=0.99999, kappa_sd=0.0)
    assert at_budget(fit).to_numpy() == pytest.approx(np.ones(4), abs=1e-3)
    plan = bd.plan_ratings(fit, PATH, budget=600, cost=COST, points=1)
    assert "nothing on offer is worth it" in plan.says


def test_where_all_error_is_shared_another_llm_buys_nothing_and_humans_do():
    gain = at_budget(rated_fit(shared=0.5, own=0.0, noise=0.0, kappa_sd=0.5))
    assert gain["llm"] == pytest.approx(1)
    assert gain["replicate"] == pytest.approx(1)
    assert gain["human_random"] < 0.9


def test_where_no_error_is_shared_another_llm_buys_more_than_a_replicate():
    gain = at_budget(rated_fit(shared=0.0))
    assert gain["llm"] < gain["replicate"] < 1


def test_coding_buys_less_where_the_error_variances_are_known_already():
    # A fifth of the exchanges, so that what coding tells of the errors outweighs that it lessens them.
    given = {"budget": 72 * 2 * 1.2, "cost": COST, "points": 1, "options": ["human_random"]}
    known, unknown = (
        bd.plan_ratings(rated_fit(kappa_sd=kappa), PATH, **given).options["relative"][0]
        for kappa in (0.0, 0.8)
    )
    assert unknown < known < 1
    assert 1 - unknown > 1.3 * (1 - known)


def test_the_outer_thirds_tell_more_than_a_random_choice(fit):
    gain = at_budget(rated_fit(kappa_sd=0.8))
    assert gain["human_stratified"] < gain["human_random"]


def test_no_more_is_coded_than_there_is():
    fit = rated_fit(coded=0.25)
    plan = bd.plan_ratings(fit, PATH, budget=1e6, cost=COST, points=1, options=["human_random"])
    # 12 dyads x 2 sessions x 15 exchanges, of which a quarter was coded.
    assert plan.table["units"].iloc[-1] == pytest.approx(270)
    assert plan.table["spent"].iloc[-1] == pytest.approx(270 * 2 * 1.2)


def test_more_constructs_cost_more_and_a_part_of_the_exchanges_can_be_rated(fit):
    few = bd.plan_ratings(fit, PATH, budget=9, cost=COST, points=1, options=["llm"], constructs=["empathy"])
    assert few.table["units"].iloc[-1] == pytest.approx(9 / (360 * 0.05))
    assert "50 % of the exchanges rated by one more LLM" in few.says + few.options["buys"][0]
    more = bd.plan_ratings(fit, PATH, budget=9, cost=COST, points=1, options=["llm"])
    assert more.table["units"].iloc[-1] == pytest.approx(9 / (2 * 360 * 0.05))


def test_slopes_that_differ_between_dyads_are_a_part_that_no_rating_lessens(fit):
    shares = bd.plan_ratings(fit, PATH, budget=1, cost=COST, points=1).parts.set_index("part")["share"]
    assert shares["slopes that differ between groups"] > 0.01
    other = bd.plan_ratings(fit, "disclosure ~ rapport", budget=1, cost=COST, points=1).parts
    assert other.set_index("part")["share"]["slopes that differ between groups"] == 0


def test_one_llm_says_that_its_share_is_a_prior():
    plan = bd.plan_ratings(rated_fit(llms=1, shared=0.0), PATH, budget=600, cost=COST, points=1)
    assumed = plan.options.set_index("option")["assumes"]["llm"]
    assert "With one LLM nothing tells" in assumed
    assert plan.options.set_index("option")["relative"]["llm"] < 1


def test_errors_that_correlate_are_carried(fit):
    corr = np.full((3, 3), 0.4) + 0.6 * np.eye(3)
    assert at_budget(rated_fit(error_corr=corr))["llm"] != pytest.approx(at_budget(fit)["llm"], abs=1e-4)


def test_a_fit_keeps_the_error_budget_in_its_file(fit, tmp_path):
    write_dataset(fit, tmp_path / "fit.nc", "fit")
    again = read_tree(tmp_path / "fit.nc", "fit")
    assert again["constant_data"]["error_budget"].dims == ("source", "rater", "construct")
    pd.testing.assert_series_equal(at_budget(again), at_budget(fit), rtol=1e-5)


def test_a_plan_survives_its_file(fit, tmp_path):
    plan = bd.plan_ratings(fit, PATH, budget=600, cost=COST, points=3)
    plan.save(tmp_path / "plan.json")
    again = RatingPlan.load(tmp_path / "plan.json")
    for name in ("table", "options", "parts"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(plan, name), check_dtype=False)
    assert (again.says, again.notes, again.budget) == (plan.says, plan.notes, plan.budget)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ArtefactError, match="no bayesdyn stamp"):
        RatingPlan.load(tmp_path / "plan.json")


def refused(fit, path=PATH, budget=600.0, cost=COST, **given):
    with pytest.raises(InputError) as caught:
        bd.plan_ratings(fit, path, budget=budget, cost=cost, **given)
    return str(caught.value)


def test_an_unknown_path_is_told_with_the_nearest(fit):
    assert "Did you mean 'disclosure ~ empathy'?" in refused(fit, "disclosure ~ empaty")


def test_refusals_are_gathered(fit):
    message = refused(
        fit, budget=0, cost={"human_coding": -1, "gpu": 1}, options=["llms", "llm", "human_random"], coders=0,
        points=0, ci_prob=95, constructs=["rapor"], coder_prior=(0, 1),
    )  # fmt: skip
    for word in (
        "budget is 0", "llm_rating is missing", "human_coding is -1", "'gpu'", "Did you mean 'llm'?",
        "0 coders", "points is 0", "ci_prob is 95", "Did you mean 'rapport'?", "coder_prior",
    ):  # fmt: skip
        assert word in message


def test_fits_that_cannot_be_planned_from():
    naive, _, _ = synthetic_fit("none")
    assert 'measurement="known" first' in refused(naive)
    given, _, _ = synthetic_fit()
    assert "does not hold the error budget" in refused(given)


def test_between_and_fixed_paths_are_refused():
    model = """
[model]
name = "levels"
paths = '''
disclosure ~ empathy + mean(empathy) + 0*lag(empathy)
disclosure ~ (1 | dyad)
'''
"""
    fit = rated_fit(model=model)
    assert "between sessions" in refused(fit, "disclosure ~ mean(empathy)")
    assert "fixed at 0" in refused(fit, "disclosure ~ lag(empathy)")
    assert at_budget(fit)["llm"] < 1
