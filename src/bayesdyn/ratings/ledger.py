"""The ledger: every answer that a rater gave, in one SQLite file, so that nothing is asked twice.

A row is keyed by everything that decides the answer: passage, construct, rater, replicate, prompt hash and
codebook name. The prompt hash covers construct, scale, template, model, weights and decoding, so a changed
codebook or prompt asks anew and the old rows stay. No transcript text is stored, only hashes of passages.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesdyn.artefacts import sha256_json, whole_file
from bayesdyn.errors import ArtefactError, Fault, InputError
from bayesdyn.ratings.parse import Reading

SCHEMA = 1
"""Version of the tables; a ledger of another version is refused."""

_WAIT_SECONDS = 60.0
_APPLICATION = 0x62647972
_TABLES = """
create table provenance (
    id integer primary key,
    sha256 text not null unique,
    content text not null
) strict;
create table rating (
    key text primary key,
    construct text not null,
    rater text not null,
    replicate integer not null,
    passage_sha256 text not null,
    prompt_sha256 text not null,
    codebook text not null,
    method text not null,
    probabilities text,
    value real,
    off_scale real,
    reason text not null,
    model text not null,
    seconds real not null,
    asked_at text not null,
    provenance integer not null references provenance (id)
) strict, without rowid;
"""


@dataclass(frozen=True)
class Question:
    """What is asked once: one construct of one passage, by one rater under one prompt."""

    construct: str
    rater: str
    replicate: int
    passage_sha256: str
    prompt_sha256: str
    codebook: str

    @property
    def key(self) -> str:
        """Hash of all fields."""
        return sha256_json([self.passage_sha256, self.construct, self.rater, self.replicate,
                            self.prompt_sha256, self.codebook])  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A question with its reading, and how it was got."""

    question: Question
    reading: Reading
    method: str
    model: str
    seconds: float


class Ledger:
    """A connection to a ledger file; use :func:`open_ledger`.

    Two processes may use one file: writes are whole batches in one transaction, and a key that another
    process wrote first stays as it is.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._wal = False
        self.path = path

    def find(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of those keys that the ledger has."""
        found: dict[str, Entry] = {}
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(f"select * from rating where key in ({marks})", part)
            found |= {row["key"]: _entry(row) for row in rows}
        return found

    def has(self, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that the ledger has."""
        found: set[str] = set()
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(f"select key from rating where key in ({marks})", part)
            found |= {row["key"] for row in rows}
        return found

    def add(self, entries: Iterable[Entry], provenance: Mapping[str, object]) -> None:
        """Store entries in one transaction, with where they came from."""
        if not self._wal:
            # Readers go on while a batch is written, and a kill loses at most the open transaction. Set
            # here and not at opening, so that a finished ledger is read without a byte of it changing.
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            self._wal = True
        content = json.dumps(provenance, sort_keys=True)
        digest = sha256_json(provenance)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._connection:
            self._connection.execute("begin immediate")
            self._connection.execute(
                "insert into provenance (sha256, content) values (?, ?) on conflict do nothing",
                (digest, content),
            )
            row = self._connection.execute("select id from provenance where sha256 = ?", (digest,)).fetchone()
            self._connection.executemany(
                f"insert into rating values ({','.join('?' * 16)}) on conflict do nothing",
                [_row(entry, now, row["id"]) for entry in entries],
            )

    def provenance(self) -> list[dict[str, Any]]:
        """Return where the ratings came from: one record for each way of asking, with its count."""
        rows = self._connection.execute(
            "select content, count(*) as ratings, min(asked_at) as first, max(asked_at) as last "
            "from rating join provenance on provenance.id = rating.provenance "
            "group by provenance.id order by provenance.id"
        )
        return [
            {
                **json.loads(row["content"]),
                "ratings": row["ratings"],
                "first": row["first"],
                "last": row["last"],
            }
            for row in rows
        ]

    def __len__(self) -> int:
        return self._connection.execute("select count(*) from rating").fetchone()[0]


@contextmanager
def open_ledger(path: str | Path, *, create: bool = True) -> Iterator[Ledger]:
    """Open a ledger, or make it where it is not there.

    Parameters
    ----------
    path
        The SQLite file.
    create
        False: only read; the file must exist, and nothing is written beside it.

    Raises
    ------
    InputError
        If the folder or file cannot be written, or there is no such file and ``create`` is False.
    ArtefactError
        If the file is no ledger, damaged, or of another schema version.
    """
    target = Path(path)
    if not create and not target.is_file():
        raise InputError(f"Cannot read {target}", [Fault("there is no such file", "Run: bayesdyn rate")])
    try:
        if create:
            target.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(target, timeout=_WAIT_SECONDS, isolation_level=None)
        else:
            connection = sqlite3.connect(
                f"{target.resolve().as_uri()}?mode=ro", timeout=_WAIT_SECONDS, isolation_level=None, uri=True
            )
    except (OSError, sqlite3.OperationalError) as error:
        raise _unwritable(target, error) from None
    connection.row_factory = sqlite3.Row
    try:
        try:
            _prepare(connection, target, create)
        except sqlite3.OperationalError as error:
            raise _unwritable(target, error) from None
        except sqlite3.DatabaseError as error:
            raise ArtefactError(
                f"Cannot use {target}", [Fault(f"it is no ledger, or damaged ({error})", "Give another path")]
            ) from None
        yield Ledger(connection, target)
    finally:
        connection.close()


def seal_ledger(path: str | Path) -> None:
    """Fold a ledger into one compact file without write-ahead log, fit to be shipped or archived.

    Raises
    ------
    InputError, ArtefactError
        As :func:`open_ledger`; also while another process has it open.
    """
    with open_ledger(path, create=False):
        pass
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    try:
        connection.execute("pragma journal_mode = delete")
        connection.execute("vacuum")
    except sqlite3.OperationalError as error:
        raise _unwritable(Path(path), error) from None
    finally:
        connection.close()


def copy_ledger(source: str | Path, target: str | Path, *, without: str) -> None:
    """Copy a ledger whole or not at all, but for the ratings of one rater, who is then asked anew.

    Raises
    ------
    InputError, ArtefactError
        As :func:`open_ledger`, or if ``target`` cannot be written.
    """
    with (
        open_ledger(source, create=False) as opened,
        whole_file(target) as part,
        closing(sqlite3.connect(part, isolation_level=None)) as copy,
    ):
        opened._connection.backup(copy)
        copy.execute("delete from rating where rater = ?", (without,))
        copy.execute("pragma journal_mode = delete")
        copy.execute("vacuum")


def _prepare(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    if create:
        _make_tables(connection)
    application = connection.execute("pragma application_id").fetchone()[0]
    version = connection.execute("pragma user_version").fetchone()[0]
    if application != _APPLICATION:
        fault = Fault("it is an SQLite file but no ledger of ratings", "Give another path")
    elif version != SCHEMA:
        fault = Fault(
            f"it has schema version {version}, this bayesdyn reads {SCHEMA}",
            "Use the version that made it, or give a new path and rate again",
        )
    else:
        return
    raise ArtefactError(f"Cannot use {path}", [fault])


def _make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables in a new file; two processes may come here at once."""
    if connection.execute("select count(*) from sqlite_master").fetchone()[0]:
        return
    connection.execute("begin immediate")
    if connection.execute("select count(*) from sqlite_master").fetchone()[0] == 0:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"pragma application_id = {_APPLICATION}")
        connection.execute(f"pragma user_version = {SCHEMA}")
    connection.execute("commit")


def _row(entry: Entry, now: str, provenance: int) -> tuple[Any, ...]:
    question, reading = entry.question, entry.reading
    probabilities = None if reading.probabilities is None else json.dumps(list(reading.probabilities))
    return (
        question.key, question.construct, question.rater, question.replicate, question.passage_sha256,
        question.prompt_sha256, question.codebook, entry.method, probabilities, reading.value,
        reading.off_scale, reading.reason, entry.model, round(entry.seconds, 4), now, provenance,
    )  # fmt: skip


def _entry(row: sqlite3.Row) -> Entry:
    question = Question(row["construct"], row["rater"], row["replicate"], row["passage_sha256"],
                        row["prompt_sha256"], row["codebook"])  # fmt: skip
    probabilities = None if row["probabilities"] is None else tuple(json.loads(row["probabilities"]))
    reading = Reading(probabilities, row["value"], row["off_scale"], row["reason"])
    return Entry(question, reading, row["method"], row["model"], row["seconds"])


def _unwritable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(
        f"Cannot use {path}", [Fault(reason, "Choose a folder that you may write to, not in use elsewhere")]
    )
