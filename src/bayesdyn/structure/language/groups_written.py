"""The groups of a statement: what stands after the bar of ``(1 | dyad)``, and ``sigma ~`` on its left."""

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches

from bayesdyn.structure.language.expression import Misfit
from bayesdyn.structure.language.spec import LEVELS, Path, Varying
from bayesdyn.structure.language.statements import Placed
from bayesdyn.structure.language.words import did_you_mean, sentence

SPREAD = "sigma"
"""``sigma(x) ~ (1 | dyad)``: the residual SD of x varies; ``sigma ~`` alone: that of every outcome."""

_NEAR = 0.8  # a covariate may be called session_type
_NOT_NESTED = (("session", "dyad"), ("session", "session"), ("dyad", "dyad"))


def groups_named(names: tuple[str, ...], nested: bool) -> tuple[str, ...] | Misfit:
    """Return the groups that one or two names mean.

    A session's label is unique within its dyad only, so ``session`` and ``dyad:session`` are the same.

    Parameters
    ----------
    names
        As written after the bar.
    nested
        Whether they are joined by ``/``, and not by ``:``.

    Returns
    -------
    tuple or Misfit
        Where they mean nothing: the number, from 0, of the name that is wrong, what is, and the remedy.
    """
    misspelt = [name not in LEVELS and bool(get_close_matches(name, LEVELS, cutoff=_NEAR)) for name in names]
    if not any(misspelt):
        if len(names) == 1 or (nested and names not in _NOT_NESTED):
            return names
        if names == ("dyad", "session"):
            return ("session",)
    at = misspelt.index(True) if any(misspelt) else 0
    what = f"unknown {'group' if any(misspelt) else 'nesting from'} {names[at]!r}"
    groups = "The groups are dyad, session, dyad/session, and covariates that name groups"
    return Misfit(at, what, sentence(did_you_mean(names[at], LEVELS), groups))


def spread_out(varying: list[Placed[Varying]], paths: Iterable[Placed[Path]]) -> list[Placed[Varying]]:
    """Return the varying effects with ``sigma ~`` written out for every outcome that has a path.

    A model with paths of a construct called sigma means that construct.
    """
    outcomes = tuple(dict.fromkeys(placed.item.outcome for placed in paths))
    found: list[Placed[Varying]] = []
    for placed in varying:
        if placed.item.outcome != SPREAD or SPREAD in outcomes or placed.item.spread:
            found.append(placed)
        else:
            every = [replace(placed.item, outcome=name, spread=True) for name in outcomes]
            found += [replace(placed, item=one) for one in every]
    return found
