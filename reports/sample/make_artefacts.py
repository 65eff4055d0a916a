"""Make the artefacts that `bayesdyn.load_example("sample")` reads, from a demonstration that has run.

    bayesdyn demo --out demo
    python reports/sample/make_artefacts.py demo

Measures and sweep are copied as they are. The fit keeps every n-th draw, at most 250 a chain, in single
precision, so that the package stays small.
"""

import sys
from pathlib import Path

import numpy as np
import xarray as xr

from bayesdyn.artefacts import read_dataset, read_tree, write_dataset
from bayesdyn.sweeps.sensitivity import Sensitivity

MOST_DRAWS = 250


def thinned(fit: xr.DataTree) -> xr.DataTree:
    """Return a fit with at most MOST_DRAWS draws a chain, floats of the draws in single precision."""
    groups = {}
    for name, node in fit.children.items():
        group = node.to_dataset()
        if "draw" in group.dims:
            step = -(-group.sizes["draw"] // MOST_DRAWS)
            group = group.isel(draw=slice(None, None, step))
            group = group.map(lambda part: part.astype(np.float32) if part.dtype == np.float64 else part)
        groups[name] = group
    small = xr.DataTree.from_dict(groups)
    small.attrs = {name: value for name, value in fit.attrs.items() if name != "bayesdyn_stamp"}
    return small


def main(source: Path) -> None:
    """Copy and thin what a demonstration left in a folder."""
    target = Path(__file__).resolve().parent / "artefacts"
    measures = read_dataset(source / "measures.nc", "measures")
    measures.attrs.pop("bayesdyn_stamp", None)
    write_dataset(measures, target / "measures.nc", "measures")
    write_dataset(thinned(read_tree(source / "fit.nc", "fit")), target / "fit.nc", "fit")
    Sensitivity.load(source / "sensitivity.json").save(target / "sensitivity.json")
    for file in sorted(target.iterdir()):
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
