"""Impulse responses against running the recursion with the rise and without it."""

import numpy as np
import pytest

from bayesdyn.effects import impulse_draws, impulse_response
from bayesdyn.errors import BayesdynWarning, InputError
from bayesdyn.fitting.fits import spec_as_fitted
from drawn_fits import COLUMNS, band_of, drawn_fit, draws_of
from recursion import innovations_that_hold, residual_cov, run

HORIZON = 6


@pytest.fixture(scope="module")
def fit():
    return drawn_fit(draws=5)


def difference(fit, shock, kind, state, phase, size):
    """Return (N, C, HORIZON + 1): states with a rise of size SDs less those without, over the size."""
    spec, constructs = spec_as_fitted(fit), list(map(str, fit["constant_data"]["construct"].values))
    draws, cov = draws_of(fit), residual_cov(fit, constructs)
    j, found = constructs.index(shock), []
    for n in range(len(cov)):
        path = {name: float(values[n]) for name, values in draws.items()}
        still = innovations_that_hold(spec, path, state, {"phase": phase}, HORIZON + 1)
        risen = [dict(one) for one in still]
        for i, name in enumerate(constructs):
            if kind == "generalised":
                risen[0][name] += size * cov[n, i, j] / np.sqrt(cov[n, j, j])
            elif name == shock:
                risen[0][name] += size * np.sqrt(cov[n, j, j])
        with_it = run(spec, path, state, risen, {"phase": phase})
        without = run(spec, path, state, still, {"phase": phase})
        found.append(
            [
                [(a[name] - b[name]) / size for a, b in zip(with_it, without, strict=True)]
                for name in constructs
            ]
        )
    return np.array(found)


@pytest.mark.parametrize("kind", ["plain", "generalised"])
@pytest.mark.parametrize("shock", ["empathy", "disclosure"])
def test_responses_are_the_recursion_with_the_rise_less_without(fit, kind, shock):
    """All states moderate and move here, so the rise is small: the response is the tangent."""
    at = {"empathy": 0.2, "rapport": -1.0, "disclosure": 0.5, "phase": 0.3}
    state = {"empathy": 0.2, "rapport": -1.0, "disclosure": 0.5, "self_negative": 0.0}
    up, down = (difference(fit, shock, kind, state, 0.3, size) for size in (1e-4, -1e-4))
    found = impulse_draws(fit, shock, horizon=HORIZON, kind=kind, at=at)
    np.testing.assert_allclose(found.values.reshape(up.shape), (up + down) / 2, atol=1e-7)


def test_a_whole_sd_is_exact_where_the_moderator_does_not_respond():
    fit = drawn_fit("chen2026", draws=3)
    state = dict.fromkeys(map(str, fit["constant_data"]["construct"].values), 0.0) | {"rapport": 1.5}
    found = impulse_draws(fit, "exploration", horizon=HORIZON, at={"rapport": 1.5})
    by_hand = difference(fit, "exploration", "plain", state, 0.0, 1.0)
    np.testing.assert_allclose(found.values.reshape(by_hand.shape), by_hand, atol=1e-12)
    assert np.abs(by_hand[:, :, 0]).max() > 0.3


def test_without_paths_at_once_the_generalised_response_is_that_of_pesaran_and_shin():
    """A^h Sigma u_j / sqrt(sigma_jj), their equation 10, Sigma the covariance of the forecast errors."""
    model = """
[model]
name = "lags"
paths = '''
disclosure ~ lag(disclosure) + lag(self_negative)
self_negative ~ lag(self_negative) + lag(disclosure)
disclosure ~~ self_negative
'''
[constructs]
client = ["disclosure", "self_negative"]
"""
    fit = drawn_fit(model, draws=4)
    b, sigma = draws_of(fit), residual_cov(fit, ["disclosure", "self_negative"])
    found = impulse_draws(fit, "self_negative", horizon=3, kind="generalised")
    for n, (chain, draw) in enumerate(np.ndindex(2, 4)):
        a = np.array(
            [
                [b["disclosure ~ lag(disclosure)"][n], b["disclosure ~ lag(self_negative)"][n]],
                [b["self_negative ~ lag(disclosure)"][n], b["self_negative ~ lag(self_negative)"][n]],
            ]
        )
        for h in range(4):
            by_hand = np.linalg.matrix_power(a, h) @ sigma[n][:, 1] / np.sqrt(sigma[n][1, 1])
            np.testing.assert_allclose(found.values[chain, draw, :, h], by_hand)


def test_the_table_tells_the_draws_and_their_sums(fit):
    draws = impulse_draws(fit, "empathy", horizon=3)
    table = impulse_response(fit, "empathy", horizon=3, ci_prob=0.8)
    row = table[(table["response"] == "self_negative") & (table["ahead"] == 2)].iloc[0]
    own = draws.sel(response="self_negative").values.reshape(-1, 4)
    np.testing.assert_allclose(row[COLUMNS].astype(float), band_of(own[:, 2], 0.8))
    sums = [f"sum_{name}" for name in COLUMNS]
    np.testing.assert_allclose(row[sums].astype(float), band_of(own[:, :3].sum(axis=1), 0.8))
    assert len(table) == 4 * 4
    assert table.attrs["kind"] == "plain"
    assert "rapport = 0" in table.attrs["at"]
    assert table.attrs["unstable_share"] == 0
    # Nothing leads from empathy to empathy's own rise but the rise: the response at once is one SD.
    sd = np.sqrt(fit["posterior"]["predictor_cov"].sel(predictor="empathy", predictor2="empathy")).values
    np.testing.assert_allclose(draws.sel(response="empathy", ahead=0).values, sd)


def test_draws_that_do_not_die_out_are_counted_and_warned_of(fit):
    wild = fit.copy(deep=True)
    posterior = wild["posterior"].to_dataset()
    posterior["path"].loc[{"path_name": "empathy ~ lag(empathy)", "draw": 0}] = 1.5
    wild["posterior"] = posterior
    with pytest.warns(BayesdynWarning, match="In 20 % of the draws impulse responses do not die out"):
        table = impulse_response(wild, "empathy")
    assert table.attrs["unstable_share"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shock": "empathie"}, ["'empathie' is no construct", "'empathy'"]),
        ({"shock": "phase"}, ["'phase' is no construct"]),
        ({"shock": "empathy", "horizon": -1, "kind": "cholesky"}, ["horizon is -1", "plain, generalised"]),
        ({"shock": "empathy", "at": {"lag(empathy)": 1.0}}, ["'lag(empathy)' is no moderator"]),
        ({"shock": "empathy", "ci_prob": 0.0}, ["ci_prob"]),
        ({"shock": "empathy", "horizon": 1.5}, ["horizon is 1.5", "whole number"]),
        ({"shock": "empathy", "at": {"rapport": "x"}}, ["rapport is to be held at x"]),
    ],
)
def test_what_cannot_be_asked(fit, arguments, words):
    with pytest.raises(InputError) as caught:
        impulse_response(fit, **arguments)
    for word in words:
        assert word in str(caught.value)


def test_scores_as_they_are_say_nothing_of_how_predictors_move():
    with pytest.raises(InputError, match=r"'empathy' has no equation in this fit.*known"):
        impulse_response(drawn_fit("chen2026", "none", draws=3), "disclosure")


def test_a_shock_moves_what_covaries_with_it_across_predictors_and_outcomes():
    model = """
[model]
name = "joint"
paths = '''
disclosure ~ lag(rapport) + lag(disclosure)
rapport ~~ disclosure
'''
[constructs]
dyad = ["rapport"]
client = ["disclosure"]
"""
    fit = drawn_fit(model, draws=40)
    posterior = fit["posterior"]
    crossed = posterior["cross_cov"].sel(outcome="disclosure", predictor="rapport").values
    variance = posterior["predictor_cov"].sel(predictor="rapport", predictor2="rapport").values
    table = impulse_response(fit, "rapport", horizon=0, kind="generalised")
    row = table[table["response"] == "disclosure"].iloc[0]
    # A shock of one SD to rapport: the other residual moves by cov / sd.
    assert np.abs(crossed).min() > 0
    assert row["mean"] == pytest.approx((crossed / np.sqrt(variance)).mean())


def test_a_lag_of_two_exchanges_comes_in_two_exchanges_later():
    model = """
[model]
name = "far"
paths = '''
disclosure ~ empathy + lag(disclosure) + lag(disclosure, 2) + lag(empathy, 3)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""
    fit = drawn_fit(model, draws=3)
    found = impulse_draws(fit, "empathy", horizon=HORIZON)
    by_hand = difference(fit, "empathy", "plain", {"empathy": 0.0, "disclosure": 0.0}, 0.0, 1.0)
    np.testing.assert_allclose(found.values.reshape(by_hand.shape), by_hand, atol=1e-12)
