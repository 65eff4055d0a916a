"""The codebook: which constructs are rated, what each means, and on which scale."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from bayesdyn import presets
from bayesdyn.artefacts import sha256_json
from bayesdyn.errors import Fault, InputError
from bayesdyn.ratings.scoring.yaml_file import Frozen, read_yaml, validated

Speaker = Literal["therapist", "client"]


class Scale(Frozen):
    """An ordinal scale of whole numbers, with a word for each point for raters that are asked for words."""

    min: int
    max: int
    words: tuple[str, ...]

    @field_validator("max")
    @classmethod
    def _wide_enough(cls, top: int, info: ValidationInfo) -> int:
        if "min" in info.data and not 2 <= top - info.data["min"] + 1 <= 10:
            raise ValueError("the scale has fewer than 2 or more than 10 points; Give min below max")
        return top

    @field_validator("words")
    @classmethod
    def _one_word_a_point(cls, words: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if {"min", "max"} <= info.data.keys() and len(words) != info.data["max"] - info.data["min"] + 1:
            raise ValueError(f"{len(words)} words for the scale's points; Give one word for each point")
        folded = [word.casefold() for word in words]
        for word in folded:
            if not word.isalpha():
                raise ValueError(f"{word!r} is not one plain word; Use letters only")
            if any(other.startswith(word) for other in folded if other is not word):
                raise ValueError(f"{word!r} begins another word; A rater's first token must tell them apart")
        return words

    @property
    def points(self) -> tuple[int, ...]:
        """The scale points, ascending."""
        return tuple(range(self.min, self.max + 1))


class Example(Frozen):
    """A worked example: a passage and the value that a good rater gives it."""

    turns: tuple[dict[Speaker, str], ...] = Field(min_length=1)
    value: int

    @field_validator("turns")
    @classmethod
    def _one_speaker_a_turn(cls, turns: tuple[dict[Speaker, str], ...]) -> tuple[dict[Speaker, str], ...]:
        if any(len(turn) != 1 for turn in turns):
            raise ValueError("a turn is one line 'therapist: ...' or 'client: ...'; Split it")
        return turns

    @property
    def passage(self) -> tuple[tuple[Speaker, str], ...]:
        """The turns as (speaker, text)."""
        return tuple(pair for turn in self.turns for pair in turn.items())


class Window(Frozen):
    """A unit of several exchanges in a row, counted from the session's first; the last may be shorter."""

    window: int = Field(ge=2, le=100)


class Construct(Frozen):
    """One construct: definition, who shows it, what a rater reads, an anchor for each scale point.

    ``phrase`` is the construct in everyday words, for raters too small for its definition. ``unit`` is what
    one rating is about: an exchange, ``{window: k}`` exchanges, or the session; the rating stands at the
    unit's last exchange. ``shows`` are the turns of the unit that a rater reads; ``context`` is the number
    of whole previous exchanges of the same session shown before it.
    """

    phrase: str = Field(min_length=1)
    who: Literal["therapist", "client", "dyad"]
    unit: Literal["exchange", "session"] | Window = "exchange"
    shows: tuple[Speaker, ...] = Field(min_length=1)
    context: int = Field(ge=0, le=20)
    definition: str = Field(min_length=1)
    question: str = Field(min_length=1)
    anchors: dict[int, str]
    examples: tuple[Example, ...] = ()

    @property
    def exchanges(self) -> int | None:
        """How many exchanges one rating is about; None: those of the session."""
        if isinstance(self.unit, Window):
            return self.unit.window
        return 1 if self.unit == "exchange" else None

    @field_validator("shows")
    @classmethod
    def _shows_who_shows_it(cls, shows: tuple[Speaker, ...], info: ValidationInfo) -> tuple[Speaker, ...]:
        who = info.data.get("who")
        needed = {"therapist", "client"} if who == "dyad" else {str(who)}
        if who and not needed <= set(shows):
            raise ValueError(f"it leaves out a turn of the {who}; Add {' and '.join(sorted(needed))}")
        return shows

    @field_validator("anchors")
    @classmethod
    def _anchor_each_point(cls, anchors: dict[int, str], info: ValidationInfo) -> dict[int, str]:
        scale: Scale | None = info.context
        if scale is not None:
            wrong = sorted(set(anchors) ^ set(scale.points))
            if wrong:
                raise ValueError(
                    f"anchors and scale points differ at {', '.join(map(str, wrong))}; "
                    f"Give one anchor for each of {scale.min} to {scale.max}"
                )
        return anchors

    @field_validator("examples")
    @classmethod
    def _examples_fit(cls, examples: tuple[Example, ...], info: ValidationInfo) -> tuple[Example, ...]:
        scale: Scale | None = info.context
        for number, example in enumerate(examples, 1):
            if scale is not None and example.value not in scale.points:
                raise ValueError(
                    f"example {number} has value {example.value}, off the scale; "
                    f"Give {scale.min} to {scale.max}"
                )
        return examples


class Codebook(Frozen):
    """The set of constructs of a study, on one scale."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    title: str = ""
    scale: Scale
    constructs: dict[str, Construct] = Field(min_length=1)

    @field_validator("constructs")
    @classmethod
    def _names_fit_a_model_file(cls, constructs: dict[str, Construct]) -> dict[str, Construct]:
        for name in constructs:
            if not name.isidentifier():
                raise ValueError(f"{name!r} cannot be used in a model file; Use letters, digits and _")
        return constructs

    @property
    def sha256(self) -> str:
        """Hash of the content, whatever the layout of the file."""
        return sha256_json(self.model_dump(mode="json"))


def load_codebook(name_or_path: str | Path | Codebook) -> Codebook:
    """Return a codebook: a preset by name (``chen2026``), a YAML file, or a codebook as it is.

    Raises
    ------
    InputError
        If there is no such codebook, or with every fault of the file, each with its line.
    """
    if isinstance(name_or_path, Codebook):
        return name_or_path
    path = presets.resolve(name_or_path, "scoring", ".yaml", "codebook")
    value, node = read_yaml(path, "codebook")
    return validated(
        Codebook, value, node, f"This codebook cannot be used: {path.name}", _scale_of(value.get("scale"))
    )


def pick_constructs(codebook: Codebook, names: list[str] | None) -> tuple[str, ...]:
    """Return the constructs to rate, in the codebook's order; all of them where ``names`` is None.

    Raises
    ------
    InputError
        If a name is not in the codebook.
    """
    unknown = [name for name in names or () if name not in codebook.constructs]
    if unknown:
        known = ", ".join(codebook.constructs)
        raise InputError(
            f"Codebook {codebook.name} cannot rate this",
            [Fault(f"unknown construct {name!r}", f"It has {known}") for name in unknown],
        )
    return tuple(name for name in codebook.constructs if names is None or name in names)


def _scale_of(raw: object) -> Scale | None:
    """Return the scale for checks of the constructs; its own faults are reported by the whole codebook."""
    try:
        return Scale.model_validate(raw)
    except ValidationError:
        return None
