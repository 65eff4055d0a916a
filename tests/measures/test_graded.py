"""The ordinal rater model: recovery, calibration, floors, humans, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.measures.dataset import read_notes
from bayesdyn.measures.gathering.cells import gather_cells
from bayesdyn.measures.graded.answers import gather_answers, to_answers
from bayesdyn.measures.graded.density import Form
from bayesdyn.measures.graded.model import Lane, unpack
from bayesdyn.structure.language.model_file import load_model
from bayesdyn.structure.problem import prepare
from graded_world import Rater, simulate_answers

SHARES = (0.6, 0.2, 0.2)
RATERS = (
    Rater((0.2, 0.9, 1.5, 2.2), own=0.6, blur=0.5, tokens=True),
    Rater((0.0, 0.8, 1.6, 2.4), own=0.9),
    Rater((0.4, 1.0, 1.5, 2.0), own=0.7, blur=0.6, replicates=3),
)


@pytest.fixture(scope="module")
def world():
    """A rater with distributions, one with single answers, one with replicates; 45 % at the floor."""
    return simulate_answers(5, RATERS, dyads=30, sessions=3, length=20, shares=SHARES)


@pytest.fixture(scope="module")
def measured(world):
    return bd.measure(world[0], likelihood="ordinal", shared_prior=None, random_seed=3)


def test_intervals_of_true_scores_cover_and_the_raters_are_recovered(world, measured):
    theta = world[1]
    # The scale's origin is where 30 dyads have their mean: taken from theta itself, so that what is tested is
    # the error of exchanges.
    true = float(measured["shift"][0]) + float(measured["scale"][0]) * (theta - theta.mean()) / theta.std()
    score, se = measured["posterior_mean"].values[:, 0], measured["posterior_sd"].values[:, 0]
    away = true - score
    z = (away - away.mean()) / se
    for nominal, width in ((0.5, 0.6745), (0.8, 1.2816), (0.95, 1.96)):
        # 1,800 exchanges in 90 sessions: the share covered varies by about .02.
        assert abs(np.mean(np.abs(z) < width) - nominal) < 0.05, nominal
    assert np.corrcoef(score, theta)[0, 1] > 0.85
    own = np.array([rater.own for rater in RATERS])
    found = measured["error_sd"].values[:, 0] / (
        measured["discrimination"].values[:, 0] * float(measured["scale"][0])
    )
    np.testing.assert_allclose(found, own, atol=0.15)
    share = measured["true_share_draws"].sel(construct="self_negative")
    assert (np.abs(share.mean("draw") - SHARES) < 4 * share.std("draw")).all()


def test_the_share_at_the_floor_is_predicted_and_no_warning_is_given(measured):
    assert float(measured["floor_share"][0]) > 0.4
    assert abs(float(measured["floor_share"][0]) - float(measured["floor_predicted"][0])) < 0.06
    notes = read_notes(measured)
    assert any("ordinal rater model" in note for note in notes)
    assert not any(note.startswith("Warning") for note in notes)


def test_exchanges_where_all_raters_are_at_the_floor_have_a_finite_summary(world, measured):
    table = world[0]
    top = table.groupby(["dyad", "session", "t"])["value"].max().to_numpy()
    lowest = top < 1.02
    assert lowest.sum() > 100
    score, se = measured["score"].values[:, 0], measured["se"].values[:, 0]
    assert np.isfinite(score).all()
    assert np.isfinite(se).all()
    # There the raters say "low" and not how low: below the floor, and far less sure than in the middle.
    assert (score[lowest] < 1).all()
    assert se[lowest].min() > 1.3 * np.median(se[(top > 2) & (top < 4)])


def test_a_fit_is_standardised_by_the_rater_model_where_that_fixes_the_scale(measured):
    spec = load_model('[model]\nname = "one"\npaths = "self_negative ~ lag(self_negative)"\n')
    problem = prepare(measured, spec)
    assert problem.scale[0] == pytest.approx(float(measured["scale"][0]))
    assert problem.shift[0] == pytest.approx(float(measured["shift"][0]))


@pytest.mark.slow
def test_two_coders_tell_the_error_that_llms_share():
    coders = [Rater((-0.2, 0.5, 1.2, 1.9), own=0.6, kind="human", most=most) for most in (500, 400)]
    llms = [Rater((0.1, 0.8, 1.5, 2.2), own=own) for own in (0.5, 0.6, 0.7)]
    table, theta = simulate_answers(8, (*llms, *coders), dyads=40, sessions=2, length=20, s=0.3)
    human = table[table["rater_kind"] == "human"]
    found = bd.measure(
        table[table["rater_kind"] == "llm"], human, likelihood={"self_negative": "ordinal"}, random_seed=3
    )
    assert found.attrs["identification"] == "humans"
    low, high = float(found["shared_error_lower"][0]), float(found["shared_error_upper"][0])
    assert low < 0.3 < high
    assert high - low < 0.35
    score, se = found["score"].values[:, 0], found["se"].values[:, 0]
    true = float(found["shift"][0]) + float(found["scale"][0]) * theta
    middle = np.abs(score - score.mean()) < 1.5 * score.std()
    # Nearly normal away from the ends; origin and unit are estimated from 500 coded exchanges.
    assert abs(np.mean(np.abs(true - score)[middle] < 1.96 * se[middle]) - 0.95) < 0.05


def test_distributions_are_read_to_the_nearest_tenth():
    p = np.array([[0.96, 0.04, 0.0], [0.34, 0.33, 0.33], [0.0, 0.5, 0.5]])
    # Largest remainders: .6, .4 of 9; .4, .3, .3 of 3 + 3 + 3.
    np.testing.assert_array_equal(to_answers(p), [[10, 0, 0], [4, 3, 3], [0, 5, 5]])
    assert (to_answers(np.random.default_rng(1).dirichlet(np.ones(7), 500)).sum(axis=1) == 10).all()


def test_answers_count_replicates_and_keep_who_did_not_answer(world):
    table = world[0].copy()
    table.loc[(table["rater"] == "r1") & (table["t"] == 3), "value"] = np.nan
    keys = table[["dyad", "session", "t"]].drop_duplicates().reset_index(drop=True)
    answers = gather_answers(table, keys, "self_negative", ("r0", "r1", "r2"), None)
    total = [rows.sum(axis=1)[answers.pattern[:, r]] for r, rows in enumerate(answers.counts)]
    assert (total[0] == 10).all()
    np.testing.assert_array_equal(total[1] == 0, keys["t"] == 3)
    assert (total[2] == 3).all()
    assert answers.repeated == (True, False, True)
    assert answers.expected == (True, False, False)
    first = table[
        (table["rater"] == "r2") & (table["dyad"] == "d000") & (table["session"] == "0") & (table["t"] == 0)
    ]
    expected = np.bincount(first["value"].astype(int) - 1, minlength=5)
    np.testing.assert_array_equal(answers.counts[2][answers.pattern[0, 2]], expected)
    assert gather_cells(table, keys).lowest.tolist() == [1.0]


def test_what_an_ordinal_likelihood_cannot_use_is_refused_with_remedies(world):
    table = world[0]
    single = table[table["rater"] == "r1"]
    with pytest.raises(InputError) as caught:
        bd.measure(single.assign(value=single["value"].clip(upper=4) + 0.5), likelihood="ordinal")
    assert "lie between scale points" in str(caught.value)
    with pytest.raises(InputError, match="scale is not known"):
        bd.measure(single.drop(columns=["scale_min", "scale_max"]), likelihood="ordinal")
    with pytest.raises(InputError) as caught:
        bd.measure(table, likelihood={"anger": "ordinal", "self_negative": "logit"}, discrimination="free")
    assert "names construct anger" in str(caught.value)
    assert "'logit'" in str(caught.value)
    with pytest.raises(InputError, match="raw scale"):
        bd.measure(table, likelihood="ordinal", discrimination="equal")
    coder = single.assign(rater="h", rater_kind="human", value=7.0, scale_min=np.nan, scale_max=np.nan)
    with pytest.raises(InputError, match="values of rater h are off the scale 1 to 5"):
        bd.measure(table, pd.concat([coder[:-2], coder[-2:].assign(value=1.0)]), likelihood="ordinal")
    wide = pd.concat([table, single.assign(rater="r9", scale_max=7.0)])
    with pytest.raises(InputError, match="rated on 2 scales"):
        bd.measure(wide, likelihood="ordinal")


def test_sessions_and_dyads_are_told_apart_only_where_a_dyad_has_several_sessions():
    shares = []
    for apart in (True, False):
        form = Form((False,) * 3, (True,) * 3, True, apart, 0.15, 4)
        lane = Lane(None, jnp.zeros((3, 5)), jnp.ones((3, 2)), jnp.zeros(2), jnp.asarray(False))
        z = {
            "share": jnp.zeros((3, 5)),
            "rho": jnp.zeros(3),
            "nu": jnp.zeros(3),
            "s": jnp.zeros(()),
            "true": jnp.zeros(2),
        }
        shares.append(np.asarray(unpack(lane, z, form)[0].true_share))
    np.testing.assert_allclose(shares, [[0.5, 0.25, 0.25], [0.5, 0.5, 0.0]], atol=1e-6)
