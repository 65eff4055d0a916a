"""Tipping points by hand, files, refusals; the refits themselves in tests/recovery."""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.errors import ArtefactError, InputError
from bayesdyn.sweeps.sensitivity import Sensitivity, tipping_points
from synthetic import synthetic_fit


def sweep(lower, upper, name="y ~ x", factors=(0, 0.5, 1, 1.5, 2)):
    return pd.DataFrame({"factor": factors, "path_name": name, "lower": lower, "upper": upper})


def test_tipping_point_is_where_the_nearer_bound_crosses_zero():
    # The lower bound falls from .1 at 1 to -.1 at 1.5: zero at 1.25.
    table = tipping_points(sweep([0.2, 0.15, 0.1, -0.1, -0.3], [0.4, 0.4, 0.5, 0.6, 0.7]))
    assert table.loc[0, "tipping_factor"] == pytest.approx(1.25)
    assert "stops" in table.loc[0, "says"]


def test_a_negative_path_that_appears_with_error_starts_to_exclude_zero():
    table = tipping_points(sweep([-0.1, -0.2, -0.3, -0.4, -0.5], [0.1, 0.05, -0.05, -0.1, -0.1]))
    assert table.loc[0, "tipping_factor"] == pytest.approx(0.75)
    assert "starts" in table.loc[0, "says"]


def test_no_crossing_has_no_tipping_point():
    table = tipping_points(sweep([0.1] * 5, [0.2] * 5))
    assert np.isnan(table.loc[0, "tipping_factor"])
    assert "excludes zero at every factor" in table.loc[0, "says"]


def test_the_crossing_nearest_to_the_fit_is_told():
    table = tipping_points(sweep([-0.1, 0.1, 0.1, 0.1, -0.1], [1.0] * 5))
    assert table.loc[0, "tipping_factor"] == pytest.approx(0.25)


def test_it_survives_its_file(tmp_path):
    paths = sweep([0.2, 0.15, 0.1, -0.1, -0.3], [0.4] * 5)
    one = Sensitivity("reliability", pd.DataFrame({"factor": [0.0, 1.0]}), paths, tipping_points(paths))
    one.save(tmp_path / "sensitivity.json")
    again = Sensitivity.load(tmp_path / "sensitivity.json")
    pd.testing.assert_frame_equal(again.paths, one.paths, check_dtype=False)
    assert again.kind == "reliability"
    (tmp_path / "sensitivity.json").write_text("{}")
    with pytest.raises(ArtefactError, match="no bayesdyn stamp"):
        Sensitivity.load(tmp_path / "sensitivity.json")


def test_refusals_are_gathered():
    fit, _, _ = synthetic_fit("none")
    with pytest.raises(InputError) as caught:
        bd.sensitivity(
            fit, kind="halo", factors=(1,), random_seed=10**20, backend="stan", device="tpu", devices=0
        )
    message = str(caught.value)
    assert "halo" in message
    assert "two different numbers" in message
    assert "no measurement error" in message
    assert f"random_seed is {10**20}" in message
    assert "backend 'stan' is unknown" in message
    assert "device 'tpu' is unknown" in message
    assert "devices is 0" in message
