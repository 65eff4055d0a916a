"""The truth of a simulated study in the form that engines draw it."""

import xarray as xr


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
