"""A model written out as a model file, such that reading it gives the same model again."""

import json
import re
from collections.abc import Iterator
from itertools import groupby

from bayesdyn.structure.language.spec import ModelSpec, Path, Varying

_WIDTH = 100


def to_text(spec: ModelSpec) -> str:
    """Return the text of a model file that says what the spec says.

    Reading it with :func:`.model_file.load_model` gives an equal spec, except for the paths that
    :func:`.laws.with_default_laws` added, which are left to be added again.
    """
    lines = [*_model(spec), *_constructs(spec), *_priors(spec), *_claims(spec), *_scale(spec)]
    return "\n".join(lines) + "\n"


def equations(spec: ModelSpec) -> list[str]:
    """Return the statements of the model, one a line, as ``paths`` holds them."""
    lines: list[str] = []
    written = [path for path in spec.paths if path.origin == "written"]
    for outcome, paths in groupby(written, key=lambda path: path.outcome):
        lines += _wrapped(f"{outcome} ~ ", [_path(path) for path in paths])
    for outcome, groups in groupby(spec.varying, key=_varying):
        lines += _wrapped(f"{outcome} ~ ", [_group(item) for item in groups])
    for left, pairs in groupby(spec.residuals, key=lambda pair: pair.left):
        lines += _wrapped(f"{left} ~~ ", [pair.right for pair in pairs])
    lines += [f"{one.name} := {one.expression}" for one in spec.definitions]
    return lines


def _model(spec: ModelSpec) -> Iterator[str]:
    yield from ("[model]", f"name = {_quoted(spec.name)}", f"centering = {_quoted(spec.centring)}")
    if spec.measurement:
        yield f"measurement = {_quoted(spec.measurement)}"
    if spec.time:
        yield f"time = {_quoted(spec.time)}"
    yield from ('paths = """', *equations(spec), '"""')


def _constructs(spec: ModelSpec) -> Iterator[str]:
    if spec.parties:
        yield from ("", "[constructs]")
    for party in dict.fromkeys(party for _, party in spec.parties):
        members = [_quoted(name) for name, its_party in spec.parties if its_party == party]
        yield f"{party} = [{', '.join(members)}]"


def _priors(spec: ModelSpec) -> Iterator[str]:
    if spec.priors:
        yield from ("", "[priors]")
    yield from (f"{_key(name)} = {_quoted(prior)}" for name, prior in spec.priors)


def _claims(spec: ModelSpec) -> Iterator[str]:
    for claim in spec.claims:
        yield from ("", f"[claims.{_key(claim.name)}]", f"says = {_quoted(claim.says)}")
        yield from (f"holds = {_quoted(claim.holds)}", f"rope = {claim.rope!r}")


def _scale(spec: ModelSpec) -> Iterator[str]:
    if spec.scale:
        yield from ("", "[scale]")
    yield from (f"{_key(name)} = [{shift!r}, {scale!r}]" for name, shift, scale in spec.scale)


def _path(path: Path) -> str:
    if path.fixed is not None:
        return f"{path.fixed!r}*{path.term}".replace(".0*", "*")
    return f"{path.label}*{path.term}" if path.label else str(path.term)


def _varying(item: Varying) -> str:
    return f"sigma({item.outcome})" if item.spread else item.outcome


def _group(item: Varying) -> str:
    effects = ["1" if item.intercept else "0", *map(str, item.slopes)]
    return f"({' + '.join(effects)} | {item.group})"


def _wrapped(head: str, parts: list[str]) -> Iterator[str]:
    line = head + parts[0]
    for part in parts[1:]:
        if len(line) + len(part) + 3 > _WIDTH:
            yield line
            line = " " * (len(head) - 3)
        line += f" + {part}"
    yield line


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    # A JSON string is a TOML string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
