"""From ratings to measures: calibration, notes, masks, anchors, faults."""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.artefacts import read_dataset, write_dataset
from bayesdyn.errors import InputError
from bayesdyn.measures.dataset import Notes, merged, read_notes
from bayesdyn.measures.gathering.sums import token_variance
from bayesdyn.measures.warn import warn_of_twins


def true_scores(world):
    """The truth on the scale of the measures: geometric mean discrimination 1, mean rating as origin."""
    unit = np.exp(np.log(world.discrimination).mean())
    return np.mean(world.severity + 3 * world.discrimination) + (world.theta - 3) * unit


def z_of(measures, world):
    return (measures["score"].values - true_scores(world)) / measures["se"].values


def has_note(measures, *parts):
    return any(all(part in note for part in parts) for note in read_notes(measures))


@pytest.fixture(scope="module")
def two(make_world):
    """Two equally reliable raters, one with a quarter of the other's spread, halo .4; 5 % missing."""
    world = make_world(
        7, discrimination=(0.3, 1.2), error_sd=(0.15, 0.6), severity=(0.4, -0.6), halo=0.4, missing=0.05
    )
    return world, bd.measure(world.ratings, random_seed=1, shared_prior=None)


def test_intervals_cover_the_true_scores(two):
    world, measures = two
    z = z_of(measures, world)
    for column in z.T:
        kept = column[np.isfinite(column)]
        # 95 % coverage at about 1,000 exchanges: binomial standard error .007, three of them.
        assert abs(np.mean(np.abs(kept) < 1.96) - 0.95) < 0.021
        assert abs(kept.std() - 1) < 0.07
        assert abs(kept.mean()) < 0.12


def test_reliability_halo_and_raters_are_recovered(two):
    world, measures = two
    # One rater: .3^2 .49 / (.3^2 .49 + .15^2) = .66; pairs 2 x .66 / 1.66 = .797; few have one.
    variance = 0.49 * 0.36
    expected = variance / (variance + np.nanmean(measures["se"].values ** 2, axis=0))
    found = measures["reliability_draws"].values
    assert (np.abs(found.mean(axis=0) - expected) < 4 * found.std(axis=0) + 0.01).all()
    np.testing.assert_allclose(found.mean(axis=0), 0.79, atol=0.05)
    assert (measures["reliability_lower"] < measures["reliability"]).all()
    assert (measures["reliability"] < measures["reliability_upper"]).all()
    # Sampling error of a correlation of .4 at 900 exchanges: .028; 4 of them.
    assert abs(float(measures["error_corr"].values[0, 1]) - 0.4) < 0.112
    assert (
        abs(np.corrcoef(z_of(measures, world)[np.isfinite(z_of(measures, world)).all(axis=1)].T)[0, 1] - 0.4)
        < 0.1
    )
    np.testing.assert_allclose(measures["discrimination"].mean("construct"), [0.5, 2.0], rtol=0.1)
    np.testing.assert_allclose(measures["error_sd"].mean("construct"), [0.15, 0.6], rtol=0.08)
    np.testing.assert_allclose(measures["severity"].sum("rater"), 0, atol=1e-9)
    assert ((measures["kappa_sd"] > 0.02) & (measures["kappa_sd"] < 0.1)).all()


def test_two_raters_are_said_to_be_equal_by_assumption(two):
    _, measures = two
    assert measures.attrs["identification"] == "two_raters"
    assert has_note(measures, "empathy", "two raters (r0, r1)", "equal by assumption", "own spread")
    assert has_note(measures, "taken to share no error", "upper bounds")
    assert not has_note(measures, "Warning")


def test_unrated_exchanges_stay_as_missing_rows(two):
    world, measures = two
    wide = world.ratings["value"].to_numpy().reshape(*world.theta.shape, 2)
    unrated = np.isnan(wide).all(axis=2)
    assert unrated.any()
    np.testing.assert_array_equal(np.isnan(measures["score"].values), unrated)
    np.testing.assert_array_equal(np.isnan(measures["se"].values), unrated)
    one = np.isfinite(wide).sum(axis=2) == 1
    assert measures["se"].values[one].min() > np.nanmax(measures["se"].values[~one])


def test_measures_survive_their_file(two, tmp_path):
    _, measures = two
    write_dataset(measures, tmp_path / "measures.nc", "measures")
    back = read_dataset(tmp_path / "measures.nc", "measures")
    for name in measures.variables:
        np.testing.assert_array_equal(back[name].values, measures[name].values)
    assert read_notes(back) == read_notes(measures)


def test_equal_raw_discriminations_are_contradicted_by_very_different_spreads(two):
    world, _ = two
    measures = bd.measure(world.ratings, discrimination="equal", random_seed=1)
    assert has_note(
        measures, "Warning: empathy", "contradict the rater model", 'discrimination="proportional"'
    )


def test_three_raters_are_freed_and_the_same_seed_gives_the_same_measures(make_world):
    world = make_world(
        8,
        severity=(0, 0.2, -0.2),
        discrimination=(0.8, 1, 1.25),
        error_sd=(0.4, 0.9, 0.6),
        missing=0.1,
        halo=0.3,
    )
    measures = bd.measure(world.ratings, random_seed=5, shared_prior=None)
    assert measures.attrs["identification"] == "raters"
    np.testing.assert_allclose(measures["discrimination"].mean("construct"), [0.8, 1, 1.25], rtol=0.08)
    np.testing.assert_allclose(measures["error_sd"].mean("construct"), [0.4, 0.9, 0.6], rtol=0.08)
    z = z_of(measures, world)
    assert abs(np.nanmean(np.abs(z) < 1.96, where=np.isfinite(z)) - 0.95) < 0.021
    shuffled = world.ratings.sample(frac=1, random_state=1)
    again = bd.measure(shuffled, random_seed=5, shared_prior=None)
    assert measures.identical(again)


def test_one_rater_says_that_its_reliability_is_assumed(make_world):
    world = make_world(9, severity=(0.0,), discrimination=(1.0,), error_sd=(0.5,))
    measures = bd.measure(world.ratings, reliability_prior={"empathy": (8, 2)}, random_seed=2)
    assert measures.attrs["identification"] == "prior"
    assert has_note(measures, "empathy: one rater (r0)", "Beta(8, 2) with mean 0.80", "not an estimate")
    assert has_note(measures, "rapport: one rater", "Beta(6, 4)")
    assert has_note(measures, "independent across constructs")
    np.testing.assert_array_equal(measures["error_corr"], np.eye(2))
    np.testing.assert_allclose(measures["reliability"], [0.8, 0.6], atol=0.06)
    # log(1 - rho) with rho ~ Beta(6, 4): SD = sqrt(trigamma(4) - trigamma(10)) = .42; the same for the se.
    assert float(measures["kappa_sd"].sel(construct="rapport")) == pytest.approx(0.42, abs=0.1)
    np.testing.assert_allclose(measures["score"].values, world.ratings["value"].to_numpy().reshape(-1, 2))


def test_humans_anchor_the_scale(make_world):
    world = make_world(
        10, severity=(0.5, 0.0), discrimination=(0.5, 1.0), error_sd=(0.3, 0.5), kinds=("llm", "human")
    )
    llm = world.ratings[world.ratings["rater"] == "r0"]
    human = world.ratings[(world.ratings["rater"] == "r1") & (world.ratings["t"] < 25)]
    stranger = human.head(1).assign(dyad="nobody")
    measures = bd.measure(llm, human=pd.concat([human, stranger]), random_seed=3)
    assert measures.attrs["identification"] == "coder"
    assert has_note(measures, "humans anchor the scale", "Beta(7, 3) with mean 0.70")
    assert has_note(measures, "1 human ratings are of no rated exchange")
    by_rater = measures.mean("construct")
    assert float(by_rater["discrimination"].sel(rater="r1")) == pytest.approx(1)
    assert float(by_rater["severity"].sel(rater="r1")) == pytest.approx(0, abs=1e-9)
    # Its mean rating is .5 + .5 x 3 = 2 against the human's 3.
    assert float(by_rater["severity"].sel(rater="r0")) == pytest.approx(-1, abs=0.1)
    z = (measures["score"].values - world.theta) / measures["se"].values
    assert abs(np.mean(np.abs(z) < 1.96) - 0.95) < 0.04


def test_exchanges_bring_covariates_and_rows_and_floors_are_warned_of(make_world):
    world = make_world(11, sessions=4, length=60)
    floored = world.ratings.assign(value=world.ratings["value"].clip(3, 5), scale_min=3.0, scale_max=7.0)
    exchanges = (
        floored[["dyad", "session", "t"]]
        .drop_duplicates()
        .assign(therapist_text="secret", client_text="secret", time=1.5, arm="a", remark="x" * 200)
    )
    extra = exchanges.head(1).assign(t=99)
    measures = bd.measure(floored, exchanges=pd.concat([exchanges, extra]), random_seed=1)
    assert measures.sizes["exchange"] == 241
    assert np.isnan(measures["score"].sel(exchange=measures["t"] == 99)).all()
    assert float(measures["time"][0]) == 1.5
    assert not {"therapist_text", "client_text", "remark"} & set(measures.variables)
    assert has_note(measures, "remark was not kept")
    assert has_note(measures, "Warning: empathy", "floor")
    assert (measures["floor_share"] > 0.5).all()
    assert not any("secret" in str(measures[name].values) for name in measures.variables)


def test_token_variance_of_a_distribution_by_hand():
    # p = (.5, 0, .5) on 1 to 3: mean 2, variance 1; a point mass has none.
    frame = pd.DataFrame({"probabilities": [[0.5, 0, 0.5], None, [0, 1.0, 0]], "scale_min": 1.0})
    np.testing.assert_allclose(token_variance(frame), [1, np.nan, 0])


def test_every_fault_is_named_at_once(make_world):
    world = make_world(12, sessions=1, length=5)
    flat = world.ratings.assign(value=lambda f: f["value"].where(f["construct"] != "rapport", 2.0))
    with pytest.raises(InputError, match="rapport has no rater with three ratings that differ"):
        bd.measure(flat)
    with pytest.raises(InputError, match="two raters: their discriminations cannot be estimated"):
        bd.measure(world.ratings, discrimination="free")
    few = world.ratings[["dyad", "session", "t"]].drop_duplicates().head(4)
    with pytest.raises(InputError) as caught:
        bd.measure(
            world.ratings.replace({"construct": {"rapport": "score"}}),
            human=world.ratings.assign(dyad="x"),
            exchanges=few,
            discrimination="same",  # pyright: ignore[reportArgumentType]
            reliability_prior=(0, 1),
            shared_prior=(1, -1),
            most_sessions=0,
        )
    message = str(caught.value)
    for part in (
        "discrimination is 'same'", "reliability_prior is (0, 1)", "shared_prior is (1, -1)",
        "most_sessions is 0", "t 4 is rated but is no exchange",
        "rater r0, r1 stands in both tables", "no human rating is of an exchange", "construct score bears",
    ):  # fmt: skip
        assert part in message


def test_constructs_that_raters_hardly_tell_apart_are_named():
    rng = np.random.default_rng(4)
    true = rng.standard_normal(400)
    error = rng.multivariate_normal(np.zeros(3), 0.25 * (0.5 * np.eye(3) + 0.5), size=400)
    score = np.column_stack([true, 0.98 * true, rng.standard_normal(400)]) + error
    corr = 0.5 * np.eye(3) + 0.5
    notes = Notes()
    warn_of_twins(("disclosure", "self_negative", "empathy"), score, np.full((400, 3), 0.5), corr, notes)
    (told,) = notes.sentences
    assert "disclosure and self_negative" in told
    assert "fit fewer outcomes" in told


def test_a_note_that_holds_for_several_constructs_is_told_once():
    told = merged(
        ["a: two raters.", "Warning: b: at the floor.", "b: two raters.", "No humans.", "a and b: alike."],
        ("a", "b"),
    )
    assert told == ["a, b: two raters.", "Warning: b: at the floor.", "No humans.", "a and b: alike."]
