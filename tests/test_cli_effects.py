"""``bayesdyn effects``: the tables of bayesdyn.effects, printed and written, and bad input refused."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayesdyn import effects as ef
from bayesdyn.artefacts import read_tree, write_dataset
from bayesdyn.cli.app import build_app
from drawn_fits import drawn_fit


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "fit.nc"
    write_dataset(drawn_fit(draws=20), path, "fit")
    return path


def call(*arguments):
    return CliRunner().invoke(build_app(), ["effects", *map(str, arguments)])


def written(tmp_path, *arguments):
    done = call(*arguments, "--out", tmp_path / "e.csv")
    assert done.exit_code == 0, done.output
    return done, pd.read_csv(tmp_path / "e.csv")


CALLS = {
    "total": (
        ("--cause", "empathy", "--outcome", "self_negative", "--at", "rapport=1,phase=0.5"),
        lambda fit, units: ef.effects(
            fit, "empathy", "self_negative", at={"rapport": 1, "phase": 0.5}, units=units
        ),
    ),
    "slopes": (
        ("--path", "disclosure ~ empathy", "--at", "rapport=-2:2,phase=0"),
        lambda fit, units: ef.simple_slopes(
            fit, "disclosure ~ empathy", at={"rapport": (-2, 2), "phase": 0}, units=units
        ),
    ),
    "impulse": (
        ("--shock", "rapport", "--horizon", "3", "--response", "generalised"),
        lambda fit, units: ef.impulse_response(fit, "rapport", horizon=3, kind="generalised", units=units),
    ),
    "contrast": (
        ("--expression", "max(de, 0)", "--expression", "de / `rapport ~ empathy`"),
        lambda fit, units: ef.contrast(fit, "max(de, 0)", "de / `rapport ~ empathy`", units=units),
    ),
}


@pytest.mark.parametrize("units", ["standard", "raw"])
@pytest.mark.parametrize("kind", CALLS)
def test_a_table_is_that_of_the_function(file, tmp_path, kind, units):
    options, function = CALLS[kind]
    _, table = written(tmp_path, file, "--kind", kind, "--units", units, *options)
    expected = function(read_tree(file, "fit"), units)
    more = [name for name in ("over", "kind", "unstable_share") if name in expected.attrs]
    told = ["units", *more, "ci_prob", "ci_kind"]
    assert list(table.columns) == [*expected.columns, *told]
    for name in told:
        assert (table[name] == expected.attrs[name]).all()
    numbers = expected.select_dtypes("number").columns
    np.testing.assert_allclose(table[numbers], expected[numbers], rtol=1e-12)


@pytest.mark.parametrize("kind", ["standardised", "dyads"])
def test_kinds_without_raw_units(file, tmp_path, kind):
    _, table = written(tmp_path, file, "--kind", kind)
    function = ef.standardised if kind == "standardised" else ef.dyad_paths
    np.testing.assert_allclose(table["mean"], function(read_tree(file, "fit"))["mean"])


def test_total_is_told_where_nothing_is_asked(file, tmp_path):
    done, table = written(tmp_path, file)
    assert set(table["kind"]) == {"total", "direct", "indirect", "route"}
    assert "empathy -> rapport -> disclosure" in done.stdout


def test_regions_of_every_moderated_slope(file, tmp_path):
    _, table = written(tmp_path, file, "--kind", "regions", "--between=-2:2")
    fit = read_tree(file, "fit")
    own = table[(table["path"] == "disclosure ~ empathy") & (table["moderator"] == "rapport")]
    found = ef.johnson_neyman(fit, "disclosure ~ empathy", "rapport", between=(-2, 2)).regions
    if found.empty:
        assert own["sign"].tolist() == ["none"]
    else:
        np.testing.assert_allclose(own[["start", "stop"]], found[["start", "stop"]])
    assert set(zip(table["path"], table["moderator"], strict=True)) >= {
        ("disclosure ~ empathy", "phase"),
        ("self_negative ~ empathy", "lag(rapport)"),
    }


def test_bands_are_those_of_every_slope_along_its_moderators(file, tmp_path):
    fit, options = read_tree(file, "fit"), ("--between=-1:2", "--at", "phase=0.5", "--ci-prob", "0.8")
    path = "disclosure ~ empathy"
    _, table = written(tmp_path, file, "--kind", "bands", "--path", path, "--moderator", "rapport", *options)
    found = ef.johnson_neyman(fit, path, "rapport", at={"phase": 0.5}, between=(-1, 2), ci_prob=0.8)
    np.testing.assert_allclose(table[list(found.band.columns)], found.band)
    assert set(table["path"]) == {path}
    assert set(table["at"]) == {"phase = 0.5"}
    _, every = written(tmp_path, file, "--kind", "bands")
    assert len(every) == 401 * len(every[["path", "moderator"]].drop_duplicates())
    assert {("disclosure ~ empathy", "phase"), ("self_negative ~ empathy", "lag(rapport)")} <= set(
        zip(every["path"], every["moderator"], strict=True)
    )


def test_several_kinds_have_a_file_each(file, tmp_path):
    done = call(file, "--kind", "slopes", "--kind", "dyads,total", "--out", tmp_path / "e.csv")
    assert done.exit_code == 0, done.output
    assert sorted(one.name for one in tmp_path.iterdir()) == ["e_dyads.csv", "e_slopes.csv", "e_total.csv"]
    assert [line for line in done.stdout.splitlines() if line.endswith(":")] == [
        "slopes:",
        "dyads:",
        "total:",
    ]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "Equal-tailed 50 % intervals; units: standard; over: typical."),
        (("--units", "raw", "--over", "dyads"), "Equal-tailed 50 % intervals; units: raw; over: dyads."),
        (
            ("--kind", "standardised"),
            "Equal-tailed 50 % intervals; units: within-session sd; SDs from: model.",
        ),
    ],
)
def test_a_table_says_what_its_intervals_are(file, tmp_path, options, line):
    done, table = written(tmp_path, file, "--ci-prob", "0.5", *options)
    assert done.stdout.splitlines()[0] == line
    assert (table["ci_prob"] == 0.5).all()
    assert (table["ci_kind"] == "eti").all()


@pytest.mark.filterwarnings("default::bayesdyn.errors.BayesdynWarning")
def test_responses_that_do_not_die_out_are_told_with_their_share(tmp_path):
    fit = drawn_fit(draws=10)
    posterior = fit["posterior"].to_dataset()
    posterior["path"].loc[{"path_name": "empathy ~ lag(empathy)", "draw": 0}] = 1.5
    fit["posterior"] = posterior
    write_dataset(fit, tmp_path / "wild.nc", "fit")
    done, table = written(tmp_path, tmp_path / "wild.nc", "--kind", "impulse", "--horizon", "2")
    assert done.stdout.splitlines()[0] == (
        "Equal-tailed 95 % intervals; units: standard; response: plain; "
        "draws without a stationary state: 10 %."
    )
    assert done.stderr.count("In 10 % of the draws impulse responses do not die out.") == 1
    assert (table["unstable_share"] == 0.1).all()


def test_a_fit_is_not_written_over_by_what_is_told_of_it(tmp_path):
    path = tmp_path / "fit_total.nc"
    write_dataset(drawn_fit(draws=4), path, "fit")
    before = path.read_bytes()
    (tmp_path / "link.nc").symlink_to(path)
    for out, options in (
        (path, ()),
        (tmp_path / "link.nc", ()),
        (tmp_path / "fit.nc", ("--kind", "total,slopes")),
    ):
        done = call(path, *options, "--out", out)
        assert done.exit_code == 2
        assert "it is read, and would be written over" in done.stderr
        assert path.read_bytes() == before


def test_a_folder_is_no_file_for_several_kinds(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(file, "--kind", "total,slopes", "--out", ".")
    assert done.exit_code == 2
    assert "it is a folder" in done.stderr
    assert "Traceback" not in done.output


BAD = {
    "no kind": (("--kind", ""), "there is no kind. The kinds are total"),
    "an unknown construct": (("--cause", "empaty"), "Did you mean 'empathy'"),
    "no expression": (("--kind", "contrast"), "there is no expression"),
    "no raw unit": (
        ("--kind", "contrast", "--expression", "de - se", "--units", "raw"),
        "'de - se' has no raw unit",
    ),
    "an unknown unit": (("--units", "row"), "units 'row' is unknown"),
    "an unknown slope": (("--kind", "regions", "--path", "disclosure ~ x"), "no slope of this model"),
    "no moderator of that name": (("--kind", "regions", "--moderator", "fase"), "Did you mean 'phase'"),
    "several places": (("--at", "rapport=-1:1"), "several are for --kind slopes"),
    "a second kind that cannot be told": (("--kind", "total,contrast"), "there is no expression"),
}


@pytest.mark.parametrize(("options", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_error_with_exit_code_2_and_no_file(file, tmp_path, options, words):
    done = call(file, *options, "--out", tmp_path / "e.csv")
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
