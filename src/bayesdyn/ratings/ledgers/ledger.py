"""The ledger: every answer that a rater gave, in one SQLite file, so that nothing is asked twice.

A row is keyed by everything that decides the answer: passage, construct, rater, replicate, prompt hash and
codebook name. The prompt hash covers construct, scale, template, model, weights, method and decoding, so a
changed codebook or prompt asks anew and the old rows stay. No transcript text is stored, only hashes of
passages.

Beside the ratings stand the *claims*: what some process is asking just now. A claim is a lease that its
owner renews, so two processes on one ledger never ask the same thing, and one that was killed blocks
nothing for long. Files are opened, copied and merged in :mod:`bayesdyn.ratings.ledgers.files`.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from typing import Any

from bayesdyn.artefacts import sha256_json
from bayesdyn.errors import Fault, InputError
from bayesdyn.ratings.answers.methods import Way
from bayesdyn.ratings.answers.parse import Reading

LEASE_SECONDS = 90.0
"""How long a claim holds that its owner does not renew."""

_MARKS = 500


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
    """A question with its reading, and how it was got.

    ``input_tokens`` and ``output_tokens`` are what was billed for it, spoiled tries included; of several
    answers in one call, the first carries them. ``origin`` is the record of where it came from, as the
    ledger keeps it; empty before it is stored.
    """

    question: Question
    reading: Reading
    method: str
    model: str
    seconds: float
    input_tokens: int = 0
    output_tokens: int = 0
    origin: Mapping[str, object] = field(default_factory=dict, compare=False)


class Ledger:
    """A connection to a ledger file; use :func:`bayesdyn.ratings.ledgers.files.open_ledger`.

    Several processes may use one file: writes are whole batches in one transaction, and a key that another
    process wrote first stays as it is.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, upgrade: Callable[[sqlite3.Connection], None]
    ) -> None:
        self._connection = connection
        self._upgrade = upgrade
        self._writes = False
        self._origins: dict[int, dict[str, Any]] = {}
        self.path = path

    def find(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of those keys that the ledger has."""
        found = {}
        for row in self._rows("*", keys):
            if row["provenance"] not in self._origins:
                self._origins |= self._provenance()
            found[row["key"]] = _entry(row, self._origins[row["provenance"]])
        return found

    def has(self, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that the ledger has."""
        return {row["key"] for row in self._rows("key", keys)}

    def add(self, entries: Iterable[Entry], provenance: Mapping[str, object]) -> None:
        """Store entries in one transaction, with where they came from, and give back their claims."""
        content, digest = json.dumps(provenance, sort_keys=True), sha256_json(provenance)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        stored = list(entries)
        with self.transaction() as connection:
            connection.execute(
                "insert into provenance (sha256, content) values (?, ?) on conflict do nothing",
                (digest, content),
            )
            row = connection.execute("select id from provenance where sha256 = ?", (digest,)).fetchone()
            rows = [_row(entry, now, row["id"]) for entry in stored]
            connection.executemany(
                f"insert into rating values ({','.join('?' * 18)}) on conflict do nothing", rows
            )
            connection.executemany("delete from claim where key = ?", [(values[0],) for values in rows])

    def claim(self, keys: Iterable[str], owner: str, seconds: float = LEASE_SECONDS) -> set[str]:
        """Return those of the keys that nobody has rated or claimed; they are the owner's to ask now."""
        won = set()
        now = time.time()
        with self.transaction() as connection:
            connection.execute("delete from claim where until < ?", (now,))
            for key in keys:
                cursor = connection.execute(
                    "insert into claim select ?, ?, ? where not exists (select 1 from rating where key = ?) "
                    "on conflict do nothing",
                    (key, owner, now + seconds, key),
                )
                if cursor.rowcount == 1:
                    won.add(key)
        return won

    def renew(self, owner: str, seconds: float = LEASE_SECONDS) -> None:
        """Hold an owner's claims for longer."""
        with self.transaction() as connection:
            connection.execute("update claim set until = ? where owner = ?", (time.time() + seconds, owner))

    def release(self, owners: Iterable[str]) -> None:
        """Give back all claims of some owners."""
        with self.transaction() as connection:
            connection.executemany("delete from claim where owner = ?", [(owner,) for owner in owners])

    def claimed(self, keys: Iterable[str]) -> bool:
        """Return whether any of the keys is being asked just now."""
        now = time.time()
        return any(
            self._connection.execute(
                "select 1 from claim where key = ? and until >= ?", (key, now)
            ).fetchone()
            for key in keys
        )

    def rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self._connection.execute(query, values).fetchall()

    def owners(self) -> dict[str, int]:
        """Return who holds claims, and how many."""
        if not self._has_table("claim"):
            return {}
        rows = self._connection.execute(
            "select owner, count(*) as held from claim where until >= ? group by owner", (time.time(),)
        )
        return {row["owner"]: row["held"] for row in rows}

    def choice(self, rater: str) -> Way | None:
        """Return the way of asking that was chosen for a rater, by the hash of what decides it."""
        if not self._has_table("choice"):
            return None
        row = self._connection.execute("select way from choice where rater_sha256 = ?", (rater,)).fetchone()
        return None if row is None else row["way"]

    def choose(self, rater: str, way: Way) -> Way:
        """Store the way of asking for a rater, once and for all; return what stands."""
        with self.transaction() as connection:
            connection.execute("insert into choice values (?, ?) on conflict do nothing", (rater, way))
        return self.choice(rater) or way

    def tokens(self, rater: str) -> dict[bool, tuple[int, int]]:
        """Return the input and output tokens that a rater's answers took: by batch (True) and by call."""
        found = {True: (0, 0), False: (0, 0)}
        if not self._has_table("claim"):
            return found
        for row in self._connection.execute(
            "select content, sum(input_tokens) as given, sum(output_tokens) as got "
            "from rating join provenance on provenance.id = rating.provenance "
            "where rater = ? group by provenance.id",
            (rater,),
        ):
            batch = bool(json.loads(row["content"]).get("batch"))
            found[batch] = (found[batch][0] + row["given"], found[batch][1] + row["got"])
        return found

    def provenance(self) -> list[dict[str, Any]]:
        """Return where the ratings came from: one record for each way of asking, with its count."""
        rows = self._connection.execute(
            "select content, count(*) as ratings, min(asked_at) as first, max(asked_at) as last "
            "from rating join provenance on provenance.id = rating.provenance "
            "group by provenance.id order by provenance.id"
        )
        told = ("ratings", "first", "last")
        return [{**json.loads(row["content"]), **{name: row[name] for name in told}} for row in rows]

    def codebooks(self) -> set[str]:
        """Return the names of the codebooks that its ratings are of."""
        return {record["codebook"] for record in self._provenance().values() if "codebook" in record}

    def __len__(self) -> int:
        return self._connection.execute("select count(*) from rating").fetchone()[0]

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in one transaction; a full disk is told as what it is."""
        connection = self._connection
        try:
            if not self._writes:
                # Readers go on while a batch is written, and a kill loses at most the open transaction. Set
                # here and not at opening, so that a finished ledger is read without a byte of it changing.
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = normal")
                self._upgrade(connection)
                self._writes = True
            with connection:
                connection.execute("begin immediate")
                yield connection
        except sqlite3.OperationalError as error:
            raise InputError(
                f"Cannot write {self.path}",
                [
                    Fault(
                        f"{error}; what was rated before is kept",
                        "Make room on the disk, or close what has the file locked, and run again",
                    )
                ],
            ) from None

    def _provenance(self) -> dict[int, dict[str, Any]]:
        rows = self._connection.execute("select id, content from provenance")
        return {row["id"]: json.loads(row["content"]) for row in rows}

    def _rows(self, columns: str, keys: Sequence[str]) -> Iterator[sqlite3.Row]:
        for part in batched(keys, _MARKS):
            marks = ",".join("?" * len(part))
            yield from self._connection.execute(f"select {columns} from rating where key in ({marks})", part)

    def _has_table(self, name: str) -> bool:
        found = self._connection.execute("select 1 from sqlite_master where name = ?", (name,)).fetchone()
        return found is not None


def _row(entry: Entry, now: str, provenance: int) -> tuple[Any, ...]:
    question, reading = entry.question, entry.reading
    probabilities = None if reading.probabilities is None else json.dumps(list(reading.probabilities))
    return (
        question.key, question.construct, question.rater, question.replicate, question.passage_sha256,
        question.prompt_sha256, question.codebook, entry.method, probabilities, reading.value,
        reading.off_scale, reading.reason, entry.model, round(entry.seconds, 4), now, provenance,
        entry.input_tokens, entry.output_tokens,
    )  # fmt: skip


def _entry(row: sqlite3.Row, origin: Mapping[str, object]) -> Entry:
    question = Question(row["construct"], row["rater"], row["replicate"], row["passage_sha256"],
                        row["prompt_sha256"], row["codebook"])  # fmt: skip
    probabilities = None if row["probabilities"] is None else tuple(json.loads(row["probabilities"]))
    reading = Reading(probabilities, row["value"], row["off_scale"], row["reason"])
    # A ledger of the first version has no token counts.
    known = set(row.keys())
    given, got = (row[name] if name in known else 0 for name in ("input_tokens", "output_tokens"))
    return Entry(question, reading, row["method"], row["model"], row["seconds"], given, got, origin)
