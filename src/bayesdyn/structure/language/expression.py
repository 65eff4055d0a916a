"""Expressions of definitions and claims, such as ``se - oe`` or ``abs(dr) < rope``, computed draw by draw.

Python's own parser reads them and a list of allowed nodes decides what they may hold; nothing is executed.
"""

import ast
import sys
from collections.abc import Callable, Collection, Mapping
from keyword import iskeyword
from typing import Any, NamedTuple

import numpy as np

from bayesdyn.errors import Fault, InputError
from bayesdyn.structure.language.words import did_you_mean, sentence

_BINARY: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_COMPARE: dict[type[ast.cmpop], Callable[..., Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": np.abs, "exp": np.exp, "log": np.log, "sqrt": np.sqrt}
_REDUCTIONS: dict[str, Callable[..., Any]] = {"min": np.minimum, "max": np.maximum}
FUNCTIONS = (*_FUNCTIONS, *_REDUCTIONS)
_ALLOWED = f"Allowed are + - * / **, comparisons, and, or, not, parentheses, and {', '.join(FUNCTIONS)}"
_INSTEAD: dict[type[ast.AST], str] = {
    ast.BitXor: "Write ** for a power",
    ast.BitAnd: "Write and",
    ast.BitOr: "Write or",
    ast.Invert: "Write not",
}


class Misfit(NamedTuple):
    """A fault of an expression: the character it is at (from 0), what it is, what would mend it."""

    offset: int
    what: str
    remedy: str


_DEEPEST = 200
_TOO_DEEP = Misfit(0, "the expression nests too deep", "Define parts of it first")


def parse_expression(text: str) -> ast.Expression:
    """Parse and check an expression.

    Parameters
    ----------
    text
        Numbers, names, ``+ - * / **``, comparisons, ``and or not``, parentheses, and :data:`FUNCTIONS`.

    Raises
    ------
    InputError
        If it is no expression, or holds anything else; each fault names its column.
    """
    tree, misfits = read_expression(text)
    if tree is None or misfits:
        raise InputError(
            f"The expression {text!r} cannot be used",
            [Fault(misfit.what, misfit.remedy, f"column {misfit.offset + 1}") for misfit in misfits],
        )
    return tree


def read_expression(text: str) -> tuple[ast.Expression | None, list[Misfit]]:
    """Parse an expression and return it with all that is wrong with it, or None where it has no reading."""
    flat = text.replace("\n", " ")
    shift = len(flat) - len(flat.lstrip())
    try:
        tree = ast.parse(flat.lstrip(), mode="eval")
    except SyntaxError as error:
        if not flat.strip():
            return None, [Misfit(0, "the expression is empty", _ALLOWED)]
        # Offset 0 is Python's way to say that the end came too early.
        offset = error.offset - 1 + shift if error.offset else len(flat.rstrip()) - 1
        word = next(iter(flat[offset:].split()), "")
        return None, [Misfit(offset, f"the expression breaks off at {word!r}: {error.msg}", _ALLOWED)]
    except (RecursionError, MemoryError):
        return None, [_TOO_DEEP]
    if _depth(tree) > _DEEPEST:
        return None, [_TOO_DEEP]
    misfits = [
        Misfit(_offset(at, flat, shift), what, remedy)
        for node in ast.walk(tree.body)
        for at, what, remedy in _faults_of(node)
    ]
    return tree, sorted(misfits)


def names_in(expression: str | ast.Expression) -> tuple[str, ...]:
    """Return the names an expression uses, functions left out, in order of appearance and each once."""
    tree = parse_expression(expression) if isinstance(expression, str) else expression
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions]
    found.sort(key=lambda node: node.col_offset)
    return tuple(dict.fromkeys(node.id for node in found))


def is_truth(expression: str | ast.Expression, truths: Collection[str] = ()) -> bool:
    """Say whether an expression is true or false, rather than a number.

    Parameters
    ----------
    expression
        A checked expression.
    truths
        The names in it that stand for something true or false.
    """
    tree = parse_expression(expression) if isinstance(expression, str) else expression
    node = tree.body
    return _is_logical(node) or (isinstance(node, ast.Name) and node.id in truths)


def is_reserved(name: str) -> bool:
    """Say whether an expression could not use this name: ``or``, ``abs``, ``rope`` and their like."""
    return iskeyword(name) or name in FUNCTIONS or name == "rope"


def evaluate(expression: str | ast.Expression, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Compute an expression draw by draw.

    Parameters
    ----------
    expression
        The text, or what :func:`parse_expression` returned.
    values
        Each name's draws, any shapes that broadcast together.

    Returns
    -------
    numpy.ndarray
        Float, or bool for a comparison; the broadcast shape of ``values``.

    Raises
    ------
    InputError
        For an unknown name, a number where ``and``, ``or``, ``not`` need a comparison, and an operation
        that is undefined (the log of a negative number, a division by zero) in any draw.
    """
    tree = parse_expression(expression) if isinstance(expression, str) else expression
    unknown = [name for name in names_in(tree) if name not in values]
    if unknown:
        raise InputError(
            f"The expression {ast.unparse(tree)!r} cannot be computed",
            [Fault(f"unknown name {name!r}", did_you_mean(name, values)) for name in unknown],
        )
    shape = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
    return np.broadcast_to(_value(tree.body, values), shape).copy()


def _value(node: ast.AST, values: Mapping[str, np.ndarray]) -> np.ndarray:
    match node:
        case ast.Constant(value=float() | int() as number):
            return np.asarray(float(number))
        case ast.Name(id=name):
            return np.asarray(values[name])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return np.logical_not(_truth(operand, values))
        case ast.UnaryOp(op=op, operand=operand):
            number = _number(operand, values)
            return -number if isinstance(op, ast.USub) else number
        case ast.BinOp(left=left, op=op, right=right):
            return _defined(node, _BINARY[type(op)], _number(left, values), _number(right, values))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [_number(side, values) for side in (left, *comparators)]
            links = [_COMPARE[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False)]
            return _reduce(np.logical_and, links)
        case ast.BoolOp(op=op, values=operands):
            join = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return _reduce(join, [_truth(operand, values) for operand in operands])
        case ast.Call(func=ast.Name(id=name), args=args):
            numbers = [_number(arg, values) for arg in args]
            if name in _REDUCTIONS:
                return _reduce(_REDUCTIONS[name], numbers)
            return _defined(node, _FUNCTIONS[name], *numbers)
    raise AssertionError(f"an unchecked expression reached evaluate: {type(node).__name__}")


def _number(node: ast.AST, values: Mapping[str, np.ndarray]) -> np.ndarray:
    return _value(node, values).astype(float)


def _truth(node: ast.AST, values: Mapping[str, np.ndarray]) -> np.ndarray:
    value = _value(node, values)
    if value.dtype != np.bool_:
        raise InputError(
            f"{ast.unparse(node)!r} is a number, neither true nor false",
            [Fault("and, or and not join comparisons", f"Write for instance {ast.unparse(node)} > 0")],
        )
    return value


def _reduce(join: Callable[..., np.ndarray], parts: list[np.ndarray]) -> np.ndarray:
    result = parts[0]
    for part in parts[1:]:
        result = join(result, part)
    return result


def _defined(node: ast.AST, operation: Callable[..., np.ndarray], *numbers: np.ndarray) -> np.ndarray:
    # A comparison with NaN is False: an undefined draw would count as evidence against a claim.
    with np.errstate(all="ignore"):
        result = operation(*numbers)
    undefined = ~np.isfinite(result) & _reduce(np.logical_and, [np.isfinite(number) for number in numbers])
    if undefined.any():
        raise InputError(
            f"{ast.unparse(node)!r} is undefined in {undefined.sum()} of {undefined.size} draws",
            [Fault("the result is no finite number there", "Write it so that it is defined for every draw")],
        )
    return result


def _faults_of(node: ast.AST) -> list[tuple[ast.AST, str, str]]:
    match node:
        case ast.Constant(value=bool()) | ast.Constant(value=str() | bytes() | complex() | None):
            return [(node, f"unexpected {ast.unparse(node)}", "A constant is a number")]
        case ast.Constant(value=float() | int() as number) if number > sys.float_info.max:
            return [(node, "unexpected infinite number", "A constant is a finite number")]
        case ast.Constant(value=float() | int()) | ast.Name():
            return []
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _needs_truth([operand])
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            return []
        case ast.BinOp(op=op) if type(op) in _BINARY:
            return []
        case ast.BinOp(op=op) | ast.UnaryOp(op=op) if type(op) in _INSTEAD:
            return [(node, f"unexpected operator in {ast.unparse(node)!r}", _INSTEAD[type(op)])]
        case ast.Compare(ops=ops) if all(type(op) in _COMPARE for op in ops):
            return []
        case ast.BoolOp(values=operands):
            return _needs_truth(operands)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return [(node, what, remedy) for what, remedy in _call_faults(name, len(args))]
        case ast.expr():
            return [(node, f"{ast.unparse(node)!r} is not allowed in an expression", _ALLOWED)]
    return []


def _call_faults(name: str, count: int) -> list[tuple[str, str]]:
    if name not in FUNCTIONS:
        remedy = sentence(did_you_mean(name, FUNCTIONS), f"The functions are {', '.join(FUNCTIONS)}")
        return [(f"unknown function {name!r}", remedy)]
    if name in _FUNCTIONS and count != 1:
        return [(f"{name} takes one value, here it has {count}", f"Write {name}(x)")]
    if name in _REDUCTIONS and count < 2:
        return [(f"{name} takes two or more values, here it has {count}", f"Write {name}(x, y)")]
    return []


def _needs_truth(operands: list[ast.expr]) -> list[tuple[ast.AST, str, str]]:
    return [
        (
            operand,
            f"{ast.unparse(operand)!r} is a number, neither true nor false",
            f"and, or and not join comparisons: write for instance {ast.unparse(operand)} > 0",
        )
        for operand in operands
        if not _is_logical(operand) and not isinstance(operand, ast.Name)
    ]


def _is_logical(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare | ast.BoolOp) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    )


def _depth(tree: ast.AST) -> int:
    # Level by level and not by recursion: it guards the recursion of evaluate.
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _offset(node: ast.AST, flat: str, shift: int) -> int:
    # ast counts UTF-8 bytes.
    column = getattr(node, "col_offset", 0)
    return len(flat[shift:].encode()[:column].decode(errors="ignore")) + shift
