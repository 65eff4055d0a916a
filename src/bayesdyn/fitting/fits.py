"""What every reader of a fit needs: its spec, its constants, its draws as flat arrays."""

import json
from dataclasses import replace

import numpy as np
import xarray as xr

from bayesdyn.structure.language.expression import is_truth
from bayesdyn.structure.language.laws import with_default_laws
from bayesdyn.structure.language.model_file import load_model
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.tables import RATER_PRIORS


def spec_of(fit: xr.DataTree) -> ModelSpec:
    """Return the model of a fit, parsed from the text it carries."""
    return load_model(json.loads(fit.attrs["spec"]))


def spec_as_fitted(fit: xr.DataTree) -> ModelSpec:
    """Return a fit's model with the laws of noisy predictors that are in its draws; its text has none."""
    constructs = map(str, fit["constant_data"].to_dataset()["construct"].values)
    full = with_default_laws(spec_of(fit), constructs)
    fitted = set(map(str, posterior_of(fit)["path"]["path_name"].values))
    return replace(full, paths=tuple(path for path in full.paths if path.name in fitted))


def truths_of(spec: ModelSpec) -> set[str]:
    """Return the definitions that are true or false in each draw: comparisons, and what is made of them."""
    truths: set[str] = set()
    for definition in spec.definitions:
        if is_truth(definition.expression, truths):
            truths.add(definition.name)
    return truths


def notes_of(fit: xr.DataTree) -> list[str]:
    """Return the sentences that must reach the report."""
    return list(json.loads(fit.attrs.get("notes", "[]")))


def posterior_of(fit: xr.DataTree) -> xr.Dataset:
    """Return the posterior group as a Dataset."""
    return fit["posterior"].to_dataset()


def scale_of(fit: xr.DataTree) -> dict[str, float]:
    """Return each construct's constant: raw units per standardised unit."""
    constant = fit["constant_data"].to_dataset()["scale"]
    return dict(zip(map(str, constant["construct"].values), map(float, constant.values), strict=True))


def shift_of(fit: xr.DataTree) -> dict[str, float]:
    """Return each construct's raw value where its standardised one is 0."""
    constant = fit["constant_data"].to_dataset()["shift"]
    return dict(zip(map(str, constant["construct"].values), map(float, constant.values), strict=True))


def flat(draws: xr.DataArray) -> np.ndarray:
    """Return draws with chain and draw joined first: shape (chain * draw, ...)."""
    ordered = draws.transpose("chain", "draw", ...)
    return ordered.values.reshape(-1, *ordered.shape[2:])


def measures_of(fit: xr.DataTree) -> xr.Dataset:
    """Return the measures that a fit was made from, as far as its model uses them, in raw units.

    Exchanges that nobody rated stand in them too, and the standardisation is fixed at the fit's, so that a
    refit has the same rows and units.
    """
    constant = fit["constant_data"].to_dataset()
    observed = fit["observed_data"].to_dataset()
    shift, scale = constant["shift"], constant["scale"]
    dyads = constant["dyad"].values.astype(str)
    labels = constant["session"].values.astype(str)
    fixed = {name: constant[name] for name in ("shift", "scale", "kappa_sd", "error_corr")}
    covariates = {
        name: constant[name] for name in map(str, constant.data_vars) if constant[name].dims == ("exchange",)
    }
    told = {name: fit.attrs[name] for name in ("notes", "identification", RATER_PRIORS) if name in fit.attrs}
    measures = xr.Dataset(
        {
            "score": shift + scale * observed["score"], "se": scale * constant["se"], **fixed, **covariates,
            **{name: observed[name] for name in map(str, observed.data_vars) if name.startswith("rating")},
        },
        attrs=told,
    )  # fmt: skip
    # A session's label in a fit is dyad:session; its own id is what follows.
    own = [label[len(dyad) + 1 :] for dyad, label in zip(dyads, labels, strict=True)]
    return measures.transpose("exchange", "construct", ...).assign_coords(session=("exchange", own))
