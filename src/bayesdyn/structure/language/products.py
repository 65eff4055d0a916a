"""Products written with ``*``: which are moderations, and which are a term with its label.

``a*b`` means two things: in lme4 the product of a and b with their own terms, ``a + b + a:b``; in lavaan the
term b with the label a. What the first name is decides:

- It is a factor where the model says anywhere that it is a construct or covariate: as an outcome, in a term
  of its own or behind another name, in ``lag()``, ``mean()`` or a group, beside ``~~``, under
  ``[constructs]`` or ``[scale]``, or as a built-in covariate. The statement is then a product.
- Else it is a label. A model's meaning does not depend on the data it meets, so that a lone
  ``disclosure ~ empathy*rapport`` gives rapport the label ``empathy``; measures that hold a construct or
  covariate of the name of a label are refused (:func:`.model_file.check_names`), with the remedy.

What is no single name, such as ``lag(a)*b`` or ``a:b*c``, has no second reading; nor has what stands in a
group, where no labels are. A label before a product (``k*a*b``) is a fault: a label names one path.

The terms of ``a*b*c`` are all main effects, then the products of two, then that of three. A term that the
equation also writes out, or that two products share, counts once; what is written out wins, with its label or
fixed value.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations

from lark import Token, Tree

from bayesdyn.structure.language.spec import Factor, Term, covariate_of

LABEL_REMEDY = (
    "A label or value is of one path: write the terms out, e.g. a + b + k*a:b. A construct or covariate is "
    "known as one by a term of its own, or under [constructs]"
)


def names_standing(trees: Iterable[Tree[Token]]) -> set[str]:
    """Return the names that statements use as constructs or covariates beyond doubt."""
    found: set[str] = set()
    for tree in trees:
        match tree.data:
            case "regression":
                found |= _names_of_regression(tree)
            case "residual":
                found |= _names_below(tree)
    return found


def label_of(operands: Sequence[Tree[Token]], names: Collection[str]) -> Token | None:
    """Return the label that a written path begins with, None where it has none.

    Parameters
    ----------
    operands
        The terms between the ``*`` of the path.
    names
        The names that are constructs or covariates.
    """
    name = _lone_name(operands[0]) if len(operands) > 1 else None
    return name if name is not None and name.value not in names else None


def twice_in(operands: Sequence[Term]) -> Factor | None:
    """Return the first factor that two operands share, or None."""
    seen: set[str] = set()
    for operand in operands:
        for factor in operand.factors:
            if str(factor) in seen:
                return factor
        seen.update(map(str, operand.factors))
    return None


def expanded(operands: Sequence[tuple[Term, int]]) -> list[tuple[Term, int]]:
    """Return the terms that a product of operands stands for, each with the place of its first operand."""
    return [
        (Term(tuple(factor for term, _ in chosen for factor in term.factors)), chosen[0][1])
        for size in range(1, len(operands) + 1)
        for chosen in combinations(operands, size)
    ]


def once[T, K](items: Sequence[T], keys: Sequence[K], from_product: Sequence[bool]) -> list[T]:
    """Leave out what a product stands for and is written out too, or was in an earlier product.

    Parameters
    ----------
    items, keys
        The items, and what is equal for items that mean the same.
    from_product
        Whether a product stands for the item; what is written out twice stays, and is a fault elsewhere.
    """
    seen = {key for key, product in zip(keys, from_product, strict=True) if not product}
    kept: list[T] = []
    for item, key, product in zip(items, keys, from_product, strict=True):
        if product and key in seen:
            continue
        seen.add(key)
        kept.append(item)
    return kept


def _names_of_regression(tree: Tree[Token]) -> set[str]:
    outcomes, *items = trees_in(tree)
    found = _names_below(outcomes)
    for item in items:
        if item.data == "path":
            operands = trees_in(trees_in(item)[-1])
            unsure = len(operands) > 1 and _lone_name(operands[0]) is not None
            for operand in operands[unsure:]:
                found |= _names_below(operand)
        elif item.data == "group":
            for effect in trees_in(item):
                found |= _names_below(effect)
    return found


def _names_below(tree: Tree[Token]) -> set[str]:
    """Return the names in a tree; the second argument of ``lag`` and ``mean`` is none."""
    found: set[str] = set()
    for part in tree.iter_subtrees():
        tokens = [token for token in _tokens(part) if token.type in ("NAME", "CONTRAST")]
        used = [token.value for token in (tokens[:1] if part.data == "call" else tokens)]
        found.update(used, map(covariate_of, used))
    return found


def _lone_name(term: Tree[Token]) -> Token | None:
    factors = trees_in(term)
    if len(factors) != 1 or factors[0].data != "now":
        return None
    return next(_tokens(factors[0]))


def trees_in(tree: Tree[Token]) -> list[Tree[Token]]:
    """Return the parts of a tree that are trees themselves."""
    return [child for child in tree.children if isinstance(child, Tree)]


def _tokens(tree: Tree[Token]) -> Iterator[Token]:
    return (child for child in tree.children if isinstance(child, Token))
