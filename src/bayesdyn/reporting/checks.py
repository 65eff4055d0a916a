"""Checks at the door of the report: a fit, its naive twin, and counts that hold nothing but numbers."""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import posterior_of

_GROUPS = ("posterior", "sample_stats", "observed_data", "constant_data")
_AGREEMENT = (
    "construct", "level", "panel", "kind", "statistic", "estimate", "lower", "upper", "cluster_lower",
    "cluster_upper", "ci_prob", "n", "note",
)  # fmt: skip


def check_inputs(
    fit: xr.DataTree,
    naive: xr.DataTree | None,
    agreement: pd.DataFrame | None,
    data_summary: Mapping[str, object] | None,
    rating_summary: Mapping[str, object] | None,
    planned: str | None,
) -> None:
    """Check what a report is made of; see :func:`bayesdyn.reporting.html.report`.

    Raises
    ------
    InputError
        With all faults.
    """
    faults = FaultList()
    for name, tree in (("fit", fit), ("naive", naive)):
        if tree is None:
            continue
        groups = set(tree.children)
        lacking = [group for group in _GROUPS if group not in groups]
        if lacking:
            faults.add(f"it has no group {', '.join(lacking)}", "Give what bayesdyn.fit returns", name)
    if naive is not None and not faults.faults:
        if naive.attrs.get("measurement") != "none":
            faults.add("it was not fitted to the scores as they are", 'Fit with measurement="none"', "naive")
        if _written(naive) != _written(fit):
            faults.add("it is a fit of another model", "Fit the same model to the same measures", "naive")
    if (
        planned is not None
        and not faults.faults
        and planned not in posterior_of(fit)["path"]["path_name"].values
    ):
        faults.add(f"it is for {planned}, which the fit has not", "Plan from this fit", "plan")
    missing = [] if agreement is None else [name for name in _AGREEMENT if name not in agreement.columns]
    if missing:
        faults.add(
            f"column {', '.join(missing)} missing", "Give what bayesdyn.agreement returns", "agreement"
        )
    for name, counts in (("data_summary", data_summary), ("rating_summary", rating_summary)):
        _check_counts(counts or {}, name, faults)
    faults.raise_if_any("Cannot write this report")


def _check_counts(counts: Mapping[str, object], where: str, faults: FaultList, depth: int = 0) -> None:
    for key, value in counts.items():
        if isinstance(value, Mapping) and depth < 2:
            _check_counts(value, f"{where}, {key}", faults, depth + 1)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            faults.add(f"{key} is no count", "Give numbers only: a report holds no text of a study", where)


def _written(fit: xr.DataTree) -> set[str]:
    """Return the paths that the model file states; noisy predictors' default laws come and go with error."""
    path = posterior_of(fit)["path"]
    return set(path["path_name"].values[path["path_origin"].values == "written"])
