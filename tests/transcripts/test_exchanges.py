"""Turns and exchanges: every row is used or set aside, against a slow version written row by row."""

import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesdyn.transcripts.exchanges import REASONS, SILENCE, form_exchanges, place_rows, summarise

TEXTS = ["a", "b c", "", " ", "[silence]", "..."]
row = st.tuples(
    st.sampled_from(["d1", "d2"]),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["therapist", "client", "other", ""]),
    st.sampled_from(TEXTS),
)


def utterances(rows) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["dyad", "session", "role", "text"], dtype="str")
    return frame.assign(time=[float(i) for i in range(len(frame))])


def obvious(rows):
    """One session after the other, row by row: reason per row and the exchanges' texts."""
    reasons, exchanges = [""] * len(rows), {}
    for key in dict.fromkeys((dyad, session) for dyad, session, _, _ in rows):
        turns: list[tuple[str, list[int]]] = []
        for i, (dyad, session, role, text) in enumerate(rows):
            if (dyad, session) != key:
                continue
            if not role:
                reasons[i] = "missing_speaker"
            elif role == "other":
                reasons[i] = "third_speaker"
            elif not text.strip():
                reasons[i] = "empty"
            elif text in ("[silence]", "..."):
                reasons[i] = "silence"
            elif turns and turns[-1][0] == role:
                turns[-1][1].append(i)
            else:
                turns.append((role, [i]))
        if len({role for role, _ in turns}) < 2:
            for _, members in turns:
                for i in members:
                    reasons[i] = "one_speaker"
            continue
        if turns[0][0] == "client":
            for i in turns.pop(0)[1]:
                reasons[i] = "leading_client"
        if turns[-1][0] == "therapist":
            for i in turns.pop()[1]:
                reasons[i] = "trailing_therapist"
        for t in range(0, len(turns), 2):
            said = [" ".join(rows[i][3].strip() for i in members) for _, members in turns[t : t + 2]]
            exchanges[(*key, t // 2)] = (*said, float(turns[t][1][0]))
    return reasons, exchanges


@settings(deadline=None, max_examples=200)
@given(st.lists(row, min_size=1, max_size=40))
def test_rows_in_are_rows_used_plus_rows_set_aside_and_as_the_obvious_version_says(rows):
    frame = utterances(rows)
    placed = place_rows(frame)
    reasons, wanted = obvious(rows)
    assert placed["reason"].tolist() == reasons
    assert ((placed["t"] >= 0) == (placed["reason"] == "")).all()
    summary = summarise(frame, placed)
    assert summary["rows_in"] == len(rows) == summary["rows_used"] + sum(summary["set_aside"].values())
    assert summary["exchanges"] == len(wanted)
    assert summary["sessions"] + summary["sessions_without_exchange"] == len({r[:2] for r in rows})
    exchanges = form_exchanges(frame, placed)
    found = {
        (r.dyad, r.session, r.t): (r.therapist_text, r.client_text, r.time) for r in exchanges.itertuples()
    }
    assert found == wanted
    leading_and_trailing = frame.assign(turn=placed["turn"], reason=placed["reason"])
    lone = leading_and_trailing[leading_and_trailing["reason"].isin(["leading_client", "trailing_therapist"])]
    assert summary["turns"] == 2 * len(wanted) + lone["turn"].nunique()


@pytest.mark.parametrize("reason", ["missing_speaker", "third_speaker", "empty", "silence"])
def test_a_row_set_aside_does_not_break_a_turn(reason):
    between = {
        "missing_speaker": ("d", "1", "", "x"), "third_speaker": ("d", "1", "other", "x"),
        "empty": ("d", "1", "client", " "), "silence": ("d", "1", "client", "(pause)"),
    }[reason]  # fmt: skip
    frame = utterances(
        [("d", "1", "therapist", "one"), between, ("d", "1", "therapist", "two"), ("d", "1", "client", "c")]
    )
    placed = place_rows(frame)
    assert placed["reason"].tolist() == ["", reason, "", ""]
    assert form_exchanges(frame, placed)["therapist_text"].tolist() == ["one two"]


@pytest.mark.parametrize(
    "text",
    ["[silence]", "(Pause)", "(long pause)", "[pause 10 s]", "(pause of 3.5 seconds)", "10 sec silence",
     "...", "…", "--", "*silence*", "((pause))", "Silence.", "[short silence]"],
)  # fmt: skip
def test_marks_of_silence(text):
    assert re.fullmatch(SILENCE, text)


@pytest.mark.parametrize(
    "text",
    ["Silence is hard for me", "No.", "?", "[laughs]", "[inaudible]", "I pause", "10", "pause here please",
     "... well", "👍", "long"],
)  # fmt: skip
def test_speech_is_not_silence(text):
    assert not re.fullmatch(SILENCE, text)


def test_every_reason_is_explained():
    assert all(REASONS.values())
