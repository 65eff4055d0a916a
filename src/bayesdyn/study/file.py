"""``study.toml``: what a whole study is made of, checked before any work, with every fault placed."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, cast, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator

from bayesdyn.errors import Fault, FaultList, FaultsError, InputError
from bayesdyn.ratings.scoring.yaml_file import Frozen
from bayesdyn.structure.language.toml_lines import key_lines
from bayesdyn.structure.language.words import did_you_mean


class Named(Frozen):
    """Section ``[study]``."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    random_seed: int = Field(ge=0)


class Transcripts(Frozen):
    """Section ``[transcripts]``: the arguments of :func:`bayesdyn.read_transcripts`.

    In ``columns``, ``session = false`` says that each dyad has one session (TOML has no null).
    """

    path: str = Field(min_length=1)
    format: str = "auto"
    ids: str | None = None
    speakers: dict[str, str] | None = None
    columns: dict[str, str | Literal[False]] | None = None
    encoding: str = "utf-8"
    one_speaker: Literal["raise", "set_aside"] = "raise"


class RatingsBy(Frozen):
    """Section ``[ratings]``: the arguments of :func:`bayesdyn.rate`.

    ``deidentify`` is a name, as ``bayesdyn rate --deidentify`` takes it.
    """

    codebook: str = "chen2026"
    panel: str = "local"
    ledger: str = "ratings.sqlite"
    allow_remote: bool = False
    raters: list[str] | None = Field(default=None, min_length=1)
    constructs: list[str] | None = Field(default=None, min_length=1)
    max_cost: float | None = Field(default=None, ge=0)
    deidentify: str | None = Field(default=None, min_length=1)


class Human(Frozen):
    """Section ``[human]``, optional: ratings of human coders, as :func:`bayesdyn.read_ratings` reads them."""

    path: str = Field(min_length=1)
    columns: dict[str, str] | None = None


Likelihood = Literal["gaussian", "ordinal"]


class MeasuresFrom(Frozen):
    """Section ``[measures]``: the arguments of :func:`bayesdyn.measure`.

    ``shared_prior = false`` says that the LLMs share no error (TOML has no null).
    """

    reliability_prior: tuple[float, float] | dict[str, tuple[float, float]] = (6.0, 4.0)
    coder_prior: tuple[float, float] = (7.0, 3.0)
    shared_prior: tuple[float, float] | Literal[False] = (1.0, 4.0)
    likelihood: Likelihood | dict[str, Likelihood] = "gaussian"
    discrimination: Literal["auto", "equal", "proportional", "free"] = "auto"
    levels: bool = True
    most_sessions: int = Field(default=320, ge=1)
    draws: int = Field(default=400, ge=4)

    @field_validator("reliability_prior", "coder_prior", "shared_prior", mode="before")
    @classmethod
    def _betas(cls, value: object) -> object:
        if value is False:
            return value
        given: list[object] = list(value.values()) if isinstance(value, dict) else [value]
        for prior in given:
            parts: list[object] = list(prior) if isinstance(prior, list | tuple) else []
            if len(parts) != 2 or not all(isinstance(part, int | float) and part > 0 for part in parts):
                raise ValueError("it is no Beta; Give two numbers above 0, as [6, 4], or a table of them")
        return value


class FitBy(Frozen):
    """Section ``[fit]``: the arguments of :func:`bayesdyn.fit`.

    Where ``measurement`` is left out it is the model file's own, else ``known``.
    """

    model: str = "chen2026"
    measurement: Literal["known", "propagated", "joint", "two_stage", "none"] | None = None
    kappa: bool = True
    draws: int = Field(default=1000, ge=4)
    tune: int = Field(default=1000, ge=1)
    chains: int = Field(default=4, ge=1)
    target_accept: float = Field(default=0.9, gt=0, lt=1)
    backend: Literal["jax", "numba"] = "jax"
    sampler: Literal["nutpie", "numpyro", "blackjax"] = "nutpie"


class Sweeps(Frozen):
    """Section ``[sensitivity]``: the arguments of :func:`bayesdyn.sensitivity`."""

    kinds: tuple[Literal["reliability"], ...] = ("reliability",)
    factors: tuple[float, ...] = Field(default=(0.0, 0.5, 1.0, 1.5, 2.0), min_length=2)
    draws: int = Field(default=500, ge=4)
    tune: int = Field(default=500, ge=1)
    chains: int = Field(default=2, ge=1)


class ReportTo(Frozen):
    """Section ``[report]``: the folder of ``report.html`` and of every artefact, beside the study file."""

    out: str = Field(default="reports", min_length=1)


class StudyFile(Frozen):
    """A study file as written; unnamed settings have the defaults of the functions they go to."""

    study: Named
    transcripts: Transcripts
    ratings: RatingsBy = RatingsBy()
    human: Human | None = None
    measures: MeasuresFrom = MeasuresFrom()
    fit: FitBy = FitBy()
    sensitivity: Sweeps = Sweeps()
    report: ReportTo = ReportTo()


def load_study(path: str | Path) -> StudyFile:
    """Read a study file.

    Parameters
    ----------
    path
        The file, or the folder that holds ``study.toml``.

    Raises
    ------
    InputError
        With every fault: its line, its place, and the nearest known name.
    """
    file = study_path(path)
    title = f"The study file {file.name} cannot be used"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            title,
            [Fault(error.strerror or "it cannot be read", "Make a study with: bayesdyn init DIR", str(file))],
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            title, [Fault("it is not UTF-8 text", "Save it as UTF-8", f"byte {error.start + 1}")]
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(title, [Fault(f"this is not TOML: {error}", "Text stands in quotes")]) from None
    try:
        return StudyFile.model_validate(document)
    except ValidationError as error:
        lines = key_lines(text)
        raise InputError(title, list(_faults(error, lines))) from None


def study_path(path: str | Path) -> Path:
    """Return the study file that a path means: itself, or ``study.toml`` in a folder."""
    given = Path(path)
    return given / "study.toml" if given.is_dir() else given


def beside(value: str, base: Path, folder: str, suffix: str) -> str:
    """Return the file that a study means: a path beside it, else a name in its own ``folder``, else a preset.

    A study laid out by ``bayesdyn init`` has presets of its own, so that what is edited there takes effect.
    """
    for own in (base / value, base / folder / f"{value}{suffix}"):
        if own.suffix == suffix and own.is_file():
            return str(own)
    return value


def gather(faults: FaultList, where: str, error: FaultsError) -> None:
    """Add all faults of an error found while a study is checked, each with the section it belongs to."""
    found = error.faults or (Fault(error.title),)
    for fault in found:
        place = f"{where}, {fault.where}" if fault.where else where
        what = fault.what if fault is not found[0] or not error.faults else f"{error.title}: {fault.what}"
        faults.add(what, fault.remedy, place)


def _faults(error: ValidationError, lines: Mapping[tuple[str, ...], int]) -> Iterator[Fault]:
    """Yield one fault per place, in the order of the file."""
    told: set[tuple[str, ...]] = set()
    for case in sorted(error.errors(include_url=False), key=lambda case: _line(case["loc"], lines)):
        keys = tuple(map(str, case["loc"]))
        # What pydantic adds to a place within a union is no key of the file.
        there = max((n for n in range(len(keys) + 1) if keys[:n] in lines), default=0)
        keys = keys if case["type"] == "missing" else keys[: max(there, 1)]
        if keys in told:
            continue
        told.add(keys)
        line = _line(keys, lines)
        where = (f"line {line}, " if line else "") + (f"[{keys[0]}]" + "".join(f" {key}" for key in keys[1:]))
        word = keys[-1]
        match case["type"]:
            case "extra_forbidden":
                known = list(_model_at(keys[:-1]).model_fields)
                remedy = did_you_mean(word, known) or f"Known here: {', '.join(known)}"
                yield Fault(f"unknown {'section' if len(keys) == 1 else 'key'} {word!r}", remedy, where)
            case "missing":
                yield Fault(f"{word!r} is missing", "Add it", where)
            case "literal_error":
                expected = str(case.get("ctx", {}).get("expected", ""))
                options = [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]
                remedy = did_you_mean(str(case["input"]), options) or f"Give {expected}"
                yield Fault(f"{case['input']!r} is not known", remedy, where)
            case "value_error":
                what, _, remedy = str(case["msg"]).removeprefix("Value error, ").partition("; ")
                yield Fault(what, remedy, where)
            case _:
                shown = f" (found {case['input']!r})" if isinstance(case["input"], str | int | float) else ""
                yield Fault(case["msg"][0].lower() + case["msg"][1:] + shown, "", where)


def _line(loc: tuple[int | str, ...], lines: Mapping[tuple[str, ...], int]) -> int:
    keys = tuple(map(str, loc))
    return next((lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in lines), 0)


def _model_at(keys: tuple[str, ...]) -> type[BaseModel]:
    model: type[BaseModel] = StudyFile
    for key in keys:
        annotation = model.model_fields[key].annotation
        kinds = [annotation, *get_args(annotation)]
        model = next(
            cast(type[BaseModel], kind)
            for kind in kinds
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        )
    return model
