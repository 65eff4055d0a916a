"""Words of messages: the nearest known one, and nouns with their number."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'?`` for the known word nearest to ``word``, or ``""`` where none is near."""
    near = nearest(word, known)
    return f"Did you mean {near!r}?" if near else ""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word nearest to ``word``, or ``""`` where none is as alike as ``cutoff`` (0 to 1)."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else ""


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless there is one: ``1 session``, ``2 sessions``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sentence(*parts: str) -> str:
    """Join the parts of a remedy that are not empty."""
    return " ".join(part for part in parts if part)
