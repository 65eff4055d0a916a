"""What is asked of a fit: names, paths and moderators' values, checked against its model."""

from collections.abc import Iterable, Mapping

import numpy as np

from bayesdyn.effects.equations import Equations
from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import Factor, Path
from bayesdyn.structure.language.words import did_you_mean, sentence


def check_ci_prob(ci_prob: float, faults: FaultList) -> None:
    """Note a probability of an interval that is none."""
    if not 0 < ci_prob < 1:
        faults.add(f"ci_prob is {ci_prob:g}", "Give a probability between 0 and 1, such as 0.95")


def check_name(name: str, known: Iterable[str], what: str, faults: FaultList) -> None:
    """Note a name that is not among the known ones; ``what`` says what they are."""
    names = tuple(known)
    if name not in names:
        listed = f"There are {', '.join(names)}" if names else "There is none"
        faults.add(f"{name!r} is no {what} of this model", sentence(did_you_mean(name, names), listed))


def is_finite(value: object) -> bool:
    """Say whether a value is a finite number."""
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))


def check_at(at: Mapping[str, object], equations: Equations, faults: FaultList) -> None:
    """Note moderators that the model does not have, and values that are no numbers."""
    for name, value in at.items():
        check_name(name, equations.moderators, "moderator", faults)
        if not is_finite(value):
            faults.add(f"{name} is to be held at {value}", "Give a finite number")


def described(factors: Mapping[str, Factor], equations: Equations, at: Mapping[str, float]) -> str:
    """Return where the moderators are held, in words: ``rapport = 1, phase = 0``."""
    return ", ".join(f"{name} = {equations.value(factor, at):g}" for name, factor in factors.items())


def find_factor(text: str, equations: Equations, faults: FaultList) -> tuple[str, Factor] | None:
    """Return the outcome and the factor that ``disclosure ~ empathy`` names, or None with a fault noted.

    A factor counts that stands in any term of the equation, also where it has no path of its own; a mean
    does not: it moves the session's level too, so its slope within sessions is not its effect.
    """
    outcome, _, wanted = (part.strip() for part in text.partition("~"))
    known = {
        _plain(f"{path.outcome} ~ {factor}"): (path.outcome, factor)
        for path in equations.paths
        for factor in path.term.factors
        if factor.kind != "mean"
    }
    found = known.get(_plain(f"{outcome} ~ {wanted}"))
    if found is None:
        names = [f"{one} ~ {factor}" for one, factor in known.values()]
        same = [name for name in names if name.startswith(f"{outcome} ~")]
        near = did_you_mean(f"{outcome} ~ {wanted}", names)
        listed = f"It has {', '.join(same or names)}"
        faults.add(f"{text!r} is no slope of this model", sentence(near, listed))
    return found


def find_path(text: str, paths: Iterable[Path], faults: FaultList) -> Path | None:
    """Return the path of that name, or None with a fault noted; the order of a product's factors is free."""
    known = tuple(paths)
    outcome, _, term = text.partition("~")
    key = (outcome.strip(), tuple(sorted(map(_plain, term.split(":")))))
    for path in known:
        if (path.outcome, tuple(sorted(map(_plain, path.term.key)))) == key:
            return path
    near = did_you_mean(text.strip(), [path.name for path in known])
    faults.add(f"{text.strip()!r} is no path of this model", near or "Spell it as bayesdyn.summary does")
    return None


def _plain(text: str) -> str:
    return "".join(text.split())
