import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError


def coders():
    return pd.DataFrame(
        {
            "dyad": ["007", "007"], "session": ["1", "1"], "t": [0, 1], "construct": "empathy",
            "rater": "ann", "value": [2.0, 4.0],
        }
    )  # fmt: skip


def test_a_csv_with_other_names_becomes_human_ratings(tmp_path):
    file = tmp_path / "coders.csv"
    coders().rename(columns={"dyad": "couple", "value": "mark"}).assign(remark="quoted").to_csv(
        file, index=False
    )
    table = bd.read_ratings(file, {"dyad": "couple", "value": "mark"}, codebook="chen2026")
    assert table["dyad"].tolist() == ["007", "007"]
    assert table["value"].tolist() == [2, 4]
    assert set(table["rater_kind"]) == {"human"}
    assert (table["scale_min"] == 1).all()
    assert (table["scale_max"] == 5).all()
    assert "remark" not in table.columns


def test_a_wide_table_is_read_with_and_without_a_map(tmp_path):
    wide = coders().drop(columns=["construct", "value", "rater"]).assign(empathy=[2, None], rapport=[3, 5])
    by_book = bd.read_ratings(wide, rater="ann", codebook="chen2026")
    by_map = bd.read_ratings(wide, rater="ann", constructs={"empathy": "empathy", "rapport": "rapport"})
    for table in (by_book, by_map):
        assert table.groupby("construct")["value"].sum().to_dict() == {"empathy": 2, "rapport": 8}
        unrated = table[table["value"].isna()]
        assert unrated["reason"].tolist() == ["missing"]
    file = tmp_path / "wide.parquet"
    wide.to_parquet(file)
    pd.testing.assert_frame_equal(bd.read_ratings(file, rater="ann", codebook="chen2026"), by_book)


def test_a_table_is_left_as_it_was():
    frame = coders()
    bd.read_ratings(frame, codebook="chen2026")
    pd.testing.assert_frame_equal(frame, coders())


def test_faults_name_the_nearest():
    with pytest.raises(InputError) as caught:
        bd.read_ratings(coders().rename(columns={"dyad": "dyads"}), {"valu": "x"})
    message = str(caught.value)
    assert "column dyad (for dyad) is missing. Is it 'dyads'?" in message
    assert "columns maps 'valu'" in message
    assert "Did you mean 'value'" in message
    wrong = coders().assign(construct=["empathie", "warmth"], value=["2", "high"])
    with pytest.raises(InputError) as caught:
        bd.read_ratings(wrong, codebook="chen2026")
    message = str(caught.value)
    assert "construct 'empathie' is not in codebook chen2026. Did you mean 'empathy'?" in message
    assert "construct 'warmth' is not in codebook" in message
    assert "value is no number" in message


def test_values_off_the_codebooks_scale_are_faults():
    with pytest.raises(InputError, match="value 6 is off its scale 1 to 5"):
        bd.read_ratings(coders().assign(value=[2, 6]), codebook="chen2026")
    assert bd.read_ratings(coders().assign(value=[2, 6]))["value"].max() == 6
