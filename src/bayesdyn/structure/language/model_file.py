"""Model files: TOML with the paths as text, read into a :class:`ModelSpec` and written back."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path as FilePath

from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.presets import is_file, resolve
from bayesdyn.structure.language.blocks import check_written_blocks
from bayesdyn.structure.language.checks import check_near_labels, check_statements
from bayesdyn.structure.language.model_text import to_text
from bayesdyn.structure.language.sections import declared_names, named_labels, read_sections
from bayesdyn.structure.language.spec import BUILT_IN_COVARIATES, LEVELS, ModelSpec, covariate_of
from bayesdyn.structure.language.statements import Statements
from bayesdyn.structure.language.syntax import read_statements
from bayesdyn.structure.language.toml_lines import key_lines, string_start
from bayesdyn.structure.language.words import did_you_mean, sentence

__all__ = ["check_names", "load_model", "to_text"]

_TITLE = "The model cannot be used"
_LINE = re.compile(r"line (\d+)(?:, column (\d+))?")


def load_model(model: str | FilePath) -> ModelSpec:
    """Read a model.

    Parameters
    ----------
    model
        The name of a preset (``chen2026``), a path to a ``.toml`` file, or the text of a model file (a
        string with a newline or a ``[``).

    Returns
    -------
    ModelSpec
        The model as written: the laws of noisy predictors are added when it is built.

    Raises
    ------
    InputError
        With every fault found: its line and column, the word, and the nearest known one.
    """
    if not isinstance(model, str | FilePath):
        what = f"a model is given as {type(model).__name__}"
        raise InputError(_TITLE, [Fault(what, "Give a preset, a path, or the text of a model file")])
    if isinstance(model, str) and ("\n" in model or ("[" in model and not is_file(FilePath(model)))):
        return _parse(model, "model", _TITLE)
    path = resolve(model, "models", ".toml", "model")
    title = f"The model file {path.name} cannot be used"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        fault = Fault("it is not UTF-8 text", "Save it as UTF-8", f"byte {error.start + 1}")
        raise InputError(title, [fault]) from error
    return _parse(text, path.stem, title)


def check_names(spec: ModelSpec, constructs: Iterable[str], covariates: Iterable[str] = ()) -> None:
    """Check that the measures hold all that a model names.

    Parameters
    ----------
    spec
        The model.
    constructs, covariates
        The names that the measures hold; ``phase`` is built in.

    Raises
    ------
    InputError
        With one fault per unknown name, where it stands and the nearest known name, one per outcome that is
        no construct, and one per label that is the name of a construct or covariate (:mod:`.products`).
    """
    rated, given = tuple(constructs), tuple(covariates)
    known = (*rated, *given, *BUILT_IN_COVARIATES)
    first = {word: (line, column) for word, line, column in reversed(spec.words)}
    named = [*spec.names, *(item.outcome for item in spec.varying)]
    named += [name for pair in spec.residuals for name in (pair.left, pair.right)]
    used = sorted(dict.fromkeys(named), key=lambda name: first.get(name, (0, 0)))
    faults = FaultList()
    for name in spec.crossed:
        if name not in given:
            near = did_you_mean(name, (*LEVELS, *given))
            known_groups = ", ".join((*LEVELS, *given))
            remedy = sentence(near, f"A group is one of {known_groups}")
            faults.add(f"unknown group {name!r}", remedy, spec.where(name))
    for name in used:
        where = spec.where(name)
        if name not in known and covariate_of(name) not in given:
            remedy = sentence(did_you_mean(name, known), f"The measures hold {', '.join(known)}")
            faults.add(f"unknown name {name!r}", remedy, where)
        elif name in spec.outcomes and name not in rated:
            faults.add(f"the outcome {name!r} is a covariate", "An outcome is a rated construct", where)
    for name, party in spec.parties:
        if name in used and name in known and name not in rated:
            faults.add(f"{name!r} is a covariate", "Remove it", spec.line_of("constructs", party))
    for path in spec.paths:
        if path.label in known:
            faults.add(
                f"the label {path.label!r} of {str(path.term)!r} is the name of a construct or covariate",
                f"Name it otherwise; a product is {path.label} + {path.term} + {path.label}:{path.term}",
                path.where,
            )
    faults.raise_if_any(f"The model {spec.name!r} names what the measures do not hold")


def _parse(text: str, default_name: str, title: str) -> ModelSpec:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(title, [_toml_fault(error, text)]) from error
    faults = FaultList()
    lines = key_lines(text)
    model = document.get("model")
    written = model.get("paths") if isinstance(model, dict) else None
    statements = Statements(complete=False)
    if isinstance(written, str):
        line, column = 1, 1
        if ("model", "paths") in lines:
            line, column = string_start(text, lines["model", "paths"])
        # Blanks stand for what precedes the string on its line, so that columns are those of the file.
        statements = read_statements(" " * (column - 1) + written, faults, line, declared_names(document))
        check_statements(statements, faults)
        if not statements.paths and statements.complete:
            faults.add("there is no path", "Write one, e.g. disclosure ~ empathy", f"line {line}")
        check_near_labels(statements, declared_names(document), named_labels(document), faults)
    spec = read_sections(document, statements, lines, faults, default_name, text)
    if not faults.faults:
        check_written_blocks(spec, faults)
    faults.faults.sort(key=_position)
    faults.raise_if_any(title)
    return spec


def _toml_fault(error: tomllib.TOMLDecodeError, text: str) -> Fault:
    message = str(error)
    place = re.search(r"\s*\(at (line \d+, column \d+|end of document)\)", message)
    what = "this is not TOML: " + (message[: place.start()] if place else message)
    where = place.group(1) if place else ""
    if where == "end of document":
        where = f"line {text.count(chr(10)) + 1}"
    return Fault(what, 'Text stands in quotes, the paths between """ and """', where)


def _position(fault: Fault) -> tuple[int, int]:
    match = _LINE.match(fault.where)
    return (int(match.group(1)), int(match.group(2) or 0)) if match else (0, 0)
