"""Numbers that are asked for by construct, and correlations of errors, checked at the door."""

from collections.abc import Mapping, Sequence

import numpy as np

from bayesdyn.errors import FaultList
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
    given = dict(asked) if isinstance(asked, Mapping) else dict.fromkeys(constructs, asked)
    for name, value in given.items():
        if name not in constructs:
            remedy = sentence(did_you_mean(name, constructs), f"The model has {', '.join(constructs)}")
            faults.add(f"{argument} of {name}: no such construct", remedy)
        elif not _is_within(value, bounds):
            faults.add(f"{argument} of {name} is {value:g}", f"Give a number in {bounds}")
    return np.array([given.get(name, default) for name in constructs], dtype=float)


def check_share(argument: str, value: float, bounds: str, faults: FaultList) -> None:
    """Note a number out of bounds, an interval such as ``[0, 1)``."""
    if not _is_within(value, bounds):
        faults.add(f"{argument} is {value:g}", f"Give a number in {bounds}")


def error_correlation(asked: np.ndarray | None, constructs: Sequence[str], faults: FaultList) -> np.ndarray:
    """Return the (C, C) correlation of errors across constructs; none where nothing is asked."""
    size = len(constructs)
    if asked is None:
        return np.eye(size)
    corr = np.asarray(asked, dtype=float)
    what = f"error_corr, in the order {', '.join(constructs)},"
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
    low, high = (float(end) for end in bounds[1:-1].split(","))
    above = value > low if bounds[0] == "(" else value >= low
    return bool(np.isfinite(value)) and above and (value < high if bounds[-1] == ")" else value <= high)


_LEAST = 1e-9  # of an eigenvalue: below it a matrix has no Cholesky factor
