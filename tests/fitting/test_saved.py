"""A fit is saved and read by its own methods, and every stage takes the file."""

import json
import re

import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayesdyn as bd
from bayesdyn.artefacts import read_tree
from bayesdyn.cli.app import build_app
from drawn_fits import LINEAR, drawn_fit

CLAIMED = LINEAR + '\n[claims.empathy]\nsays = "Empathy raises disclosure"\nholds = "de > 0"\n'


@pytest.fixture(scope="module")
def fit():
    return drawn_fit(CLAIMED)


def test_a_fit_saved_by_to_netcdf_comes_back_the_same(fit, tmp_path):
    fit.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as back:
        assert back.attrs == fit.attrs
        pd.testing.assert_frame_equal(bd.summary(back), bd.summary(fit))
        pd.testing.assert_frame_equal(bd.check_claims(back), bd.check_claims(fit))


def test_the_pair_of_the_docs_is_a_pair(fit, root, tmp_path, monkeypatch):
    page = (root / "docs" / "checking.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "to_netcdf" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "checking.md", "exec"), names := {"fit": fit, "xr": xr})
    with names["fit"] as back:
        assert back is not fit
        xr.testing.assert_equal(back["posterior"].to_dataset(), fit["posterior"].to_dataset())


def test_the_command_line_takes_a_fit_saved_by_to_netcdf(fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit.to_netcdf("fit.nc")
    done = CliRunner().invoke(build_app(), ["claims", "fit.nc"])
    assert done.exit_code == 0, done.output
    assert "Empathy raises disclosure" in (tmp_path / "claims.csv").read_text(encoding="utf-8")
    stamp = json.loads(read_tree("fit.nc", "fit").attrs["bayesdyn_stamp"])
    assert stamp["inputs"] == json.loads(fit.attrs["inputs"])
