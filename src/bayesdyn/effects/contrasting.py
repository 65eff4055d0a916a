"""Contrasts: expressions of labels, definitions and paths, computed draw by draw."""

import re

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.effects.asking import check_ci_prob, find_path
from bayesdyn.errors import FaultList
from bayesdyn.fitting.bands import COLUMNS, interval_attrs, row, truth_row
from bayesdyn.fitting.fits import posterior_of, spec_as_fitted, truths_of
from bayesdyn.fitting.units import (
    NoRawUnitError,
    Unit,
    check_units,
    in_words,
    label_units,
    raw_labels,
    raw_paths,
    unit_of,
    unit_of_path,
)
from bayesdyn.structure.language.evaluating import evaluate
from bayesdyn.structure.language.expression import is_truth, names_in, read_expression
from bayesdyn.structure.language.spec import ModelSpec, Path
from bayesdyn.structure.language.words import did_you_mean, sentence
from bayesdyn.structure.quantities import label_values

_QUOTED = re.compile(r"`([^`]*)`")


def contrast(
    fit: xr.DataTree, *expressions: str, ci_prob: float = 0.95, units: str = "standard"
) -> pd.DataFrame:
    """Return what expressions of paths come to, draw by draw.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    expressions
        As after ``:=`` in a model file: ``+ - * / **``, comparisons, ``and or not``, parentheses, ``abs exp
        log sqrt min max``, of labels and defined quantities: ``"se - oe"``. A path without a label is
        given by its name between backticks: "`` `disclosure ~ empathy` / dx ``".
    ci_prob
        Probability of the equal-tailed credible interval.
    units
        ``standard``, as the fit is standardised; ``raw``: points of the rating scales. A product of paths
        along a route and a difference of two paths on one outcome have such a unit; a difference across
        outcomes has none.

    Returns
    -------
    pandas.DataFrame
        One row per expression: ``expression, mean, sd, lower, upper, prob_positive``. Of a comparison, which
        is true or false in each draw, ``mean`` and ``prob_positive`` are its probability and the rest is NaN.
        In raw units a column ``unit`` says what each is. ``attrs`` hold ``ci_prob``, ``ci_kind``, ``units``.

    Raises
    ------
    InputError
        No expression, one that cannot be read or is undefined in a draw, an unknown label or path; in raw
        units, an expression that has none.
    """
    spec, draws = spec_as_fitted(fit), posterior_of(fit)["path"]
    values, faults = label_values(draws, spec), FaultList()
    dimensions = label_units(spec)
    check_units(units, faults)
    if units == "raw":
        draws = raw_paths(fit)
        values |= raw_labels(fit)[0]
    if not expressions:
        faults.add("there is no expression", 'Give one, e.g. "se - oe"')
    check_ci_prob(ci_prob, faults)
    readable = []
    for expression in expressions:
        text, named = _without_quotes(expression, spec.paths, values, faults)
        for alias, path in named.items():
            values[alias] = draws.sel(path_name=path.name).values
            dimensions[alias] = unit_of_path(path)
        _check(expression, text, set(named), spec, faults)
        readable.append(text)
    faults.raise_if_any("Cannot compute these contrasts")
    unit = _units(expressions, readable, dimensions) if units == "raw" else {}
    rows, truths = [], truths_of(spec)
    for expression, text in zip(expressions, readable, strict=True):
        found = evaluate(text, _used(text, values, draws)).ravel()
        told = truth_row(found) if is_truth(text, truths) else row(found, ci_prob)
        rows.append({"expression": expression, **told})
    table = pd.DataFrame(rows, columns=["expression", *COLUMNS]).assign(**unit)
    table.attrs = interval_attrs(ci_prob, units)
    return table


def _units(
    expressions: tuple[str, ...], readable: list[str], dimensions: dict[str, Unit | str]
) -> dict[str, list[str]]:
    """Return the column of the raw units, in words; raise where an expression has none."""
    faults, column = FaultList(), []
    for expression, text in zip(expressions, readable, strict=True):
        try:
            column.append(in_words(unit_of(text, dimensions)))
        except NoRawUnitError as reason:
            faults.add(f"{expression!r} has no raw unit: {reason}", 'Ask for it with units="standard"')
    faults.raise_if_any("Cannot tell these contrasts in raw units")
    return {"unit": column}


def _without_quotes(
    expression: str, paths: tuple[Path, ...], taken: dict[str, np.ndarray], faults: FaultList
) -> tuple[str, dict[str, Path]]:
    """Return the expression with a word in the place of each quoted path, and the path of each word."""
    named: dict[str, Path] = {}

    def word(match: re.Match[str]) -> str:
        path = find_path(match.group(1), paths, faults)
        if path is None:
            return "0"  # the fault is noted: the rest is still to be read
        alias = "path_" + "_".join(re.findall(r"\w+", path.name))
        while alias in taken or named.get(alias, path) != path:
            alias += "_"
        named[alias] = path
        return alias

    return _QUOTED.sub(word, expression), named


def _check(expression: str, text: str, aliases: set[str], spec: ModelSpec, faults: FaultList) -> None:
    """Note what cannot be read, and unknown names; a path's own name wants backticks."""
    tree, misfits = read_expression(text)
    where = f"in {expression!r}"
    for misfit in misfits:
        faults.add(misfit.what, misfit.remedy, where)
    if tree is None or misfits:
        return
    labels = (*spec.labels, *(one.name for one in spec.definitions))
    for name in names_in(tree):
        if name not in aliases and name not in labels:
            quoted = [path.name for path in spec.paths if name in (path.outcome, *path.term.names)]
            hint = f"A path is named in backticks, e.g. `{quoted[0]}`" if quoted else ""
            listed = f"The labels are {', '.join(labels)}" if labels else "This model has no labels"
            faults.add(f"unknown name {name!r}", sentence(did_you_mean(name, labels), hint or listed), where)


def _used(text: str, values: dict[str, np.ndarray], draws: xr.DataArray) -> dict[str, np.ndarray]:
    """Return the draws of the names in an expression; of one without names, only their shape."""
    used = {name: values[name] for name in names_in(text)}
    return used or {"": np.zeros((draws.sizes["chain"], draws.sizes["draw"]))}
