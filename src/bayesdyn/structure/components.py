"""Single numbers of a dataset by name, such as ``dyad_cov[disclosure, disclosure]``."""

import numpy as np
import xarray as xr


def components(found: xr.Dataset) -> dict[str, float]:
    """Return every component by name; symmetric components stand once."""
    values: dict[str, float] = {}
    for name in map(str, found.data_vars):
        array = found[name]
        axes = [[str(label) for label in array[dim].values] for dim in array.dims]
        for place in np.ndindex(array.shape):
            repeated = name.endswith("_cov") and len(place) == 2 and place[0] > place[1]
            if not repeated:
                label = ", ".join(axis[i] for axis, i in zip(axes, place, strict=True))
                values[f"{name}[{label}]" if label else name] = float(array.values[place])
    return values


def finite_components(found: xr.Dataset) -> dict[str, float]:
    """Return every finite component by name; symmetric components stand once."""
    return {name: value for name, value in components(found).items() if np.isfinite(value)}
