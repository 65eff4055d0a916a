"""A fixed path is a constant: it has no R-hat, and says so without a warning."""

import numpy as np
import xarray as xr

from bayesdyn.fitting.summaries import summary


def test_a_fixed_path_is_summarised_without_a_warning():
    draws = np.random.default_rng(1).standard_normal((2, 50, 2)) * [0.1, 0.0]
    path = xr.DataArray(draws, dims=("chain", "draw", "path_name"), coords={"path_name": ["y ~ a", "y ~ b"]})
    table = summary(xr.DataTree.from_dict({"posterior": xr.Dataset({"path": path})}), variables=("path",))
    assert np.isfinite(table.loc["y ~ a", "rhat"])
    assert np.isnan(table.loc["y ~ b", "rhat"])
    assert table.loc["y ~ b", ["mean", "sd", "lower", "upper"]].tolist() == [0.0, 0.0, 0.0, 0.0]
    # 0 is neither positive nor negative: a probability of 0 would read as surely negative.
    assert np.isnan(table.loc["y ~ b", "prob_positive"])
    assert 0 < table.loc["y ~ a", "prob_positive"] < 1
