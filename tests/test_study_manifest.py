"""Reuse: a stage is made anew if and only if its inputs, settings, format or file changed."""

import json
from pathlib import Path

import pytest

from bayesdyn.artefacts import sha256_text, write_text
from bayesdyn.errors import InputError
from bayesdyn.study import manifest
from bayesdyn.study.manifest import OutFolder, Stage, check_out

WORDS: Stage[str] = Stage(
    "words", "words.txt", lambda value, path: write_text(path, value), Path.read_text, sha256_text
)


class Study:
    """Counts how often the one stage is made."""

    def __init__(self, out):
        self.out, self.made, self.lines = out, 0, []

    def run(self, inputs=None, settings=None, value="hello"):
        def make():
            self.made += 1
            return value

        folder = OutFolder(self.out, "s", self.lines.append)
        return folder.run(WORDS, inputs or {"a": "1"}, settings or {"n": 1}, make)


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "out")


def test_what_has_not_changed_is_reused(study):
    first, second = study.run(), study.run(value="another")
    assert study.made == 1
    assert first.value == second.value == "hello"
    assert first.content == second.content
    assert "reused" in study.lines[-1]


@pytest.mark.parametrize("change", [{"inputs": {"a": "2"}}, {"inputs": {"b": "1"}}, {"settings": {"n": 2}}])
def test_a_change_of_inputs_or_settings_makes_it_anew(study, change):
    study.run()
    study.run(**change)
    assert study.made == 2


def test_a_change_of_the_artefact_format_makes_it_anew(study, monkeypatch):
    study.run()
    monkeypatch.setattr(manifest, "FORMAT", 99)
    study.run()
    assert study.made == 2


def test_a_missing_or_altered_file_is_made_anew(study):
    study.run()
    (study.out / "words.txt").write_text("edited by hand")
    assert study.run().value == "hello"
    (study.out / "words.txt").unlink()
    study.run()
    assert study.made == 3


def test_a_damaged_manifest_costs_work_and_nothing_else(study):
    study.run()
    (study.out / "manifest.json").write_text("{")
    assert study.run().value == "hello"
    assert study.made == 2
    assert any("damaged" in line for line in study.lines)


def test_a_stage_that_is_interrupted_leaves_the_last_whole_file(study):
    study.run()

    def stopped():
        raise KeyboardInterrupt

    folder = OutFolder(study.out, "s", study.lines.append)
    with pytest.raises(KeyboardInterrupt):
        folder.run(WORDS, {"a": "9"}, {}, stopped)
    assert sorted(file.name for file in study.out.iterdir()) == ["manifest.json", "words.txt"]
    assert (study.out / "words.txt").read_text() == "hello"


def test_what_a_killed_run_had_half_written_goes(study):
    study.run()
    (study.out / ".words.txt.abc.part").write_text("hal")
    study.run(settings={"n": 3})
    assert not list(study.out.glob(".*.part"))


def test_the_manifest_says_what_each_file_was_made_from(study):
    study.run()
    stored = json.loads((study.out / "manifest.json").read_text())
    record = stored["stages"]["words"]
    assert stored["study"] == "s"
    assert record["inputs"] == {"a": "1"}
    assert record["settings"] == {"n": 1}
    assert record["sha256"] == sha256_text("hello")


def test_a_stage_left_out_takes_its_old_file_along(study):
    study.run()
    OutFolder(study.out, "s", study.lines.append).skip(WORDS, "no coders")
    assert not (study.out / "words.txt").exists()
    assert "no coders" in study.lines[-1]


def test_an_out_folder_that_cannot_be_written_is_told_first(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write in"):
        OutFolder(tmp_path / "file" / "out", "s", print)
    with pytest.raises(InputError, match="it is a folder"):
        check_out(tmp_path)
