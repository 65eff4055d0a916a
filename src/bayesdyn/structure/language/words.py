"""Words of messages: the nearest known one, and nouns with their number."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'?`` for the known word nearest to ``word``, or ``""`` where none is near."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower, n=1)
    return f"Did you mean {by_lower[near[0]]!r}?" if near else ""


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless there is one: ``1 session``, ``2 sessions``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sentence(*parts: str) -> str:
    """Join the parts of a remedy that are not empty."""
    return " ".join(part for part in parts if part)
