"""Files between stages: whole or not at all, stamped, and refused where they are not ours."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesdyn import artefacts
from bayesdyn.errors import ArtefactError, InputError
from bayesdyn.tables import check_ratings


def frame() -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "dyad": "a",
            "session": "1",
            "t": [0, 1],
            "construct": "empathy",
            "rater": "llm",
            "value": [1.5, None],
        }
    )
    rows["probabilities"] = pd.Series([[0.5, 0.5], None], dtype=object)
    checked = check_ratings(rows.assign(scale_min=1, scale_max=2))
    checked.attrs["summary"] = {"rows_in": 2}
    return checked


def dataset() -> xr.Dataset:
    score = (("exchange", "construct"), np.array([[1.0, np.nan], [2.0, 0.5]]))
    return xr.Dataset(
        {"score": score}, coords={"construct": ["empathy", "rapport"], "t": ("exchange", [0, 1])}
    )


def test_a_table_comes_back_as_it_went_with_its_summary_and_hash(tmp_path):
    artefacts.write_table(frame(), tmp_path / "r.parquet", "ratings", {"codebook": "abc"})
    back = artefacts.read_table(tmp_path / "r.parquet", "ratings")
    pd.testing.assert_frame_equal(back, frame())
    assert back.attrs["summary"] == {"rows_in": 2}
    assert artefacts.sha256_frame(back) == artefacts.sha256_frame(frame())


def test_a_dataset_and_a_tree_come_back_with_their_hash(tmp_path):
    artefacts.write_dataset(dataset(), tmp_path / "m.nc", "measures")
    back = artefacts.read_dataset(tmp_path / "m.nc", "measures")
    xr.testing.assert_equal(back, dataset())
    assert artefacts.sha256_dataset(back) == artefacts.sha256_dataset(dataset())
    tree = xr.DataTree.from_dict({"posterior": dataset(), "prior": dataset()})
    tree.attrs["seed"] = "7"
    artefacts.write_dataset(tree, tmp_path / "f.nc", "fit")
    found = artefacts.read_tree(tmp_path / "f.nc", "fit")
    assert set(found.children) == {"posterior", "prior"}
    assert found.attrs["seed"] == "7"
    assert "bayesdyn_stamp" not in tree.attrs  # the caller's object is left as it was


def test_hashes_see_values_names_and_order_of_rows():
    base = frame()
    changed = base.assign(value=[1.5, 1.0])
    assert (
        len(
            {
                artefacts.sha256_frame(f)
                for f in (base, changed, base.iloc[::-1], base.rename(columns={"t": "u"}))
            }
        )
        == 4
    )
    other = base.copy()
    other["probabilities"] = pd.Series([[0.4, 0.6], None], dtype=object)
    assert artefacts.sha256_frame(other) != artefacts.sha256_frame(base)
    moved = dataset().assign_coords(construct=["rapport", "empathy"])
    assert artefacts.sha256_dataset(moved) != artefacts.sha256_dataset(dataset())
    assert artefacts.sha256_json({"b": 1, "a": [2]}) == artefacts.sha256_json({"a": [2], "b": 1})


def test_the_stamp_says_kind_layout_packages_and_inputs(tmp_path):
    artefacts.write_dataset(dataset(), tmp_path / "m.nc", "measures", {"ratings": "f00"})
    stamp = json.loads(artefacts.read_dataset(tmp_path / "m.nc", "measures").attrs["bayesdyn_stamp"])
    assert (stamp["kind"], stamp["format"], stamp["inputs"]) == (
        "measures",
        artefacts.FORMAT,
        {"ratings": "f00"},
    )
    assert stamp["packages"]["pandas"] == pd.__version__
    assert stamp["packages"]["bayesdyn"] != "absent"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "report.html"
    artefacts.write_text(path, "old")

    def fail():
        with artefacts.whole_file(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_written_file_has_the_rights_of_any_other(tmp_path):
    artefacts.write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_folders_are_made_and_what_cannot_be_written_is_told(tmp_path):
    artefacts.write_text(tmp_path / "new" / "deep" / "a.txt", "x")
    assert (tmp_path / "new" / "deep" / "a.txt").read_text() == "x"
    with pytest.raises(InputError, match="Cannot write"):
        artefacts.write_text(tmp_path / "new" / "deep" / "a.txt" / "below", "x")
    with pytest.raises(InputError, match="Cannot write"):
        artefacts.write_text(tmp_path / "new", "x")
    assert os.listdir(tmp_path) == ["new"]


READERS = [artefacts.read_table, artefacts.read_dataset, artefacts.read_tree]


@pytest.mark.parametrize("read", READERS)
def test_missing_and_damaged_files(tmp_path, read):
    with pytest.raises(ArtefactError, match="there is no such file"):
        read(tmp_path / "x", "ratings")
    (tmp_path / "x").write_bytes(b"PAR1 this is no table")
    with pytest.raises(ArtefactError, match="it is damaged or not ratings"):
        read(tmp_path / "x", "ratings")
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(ArtefactError, match="it is damaged or not ratings"):
        read(tmp_path / "x", "ratings")


def test_a_truncated_file_is_damaged(tmp_path):
    artefacts.write_dataset(dataset(), tmp_path / "m.nc", "measures")
    whole = (tmp_path / "m.nc").read_bytes()
    (tmp_path / "m.nc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtefactError, match="it is damaged"):
        artefacts.read_dataset(tmp_path / "m.nc", "measures")


def write(path, kind):
    if path.suffix == ".parquet":
        artefacts.write_table(frame(), path, kind)
        return artefacts.read_table
    artefacts.write_dataset(dataset(), path, kind)
    return artefacts.read_dataset


@pytest.mark.parametrize("name", ["x.parquet", "x.nc"])
def test_another_kind_and_another_layout_version(tmp_path, name, monkeypatch):
    read = write(tmp_path / name, "measures")
    with pytest.raises(ArtefactError, match=r"it holds measures, not fit\. Give the file that holds fit"):
        read(tmp_path / name, "fit")
    with monkeypatch.context() as patch:
        patch.setattr(artefacts, "FORMAT", 2)
        with pytest.raises(ArtefactError, match="layout version 1, this bayesdyn reads 2"):
            read(tmp_path / name, "measures")


def test_files_from_elsewhere_carry_no_stamp(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ArtefactError, match="no bayesdyn stamp"):
        artefacts.read_table(tmp_path / "x.parquet", "ratings")
    for stamp in ("no json", "[1]"):
        dataset().assign_attrs(bayesdyn_stamp=stamp).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
        with pytest.raises(ArtefactError, match="no bayesdyn stamp"):
            artefacts.read_dataset(tmp_path / "x.nc", "measures")
