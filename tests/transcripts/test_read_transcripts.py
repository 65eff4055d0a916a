"""read_transcripts: each format, folders, the summary, and the real data."""

import json

import pandas as pd
import pytest

from bayesdyn import read_transcripts
from bayesdyn.errors import InputError
from bayesdyn.transcripts.formats import FORMATS

ROWS = [
    ("client", "Before we start"),
    ("therapist", "How was your week?"),
    ("therapist", "Take your time."),
    ("client", "None"),  # speech, not a missing value
    ("observer", "The recorder is on"),
    ("therapist", "I hear you."),
    ("client", "[long pause]"),
    ("client", ""),
    ("client", "Thank you, Ärztin"),
    ("", "who said this"),
    ("therapist", "Until next week"),
]
WANTED = [("How was your week? Take your time.", "None"), ("I hear you.", "Thank you, Ärztin")]
SET_ASIDE = {
    "missing_speaker": 1, "third_speaker": 1, "empty": 1, "silence": 1, "leading_client": 1,
    "trailing_therapist": 1,
}  # fmt: skip


def table() -> pd.DataFrame:
    rows = pd.DataFrame(ROWS, columns=["speaker", "text"], dtype="str")
    return rows.assign(dyad="d7", session="2", time=[float(10 * i) for i in range(len(rows))])


def write(frame, path):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_parquet(path)
    return path


def texts(exchanges):
    return list(zip(exchanges["therapist_text"], exchanges["client_text"], strict=True))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_table_in_each_format_gives_the_same_exchanges(tmp_path, suffix):
    exchanges = read_transcripts(write(table(), tmp_path / f"all{suffix}"))
    assert texts(exchanges) == WANTED
    assert list(exchanges["t"]) == [0, 1]
    assert list(exchanges["time"]) == [10.0, 50.0]
    assert exchanges.attrs["summary"] == {
        "rows_in": 11, "rows_used": 5, "set_aside": SET_ASIDE, "turns": 6, "exchanges": 2, "dyads": 1,
        "sessions": 1, "sessions_without_exchange": 0, "rows_moved": 0, "files": 1, "files_ignored": 0,
    }  # fmt: skip
    assert json.loads(json.dumps(exchanges.attrs["summary"])) == exchanges.attrs["summary"]


def test_semicolons_are_read_where_the_header_has_them(tmp_path):
    path = tmp_path / "all.csv"
    table().to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    assert texts(read_transcripts(path)) == WANTED


def test_plain_text_with_labels_clocks_and_continued_lines(tmp_path):
    (tmp_path / "d_7_2.txt").write_text(
        "Session of Monday\n"
        "[00:00:05] Counsellor: How was\n\n   your week?\n"
        "[01:02:03.5] PATIENT: So: not good\n"
        "and https://example.org: no use.\n"
        "but then: nothing\n"
        "Dr. Meyer: A word, please.\n"
        "[01:03:00] Counsellor: I see.\n"
        "[01:03:09] Patient: Yes.\n"
    )
    exchanges = read_transcripts(tmp_path / "d_7_2.txt")
    assert texts(exchanges) == [
        ("How was your week?", "So: not good and https://example.org: no use. but then: nothing"),
        ("I see.", "Yes."),
    ]
    assert list(exchanges["dyad"].unique()) == ["d_7"]
    assert list(exchanges["session"].unique()) == ["2"]
    assert list(exchanges["time"]) == [5.0, 3780.0]
    assert exchanges.attrs["summary"]["set_aside"] == {"missing_speaker": 1, "third_speaker": 1}


VTT = """\ufeffWEBVTT - a session
Kind: captions

NOTE
made by hand

STYLE
::cue { color: red }

2
00:00:09.000 --> 00:00:11.000
<v.loud Client>Not &amp; never</v>

1
00:01.500 --> 00:04.000 align:start
<v Therapist>How <i>are</i> you,
today?</v>

01:00:20.000 --> 01:00:21.000
T: Go on.
C: No.
That is all.

01:00:30.000 --> 01:00:31.000
[music]
"""


def test_webvtt_cues_are_put_in_time_order(tmp_path):
    path = tmp_path / "d1_1.vtt"
    path.write_text(VTT, encoding="utf-8")
    speakers = {"Therapist": "therapist", "t": "therapist", "CLIENT": "client", "c": "client"}
    exchanges = read_transcripts(path, speakers=speakers)
    assert texts(exchanges) == [("How are you, today?", "Not & never"), ("Go on.", "No. That is all.")]
    assert list(exchanges["time"]) == [1.5, 3620.0]
    summary = exchanges.attrs["summary"]
    assert summary["rows_moved"] == 2
    assert summary["set_aside"] == {"missing_speaker": 1}


def test_word_files_with_paragraphs_and_tables(tmp_path):
    docx = pytest.importorskip("docx", reason="python-docx (extra docx) is absent")
    content = docx.Document()
    content.add_paragraph("T: How are you?")
    content.add_paragraph("C: Well.")
    grid = content.add_table(rows=2, cols=2)
    for row, cells in zip(grid.rows, [("T", "And: now?"), ("C", "Also.")], strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    content.save(str(tmp_path / "d1_1.docx"))
    assert texts(read_transcripts(tmp_path)) == [("How are you?", "Well."), ("And: now?", "Also.")]


def test_a_missing_docx_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "docx", None)
    (tmp_path / "d1_1.docx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"bayesdyn\[docx\]"):
        read_transcripts(tmp_path)


def test_a_folder_of_texts_takes_ids_from_the_names(tmp_path):
    for name in ("site_1_1.txt", "site_1_2.txt", "b_1.txt"):
        (tmp_path / name).write_text("T: Hello\nC: Hi\nT: So?\nC: Yes\n")
    (tmp_path / ".hidden.md").write_text("passed over")
    exchanges = read_transcripts(tmp_path, ids="{dyad}_{session}", speakers={"T": "therapist", "C": "client"})
    keys = exchanges[["dyad", "session", "t"]].to_numpy().tolist()
    assert keys == [
        ["b", "1", 0], ["b", "1", 1], ["site_1", "1", 0], ["site_1", "1", 1],
        ["site_1", "2", 0], ["site_1", "2", 1],
    ]  # fmt: skip
    assert exchanges.attrs["summary"]["files"] == 3


def test_fields_of_ids_beyond_dyad_and_session_are_covariates(tmp_path):
    (tmp_path / "trial-cbt-d1.txt").write_text("T: Hello\nC: Hi\n")
    exchanges = read_transcripts(tmp_path, ids="trial-{arm}-{dyad}")
    assert exchanges.loc[0, ["dyad", "session", "arm"]].tolist() == ["d1", "1", "cbt"]


def test_tables_in_a_folder_take_ids_from_names_or_from_columns(tmp_path):
    for name in ("a_1.csv", "b_1.csv"):
        write(table().drop(columns=["dyad", "session"]), tmp_path / name)
    assert set(read_transcripts(tmp_path, ids="{dyad}_{session}")["dyad"]) == {"a", "b"}
    with pytest.raises(InputError, match=r"a_1\.csv: column dyad is missing"):
        read_transcripts(tmp_path)


def test_a_given_format_passes_over_other_files_and_counts_them(tmp_path):
    (tmp_path / "a_1.txt").write_text("T: Hello\nC: Hi\n")
    (tmp_path / "notes.md").write_text("not a transcript")
    assert read_transcripts(tmp_path, "text").attrs["summary"]["files_ignored"] == 1


def test_columns_map_our_names_to_theirs_and_keep_covariates(tmp_path):
    frame = (
        table().rename(columns={"dyad": "pair", "text": "words", "speaker": "who"}).drop(columns="session")
    )
    frame["age"] = "41"
    frame["secret"] = "out"
    path = write(frame, tmp_path / "x.csv")
    columns = {"dyad": "pair", "session": None, "speaker": "who", "text": "words", "client_age": "age"}
    exchanges = read_transcripts(path, columns=columns)
    assert texts(exchanges) == WANTED
    assert list(exchanges["session"].unique()) == ["1"]
    assert list(exchanges["client_age"]) == [41.0, 41.0]
    assert "secret" not in exchanges.columns


def test_rows_are_sorted_by_order_and_the_moved_ones_counted(tmp_path):
    frame = table().assign(order=range(11)).drop(columns="time")
    shuffled = frame.iloc[[0, 2, 1, 3, 4, 5, 6, 7, 8, 9, 10]]
    exchanges = read_transcripts(write(shuffled, tmp_path / "x.csv"))
    assert texts(exchanges) == WANTED
    assert exchanges.attrs["summary"]["rows_moved"] == 2


def test_order_goes_before_time_and_without_both_rows_stay_as_they_stand(tmp_path):
    frame = table().assign(order=range(11), time=list(range(11, 0, -1)))
    assert read_transcripts(write(frame, tmp_path / "x.csv")).attrs["summary"]["rows_moved"] == 0
    no_keys = frame.drop(columns=["order", "time"])
    exchanges = read_transcripts(write(no_keys, tmp_path / "y.csv"))
    assert texts(exchanges) == WANTED
    assert "time" not in exchanges.columns


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        (["0:05", "0:09", "1:00:01", "75:10"], [5.0, 3601.0]),
        (["5", "9.5", "3601", "4510"], [5.0, 3601.0]),
        (
            ["2026-01-05T10:00:00", "2026-01-05T10:00:07", "2026-01-05T10:01:00", "2026-01-05T10:02"],
            [0.0, 60.0],
        ),
        (["00:00:05", "", "00:09:025", "00:10:00"], [5.0, 565.0]),
    ],
)
def test_times_are_seconds(tmp_path, times, wanted):
    frame = pd.DataFrame(
        {
            "dyad": "a",
            "session": "1",
            "speaker": ["T", "C", "T", "C"],
            "text": ["Hi", "Ho", "So", "Go"],
            "time": times,
        }
    )
    assert list(read_transcripts(write(frame, tmp_path / "x.csv"))["time"]) == wanted


def test_a_speaker_map_replaces_the_defaults(tmp_path):
    (tmp_path / "a_1.txt").write_text("C: How are you?\nP: Well.\n")
    assert texts(read_transcripts(tmp_path, speakers={"c": "therapist", "p": "client"})) == [
        ("How are you?", "Well.")
    ]


def test_the_sample_study_is_read_whole(root):
    folder = root / "reports" / "sample" / "transcripts"
    speakers = {"T": "therapist", "C": "client"}
    exchanges = read_transcripts(folder, ids="{dyad}_{session}", speakers=speakers)
    summary = exchanges.attrs["summary"]
    assert summary["set_aside"] == {}
    assert summary["dyads"] == 6
    assert exchanges.groupby("dyad")["session"].nunique().between(2, 3).all()
    assert exchanges.groupby(["dyad", "session"]).size().between(12, 20).all()


def test_annomi(shared_data):
    exchanges = read_transcripts(
        shared_data / "annomi" / "annomi.csv", "annomi", columns={"quality": "mi_quality"}
    )
    summary = exchanges.attrs["summary"]
    index = pd.read_csv(shared_data / "annomi" / "transcript_index.csv")
    assert summary["rows_in"] == index["n_utterances"].sum() == 6340
    assert summary["set_aside"] == {"leading_client": 13, "trailing_therapist": 51}
    assert summary["rows_used"] == 6340 - 13 - 51
    rows = pd.read_csv(shared_data / "annomi" / "annomi.csv")
    merged = rows.groupby("transcript_id")["interlocutor"].shift() == rows["interlocutor"]
    assert summary["turns"] == 6340 - merged.sum() == 6318
    assert (summary["dyads"], summary["sessions"]) == (index["dyad_id"].nunique(), 94)
    assert summary["exchanges"] == len(exchanges) == 3127
    assert set(exchanges["quality"]) == {"high", "low"}
    assert exchanges["time"].notna().all()
    assert not {"main_therapist_behaviour", "client_talk_type"} & set(exchanges.columns)


def test_dirty_speaker_cells_are_set_aside_and_counted(shared_data):
    path = shared_data / "physical_activity_counseling" / "dialogs.csv"
    exchanges = read_transcripts(path, columns={"dyad": "dialog_id", "session": None})
    summary = exchanges.attrs["summary"]
    assert summary["rows_in"] == 773
    # The data's own note: 55 blank cells, and motivation2 wrong from row 2 on (labels 3 to 15).
    assert summary["set_aside"]["missing_speaker"] == 55
    assert summary["set_aside"]["third_speaker"] == 13
    assert summary["rows_used"] + sum(summary["set_aside"].values()) == 773
    assert summary["dyads"] == 44


def test_every_format_says_its_suffixes_once():
    suffixes = [suffix for kind in FORMATS.values() for suffix in kind.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert set(FORMATS) == {"csv", "tsv", "jsonl", "parquet", "vtt", "text", "docx"}
