"""How far a run of chains has come: the worst R-hat and the least ESS, and when that is enough."""

from dataclasses import dataclass

import arviz as az
import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Until:
    """Stop at a least bulk ESS and a largest R-hat over all paths, means, covariances and kappa."""

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


def reached_by(parameters: xr.Dataset) -> Reached:
    """Return how far draws (chain, draw, ...) have come; constants have no R-hat and are passed over."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rhat = _values(az.rhat(parameters)) if parameters.sizes["chain"] > 1 else {}
        ess = _values(az.ess(parameters, method="bulk"))
    constant = {name for name, value in rhat.items() if not np.isfinite(value)}
    moved = {name: value for name, value in ess.items() if np.isfinite(value) and name not in constant}
    slowest = min(moved, key=lambda name: moved[name])
    worst = [value for name, value in rhat.items() if name not in constant]
    return Reached(max(worst, default=float("nan")), moved[slowest], slowest)


def _values(found: xr.Dataset) -> dict[str, float]:
    values = {}
    for name, array in found.data_vars.items():
        for place, value in np.ndenumerate(array.values):
            labels = [str(array[dim].values[i]) for dim, i in zip(array.dims, place, strict=True)]
            values[f"{name}[{', '.join(labels)}]" if labels else str(name)] = float(value)
    return values
