"""Expressions of definitions and claims computed draw by draw; :mod:`.expression` reads them."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesdyn.errors import Fault, InputError
from bayesdyn.structure.language.expression import (
    BINARY,
    COMPARE,
    OF_ONE,
    REDUCTIONS,
    names_in,
    parse_expression,
)
from bayesdyn.structure.language.words import did_you_mean


def evaluate(
    expression: str | ast.Expression, values: Mapping[str, np.ndarray], *, undefined_is_missing: bool = False
) -> np.ndarray:
    """Compute an expression draw by draw.

    Parameters
    ----------
    expression
        The text, or what :func:`.expression.parse_expression` returned.
    values
        Each name's draws, any shapes that broadcast together; missing ones are NaN, of a truth 1, 0 and NaN.
    undefined_is_missing
        Whether draws in which an operation is undefined (the log of a negative number, a division by zero)
        are missing in the result rather than an error.

    Returns
    -------
    numpy.ndarray
        Float, or bool for a comparison; the broadcast shape of ``values``. A comparison with missing draws is
        float: 1, 0 and NaN.

    Raises
    ------
    InputError
        For an unknown name, a number where ``and``, ``or``, ``not`` need a comparison, and, unless such draws
        are to be missing, an operation that is undefined in any draw or a comparison of missing draws.
    """
    tree = parse_expression(expression) if isinstance(expression, str) else expression
    unknown = [name for name in names_in(tree) if name not in values]
    if unknown:
        raise InputError(
            f"The expression {ast.unparse(tree)!r} cannot be computed",
            [Fault(f"unknown name {name!r}", did_you_mean(name, values)) for name in unknown],
        )
    shape = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
    draws = _Draws(values, undefined_is_missing)
    result = np.broadcast_to(draws.value(tree.body), shape).copy()
    if not draws.missing:
        return result
    # A comparison with NaN is False: a missing draw would count as evidence against a claim.
    missing = np.broadcast_to(_reduce(np.logical_or, draws.missing), shape)
    if result.dtype == np.bool_ and not undefined_is_missing:
        raise _undefined(tree.body, missing)
    return np.where(missing, np.nan, result.astype(float))


@dataclass
class _Draws:
    """Computes nodes of one expression; ``missing`` gathers which draws have no value."""

    values: Mapping[str, np.ndarray]
    undefined_is_missing: bool
    missing: list[NDArray[np.bool_]] = field(default_factory=list[NDArray[np.bool_]])

    def value(self, node: ast.AST) -> np.ndarray:
        match node:
            case ast.Constant(value=float() | int() as number):
                return np.asarray(float(number))
            case ast.Name(id=name):
                value = np.asarray(self.values[name])
                self.note(np.isnan(value))
                return value
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(self.truth(operand))
            case ast.UnaryOp(op=op, operand=operand):
                number = self.number(operand)
                return -number if isinstance(op, ast.USub) else number
            case ast.BinOp(left=left, op=op, right=right):
                return self.defined(node, BINARY[type(op)], self.number(left), self.number(right))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [self.number(side) for side in (left, *comparators)]
                links = [COMPARE[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False)]
                return _reduce(np.logical_and, links)
            case ast.BoolOp(op=op, values=operands):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return _reduce(join, [self.truth(operand) for operand in operands])
            case ast.Call(func=ast.Name(id=name), args=args):
                numbers = [self.number(arg) for arg in args]
                if name in REDUCTIONS:
                    return _reduce(REDUCTIONS[name], numbers)
                return self.defined(node, OF_ONE[name], *numbers)
        raise AssertionError(f"an unchecked expression reached evaluate: {type(node).__name__}")

    def number(self, node: ast.AST) -> np.ndarray:
        return self.value(node).astype(float)

    def truth(self, node: ast.AST) -> np.ndarray:
        value = self.value(node)
        if value.dtype == np.bool_:
            return value
        known = value[~np.isnan(value)]
        if known.size < value.size and np.isin(known, (0, 1)).all():
            return value == 1
        raise InputError(
            f"{ast.unparse(node)!r} is a number, neither true nor false",
            [Fault("and, or and not join comparisons", f"Write for instance {ast.unparse(node)} > 0")],
        )

    def defined(self, node: ast.AST, operation: np.ufunc, *numbers: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            result = operation(*numbers)
        undefined = ~np.isfinite(result) & _reduce(np.logical_and, [np.isfinite(one) for one in numbers])
        if undefined.any() and not self.undefined_is_missing:
            raise _undefined(node, undefined)
        self.note(undefined)
        return result

    def note(self, missing: NDArray[np.bool_]) -> None:
        if missing.any():
            self.missing.append(missing)


def _reduce(join: Callable[[np.ndarray, np.ndarray], np.ndarray], parts: list[np.ndarray]) -> np.ndarray:
    result = parts[0]
    for part in parts[1:]:
        result = join(result, part)
    return result


def _undefined(node: ast.AST, undefined: NDArray[np.bool_]) -> InputError:
    return InputError(
        f"{ast.unparse(node)!r} is undefined in {undefined.sum()} of {undefined.size} draws",
        [Fault("the result is no finite number there", "Write it so that it is defined for every draw")],
    )
