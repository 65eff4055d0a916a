"""The command line: quick help, and every bad input an exit code 2 with its remedy and no traceback."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from bayesdyn.artefacts import write_table
from bayesdyn.cli.app import build_app
from bayesdyn.tables import check_exchanges

COMMANDS = [
    *(["read"], ["rate"], ["agree"], ["measure"], ["fit"], ["claims"], ["sensitivity"], ["plan"], ["report"]),
    ["effects"],
    *(
        ["simulate"],
        ["simulate-ratings"],
        ["init"],
        ["run"],
        ["demo"],
        ["local", "fetch"],
        ["local", "serve"],
    ),
]
HEAVY = ("pandas", "xarray", "pandera", "openai", "pymc", "jax", "arviz", "matplotlib", "scipy", "pydantic")


def call(*arguments):
    return CliRunner().invoke(build_app(), [str(part) for part in arguments])


@pytest.fixture
def exchanges(tmp_path):
    frame = pd.DataFrame(
        {"dyad": ["a"], "session": ["1"], "t": [0], "therapist_text": ["How?"], "client_text": ["Well."]}
    )
    path = tmp_path / "exchanges.parquet"
    write_table(check_exchanges(frame), path, "exchanges")
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command):
    done = call(*command, "--help")
    assert done.exit_code == 0
    assert f"Example: bayesdyn {' '.join(command)}" in " ".join(done.output.split())


def test_help_imports_nothing_heavy():
    code = (
        "import sys, json\n"
        "from typer.testing import CliRunner\n"
        "from bayesdyn.cli.app import build_app\n"
        "done = CliRunner().invoke(build_app(), ['--help'])\n"
        "assert done.exit_code == 0\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == []


BAD = {
    "no such transcripts": ("read", "{dir}/nothing.csv"),
    "an empty file": ("read", "{dir}/empty.csv"),
    "a wrong encoding": ("read", "{dir}/latin.csv"),
    "missing columns": ("read", "{dir}/columns.csv"),
    "one speaker only": ("read", "{dir}/one.csv"),
    "no pair": ("read", "{dir}/one.csv", "--speakers", "therapist"),
    "names that do not match": ("read", "{dir}/folder", "--ids", "{{dyad}}_{{session}}"),
    "an unknown codebook": ("rate", "{dir}/exchanges.parquet", "--codebook", "chen2027"),
    "an unknown rater": ("rate", "{dir}/exchanges.parquet", "--raters", "nobody"),
    "an unknown construct": ("rate", "{dir}/exchanges.parquet", "--constructs", "empaty"),
    "no consent": ("rate", "{dir}/exchanges.parquet", "--panel", "openai"),
    "ratings that are a folder": ("measure", "{dir}/folder"),
    "human ratings without columns": ("agree", "{dir}/columns.csv"),
    "an artefact of another kind": ("fit", "{dir}/exchanges.parquet", "--random-seed", "1"),
    "a fit that is not there": ("claims", "{dir}/fit.nc"),
    "an unknown kind of effect": ("effects", "{dir}/fit.nc", "--kind", "slops"),
    "an option of another kind": ("effects", "{dir}/fit.nc", "--kind", "dyads", "--shock", "empathy"),
    "raw units of what has none": ("effects", "{dir}/fit.nc", "--kind", "dyads", "--units", "raw"),
    "a range that is none": ("effects", "{dir}/fit.nc", "--kind", "regions", "--between", "3"),
    "a cost that is no pair": ("plan", "{dir}/fit.nc", "y ~ x", "--budget", "5", "--cost", "2"),
    "an unknown model": ("simulate", "chen2027", "--random-seed", "1"),
    "a model with a fault": ("simulate", "{dir}/model.toml", "--random-seed", "1"),
    "an option that is no number": ("simulate", "chen2026", "--reliability", "high", "--random-seed", "1"),
    "lengths of no law": ("simulate", "chen2026", "--random-seed", "1", "--exchanges", "mean=5"),
    "an unknown spread": ("simulate", "chen2026", "--random-seed", "1", "--spread", "dyad=1"),
    "a spread said twice": (
        *("simulate", "chen2026", "--random-seed", "1"),
        *("--spread", "dyad_sd=1", "--spread", "dyad_sd[disclosure ~ 1]=1"),
    ),
    "a covariate that is not there": (
        *("simulate-ratings", "chen2026", "--random-seed", "1", "--covariate", "age=normal@dyad"),
    ),
    "points that are no range": ("simulate-ratings", "chen2026", "--random-seed", "1", "--points", "5"),
    "a study that is not there": ("run", "{dir}/study.toml"),
    "transcripts that are not there": ("init", "{dir}/study", "--transcripts", "{dir}/nothing"),
    "unknown weights": ("local", "fetch", "gpt9"),
    "an unwritable folder": ("simulate", "chen2026", "--random-seed", "1", "--out", "{dir}/empty.csv/m.nc"),
}


@pytest.fixture
def bad(tmp_path, exchanges):
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "latin.csv").write_bytes("dyad,session,speaker,text\na,1,T,Gr\xfc\xdfe\n".encode("latin-1"))
    (tmp_path / "columns.csv").write_text("dyad,session,who\na,1,T\n")
    (tmp_path / "one.csv").write_text("dyad,session,speaker,text\na,1,T,private words\na,1,T,more\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "session-one.txt").write_text("T: How?\nC: Well.\n")
    (tmp_path / "model.toml").write_text('[model]\npaths = "disclosure ~ empathy + lagg(disclosure)"\n')
    return tmp_path


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD.keys())
def test_bad_input_is_told_with_a_remedy_and_exit_code_2(bad, arguments):
    before = sorted(file.name for file in bad.iterdir())
    out = () if "--out" in arguments or arguments[0] in ("run", "init", "local") else ("--out", bad / "made")
    done = call(*(part.format(dir=bad) for part in arguments), *out, *_ledger(arguments, bad))
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert done.stdout == ""
    assert "\n  - " in done.stderr
    assert "Traceback" not in done.stderr
    assert "private words" not in done.stderr
    assert sorted(file.name for file in bad.iterdir()) == before


INPUTS = {
    "read": ("read", "{in}"),
    "agree": ("agree", "{in}"),
    "agree, human": ("agree", "{dir}/exchanges.parquet", "--human", "{in}"),
    "measure": ("measure", "{in}"),
    "measure, exchanges": ("measure", "{dir}/exchanges.parquet", "--exchanges", "{in}"),
    "rate": ("rate", "{dir}/exchanges.parquet", "--out", "{dir}/exchanges.parquet"),
    "ledger export": ("ledger", "export", "{dir}/l.sqlite", "{dir}/exchanges.parquet"),
    "fit": ("fit", "{in}", "--random-seed", "1"),
    "claims": ("claims", "{in}"),
    "sensitivity": ("sensitivity", "{in}"),
    "plan": ("plan", "{in}", "y ~ x", "--budget", "5", "--cost", "llm_rating=1"),
    "report": ("report", "{dir}/fit.nc", "--plan", "{in}"),
    "simulate": ("simulate", "{in}", "--random-seed", "1"),
    "simulate-ratings": ("simulate-ratings", "{in}", "--random-seed", "1"),
}


@pytest.mark.parametrize("arguments", INPUTS.values(), ids=INPUTS.keys())
def test_no_command_writes_over_what_it_reads(exchanges, arguments):
    given = exchanges if "{in}" not in arguments else exchanges.with_name("given.txt")
    given.write_bytes(exchanges.read_bytes())
    before = given.read_bytes()
    places = {"dir": exchanges.parent, "in": given}
    out = () if "--out" in arguments else ("--out", given)
    done = call(*(part.format(**places) for part in arguments), *out, *_ledger(arguments, exchanges.parent))
    assert done.exit_code == 2, done.output
    assert "it is read, and would be written over" in done.stderr
    assert given.read_bytes() == before


def test_the_truth_has_a_file_of_its_own(tmp_path):
    same = tmp_path / "m.nc"
    done = call("simulate", "chen2026", "--random-seed", "1", "--out", same, "--truth-out", same)
    assert done.exit_code == 2
    assert "--truth-out: it is" in done.stderr
    assert not same.exists()


def test_fit_has_the_defaults_of_the_function_and_takes_its_imputations():
    from inspect import signature

    from bayesdyn.cli.models import fit as command
    from bayesdyn.fitting.fit import fit

    ours, theirs = signature(command).parameters, signature(fit).parameters
    shared = set(ours) & set(theirs) - {"measures", "spec", "random_seed"}
    assert {"imputations", "draws", "target_accept", "sampler", "device"} <= shared
    assert {name: ours[name].default for name in shared} == {name: theirs[name].default for name in shared}


@pytest.mark.parametrize("options", [("--random-seed", "99999999999999999999"), ("--target-accept", "2")])
def test_settings_that_no_sampler_takes_are_told(tmp_path, options):
    measures = tmp_path / "m.nc"
    done = call(
        *("simulate", "chen2026", "--dyads", "3", "--sessions", "1", "--exchanges", "5"),
        *("--random-seed", "3", "--out", measures),
    )
    assert done.exit_code == 0, done.output
    seed = () if "--random-seed" in options else ("--random-seed", "1")
    done = call("fit", measures, "--engine", "pymc", *seed, *options, "--out", tmp_path / "fit.nc")
    assert done.exit_code == 2, done.output
    assert options[0].strip("-").replace("-", "_") + " is " in done.stderr
    assert not (tmp_path / "fit.nc").exists()


def _ledger(arguments, folder):
    return ("--ledger", folder / "ledger.sqlite") if arguments[0] == "rate" else ()


def test_an_artefact_of_another_version_is_told(exchanges, monkeypatch):
    monkeypatch.setattr("bayesdyn.artefacts.FORMAT", 99)
    done = call("rate", exchanges, "--out", exchanges.with_name("ratings.parquet"))
    assert done.exit_code == 2
    assert "layout version 1, this bayesdyn reads 99" in done.stderr


def test_the_installed_command_exits_with_2_and_no_traceback(tmp_path):
    code = "import sys; from bayesdyn.cli.app import main; sys.argv[1:] = ['run', 'nothing.toml']; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "The study file nothing.toml cannot be used"
    assert "Traceback" not in done.stderr


def test_a_stop_says_how_to_go_on(tmp_path, monkeypatch):
    def stopped(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayesdyn.study.layout.init_study", stopped)
    done = call("init", tmp_path / "study")
    assert done.exit_code == 130
    assert "give the same command again" in done.stderr


def test_read_writes_exchanges_and_counts_the_rows(tmp_path):
    (tmp_path / "t.csv").write_text("dyad,session,speaker,text\na,1,T,How?\na,1,C,Well.\na,1,T,Bye.\n")
    done = call("read", tmp_path / "t.csv", "--out", tmp_path / "e.parquet")
    assert done.exit_code == 0
    assert "trailing_therapist" in done.stdout
    assert len(pd.read_parquet(tmp_path / "e.parquet")) == 1


def test_simulate_writes_measures_and_the_truth(tmp_path):
    done = call(
        *("simulate", "chen2026", "--dyads", "3", "--sessions", "1", "--exchanges", "5:6"),
        *("--reliability", "empathy=0.5,rapport=0.9", "--random-seed", "3"),
        *("--out", tmp_path / "m.nc", "--truth-out", tmp_path / "t.nc"),
    )
    assert done.exit_code == 0, done.output
    from bayesdyn.artefacts import read_dataset

    found = read_dataset(tmp_path / "m.nc", "measures")
    assert found["reliability"].sel(construct="empathy") == 0.5
    assert "path" in read_dataset(tmp_path / "t.nc", "truth")


def test_simulate_takes_lengths_spreads_covariates_and_gaps(tmp_path):
    model = tmp_path / "planned.toml"
    model.write_text(
        '[model]\nname = "planned"\npaths = """\ny ~ x + age + way\ny ~ (1 + x | dyad)\ny ~~ x\n"""\n'
        '[constructs]\ntherapist = ["x"]\n'
    )
    done = call(
        *("simulate", model, "--dyads", "4", "--sessions", "1,3,3", "--exchanges", "mean=5,sd=4"),
        *(
            "--spread",
            "dyad_sd[y ~ x]=0.4",
            "--spread",
            "residual_corr[y ~~ x]=-0.5",
            "--spread",
            "start_sd=1",
        ),
        *("--covariate", "age=normal@dyad", "--covariate", "way=near/far away@session"),
        *("--kappa-sd", "0.2", "--missing", "x=0.5", "--missing-exchanges", "0.1", "--random-seed", "3"),
        *("--out", tmp_path / "m.nc", "--truth-out", tmp_path / "t.nc"),
    )
    assert done.exit_code == 0, done.output
    from bayesdyn.artefacts import read_dataset

    found, truth = read_dataset(tmp_path / "m.nc", "measures"), read_dataset(tmp_path / "t.nc", "truth")
    assert set(found["way"].values) == {"near", "far away"}
    slope = {"dyad_effect": "y ~ x", "dyad_effect2": "y ~ x"}
    assert float(truth["dyad_cov"].sel(slope)) == pytest.approx(0.16)
    assert float(truth["cross_cov"].squeeze()) == pytest.approx(-0.4)
    assert (found["kappa_sd"] == 0.2).all()


def test_simulate_ratings_writes_ratings_and_the_truth(tmp_path):
    done = call(
        *("simulate-ratings", "chen2026", "--dyads", "3", "--sessions", "1", "--exchanges", "6"),
        *("--llms", "2", "--coders", "1", "--coded", "0.5", "--points", "1:5", "--floor", "disclosure=0.4"),
        *("--error-sd", "0.4", "--shared-error", "0.1", "--replicates", "2", "--replicate-sd", "0.2"),
        *("--random-seed", "3", "--out", tmp_path / "r.parquet", "--truth-out", tmp_path / "t.nc"),
    )
    assert done.exit_code == 0, done.output
    from bayesdyn.artefacts import read_dataset, read_table

    ratings = read_table(tmp_path / "r.parquet", "ratings")
    rows = ratings.groupby("rater").size()
    assert rows.to_dict() == {"coder1": 9 * 6, "llm1": 18 * 6 * 2, "llm2": 18 * 6 * 2}
    assert set(ratings["value"]) <= {1, 2, 3, 4, 5}
    assert (read_dataset(tmp_path / "t.nc", "truth")["error_sd"] == 0.4).all()


def test_init_lays_out_a_study_once(tmp_path):
    study = tmp_path / "study"
    done = call("init", study)
    assert done.exit_code == 0
    assert f"bayesdyn run {study / 'study.toml'}" in done.stdout
    found = {file.name for file in study.iterdir()}
    assert found == {"models", "scoring", "reports", "transcripts", "study.toml"}
    again = call("init", study)
    assert again.exit_code == 2
    assert "never overwritten" in again.stderr
