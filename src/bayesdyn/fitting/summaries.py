"""Posterior summaries as tables: one row per quantity, interval kind and probability stated."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.fitting.bands import COLUMNS, band, interval_attrs, truth_row
from bayesdyn.fitting.fits import flat, posterior_of, scale_of, shift_of, spec_as_fitted, spec_of, truths_of
from bayesdyn.fitting.mixing import imputations_of, mixing
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

_RAW = ("path", "defined", "level_mean", "residual_cov", "predictor_cov", "cross_cov", "start_cov")
_MIXED = ("rhat", "ess_bulk", "ess_tail")


def raw_variables(fit: xr.DataTree) -> tuple[str, ...]:
    """Return the variables that have raw units: those of the model, covariances and effects of each group."""
    groups = spec_of(fit).groups
    return (*_RAW, *(f"{group}_cov" for group in groups), *(f"{group}_effects" for group in groups))


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
        Variables of ``posterior``; ``defined`` is left out where the model defines nothing.
    units
        ``standard``: standard deviations of the latent scores, the scale of priors and claims; ``raw``:
        points of the rating scales, a path in an outcome's points per point of each factor. A product's
        factors are deviations as the model centres them: from the grand mean where ``centering`` is none.

    Returns
    -------
    pandas.DataFrame
        Indexed by quantity, columns ``mean, sd, lower, upper, prob_positive, rhat, ess_bulk, ess_tail``;
        ``attrs`` hold ``ci_prob``, ``ci_kind`` ("eti") and ``units``. ``prob_positive`` is Pr(quantity > 0),
        NaN of what is 0 in every draw. Of a defined comparison ``mean`` and ``prob_positive`` are its
        probability, and ``sd, lower, upper`` are NaN. Of a propagated fit, ``rhat`` is that of the worst
        imputation, and effective draws are summed over imputations.
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
    if units == "raw":
        can = [name for name in raw_variables(fit) if name in posterior]
        for name in variables:
            if name in posterior and name not in can:
                faults.add(f"{name!r} has no raw unit", f"Ask for standard units, or for {', '.join(can)}")
    for name in variables:
        if name not in posterior and name != "defined":
            faults.add(
                f"there is no {name!r} in this fit", f"It has {', '.join(map(str, posterior.data_vars))}"
            )
    faults.raise_if_any("Cannot summarise")
    tables = [
        _raw_table(fit, name, ci_prob) if units == "raw" else _table(fit, posterior[name], ci_prob)
        for name in variables
        if name in posterior
    ]
    unit = ["unit"] if units == "raw" else []
    nothing = pd.DataFrame(columns=[*COLUMNS, *_MIXED, *unit], index=pd.Index([], name="quantity"))
    table = pd.concat(tables) if tables else nothing
    table.attrs = interval_attrs(ci_prob, units)
    return table


def _raw_table(fit: xr.DataTree, name: str, ci_prob: float) -> pd.DataFrame:
    """Summarise a variable in raw units, with what each row's unit is in the column ``unit``."""
    draws = posterior_of(fit)[name]
    if name == "path":
        units_of = {path.name: unit_of_path(path) for path in spec_as_fitted(fit).paths}
        words = [in_words(units_of[str(one)]) for one in draws["path_name"].values]
        return _table(fit, raw_paths(fit), ci_prob).assign(unit=words)
    if name == "defined":
        return _raw_defined(fit, draws, ci_prob)
    groups = spec_of(fit).groups
    axes = [
        [{} if dim in groups else _unit_of(str(one), dim) for one in draws[dim].values]
        for dim in _own_dims(draws)
    ]
    units = [times(*parts) for parts in product(*axes)]
    scale, shape = scale_of(fit), draws.shape[2:]
    raw = draws.transpose("chain", "draw", ...) * np.reshape([in_raw(one, scale) for one in units], shape)
    if name == "level_mean":
        raw = raw + [shift_of(fit)[str(one)] for one in draws["endogenous"].values]
    return _table(fit, raw.rename(name), ci_prob).assign(unit=[in_words(one) for one in units])


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
    table = _table(fit, raw, ci_prob) if told else _table(fit, draws, ci_prob).iloc[:0]
    return table.reindex(pd.Index(names, name="quantity")).assign(unit=[words[one] for one in names])


def _unit_of(label: str, dim: str) -> Unit:
    """Return the unit that one coordinate of effects or of constructs gives."""
    return unit_of_effect(label) if "_effect" in dim else {label: 1.0}


def _own_dims(draws: xr.DataArray) -> list[str]:
    return [str(dim) for dim in draws.dims if dim not in ("chain", "draw")]


def _table(fit: xr.DataTree, draws: xr.DataArray, ci_prob: float) -> pd.DataFrame:
    values = flat(draws)
    mixed = mixing(draws.reset_coords(drop=True).to_dataset(name="quantity_"), imputations_of(fit))
    table = pd.DataFrame(
        {
            **{name: part.ravel() for name, part in band(values, ci_prob).items()},
            **{name: getattr(mixed, name)["quantity_"].values.ravel() for name in _MIXED},
        },
        index=pd.Index(_labels(draws, values.shape[1:]), name="quantity"),
    )
    if draws.name == "defined":
        for name in truths_of(spec_of(fit)) & set(table.index):
            table.loc[name, list(COLUMNS)] = truth_row(draws.sel(quantity=name).values)
    return table


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
