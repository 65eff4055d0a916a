"""Rating in shards, on any scheduler: dyads are dealt out by hash, each shard has a ledger of its own."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from bayesdyn.errors import Fault, InputError


def in_shard(number: int, count: int) -> Callable[[str], bool]:
    """Return whether a dyad belongs to the ``number``-th of ``count`` shards (from 1).

    The same dyad always falls into the same shard, on any machine.

    Raises
    ------
    InputError
        If there is no such shard.
    """
    if not 1 <= number <= count:
        raise InputError(
            "There is no such shard", [Fault(f"shard {number}/{count}", "Give i/n with i from 1 to n")]
        )

    def holds(dyad: str) -> bool:
        return int.from_bytes(hashlib.sha256(dyad.encode()).digest()[:8]) % count == number - 1

    return holds


def parse_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of a text ``i/n``.

    Raises
    ------
    InputError
        If it is none.
    """
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise InputError("There is no such shard", [Fault(f"shard {text!r}", "Give i/n, such as 1/8")])
    in_shard(int(number), int(count))
    return int(number), int(count)


def shard_ledger(ledger: str | Path, shard: tuple[int, int]) -> Path:
    """Return the path of a shard's own ledger beside the one that they are merged into."""
    path = Path(ledger)
    return path.with_name(f"{path.stem}.{shard[0]}-of-{shard[1]}{path.suffix}")
