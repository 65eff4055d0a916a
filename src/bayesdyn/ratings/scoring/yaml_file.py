"""Read a YAML file into a frozen pydantic model, with every fault placed at its line.

Codebooks and panels are files that researchers edit by hand: what is wrong is said for the whole file at
once, with the line, the word, and the nearest known name.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bayesdyn.errors import Fault, FaultList, InputError


class Frozen(BaseModel):
    """Base of what a content file holds: immutable, and every key must be a known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


def read_yaml(path: Path, noun: str) -> tuple[Mapping[str, Any], yaml.Node]:
    """Return the mapping in a YAML file and its node tree, which knows the lines.

    Raises
    ------
    InputError
        If the file cannot be read, is no UTF-8, is no valid YAML, repeats a key or holds no mapping.
    """
    title = f"This {noun} cannot be used: {path.name}"
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except OSError as error:
        raise InputError(title, [Fault(error.strerror or "it cannot be read", "Check the path")]) from None
    except UnicodeDecodeError:
        raise InputError(title, [Fault("it is not UTF-8 text", "Save it as UTF-8")]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "it is no valid YAML"
        where = f"line {mark.line + 1}" if mark else ""
        raise InputError(title, [Fault(what, "Mind indents, colons and quotes", where)]) from None
    if not isinstance(value, dict) or node is None:
        raise InputError(title, [Fault("it holds no keys", f"See the {noun}s that bayesdyn ships")])
    faults = FaultList()
    for key, line in _repeated_keys(node):
        faults.add(f"key {key!r} stands twice", "Keep one", f"line {line}")
    faults.raise_if_any(title)
    return value, node


def validated[Model: Frozen](
    model: type[Model], value: Mapping[str, object], node: yaml.Node, title: str, context: object = None
) -> Model:
    """Return ``value`` as ``model``.

    Parameters
    ----------
    model
        The pydantic model to make.
    value, node
        What :func:`read_yaml` returned.
    title
        First line of the error.
    context
        Handed to the model's validators, which can check a part against the whole.

    Raises
    ------
    InputError
        With one fault for each thing wrong: its line, its place, and the nearest known name.
    """
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        raise InputError(title, list(_faults(error, model, node))) from None


def _faults(error: ValidationError, model: type[Frozen], node: yaml.Node) -> Iterator[Fault]:
    known = _field_names(model)
    cases = error.errors(include_url=False)
    for case in cases:
        loc = case["loc"]
        below = [one["loc"] for one in cases if len(one["loc"]) > len(loc) and one["loc"][: len(loc)] == loc]
        if case["type"] == "too_short" and below:
            continue  # its items are there, and wrong: each has its own fault
        where = f"line {line_of(node, loc)}" + (f", {'.'.join(map(str, loc))}" if loc else "")
        word = str(loc[-1]) if loc else ""
        match case["type"]:
            case "extra_forbidden":
                yield Fault(f"unknown key {word!r}", _nearest(word, known), where)
            case "missing":
                yield Fault(f"{word!r} is missing", "Add it", where)
            case "literal_error":
                expected = str(case.get("ctx", {}).get("expected", ""))
                found = str(case["input"])
                words = [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]
                yield Fault(f"{found!r} is not one of {expected}", _nearest(found, words), where)
            case "value_error":
                what, _, remedy = str(case["msg"]).removeprefix("Value error, ").partition("; ")
                yield Fault(what, remedy, where)
            case _:
                found = f" (found {case['input']!r})" if isinstance(case["input"], str | int | float) else ""
                yield Fault(case["msg"][0].lower() + case["msg"][1:] + found, "", where)


def line_of(node: yaml.Node, loc: tuple[int | str, ...]) -> int:
    """Return the 1-based line of a place in a YAML tree, or of its nearest ancestor that exists."""
    line = node.start_mark.line + 1
    for step in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _repeated_keys(node: yaml.Node) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield str(key.value), key.start_mark.line + 1
            seen.add(str(key.value))
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for part in node.value:
            yield from _repeated_keys(part)


def _field_names(model: type[BaseModel]) -> list[str]:
    names: list[str] = []
    for name, field in model.model_fields.items():
        names.append(name)
        for kind in _models_in(field.annotation):
            names += _field_names(kind)
    return names


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield cast(type[BaseModel], annotation)
    for part in get_args(annotation):
        yield from _models_in(part)


def _nearest(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else ""
