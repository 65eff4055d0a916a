"""The truth of a simulated study in the form that engines draw it, and that of the replication's model."""

import xarray as xr

RELIABILITY = {
    "empathy": 0.6, "exploration": 0.6, "rapport": 0.8,
    "disclosure": 0.75, "self_negative": 0.7, "outward_negative": 0.7,
}  # fmt: skip
BEHAVIOURS = [
    f"{outcome} ~ {behaviour}"
    for outcome in ("disclosure", "self_negative", "outward_negative")
    for behaviour in ("empathy", "exploration")
]
PRODUCTS = [f"{name}:rapport" for name in BEHAVIOURS]
TRUTH = {**dict.fromkeys(BEHAVIOURS, 0.3), **dict.fromkeys(PRODUCTS, -0.2)}


def whole_residual_cov(truth):
    """Return the residual covariance over (endogenous, endogenous2), put together from its parts."""
    own = truth["endogenous"].values
    whole = xr.DataArray(
        0.0, dims=("endogenous", "endogenous2"), coords={"endogenous": own, "endogenous2": own}
    ).copy()
    for name, row, column in (
        ("residual_cov", "outcome", "outcome2"),
        ("predictor_cov", "predictor", "predictor2"),
        ("cross_cov", "outcome", "predictor"),
    ):
        if name in truth:
            at = {"endogenous": truth[row].values, "endogenous2": truth[column].values}
            whole.loc[at] = truth[name].values
            whole.loc[{"endogenous": at["endogenous2"], "endogenous2": at["endogenous"]}] = truth[
                name
            ].values.T
    return whole
