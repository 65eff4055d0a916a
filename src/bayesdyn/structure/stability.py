"""The lags within each party (Phi, Psi), whose spectral radius the prior holds below 1."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesdyn.structure.language.spec import ModelSpec

PARTIES = ("client", "therapist", "dyad")
SQUARINGS = 6
"""The radius is read off a high power of the companion matrix (Gelfand's formula): || A^64 ||^(1/64) is
within 4 % of it for the sizes met here, errs on the strict side, and needs no eigenvalues of a general
matrix."""

type Indices = NDArray[np.int64]


@dataclass(frozen=True)
class PartyLags:
    """Lags among the constructs of one party, as a companion matrix.

    Attributes
    ----------
    party
        ``client``, ``therapist`` or ``dyad``.
    matrix
        (size, size) the companion matrix with every lag at 0.
    paths, rows, columns
        Indices of the paths that are lags, and where in the matrix each coefficient stands.
    """

    party: str
    matrix: NDArray[np.float64]
    paths: Indices
    rows: Indices
    columns: Indices


def party_lags(spec: ModelSpec, endogenous: tuple[str, ...]) -> tuple[PartyLags, ...]:
    """Return the lags of each party that has any.

    Parameters
    ----------
    spec
        With the laws of noisy predictors.
    endogenous
        Constructs with a law.
    """
    found = []
    for party in PARTIES:
        names = [name for name in endogenous if spec.party(name) == party]
        index = {name: i for i, name in enumerate(names)}
        lags = [
            (p, index[item.outcome], index[item.term.factors[0].name], item.term.factors[0].lag)
            for p, item in enumerate(spec.paths)
            if len(item.term.factors) == 1
            and item.term.factors[0].kind == "lag"
            and item.outcome in index
            and item.term.factors[0].name in index
        ]
        if lags:
            size = len(names)
            paths, rows, columns, back = (np.array(part, dtype=np.int64) for part in zip(*lags, strict=True))
            matrix = np.eye(size * int(back.max()), k=-size)
            found.append(PartyLags(party, matrix, paths, rows, size * (back - 1) + columns))
    return tuple(found)


def are_stable(lags: tuple[PartyLags, ...], path: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of K draws of the coefficients (K, path_name) are stable (K,), by the engine's rule."""
    stable = np.ones(len(path), dtype=np.bool_)
    for one in lags:
        power = np.repeat(one.matrix[None], len(path), axis=0)
        power[:, one.rows, one.columns] = path[:, one.paths]
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(SQUARINGS):
                power = power @ power
            # What overflows is not below 1, nor is NaN.
            stable &= np.sum(power**2, axis=(1, 2)) < 1.0
    return stable
