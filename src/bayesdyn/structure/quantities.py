"""The quantities of a fit by their public names: paths, labels and definitions, residual covariances.

The truth of a simulated study bears the same names (:mod:`bayesdyn.structure.simulating.truth`).
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesdyn.structure.language.evaluating import evaluate
from bayesdyn.structure.language.spec import ModelSpec

UNDEFINED = "Undefined draws:"
"""How :func:`undefined_notes` begin: they are of one fit alone."""


def path_coordinates(spec: ModelSpec) -> dict[str, tuple[str, list[str]]]:
    """Return the auxiliary coordinates of ``path``, along ``path_name``."""
    return {
        "path_outcome": ("path_name", [path.outcome for path in spec.paths]),
        "path_term": ("path_name", [str(path.term) for path in spec.paths]),
        "path_label": ("path_name", [path.label for path in spec.paths]),
        "path_origin": ("path_name", [path.origin for path in spec.paths]),
    }


def label_values(path: xr.DataArray, spec: ModelSpec) -> dict[str, np.ndarray]:
    """Return each label's draws, and each definition's in order, by name; shape (chain, draw).

    A comparison is bool; where a definition is undefined in a draw it is missing there, NaN.
    """
    first = {item.label: item.name for item in reversed(spec.paths) if item.label}
    values = {label: path.sel(path_name=name).values for label, name in first.items()}
    for definition in spec.definitions:
        values[definition.name] = evaluate(definition.expression, values, undefined_is_missing=True)
    return values


def defined(path: xr.DataArray, spec: ModelSpec) -> xr.DataArray:
    """Return the defined quantities (chain, draw, quantity); a comparison is 1 where it holds, else 0.

    NaN where a quantity is undefined, such as the root of a negative number.
    """
    values = label_values(path, spec)
    names = [definition.name for definition in spec.definitions]
    return xr.DataArray(
        np.stack([values[name].astype(float) for name in names], axis=-1),
        dims=("chain", "draw", "quantity"),
        coords={"chain": path["chain"], "draw": path["draw"], "quantity": names},
    )


def undefined_notes(posterior: xr.Dataset) -> list[str]:
    """Return a sentence for each defined quantity of a fit that is undefined in some of its draws."""
    if "defined" not in posterior:
        return []
    quantities = posterior["defined"]
    missing = quantities.isnull().sum(["chain", "draw"]).values
    every = quantities.sizes["chain"] * quantities.sizes["draw"]
    return [
        f"{UNDEFINED} {name} is undefined in {count} of {every} draws and missing there: neither it nor a "
        "claim that uses it has a summary."
        for name, count in zip(quantities["quantity"].values, missing, strict=True)
        if count
    ]


def split_residual_cov(
    cov: xr.DataArray, spec: ModelSpec, constructs: Sequence[str], endogenous: Sequence[str]
) -> dict[str, xr.DataArray]:
    """Return ``residual_cov`` over the outcomes and ``predictor_cov`` over the noisy predictors.

    Where the model frees a covariance between the two there is ``cross_cov`` (outcome, predictor) too.

    Parameters
    ----------
    cov
        Over (endogenous, endogenous2), with further dims in front or none.
    spec
        With the default laws of noisy predictors.
    constructs, endogenous
        Names of the constructs, and of those with a law.
    """
    predictors = [name for name in spec.predictors(constructs) if name in endogenous]
    outcomes = [name for name in endogenous if name not in predictors]
    parts = {}
    for name, dim, members in (
        ("residual_cov", "outcome", outcomes),
        ("predictor_cov", "predictor", predictors),
    ):
        if members:
            part = cov.sel(endogenous=members, endogenous2=members)
            parts[name] = part.rename({"endogenous": dim, "endogenous2": f"{dim}2"})
    if any((pair.left in predictors) != (pair.right in predictors) for pair in spec.residuals):
        crossed = cov.sel(endogenous=outcomes, endogenous2=predictors)
        parts["cross_cov"] = crossed.rename({"endogenous": "outcome", "endogenous2": "predictor"})
    return parts


def join_residual_cov(posterior: xr.Dataset, endogenous: Sequence[str]) -> xr.DataArray:
    """Return the residual covariance over (endogenous, endogenous2) that :func:`split_residual_cov` split."""
    dims = {"outcome": "endogenous", "predictor": "endogenous"}
    joined = None
    for name in ("residual_cov", "predictor_cov", "cross_cov"):
        if name not in posterior:
            continue
        rows, columns = posterior[name].dims[-2:]
        part = posterior[name].rename({rows: dims[str(rows)], columns: "endogenous2"})
        if joined is None:
            joined = xr.DataArray(
                np.zeros((*part.shape[:-2], len(endogenous), len(endogenous))),
                dims=part.dims,
                coords={"endogenous": list(endogenous), "endogenous2": list(endogenous)},
            )
        at = {"endogenous": part["endogenous"].values, "endogenous2": part["endogenous2"].values}
        joined.loc[at] = part.values
        if name == "cross_cov":
            back = {"endogenous": at["endogenous2"], "endogenous2": at["endogenous"]}
            joined.loc[back] = np.swapaxes(part.values, -1, -2)
    assert joined is not None, "every model has an outcome"
    return joined


def in_names_of_fit(
    drawn: xr.Dataset, spec: ModelSpec, constructs: Sequence[str], endogenous: Sequence[str]
) -> xr.Dataset:
    """Return an engine's draws with the names and dims of the public face: see :func:`bayesdyn.fit`.

    Parameters
    ----------
    drawn
        Dims (chain, draw, ...), with ``residual_cov`` over all constructs with a law.
    spec, constructs, endogenous
        See :func:`split_residual_cov`.
    """
    named = drawn[[name for name in map(str, drawn.data_vars) if name not in ("residual_cov", "start_cov")]]
    named = named.assign(split_residual_cov(drawn["residual_cov"], spec, constructs, endogenous))
    named["start_cov"] = drawn["start_cov"]
    named = named.assign_coords(path_coordinates(spec))
    if spec.definitions:
        named["defined"] = defined(named["path"], spec)
    return named
