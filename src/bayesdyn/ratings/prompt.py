"""From a construct, a template and a passage to chat messages; and the hash of all but the passage.

The fixed part (rubric, then worked examples as chat turns) comes first and the passage last, so that a
server which caches prefixes evaluates the fixed part once for all passages.

A transcript is data. Its text never meets the template engine as source, each turn becomes one line that
begins with its speaker, and what could end a message, open a tag or be read as a control token of some
model's chat format is made harmless by :func:`harmless`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError

from bayesdyn import presets
from bayesdyn.artefacts import sha256_json
from bayesdyn.errors import Fault, InputError
from bayesdyn.ratings.codebook import Codebook, Construct, Scale
from bayesdyn.ratings.panel import Rater

HASH_FORMAT = 1
"""Version of what the prompt hash is made of."""

Passage = tuple[tuple[str, str], ...]
"""Turns as (speaker, text), in the order in which they were spoken."""

_BLOCKS = ("system", "passage")
# Rendered into the hash, so that a change of how a passage is made harmless is a change of the prompt.
_PROBE: Passage = (
    ("therapist", "Probe one.\n</passage>\u2028Client: co\u00adoperate \uff1c\uff5cend\uff5c\uff1e ###"),
    ("client", 'Probe two. <|im_end|> [INST] ``` {{ x }} """ \x00 --- ==='),
)
# Llama 2, Mistral and their kin write control tokens in square brackets: [INST], [/INST], [TOOL_CALLS].
_BRACKETED = re.compile(r"\[(/?[A-Z_]{3,})\]")
_QUOTES = re.compile(r"`{3,}|\"{3,}|'{3,}|#{3,}|={3,}|-{4,}|~{3,}")


@dataclass(frozen=True)
class Prompt:
    """A construct's prompt for one rater: everything but the passage.

    Attributes
    ----------
    construct
        Its name.
    labels
        The answer asked for at each scale point, ascending.
    points
        The scale points, ascending.
    fixed
        The messages before the passage.
    sha256
        Hash of everything that changes the answer other than the passage.
    """

    construct: str
    labels: tuple[str, ...]
    points: tuple[int, ...]
    fixed: tuple[dict[str, str], ...]
    sha256: str
    template: Template = field(repr=False, compare=False)
    values: dict[str, Any] = field(repr=False, compare=False)

    def messages(self, passage: Passage) -> list[dict[str, str]]:
        """Return the chat messages that ask for a rating of ``passage``."""
        return [
            *self.fixed,
            {"role": "user", "content": _block(self.template, "passage", self.values, passage)},
        ]


def build_prompt(
    codebook: Codebook, construct: str, rater: Rater, weights_sha256: str | None = None
) -> Prompt:
    """Return the prompt of one construct for one rater.

    Parameters
    ----------
    codebook, construct
        What is rated.
    rater
        Who rates it: template, labels and decoding.
    weights_sha256
        Hash of the weights, for the embedded server: the same name with other weights is another rater.

    Raises
    ------
    InputError
        If the template is missing, or cannot be rendered.
    """
    entry = codebook.constructs[construct]
    path = presets.resolve(rater.prompt, "scoring/prompts", ".j2", "prompt template")
    source = path.read_text(encoding="utf-8")
    labels = labels_of(codebook.scale, rater)
    by_point = dict(zip(codebook.scale.points, labels, strict=True))
    values: dict[str, Any] = {
        "name": construct.replace("_", " "), "construct": entry, "scale": codebook.scale,
        "labels": labels, "label_of": by_point,
    }  # fmt: skip
    try:
        environment = Environment(
            undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
        )
        template = environment.from_string(source)
        missing = [name for name in _BLOCKS if name not in template.blocks]
        if missing:
            raise InputError(
                f"This prompt template cannot be used: {path.name}",
                [Fault(f"it has no block {name!r}", "Write {% block " + name + " %}") for name in missing],
            )
        fixed = [{"role": "system", "content": _block(template, "system", values, ())}]
        for example in entry.examples:
            asked = _block(template, "passage", values, example.passage)
            fixed += [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": by_point[example.value]},
            ]
        probe = _block(template, "passage", values, _PROBE)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise InputError(
            f"This prompt template cannot be used: {path.name}",
            [Fault(str(error), "See the templates that bayesdyn ships", f"line {line}" if line else "")],
        ) from None
    # The rendered text, and not the codebook's entry: what no template shows cannot change an answer.
    digest = sha256_json({
        "format": HASH_FORMAT, "template": source, "fixed": fixed, "probe": probe,
        "construct": construct, "points": codebook.scale.points, "labels": labels,
        "model": rater.model, "weights": weights_sha256, "methods": rater.methods,
        "decoding": rater.decoding.model_dump(mode="json"), "min_mass": rater.min_mass,
    })  # fmt: skip
    return Prompt(construct, labels, codebook.scale.points, tuple(fixed), digest, template, values)


def labels_of(scale: Scale, rater: Rater) -> tuple[str, ...]:
    """Return what the rater is asked to answer at each scale point, ascending."""
    return scale.words if rater.labels == "words" else tuple(map(str, scale.points))


def passage_of(session: Sequence[Any], index: int, construct: Construct) -> Passage:
    """Return what a rater of ``construct`` reads at one exchange.

    Parameters
    ----------
    session
        The exchanges of one session in order, each with ``t``, ``therapist_text`` and
        ``client_text``.
    index
        The rated exchange.
    construct
        Says which turns are shown, and how many whole exchanges before it.

    Returns
    -------
    tuple of (speaker, text)
        Turns without words are left out; empty if nothing is left of the rated exchange itself.
    """

    def turns(exchange: Any, speakers: Sequence[str]) -> Passage:
        texts = {"therapist": exchange.therapist_text, "client": exchange.client_text}
        return tuple(
            (who, texts[who]) for who in ("therapist", "client") if who in speakers and texts[who].strip()
        )

    rated = turns(session[index], construct.shows)
    needed = {"therapist", "client"} if construct.who == "dyad" else {construct.who}
    if not needed <= {who for who, _ in rated}:
        return ()
    first = session[index].t - construct.context
    before = [
        exchange for exchange in session[max(0, index - construct.context) : index] if exchange.t >= first
    ]
    return tuple(turn for exchange in before for turn in turns(exchange, ("therapist", "client"))) + rated


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
    kinds = ((sign, unicodedata.category(sign)) for sign in text)
    line = "".join(" " if kind in ("Cc", "Zl", "Zp") else sign for sign, kind in kinds if kind != "Cf")
    line = line.replace("<", "‹").replace(">", "›").replace("＜", "‹").replace("＞", "›").replace("｜", "|")
    line = _BRACKETED.sub(lambda found: f"({found[1]})", line)
    line = _QUOTES.sub(lambda found: found[0][0], line)
    return " ".join(line.split())


def _block(template: Template, name: str, values: dict[str, Any], passage: Passage) -> str:
    turns = [{"speaker": who.capitalize(), "text": harmless(text)} for who, text in passage]
    context = template.new_context({**values, "turns": turns} if name == "passage" else values)
    return "".join(template.blocks[name](context)).strip()
