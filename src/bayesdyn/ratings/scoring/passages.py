"""What a rater reads: the passage of one rated unit, and its text made harmless.

A transcript is data. Its text never meets the template engine as source, each turn becomes one line that
begins with its speaker, and what could end a message, open a tag or be read as a control token of some
model's chat format is made harmless by :func:`harmless`.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bayesdyn.artefacts import sha256_json
from bayesdyn.ratings.scoring.codebook import Construct, Speaker

type Passage = tuple[tuple[str, str], ...]
"""Turns as (speaker, text), in the order in which they were spoken."""

SPEAKERS: tuple[Speaker, ...] = ("therapist", "client")

PROBE: Passage = (("therapist", "How was your week?"), ("client", "It was all right, thank you."))
"""No one's words: a probe must not send a transcript to a server that may turn out to be of no use."""

# Llama 2, Mistral and their kin write control tokens in square brackets: [INST], [/INST], [TOOL_CALLS].
_BRACKETED = re.compile(r"\[(/?[A-Z_]{3,})\]")
_QUOTES = re.compile(r"`{3,}|\"{3,}|'{3,}|#{3,}|={3,}|-{4,}|~{3,}")


class Exchange(Protocol):
    """A row of a table of exchanges."""

    @property
    def t(self) -> int:
        """Its place in the session."""
        ...

    @property
    def therapist_text(self) -> str:
        """What the therapist said."""
        ...

    @property
    def client_text(self) -> str:
        """What the client answered."""
        ...


@dataclass(frozen=True)
class Unit:
    """A stretch of one session that is rated as a whole; its rating stands at its last exchange.

    Attributes
    ----------
    t
        The last exchange, when all of it has been read.
    passage
        Its turns after the context; empty where nothing is left to rate.
    speakers
        Who says a word in it, the context apart.
    """

    t: int
    passage: Passage
    speakers: frozenset[str]


def units_of(session: Sequence[Exchange], constructs: Sequence[Construct]) -> Iterator[Unit]:
    """Yield the units that constructs are rated at, in order.

    Parameters
    ----------
    session
        The exchanges of one session in order.
    constructs
        Asked about together, so they share a unit; what is shown and the context are those of all of them.
    """
    size, shows, context = shared_view(constructs)
    step = len(session) if size is None else size
    for start in range(0, len(session), max(step, 1)):
        rated = session[start : start + step]
        first = rated[0].t - context
        before = [exchange for exchange in session[max(0, start - context) : start] if exchange.t >= first]
        turns = tuple(turn for exchange in rated for turn in _turns(exchange, shows))
        said = frozenset(who for who, _ in turns)
        if not any(can_rate(construct, said) for construct in constructs):
            turns = ()
        context_turns = tuple(turn for exchange in before for turn in _turns(exchange, SPEAKERS))
        yield Unit(int(rated[-1].t), context_turns + turns if turns else (), said)


def can_rate(construct: Construct, said: frozenset[str]) -> bool:
    """Return whether those who show a construct say a word in a unit."""
    return set(SPEAKERS if construct.who == "dyad" else (construct.who,)) <= said


def shared_view(constructs: Sequence[Construct]) -> tuple[int | None, tuple[Speaker, ...], int]:
    """Return the unit's exchanges (None: the session), whom it shows and the context of constructs together.

    Raises
    ------
    ValueError
        If they do not share a unit.
    """
    sizes = {construct.exchanges for construct in constructs}
    if len(sizes) > 1:
        raise ValueError("constructs with different units cannot be asked about together")
    shown = {who for construct in constructs for who in construct.shows}
    return sizes.pop(), tuple(who for who in SPEAKERS if who in shown), max(one.context for one in constructs)


def _turns(exchange: Exchange, speakers: Sequence[str]) -> Passage:
    texts = {"therapist": exchange.therapist_text, "client": exchange.client_text}
    return tuple((who, texts[who]) for who in SPEAKERS if who in speakers and texts[who].strip())


def passage_sha256(passage: Passage) -> str:
    """Return the hash of a passage, which stands for it in the ledger."""
    return sha256_json([list(turn) for turn in passage])


def harmless(text: str) -> str:
    """Return a turn's text as one line that cannot leave its place in the prompt.

    Line ends and control characters become spaces, and invisible format characters go. Angle brackets,
    which open the tags of our templates and the control tokens of chat formats (``<|im_end|>``,
    ``<end_of_turn>``, ``</s>``), become single guillemets; bracketed control tokens (``[INST]``) lose
    their brackets; runs of quotes, hashes, dashes and the like, which may fence a prompt, are shortened.
    """
    line = text
    if not (text.isascii() and text.isprintable()):
        kinds = ((sign, unicodedata.category(sign)) for sign in text)
        line = "".join(" " if kind in ("Cc", "Zl", "Zp") else sign for sign, kind in kinds if kind != "Cf")
    line = line.replace("<", "‹").replace(">", "›").replace("＜", "‹").replace("＞", "›").replace("｜", "|")
    line = _BRACKETED.sub(lambda found: f"({found[1]})", line)
    line = _QUOTES.sub(lambda found: found[0][0], line)
    return " ".join(line.split())
