"""Posterior summaries as tables: one row per quantity, interval kind and probability stated."""

from collections.abc import Sequence

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import flat, posterior_of, scale_of

UNITS = ("standard", "raw")


def summary(
    fit: xr.DataTree,
    *,
    ci_prob: float = 0.95,
    variables: Sequence[str] = ("path", "defined"),
    units: str = "standard",
) -> pd.DataFrame:
    """Summarise the posterior of a fit.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    ci_prob
        Probability of the equal-tailed credible interval.
    variables
        Variables of ``posterior``; those that the model does not have are left out.
    units
        ``standard``: standard deviations of the latent scores, the scale of priors and claims; ``raw``:
        paths in points of the rating scale (an outcome's points per point of each factor; a product's
        factors are deviations from the grand mean). Only paths have raw units.

    Returns
    -------
    pandas.DataFrame
        Indexed by quantity, columns ``mean, sd, lower, upper, prob_positive, rhat, ess_bulk, ess_tail``;
        ``attrs`` hold ``ci_prob``, ``ci_kind`` ("eti") and ``units``. ``prob_positive`` is Pr(quantity > 0).

    Raises
    ------
    InputError
        An unknown variable or unit, or a probability outside (0, 1).
    """
    posterior = posterior_of(fit)
    faults = FaultList()
    if not 0 < ci_prob < 1:
        faults.add(f"ci_prob is {ci_prob:g}", "Give a probability between 0 and 1, such as 0.95")
    if units not in UNITS:
        faults.add(f"units {units!r} is unknown", f"Use one of {', '.join(UNITS)}")
    if units == "raw" and set(variables) - {"path", "defined"}:
        faults.add("only paths have raw units", 'Ask for variables=("path",) or for standard units')
    for name in variables:
        if name not in posterior and name != "defined":
            faults.add(
                f"there is no {name!r} in this fit", f"It has {', '.join(map(str, posterior.data_vars))}"
            )
    faults.raise_if_any("Cannot summarise")
    tables = []
    for name in variables:
        if name not in posterior or (units == "raw" and name == "defined"):
            continue
        draws = posterior[name]
        if units == "raw":
            draws = draws * raw_units(fit)
        tables.append(_table(draws, ci_prob))
    table = pd.concat(tables)
    table.attrs = {"ci_prob": ci_prob, "ci_kind": "eti", "units": units}
    return table


def raw_units(fit: xr.DataTree) -> xr.DataArray:
    """Return, for each path, raw units per standardised one: the outcome's scale over its factors' scales."""
    path = posterior_of(fit)["path"]
    scale = scale_of(fit)
    factors = []
    for outcome, term in zip(path["path_outcome"].values, path["path_term"].values, strict=True):
        names = [part.strip() for piece in str(term).split(":") for part in _names(piece)]
        factors.append(scale[str(outcome)] / np.prod([scale.get(name, 1.0) for name in names]))
    return xr.DataArray(np.array(factors), dims="path_name", coords={"path_name": path["path_name"]})


def _names(piece: str) -> list[str]:
    """Return the construct in one factor as written: ``x``, ``lag(x)``, ``lag(x, 2)``, ``mean(x, dyad)``."""
    inside = piece[piece.index("(") + 1 : -1] if "(" in piece else piece
    return [inside.split(",")[0]]


def _table(draws: xr.DataArray, ci_prob: float) -> pd.DataFrame:
    values = flat(draws)
    shape = values.shape[1:]
    tail = (1 - ci_prob) / 2
    lower, upper = np.quantile(values, [tail, 1 - tail], axis=0)
    dataset = draws.reset_coords(drop=True).to_dataset(name="quantity_")

    def diagnostic(found: xr.Dataset) -> np.ndarray:
        return found["quantity_"].values.ravel()

    # A fixed path divides 0 by 0: it has no R-hat.
    with np.errstate(invalid="ignore", divide="ignore"):
        rhat = diagnostic(az.rhat(dataset))
        bulk = diagnostic(az.ess(dataset, method="bulk"))
        tail_ess = diagnostic(az.ess(dataset, method="tail", prob=0.9))
    return pd.DataFrame(
        {
            "mean": values.mean(axis=0).ravel(),
            "sd": values.std(axis=0, ddof=1).ravel(),
            "lower": lower.ravel(),
            "upper": upper.ravel(),
            "prob_positive": (values > 0).mean(axis=0).ravel(),
            "rhat": rhat,
            "ess_bulk": bulk,
            "ess_tail": tail_ess,
        },
        index=pd.Index(_labels(draws, shape), name="quantity"),
    )


def _labels(draws: xr.DataArray, shape: tuple[int, ...]) -> list[str]:
    dims = [dim for dim in draws.dims if dim not in ("chain", "draw")]
    if not dims:
        return [str(draws.name)]
    axes = [[str(label) for label in draws[dim].values] for dim in dims]
    if len(dims) == 1 and dims[0] in ("path_name", "quantity"):
        return axes[0]
    return [
        f"{draws.name}[{', '.join(axis[i] for axis, i in zip(axes, place, strict=True))}]"
        for place in np.ndindex(shape)
    ]
