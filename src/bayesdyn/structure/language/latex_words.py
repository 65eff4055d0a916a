"""Names and expressions of a model in LaTeX's mathematics."""

import ast

from bayesdyn.structure.language.expression import parse_expression

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#",
        "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)  # fmt: skip
_BINARY: dict[type[ast.operator], str] = {ast.Add: " + ", ast.Sub: " - ", ast.Mult: r" \cdot "}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: r"\leq", ast.Gt: ">", ast.GtE: r"\geq", ast.Eq: "=", ast.NotEq: r"\neq",
}  # fmt: skip
# How tightly a node binds: a part that binds less than its place asks for stands in parentheses.
_OR, _AND, _NOT, _COMPARED, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(9)


def name_latex(name: str) -> str:
    """Return the name of a construct or covariate as upright text."""
    return rf"\text{{{name.translate(_ESCAPES)}}}"


def label_latex(label: str) -> str:
    """Return a label or defined quantity, in italics as one symbol."""
    return rf"\mathit{{{label.translate(_ESCAPES)}}}"


def expression_latex(expression: str) -> str:
    """Return the expression of a definition.

    Raises
    ------
    InputError
        If it is no expression (:mod:`.expression`).
    """
    return _latex(parse_expression(expression).body)[0]


def _latex(node: ast.AST) -> tuple[str, int]:
    """Return a node's LaTeX, and how tightly it binds."""
    match node:
        case ast.Name(id=name):
            return label_latex(name), _ATOM
        case ast.Constant(value=number):
            return f"{number}", _ATOM
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return rf"\neg {_within(operand, _NOT)}", _NOT
        case ast.UnaryOp(op=op, operand=operand):
            sign = "-" if isinstance(op, ast.USub) else "+"
            return sign + _within(operand, _POWER), _SIGN
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return f"{_within(left, _ATOM)}^{{{_latex(right)[0]}}}", _POWER
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return rf"\frac{{{_latex(left)[0]}}}{{{_latex(right)[0]}}}", _POWER
        case ast.BinOp(left=left, op=op, right=right):
            level = _PRODUCT if isinstance(op, ast.Mult) else _SUM
            return _within(left, level) + _BINARY[type(op)] + _within(right, level + 1), level
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [_within(side, _SUM) for side in (left, *comparators)]
            links = [f" {_COMPARE[type(op)]} {side}" for op, side in zip(ops, sides[1:], strict=True)]
            return sides[0] + "".join(links), _COMPARED
        case ast.BoolOp(op=op, values=values):
            joint, level = (r" \wedge ", _AND) if isinstance(op, ast.And) else (r" \vee ", _OR)
            return joint.join(_within(value, level + 1) for value in values), level
        case ast.Call(func=ast.Name(id="abs"), args=[inner]):
            return rf"\left| {_latex(inner)[0]} \right|", _ATOM
        case ast.Call(func=ast.Name(id="sqrt"), args=[inner]):
            return rf"\sqrt{{{_latex(inner)[0]}}}", _ATOM
        case ast.Call(func=ast.Name(id=name), args=args):
            return rf"\{name}({', '.join(_latex(arg)[0] for arg in args)})", _ATOM
    raise AssertionError(f"an unchecked expression reached LaTeX: {type(node).__name__}")


def _within(node: ast.AST, least: int) -> str:
    """Return a part's LaTeX, in parentheses where it binds less tightly than ``least``."""
    text, level = _latex(node)
    return text if level >= least else f"({text})"
