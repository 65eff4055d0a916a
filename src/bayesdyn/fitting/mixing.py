"""How well chains have mixed: R-hat and effective draws, of one posterior or of several that are pooled."""

from dataclasses import dataclass

import arviz as az
import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Mixing:
    """R-hat, bulk ESS and tail ESS of every quantity, each a Dataset of the draws without (chain, draw)."""

    rhat: xr.Dataset
    ess_bulk: xr.Dataset
    ess_tail: xr.Dataset


def imputations_of(fit: xr.DataTree) -> np.ndarray | None:
    """Return which imputation each draw is of, (draw,), the same in all chains; None where a fit has none."""
    if "sample_stats" not in fit.children or "imputation" not in fit["sample_stats"]:
        return None
    return fit["sample_stats"].to_dataset()["imputation"].transpose("chain", "draw").values[0]


def mixing(draws: xr.Dataset, imputation: np.ndarray | None = None) -> Mixing:
    """Return how well chains have mixed, by the rank-normalised diagnostics of Vehtari et al. (2021).

    The draws of imputations are dealt in turn, so those of one chain stand as many places apart as there are
    imputations, and what they have in common is not seen between neighbours: as one run, they would seem
    independent. Each imputation is a posterior of its own with chains of its own: it is judged alone. R-hat
    is the worst of any; effective draws are those of all together.

    Parameters
    ----------
    draws
        Dims (chain, draw, ...). A constant has no R-hat, NaN, and neither has one chain.
    imputation
        (draw,) as :func:`imputations_of` gives; None for a single posterior.
    """
    if imputation is None:
        return _of_one(draws)
    each = [draws.isel(draw=np.flatnonzero(imputation == one)) for one in np.unique(imputation)]
    parts = [_of_one(one) for one in each]
    # What stands still in one imputation, as a truth may in few draws, has no R-hat there; else NaN of one
    # stays NaN of all: an imputation that cannot be judged is not passed over.
    rhats = [part.rhat.where(~constant(one), -np.inf) for part, one in zip(parts, each, strict=True)]
    worst = xr.concat(rhats, dim="imputation").max("imputation", skipna=False)
    bulk = xr.concat([part.ess_bulk for part in parts], dim="imputation")
    tail = xr.concat([part.ess_tail for part in parts], dim="imputation")
    return Mixing(
        worst.where(worst > -np.inf),
        bulk.sum("imputation", skipna=False),
        tail.sum("imputation", skipna=False),
    )


def constant(draws: xr.Dataset) -> xr.Dataset:
    """Return which quantities have one value in all draws, as a Dataset without (chain, draw)."""
    return (draws == draws.isel(chain=0, draw=0, drop=True)).all(("chain", "draw"))


def _of_one(draws: xr.Dataset) -> Mixing:
    # A constant divides 0 by 0.
    with np.errstate(invalid="ignore", divide="ignore"):
        bulk, tail = az.ess(draws, method="bulk"), az.ess(draws, method="tail", prob=0.9)
        return Mixing(az.rhat(draws), bulk, tail)
