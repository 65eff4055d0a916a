"""Covariates of text, coded as contrasts with their first level.

A path of a covariate ``modality`` with the levels ``in person``, ``online`` and ``phone`` becomes two paths,
of ``modality[online]`` and ``modality[phone]``: 1 at exchanges of that level, else 0 (treatment contrasts).
The first level in alphabetical order is the reference. A model may name a contrast itself, to give it a label
or a prior, or to leave the others out.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.products import once
from bayesdyn.structure.language.spec import ModelSpec, Path, Term, Varying, covariate_of
from bayesdyn.structure.language.words import counted, did_you_mean, sentence

MOST_LEVELS = 10
# What can stand in brackets in a model file and in the name of a NetCDF variable.
_LEVEL = re.compile(r"[\w.,:;&+%<>=-]+( [\w.,:;&+%<>=-]+)*")


@dataclass(frozen=True)
class Coded:
    """A model and measures in which every covariate is a number.

    Attributes
    ----------
    spec
        With a path for each contrast.
    measures
        With a variable for each contrast, float, 0 and 1.
    notes
        One sentence for each covariate that was coded: its reference and its levels.
    """

    spec: ModelSpec
    measures: xr.Dataset
    notes: tuple[str, ...] = ()


def code_categories(spec: ModelSpec, measures: xr.Dataset, faults: FaultList) -> Coded:
    """Code the covariates of text that a model names.

    Parameters
    ----------
    spec
        A model whose names the measures hold.
    measures
        Covariates are its variables over (exchange,); the empty text is a missing value.
    faults
        Receives a covariate with missing values, with one level, with more than :data:`MOST_LEVELS`, or with
        a level that cannot be written in a path; a contrast of a number, or whose level no exchange has; and
        a label that would be of several contrasts.
    """
    values = _texts(spec, measures)
    for name in spec.names:
        base = covariate_of(name)
        if name != base and base not in values and base in measures and name not in measures:
            faults.add(
                f"{name!r}: covariate {base} is a number and has no levels", f"Write {base}", spec.where(name)
            )
    contrasts: dict[str, tuple[str, ...]] = {}
    columns: dict[str, NDArray[np.float64]] = {}
    notes: list[str] = []
    for name, text in values.items():
        counts = Counter(text[text != ""].tolist())
        levels = tuple(sorted(counts))
        before = len(faults.faults)
        _check_levels(name, text, levels, faults, spec.where(name))
        _check_contrasts(name, spec, levels, faults)
        if len(faults.faults) > before:
            continue
        contrasts[name] = tuple(f"{name}[{level}]" for level in levels[1:])
        columns |= {f"{name}[{level}]": (text == level).astype(float) for level in levels[1:]}
        others = ", ".join(f"{level} ({counts[level]})" for level in levels[1:])
        against = f"{levels[0]} ({counted(counts[levels[0]], 'exchange')})"
        notes.append(f"The covariate {name} is coded against its level {against}: {others}.")
    if len(contrasts) == len(values):
        spec = _spread(spec, contrasts, faults)
    found = measures.assign({name: ("exchange", column) for name, column in columns.items()})
    return Coded(spec, found, tuple(notes))


def _texts(spec: ModelSpec, measures: xr.Dataset) -> dict[str, NDArray[np.str_]]:
    """Return the covariates of text among those that a model names, the empty text where missing."""
    found: dict[str, NDArray[np.str_]] = {}
    for name in dict.fromkeys(map(covariate_of, spec.names)):
        if name in measures.data_vars and measures[name].dims == ("exchange",):
            values = measures[name].values
            if values.dtype.kind not in "biuf":
                text = ["" if value is None or value != value else str(value) for value in values.tolist()]
                found[name] = np.array(text, dtype=np.str_)
    return found


def _check_levels(
    name: str, text: NDArray[np.str_], levels: tuple[str, ...], faults: FaultList, where: str
) -> None:
    missing = int((text == "").sum())
    if missing:
        faults.add(f"covariate {name} misses {counted(missing, 'value')}", "Fill or drop them", where)
    if len(levels) == 1:
        faults.add(f"covariate {name} has one level only", "Leave it out of the model", where)
    if len(levels) > MOST_LEVELS:
        what = f"covariate {name} is text with {len(levels)} levels; at most {MOST_LEVELS} are coded"
        faults.add(what, "Put levels together, or give it as a number", where)
        return
    for level in levels:
        if not _LEVEL.fullmatch(level):
            what = f"the level {level!r} of covariate {name} cannot be written in a path"
            faults.add(
                what,
                f"Rename it: letters, digits, single spaces and . , : ; & + % < > = - can stand in {name}[ ]",
                where,
            )


def _check_contrasts(name: str, spec: ModelSpec, levels: tuple[str, ...], faults: FaultList) -> None:
    for contrast in dict.fromkeys(used for path in spec.paths for used in path.term.names):
        level = contrast[len(name) + 1 : -1]
        if contrast == name or covariate_of(contrast) != name or level in levels[1:]:
            continue
        where = spec.where(contrast)
        if level in levels:
            what = f"{contrast!r}: {level!r} is the level that the others are compared with"
            faults.add(what, f"Write the contrasts of {', '.join(levels[1:])}", where)
        else:
            remedy = sentence(did_you_mean(level, levels[1:]), f"The levels are {', '.join(levels)}")
            faults.add(f"no exchange has the level {level!r} of covariate {name}", remedy, where)


def _spread(spec: ModelSpec, contrasts: Mapping[str, tuple[str, ...]], faults: FaultList) -> ModelSpec:
    """Return the spec with a path, a slope and a prior for each contrast; what is written out wins."""
    paths: list[Path] = []
    spread: list[bool] = []
    priors = dict(spec.priors)
    for path in spec.paths:
        terms = _terms(path.term, contrasts)
        if path.label and len(terms) > 1:
            what = f"the label {path.label!r} of {str(path.term)!r} would be of {len(terms)} contrasts"
            faults.add(what, f"Write them out, e.g. {path.label}*{terms[0]}", path.where)
        new = [replace(path, term=term) for term in terms]
        paths += new
        spread += [terms != [path.term]] * len(terms)
        if terms != [path.term] and path.name in priors:
            prior = priors.pop(path.name)
            priors = {**{one.name: prior for one in new}, **priors}
    keys = [(path.outcome, path.term.key) for path in paths]
    return replace(
        spec,
        paths=tuple(once(paths, keys, spread)),
        varying=tuple(_varying(item, contrasts) for item in spec.varying),
        priors=tuple(priors.items()),
    )


def _varying(item: Varying, contrasts: Mapping[str, tuple[str, ...]]) -> Varying:
    terms = [(term, term != slope) for slope in item.slopes for term in _terms(slope, contrasts)]
    slopes = [term for term, _ in terms]
    return replace(
        item, slopes=tuple(once(slopes, [term.key for term in slopes], [spread for _, spread in terms]))
    )


def _terms(term: Term, contrasts: Mapping[str, tuple[str, ...]]) -> list[Term]:
    choices = [
        [replace(factor, name=name) for name in contrasts.get(factor.name, (factor.name,))]
        for factor in term.factors
    ]
    return [Term(chosen) for chosen in product(*choices)]
