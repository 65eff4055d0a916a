"""Priors, by class and by path, in words such as ``normal(0, 0.5)``.

All priors are on the standardised scale (design section 6), the same in every engine.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import Factor, ModelSpec, Path

DEFAULTS = MappingProxyType(
    {
        "path": "normal(0, 0.5)",
        "lag_own": "normal(0.3, 0.2)",
        "lag_cross": "normal(0, 0.1)",
        "lag_far": "normal(0, 0.2)",
        "mean": "normal(0, 1)",
        "residual_sd": "half_normal(1)",
        "start_sd": "half_normal(1)",
        "level_sd": "half_normal(0.5)",
        "correlation": "lkj(2)",
        "decay": "half_normal(0.5)",
    }
)
"""Prior of each class. ``lag_own``: a construct on its own lag; ``lag_cross``: on the lag of another
construct of the same party; ``lag_far``: on a lag of several exchanges within one party; ``path``: every
other coefficient; ``mean``: grand means; ``level_sd``: SDs of effects that vary by group, slopes and log
residual SDs included; ``start_sd``: SDs at a session's first exchange;
``decay``: log of what is left of a lag's effect after the usual time between exchanges, where time counts."""

_KINDS = {"normal": 2, "half_normal": 1, "lkj": 1}
_CLASS_KIND = MappingProxyType(
    {
        "path": "normal", "lag_own": "normal", "lag_cross": "normal", "lag_far": "normal", "mean": "normal",
        "residual_sd": "half_normal", "start_sd": "half_normal", "level_sd": "half_normal",
        "correlation": "lkj", "decay": "half_normal",
    }
)  # fmt: skip
_WORDS = re.compile(r"\s*([a-z_]+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True)
class Prior:
    """A prior: its kind (``normal``, ``half_normal``, ``lkj``) and its numbers."""

    kind: str
    numbers: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(f'{number:g}' for number in self.numbers)})"


def parse_prior(text: str) -> Prior:
    """Parse ``normal(mean, sd)``, ``half_normal(sd)`` or ``lkj(eta)``.

    Raises
    ------
    ValueError
        If it is none of these; the message says what was expected.
    """
    match = _WORDS.fullmatch(text)
    if not match or match[1] not in _KINDS:
        near = get_close_matches(text.split("(")[0].strip(), _KINDS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"{text!r} is no prior{hint}: write normal(mean, sd), half_normal(sd) or lkj(eta)")
    try:
        numbers = tuple(float(part) for part in match[2].split(","))
    except ValueError:
        raise ValueError(f"{text!r} holds something that is no number") from None
    if len(numbers) != _KINDS[match[1]]:
        raise ValueError(f"{text!r} needs {_KINDS[match[1]]} number(s)")
    if numbers[-1] <= 0:
        raise ValueError(f"{text!r}: its last number must be above 0")
    return Prior(match[1], numbers)


@dataclass(frozen=True)
class Priors:
    """All priors of one model: ``classes`` by class name, ``paths`` by path name."""

    classes: MappingProxyType[str, Prior]
    paths: MappingProxyType[str, Prior]

    def of_path(self, spec: ModelSpec, path: Path) -> Prior:
        """Return the prior of a path: by its name, else by its label, else by its class."""
        for name in (path.name, path.label):
            if name in self.paths:
                return self.paths[name]
        return self.classes[path_class(spec, path)]

    def __getitem__(self, name: str) -> Prior:
        return self.classes[name]


def path_class(spec: ModelSpec, path: Path) -> str:
    """Return a path's prior class: ``lag_own``, ``lag_cross``, ``lag_far`` or ``path``."""
    factors = path.term.factors
    if len(factors) == 1 and factors[0].kind == "lag":
        return lag_class(spec, path.outcome, factors[0])
    return "path"


def lag_class(spec: ModelSpec, outcome: str, factor: Factor) -> str:
    """Return the prior class of a lag: own, cross or far within one party, or an ordinary path."""
    if factor.name != outcome and spec.party(factor.name) != spec.party(outcome):
        return "path"
    if factor.lag > 1:
        return "lag_far"
    return "lag_own" if factor.name == outcome else "lag_cross"


def resolve_priors(spec: ModelSpec) -> Priors:
    """Return every prior of a spec: the defaults, overridden by class, label or path name.

    Raises
    ------
    InputError
        Gathers unknown names (with the nearest known), malformed priors and kinds that do not fit.
    """
    classes = {name: parse_prior(text) for name, text in DEFAULTS.items()}
    named = {path.name for path in spec.paths} | set(spec.labels)
    paths: dict[str, Prior] = {}
    faults = FaultList()
    for name, text in spec.priors:
        try:
            prior = parse_prior(text)
        except ValueError as error:
            faults.add(str(error), where=f"[priors] {name}")
            continue
        if name not in classes and name not in named:
            near = get_close_matches(name, [*classes, *named], n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Classes are {', '.join(DEFAULTS)}"
            faults.add(
                "neither a class of priors nor a path or label of this model", hint, where=f"[priors] {name}"
            )
        elif prior.kind != (expected := _CLASS_KIND.get(name, "normal")):
            faults.add(f"{prior} does not fit", f"Write {expected}(...)", where=f"[priors] {name}")
        elif name in classes:
            classes[name] = prior
        else:
            paths[name] = prior
    faults.raise_if_any(f"The priors of model {spec.name!r} cannot be used")
    return Priors(MappingProxyType(classes), MappingProxyType(paths))
