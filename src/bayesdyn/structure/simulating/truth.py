"""The truth of a simulated study: its coefficients, and all of it in the names of a fit."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.numbers import is_number, shown
from bayesdyn.structure.language.priors import lag_class
from bayesdyn.structure.language.spec import ModelSpec, Path
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.language.words import did_you_mean, sentence
from bayesdyn.structure.quantities import defined, path_coordinates, split_residual_cov
from bayesdyn.structure.simulating.spreads import Covariances

_MAIN, _PRODUCT, _OWN_LAG, _OTHER = 0.15, -0.10, 0.3, 0.05


def coefficients(
    spec: ModelSpec, covariates: tuple[str, ...], truth: Mapping[str, float], faults: FaultList
) -> np.ndarray:
    """Return each path's coefficient; paths of one label share one.

    Parameters
    ----------
    spec
        With the laws of noisy predictors.
    covariates
        Names that are no constructs.
    truth
        Chosen values by label or path name; the others have the defaults of :func:`bayesdyn.simulate`.
    faults
        Receives unknown names, fixed paths, paths of one label with two values, values that are no numbers.
    """
    names = {path.name: path for path in spec.paths}
    known = (*names, *spec.labels)
    chosen: dict[str, float] = {}
    for name, value in truth.items():
        if name not in known:
            remedy = sentence(did_you_mean(name, known), "Spell it as in the model file")
            faults.add(f"truth for {name!r}: no such path or label", remedy)
            continue
        path = names.get(name)
        if path is not None and path.fixed is not None:
            faults.add(f"truth for {name!r}: the model fixes it at {path.fixed:g}", "Change the model")
        if not is_number(value):
            faults.add(f"truth for {name!r} is {shown(value)}", "Give a finite number")
            continue
        key = path.label or name if path is not None else name
        if chosen.setdefault(key, float(value)) != value:
            faults.add(f"truth for {key!r} is {chosen[key]:g} and {value:g}",
                       "Paths of one label have one coefficient")  # fmt: skip
    for path in spec.paths:
        if path.fixed is None:
            chosen.setdefault(path.label or path.name, _usual(spec, covariates, path))
    return np.array(
        [chosen[path.label or path.name] if path.fixed is None else path.fixed for path in spec.paths]
    )


def in_names_of_fit(
    spec: ModelSpec,
    constructs: tuple[str, ...],
    endogenous: tuple[str, ...],
    values: np.ndarray,
    covs: Covariances,
    effects: Mapping[str, np.ndarray],
    latent: np.ndarray,
    index: pd.DataFrame,
) -> xr.Dataset:
    """Return the truth with the names, dims and coordinates of a fit (:func:`bayesdyn.fit`).

    Parameters
    ----------
    spec
        With the laws of noisy predictors.
    constructs, endogenous
        Names, and those with a law.
    values
        (path_name,) coefficients.
    covs
        Covariances of residuals, starts and levels.
    effects
        For each kind of group, (group, effect).
    latent
        (exchange, construct) states.
    index
        One row per exchange: ``dyad``, ``label`` (of the session).
    """
    own, names = list(endogenous), [path.name for path in spec.paths]
    path = xr.DataArray(values, dims="path_name", coords={"path_name": names})
    square = {"endogenous": own, "endogenous2": own}
    residual = xr.DataArray(covs.residual, dims=tuple(square), coords=square)
    found: dict[str, xr.DataArray] = {
        "path": path,
        **split_residual_cov(residual, spec, constructs, endogenous),
        "start_cov": xr.DataArray(covs.start, dims=tuple(square), coords=square),
        "level_mean": xr.DataArray(np.zeros(len(own)), dims="endogenous", coords={"endogenous": own}),
        "latent": xr.DataArray(
            latent, dims=("exchange", "construct"), coords={"construct": list(constructs)}
        ),
    }
    if spec.definitions:
        draw = path.expand_dims(chain=[0], draw=[0])
        found["defined"] = defined(draw, spec).isel(chain=0, draw=0, drop=True)
    for group in spec.groups:
        effect = list(effect_names(spec, group))
        dims = (f"{group}_effect", f"{group}_effect2")
        found[f"{group}_cov"] = xr.DataArray(
            covs.levels[group], dims=dims, coords=dict.fromkeys(dims, effect)
        )
        units = sorted(set(index["label" if group == "session" else group]))
        found[f"{group}_effects"] = xr.DataArray(
            effects[group], dims=(group, dims[0]), coords={group: units, dims[0]: effect}
        )
    return xr.Dataset(found).assign_coords(path_coordinates(spec))


def _usual(spec: ModelSpec, covariates: tuple[str, ...], path: Path) -> float:
    factors = path.term.factors
    if len(factors) == 1 and factors[0].kind == "lag":
        return _OWN_LAG if lag_class(spec, path.outcome, factors[0]) == "lag_own" else _OTHER
    if any(name in covariates for name in path.term.names):
        return _OTHER
    return _MAIN if len(factors) == 1 else _PRODUCT
