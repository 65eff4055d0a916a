"""What is asked of a simulated study, checked at the door: numbers by construct, correlations, the seed."""

from collections.abc import Mapping, Sequence

import numpy as np

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.numbers import is_number, is_whole, shown
from bayesdyn.structure.language.words import did_you_mean, sentence

type ByConstruct = float | Mapping[str, float]


def by_construct(
    argument: str,
    asked: ByConstruct,
    constructs: Sequence[str],
    default: float,
    bounds: str,
    faults: FaultList,
) -> np.ndarray:
    """Return (C,) numbers; note constructs that are none, and numbers out of bounds.

    Parameters
    ----------
    argument
        What the number is of, for messages.
    asked
        One number for all, or by construct, ``default`` where not named.
    constructs
        Names, in order.
    default
        For those that a mapping leaves out.
    bounds
        An interval such as ``(0, 1]`` or ``[0, inf)``.
    faults
        Receives what is wrong.
    """
    usual = np.full(len(constructs), default)
    if not isinstance(asked, Mapping) and not isinstance(asked, int | float | np.number):
        remedy = f"Give a number in {bounds}, or a mapping from constructs to numbers"
        faults.add(f"{argument} is {shown(asked)}", remedy)
        return usual
    given = dict(asked) if isinstance(asked, Mapping) else dict.fromkeys(constructs, asked)
    before = len(faults.faults)
    for name, value in given.items():
        if name not in constructs:
            remedy = sentence(did_you_mean(name, constructs), f"The model has {', '.join(constructs)}")
            faults.add(f"{argument} of {name}: no such construct", remedy)
        elif not _is_within(value, bounds):
            faults.add(f"{argument} of {name} is {shown(value)}", f"Give a number in {bounds}")
    if len(faults.faults) > before:
        return usual
    return np.array([given.get(name, default) for name in constructs], dtype=float)


def check_share(argument: str, value: float, bounds: str, faults: FaultList) -> None:
    """Note a number out of bounds, an interval such as ``[0, 1)``."""
    if not _is_within(value, bounds):
        faults.add(f"{argument} is {shown(value)}", f"Give a number in {bounds}")


def check_seed(random_seed: int, faults: FaultList) -> None:
    """Note a seed that is no whole number from 0 up."""
    if not is_whole(random_seed) or random_seed < 0:
        faults.add(f"random_seed is {random_seed!r}", "Give a whole number from 0 up")


def mapping_of[T](
    argument: str, asked: Mapping[str, T] | None, meant: str, faults: FaultList
) -> Mapping[str, T]:
    """Return the mapping that was asked for, empty where none was; ``meant`` tells its form in messages."""
    if asked is None or isinstance(asked, Mapping):
        return asked or {}
    faults.add(f"{argument} is {asked!r}", f"Give a mapping from {meant}")
    return {}


def error_correlation(asked: np.ndarray | None, constructs: Sequence[str], faults: FaultList) -> np.ndarray:
    """Return the (C, C) correlation of errors across constructs; none where nothing is asked."""
    size = len(constructs)
    if asked is None:
        return np.eye(size)
    what = f"error_corr, in the order {', '.join(constructs)},"
    try:
        corr = np.asarray(asked, dtype=float)
    except (TypeError, ValueError):
        faults.add(f"{what} is no array of numbers", f"Give ({size}, {size})")
        return np.eye(size)
    if corr.shape != (size, size):
        faults.add(f"{what} has the shape {corr.shape}", f"Give ({size}, {size})")
    elif not (np.allclose(corr, corr.T) and np.allclose(np.diag(corr), 1)):
        faults.add(f"{what} is no correlation matrix", "Make it symmetric, with ones on its diagonal")
    elif np.linalg.eigvalsh(corr)[0] <= _LEAST:
        faults.add(f"{what} cannot hold together: it is not positive definite", "Move it towards 0")
    else:
        return corr
    return np.eye(size)


def _is_within(value: float, bounds: str) -> bool:
    if not is_number(value):
        return False
    low, high = (float(end) for end in bounds[1:-1].split(","))
    above = value > low if bounds[0] == "(" else value >= low
    return above and (value < high if bounds[-1] == ")" else value <= high)


_LEAST = 1e-9  # of an eigenvalue: below it a matrix has no Cholesky factor
