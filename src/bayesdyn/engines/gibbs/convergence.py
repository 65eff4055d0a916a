"""How far a run of chains has come: the worst R-hat and the least ESS, and when that is enough."""

from collections.abc import Sequence
from dataclasses import dataclass

import arviz as az
import numpy as np
import xarray as xr

from bayesdyn.structure.components import finite_components


@dataclass(frozen=True)
class Until:
    """Stop at a least bulk ESS and a largest R-hat over all paths, means, covariances, kappa and raters."""

    ess: float = 400.0
    rhat: float = 1.01


@dataclass(frozen=True)
class Reached:
    """The worst R-hat and the least bulk ESS, and the quantity that has it."""

    rhat: float
    ess: float
    slowest: str

    def meets(self, until: Until) -> bool:
        """Return whether both bounds are reached."""
        return self.ess >= until.ess and self.rhat <= until.rhat


_SETTLED = 1.2
_LEAST_WARM = 150


def settled(blocks: Sequence[xr.Dataset]) -> bool:
    """Return whether a warm-up may end: chains that began apart have met.

    R-hat of its last half is at most 1.2, which a hundred sweeps of chains that have met are below, and there
    were 150 sweeps, by when the moves' metric has been looked at where the chains have come to.
    """
    if sum(block.sizes["draw"] for block in blocks) < _LEAST_WARM:
        return False
    return reached_by(blocks[len(blocks) // 2 :]).rhat <= _SETTLED


def reached_by(blocks: Sequence[xr.Dataset]) -> Reached:
    """Return how far blocks of draws (chain, draw, ...) have come together.

    Constants have no R-hat and are passed over.
    """
    parameters = xr.concat(blocks, "draw", data_vars="minimal")
    several = parameters.sizes["chain"] > 1
    # A constant divides 0 by 0; its R-hat is no number, while its ESS is the number of draws.
    with np.errstate(invalid="ignore", divide="ignore"):
        rhat = finite_components(az.rhat(parameters)) if several else {}
        ess = finite_components(az.ess(parameters, method="bulk"))
    moved = {name: value for name, value in ess.items() if name in rhat or not several}
    slowest = min(moved, key=lambda name: moved[name])
    return Reached(max(rhat.values(), default=float("nan")), moved[slowest], slowest)
