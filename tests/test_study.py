"""A whole study on two sample sessions, with scripted ratings and tiny settings; and the demonstration."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import bayesdyn as bd
from bayesdyn.cli.app import build_app
from bayesdyn.demo import repeat_says, run_demo
from bayesdyn.errors import BayesdynWarning, InputError
from bayesdyn.ratings.servers.scripted import Script, ScriptedServer
from bayesdyn.study.layout import init_study
from bayesdyn.study.run import run_study

# These studies have few dyads; that a fit warns of them is tested in tests/fitting.
pytestmark = pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")

FILES = {
    "exchanges.parquet", "ratings.parquet", "agreement.csv", "measures.nc", "fit.nc", "fit_naive.nc",
    "claims.csv", "sensitivity.json", "report.html", "manifest.json",
}  # fmt: skip
PANEL = """name: scripted
raters:
  - {{name: one, model: scripted, base_url: "{url}", prompt: rubric, labels: words}}
  - {{name: two, model: scripted, base_url: "{url}", prompt: plain, labels: words}}
"""
MODEL = '''[model]
name = "small"
paths = """
disclosure ~ de*empathy + lag(disclosure)
disclosure ~ (1 | dyad)
"""
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
[claims.a]
says = "Empathy raises disclosure"
holds = "de > 0"
'''
STUDY = """[study]
name = "tiny"
random_seed = 3
[transcripts]
path = "transcripts"
ids = "{dyad}_{session}"
[ratings]
panel = "scripted"
constructs = ["empathy", "disclosure"]
[measures]
draws = 60
[fit]
model = "small"
draws = 20
tune = 20
chains = 2
[sensitivity]
factors = [0, 1]
draws = 20
tune = 20
[report]
out = "reports"
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory, root) -> Path:
    folder = tmp_path_factory.mktemp("study")
    init_study(folder)
    for name in ("anna_1", "bela_1"):
        shutil.copy(root / "reports" / "sample" / "transcripts" / f"{name}.txt", folder / "transcripts")
    (folder / "models" / "small.toml").write_text(MODEL)
    (folder / "study.toml").write_text(STUDY)
    with ScriptedServer() as server:
        (folder / "scoring" / "panels" / "scripted.yaml").write_text(PANEL.format(url=server.base_url))
        done = run_study(folder, progress=False)
    assert not any(outcome.reused for outcome in done.outcomes)
    return folder


def test_a_study_leaves_every_artefact_whole(study):
    out = study / "reports"
    assert {file.name for file in out.iterdir()} == FILES | {"README.md"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Empathy raises disclosure" in page
    assert '<section id="responses">' in page
    exchanges = pd.read_parquet(out / "exchanges.parquet")
    assert not any(text in page for text in exchanges["client_text"])
    assert str(study) not in page


def test_the_manifest_links_each_stage_to_its_inputs(study):
    stages = json.loads((study / "reports" / "manifest.json").read_text())["stages"]
    assert list(stages) == [
        "read", "rate", "agree", "measure", "fit", "fit_naive", "claims", "sensitivity", "report",
    ]  # fmt: skip
    assert stages["rate"]["inputs"]["exchanges"] == stages["read"]["content"]
    assert stages["fit"]["inputs"]["measures"] == stages["measure"]["content"]
    assert stages["fit"]["settings"]["measurement"] == "known"
    assert stages["fit_naive"]["settings"]["measurement"] == "none"
    assert str(study) not in json.dumps(stages)


def test_a_second_run_reuses_everything(study):
    again = run_study(study, progress=False)
    assert all(outcome.reused for outcome in again.outcomes)


def test_a_changed_claim_redoes_what_depends_on_the_model_and_no_more(study, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    model = copy / "models" / "small.toml"
    model.write_text(model.read_text() + "# a comment changes nothing\n")
    assert all(outcome.reused for outcome in run_study(copy, progress=False).outcomes)
    (copy / "reports" / "claims.csv").unlink()
    redone = [outcome.stage for outcome in run_study(copy, progress=False).outcomes if not outcome.reused]
    assert redone == ["claims"]


def test_the_command_tells_each_stage(study):
    done = CliRunner().invoke(build_app(), ["run", str(study)])
    assert done.exit_code == 0
    assert done.stderr.count("reused") == 9
    assert done.stdout.strip() == str(study / "reports" / "report.html")


def test_a_model_that_names_what_is_not_rated_is_told_before_rating(study, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    model = copy / "models" / "small.toml"
    model.write_text(model.read_text().replace("empathy", "empaty"))
    with pytest.raises(InputError, match="Did you mean 'empathy'"):
        run_study(copy, tmp_path / "out", progress=False)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"exchanges.parquet", "manifest.json"}


def test_a_study_whose_budget_ends_stops_before_it_measures(study, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(study, copy, ignore=shutil.ignore_patterns("*.sqlite*", "reports"))
    with ScriptedServer(Script(usage=(500, 1))) as server:
        text = PANEL.format(url=server.base_url).replace("words}", "words, price: {input: 1}}")
        (copy / "scoring" / "panels" / "scripted.yaml").write_text(text)
        file = (copy / "study.toml").read_text()
        (copy / "study.toml").write_text(file.replace("[ratings]", "[ratings]\nmax_cost = 0.01"))
        with (
            pytest.warns(BayesdynWarning, match="max_cost"),
            pytest.raises(InputError, match=r"before all is rated.*\n.*Raise max_cost"),
        ):
            run_study(copy, tmp_path / "out", progress=False)
        assert 0 < server.requests <= 2 * 20
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"exchanges.parquet", "manifest.json"}


def test_what_deidentifies_is_looked_for_before_any_work(study, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    file = (copy / "study.toml").read_text()
    (copy / "study.toml").write_text(file.replace("[ratings]", '[ratings]\ndeidentify = "nowhere:hide"'))
    with pytest.raises(InputError, match=r"\[ratings\] deidentify.*cannot be imported"):
        run_study(copy, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_an_out_folder_that_cannot_be_written_is_told_before_any_work(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write in"):
        run_study(study, tmp_path / "file" / "out", progress=False)


def test_an_unknown_example_is_told():
    with pytest.raises(InputError, match="Use sample"):
        bd.load_example("smaple")


def test_the_demonstration_leaves_another_study_alone(tmp_path):
    init_study(tmp_path)
    with pytest.raises(InputError, match="another study"):
        run_demo(tmp_path, progress=False)


@pytest.mark.slow
def test_the_demonstration_runs_and_reuses(tmp_path):
    done = run_demo(tmp_path / "demo", progress=False)
    assert {file.name for file in done.out.iterdir()} >= FILES
    again = run_demo(tmp_path / "demo", progress=False)
    assert all(outcome.reused for outcome in again.outcomes)
    said = repeat_says(tmp_path / "demo", progress=False)
    assert "mean absolute difference" in said or said.startswith("No session was rated live")


def test_the_example_brings_each_stage():
    example = bd.load_example("sample")
    assert len(example.exchanges) == 220
    assert example.fit["posterior"]["path"].sizes["path_name"] >= 7
    assert set(example.measures["construct"].values) >= {"empathy", "rapport", "disclosure"}
    assert list(example.sensitivity.table["factor"]) == [0.0, 0.5, 1.0, 1.5, 2.0]
