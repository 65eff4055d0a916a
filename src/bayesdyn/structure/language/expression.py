"""Expressions of definitions and claims, such as ``se - oe`` or ``abs(dr) < rope``, read and checked.

Python's own parser reads them and a list of allowed nodes decides what they may hold; nothing is executed.
:mod:`.evaluating` computes them draw by draw.
"""

import ast
import sys
from collections.abc import Collection, Iterable
from keyword import iskeyword
from typing import NamedTuple

import numpy as np

from bayesdyn.errors import Fault, InputError
from bayesdyn.structure.language.words import did_you_mean, sentence

BINARY: dict[type[ast.operator], np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
COMPARE: dict[type[ast.cmpop], np.ufunc] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
OF_ONE: dict[str, np.ufunc] = {"abs": np.abs, "exp": np.exp, "log": np.log, "sqrt": np.sqrt}
REDUCTIONS: dict[str, np.ufunc] = {"min": np.minimum, "max": np.maximum}
FUNCTIONS = (*OF_ONE, *REDUCTIONS)
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


def truths_among(definitions: Iterable[tuple[str, str]]) -> set[str]:
    """Return which of some definitions, pairs (name, checked expression) in order, are true or false."""
    found: set[str] = set()
    for name, expression in definitions:
        if is_truth(expression, found):
            found.add(name)
    return found


def numbers_as_truths(text: str, numbers: Collection[str]) -> list[Misfit]:
    """Return the names of numbers that ``and``, ``or`` or ``not`` in a checked expression take for truths.

    Parameters
    ----------
    text
        The expression.
    numbers
        The names that are known to stand for numbers.
    """
    flat = text.replace("\n", " ")
    shift = len(flat) - len(flat.lstrip())
    found = [
        (operand, *_number_told(operand))
        for node in ast.walk(parse_expression(text))
        for operand in _joined(node)
        if isinstance(operand, ast.Name) and operand.id in numbers
    ]
    return sorted(Misfit(_offset(at, flat, shift), what, remedy) for at, what, remedy in found)


def is_reserved(name: str) -> bool:
    """Say whether an expression could not use this name: ``or``, ``abs``, ``rope`` and their like."""
    return iskeyword(name) or name in FUNCTIONS or name == "rope"


def _faults_of(node: ast.AST) -> list[tuple[ast.AST, str, str]]:
    match node:
        case ast.Constant(value=bool()) | ast.Constant(value=str() | bytes() | complex() | None):
            return [(node, f"unexpected {ast.unparse(node)}", "A constant is a number")]
        case ast.Constant(value=float() | int() as number) if number > sys.float_info.max:
            return [(node, "unexpected infinite number", "A constant is a finite number")]
        case ast.Constant(value=float() | int()) | ast.Name():
            return []
        case ast.UnaryOp(op=ast.Not()) | ast.BoolOp():
            return _needs_truth(node)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            return []
        case ast.BinOp(op=op) if type(op) in BINARY:
            return []
        case ast.BinOp(op=op) | ast.UnaryOp(op=op) if type(op) in _INSTEAD:
            return [(node, f"unexpected operator in {ast.unparse(node)!r}", _INSTEAD[type(op)])]
        case ast.Compare(ops=ops) if all(type(op) in COMPARE for op in ops):
            return []
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return [(node, what, remedy) for what, remedy in _call_faults(name, len(args))]
        case ast.expr():
            return [(node, f"{ast.unparse(node)!r} is not allowed in an expression", _ALLOWED)]
    return []


def _call_faults(name: str, count: int) -> list[tuple[str, str]]:
    if name not in FUNCTIONS:
        remedy = sentence(did_you_mean(name, FUNCTIONS), f"The functions are {', '.join(FUNCTIONS)}")
        return [(f"unknown function {name!r}", remedy)]
    if name in OF_ONE and count != 1:
        return [(f"{name} takes one value, here it has {count}", f"Write {name}(x)")]
    if name in REDUCTIONS and count < 2:
        return [(f"{name} takes two or more values, here it has {count}", f"Write {name}(x, y)")]
    return []


def _needs_truth(node: ast.AST) -> list[tuple[ast.AST, str, str]]:
    # What a name stands for is known to the model alone: numbers_as_truths.
    wrong = [one for one in _joined(node) if not _is_logical(one) and not isinstance(one, ast.Name)]
    return [(operand, *_number_told(operand)) for operand in wrong]


def _joined(node: ast.AST) -> list[ast.expr]:
    """Return what a node joins by ``and``, ``or`` or ``not``; nothing where it is none of them."""
    if isinstance(node, ast.BoolOp):
        return node.values
    return [node.operand] if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) else []


def _number_told(node: ast.expr) -> tuple[str, str]:
    text = ast.unparse(node)
    remedy = f"and, or and not join comparisons: write for instance {text} > 0"
    return f"{text!r} is a number, neither true nor false", remedy


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
