"""Batches as a ledger keeps them, from before they are handed in until they are collected."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bayesdyn.ratings.ledgers.ledger import Ledger

BATCH_OWNER = "batch/"
"""How the owner of a batch's claims begins."""


@dataclass(frozen=True)
class BatchRow:
    """One batch.

    Attributes
    ----------
    identity
        The server's id; the owner until there is one.
    rater, owner
        Who is asked, and who holds the claims of its questions.
    status
        ``created`` before the server has it, ``submitted``, then as the server says in the end.
    cost
        Estimated, in the currency of the panel's prices.
    """

    identity: str
    rater: str
    owner: str
    status: str
    cost: float


def add_batch(ledger: Ledger, row: BatchRow) -> None:
    """Note a batch that is about to be handed in."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with ledger.transaction() as connection:
        connection.execute(
            "insert into batch values (?, ?, ?, ?, ?, ?)",
            (row.owner, row.identity, row.rater, row.status, row.cost, now),
        )


def set_batch(ledger: Ledger, owner: str, identity: str, status: str) -> None:
    """Note what became of a batch."""
    with ledger.transaction() as connection:
        connection.execute("update batch set id = ?, status = ? where owner = ?", (identity, status, owner))


def batches_of(ledger: Ledger, rater: str) -> list[BatchRow]:
    """Return a rater's batches, the oldest first."""
    rows = ledger.rows("select * from batch where rater = ? order by submitted_at, owner", (rater,))
    return [BatchRow(row["id"], row["rater"], row["owner"], row["status"], row["cost"]) for row in rows]


def line_of(key: str, body: Mapping[str, object]) -> bytes:
    """Return a request as a line of a batch's input, under a key that its answer will carry."""
    line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def answers_in(content: bytes) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield key and completion of each line that holds one; a line that failed is asked again."""
    for line in content.splitlines():
        try:
            record = json.loads(line)
            response = record.get("response") or {}
            if response.get("status_code") == 200 and isinstance(response.get("body"), dict):
                yield str(record["custom_id"]), response["body"]
        except (ValueError, KeyError, AttributeError):
            continue
