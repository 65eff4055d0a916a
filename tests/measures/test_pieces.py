"""Ratings read from a file in pieces: the same cells, the same faults, and nothing lost between pieces."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bayesdyn as bd
from bayesdyn.artefacts import write_table
from bayesdyn.errors import ArtefactError, FaultList, InputError
from bayesdyn.measures.dataset import sorted_by_key
from bayesdyn.measures.gathering import pieces
from bayesdyn.measures.gathering.cells import Cells, reduce_cells
from bayesdyn.measures.gathering.pieces import open_ratings
from bayesdyn.measures.gathering.sources import source_of
from bayesdyn.measures.graded.answers import gather_answers
from bayesdyn.streams import read_arrow
from bayesdyn.tables import check_ratings

ARRAYS = ("value", "noise", "token", "human", "floor_share", "ceiling_share")


def make_ratings(seed=3, exchanges=90, replicates=3) -> pd.DataFrame:
    """Two constructs; r0 and r1 give probabilities now and then, r2 none; one rating in ten is missing."""
    rng = np.random.default_rng(seed)
    shape = (exchanges, 2, 3, replicates)
    place, construct, rater, replicate = (axis.ravel() for axis in np.indices(shape))
    p = rng.dirichlet(np.ones(5), len(place))
    told = (rater < 2) & (rng.random(len(place)) < 0.8)
    rated = rng.random(len(place)) > 0.1
    value = np.where(told, p @ np.arange(1, 6), rng.integers(1, 6, len(place)))
    return pd.DataFrame(
        {
            "dyad": "d" + pd.Series(place // 30).astype(str), "session": (place // 10 % 3).astype(str),
            "t": place % 10, "construct": np.array(["empathy", "rapport"])[construct],
            "rater": np.array(["r0", "r1", "r2"])[rater], "replicate": replicate + 1,
            "value": np.where(rated, value, np.nan),
            "probabilities": [list(row) if kept else None for row, kept in zip(p, told & rated, strict=True)],
            "scale_min": 1.0, "scale_max": 5.0,
            "rater_kind": np.where(rater == 1, "human", "llm"),
        }
    )  # fmt: skip


def write(frame: pd.DataFrame, path: Path, rows: int) -> Path:
    """Write a table as an artefact with row groups of so many rows."""
    write_table(frame, path, "ratings")
    pq.write_table(pq.read_table(path), path, row_group_size=rows)
    return path


def small_pieces(monkeypatch, rows: int) -> None:
    """Make a piece of few rows, so that a cell's replicates lie in several pieces."""
    monkeypatch.setattr(pieces, "read_arrow", lambda *given: read_arrow(*given[:4], rows=rows))


@pytest.mark.parametrize("with_kinds", [True, False])
def test_a_constructs_answers_from_a_file_are_those_of_the_table(tmp_path, monkeypatch, with_kinds):
    small_pieces(monkeypatch, 70)
    frame = make_ratings()
    frame.loc[frame["probabilities"].isna(), "value"] = frame["value"].round()
    if not with_kinds:
        frame = frame.drop(columns="rater_kind")
    file = open_ratings(write(frame, tmp_path / "ratings.parquet", 40))
    table = source_of(check_ratings(frame))
    faults = FaultList()
    keys = sorted_by_key(table.keys, faults, "the test")
    from_file, from_table = (
        gather_answers(source.load("construct", "rapport"), keys, "rapport", ("r0", "r1", "r2"), faults)
        for source in (file, table)
    )
    assert not faults.faults
    np.testing.assert_array_equal(from_file.pattern, from_table.pattern)
    for ours, theirs in zip(from_file.counts, from_table.counts, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    humans = {"r1"} if with_kinds else {"r0", "r1", "r2"}
    for source in (file, table):
        assert set(source.load("rater_kind", "human")["rater"]) == humans
        assert len(source.load("rater_kind", "nobody")) == 0


def cells_of(source, exchanges=None) -> Cells:
    faults = FaultList()
    keys = sorted_by_key(source.keys if exchanges is None else exchanges, faults, "")
    found = reduce_cells([source], keys, faults)
    faults.raise_if_any("These ratings cannot be used")
    return found


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("rows", [40, 100_000])
def test_pieces_give_the_cells_of_the_whole_table(tmp_path, monkeypatch, shuffled, rows):
    frame = make_ratings()
    given = frame.sample(frac=1, random_state=2) if shuffled else frame
    small_pieces(monkeypatch, rows)
    found = cells_of(open_ratings(write(given, tmp_path / "r.parquet", 64)))
    whole = cells_of(source_of(check_ratings(frame)))
    assert (found.constructs, found.raters) == (whole.constructs, whole.raters)
    pd.testing.assert_frame_equal(found.keys, whole.keys)
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-12, atol=1e-14)


def test_cells_are_those_of_a_plain_group_by(tmp_path, monkeypatch):
    frame = make_ratings()
    small_pieces(monkeypatch, 50)
    cells = cells_of(open_ratings(write(frame, tmp_path / "r.parquet", 64)))
    mean = frame.groupby(["dyad", "session", "t", "construct", "rater"])["value"].mean()
    wide = mean.reset_index().pivot_table("value", ["dyad", "session", "t"], ["construct", "rater"])
    pooled = frame.groupby(["dyad", "session", "t", "construct", "rater"])["value"].agg(["var", "count"])
    assert cells.raters == ("r0", "r2", "r1")
    for c, construct in enumerate(cells.constructs):
        for r, rater in enumerate(cells.raters):
            np.testing.assert_allclose(cells.value[:, c, r], wide[construct, rater].to_numpy(), rtol=1e-12)
            one = pooled.xs((construct, rater), level=("construct", "rater")).sort_index()
            free = (one["count"] - 1).clip(lower=0)
            variance = (one["var"].fillna(0) * free).sum() / free.sum()
            expected = np.where(one["count"] > 0, variance / one["count"].clip(lower=1), 0)
            np.testing.assert_allclose(cells.noise[:, c, r], expected, rtol=1e-12)


def test_a_large_mean_costs_no_digits_of_the_replicates_variance(tmp_path, monkeypatch):
    # A sum of squares would keep none: 1e9 squared has 18 digits, a double 16.
    frame = make_ratings().drop(columns=["probabilities", "scale_min", "scale_max"])
    small_pieces(monkeypatch, 7)
    near = cells_of(open_ratings(write(frame, tmp_path / "a.parquet", 50)))
    far = cells_of(
        open_ratings(write(frame.assign(value=frame["value"] + 2.0**30), tmp_path / "b.parquet", 50))
    )
    np.testing.assert_allclose(far.noise, near.noise, rtol=1e-5)


def test_optional_columns_and_exchanges_without_ratings(tmp_path):
    frame = make_ratings(replicates=1)[["dyad", "session", "t", "construct", "rater", "value"]]
    exchanges = pd.concat([frame[["dyad", "session", "t"]].drop_duplicates(),
                           pd.DataFrame({"dyad": ["zz"], "session": "1", "t": 4})])  # fmt: skip
    cells = cells_of(open_ratings(write(frame, tmp_path / "r.parquet", 64)), exchanges)
    assert cells.human.all()  # ratings from elsewhere are coders'
    assert np.isnan(cells.value[-1]).all()
    assert np.isfinite(cells.value[:-1]).any(axis=(1, 2)).all()
    assert np.isnan(cells.token).all()
    assert np.isnan(cells.floor_share).all()
    assert not cells.noise.any()


def broken() -> dict[str, pd.DataFrame]:
    """Each breaks another rule in a few rows, one of them late in the file."""
    frame = make_ratings()
    at = [5, 1500]

    def changed(**values: object) -> pd.DataFrame:
        other = frame.copy()
        for name, value in values.items():
            other[name] = (
                other[name].astype(object) if isinstance(value, str) or value is None else other[name]
            )
            for row in at:
                other.loc[row, name] = value
        return other

    lists = frame.assign(value=3.0)
    lists["probabilities"] = [[0.5, 0.5, 0.5, 0, 0] if row in at else None for row in range(len(frame))]
    return {
        "value is off its scale": changed(value=6.0),
        "value is no finite number": changed(value=np.inf),
        "off_scale is no probability": frame.assign(off_scale=np.where(frame.index.isin(at), 2.0, 0.1)),
        "t is no whole number": frame.assign(t=np.where(frame.index.isin(at), 1.5, frame["t"])),
        "dyad is missing": changed(dyad=None),
        "construct is empty": changed(construct=""),
        "rater_kind": changed(rater_kind="robot"),
        "probabilities": lists,
        "scale_max": changed(scale_max=np.inf),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(broken()))
def test_a_files_faults_read_as_a_tables_do(tmp_path, monkeypatch, name):
    frame = broken()[name]
    small_pieces(monkeypatch, 100)
    path = write(frame, tmp_path / "r.parquet", 64)
    with pytest.raises(InputError) as of_table:
        check_ratings(pd.read_parquet(path))
    with pytest.raises(InputError) as of_file:
        cells_of(open_ratings(path))
    assert len(of_file.value.faults) == 2
    assert set(of_file.value.faults) == set(of_table.value.faults)


def test_what_stands_twice_is_found_across_pieces(tmp_path, monkeypatch):
    frame = make_ratings()
    frame = pd.concat([frame, frame.iloc[[4, 700]]], ignore_index=True)
    small_pieces(monkeypatch, 100)
    path = write(frame, tmp_path / "r.parquet", 64)
    with pytest.raises(InputError) as of_table:
        check_ratings(frame)
    with pytest.raises(InputError) as of_file:
        cells_of(open_ratings(path))
    assert of_file.value.faults == of_table.value.faults
    assert f"stands in rows 4, {len(frame) - 2}" in str(of_file.value)


def test_a_file_that_is_all_wrong_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "MOST_FAULTS", 20)
    small_pieces(monkeypatch, 100)
    path = write(make_ratings().assign(rater_kind="robot"), tmp_path / "r.parquet", 64)
    with pytest.raises(InputError) as caught:
        cells_of(open_ratings(path))
    assert len(caught.value.faults) < 50
    assert "were not read" in caught.value.faults[-1].what


def test_files_that_hold_no_ratings_are_refused(tmp_path):
    frame = make_ratings()
    with pytest.raises(ArtefactError, match="no such file"):
        open_ratings(tmp_path / "none.parquet")
    write_table(frame, tmp_path / "other.parquet", "exchanges")
    with pytest.raises(ArtefactError, match="holds exchanges, not ratings"):
        open_ratings(tmp_path / "other.parquet")
    write_table(frame.drop(columns=["t", "rater"]), tmp_path / "lacks.parquet", "ratings")
    with pytest.raises(InputError, match="columns t, rater missing"):
        open_ratings(tmp_path / "lacks.parquet")
    write_table(frame.head(0), tmp_path / "empty.parquet", "ratings")
    with pytest.raises(InputError, match="no rows"):
        open_ratings(tmp_path / "empty.parquet")
    write_table(frame.assign(dyad=None), tmp_path / "ids.parquet", "ratings")
    with pytest.raises(InputError, match="dyad is missing"):
        open_ratings(tmp_path / "ids.parquet")
    write_table(frame.assign(value="high"), tmp_path / "text.parquet", "ratings")
    with pytest.raises(InputError, match=r"column value holds .*string, not numbers"):
        open_ratings(tmp_path / "text.parquet")


def test_missing_values_of_arrow_and_of_floats_are_alike(tmp_path):
    table = pa.Table.from_pandas(make_ratings(), preserve_index=False)
    nan = table["value"].to_numpy(zero_copy_only=False)
    assert np.isnan(nan).any()
    path = write(make_ratings(), tmp_path / "r.parquet", 64)
    stamped = pq.read_table(path)
    place = stamped.schema.get_field_index("value")
    pq.write_table(stamped.set_column(place, "value", pa.array(nan)), tmp_path / "nan.parquet")
    one, other = (cells_of(open_ratings(tmp_path / name)) for name in ("r.parquet", "nan.parquet"))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.slow
def test_measures_of_a_file_are_those_of_its_table(tmp_path, make_world):
    world = make_world(31, sessions=6, length=20)
    llm = world.ratings[world.ratings["rater"] == "r0"]
    human = world.ratings[(world.ratings["rater"] == "r1") & (world.ratings["t"] < 10)]
    path = write(llm, tmp_path / "r.parquet", 100)
    found = bd.measure(path, human, random_seed=2)
    whole = bd.measure(llm, human, random_seed=2)
    assert found.identical(whole)
