"""Raw units: what a fit's quantities are in points of the rating scales, and which have no such unit.

A fit is in standardised units; a construct's ``scale`` is its raw points per standardised unit. A path
``y ~ x:z`` is points of y per point of x and of z, so its raw value is the standardised one times
``scale[y] / (scale[x] scale[z])``; covariates are raw already. An expression of paths has a raw unit where
the rules of dimensions give it points of one construct.
"""

import ast
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import posterior_of, scale_of, spec_as_fitted
from bayesdyn.structure.language.evaluating import evaluate
from bayesdyn.structure.language.expression import parse_expression
from bayesdyn.structure.language.groups_written import SPREAD
from bayesdyn.structure.language.spec import ModelSpec, Path
from bayesdyn.structure.language.syntax import read_name

UNITS = ("standard", "raw")
type Unit = Mapping[str, float]
"""Exponents by construct or covariate: ``{"disclosure": 1, "empathy": -1}``; ``{}`` is a plain number."""

_ANY = "their factor"  # points of different constructs, added up


class NoRawUnitError(Exception):
    """An expression that is not points of one construct; the message says why."""


def check_units(units: str, faults: FaultList) -> None:
    """Note a setting of units that is none."""
    if units not in UNITS:
        faults.add(f"units {units!r} is unknown", f"Use one of {', '.join(UNITS)}")


def unit_of_path(path: Path) -> Unit:
    """Return the unit of a path: its outcome per each factor of its term."""
    return times({path.outcome: 1.0}, *({name: -1.0} for name in path.term.names))


def times(*parts: Mapping[str, float]) -> dict[str, float]:
    """Multiply units: exponents add up, and what cancels is left out."""
    total: dict[str, float] = {}
    for part in parts:
        for name, power in part.items():
            total[name] = total.get(name, 0.0) + power
    return {name: power for name, power in total.items() if power}


def in_raw(unit: Unit, scale: Mapping[str, float]) -> float:
    """Return how many raw units one standardised unit is; a name without a scale is raw already."""
    return float(np.prod([scale.get(name, 1.0) ** power for name, power in unit.items()]))


def raw_paths(fit: xr.DataTree) -> xr.DataArray:
    """Return the draws of every path in raw units, dims and coordinates as in the fit."""
    draws, scale = posterior_of(fit)["path"], scale_of(fit)
    units = {path.name: unit_of_path(path) for path in spec_as_fitted(fit).paths}
    factors = [in_raw(units[str(name)], scale) for name in draws["path_name"].values]
    return draws * xr.DataArray(factors, dims="path_name", coords={"path_name": draws["path_name"]})


def unit_of_effect(name: str) -> Unit:
    """Return the unit of an effect that varies.

    ``y ~ 1`` is points of y, ``y ~ x`` those per point of x, ``sigma(y) ~ 1`` a plain number.
    """
    outcome, _, term = name.partition(" ~ ")
    if outcome.startswith(f"{SPREAD}("):
        return {}  # a log of a residual SD
    if term in ("", "1"):
        return {outcome: 1.0}
    read = read_name(name)
    assert read is not None  # it was written by ModelSpec
    return unit_of_path(Path(read[0], read[1]))


def label_units(spec: ModelSpec) -> dict[str, Unit | str]:
    """Return the unit of each label and definition; a text says why there is none."""
    found: dict[str, Unit | str] = {}
    for path in spec.paths:
        if path.label and found.setdefault(path.label, unit_of_path(path)) != unit_of_path(path):
            found[path.label] = f"{path.label} is one coefficient of paths with different units"
    for definition in spec.definitions:
        try:
            found[definition.name] = unit_of(definition.expression, found)
        except NoRawUnitError as reason:
            found[definition.name] = str(reason)
    return found


def raw_labels(fit: xr.DataTree) -> tuple[dict[str, np.ndarray], dict[str, Unit | str]]:
    """Return the draws (chain, draw) of labels and definitions in raw units, and the unit of each.

    Draws of a comparison are bool.

    What has no raw unit is among the units, with the reason, and not among the draws.
    """
    spec, draws = spec_as_fitted(fit), raw_paths(fit)
    units, values = label_units(spec), {}
    for path in spec.paths:
        if path.label and not isinstance(units[path.label], str) and path.label not in values:
            values[path.label] = draws.sel(path_name=path.name).values
    for definition in spec.definitions:
        if not isinstance(units[definition.name], str):
            # A comparison stays a truth, so that another definition may join it by and, or, not.
            known = values or {"": np.zeros(draws.shape[:2])}
            values[definition.name] = evaluate(definition.expression, known, undefined_is_missing=True)
    return values, units


def unit_of(expression: str, units: Mapping[str, Unit | str]) -> Unit:
    """Return the unit of an expression by the rules of dimensions.

    Numbers may be added to anything. Paths of one outcome may be added where they have as many factors:
    the sum is points of that outcome per point of each path's own factor. A truth is a plain number.

    Raises
    ------
    NoRawUnitError
        It adds or compares unlike units, or comes to no points of one construct.
    """
    found = _unit(parse_expression(expression).body, units)
    above = [power for power in (found or {}).values() if power > 0]
    if found and above != [1.0]:
        raise NoRawUnitError(f"it would be {in_words(found)}, which are no points of one construct")
    return found or {}


def in_words(unit: Unit) -> str:
    """Return a unit in words: ``points of disclosure per point of empathy and of rapport``."""
    above = [_power(name, power) for name, power in unit.items() if power > 0]
    below = [_power(name, -power) for name, power in unit.items() if power < 0]
    head = f"points of {' times '.join(above)}" if above else "1"
    return (head + f" per point of {' and of '.join(below)}" if below else head) if unit else "a number"


def _unit(node: ast.AST, units: Mapping[str, Unit | str]) -> Unit | None:
    """Return the unit of a node; None for a number that was written out, which fits any unit."""
    match node:
        case ast.Constant():
            return None
        case ast.Name(id=name):
            unit = units[name]
            if isinstance(unit, str):
                raise NoRawUnitError(unit)
            return unit
        case ast.UnaryOp(operand=operand):
            return _unit(operand, units)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return _added([_unit(left, units), _unit(right, units)])
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _raised(_unit(left, units), right)
        case ast.BinOp(left=left, op=op, right=right):
            sign = -1.0 if isinstance(op, ast.Div) else 1.0
            sides = _unit(left, units), _unit(right, units)
            if sides == (None, None):
                return None
            return times(sides[0] or {}, {name: sign * power for name, power in (sides[1] or {}).items()})
        case ast.Compare(left=left, comparators=others):
            _added([_unit(side, units) for side in (left, *others)])
            return {}
        case ast.BoolOp(values=parts):
            for part in parts:
                _unit(part, units)
            return {}
        case ast.Call(func=ast.Name(id=name), args=args):
            return _called(name, [_unit(arg, units) for arg in args])
    raise AssertionError(f"an unchecked expression reached units: {type(node).__name__}")


def _called(name: str, parts: list[Unit | None]) -> Unit | None:
    if name in ("abs", "min", "max"):
        return _added(parts)
    if name == "sqrt":
        return None if parts[0] is None else {one: power / 2 for one, power in parts[0].items()}
    if parts[0]:
        raise NoRawUnitError(f"{name} is of a number, here of {in_words(parts[0])}")
    return {}


def _raised(base: Unit | None, exponent: ast.AST) -> Unit | None:
    if not base:
        return base
    match exponent:
        case ast.Constant(value=int() | float() as power):
            return times({name: power * one for name, one in base.items()})
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as power)):
            return times({name: -power * one for name, one in base.items()})
    raise NoRawUnitError(f"a power of {in_words(base)} that varies over draws")


def _added(parts: Sequence[Unit | None]) -> Unit | None:
    known = [part for part in parts if part is not None]
    return reduce(_common, known) if known else None


def _common(one: Unit, other: Unit) -> Unit:
    if one == other:
        return one
    (above, below), (its_above, its_below) = _sides(one), _sides(other)
    if len(above) == 1 and above == its_above and below == its_below:
        return {**above, _ANY: -below}
    raise NoRawUnitError(f"it sets {in_words(one)} beside {in_words(other)}")


def _sides(unit: Unit) -> tuple[dict[str, float], float]:
    above = {name: power for name, power in unit.items() if power > 0}
    return above, -sum(power for power in unit.values() if power < 0)


def _power(name: str, power: float) -> str:
    return name if power == 1 else f"{name}^{power:g}"
