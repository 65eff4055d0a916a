"""Simple slopes by hand, three-way ones too, and Johnson-Neyman bounds against a fine grid."""

import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.effects import johnson_neyman, simple_slopes
from bayesdyn.errors import InputError
from drawn_fits import COLUMNS, LINEAR, MEDIATED, band_of, drawn_fit, draws_of

CURVED = MEDIATED.replace("de*empathy +", "de*empathy + empathy:empathy + ")


@pytest.fixture(scope="module")
def fit():
    return drawn_fit(draws=150)


def three_way(fit, rapport, phase):
    b = draws_of(fit)
    return (
        b["disclosure ~ empathy"]
        + rapport * b["disclosure ~ empathy:rapport"]
        + phase * b["disclosure ~ empathy:phase"]
        + rapport * phase * b["disclosure ~ empathy:rapport:phase"]
    )


def test_a_three_way_product_gives_the_slope_at_both_moderators_values(fit):
    table = simple_slopes(fit, "disclosure ~ empathy", at={"rapport": [-1, 2], "phase": (-0.5, 0.5)})
    assert table[["rapport", "phase"]].values.tolist() == [[-1, -0.5], [-1, 0.5], [2, -0.5], [2, 0.5]]
    assert table["at"][2] == "rapport = 2, phase = -0.5"
    for _, row in table.iterrows():
        expected = band_of(three_way(fit, row["rapport"], row["phase"]))
        np.testing.assert_allclose(row[COLUMNS].astype(float), expected)


def test_moderators_not_named_are_at_one_below_and_above_their_centre(fit):
    table = simple_slopes(fit, "disclosure ~ empathy", at={"rapport": 0})
    phase = fit["constant_data"]["phase"].values
    np.testing.assert_allclose(table["phase"], [-phase.std(ddof=1), 0, phase.std(ddof=1)], atol=1e-12)
    lagged = simple_slopes(fit, "self_negative ~ empathy")
    assert lagged["at"].tolist() == ["lag(rapport) = -1", "lag(rapport) = 0", "lag(rapport) = 1"]
    assert simple_slopes(fit, "self_negative ~ empathy", at={"rapport": 2})["lag(rapport)"].tolist() == [2.0]


def test_every_product_has_its_slope_where_none_is_named(fit):
    table = simple_slopes(fit)
    assert list(dict.fromkeys(table["path"])) == [
        "disclosure ~ empathy", "self_negative ~ disclosure", "self_negative ~ empathy"
    ]  # fmt: skip
    assert table.loc[table["path"] == "self_negative ~ disclosure", "phase"].isna().all()
    by_hand = (
        draws_of(fit)["self_negative ~ disclosure"] - draws_of(fit)["self_negative ~ rapport:disclosure"]
    )
    row = table[table["path"] == "self_negative ~ disclosure"].iloc[0]
    np.testing.assert_allclose(row[COLUMNS].astype(float), band_of(by_hand))
    assert simple_slopes(drawn_fit(LINEAR)).empty


def test_a_factor_that_multiplies_itself_has_the_slope_of_a_curve():
    fit = drawn_fit(CURVED)
    table = simple_slopes(fit, "disclosure ~ empathy", at={"empathy": 1.5, "rapport": 0, "phase": 0})
    by_hand = draws_of(fit)["disclosure ~ empathy"] + 2 * 1.5 * draws_of(fit)["disclosure ~ empathy:empathy"]
    np.testing.assert_allclose(table.iloc[0][COLUMNS].astype(float), band_of(by_hand))


@pytest.mark.parametrize("ci_prob", [0.5, 0.95])
def test_johnson_neyman_bounds_are_those_of_a_fine_grid(ci_prob):
    fit = drawn_fit(draws=150, truth={"disclosure ~ empathy:rapport": -0.3, "disclosure ~ empathy": 0.1})
    found = johnson_neyman(
        fit, "disclosure ~ empathy", "rapport", at={"phase": 0.4}, between=(-2, 3), ci_prob=ci_prob
    )
    grid = np.linspace(-2, 3, 20_001)
    slopes = three_way(fit, grid[:, None], 0.4)
    lower, upper = np.quantile(slopes, [(1 - ci_prob) / 2, (1 + ci_prob) / 2], axis=1)
    # At the left rapport is low and empathy helps; at the right it harms; zero lies in between.
    assert found.regions["sign"].tolist() == ["positive", "negative"]
    positive, negative = found.regions[["start", "stop"]].to_numpy()
    step = grid[1] - grid[0]
    assert positive == pytest.approx([-2, grid[lower > 0].max()], abs=step)
    assert negative == pytest.approx([grid[upper < 0].min(), 3], abs=step)
    # At a bound the quantile is zero.
    assert np.quantile(three_way(fit, positive[1], 0.4), (1 - ci_prob) / 2) == pytest.approx(0, abs=1e-10)
    at_one = found.band[np.isclose(found.band["value"], 1)].iloc[0]
    np.testing.assert_allclose(at_one[COLUMNS].astype(float), band_of(three_way(fit, 1.0, 0.4), ci_prob))
    assert (found.path, found.moderator, found.at) == ("disclosure ~ empathy", "rapport", "phase = 0.4")


def test_a_slope_that_excludes_zero_nowhere_or_everywhere_has_no_bound_inside(fit):
    flat = johnson_neyman(fit, "disclosure ~ empathy", "rapport", between=(6, 8), ci_prob=0.9999)
    assert flat.regions.empty
    sure = drawn_fit(truth={"disclosure ~ empathy": 5.0})
    everywhere = johnson_neyman(sure, "disclosure ~ empathy", "rapport", between=(-1, 1)).regions
    assert everywhere.values.tolist() == [[-1, 1, "positive"]]


def test_the_report_draws_the_same_slopes():
    from bayesdyn.reporting.slopes import simple_slopes as lines

    fit = drawn_fit("chen2026")
    table = simple_slopes(fit, "self_negative ~ exploration")
    line = next(one for one in lines(fit) if (one.outcome, one.behaviour) == ("self_negative", "exploration"))
    assert [point.upper for point in line.points] == pytest.approx(table["upper"].tolist())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda fit: simple_slopes(fit, "disclosure ~ empathie"), ["no slope", "'disclosure ~ empathy'"]),
        (lambda fit: simple_slopes(fit, "disclosure ~ mean(empathy)"), ["no slope of this model"]),
        (lambda fit: simple_slopes(fit, "rapport ~ empathy"), ["nothing moderates rapport ~ empathy"]),
        (lambda fit: simple_slopes(fit, at={"rapport": []}), ["rapport is to be held", "finite number"]),
        (lambda fit: simple_slopes(fit, at={"exploration": 1}), ["'exploration' is no moderator"]),
        (lambda fit: johnson_neyman(fit, "disclosure ~ empathy"), ["several", "rapport, phase"]),
        (lambda fit: johnson_neyman(fit, "disclosure ~ empathy", "fase"), ["Did you mean 'phase'?"]),
        (
            lambda fit: johnson_neyman(
                fit, "disclosure ~ empathy", "rapport", at={"rapport": 1}, between=(1, -1), ci_prob=2
            ),
            ["rapport is held at a value", "lower value first", "ci_prob is 2"],
        ),
        (
            lambda fit: simple_slopes(fit, at={"rapport": "x"}),
            ["rapport is to be held at x", "finite number"],
        ),
        (lambda fit: simple_slopes(fit, at={"rapport": [1, "x"]}), ["rapport is to be held at x"]),
        (
            lambda fit: johnson_neyman(fit, "disclosure ~ empathy", "rapport", between=(-1,)),
            ["between is (-1,)", "two numbers"],
        ),
        (
            lambda fit: johnson_neyman(fit, "disclosure ~ empathy", "rapport", between=("a", 2)),
            ["between is ('a', 2)"],
        ),
        (
            lambda fit: johnson_neyman(fit, "self_negative ~ disclosure", at={"rapport": 1}),
            ["rapport is held at a value and looked along. Leave it out of at"],
        ),
    ],
)
def test_what_cannot_be_asked(fit, call, words):
    with pytest.raises(InputError) as caught:
        call(fit)
    for word in words:
        assert word in str(caught.value)


def test_along_a_moderator_its_lag_stays_where_it_is_said_to_be():
    from bayesdyn.reporting.slopes import simple_slopes as lines

    two_way = MEDIATED.replace("+ empathy:rapport:phase", "")
    fit = drawn_fit(two_way.replace("+ empathy:phase", "+ empathy:lag(rapport)"))
    b = draws_of(fit)
    now, before = b["disclosure ~ empathy:rapport"], b["disclosure ~ empathy:lag(rapport)"]
    path = "disclosure ~ empathy"
    for at, lagged in (({}, 0.0), ({"lag(rapport)": 0.5}, 0.5)):
        found = johnson_neyman(fit, path, "rapport", at=at, between=(-2, 2))
        assert found.at == f"lag(rapport) = {lagged:g}"
        last = found.band.iloc[-1]
        by_hand = b[path] + 2 * now + lagged * before
        np.testing.assert_allclose(last[COLUMNS].astype(float), band_of(by_hand))
    line = next(one for one in lines(fit, regions=False) if one.key == ("disclosure", "empathy", "rapport"))
    assert line.points[-1].mean == pytest.approx((b[path] + now).mean())
    assert line.upper[-1] == pytest.approx(band_of(b[path] + 2 * now)[3])


def test_the_room_is_reached_from_the_package():
    assert bd.effects.simple_slopes is simple_slopes
