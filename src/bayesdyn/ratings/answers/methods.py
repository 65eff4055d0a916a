"""The ways of reading a rating: what a request asks for, and how its answer becomes readings.

``logprobs`` asks for one token and takes the distribution over the scale from its log probabilities.
``json`` asks for structured output by JSON schema, with the log probabilities of the value's token where
the server gives them (the way ``json+logprobs``) and the value alone where not. ``text`` takes the one
scale point that a free answer names. Only ``json`` can ask for several constructs at once.
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal

from bayesdyn.ratings.answers.parse import Answer, Reading, Tops, read_distribution, unrated
from bayesdyn.ratings.scoring.panel import Rater
from bayesdyn.ratings.scoring.prompt import Prompt

Way = Literal["logprobs", "json+logprobs", "json", "text"]

_WAYS: dict[str, tuple[Way, ...]] = {
    "logprobs": ("logprobs",),
    "json": ("json+logprobs", "json"),
    "text": ("text",),
}
_TOKENS_A_CONSTRUCT = 24
_TOKENS_OF_TEXT = 16


def ways_of(rater: Rater) -> tuple[Way, ...]:
    """Return the ways that a rater's methods allow, in the order in which they are tried."""
    return tuple(way for method in rater.methods for way in _WAYS[method])


def body_of(
    rater: Rater, way: Way, prompt: Prompt, messages: Sequence[Mapping[str, str]], replicate: int
) -> dict[str, object]:
    """Return the JSON body of one chat completion request, the same for a call and for a batch.

    Parameters
    ----------
    rater, way, prompt
        Who is asked, how, and what.
    messages
        From :meth:`~bayesdyn.ratings.scoring.prompt.Prompt.messages`.
    replicate
        Added to the seed, so that replicates of one question differ and can be made again.
    """
    decoding = rater.decoding
    most = decoding.max_tokens
    if way == "text":
        most = max(most, _TOKENS_OF_TEXT)
    elif way != "logprobs":
        most = max(most, _TOKENS_A_CONSTRUCT * len(prompt.constructs))
    body: dict[str, object] = {
        "model": rater.model,
        "messages": [dict(message) for message in messages],
        rater.limit_field: most,
    }
    if decoding.temperature is not None:
        body["temperature"] = decoding.temperature
    if decoding.seed is not None:
        body["seed"] = decoding.seed + replicate
    if decoding.cache_prompt is not None:
        body["cache_prompt"] = decoding.cache_prompt
    if way in ("logprobs", "json+logprobs"):
        body |= {"logprobs": True, "top_logprobs": decoding.top_logprobs}
    if way.startswith("json"):
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "rating", "strict": True, "schema": _schema(prompt)},
        }
    return body


def supports(answer: Answer, way: Way, prompt: Prompt) -> str:
    """Return why a server's answer shows that it does not support a way; empty if it does."""
    if way in ("logprobs", "json+logprobs") and answer.tokens is None:
        return "no log probabilities"
    if way.startswith("json") and not isinstance(_parsed(answer.text), dict):
        return "no JSON" if answer.text else "an empty answer"
    return "" if answer.text or answer.tokens else "an empty answer"


def read_answer(
    answer: Answer, way: Way, prompt: Prompt, min_mass: float, *, sampled: bool = False
) -> dict[str, Reading]:
    """Return the reading of each construct that the prompt asks for.

    Parameters
    ----------
    answer
        What the server said.
    way, prompt
        How it was asked, and what.
    min_mass
        See :func:`~bayesdyn.ratings.answers.parse.read_distribution`.
    sampled
        The answer is one of several replicates: the value that was drawn is the rating.

    Notes
    -----
    Unrated, with a reason and never a number: a filtered, refused, empty, truncated or unparseable answer,
    a value off the scale, too little mass on the scale.
    """
    reason = _no_answer(answer, way)
    if reason:
        return dict.fromkeys(prompt.constructs, unrated(reason))
    if way == "logprobs":
        assert answer.tokens
        reading = read_distribution(answer.tokens[0][1], prompt.points, prompt.labels, min_mass)
        return {prompt.construct: reading}
    if way == "text":
        return {prompt.construct: _read_text(answer.text, prompt)}
    return _read_json(answer, prompt, min_mass, sampled)


def _no_answer(answer: Answer, way: Way) -> str:
    if answer.finish == "content_filter":
        return "content filter"
    if answer.refused:
        return "refusal"
    if not (answer.tokens if way == "logprobs" else answer.text.strip()):
        return "empty answer"
    if answer.finish == "length" and way.startswith("json") and not isinstance(_parsed(answer.text), dict):
        return "truncated answer"
    return ""


def _read_json(answer: Answer, prompt: Prompt, min_mass: float, sampled: bool) -> dict[str, Reading]:
    found = _parsed(answer.text)
    if not isinstance(found, dict):
        return dict.fromkeys(prompt.constructs, unrated("unparseable answer"))
    readings = {}
    for construct in prompt.constructs:
        if construct not in found:
            readings[construct] = unrated("no value for the construct")
            continue
        point = _point_of(found[construct], prompt)
        tops = None if sampled else _tops_of(answer, construct)
        if point is None:
            readings[construct] = unrated("value off the scale")
        elif tops is None:
            readings[construct] = Reading(None, float(point), None, "")
        else:
            readings[construct] = read_distribution(tops, prompt.points, prompt.labels, min_mass)
    return readings


def _tops_of(answer: Answer, construct: str) -> Tops | None:
    """Return the alternatives of the token in which a construct's value begins; None where unknown."""
    if answer.tokens is None:
        return None
    written = "".join(token for token, _ in answer.tokens)
    if written.strip() != answer.text.strip():
        return None  # e.g. bytes of a sign split over tokens: places cannot be told
    # A schema's key stands once; its value begins behind colon, spaces and quote.
    key = re.search(rf'"{re.escape(construct)}"\s*:\s*"?', written)
    if key is None:
        return None
    ends = list(accumulate(len(token) for token, _ in answer.tokens))
    return next((tops for (_, tops), end in zip(answer.tokens, ends, strict=True) if end > key.end()), None)


def _read_text(text: str, prompt: Prompt) -> Reading:
    words = re.findall(r"\w+", text.casefold())
    labels = [label.casefold() for label in prompt.labels]
    named = {labels.index(word) for word in words if word in labels}
    if len(named) != 1:
        return unrated("unparseable answer")
    return Reading(None, float(prompt.points[named.pop()]), None, "")


def _point_of(value: object, prompt: Prompt) -> int | None:
    """Return the scale point that a JSON value names, as the label or as the number."""
    text = str(value).strip().casefold()
    labels = [label.casefold() for label in prompt.labels]
    return prompt.points[labels.index(text)] if text in labels else None


def _parsed(text: str) -> object:
    """Return the JSON value of a text; None where it is none, or where a key stands twice."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None


def _schema(prompt: Prompt) -> dict[str, object]:
    numbers = all(label.isdecimal() for label in prompt.labels)
    labels: dict[str, object] = {"type": "string", "enum": list(prompt.labels)}
    one = {"type": "integer", "enum": list(prompt.points)} if numbers else labels
    return {
        "type": "object",
        "properties": {construct: one for construct in prompt.constructs},
        "required": list(prompt.constructs),
        "additionalProperties": False,
    }
