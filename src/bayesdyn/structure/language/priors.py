"""Priors, by class and by path, in words such as ``normal(0, 0.5)``.

All priors are on the standardised scale (design section 6), the same in every engine.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import isfinite
from types import MappingProxyType

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.laws import with_default_laws
from bayesdyn.structure.language.spec import BUILT_IN_COVARIATES, Factor, ModelSpec, Path
from bayesdyn.structure.language.words import did_you_mean, sentence

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
``decay``: minus the log of what is left of a lag's effect after one usual time more than usual, where time
counts."""

_KINDS = {"normal": 2, "half_normal": 1, "lkj": 1}
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
    if not all(map(isfinite, numbers)):
        raise ValueError(f"{text!r} holds a number that is not finite")
    if numbers[-1] <= 0:
        raise ValueError(f"{text!r}: its last number must be above 0")
    return Prior(match[1], numbers)


@dataclass(frozen=True)
class Priors:
    """All priors of one model: ``classes`` by class name, ``paths`` by path name."""

    classes: MappingProxyType[str, Prior]
    paths: MappingProxyType[str, Prior]

    def of_path(self, spec: ModelSpec, path: Path) -> Prior:
        """Return the prior of a path: by its name, its label, a path of the same label, else by its class."""
        shared = (other.name for other in spec.paths if path.label and other.label == path.label)
        for name in (path.name, path.label, *shared):
            if name in self.paths:
                return self.paths[name]
        return self.classes[path_class(spec, path)]

    def __getitem__(self, name: str) -> Prior:
        return self.classes[name]


def priors_of(named: Mapping[str, Prior]) -> Priors:
    """Return the defaults overridden by priors of classes, labels and paths, all of them known."""
    classes = {name: named.get(name, parse_prior(text)) for name, text in DEFAULTS.items()}
    paths = {name: prior for name, prior in named.items() if name not in classes}
    return Priors(MappingProxyType(classes), MappingProxyType(paths))


def check_shared(
    spec: ModelSpec, priors: Priors, faults: FaultList, places: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Note labels whose one coefficient would have two priors.

    Parameters
    ----------
    spec, priors
        The model, and its priors.
    faults
        Receives a label and paths of it that are given unlike priors; where none is given, paths of it that
        are of classes with unlike priors.
    places
        Where priors stand, by label or path.
    """
    for label in spec.labels:
        paths = [path for path in spec.paths if path.label == label]
        given = [name for name in (label, *(path.name for path in paths)) if name in priors.paths]
        for name in given[1:]:
            one, other = priors.paths[given[0]], priors.paths[name]
            if one != other:
                what = f"the label {label!r} has two priors, {one} of {given[0]!r} and {other} of {name!r}"
                remedy = "Paths with one label have one coefficient: keep one"
                faults.add(what, remedy, places.get(name, f"[priors] {name}"))
        classes = [path_class(spec, path) for path in paths]
        for path, its in zip(paths, classes, strict=True):
            if not given and priors[its] != priors[classes[0]]:
                what = (
                    f"the label {label!r} has two priors, {priors[classes[0]]} of {paths[0].name!r} "
                    f"({classes[0]}) and {priors[its]} of {path.name!r} ({its})"
                )
                faults.add(what, f'Give it one under [priors], e.g. {label} = "{priors["path"]}"', path.where)
                break


def without_unsure_lags(spec: ModelSpec) -> ModelSpec:
    """Return a spec without lags of what may be a construct or a covariate, which measures will tell."""
    surely = {*spec.outcomes, *dict(spec.parties), *BUILT_IN_COVARIATES}
    lags = [{factor.name for factor in path.term.factors if factor.kind == "lag"} for path in spec.paths]
    kept = (path for path, names in zip(spec.paths, lags, strict=True) if names <= surely)
    return replace(spec, paths=tuple(kept))


def path_class(spec: ModelSpec, path: Path) -> str:
    """Return a path's prior class: ``lag_own``, ``lag_cross``, ``lag_far`` or ``path``."""
    factors = path.term.factors
    if len(factors) == 1 and factors[0].kind == "lag":
        return lag_class(spec, path.outcome, factors[0])
    return "path"


def lag_class(spec: ModelSpec, outcome: str, factor: Factor) -> str:
    """Return the prior class of a lag: own, cross or far within one party, or an ordinary path.

    A covariate is of no party; it is one where the spec names its constructs (:func:`.laws.with_parties`) and
    it is none of them.
    """
    constructs = {*spec.outcomes, *dict(spec.parties)}
    if factor.name not in constructs or spec.party(factor.name) != spec.party(outcome):
        return "path"
    if factor.lag > 1:
        return "lag_far"
    return "lag_own" if factor.name == outcome else "lag_cross"


def resolve_priors(spec: ModelSpec) -> Priors:
    """Return every prior of a spec: the defaults, overridden by class, label or path name.

    A path that a default law would have may be given a prior where the law is not in the model: whether it is
    depends on how the scores are taken.

    Raises
    ------
    InputError
        Gathers what :func:`read_prior` finds, and labels with two priors.
    """
    laws, faults = with_default_laws(spec, spec.names), FaultList()
    places = {name: spec.line_of("priors", name) for name, _ in spec.priors}
    read = {name: read_prior(name, text, laws, faults, places[name]) for name, text in spec.priors}
    priors = priors_of({name: prior for name, prior in read.items() if prior is not None})
    check_shared(spec, priors, faults, places)
    faults.raise_if_any(f"The priors of model {spec.name!r} cannot be used")
    return priors


def unused_priors(spec: ModelSpec) -> list[str]:
    """Return a sentence for each prior of a path that the model does not have as it is fitted."""
    known = {*DEFAULTS, *spec.labels, *(path.name for path in spec.paths)}
    unused = [name for name, _ in spec.priors if name not in known]
    return [f"The prior of {name!r} is not used: this fit has no such path." for name in unused]


def read_prior(
    name: str, text: str, spec: ModelSpec, faults: FaultList, where: str, *, complete: bool = True
) -> Prior | None:
    """Return a prior; None where there is a fault.

    Parameters
    ----------
    name, text
        What it is of, a class, label or path, and the prior in words.
    spec
        With the laws of noisy predictors.
    faults
        Receives an unknown name (with the nearest known), a malformed prior, a kind that does not fit, and
        the prior of a fixed path; ``where`` is its place.
    complete
        Whether the names of the spec are all that there are.
    """
    fixed = {path.name: path.fixed for path in spec.paths}
    known = (*DEFAULTS, *spec.labels, *fixed)
    before, told = len(faults.faults), f"the prior of {name!r}"
    if complete and name not in known:
        classes = f"A prior has a path, a label or one of the classes {', '.join(DEFAULTS)}"
        faults.add(
            f"{told}: no such path, label or class", sentence(did_you_mean(name, known), classes), where
        )
    elif (value := fixed.get(name)) is not None:
        remedy = f"Leave it out, or write the path without {value:g}*"
        faults.add(f"{told}: the path is fixed at {value:g}", remedy, where)
    try:
        prior = parse_prior(text)
    except ValueError as error:
        faults.add(f"{told}: {error}", where=where)
        return None
    expected = DEFAULTS.get(name, DEFAULTS["path"]).partition("(")[0]
    if prior.kind != expected:
        faults.add(f"{told}: {prior.kind} does not fit", f"Write {expected}(...)", where)
    return prior if len(faults.faults) == before else None
