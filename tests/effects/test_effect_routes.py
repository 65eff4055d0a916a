"""Total, direct and indirect effects against algebra by hand, and against moving the equations."""

import numpy as np
import pytest

from bayesdyn.effects import effects
from bayesdyn.errors import InputError
from drawn_fits import COLUMNS, MEDIATED, band_of, drawn_fit, draws_of

AT = {"empathy": 0.5, "rapport": -1.0, "disclosure": 2.0, "phase": 0.25}


@pytest.fixture(scope="module")
def fit():
    return drawn_fit()


def by_hand(fit, at):
    """Return the draws of every slope within one exchange that the model MEDIATED has."""
    b = draws_of(fit)
    e, r, d, p = (at[name] for name in ("empathy", "rapport", "disclosure", "phase"))
    three = b["disclosure ~ empathy:rapport:phase"]
    lag = b["self_negative ~ lag(rapport):empathy"]
    return {
        "er": b["rapport ~ empathy"],
        "ed": b["disclosure ~ empathy"]
        + r * b["disclosure ~ empathy:rapport"]
        + p * b["disclosure ~ empathy:phase"]
        + r * p * three,
        "rd": b["disclosure ~ rapport"] + e * b["disclosure ~ empathy:rapport"] + e * p * three,
        # lag(rapport) follows rapport where nothing is said of it.
        "es": b["self_negative ~ empathy"] + at.get("lag(rapport)", r) * lag,
        "rs": d * b["self_negative ~ rapport:disclosure"],
        "ds": b["self_negative ~ disclosure"] + r * b["self_negative ~ rapport:disclosure"],
    }


def test_effects_are_sums_over_all_directed_routes(fit):
    s = by_hand(fit, AT)
    routes = {
        "empathy -> rapport -> self_negative": s["er"] * s["rs"],
        "empathy -> disclosure -> self_negative": s["ed"] * s["ds"],
        "empathy -> rapport -> disclosure -> self_negative": s["er"] * s["rd"] * s["ds"],
    }
    expected = {
        ("total", ""): s["es"] + sum(routes.values()),
        ("direct", ""): s["es"],
        ("indirect", ""): sum(routes.values()),
        **{("route", route): draws for route, draws in routes.items()},
    }
    table = effects(fit, "empathy", "self_negative", at=AT, ci_prob=0.9).set_index(["kind", "route"])
    assert set(table.index) == set(expected)
    for key, draws in expected.items():
        np.testing.assert_allclose(table.loc[key, COLUMNS].astype(float), band_of(draws, 0.9))
    assert table.attrs == {"ci_prob": 0.9, "ci_kind": "eti", "units": "standard", "over": "typical"}


def test_the_total_effect_is_how_far_the_equations_move(fit):
    """Solve the equations of one exchange, products and all, with empathy a little higher and lower."""
    b, centre = draws_of(fit), AT

    def solve(empathy):
        # The residuals keep the mediators at their values where empathy is at its own.
        def disclosure(empathy, rapport):
            return (
                b["disclosure ~ empathy"] * empathy
                + b["disclosure ~ rapport"] * rapport
                + b["disclosure ~ empathy:rapport"] * empathy * rapport
                + b["disclosure ~ empathy:phase"] * empathy * centre["phase"]
                + b["disclosure ~ empathy:rapport:phase"] * empathy * rapport * centre["phase"]
            )

        rapport = centre["rapport"] + b["rapport ~ empathy"] * (empathy - centre["empathy"])
        moved = disclosure(empathy, rapport) - disclosure(centre["empathy"], centre["rapport"])
        told = centre["disclosure"] + moved
        return (
            b["self_negative ~ empathy"] * empathy
            + b["self_negative ~ disclosure"] * told
            + b["self_negative ~ rapport:disclosure"] * rapport * told
            + b["self_negative ~ lag(rapport):empathy"] * empathy * 0.3
        )

    step = 1e-5
    slope = (solve(AT["empathy"] + step) - solve(AT["empathy"] - step)) / (2 * step)
    table = effects(fit, "empathy", "self_negative", at={**AT, "lag(rapport)": 0.3}).set_index("kind")
    np.testing.assert_allclose(table.loc["total", COLUMNS].astype(float), band_of(slope), rtol=1e-6)


def test_each_effect_says_at_what_values_it_holds(fit):
    table = effects(fit, "empathy", "disclosure", at={"rapport": 1})
    at = dict(zip(table["kind"], table["at"], strict=True))
    assert at["direct"] == "rapport = 1, phase = 0"
    assert at["indirect"] == "empathy = 0, phase = 0"
    assert effects(fit, "empathy", "rapport")["at"].tolist() == ["", ""]


def test_all_pairs_are_told_where_none_is_named(fit):
    pairs = set(effects(fit)[["cause", "outcome"]].itertuples(index=False, name=None))
    assert pairs == {
        ("empathy", "rapport"), ("empathy", "disclosure"), ("empathy", "self_negative"),
        ("rapport", "disclosure"), ("rapport", "self_negative"), ("disclosure", "self_negative"),
    }  # fmt: skip
    assert set(effects(fit, cause="rapport")["outcome"]) == {"disclosure", "self_negative"}


def test_constructs_without_an_equation_are_causes_too():
    fit = drawn_fit("chen2026", "none", draws=5)
    row = effects(fit, "empathy", "disclosure", at={"rapport": 2}).set_index("kind").loc["total"]
    b = draws_of(fit)
    by_hand = b["disclosure ~ empathy"] + 2 * b["disclosure ~ empathy:rapport"]
    np.testing.assert_allclose(row[COLUMNS].astype(float), band_of(by_hand))


def test_a_product_alone_is_a_route_that_is_zero_at_the_centre_and_says_no_sign(fit):
    direct = effects(fit, "rapport", "self_negative").set_index("kind").loc["direct"]
    assert (direct["mean"], direct["at"]) == (0, "disclosure = 0")
    assert np.isnan(direct["prob_positive"])


VARIED = MEDIATED.replace(
    "disclosure + self_negative + rapport ~ (1 + empathy | dyad) + (1 | session)",
    """rapport ~ (1 + empathy | dyad)
    disclosure ~ (1 + rapport + rapport:empathy | dyad)
    self_negative ~ (1 + disclosure | dyad)""",
)


def test_the_mean_over_dyads_has_the_covariance_of_the_slopes_in_it():
    """Draw many dyads from each draw: the mean of the product of their slopes, to four Monte Carlo errors."""
    fit = drawn_fit(VARIED, draws=4)
    rng, size = np.random.default_rng(1), 200_000
    posterior, b = fit["posterior"].to_dataset(), draws_of(fit)
    names = list(map(str, posterior["dyad_effect"].values))
    means, errors = [], []
    for n, matrix in enumerate(posterior["dyad_cov"].values.reshape(-1, len(names), len(names))):
        drawn = rng.standard_normal((size, len(names))) @ np.linalg.cholesky(matrix).T
        u = dict(zip(names, drawn.T, strict=True))
        er = b["rapport ~ empathy"][n] + u["rapport ~ empathy"]
        rd = b["disclosure ~ rapport"][n] + u["disclosure ~ rapport"]
        rd += 0.7 * (b["disclosure ~ empathy:rapport"][n] + u["disclosure ~ rapport:empathy"])
        ds = b["self_negative ~ disclosure"][n] + u["self_negative ~ disclosure"]
        means.append((er * rd * ds).mean())
        errors.append((er * rd * ds).std() / np.sqrt(size))
    asked = {"cause": "empathy", "outcome": "self_negative", "at": {"empathy": 0.7}}
    table, typical = effects(fit, **asked, over="dyads"), effects(fit, **asked)
    route = "empathy -> rapport -> disclosure -> self_negative"
    told = table.set_index("route").loc[route, "mean"]
    error = np.sqrt(np.sum(np.square(errors))) / len(means)
    assert abs(told - np.mean(means)) < 4 * error
    # The test could tell: the product of the means is farther off.
    assert abs(typical.set_index("route").loc[route, "mean"] - np.mean(means)) > 10 * error
    total = table.set_index("kind").loc[["total", "direct", "indirect"], "mean"]
    assert total["total"] == pytest.approx(total["direct"] + total["indirect"])


def test_a_product_of_two_slopes_is_a_b_plus_their_covariance():
    fit = drawn_fit(VARIED)
    posterior, b = fit["posterior"].to_dataset(), draws_of(fit)
    cov = posterior["dyad_cov"].sel(dyad_effect="rapport ~ empathy", dyad_effect2="disclosure ~ rapport")
    by_hand = b["rapport ~ empathy"] * b["disclosure ~ rapport"] + cov.values.ravel()
    table = effects(fit, "empathy", "disclosure", over="dyads").set_index("kind")
    np.testing.assert_allclose(table.loc["indirect", COLUMNS].astype(float), band_of(by_hand))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"cause": "empaty"}, ["'empaty' is no construct", "Did you mean 'empathy'?"]),
        ({"at": {"raport": 1.0}}, ["'raport' is no moderator", "Did you mean 'rapport'?"]),
        ({"at": {"rapport": float("nan")}}, ["finite"]),
        ({"over": "all", "ci_prob": 1.2}, ["typical, dyads", "between 0 and 1"]),
        ({"cause": "disclosure", "outcome": "empathy"}, ["no path leads from disclosure to empathy"]),
    ],
)
def test_what_cannot_be_asked(fit, arguments, words):
    with pytest.raises(InputError) as caught:
        effects(fit, **arguments)
    for word in words:
        assert word in str(caught.value)
