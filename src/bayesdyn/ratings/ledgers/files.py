"""Ledger files: made, opened, sealed, copied and merged."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bayesdyn.artefacts import whole_file
from bayesdyn.errors import ArtefactError, Fault, InputError
from bayesdyn.ratings.ledgers.ledger import Ledger

SCHEMA = 2
"""Version of the tables. Version 1 (no claims, choices and token counts) is read, and raised when written."""

_WAIT_SECONDS = 60.0
_APPLICATION = 0x62647972
_FIRST = """
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
_SECOND = """
alter table rating add column input_tokens integer not null default 0;
alter table rating add column output_tokens integer not null default 0;
create table claim (key text primary key, owner text not null, until real not null) strict, without rowid;
create index claim_owner on claim (owner);
create table choice (rater_sha256 text primary key, way text not null) strict;
create table batch (
    owner text primary key,
    id text not null,
    rater text not null,
    status text not null,
    cost real not null,
    submitted_at text not null
) strict;
"""


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
        yield Ledger(connection, target, _upgrade)
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


def merge_ledgers(target: str | Path, sources: Sequence[str | Path]) -> int:
    """Add to a ledger what others hold and it does not; return how many ratings were added.

    A rating that several hold is kept as the first has it: ratings of one key are of one question.

    Raises
    ------
    InputError, ArtefactError
        As :func:`open_ledger`, or if they are not all of one codebook; nothing is added then.
    """
    books: dict[str, str] = {}
    for path in (target, *sources):
        if path is not target or Path(path).is_file():
            with open_ledger(path, create=False) as opened:
                books |= dict.fromkeys(opened.codebooks(), str(path))
    if len(books) > 1:
        held = "; ".join(f"{path} is of {name}" for name, path in sorted(books.items()))
        raise InputError(
            "Ledgers of different codebooks cannot be merged",
            [Fault(held, "Merge those of one codebook, and keep a ledger for each")],
        )
    with open_ledger(target) as ledger:
        before = len(ledger)
        for source in sources:
            with open_ledger(source, create=False) as other:
                _add_all(ledger, other)
        return len(ledger) - before


def _add_all(ledger: Ledger, other: Ledger) -> None:
    columns = [row["name"] for row in other._connection.execute("pragma table_info(rating)")]
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    with ledger.transaction() as connection:
        ids = {}
        for row in other._connection.execute("select id, sha256, content from provenance"):
            connection.execute(
                "insert into provenance (sha256, content) values (?, ?) on conflict do nothing",
                (row["sha256"], row["content"]),
            )
            found = connection.execute("select id from provenance where sha256 = ?", (row["sha256"],))
            ids[row["id"]] = found.fetchone()["id"]
        place = columns.index("provenance")
        rows = (
            (*row[:place], ids[row[place]], *row[place + 1 :])
            for row in map(tuple, other._connection.execute(f"select {names} from rating"))
        )
        connection.executemany(f"insert into rating ({names}) values ({marks}) on conflict do nothing", rows)
        if other._has_table("choice"):
            chosen = map(tuple, other._connection.execute("select rater_sha256, way from choice"))
            connection.executemany("insert into choice values (?, ?) on conflict do nothing", chosen)


def _prepare(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    if create:
        _make_tables(connection)
    application = connection.execute("pragma application_id").fetchone()[0]
    version = connection.execute("pragma user_version").fetchone()[0]
    if application != _APPLICATION:
        fault = Fault("it is an SQLite file but no ledger of ratings", "Give another path")
    elif not 1 <= version <= SCHEMA:
        fault = Fault(
            f"it has schema version {version}, this bayesdyn reads up to {SCHEMA}",
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
        for statement in (_FIRST + _SECOND).split(";\n"):
            connection.execute(statement)
        connection.execute(f"pragma application_id = {_APPLICATION}")
        connection.execute(f"pragma user_version = {SCHEMA}")
    connection.execute("commit")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Raise a ledger of an earlier version to this one."""
    if connection.execute("pragma user_version").fetchone()[0] == SCHEMA:
        return
    connection.execute("begin immediate")
    if connection.execute("pragma user_version").fetchone()[0] == 1:
        for statement in _SECOND.split(";\n"):
            connection.execute(statement)
        connection.execute(f"pragma user_version = {SCHEMA}")
    connection.execute("commit")


def _unwritable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(
        f"Cannot use {path}", [Fault(reason, "Choose a folder that you may write to, not in use elsewhere")]
    )


def dead_owners(owners: Iterator[str] | Sequence[str], host: str) -> list[str]:
    """Return those owners of claims that ran on this machine and are no more.

    On Windows a process cannot be looked for without harm; there, leases run out.
    """
    dead = []
    for owner in owners:
        place, _, rest = owner.partition("/")
        process = rest.partition("/")[0]
        if place != host or not process.isdigit() or os.name == "nt":
            continue
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            dead.append(owner)
        except PermissionError:
            pass
    return dead
