"""What the statements of ``paths`` say: their trees turned into the parts of a spec.

:mod:`.grammar` reads the statements one by one; :mod:`.checks` asks whether they make sense together.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from lark import Token, Tree

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.expression import Misfit, read_expression
from bayesdyn.structure.language.grammar import parse_statement, split_statements
from bayesdyn.structure.language.groups_written import SPREAD, groups_named, spread_out
from bayesdyn.structure.language.parts import Definition, Factor, Path, ResidualPair, Term, Varying, place
from bayesdyn.structure.language.products import (
    LABEL_REMEDY,
    expanded,
    label_of,
    names_standing,
    once,
    trees_in,
    twice_in,
)
from bayesdyn.structure.language.spec import BUILT_IN_COVARIATES, LEVELS
from bayesdyn.structure.language.statements import Placed, Statements
from bayesdyn.structure.language.words import did_you_mean, sentence


def read_statements(
    text: str, faults: FaultList, first_line: int = 1, declared: Iterable[str] = ()
) -> Statements:
    """Read the text of ``paths``, statement by statement.

    Whether the name before a ``*`` is a label or a factor is told by :mod:`.products`.

    Parameters
    ----------
    text
        Statements ``~``, ``~~`` and ``:=``; ``#`` starts a comment. A line goes on from the one before where
        an operator or an open parenthesis at the seam waits for its other side.
    faults
        Receives every fault, with line, column, word and nearest known one.
    first_line
        Line of the model file at which the text starts.
    declared
        Names that other sections of the model file say are constructs.
    """
    parsed = [(line, source, parse_statement(source)) for line, source in split_statements(text)]
    trees = [tree for _, _, tree in parsed if not isinstance(tree, Misfit)]
    statements = Statements(complete=len(trees) == len(parsed))
    names = frozenset({*declared, *BUILT_IN_COVARIATES, *names_standing(trees)})
    for line, source, tree in parsed:
        reader = _Reader(source, first_line + line, faults, statements, names)
        if isinstance(tree, Misfit):
            reader.fault(*tree)
        else:
            reader.read(tree)
    statements.paths = once(
        statements.paths,
        [(placed.item.outcome, placed.item.term.key) for placed in statements.paths],
        [placed.expanded for placed in statements.paths],
    )
    statements.varying = spread_out(statements.varying, statements.paths)
    statements.complete = not faults.faults
    return statements


def read_name(text: str) -> tuple[str, Term] | None:
    """Read a path's name, such as ``disclosure ~ lag(disclosure)``; None where it is not one."""
    faults = FaultList()
    found = read_statements(text, faults)
    if faults.faults or len(found.paths) != 1 or found.varying or found.residuals or found.definitions:
        return None
    path = found.paths[0].item
    return None if path.label or path.fixed is not None else (path.outcome, path.term)


@dataclass
class _Reader:
    """Turns one statement's tree into the spec's parts."""

    source: str
    line: int
    faults: FaultList
    found: Statements
    names: frozenset[str]

    def read(self, tree: Tree[Token]) -> None:
        names = tree.scan_values(lambda leaf: isinstance(leaf, Token) and leaf.type in ("NAME", "CONTRAST"))
        self.found.words += [(name.value, *self._at(name.start_pos)) for name in names]
        match tree.data:
            case "regression":
                self._regression(tree)
            case "residual":
                self._residual(tree)
            case "definition":
                self._definition(tree)

    def _regression(self, tree: Tree[Token]) -> None:
        names, _, *items = tree.children
        items = [item for item in items if isinstance(item, Tree)]
        outcomes = self._targets(names)
        for outcome, spread in outcomes:
            # What is wrong on the right is said once, not once per outcome.
            again = outcome is not outcomes[0][0]
            for item in items:
                if item.data == "group":
                    self._group(outcome, item, again, spread)
                elif item.data == "path" and spread:
                    remedy = f"Write groups only, e.g. {SPREAD}({outcome}) ~ (1 | dyad)"
                    self.fault(_start(item), f"a path on the residual SD of {outcome.value!r}", remedy)
                elif item.data == "path":
                    self._path(outcome, item, again)
        for item in items:
            if item.data == "constant":
                number = _tokens(item)[0]
                remedy = "Leave it out: every outcome has a mean, and (1 | dyad) lets it vary"
                self.fault(number.start_pos, f"unexpected constant {number.value!r}", remedy)

    def _path(self, outcome: Token, tree: Tree[Token], again: bool) -> None:
        product = tree.children[-1]
        assert isinstance(product, Tree)
        parts = trees_in(product)
        number = _tokens(tree)[0] if len(tree.children) > 1 else None
        label = label_of(parts, self.names) if number is None else None
        parts = parts[1:] if label is not None else parts
        prefix = label if label is not None else number
        if prefix is not None and len(parts) > 1:
            # The name may stand as a factor in a statement that could not be read.
            if not again and (label is None or self.found.complete):
                kind = "value" if label is None else "label"
                near = "" if label is None else did_you_mean(label.value, self.names)
                what = f"the {kind} {prefix.value!r} stands before a product"
                self.fault(prefix.start_pos, what, sentence(near, LABEL_REMEDY))
            return
        fixed = float(number) if number is not None else None
        if fixed is not None and not isfinite(fixed):
            if not again:
                self.fault(_start(tree), f"the value {number!s} is infinite", "Fix a path at a finite number")
            return
        for term, start in self._product(parts, again):
            line, column = self._at(prefix.start_pos if prefix is not None else start)
            named = label.value if label is not None else ""
            path = Path(outcome.value, term, named, fixed, line=line, column=column)
            self.found.paths.append(Placed(path, line, column, str(term), expanded=len(parts) > 1))

    def _product(self, parts: list[Tree[Token]], again: bool) -> list[tuple[Term, int]]:
        """Return the terms of ``a*b*...`` and where each starts; none where a factor has a fault."""
        operands = [(self._term(part, again), _start(part)) for part in parts]
        whole = [(term, start) for term, start in operands if term is not None]
        if len(whole) < len(operands):
            return []
        factor = twice_in([term for term, _ in whole])
        if factor is not None:
            if not again:
                remedy = f"Write the terms out; a square is {factor}:{factor}"
                self.fault(_start(parts[0]), f"{str(factor)!r} stands twice in one product", remedy)
            return []
        return expanded(whole)

    def _targets(self, names: Tree[Token] | Token) -> list[tuple[Token, bool]]:
        """Return each construct left of an operator, and whether its residual SD is meant."""
        found: list[tuple[Token, bool]] = []
        for part in names.children if isinstance(names, Tree) else [names]:
            if isinstance(part, Tree):
                function, _, name, *_ = _tokens(part)
                if function.value != SPREAD:
                    near = did_you_mean(function.value, (SPREAD,))
                    remedy = sentence(near, f"Only {SPREAD}(x) can stand here")
                    self.fault(function.start_pos, f"unknown function {function.value!r}", remedy)
                found.append((name, True))
            elif part.type == "NAME":
                found.append((part, False))
        return found

    def _group(self, outcome: Token, tree: Tree[Token], again: bool, spread: bool = False) -> None:
        bar = next(
            i for i, part in enumerate(tree.children) if isinstance(part, Token) and part.type == "BAR"
        )
        grouping = [part for part in tree.children[bar:] if isinstance(part, Token)]
        levels = self._levels(grouping, again)
        intercept = True
        slopes: list[tuple[Term, bool]] = []
        for part in tree.children[:bar]:
            if isinstance(part, Tree):
                parts = trees_in(part)
                slopes += [(term, len(parts) > 1) for term, _ in self._product(parts, again)]
            elif part.type == "NUMBER" and part.value in ("0", "1"):
                intercept = part.value == "1"
            elif part.type == "NUMBER" and not again:
                remedy = "1 stands for the mean, 0 for a mean that does not vary"
                self.fault(part.start_pos, f"unexpected number {part.value!r} in a group", remedy)
        if not intercept and not slopes and not again:
            self.fault(_start(tree), "nothing varies in this group", "Write (1 | dyad), or leave it out")
        if spread and slopes and not again:
            remedy = f"Write {SPREAD}({outcome}) ~ (1 | dyad)"
            self.fault(_start(tree), "a slope of a residual SD", remedy)
        line, column = self._at(_start(tree))
        terms = [term for term, _ in slopes]
        terms = once(terms, [term.key for term in terms], [product for _, product in slopes])
        for level in levels:
            varying = Varying(outcome.value, level, intercept, tuple(terms), spread, line, column)
            self.found.varying.append(Placed(varying, line, column, level))

    def _levels(self, grouping: list[Token], again: bool) -> tuple[str, ...]:
        names = [token for token in grouping if token.type == "NAME"]
        nested = any(token.type == "SLASH" for token in grouping)
        found = groups_named(tuple(token.value for token in names), nested)
        if not isinstance(found, Misfit):
            return found
        if not again:
            self.fault(names[found.offset].start_pos, found.what, found.remedy)
        return ()

    def _residual(self, tree: Tree[Token]) -> None:
        left, _, right = tree.children
        sides = [self._targets(side) for side in (left, right)]
        for name in (name for side in sides for name, spread in side if spread):
            self.fault(name.start_pos, f"a residual SD, of {name.value!r}, in ~~", f"Write {name} alone")
        for first, _ in sides[0]:
            for second, _ in sides[1]:
                line, column = self._at(second.start_pos)
                pair = ResidualPair(first.value, second.value, line, column)
                self.found.residuals.append(Placed(pair, line, column, second.value))

    def _definition(self, tree: Tree[Token]) -> None:
        name, _, expression = _tokens(tree)
        start = expression.start_pos or 0
        parsed, misfits = read_expression(expression.value)
        for misfit in misfits:
            self.fault(start + misfit.offset, misfit.what, misfit.remedy)
        if parsed is not None and not misfits:
            line, column = self._at(name.start_pos)
            definition = Definition(name.value, " ".join(expression.value.split()), line, column)
            self.found.definitions.append(Placed(definition, line, column, name.value))

    def _term(self, tree: Tree[Token], again: bool) -> Term | None:
        factors = [self._factor(part, again) for part in trees_in(tree)]
        whole = tuple(factor for factor in factors if factor is not None)
        return Term(whole) if len(whole) == len(factors) else None

    def _factor(self, tree: Tree[Token], again: bool) -> Factor | None:
        tokens = _tokens(tree)
        if tree.data in ("now", "contrast"):
            return Factor(tokens[0].value)
        function, _, name, *rest = tokens
        argument = rest[1] if len(rest) > 1 else None
        if function.value == "lag" and (argument is None or re.fullmatch(r"[1-9]\d*", argument.value)):
            return Factor(name.value, "lag", int(argument.value) if argument is not None else 1)
        if function.value == "mean" and (argument is None or argument.value in LEVELS):
            return Factor(name.value, "mean", level=argument.value if argument is not None else LEVELS[0])
        if again:
            return None
        if function.value == "lag":
            assert argument is not None
            what = f"lag of {argument.value!r}: not a whole number of exchanges from 1"
            self.fault(argument.start_pos, what, f"Write lag({name}) or lag({name}, 2)")
        elif function.value == "mean":
            assert argument is not None
            remedy = sentence(
                did_you_mean(argument.value, LEVELS), f"Write mean({name}) or mean({name}, dyad)"
            )
            self.fault(argument.start_pos, f"unknown level {argument.value!r} of a mean", remedy)
        else:
            remedy = sentence(did_you_mean(function.value, ("lag", "mean")), "The functions are lag and mean")
            self.fault(function.start_pos, f"unknown function {function.value!r}", remedy)
        return None

    def _at(self, offset: int | None) -> tuple[int, int]:
        before = self.source[: offset or 0]
        return self.line + before.count("\n"), len(before) - (before.rfind("\n") + 1) + 1

    def fault(self, offset: int | None, what: str, remedy: str) -> None:
        self.faults.add(what, remedy, place(*self._at(offset)))


def _tokens(tree: Tree[Token] | Token) -> list[Token]:
    children = tree.children if isinstance(tree, Tree) else [tree]
    return [child for child in children if isinstance(child, Token)]


def _start(tree: Tree[Token]) -> int:
    return tree.meta.start_pos
