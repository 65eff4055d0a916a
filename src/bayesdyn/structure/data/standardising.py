"""The scale that constructs are standardised by, and one standard error for all scores of a construct."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdyn.structure.language.spec import ModelSpec

_LEAST_RELIABILITY = 0.1  # a moment estimate below this would blow up the scale; said in the notes


def standardisation(
    spec: ModelSpec,
    picked: xr.Dataset,
    constructs: tuple[str, ...],
    raw: np.ndarray,
    raw_se: np.ndarray,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Return shift and scale (C,): the spec's, else the measures', else moments of the latent scores."""
    fixed: Mapping[str, tuple[float, float]] = {name: (shift, scale) for name, shift, scale in spec.scale}
    if "shift" in picked and "scale" in picked:
        given = zip(constructs, picked["shift"].values, picked["scale"].values, strict=True)
        # NaN: these measures leave that construct to its moments.
        fixed = {**{name: (at, unit) for name, at, unit in given if np.isfinite([at, unit]).all()}, **fixed}
    shift, scale = np.empty(len(constructs)), np.empty(len(constructs))
    for c, name in enumerate(constructs):
        if name in fixed:
            shift[c], scale[c] = fixed[name]
            continue
        observed = np.nanvar(raw[:, c], ddof=1)
        error = np.nanmean(raw_se[:, c] ** 2) if np.isfinite(raw_se[:, c]).any() else 0.0
        latent = observed - error
        if latent < _LEAST_RELIABILITY * observed:
            latent = _LEAST_RELIABILITY * observed
            notes.append(
                f"{name}: its error variance is as large as the variance of its scores; it is standardised "
                f"as if its reliability were {_LEAST_RELIABILITY:g}."
            )
        shift[c], scale[c] = np.nanmean(raw[:, c]), np.sqrt(latent)
    return shift, scale


def one_error(raw_se: np.ndarray, rated: np.ndarray) -> np.ndarray:
    """Return (N, C) the same standard error for all rated scores of a construct: what two stages know."""
    squared = np.where(rated, np.square(raw_se), 0.0).sum(axis=0) / np.maximum(rated.sum(axis=0), 1)
    return np.where(rated, np.sqrt(squared), np.nan)
