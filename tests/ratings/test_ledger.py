"""The ledger: what is kept, and what is refused."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bayesdyn.errors import ArtefactError, InputError
from bayesdyn.ratings.answers.parse import Reading
from bayesdyn.ratings.ledgers.files import copy_ledger, open_ledger, seal_ledger
from bayesdyn.ratings.ledgers.ledger import Entry, Question

RATED = Reading((0.1, 0.9), 1.9, 0.05, "")
UNRATED = Reading(None, None, 0.9, "refusal")


def entry(number: int, reading: Reading = RATED) -> Entry:
    question = Question("empathy", "r", 0, f"passage{number}", "prompt", "book")
    return Entry(question, reading, "logprobs", "model", 0.5)


def test_what_was_added_is_found_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ratings.sqlite"
    with open_ledger(path) as ledger:
        ledger.add([entry(1), entry(2, UNRATED)], {"a": 1})
    with open_ledger(path, create=False) as ledger:
        keys = [entry(number).question.key for number in (1, 2, 3)]
        assert ledger.find(keys) == {keys[0]: entry(1), keys[1]: entry(2, UNRATED)}
        assert ledger.has(keys) == set(keys[:2])
        (record,) = ledger.provenance()
        assert (record["a"], record["ratings"]) == (1, 2)


def test_key_knows_every_field() -> None:
    base = dict(construct="a", rater="b", replicate=0, passage_sha256="c", prompt_sha256="d", codebook="e")
    keys = {Question(**base).key}  # type: ignore[arg-type]
    for name in base:
        keys.add(Question(**{**base, name: 1 if name == "replicate" else "other"}).key)  # type: ignore[arg-type]
    assert len(keys) == 7


def test_the_first_answer_stays(tmp_path: Path) -> None:
    other = Entry(entry(1).question, UNRATED, "logprobs", "model", 0.1)
    with open_ledger(tmp_path / "l.sqlite") as ledger:
        ledger.add([entry(1)], {})
        ledger.add([other], {})
        assert ledger.find([entry(1).question.key])[entry(1).question.key].reading == RATED
        assert len(ledger) == 1


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    wrong = Entry(entry(2).question, RATED, "logprobs", "model", float("nan"))
    with open_ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(sqlite3.IntegrityError):
            ledger.add([entry(1), wrong], {})
        assert len(ledger) == 0


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with open_ledger(path) as ledger:
        ledger.add([entry(1)], {})
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(ArtefactError, match="schema version 99"), open_ledger(path):
        pass


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    text, database = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    text.write_text("this is no database, but long enough to be read as one " * 20)
    with sqlite3.connect(database) as connection:
        connection.execute("create table mine (a)")
    connection.close()
    for path in (text, database):
        before = path.read_bytes()
        with pytest.raises(ArtefactError, match="no ledger"), open_ledger(path):
            pass
        assert path.read_bytes() == before


def test_an_absent_ledger_is_told_when_only_reading(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"), open_ledger(tmp_path / "l.sqlite", create=False):
        pass
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="may write to"), open_ledger(tmp_path / "file" / "l.sqlite"):
        pass


def test_a_sealed_ledger_is_one_file_that_reading_does_not_touch(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with open_ledger(path) as ledger:
        ledger.add([entry(1)], {})
    seal_ledger(path)
    assert [found.name for found in tmp_path.iterdir()] == ["l.sqlite"]
    before = path.read_bytes()
    for create in (False, True):
        with open_ledger(path, create=create) as ledger:
            assert len(ledger) == 1
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["l.sqlite"]


WRITER = """
import sys
from bayesdyn.ratings.ledgers.ledger import Entry, Question
from bayesdyn.ratings.ledgers.files import open_ledger
from bayesdyn.ratings.answers.parse import Reading
with open_ledger(sys.argv[1]) as ledger:
    for number in range(150):
        passage = f"{sys.argv[2] if number % 2 else 'both'}{number}"
        question = Question("empathy", "r", 0, passage, "prompt", "book")
        reading = Reading((1.0,), 1.0, 0.0, "")
        ledger.add([Entry(question, reading, "logprobs", "m", 0.1)], {"who": sys.argv[2]})
"""


def test_two_processes_write_one_ledger(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    runs = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), who], env={**os.environ}) for who in "ab"
    ]
    assert [run.wait(timeout=60) for run in runs] == [0, 0]
    with open_ledger(path) as ledger:
        # 75 questions common to both, 75 of each one's own.
        assert len(ledger) == 225
    connection = sqlite3.connect(path)
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_copy_lacks_one_rater_and_nothing_else(tmp_path: Path) -> None:
    other = Entry(Question("empathy", "s", 0, "passage1", "prompt", "book"), RATED, "logprobs", "m", 0.1)
    with open_ledger(tmp_path / "l.sqlite") as ledger:
        ledger.add([entry(1), other], {})
    copy_ledger(tmp_path / "l.sqlite", tmp_path / "copy.sqlite", without="s")
    keys = [entry(1).question.key, other.question.key]
    with open_ledger(tmp_path / "copy.sqlite", create=False) as ledger:
        assert ledger.has(keys) == {keys[0]}
    with open_ledger(tmp_path / "l.sqlite", create=False) as ledger:
        assert ledger.has(keys) == set(keys)
