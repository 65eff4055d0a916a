"""From the token probabilities of one answer to a distribution over the scale points. Pure functions."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SHORTEST_STEM = 3


@dataclass(frozen=True)
class Answer:
    """What a server said to one request, without its text.

    Attributes
    ----------
    tokens
        (token, log probability) of the likeliest first tokens; None where the server gave none.
    finish
        Why it stopped, as the protocol names it (``stop``, ``length``, ``content_filter``, ...).
    refused
        Whether the server marked the answer as a refusal.
    model
        The model as the server reports it.
    seconds
        Time from request to answer.
    """

    tokens: tuple[tuple[str, float], ...] | None
    finish: str
    refused: bool
    model: str
    seconds: float


@dataclass(frozen=True)
class Reading:
    """A rating without its place: probabilities over the scale points, or a reason why there are none.

    Attributes
    ----------
    probabilities
        Over the scale points in ascending order, renormalised; None where unrated.
    value
        Expected score, sum of p_k k; None where unrated.
    off_scale
        Probability mass off the scale before renormalising; None where no tokens were seen.
    reason
        Why unrated; empty where rated.
    """

    probabilities: tuple[float, ...] | None
    value: float | None
    off_scale: float | None
    reason: str


def read_answer(answer: Answer, points: Sequence[int], labels: Sequence[str], min_mass: float) -> Reading:
    """Return the reading of an answer.

    Parameters
    ----------
    answer
        What the server said; its tokens are not None (a server without them lacks the method).
    points
        The K scale points, ascending.
    labels
        The K labels that the prompt asked for, one for each point.
    min_mass
        Least probability on the scale at which the answer counts as a rating.

    Notes
    -----
    Unrated, with a reason: the server filtered or refused the answer, it was empty, or less than
    ``min_mass`` lies on the scale. A distribution renormalised from a sliver says nothing about the
    passage.
    """
    if answer.finish == "content_filter":
        return Reading(None, None, None, "content filter")
    if answer.refused:
        return Reading(None, None, None, "refusal")
    if not answer.tokens:
        return Reading(None, None, None, "empty answer")
    masses = scale_masses(answer.tokens, labels)
    mass = math.fsum(masses)
    off_scale = min(1.0, max(0.0, 1.0 - mass))
    if mass < min_mass:
        return Reading(None, None, off_scale, f"less than {min_mass:g} of the probability is on the scale")
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
    # Servers show the space before a word as itself, or as the vocabulary's own sign for it.
    word = token.strip(" \t\n▁Ġ").casefold()
    if word in labels:
        return labels.index(word)
    if len(word) < _SHORTEST_STEM:
        return None
    begun = [index for index, label in enumerate(labels) if label.startswith(word)]
    return begun[0] if len(begun) == 1 else None
