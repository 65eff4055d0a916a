"""What a fit's data and model make of each other is said once, to Python or to the shell."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import bayesdyn as bd
from bayesdyn.artefacts import write_dataset
from bayesdyn.cli.app import build_app
from bayesdyn.errors import BayesdynError, DataWarning
from bayesdyn.fitting.drawing import Reference
from bayesdyn.fitting.folds import kfold
from bayesdyn.fitting.propagated import fit_propagated
from bayesdyn.fitting.run import Settings
from bayesdyn.structure.problem import prepare

MODEL = "[model]\npaths = '''\ndisclosure ~ empathy + lag(disclosure) + (1 | dyad)\n'''\n"


class ReachedError(BayesdynError):
    """Stands for the draws: the warning comes before them."""


@pytest.fixture(autouse=True)
def no_draws(monkeypatch):
    def caught(*_):
        raise ReachedError("the engine was reached")

    monkeypatch.setattr("bayesdyn.engines.pymc_engine.compile_problem", caught)


@pytest.fixture(scope="module")
def spec():
    return bd.load_model(MODEL)


@pytest.fixture(scope="module")
def few(spec):
    """Three dyads of one session: one level, and few for what varies."""
    return bd.simulate(spec, dyads=3, sessions=1, exchanges=4, random_seed=1)[0]


def test_a_fit_warns_once_of_all_that_the_problem_notes(spec, few):
    notes = prepare(few, spec).notes
    assert len(notes) == 2
    with pytest.warns(DataWarning) as told, pytest.raises(ReachedError):
        bd.fit(few, spec, random_seed=1)
    [warning] = told
    assert str(warning.message).splitlines() == list(notes)
    assert warning.filename == __file__  # the caller's line, not ours
    # What the measures say of themselves was said when they were made.
    assert json.loads(few.attrs["notes"])[0] not in str(warning.message)


def test_sessions_without_a_score_of_any_outcome_are_named(spec):
    measures, _ = bd.simulate(spec, dyads=12, sessions=2, exchanges=3, random_seed=1)
    session = measures["dyad"].astype(str) + ":" + measures["session"].astype(str)
    labels = np.unique(session)
    for many, said in ((1, f"Session {labels[3]} has"), (2, f"2 sessions (the first is {labels[3]}) have")):
        lost = session.isin(labels[3 : 3 + many]) & (measures["construct"] == "disclosure")
        [note] = prepare(measures.assign(score=measures["score"].where(~lost)), spec).notes
        assert note.startswith(f"{said} no score of any outcome")


def test_a_fit_of_which_nothing_is_noted_warns_of_nothing(spec):
    many, _ = bd.simulate(spec, dyads=12, sessions=2, exchanges=3, random_seed=1)
    assert prepare(many, spec).notes == ()
    with pytest.raises(ReachedError):
        bd.fit(many, spec, random_seed=1)


def test_a_refit_is_silent(spec, few, monkeypatch):
    """Warnings are errors here: sweeps, folds and imputations prepare their problems without a word."""
    monkeypatch.setattr("bayesdyn.fitting.propagated.imputation_places", lambda *_: [0, 1])
    settings = Settings(draws=4, tune=4, chains=1, random_seed=1)
    assert prepare(few, spec).notes
    with pytest.raises(ReachedError):
        fit_propagated(few, spec, settings, Reference("jax"), 2)
    with pytest.raises(ReachedError):
        kfold(few, spec, folds=3, random_seed=1)


# Outside of pytest a warning is no error: the shell is to see it as a sentence.
@pytest.mark.filterwarnings("default::bayesdyn.errors.DataWarning")
def test_the_shell_tells_each_note_plainly_on_stderr(spec, few, tmp_path):
    write_dataset(few, tmp_path / "measures.nc", "measures")
    (tmp_path / "model.toml").write_text(MODEL)
    files = {"--spec": "model.toml", "--out": "fit.nc"}
    given = [part for option, file in files.items() for part in (option, str(tmp_path / file))]
    done = CliRunner().invoke(
        build_app(), ["fit", str(tmp_path / "measures.nc"), *given, "--random-seed", "1"]
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("Note: ")]
    assert told == [f"Note: {note}" for note in prepare(few, spec).notes]
    assert "Warning" not in done.stderr
    assert done.stdout == ""
