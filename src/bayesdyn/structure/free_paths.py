"""Which coefficients of a model are free: one for each label or path that has no fixed value."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesdyn.structure.language.priors import Priors
from bayesdyn.structure.language.spec import ModelSpec, Path


@dataclass(frozen=True)
class FreePaths:
    """Paths as free coefficients: ``path = pick @ free + fixed``, P paths, F of them free.

    Attributes
    ----------
    pick, fixed
        (P, F) ones where a path has a free coefficient; (P,) values of the others, 0 elsewhere.
    loc, sd
        (F,) numbers of their normal priors.
    """

    pick: NDArray[np.float64]
    fixed: NDArray[np.float64]
    loc: NDArray[np.float64]
    sd: NDArray[np.float64]


def free_names(spec: ModelSpec) -> list[str]:
    """Return the name of each free coefficient (F,): the label that paths share, else the path's own."""
    return list(dict.fromkeys(_key(path) for path in spec.paths if path.fixed is None))


def free_paths(spec: ModelSpec, priors: Priors) -> FreePaths:
    """Return the free coefficients of a spec, in the order of :func:`free_names`."""
    keys, free = [_key(path) for path in spec.paths], free_names(spec)
    first = {key: path for key, path in reversed(list(zip(keys, spec.paths, strict=True)))}
    numbers = np.array([priors.of_path(spec, first[key]).numbers for key in free]).reshape(len(free), 2)
    fixed = np.array([path.fixed if path.fixed is not None else 0.0 for path in spec.paths])
    pick = np.zeros((len(spec.paths), len(free)))
    for p, (key, path) in enumerate(zip(keys, spec.paths, strict=True)):
        if path.fixed is None:
            pick[p, free.index(key)] = 1.0
    return FreePaths(pick, fixed, numbers[:, 0], numbers[:, 1])


def _key(path: Path) -> str:
    return path.label or path.name
