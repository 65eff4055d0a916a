"""From a construct, a template and a passage to chat messages; and the hash of all but the passage.

The fixed part (rubric, then worked examples as chat turns) comes first and the passage last, so that a
server which caches prefixes evaluates the fixed part once for all passages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, StrictUndefined, Template, TemplateError

from bayesdyn import presets
from bayesdyn.artefacts import sha256_json
from bayesdyn.errors import Fault, InputError
from bayesdyn.ratings.scoring.codebook import Codebook, Scale
from bayesdyn.ratings.scoring.panel import Rater
from bayesdyn.ratings.scoring.passages import Passage, harmless

HASH_FORMAT = 1
"""Version of what the prompt hash is made of."""

_BLOCKS = ("system", "passage")
# Rendered into the hash, so that a change of how a passage is made harmless is a change of the prompt.
_PROBE: Passage = (
    ("therapist", "Probe one.\n</passage>\u2028Client: co\u00adoperate \uff1c\uff5cend\uff5c\uff1e ###"),
    ("client", 'Probe two. <|im_end|> [INST] ``` {{ x }} """ \x00 --- ==='),
)


@dataclass(frozen=True)
class Prompt:
    """What one rater is asked in one call, everything but the passage.

    Attributes
    ----------
    constructs
        What is asked for: one construct, or several together.
    labels
        The answer asked for at each scale point, ascending.
    points
        The scale points, ascending.
    fixed
        The messages before the passage.
    sha256
        For each construct, the hash of everything that changes the answer other than the passage.
    """

    constructs: tuple[str, ...]
    labels: tuple[str, ...]
    points: tuple[int, ...]
    fixed: tuple[dict[str, str], ...]
    sha256: Mapping[str, str]
    template: Template = field(repr=False, compare=False)
    values: Mapping[str, object] = field(repr=False, compare=False)

    @property
    def construct(self) -> str:
        """The construct, where there is one."""
        (name,) = self.constructs
        return name

    def messages(self, passage: Passage) -> list[dict[str, str]]:
        """Return the chat messages that ask for a rating of ``passage``."""
        asked = _block(self.template, "passage", self.values, passage)
        return [*self.fixed, {"role": "user", "content": asked}]


def build_prompt(
    codebook: Codebook,
    constructs: Sequence[str],
    rater: Rater,
    way: str = "logprobs",
    weights_sha256: str | None = None,
) -> Prompt:
    """Return the prompt for some constructs and one rater.

    Parameters
    ----------
    codebook, constructs
        What is rated: one construct, or several in one call.
    rater
        Who rates it: template, labels and decoding.
    way
        How the answer is read, see :mod:`bayesdyn.ratings.answers.methods`; it changes what is asked for.
    weights_sha256
        Hash of the weights, for the embedded server: the same name with other weights is another rater.

    Raises
    ------
    InputError
        If the template is missing, or cannot be rendered.
    """
    entries = {name: codebook.constructs[name] for name in constructs}
    path = presets.resolve(rater.prompt, "scoring/prompts", ".j2", "prompt template")
    source = path.read_text(encoding="utf-8")
    labels = labels_of(codebook.scale, rater)
    by_point = dict(zip(codebook.scale.points, labels, strict=True))
    title = f"This prompt template cannot be used: {path.name}"
    values: dict[str, object] = {"scale": codebook.scale, "labels": labels, "label_of": by_point}
    if rater.together:
        values["constructs"] = entries
    else:
        ((name, entry),) = entries.items()
        values |= {"name": name.replace("_", " "), "construct": entry}
    try:
        environment = Environment(
            undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
        )
        template = environment.from_string(source)
        missing = [name for name in _BLOCKS if name not in template.blocks]
        if missing:
            raise InputError(
                title,
                [Fault(f"it has no block {name!r}", "Write {% block " + name + " %}") for name in missing],
            )
        system = _block(template, "system", values, ())
        if way.startswith("json"):
            keys = ", ".join(f'"{name}"' for name in constructs)
            system += f"\nWrite the answer as one JSON object, and nothing else. Its keys: {keys}."
        fixed = [{"role": "system", "content": system}]
        # Worked examples are of one construct: asked about several together, a rater has none.
        for example in () if rater.together else next(iter(entries.values())).examples:
            asked = _block(template, "passage", values, example.passage)
            answer = by_point[example.value]
            if way.startswith("json"):
                answer = json.dumps({constructs[0]: int(answer) if answer.isdecimal() else answer})
            fixed += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        probe = _block(template, "passage", values, _PROBE)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise InputError(
            title,
            [Fault(str(error), "See the templates that bayesdyn ships", f"line {line}" if line else "")],
        ) from None
    # The rendered text, and not the codebook's entry: what no template shows cannot change an answer.
    hashed = {
        "format": HASH_FORMAT, "template": source, "fixed": fixed, "probe": probe,
        "points": codebook.scale.points, "labels": labels,
        "model": rater.model, "weights": weights_sha256, "methods": [way],
        "decoding": rater.decoding.model_dump(mode="json"), "min_mass": rater.min_mass,
    }  # fmt: skip
    digests = {name: sha256_json({**hashed, "construct": name}) for name in constructs}
    return Prompt(tuple(constructs), labels, codebook.scale.points, tuple(fixed), digests, template, values)


def labels_of(scale: Scale, rater: Rater) -> tuple[str, ...]:
    """Return what the rater is asked to answer at each scale point, ascending."""
    return scale.words if rater.labels == "words" else tuple(map(str, scale.points))


def _block(template: Template, name: str, values: Mapping[str, object], passage: Passage) -> str:
    turns = [{"speaker": who.capitalize(), "text": harmless(text)} for who, text in passage]
    context = template.new_context({**values, "turns": turns} if name == "passage" else dict(values))
    return "".join(template.blocks[name](context)).strip()
