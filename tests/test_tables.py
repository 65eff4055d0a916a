"""The two tables between stages: what the checks fill, refuse, and never show."""

import numpy as np
import pandas as pd
import pytest

from bayesdyn.errors import InputError
from bayesdyn.tables import EXCHANGE_COLUMNS, RATING_COLUMNS, check_exchanges, check_ratings

SECRET = "zebrafinch"


def exchanges(**changes) -> pd.DataFrame:
    base = {
        "dyad": "b",
        "session": ["1", "1", "1"],
        "t": [2, 0, 1],
        "therapist_text": SECRET,
        "client_text": SECRET,
    }
    return pd.DataFrame({**base, **changes})


def ratings(**changes) -> pd.DataFrame:
    base = {
        "dyad": "b",
        "session": "1",
        "t": [1, 0],
        "construct": "empathy",
        "rater": "anna",
        "value": [3, np.nan],
    }
    return pd.DataFrame({**base, **changes})


def refused(check, frame) -> str:
    with pytest.raises(InputError) as caught:
        check(frame)
    assert SECRET not in str(caught.value)
    assert all(fault.remedy for fault in caught.value.faults)
    return str(caught.value)


def test_exchanges_are_sorted_typed_and_keep_further_columns():
    frame = exchanges(session=[7, 7, 7], t=[2.0, 0.0, 1.0], age=[1, 2, 3])
    checked = check_exchanges(frame)
    assert list(checked["t"]) == [0, 1, 2]
    assert checked["t"].dtype == "int64"
    assert list(checked["session"]) == ["7"] * 3
    assert list(checked["age"]) == [2, 3, 1]
    assert list(checked.columns) == [*EXCHANGE_COLUMNS, "age"]
    assert list(frame["t"]) == [2.0, 0.0, 1.0]  # the caller's table is left as it was


def test_a_session_name_may_return_in_another_dyad():
    assert len(check_exchanges(exchanges(dyad=["a", "b", "c"], t=0))) == 3


@pytest.mark.parametrize("t", [[0, 1, 1.5], [0, 1, -1], [0, 1, None], [0, 1, "x"], [0, 1, np.inf]])
def test_t_must_be_a_whole_number_from_0(t):
    message = refused(check_exchanges, exchanges(t=t))
    assert "row 2: t is no whole number from 0" in message
    assert message.count("row 2") == 1


def test_duplicate_keys_name_key_and_rows():
    message = refused(check_exchanges, exchanges(t=[0, 1, 0]))
    assert "dyad b, session 1, t 0 stands in rows 0, 2" in message


def test_missing_columns_and_empty_tables():
    message = refused(check_exchanges, exchanges().drop(columns=["t", "client_text"]))
    assert "columns t, client_text missing (found: dyad, session, therapist_text)" in message
    assert "the table has no rows" in refused(check_exchanges, exchanges().head(0))


def test_missing_and_empty_ids_are_all_told():
    message = refused(check_exchanges, exchanges(dyad=[None, "b", np.nan]))
    assert "row 0: dyad is missing" in message
    assert "row 2: dyad is missing" in message
    assert "row 1: session is empty" in refused(check_exchanges, exchanges(session=["1", "", "1"]))


def test_a_missing_text_is_told_by_row_without_the_others_text():
    assert "row 1: client_text is missing" in refused(
        check_exchanges, exchanges(client_text=[SECRET, None, SECRET])
    )


def test_a_column_that_stands_twice():
    frame = pd.concat([exchanges(), exchanges()[["client_text"]]], axis=1)
    assert "column client_text stands more than once" in refused(check_exchanges, frame)


def test_ratings_are_filled_and_an_unrated_one_has_a_reason():
    checked = check_ratings(ratings())
    assert list(checked.columns) == RATING_COLUMNS
    assert list(checked["reason"]) == ["missing", ""]  # sorted: t 0 is the unrated one
    assert set(checked["rater_kind"]) == {"human"}
    assert set(checked["replicate"]) == {0}
    assert checked["probabilities"].isna().all()
    assert checked[["value", "off_scale", "scale_min", "scale_max"]].dtypes.eq("float64").all()


def test_a_given_reason_is_kept():
    assert list(check_ratings(ratings(reason=["", "refused"]))["reason"]) == ["refused", ""]


def test_distributions_over_the_scale_pass_as_lists_or_arrays():
    frame = ratings(value=[1.5, 1.9], scale_min=1, scale_max=2, rater_kind="llm")
    frame["probabilities"] = [[0.5, 0.5], np.array([0.1, 0.9])]
    assert len(check_ratings(frame)) == 2


@pytest.mark.parametrize(
    "probabilities", [[0.5, 0.6], [1.0], [-0.1, 1.1], [0.2, 0.3, 0.5], [[0.5, 0.5]], [np.nan, 1]]
)
def test_what_is_no_distribution_over_the_scale_is_refused(probabilities):
    frame = ratings(value=[1.5, 1.9], scale_min=1, scale_max=2)
    frame["probabilities"] = pd.Series([probabilities, None], dtype=object)
    assert "t 1, empathy, rater anna: probabilities are no distribution over the 2 scale points" in refused(
        check_ratings, frame
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": [6, 3], "scale_min": 1, "scale_max": 5}, "value 6 is off its scale 1 to 5"),
        ({"value": [np.inf, 3]}, "row 0: value is no finite number"),
        ({"value": [SECRET, 3]}, "row 0: value is no finite number"),
        ({"scale_min": "low"}, "row 0: scale_min is no finite number (found 'low')"),
        ({"off_scale": [0.2, 1.2]}, "row 1: off_scale is no probability (found 1.2)"),
        ({"rater_kind": ["llm", "robot"]}, "row 1: rater_kind is neither llm nor human (found 'robot')"),
        ({"replicate": [0, 0.5]}, "row 1: replicate is no whole number from 0"),
        ({"construct": ["empathy", ""]}, "row 1: construct is empty"),
        ({"t": 0}, "dyad b, session 1, t 0, construct empathy, rater anna, replicate 0 stands in rows 0, 1"),
    ],
)
def test_ratings_that_cannot_be_used(changes, said):
    assert said in refused(check_ratings, ratings(**changes))


def test_replicates_of_one_rater_are_not_duplicates():
    assert list(check_ratings(ratings(t=0, replicate=[0, 1]))["replicate"]) == [0, 1]
