"""Assembly, summaries, diagnostics and claims on a fit whose draws are known."""

import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayesdyn as bd
from bayesdyn.artefacts import read_tree, write_dataset
from bayesdyn.cli.app import build_app
from bayesdyn.errors import ArtefactError, EngineError, InputError
from bayesdyn.fitting.claims import prior_values, verdict
from bayesdyn.fitting.diagnostics import diagnose
from bayesdyn.fitting.fits import measures_of, spec_of
from bayesdyn.structure.problem import prepare
from synthetic import synthetic_fit


@pytest.fixture(scope="module")
def made():
    return synthetic_fit()


def test_a_fit_has_the_names_and_dims_of_the_public_face(made):
    fit, _, _ = made
    posterior = fit["posterior"].to_dataset()
    assert posterior["path"].dims == ("chain", "draw", "path_name")
    assert {"disclosure ~ empathy", "self_negative ~ empathy:rapport", "disclosure ~ lag(disclosure)"} <= set(
        posterior["path_name"].values
    )
    assert posterior["defined"].dims == ("chain", "draw", "quantity")
    assert posterior["residual_cov"].dims == ("chain", "draw", "outcome", "outcome2")
    assert list(posterior["outcome"].values) == ["disclosure", "self_negative", "outward_negative"]
    assert list(posterior["predictor"].values) == ["empathy", "exploration", "rapport"]
    written = posterior["path_origin"].values == "written"
    assert written.sum() == 27


def test_definitions_are_computed_per_draw(made):
    fit, _, _ = made
    path = fit["posterior"].to_dataset()["path"].reset_coords(drop=True)
    by_hand = path.sel(path_name="self_negative ~ empathy") - path.sel(path_name="outward_negative ~ empathy")
    np.testing.assert_allclose(
        fit["posterior"].to_dataset()["defined"].sel(quantity="empathy_contrast").values, by_hand.values
    )


def test_summary_states_its_interval_and_recovers_known_draws(made):
    fit, _, truth = made
    table = bd.summary(fit, ci_prob=0.9)
    assert table.attrs == {"ci_prob": 0.9, "ci_kind": "eti", "units": "standard"}
    row = table.loc["disclosure ~ empathy"]
    true = float(truth["path"].sel(path_name="disclosure ~ empathy"))
    assert abs(row["mean"] - true) < 4 * 0.05 / np.sqrt(4000)
    # A normal's 90 % interval is 3.29 SD wide; 4,000 draws know it to within a twentieth.
    assert (row["upper"] - row["lower"]) / 0.05 == pytest.approx(3.29, rel=0.05)
    assert row["prob_positive"] == pytest.approx(0.99865, abs=0.003)  # Phi(3)


def test_raw_units_are_points_per_point(made):
    fit, _, _ = made
    standard = bd.summary(fit, variables=("path",))
    raw = bd.summary(fit, variables=("path",), units="raw")
    scale = fit["constant_data"].to_dataset()["scale"]
    y, x = (float(scale.sel(construct=name)) for name in ("self_negative", "empathy"))
    r = float(scale.sel(construct="rapport"))
    name = "self_negative ~ empathy:rapport"
    assert raw.loc[name, "mean"] == pytest.approx(standard.loc[name, "mean"] * y / (x * r))
    phase = "self_negative ~ phase"
    assert raw.loc[phase, "mean"] == pytest.approx(standard.loc[phase, "mean"] * y)


def test_claims_are_told_beside_their_prior(made):
    fit, _, _ = made
    table = bd.check_claims(fit).set_index("claim")
    # Truth: both paths .15, SD .05: each draw is positive with probability .9987.
    assert table.loc["behaviour_raises_disclosure", "probability"] > 0.98
    assert table.loc["behaviour_raises_disclosure", "verdict"] == "supported"
    # Independent normals centred at zero: both positive in a quarter of the prior.
    assert table.loc["behaviour_raises_disclosure", "prior_probability"] == pytest.approx(0.25, abs=0.01)
    # |N(0, .5)| > .05 has probability .920.
    assert table.loc["rapport_moderates_empathy", "prior_probability"] == pytest.approx(0.920, abs=0.01)
    assert table.loc["rapport_itself_negligible", "verdict"] == "contradicted"


@pytest.mark.parametrize(
    ("probability", "expected"), [(0.95, "supported"), (0.05, "contradicted"), (0.5, "undecided")]
)
def test_verdicts_follow_the_threshold(probability, expected):
    assert verdict(probability, 0.95) == expected


def test_prior_values_follow_overrides():
    spec = bd.load_model("chen2026")
    narrow = bd.load_model(spec.text.replace("[priors]", '[priors]\nde = "normal(1, 0.01)"'))
    assert prior_values(narrow)["de"].mean() == pytest.approx(1.0, abs=0.001)
    assert prior_values(narrow)["dx"].std() == pytest.approx(0.5, abs=0.01)


def test_diagnostics_find_what_is_wrong(made):
    fit, _, _ = made
    assert diagnose(fit).ok
    broken = fit.copy(deep=True)
    stats = broken["sample_stats"].to_dataset()
    stats["diverging"][0, :7] = True
    posterior = broken["posterior"].to_dataset()
    posterior["path"][0, :, 0] += 1.0
    broken["sample_stats"], broken["posterior"] = xr.DataTree(stats), xr.DataTree(posterior)
    found = diagnose(broken)
    assert not found.ok
    assert found.divergences == 7
    assert found.worst == "path[disclosure ~ empathy]"
    assert len(found.problems) == len(found.advice) >= 3


def test_the_command_line_prints_the_verdict_and_what_the_intervals_are(made, tmp_path, monkeypatch):
    fit, measures, _ = made
    write_dataset(measures, tmp_path / "m.nc", "measures")
    asked = {}
    monkeypatch.setattr("bayesdyn.fitting.fit.fit", lambda *given, **named: asked.update(named) or fit)
    arguments = ["fit", tmp_path / "m.nc", "--random-seed", 1, "--imputations", 5, "--out", tmp_path / "f.nc"]
    done = CliRunner().invoke(build_app(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert asked["imputations"] == 5
    lines = done.stdout.splitlines()
    assert lines[0] == "Equal-tailed 95 % intervals; units: standard."
    found = diagnose(fit)
    least = min(found.ess_bulk, found.ess_tail)
    assert lines[-1] == f"Diagnostics: ok, R-hat {found.rhat:.3f}, least ESS {least:.0f}."


def test_a_fit_survives_its_file_and_gives_its_measures_back(made, tmp_path):
    fit, measures, _ = made
    write_dataset(fit, tmp_path / "fit.nc", "fit")
    again = read_tree(tmp_path / "fit.nc", "fit")
    assert bd.summary(again).equals(bd.summary(fit))
    assert spec_of(again).labels == bd.load_model("chen2026").labels
    first, second = prepare(measures, spec_of(fit)), prepare(measures_of(again), spec_of(again))
    np.testing.assert_allclose(first.score, second.score)
    np.testing.assert_allclose(first.se, second.se)
    np.testing.assert_array_equal(first.covariate, second.covariate)
    assert first.sessions == second.sessions
    with pytest.raises(ArtefactError, match="holds fit, not measures"):
        read_tree(tmp_path / "fit.nc", "measures")
    assert json.loads(again.attrs["inputs"])["measures"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"ci_prob": 2}, "ci_prob"), ({"units": "points"}, "units"), ({"variables": ("paths",)}, "paths")],
)
def test_summary_refuses_what_it_cannot_do(made, arguments, word):
    with pytest.raises(InputError, match=word):
        bd.summary(made[0], **arguments)


def test_fit_refuses_unknown_settings_all_at_once(made):
    _, measures, _ = made
    with pytest.raises(EngineError) as caught:
        bd.fit(measures, bd.load_model("chen2026"), engine="stan", draws=0, chains=0, random_seed=1)
    assert {"engine", "draws", "chains"} <= set(str(caught.value).replace("'", " ").split())


CROSSED = """
[model]
name = "crossed"
paths = '''
disclosure ~ de*empathy + lag(disclosure)
disclosure ~ (1 + empathy | therapist) + (1 | dyad)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""


@pytest.fixture
def crossed(made):
    """A fit whose model has therapists too, their effects drawn."""
    fit, rng = made[0].copy(deep=True), np.random.default_rng(4)
    names = ["disclosure ~ 1", "disclosure ~ empathy"]
    posterior = fit["posterior"].to_dataset().assign_coords(
        therapist=["a", "b", "c"], therapist_effect=names, therapist_effect2=names
    )  # fmt: skip
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    posterior["therapist_cov"] = (
        ("chain", "draw", "therapist_effect", "therapist_effect2"),
        1 + 0.1 * rng.standard_normal((*shape, 2, 2)),
    )
    posterior["therapist_effects"] = (
        ("chain", "draw", "therapist", "therapist_effect"),
        rng.standard_normal((*shape, 3, 2)),
    )
    fit["posterior"] = xr.DataTree(posterior)
    fit.attrs["spec"] = json.dumps(CROSSED)
    return fit


def test_groups_of_a_covariate_are_judged_and_have_raw_units(crossed):
    assert diagnose(crossed).ok
    posterior = crossed["posterior"].to_dataset()
    posterior["therapist_cov"][0, :, 0, 0] += 1.0
    crossed["posterior"] = xr.DataTree(posterior)
    found = diagnose(crossed)
    assert found.worst == "therapist_cov[disclosure ~ 1, disclosure ~ 1]"
    assert not found.ok
    standard = bd.summary(crossed, variables=("therapist_cov", "therapist_effects"))
    raw = bd.summary(crossed, variables=("therapist_cov", "therapist_effects"), units="raw")
    scale = crossed["constant_data"].to_dataset()["scale"]
    y, x = (float(scale.sel(construct=name)) for name in ("disclosure", "empathy"))
    for name, factor in {
        "therapist_cov[disclosure ~ 1, disclosure ~ empathy]": y * y / x,
        "therapist_effects[b, disclosure ~ empathy]": y / x,
    }.items():
        assert raw.loc[name, "mean"] == pytest.approx(factor * standard.loc[name, "mean"])
    assert raw.loc["therapist_effects[b, disclosure ~ empathy]", "unit"] == (
        "points of disclosure per point of empathy"
    )


@pytest.mark.parametrize("draws", ["chains that stand still", "no number"])
def test_what_varies_and_cannot_be_judged_is_a_problem(made, draws):
    fit = made[0].copy(deep=True)
    posterior = fit["posterior"].to_dataset()
    posterior["path"][..., 0] = 0.0
    still = fit.copy()
    still["posterior"] = xr.DataTree(posterior.copy(deep=True))
    assert diagnose(still).ok
    if draws == "no number":
        posterior["path"][0, 3, 0] = np.nan
    else:
        posterior["path"][0, :, 0] = 1.0
    fit["posterior"] = xr.DataTree(posterior)
    found = diagnose(fit)
    assert not found.ok
    assert "path[disclosure ~ empathy]" in found.problems[0]
    if draws == "no number":
        assert "R-hat or ESS is no number, although draws vary, of 1:" in found.problems[0]
        assert found.advice[0].endswith("raise tune and draws.")


def test_a_summary_of_nothing_is_an_empty_table(made):
    fit = made[0].copy(deep=True)
    fit["posterior"] = xr.DataTree(fit["posterior"].to_dataset().drop_vars("defined"))
    for units, more in (("standard", []), ("raw", ["unit"])):
        for variables in ((), ("defined",)):
            table = bd.summary(fit, variables=variables, units=units)
            whole = bd.summary(made[0], units=units)
            assert table.empty
            assert list(table.columns) == list(whole.columns)
            assert [*whole.columns[8:]] == more
            assert table.attrs == whole.attrs


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"target_accept": float("nan")}, "target_accept is nan. Give a rate between 0 and 1"),
        ({"target_accept": 2.0}, "target_accept is 2"),
        ({"random_seed": -1}, "random_seed is -1. Use a whole number from 0 to 4294967295"),
        ({"random_seed": 2**32}, "random_seed is 4294967296"),
        ({"random_seed": 1.5}, "random_seed is 1.5"),
        ({"chains": 0, "draws": 3, "tune": 0}, "draws is 3"),
        ({"backend": "stan"}, "backend 'stan' is unknown"),
    ],
)
def test_fit_and_folds_refuse_the_same_settings(made, setting, words):
    measures, spec = made[1], bd.load_model("chen2026")
    with pytest.raises(EngineError) as of_fit:
        bd.fit(measures, spec, **{"random_seed": 1, **setting})
    with pytest.raises(InputError) as of_folds:
        bd.kfold(measures, spec, folds=2, **{"random_seed": 1, **setting})
    for caught in (of_fit, of_folds):
        assert words in str(caught.value)
    assert len(of_fit.value.faults) == len(setting)


def test_a_cut_posterior_has_no_likelihood(made):
    fit = made[0].copy(deep=True)
    fit.attrs["measurement"] = "propagated"
    for ask in (
        lambda: bd.log_likelihood(fit, random_seed=1),
        lambda: bd.loo_dyads(fit),
        lambda: bd.compare({"one": fit, "other": fit}),
    ):
        with pytest.raises(InputError, match="no prior times likelihood"):
            ask()
