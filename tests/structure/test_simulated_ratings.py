"""Simulated ratings have the errors that were asked for, and are ratings that measures can be made of.

Thresholds of statistical tests are four Monte Carlo standard errors: one seed in 16,000 fails by chance.
"""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.measures.gathering.cells import gather_cells
from bayesdyn.structure.simulating import Covariate, Rater, RaterDesign, Spreads
from bayesdyn.tables import KEY, check_ratings

MODEL = """
[model]
name = "plain"
centering = "none"
paths = '''
disclosure ~ empathy + 0*lag(disclosure)
empathy ~ 0*lag(empathy) + 0*lag(disclosure)
disclosure ~ (1 | dyad) + (1 | session)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""
FLAT = Spreads(dyad_sd=0.0, session_sd=0.0)
"""No part of dyads or sessions in the true scores: exchanges are then independent."""


@pytest.fixture(scope="module")
def spec():
    return bd.load_model(MODEL)


def made(spec, raters, **asked):
    size = {"dyads": 40, "sessions": 2, "exchanges": 25, "random_seed": 3}
    return bd.simulate_ratings(spec, raters=raters, **{**size, **asked})


def wide(ratings, construct="disclosure"):
    """Return (exchange, rater) means over replicates of one construct, exchanges in order."""
    one = ratings[ratings["construct"] == construct]
    return one.pivot_table(index=KEY, columns="rater", values="value", aggfunc="mean", dropna=False)


def errors(ratings, truth, construct="disclosure"):
    """Return (exchange, rater) ratings less what severity, discrimination and true score make of them."""
    one = truth.sel(construct=construct)
    theta = (one["shift"] + one["scale"] * one["latent"]).values
    told = wide(ratings, construct)
    of = one.sel(rater=list(told.columns))
    expected = (
        theta.mean() + of["severity"].values + of["discrimination"].values * (theta[:, None] - theta.mean())
    )
    return told.to_numpy() - expected, theta


def test_the_same_seed_has_the_same_true_scores_as_measures(spec):
    _, truth = made(spec, None, dyads=3)
    _, other = bd.simulate(spec, dyads=3, sessions=2, exchanges=25, random_seed=3)
    for name in other.drop_vars("kappa"):
        xr.testing.assert_identical(truth[name].drop_vars("rater_kind", errors="ignore"), other[name])


def test_raters_have_their_severity_discrimination_error_and_replicate_noise(spec):
    first = Rater("a", severity={"disclosure": 0.5}, discrimination=0.7, error_sd=0.6)
    second = Rater("b", replicates=3, replicate_sd=0.4, error_sd={"disclosure": 0.2})
    ratings, truth = made(spec, RaterDesign((first, second)), spreads=FLAT)
    error, _ = errors(ratings, truth)
    n = len(error)
    variance = np.array([0.36, 0.04 + 0.16 / 3])
    assert (np.abs(error.mean(axis=0)) < 4 * np.sqrt(variance / n)).all()
    assert (np.abs(error.var(axis=0) - variance) < 4 * variance * np.sqrt(2 / n)).all()
    assert abs(np.corrcoef(error.T)[0, 1]) < 4 / np.sqrt(n)
    np.testing.assert_array_equal(truth["severity"].sel(rater="a"), [0.5, 0.0])
    several = ratings[(ratings["rater"] == "b") & (ratings["construct"] == "disclosure")]
    within = several.groupby(KEY)["value"].var(ddof=1).mean()
    assert abs(within - 0.16) < 4 * 0.16 * np.sqrt(2 / (2 * n))


def test_errors_have_parts_of_exchange_session_and_dyad(spec):
    """Of 400 dyads with two sessions of three exchanges: each mean square has its expectation."""
    design = RaterDesign((Rater("a", error_sd=1.0),), error_levels=(0.5, 0.3, 0.2))
    ratings, truth = made(spec, design, dyads=400, exchanges=3, spreads=FLAT)
    error = errors(ratings, truth)[0].reshape(400, 2, 3)
    within = error.var(axis=2, ddof=1).mean()
    assert abs(within - 0.5) < 4 * 0.5 * np.sqrt(2 / 1600)
    sessions = error.mean(axis=2)
    between = np.square(sessions[:, 0] - sessions[:, 1]).mean()
    expected = 2 * (0.3 + 0.5 / 3)
    assert abs(between - expected) < 4 * expected * np.sqrt(2 / 400)
    dyads = sessions.mean(axis=1).var()
    expected = 0.2 + 0.3 / 2 + 0.5 / 6
    assert abs(dyads - expected) < 4 * expected * np.sqrt(2 / 400)


def test_llms_share_the_error_that_was_asked_and_humans_do_not(spec):
    raters = (Rater("a"), Rater("b", discrimination=0.5), Rater("coder", "human"))
    ratings, truth = made(spec, RaterDesign(raters, shared_error={"disclosure": 0.3}), spreads=FLAT)
    error, theta = errors(ratings, truth)
    n, shared = len(error), 0.3 / 0.7 * theta.var()
    variance = np.array([1, 0.25, 0]) * shared + 0.25
    found = np.cov(error.T)
    expected = np.outer([1, 0.5, 0], [1, 0.5, 0]) * shared + 0.25 * np.eye(3)
    error_of = np.sqrt((np.outer(variance, variance) + expected**2) / n)
    assert (np.abs(found - expected) < 4 * error_of).all()
    assert truth["shared_error"].sel(construct="empathy") == 0


def test_errors_of_a_rater_correlate_across_constructs_as_asked(spec):
    corr = np.array([[1, 0.5], [0.5, 1]])
    ratings, truth = made(spec, RaterDesign((Rater("a"), Rater("b"))), error_corr=corr, spreads=FLAT)
    disclosure, empathy = (errors(ratings, truth, name)[0] for name in ("disclosure", "empathy"))
    found = np.corrcoef(np.hstack([disclosure, empathy]).T)
    n = len(empathy)
    for rater in range(2):
        assert abs(found[rater, 2 + rater] - 0.5) < 4 * 0.75 / np.sqrt(n)
        assert abs(found[rater, 3 - rater]) < 4 / np.sqrt(n)


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_the_floor_has_the_share_that_was_asked(spec, share):
    design = RaterDesign(points=(1, 5), floor={"disclosure": share})
    ratings, truth = made(spec, design, dyads=20)
    assert set(ratings["value"]) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    found = (ratings.loc[ratings["construct"] == "disclosure", "value"] == 1).mean()
    # Exact but for the one rating that the quantile stands on.
    assert abs(found - share) <= 1 / 2000
    assert truth["shift"].sel(construct="empathy") == 3
    free, untouched = made(spec, None, dyads=20)
    moved = (truth["shift"] - untouched["shift"]).sel(construct=free["construct"].to_list()).values
    np.testing.assert_array_equal(ratings["value"], np.clip(np.rint(free["value"] + moved), 1, 5))


def test_a_higher_floor_moves_the_true_score_down(spec):
    shifts = [
        float(made(spec, RaterDesign(points=(1, 5), floor=share), dyads=4)[1]["shift"][0])
        for share in (0.1, 0.3, 0.6)
    ]
    assert shifts == sorted(shifts, reverse=True)


@pytest.mark.parametrize("unit", ["exchange", "session", "dyad"])
def test_humans_code_a_subset_with_an_overlap(spec, unit):
    raters = (Rater("a"), Rater("h1", "human"), Rater("h2", "human"))
    design = RaterDesign(raters, coded=0.4, overlap=0.25, coded_by=unit)
    ratings, _ = made(spec, design, dyads=40, exchanges=5)
    keys = {"exchange": KEY, "session": ["dyad", "session"], "dyad": ["dyad"]}[unit]
    units = ratings[ratings["rater_kind"] == "llm"].drop_duplicates(keys).shape[0]
    coded = ratings[ratings["rater_kind"] == "human"].groupby(keys)["rater"].nunique()
    assert len(coded) == round(0.4 * units)
    assert (coded == 2).sum() == round(0.25 * len(coded))
    alone = (
        ratings[ratings["rater_kind"] == "human"]
        .groupby("rater")[keys]
        .apply(lambda rows: len(rows.drop_duplicates()))
    )
    assert abs(alone["h1"] - alone["h2"]) <= 1


def test_missing_ratings_have_rows_without_a_value(spec):
    ratings, truth = made(spec, None, missing={"empathy": 0.2}, missing_exchanges=0.1)
    n = truth.sizes["exchange"]
    assert len(ratings) == n * 4
    assert (ratings.loc[ratings["value"].isna(), "reason"] == "missing").all()
    lost = ratings["value"].isna().groupby(ratings["construct"]).mean()
    assert abs(lost["disclosure"] - 0.1) < 4 * np.sqrt(0.09 / n)
    # Two raters: of an exchange that somebody rated, each rating is lost on its own.
    error = np.sqrt((0.81 * 0.09 + 0.9 * 0.16 / 2) / n)
    assert abs(lost["empathy"] - 0.28) < 4 * error


def test_where_only_humans_rate_every_exchange_keeps_a_row(spec):
    design = RaterDesign((Rater("h1", "human"), Rater("h2", "human")), coded=0.2)
    ratings, truth = made(spec, design, dyads=4)
    assert len(ratings[KEY].drop_duplicates()) == truth.sizes["exchange"]
    assert wide(ratings).notna().any(axis=1).mean() == 0.2


def test_ratings_pass_the_checks_of_the_measures_stage_with_their_covariates():
    spec = bd.load_model(MODEL.replace("~ empathy +", "~ empathy + age +"))
    raters = (Rater("a", replicates=2, replicate_sd=0.3), Rater("b"), Rater("coder", "human"))
    design = RaterDesign(raters, coded=0.5, points=(1, 5))
    covariates = {"age": Covariate(level="dyad")}
    ratings, truth = made(spec, design, dyads=4, covariates=covariates, missing=0.05)
    pd.testing.assert_frame_equal(check_ratings(ratings), ratings)
    exchanges = ratings.drop_duplicates(KEY)
    cells = gather_cells(ratings, exchanges[KEY])
    assert cells.constructs == tuple(truth["construct"].values)
    assert list(cells.human) == [False, False, True]
    measures, _ = bd.simulate(spec, covariates=covariates, dyads=4, sessions=2, exchanges=25, random_seed=3)
    np.testing.assert_array_equal(exchanges["age"], measures["age"])


@pytest.mark.slow
def test_the_rater_model_finds_what_the_ratings_were_made_with(spec):
    """Tolerances: .05 on severity (SE of a mean difference .02), .1 on discriminations and error SDs; of the
    shared error four posterior SDs, taken from the width of its 90 % interval.
    """
    raters = (
        Rater("a", severity=0.2, discrimination=0.8),
        Rater("b", severity=-0.2, discrimination=1.2),
        Rater("h1", "human"),
        Rater("h2", "human"),
    )
    ratings, truth = made(spec, RaterDesign(raters, shared_error=0.2))
    measures = bd.measure(ratings, random_seed=1, draws=200)
    for name, tolerance in (("severity", 0.05), ("discrimination", 0.1), ("error_sd", 0.1)):
        np.testing.assert_allclose(measures[name], truth[name], atol=tolerance, err_msg=name)
    sd = (measures["shared_error_upper"] - measures["shared_error_lower"]) / (2 * 1.645)
    z = ((measures["shared_error"] - truth["shared_error"]) / sd).values
    print("shared error: z", z, "sd", sd.values)
    assert (np.abs(z) < 4).all()
    assert (sd < 0.03).all()


def test_the_example_of_the_documentation_runs(root, capsys):
    (code,) = re.findall(
        r"```python\n(.*?)```", (root / "docs" / "simulation.md").read_text(encoding="utf-8"), re.S
    )
    exec(compile(code, "simulation.md", "exec"), {})
    told = capsys.readouterr().out
    assert "disclosure ~ modality[online]" in told
    assert "twice" in told
    assert "h2" in told


BAD = {
    "nobody": (RaterDesign(()), ("no rater",)),
    "two of one name": (RaterDesign((Rater("a"), Rater("a"))), ("2 raters are called 'a'",)),
    "no name": (RaterDesign((Rater(""),)), ("has no name",)),
    "an unknown kind": (RaterDesign((Rater("a", "robot"),)), ("robot", "llm or human")),
    "no replicate": (RaterDesign((Rater("a", replicates=0),)), ("replicates of a is 0",)),
    "an unknown construct": (
        RaterDesign((Rater("a", severity={"empaty": 1.0}),)),
        ("severity of a", "Did you mean 'empathy'"),
    ),
    "no discrimination": (
        RaterDesign((Rater("a", discrimination=0.0),)),
        ("discrimination of a", "(0, inf)"),
    ),
    "a negative error": (RaterDesign((Rater("a", error_sd=-1),)), ("error_sd of a", "[0, inf)")),
    "negative noise": (RaterDesign((Rater("a", replicate_sd=-1),)), ("replicate_sd of a", "[0, inf)")),
    "all shared": (RaterDesign(shared_error=1.0), ("shared_error", "[0, 1)")),
    "parts that are no parts": (RaterDesign(error_levels=(0.5, 0.2, 0.2)), ("error_levels", "sum 1")),
    "nothing coded": (RaterDesign(coded=0.0), ("coded is 0", "(0, 1]")),
    "an overlap above 1": (RaterDesign(overlap=2.0), ("overlap is 2",)),
    "an unknown unit": (RaterDesign(coded_by="client"), ("coded_by", "session")),
    "points upside down": (RaterDesign(points=(5, 1)), ("(5, 1)", "lowest and the highest")),
    "a floor without a scale": (RaterDesign(floor=0.2), ("floor of disclosure", "points=")),
    "all at the floor": (RaterDesign(points=(1, 5), floor=1.0), ("floor of disclosure is 1",)),
}


@pytest.mark.parametrize(("raters", "words"), BAD.values(), ids=BAD.keys())
def test_a_design_that_cannot_be_is_refused_with_a_remedy(spec, raters, words):
    with pytest.raises(InputError) as caught:
        made(spec, raters, dyads=1)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_floor_of_a_construct_with_a_fixed_scale_is_refused():
    spec = bd.load_model(MODEL + "[scale]\nempathy = [3.0, 0.8]\n")
    with pytest.raises(InputError, match="the model fixes its scale"):
        made(spec, RaterDesign(points=(1, 5), floor={"empathy": 0.3}), dyads=1)
