"""From what a server answered to a distribution over the scale points, or a reason why there is none."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_SHORTEST_STEM = 3

type Tops = tuple[tuple[str, float], ...]
"""The likeliest tokens of one position, each with its log probability."""


class UnreadableError(ValueError):
    """A server's answer that does not follow the chat protocol; says what is missing, quotes nothing."""


@dataclass(frozen=True)
class Answer:
    """What a server said to one request. Its text is read and forgotten: it may quote the passage.

    Attributes
    ----------
    text
        The message.
    tokens
        (token, its likeliest alternatives) at each position of the text; None where the server gave none.
    finish
        Why it stopped, as the protocol names it (``stop``, ``length``, ``content_filter``, ...).
    refused
        Whether the server marked the answer as a refusal.
    model
        The model as the server reports it.
    seconds
        Time from request to answer.
    input_tokens, output_tokens
        What the server counted, and would bill; 0 where it does not say.
    spoiled
        Earlier tries of the same request that may have been billed though no answer arrived whole.
    """

    text: str
    tokens: tuple[tuple[str, Tops], ...] | None
    finish: str
    refused: bool
    model: str
    seconds: float
    input_tokens: int = 0
    output_tokens: int = 0
    spoiled: int = 0


@dataclass(frozen=True)
class Reading:
    """A rating without its place: probabilities over the scale points, or a reason why there are none.

    Attributes
    ----------
    probabilities
        Over the scale points in ascending order, renormalised; None where unrated, and where the server
        gave a value without probabilities.
    value
        Expected score, sum of p_k k, or the value as given; None where unrated.
    off_scale
        Probability mass off the scale before renormalising; None where there are no probabilities.
    reason
        Why unrated; empty where rated.
    """

    probabilities: tuple[float, ...] | None
    value: float | None
    off_scale: float | None
    reason: str


def unrated(reason: str, off_scale: float | None = None) -> Reading:
    """Return a reading without a value."""
    return Reading(None, None, off_scale, reason)


def answer_of(completion: object, seconds: float) -> Answer:
    """Return the answer that a chat completion, as parsed from JSON, holds.

    Raises
    ------
    UnreadableError
        If it is no chat completion.
    """
    choices = _get(completion, "choices")
    if not isinstance(choices, list) or not choices:
        raise UnreadableError("the answer holds no choices")
    choice, usage = choices[0], _get(completion, "usage")
    message, listed = _get(choice, "message"), _get(_get(choice, "logprobs"), "content")
    tokens = None
    if isinstance(listed, list):
        tokens = tuple((str(_get(one, "token") or ""), _tops(one)) for one in listed)
        # Some servers give the tokens and no alternatives: that is no distribution.
        if any(not tops for _, tops in tokens):
            tokens = None
    return Answer(
        text=str(_get(message, "content") or ""),
        tokens=tokens,
        finish=str(_get(choice, "finish_reason") or ""),
        refused=bool(_get(message, "refusal")),
        model=str(_get(completion, "model") or ""),
        seconds=seconds,
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
    )


def read_distribution(
    tops: Sequence[tuple[str, float]], points: Sequence[int], labels: Sequence[str], min_mass: float
) -> Reading:
    """Return the reading of one position's likeliest tokens.

    Parameters
    ----------
    tops
        (token, log probability).
    points
        The K scale points, ascending.
    labels
        The K labels that the prompt asked for, one for each point.
    min_mass
        Least probability on the scale at which the answer counts as a rating: a distribution
        renormalised from a sliver says nothing about the passage.
    """
    masses = scale_masses(tops, labels)
    mass = math.fsum(masses)
    off_scale = min(1.0, max(0.0, 1.0 - mass))
    if mass < min_mass:
        return unrated(f"less than {min_mass:g} of the probability is on the scale", off_scale)
    probabilities = tuple(part / mass for part in masses)
    value = math.fsum(p * k for p, k in zip(probabilities, points, strict=True))
    return Reading(probabilities, min(max(value, points[0]), points[-1]), off_scale, "")


def scale_masses(tokens: Iterable[tuple[str, float]], labels: Sequence[str]) -> tuple[float, ...]:
    """Return the probability mass of each label, from (token, log probability) pairs.

    Tokens that mean the same label are added up: ``'3'`` and ``' 3'``, ``'high'`` and ``'High'``. A word
    label may be more than one token long, so a token that begins exactly one label, and has at least three
    letters, counts for it (``'ext'`` for *extreme*).
    """
    masses = [0.0] * len(labels)
    folded = [label.casefold() for label in labels]
    for token, logprob in tokens:
        index = _label_of(token, folded)
        if index is not None:
            masses[index] += math.exp(min(0.0, logprob))
    return tuple(masses)


def _label_of(token: str, labels: Sequence[str]) -> int | None:
    # Servers show the space before a word as itself, or as the vocabulary's own sign for it; in JSON a
    # quote may be part of the token.
    word = token.strip(' \t\n▁Ġ":').casefold()
    if word in labels:
        return labels.index(word)
    if len(word) < _SHORTEST_STEM:
        return None
    begun = [index for index, label in enumerate(labels) if label.startswith(word)]
    return begun[0] if len(begun) == 1 else None


def _get(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _count(usage: object, name: str) -> int:
    found = _get(usage, name)
    return found if isinstance(found, int) and found > 0 else 0


def _tops(position: object) -> Tops:
    listed = _get(position, "top_logprobs")
    pairs = [(_get(top, "token"), _get(top, "logprob")) for top in listed] if isinstance(listed, list) else []
    return tuple(
        (token, float(p)) for token, p in pairs if isinstance(token, str) and isinstance(p, int | float)
    )
