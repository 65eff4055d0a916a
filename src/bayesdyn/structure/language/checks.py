"""Whether the statements of a model make sense together; each fault has its line and the nearest name."""

import re
from collections.abc import Iterable

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.expression import is_reserved, names_in, numbers_as_truths, truths_among
from bayesdyn.structure.language.priors import DEFAULTS
from bayesdyn.structure.language.spec import BUILT_IN_COVARIATES, Path, Term, Varying, is_idle
from bayesdyn.structure.language.statements import Placed, Statements
from bayesdyn.structure.language.words import did_you_mean, nearest, sentence

_MISSPELT = 0.85  # how alike: empaty and empathy are .92, de and disclosure .33


def check_statements(statements: Statements, faults: FaultList) -> None:
    """Gather every contradiction among the statements of one model.

    Checked are: a term twice in an equation, an outcome that predicts itself, cycles without lag, groups
    whose slopes are no paths, residual covariances of unknown or equal names, labels that are words of
    expressions, definitions that collide with a name, and definitions of unknown labels. What depends on
    every name being known is left out where a statement could not be read.
    """
    _check_terms(statements.paths, faults)
    _check_cycles(statements, faults)
    names = _names(statements.paths)
    _check_labels(statements, faults)
    if statements.complete:
        _check_varying(statements, names, faults)
        _check_residuals(statements, names, faults)
        _check_definitions(statements, names, faults)


def check_near_labels(
    statements: Statements, declared: Iterable[str], used: Iterable[str], faults: FaultList
) -> None:
    """Note labels that are a construct's name misspelt: ``empaty*rapport``, where a product is meant.

    A label is one on purpose where a definition, claim or prior uses it, where it is made from the name
    (``empathy_d``, ``b_empathy``, ``empathy2``), or where the name stands in its own term.

    Parameters
    ----------
    statements
        The statements of a model.
    declared, used
        Names under ``[constructs]`` or ``[scale]``, and labels that claims and priors name.
    faults
        Receives each such label once.
    """
    known = {*declared, *_names(statements.paths)} - set(BUILT_IN_COVARIATES)
    meant = {*used, *(name for one in statements.definitions for name in names_in(one.item.expression))}
    for placed in statements.paths:
        label, term = placed.item.label, placed.item.term
        near = nearest(label, known, _MISSPELT) if label not in meant else ""
        if not near or near in term.names or re.search(rf"(?<![^\W\d_]){near}(?![^\W\d_])", label):
            continue
        meant.add(label)
        what = f"the label {label!r} of {str(term)!r} is nearly the name {near!r}"
        faults.add(what, f"Write {near}*{term} for a product; else name the label otherwise", placed.where)


def _names(paths: Iterable[Placed[Path]]) -> tuple[str, ...]:
    items = [placed.item for placed in paths]
    return tuple(dict.fromkeys([*(p.outcome for p in items), *(n for p in items for n in p.term.names)]))


def _check_terms(paths: list[Placed[Path]], faults: FaultList) -> None:
    first: dict[tuple[str, tuple[str, ...]], Placed[Path]] = {}
    for placed in paths:
        path = placed.item
        earlier = first.setdefault((path.outcome, path.term.key), placed)
        if path.outcome in BUILT_IN_COVARIATES:
            faults.add(f"{path.outcome!r} is built in and cannot be an outcome", "Rename it", placed.where)
        itself = any(factor.name == path.outcome and factor.kind != "lag" for factor in path.term.factors)
        if itself:
            remedy = f"Write lag({path.outcome}) for its effect on the next exchange"
            faults.add(f"{path.outcome!r} predicts itself in {str(path.term)!r}", remedy, placed.where)
        if earlier is placed:
            continue
        label = path.label or earlier.item.label
        product = f"For a product, give {label!r} a term of its own, or list it under [constructs]"
        where = f"the first is on line {earlier.line}"
        if path.label and earlier.item.label and path.label != earlier.item.label:
            what = f"the path {path.name!r} has two labels, {earlier.item.label!r} and {path.label!r}"
            faults.add(what, f"Keep one; {where}. {product}", placed.where)
        else:
            what = f"the term {str(path.term)!r} stands twice in the equation of {path.outcome!r}"
            faults.add(
                what, f"Remove one; {where}. {product}" if label else f"Remove one; {where}", placed.where
            )


def _check_cycles(statements: Statements, faults: FaultList) -> None:
    """Find cycles among effects within one exchange, and among effects of session or dyad means."""
    varying = [placed.item for placed in statements.varying]
    for between in (False, True):
        edges: dict[str, dict[str, Placed[Path]]] = {}
        for placed in statements.paths:
            path = placed.item
            if is_idle(path, varying) or (path.term.is_between != between):
                continue
            kind = "mean" if between else "now"
            for factor in path.term.factors:
                if factor.kind == kind and factor.name != path.outcome:
                    edges.setdefault(path.outcome, {}).setdefault(factor.name, placed)
        seen: set[frozenset[str]] = set()
        for start in edges:
            loop = _loop_from(start, edges)
            if loop and frozenset(loop) not in seen:
                seen.add(frozenset(loop))
                shown = " ~ ".join([*loop, loop[0]])
                links = zip(loop, loop[1:] + loop[:1], strict=True)
                closing = max((edges[outcome][source] for outcome, source in links), key=_order)
                remedy = "Put lag( ) around one of them, or use ~~ for a covariance without direction"
                faults.add(f"a cycle without lag: {shown}", remedy, closing.where)


def _loop_from(start: str, edges: dict[str, dict[str, Placed[Path]]]) -> list[str]:
    """Return the shortest cycle through ``start``, or an empty list."""
    routes = [[start]]
    reached: set[str] = set()
    for route in routes:
        for following in edges.get(route[-1], {}):
            if following == start:
                return route
            if following not in reached:
                reached.add(following)
                routes.append([*route, following])
    return []


def _order(placed: Placed[Path]) -> tuple[int, int]:
    return placed.line, placed.column


def _check_varying(statements: Statements, names: tuple[str, ...], faults: FaultList) -> None:
    terms: dict[str, dict[tuple[str, ...], Term]] = {}
    for placed in statements.paths:
        terms.setdefault(placed.item.outcome, {})[placed.item.term.key] = placed.item.term
    first: dict[tuple[str, str, bool], Placed[Varying]] = {}
    unknown: set[tuple[int, int, str]] = set()
    for placed in statements.varying:
        item = placed.item
        if item.outcome not in names:
            if (placed.line, placed.column, item.outcome) not in unknown:
                unknown.add((placed.line, placed.column, item.outcome))
                what = f"{item.outcome!r} varies by group, but no path names it"
                faults.add(what, did_you_mean(item.outcome, names) or "Write its equation", placed.where)
            continue
        earlier = first.setdefault((item.outcome, item.group, item.spread), placed)
        if earlier is not placed:
            what = f"{'the residual SD of ' * item.spread}{item.outcome!r} varies by {item.group} twice"
            faults.add(what, f"Put both into one group; the first is on line {earlier.line}", placed.where)
            continue
        own = terms.get(item.outcome, {})
        for slope in item.slopes:
            if slope.key not in own:
                written = [str(term) for term in own.values()]
                near = did_you_mean(str(slope), written)
                remedy = sentence(near, f"Add the mean of that slope as a path: {item.outcome} ~ {slope}")
                what = f"the slope {str(slope)!r} varies by {item.group}, but is no path of {item.outcome!r}"
                faults.add(what, remedy, placed.where)
            elif sum(slope.key == other.key for other in item.slopes) > 1:
                faults.add(f"the slope {str(slope)!r} stands twice in one group", "Remove one", placed.where)
                break


def _check_residuals(statements: Statements, names: tuple[str, ...], faults: FaultList) -> None:
    first: dict[frozenset[str], int] = {}
    for placed in statements.residuals:
        left, right = placed.item.left, placed.item.right
        if left == right:
            what = f"{left!r} stands on both sides of ~~"
            faults.add(what, "Every outcome has a residual variance: leave it out", placed.where)
            continue
        for name in (left, right):
            if name not in names or name in BUILT_IN_COVARIATES:
                what = f"{name!r} has a residual covariance, but no path names it as a construct"
                faults.add(what, did_you_mean(name, names) or "Write its equation", placed.where)
        pair = frozenset((left, right))
        if pair in first:
            what = f"the residual covariance of {left!r} and {right!r} stands twice"
            faults.add(what, f"Remove one; the first is on line {first[pair]}", placed.where)
        first.setdefault(pair, placed.line)


def _check_labels(statements: Statements, faults: FaultList) -> None:
    told: set[str] = set()
    for placed in statements.paths:
        label = placed.item.label
        if not label or label in told:
            continue
        if is_reserved(label):
            told.add(label)
            remedy = f"Name it otherwise, e.g. {label}_"
            faults.add(f"the label {label!r} is a word of expressions", remedy, placed.where)
        elif label in DEFAULTS:
            # [priors] could not tell the two apart.
            told.add(label)
            remedy = f"Name it otherwise, e.g. {label}_"
            faults.add(f"the label {label!r} is the name of a class of priors", remedy, placed.where)


def _check_definitions(statements: Statements, names: tuple[str, ...], faults: FaultList) -> None:
    labels = {placed.item.label for placed in statements.paths if placed.item.label}
    every = {placed.item.name for placed in statements.definitions}
    truths = truths_among((placed.item.name, placed.item.expression) for placed in statements.definitions)
    defined: dict[str, int] = {}
    for placed in statements.definitions:
        name = placed.item.name
        if name in defined:
            faults.add(f"{name!r} is defined twice", f"The first is on line {defined[name]}", placed.where)
        elif name in labels or name in names:
            other = "a label" if name in labels else "the name of a construct or covariate"
            faults.add(f"the definition {name!r} is also {other}", "Name it otherwise", placed.where)
        elif is_reserved(name):
            what = f"the definition {name!r} is a word of expressions"
            faults.add(what, f"Name it otherwise, e.g. {name}_", placed.where)
        for used in names_in(placed.item.expression):
            if used in labels or used in defined:
                continue
            if used in every:
                what = f"the definition {name!r} uses {used!r}, which is not yet defined there"
                faults.add(what, f"Define {used} above it", placed.where)
                continue
            if used in names:
                hint = f"Give the path a label, e.g. b*{used}, and use the label"
            else:
                hint = sentence(did_you_mean(used, labels | set(defined)), "Definitions use labels of paths")
            faults.add(f"the definition {name!r} uses an unknown label {used!r}", hint, placed.where)
        for misfit in numbers_as_truths(placed.item.expression, (labels | every) - truths):
            faults.add(f"the definition {name!r}: {misfit.what}", misfit.remedy, placed.where)
        defined.setdefault(name, placed.line)
