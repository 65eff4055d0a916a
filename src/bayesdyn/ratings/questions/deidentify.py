"""Take out of a text what identifies people, before it is hashed, stored in a prompt or sent.

A finder says where something identifying stands; what it found is replaced by a pseudonym that is the same
for the same thing in the same dyad, and different in another, so that a reader can still tell who is who
within a dyad and cannot follow anyone across dyads. No finder finds everything: this lowers a risk, and is
no licence to send transcripts anywhere.
"""

import base64
import hashlib
import importlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, cast

from bayesdyn.errors import Fault, InputError
from bayesdyn.ratings.questions.corpus import Deidentify

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

KEY_VARIABLE = "BAYESDYN_DEIDENTIFY_KEY"
"""The environment variable that holds the secret of the pseudonyms; whoever knows it can test a guess."""

_SIGNS = 4


class Span(NamedTuple):
    """Something identifying: where it stands in the text, what kind it is, how sure the finder is."""

    start: int
    end: int
    kind: str
    score: float = 1.0


def pseudonymise(find: Callable[[str], Iterable[Span]], key: str) -> Deidentify:
    """Return a hook for :func:`bayesdyn.rate` that replaces what a finder finds.

    Parameters
    ----------
    find
        Takes a text and returns what identifies someone in it; of overlapping spans the surest, then the
        longest, counts.
    key
        Secret of the pseudonyms. The same key gives the same pseudonyms, which a run that goes on needs.

    Returns
    -------
    callable
        Takes a text and its dyad, and returns the text with pseudonyms such as ``PERSON-K7QX``.
    """

    def change(text: str, dyad: str) -> str:
        kept: list[Span] = []
        for span in sorted(find(text), key=lambda one: (-one.score, one.start - one.end, one.start)):
            if all(span.end <= other.start or other.end <= span.start for other in kept):
                kept.append(span)
        for span in sorted(kept, reverse=True):
            name = f"{span.kind}-{_pseudonym(text[span.start : span.end], span.kind, dyad, key)}"
            text = text[: span.start] + name + text[span.end :]
        return text

    return change


def presidio(key: str, model: str | None = "en_core_web_lg", *, threshold: float = 0.35) -> Deidentify:
    """Return a hook that finds by Presidio (extra ``deidentify``), on this machine and without the network.

    Parameters
    ----------
    key
        See :func:`pseudonymise`.
    model
        The spaCy model that finds names and places; it must be installed. None: patterns only (numbers,
        addresses of mail and web, cards), which find **no names**.
    threshold
        Least score at which something counts as found.

    Raises
    ------
    InputError
        If the extra or the model is not installed.
    """
    engine = _engine(model)

    def find(text: str) -> Iterable[Span]:
        for found in engine.analyze(text=text, language="en", score_threshold=threshold):
            yield Span(found.start, found.end, found.entity_type.replace("_", ""), found.score)

    return pseudonymise(find, key)


def hook_of(name: str) -> Deidentify:
    """Return the hook that the command line names: ``presidio``, ``presidio-patterns``, ``module:function``.

    Raises
    ------
    InputError
        If there is no such function, or the environment lacks the key that Presidio's pseudonyms need.
    """
    if name not in ("presidio", "presidio-patterns"):
        return _imported(name)
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        raise InputError(
            "Pseudonyms need a secret",
            [
                Fault(
                    f"the environment variable {KEY_VARIABLE} is not set",
                    f"Set it to a long random text, and keep it: export {KEY_VARIABLE}=...",
                )
            ],
        )
    return presidio(key) if name == "presidio" else presidio(key, None)


def _pseudonym(found: str, kind: str, dyad: str, key: str) -> str:
    said = " ".join(found.casefold().split())
    secret = hashlib.sha256(key.encode()).digest()
    digest = hashlib.blake2b(f"{dyad}\0{kind}\0{said}".encode(), key=secret, digest_size=10).digest()
    return base64.b32encode(digest).decode()[:_SIGNS]


def _engine(model: str | None) -> "AnalyzerEngine":
    try:
        import spacy
        import tldextract.tldextract as suffixes
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
    except ModuleNotFoundError as error:
        raise InputError(
            "Presidio is not installed",
            [
                Fault(
                    f"package {error.name} is missing",
                    "Install the extra: pip install 'bayesdyn[deidentify]'",
                )
            ],
        ) from None
    # Presidio checks mail addresses by a library that would fetch a list of domains: nothing may call out.
    suffixes.TLD_EXTRACTOR = suffixes.TLDExtract(suffix_list_urls=(), cache_dir=None)
    if model is not None and not spacy.util.is_package(model):
        raise InputError(
            "Names cannot be found",
            [
                Fault(
                    f"the spaCy model {model} is not installed",
                    f"Run: python -m spacy download {model}; or use presidio-patterns, which finds no names",
                )
            ],
        )
    engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": model or "blank"}])
    if model is None:
        engine.nlp = {"en": spacy.blank("en")}
    return AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])


def _imported(name: str) -> Deidentify:
    module, colon, function = name.partition(":")
    fault = Fault(f"{name!r} names no function", "Give presidio, presidio-patterns or module:function")
    if not colon:
        raise InputError("There is no such de-identification", [fault])
    try:
        found: object = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(
            "There is no such de-identification",
            [Fault(f"{name!r} cannot be imported ({type(error).__name__})", "Is its folder on PYTHONPATH?")],
        ) from None
    if not callable(found):
        raise InputError("There is no such de-identification", [fault])
    return cast(Deidentify, found)
