"""Posterior summaries as tables: one row per quantity, interval kind and probability stated."""

from collections.abc import Sequence
from itertools import product

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import flat, posterior_of, scale_of, shift_of, spec_as_fitted
from bayesdyn.fitting.units import (
    Unit,
    check_units,
    in_raw,
    in_words,
    raw_labels,
    raw_paths,
    times,
    unit_of_effect,
    unit_of_path,
)

RAW = (
    "path", "defined", "level_mean", "residual_cov", "predictor_cov", "cross_cov", "start_cov", "dyad_cov",
    "session_cov", "dyad_effects", "session_effects",
)  # fmt: skip
"""The variables of a fit that have raw units."""


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
        points of the rating scales, a path in an outcome's points per point of each factor. A product's
        factors are deviations as the model centres them: from the grand mean where ``centering`` is none.

    Returns
    -------
    pandas.DataFrame
        Indexed by quantity, columns ``mean, sd, lower, upper, prob_positive, rhat, ess_bulk, ess_tail``;
        ``attrs`` hold ``ci_prob``, ``ci_kind`` ("eti") and ``units``. ``prob_positive`` is Pr(quantity > 0).
        In raw units a column ``unit`` says what each row is in; a defined quantity that has none (a contrast
        across outcomes) says why, and its row holds no numbers.

    Raises
    ------
    InputError
        An unknown variable or unit, one without a raw unit where that is asked for, or a probability
        outside (0, 1).
    """
    posterior = posterior_of(fit)
    faults = FaultList()
    if not 0 < ci_prob < 1:
        faults.add(f"ci_prob is {ci_prob:g}", "Give a probability between 0 and 1, such as 0.95")
    check_units(units, faults)
    for name in variables if units == "raw" else ():
        if name in posterior and name not in RAW:
            remedy = f"Ask for standard units, or for {', '.join(RAW)}"
            faults.add(f"{name!r} has no raw unit", remedy)
    for name in variables:
        if name not in posterior and name != "defined":
            faults.add(
                f"there is no {name!r} in this fit", f"It has {', '.join(map(str, posterior.data_vars))}"
            )
    faults.raise_if_any("Cannot summarise")
    raw = units == "raw"
    table = pd.concat(
        [
            _raw_table(fit, name, ci_prob) if raw else _table(posterior[name], ci_prob)
            for name in variables
            if name in posterior
        ]
    )
    table.attrs = {"ci_prob": ci_prob, "ci_kind": "eti", "units": units}
    return table


def _raw_table(fit: xr.DataTree, name: str, ci_prob: float) -> pd.DataFrame:
    """Summarise a variable in raw units, with what each row's unit is in the column ``unit``."""
    draws = posterior_of(fit)[name]
    if name == "path":
        units_of = {path.name: unit_of_path(path) for path in spec_as_fitted(fit).paths}
        words = [in_words(units_of[str(one)]) for one in draws["path_name"].values]
        return _table(raw_paths(fit), ci_prob).assign(unit=words)
    if name == "defined":
        return _raw_defined(fit, draws, ci_prob)
    axes = [[_unit_of(str(one), dim) for one in draws[dim].values] for dim in _own_dims(draws)]
    units = [times(*parts) for parts in product(*axes)]
    scale, shape = scale_of(fit), draws.shape[2:]
    raw = draws.transpose("chain", "draw", ...) * np.reshape([in_raw(one, scale) for one in units], shape)
    if name == "level_mean":
        raw = raw + [shift_of(fit)[str(one)] for one in draws["endogenous"].values]
    return _table(raw.rename(name), ci_prob).assign(unit=[in_words(one) for one in units])


def _raw_defined(fit: xr.DataTree, draws: xr.DataArray, ci_prob: float) -> pd.DataFrame:
    """Return the defined quantities in raw units; one without a raw unit has a row without numbers."""
    values, units = raw_labels(fit)
    names = [str(name) for name in draws["quantity"].values]
    words = {}
    for one in names:
        unit = units[one]
        words[one] = f"no raw unit: {unit}" if isinstance(unit, str) else in_words(unit)
    told = [one for one in names if one in values]
    raw = draws.sel(quantity=told).astype(float)
    for place, one in enumerate(told):
        raw[..., place] = values[one]
    table = _table(raw, ci_prob) if told else _table(draws, ci_prob).iloc[:0]
    return table.reindex(pd.Index(names, name="quantity")).assign(unit=[words[one] for one in names])


def _unit_of(label: str, dim: str) -> Unit:
    """Return the unit that one coordinate gives: groups have none, effects and constructs have."""
    if dim in ("dyad", "session"):
        return {}
    return unit_of_effect(label) if "_effect" in dim else {label: 1.0}


def _own_dims(draws: xr.DataArray) -> list[str]:
    return [str(dim) for dim in draws.dims if dim not in ("chain", "draw")]


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
    dims = _own_dims(draws)
    if not dims:
        return [str(draws.name)]
    axes = [[str(label) for label in draws[dim].values] for dim in dims]
    if len(dims) == 1 and dims[0] in ("path_name", "quantity"):
        return axes[0]
    return [
        f"{draws.name}[{', '.join(axis[i] for axis, i in zip(axes, place, strict=True))}]"
        for place in np.ndindex(shape)
    ]
