"""Raw units against finite differences of the equations written in raw scores, and rules of dimensions."""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.effects import contrast, effects, impulse_response, simple_slopes
from bayesdyn.errors import InputError
from bayesdyn.fitting.fits import scale_of, shift_of, spec_as_fitted
from bayesdyn.fitting.units import NoRawUnitError, in_words, raw_labels, unit_of
from drawn_fits import COLUMNS, MEDIATED, band_of, drawn_fit, draws_of
from recursion import predicted

SCALES = {
    "empathy": [2.0, 0.5],
    "rapport": [4.0, 2.0],
    "disclosure": [3.0, 0.8],
    "self_negative": [1.5, 1.25],
}
DEFINED = ("through := er*dr", "same := de - er*dr", "square := de*de", "odds := de > 0")
MODEL = MEDIATED.replace("gap := de - se", "\n".join(["gap := de - se", *DEFINED]))
MODEL += "[scale]\n" + "".join(f"{name} = {pair}\n" for name, pair in SCALES.items())


@pytest.fixture(scope="module")
def fit():
    return drawn_fit(MODEL, draws=20)


def raw_prediction(fit, n, outcome, now, before, phase):
    """Return the outcome in raw points, as its equation predicts it from raw deviations, in draw ``n``."""
    spec, path = spec_as_fitted(fit), {name: draws[n] for name, draws in draws_of(fit).items()}
    scale = scale_of(fit)
    states = [{name: value / scale[name] for name, value in state.items()} for state in (now, before)]
    return scale[outcome] * predicted(spec, path, outcome, states[0], states[1:], {"phase": phase})


def difference(fit, n, outcome, cause, now, phase):
    """Return the slope by a raw point of the cause; a moderator that is held was there before too."""
    step = 1e-3
    ends = [{**now, cause: now[cause] + sign * step} for sign in (1, -1)]
    high, low = (raw_prediction(fit, n, outcome, end, now, phase) for end in ends)
    return (high - low) / (2 * step)


def test_scales_of_the_model_are_those_of_the_fit(fit):
    assert scale_of(fit) == {name: pair[1] for name, pair in SCALES.items()}
    assert shift_of(fit) == {name: pair[0] for name, pair in SCALES.items()}


@pytest.mark.parametrize(
    ("slope", "cause"), [("disclosure ~ empathy", "empathy"), ("self_negative ~ disclosure", "disclosure")]
)
def test_raw_slopes_are_finite_differences_of_the_raw_prediction(fit, slope, cause):
    outcome = slope.partition(" ~ ")[0]
    at = {"rapport": -1.5, "phase": 0.25, "disclosure": 0.5, "empathy": 1.0}
    now = {name: at.get(name, 0.0) * SCALES[name][1] for name in SCALES}
    held = {name: at[name] for name in ("rapport", "phase")}
    row = simple_slopes(fit, slope, at=held, units="raw").iloc[0]
    draws = np.array([difference(fit, n, outcome, cause, now, 0.25) for n in range(40)])
    # Products are linear in each factor, so a central difference errs by rounding only.
    np.testing.assert_allclose(row[COLUMNS].astype(float), band_of(draws), rtol=1e-9)


def test_raw_effects_are_products_of_raw_slopes(fit):
    at = {"empathy": 0.5, "rapport": -1.0, "disclosure": 0.0, "phase": 0.25}
    now = {name: at.get(name, 0.0) * SCALES[name][1] for name in SCALES}
    table = effects(fit, "empathy", "disclosure", at=at, units="raw").set_index("kind")

    def draws(outcome, cause):
        return np.array([difference(fit, n, outcome, cause, now, 0.25) for n in range(40)])

    direct = draws("disclosure", "empathy")
    through = draws("rapport", "empathy") * draws("disclosure", "rapport")
    for kind, expected in {"direct": direct, "route": through, "total": direct + through}.items():
        np.testing.assert_allclose(table.loc[kind, COLUMNS].astype(float), band_of(expected), rtol=1e-8)
    assert table.attrs["units"] == "raw"


def test_raw_responses_are_points_of_each_response(fit):
    standard, raw = (
        impulse_response(fit, "empathy", horizon=2, units=units) for units in ("standard", "raw")
    )
    scale = raw["response"].map({name: pair[1] for name, pair in SCALES.items()})
    for column in ("mean", "sd", "lower", "upper", "sum_mean", "sum_upper"):
        np.testing.assert_allclose(raw[column], standard[column] * scale)
    pd.testing.assert_series_equal(raw["prob_positive"], standard["prob_positive"])


def test_raw_paths_of_every_kind(fit):
    table, b = bd.summary(fit, variables=("path",), units="raw"), draws_of(fit)
    e, r, d, s = (SCALES[name][1] for name in ("empathy", "rapport", "disclosure", "self_negative"))
    units = {
        "rapport ~ empathy": r / e,
        "disclosure ~ empathy:rapport:phase": d / (e * r),
        "disclosure ~ lag(disclosure)": 1,
        "disclosure ~ lag(empathy)": d / e,
        "disclosure ~ phase": d,
        "disclosure ~ mean(empathy)": d / e,
        "self_negative ~ lag(rapport):empathy": s / (r * e),
        "empathy ~ lag(self_negative)": e / s,
    }
    for name, unit in units.items():
        assert table.loc[name, "mean"] == pytest.approx(unit * b[name].mean()), name
    assert table.loc["disclosure ~ empathy:rapport:phase", "unit"] == (
        "points of disclosure per point of empathy and of rapport and of phase"
    )
    assert table.loc["disclosure ~ lag(disclosure)", "unit"] == "a number"


def test_defined_quantities_have_a_raw_unit_or_say_why_not(fit):
    table, b = bd.summary(fit, variables=("defined",), units="raw"), draws_of(fit)
    e, d = SCALES["empathy"][1], SCALES["disclosure"][1]
    route = b["rapport ~ empathy"] * b["disclosure ~ rapport"]
    expected = {"through": route * d / e, "same": (b["disclosure ~ empathy"] - route) * d / e}
    for name, draws in expected.items():
        np.testing.assert_allclose(table.loc[name, COLUMNS].astype(float), band_of(draws))
        assert table.loc[name, "unit"] == "points of disclosure per point of empathy"
    for name, why in (
        ("gap", "sets points of disclosure"),
        ("square", "disclosure^2 per point of empathy^2"),
    ):
        assert table.loc[name, ["mean", "sd", "lower", "upper"]].isna().all()
        assert table.loc[name, "unit"].startswith("no raw unit: ")
        assert why in table.loc[name, "unit"]
    assert table.loc["odds", "mean"] == (b["disclosure ~ empathy"] > 0).mean()


def test_level_means_and_covariances_in_raw_units(fit):
    posterior = fit["posterior"].to_dataset()
    level = bd.summary(fit, variables=("level_mean",), units="raw")
    shift, scale = SCALES["disclosure"]
    mean = float(posterior["level_mean"].sel(endogenous="disclosure").mean())
    assert level.loc["level_mean[disclosure]", "mean"] == pytest.approx(shift + scale * mean)
    residual = bd.summary(fit, variables=("residual_cov",), units="raw")
    own = posterior["residual_cov"].sel(outcome="disclosure", outcome2="self_negative")
    row = residual.loc["residual_cov[disclosure, self_negative]"]
    assert row["mean"] == pytest.approx(scale * 1.25 * float(own.mean()))
    assert row["unit"] == "points of disclosure times self_negative"
    dyad = bd.summary(fit, variables=("dyad_cov",), units="raw")
    pair = {"dyad_effect": "disclosure ~ 1", "dyad_effect2": "disclosure ~ empathy"}
    value = float(posterior["dyad_cov"].sel(pair).mean())
    found = dyad.loc["dyad_cov[disclosure ~ 1, disclosure ~ empathy]", "mean"]
    assert found == pytest.approx(scale * (scale / 0.5) * value)


def test_contrasts_within_one_outcome_are_points_and_others_are_refused(fit):
    b, d = draws_of(fit), SCALES["disclosure"][1]
    raw = contrast(fit, "de - dr", "de / dr", "de > 0.5", units="raw")
    e, r = SCALES["empathy"][1], SCALES["rapport"][1]
    de, dr = b["disclosure ~ empathy"] * d / e, b["disclosure ~ rapport"] * d / r
    np.testing.assert_allclose(raw.loc[0, COLUMNS].astype(float), band_of(de - dr))
    np.testing.assert_allclose(raw.loc[1, COLUMNS].astype(float), band_of(de / dr))
    assert raw.loc[2, "mean"] == (de > 0.5).mean()
    assert raw["unit"].tolist() == [
        "points of disclosure per point of their factor",
        "points of rapport per point of empathy",
        "a number",
    ]
    with pytest.raises(InputError) as caught:
        contrast(fit, "de - se", "gap", "de", "exp(de)", units="raw")
    assert [str(fault).partition(" has no raw unit")[0] for fault in caught.value.faults] == [
        "'de - se'", "'gap'", "'exp(de)'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("a / b", "points of rapport per point of empathy"),
        ("-abs(min(a, 2 * a))", "points of y per point of empathy"),
        ("(a ** 2) ** 0 + 1", "a number"),
        ("sqrt(a * a)", "points of y per point of empathy"),
        ("2 * 3 + 1", "a number"),
        ("not a > 0", "a number"),
    ],
)
def test_rules_of_dimensions(expression, words):
    units = {"a": {"y": 1, "empathy": -1}, "b": {"y": 1, "rapport": -1}}
    assert in_words(unit_of(expression, units)) == words


@pytest.mark.parametrize("expression", ["a + c", "a ** a", "log(a)", "1 / a - a", "a > c", "a * c"])
def test_what_has_no_unit(expression):
    with pytest.raises(NoRawUnitError):
        unit_of(expression, {"a": {"y": 1, "empathy": -1}, "c": {"z": 1, "empathy": -1}})


def test_a_label_of_paths_with_different_units_has_none():
    model = """[model]
paths = '''
y ~ a*x + lag(y)
z ~ a*x + lag(z)
twice := 2*a
'''
[constructs]
therapist = ["x"]
client = ["y", "z"]
"""
    table = bd.summary(drawn_fit(model, draws=10), units="raw")
    assert "one coefficient of paths with different units" in table.loc["twice", "unit"]
    assert np.isfinite(table.loc["y ~ x", "mean"])


def test_what_has_no_raw_unit_at_all_is_refused_with_what_has(fit):
    broken = fit.copy()
    posterior = fit["posterior"].to_dataset().assign(kappa=(("chain", "draw"), np.zeros((2, 20))))
    broken["posterior"] = type(fit)(posterior)
    with pytest.raises(InputError, match=r"'kappa' has no raw unit\. Ask for standard units"):
        bd.summary(broken, variables=("kappa",), units="raw")


@pytest.mark.parametrize("units", ["standard", "raw"])
def test_a_defined_comparison_has_a_probability_and_no_interval(fit, units):
    share = (draws_of(fit)["disclosure ~ empathy"] > 0).mean()
    defined = bd.summary(fit, variables=("defined",), units=units).loc["odds"]
    asked = contrast(fit, "odds", units=units).iloc[0]
    for found in (defined, asked):
        assert found["mean"] == found["prob_positive"] == share
        assert found[["sd", "lower", "upper"]].isna().all()
    assert raw_labels(fit)[0]["odds"].dtype == np.bool_
    number = bd.summary(fit, variables=("defined",), units=units).loc["through"]
    assert number[["sd", "lower", "upper"]].notna().all()
