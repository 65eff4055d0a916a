"""Bad input to read_transcripts: one error, all faults, a remedy each, and never a word of a transcript."""

import pandas as pd
import pytest

from bayesdyn import read_transcripts
from bayesdyn.errors import InputError

SECRET = "zebrafinch"  # stands in every transcript here; no error may carry it
GOOD = f"T: Hello {SECRET}\nC: Hi {SECRET}\n"


def fails(path, *args, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_transcripts(path, *args, **options)
    message = str(caught.value)
    assert SECRET not in message.lower()
    assert all(fault.remedy for fault in caught.value.faults)
    return message


def table(**changes) -> pd.DataFrame:
    base = {
        "dyad": "a", "session": "1", "speaker": ["T", "C", "T", "C"],
        "text": [f"{SECRET} {i}" for i in range(4)],
    }  # fmt: skip
    return pd.DataFrame({**base, **changes})


def csv(tmp_path, frame):
    frame.to_csv(tmp_path / "x.csv", index=False)
    return tmp_path / "x.csv"


def test_missing_columns_come_together_with_the_nearest_name(tmp_path):
    frame = table().rename(columns={"speaker": "speakers", "text": "utterance", "dyad": "pair"})
    message = fails(csv(tmp_path, frame), columns={"time": "clock"})
    for name in ("dyad", "speaker", "text", "clock"):
        assert f"column {name} is missing" in message
    assert "Did you mean 'speakers'?" in message


def test_a_header_that_is_speech_is_not_shown(tmp_path):
    (tmp_path / "x.csv").write_text(f"T,I dream of a {SECRET} at night\nC,Yes\n")
    assert "not shown" in fails(tmp_path / "x.csv")


def test_missing_ids_are_told_by_row(tmp_path):
    message = fails(csv(tmp_path, table(dyad=["a", "", "a", " "])))
    assert "x.csv: dyad is missing in rows 2, 4" in message


def test_an_order_given_twice(tmp_path):
    message = fails(csv(tmp_path, table(order=[1, 2, 2, 3])))
    assert "dyad a, session 1: 2 rows share an order with another (rows 2, 3)" in message


def test_order_and_time_that_are_none(tmp_path):
    message = fails(csv(tmp_path, table(order=[1, "b", 3, 4], time=["0:01", "0:02", f"{SECRET}", "0:99"])))
    assert "order is no number in row 2" in message
    assert "time is no time, or of another kind than the other rows in rows 3, 4" in message


def test_the_wrong_encoding_names_file_offset_and_what_to_try(tmp_path):
    (tmp_path / "a_1.txt").write_text(GOOD)
    (tmp_path / "a_2.txt").write_bytes("T: Grüß\nC: Hi\n".encode("cp1252"))
    (tmp_path / "a_3.txt").write_bytes(GOOD.encode("utf-16"))
    (tmp_path / "a_4.txt").write_bytes(GOOD.encode("utf-16-le"))
    (tmp_path / "a_5.txt").write_text("")
    message = fails(tmp_path)
    assert 'a_2.txt: byte 5 is not utf-8. Try encoding="cp1252"' in message
    assert 'a_3.txt: byte 0 is not utf-8. Try encoding="utf-16"' in message
    assert 'a_4.txt: byte 1 is a zero byte, so it is not utf-8 text. Try encoding="utf-16-le"' in message
    assert "a_5.txt: the file is empty" in message
    assert "a_1.txt" not in message


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le"])
def test_the_suggested_encoding_reads_the_file(tmp_path, encoding):
    (tmp_path / "a_1.txt").write_bytes("T: Grüß Gott\nC: Servus\n".encode(encoding))
    assert f'encoding="{encoding}"' in fails(tmp_path)
    assert read_transcripts(tmp_path, encoding=encoding)["therapist_text"].tolist() == ["Grüß Gott"]


def test_an_unknown_encoding(tmp_path):
    (tmp_path / "a_1.txt").write_text(GOOD)
    assert "Python knows no encoding 'utf-88'" in fails(tmp_path, encoding="utf-88")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "vtt", "txt", "docx"])
def test_an_empty_file(tmp_path, suffix):
    (tmp_path / f"a_1.{suffix}").write_bytes(b"")
    message = fails(tmp_path)
    assert f"a_1.{suffix}" in message


def test_a_header_without_rows(tmp_path):
    (tmp_path / "x.csv").write_text("dyad,session,speaker,text\n")
    assert "x.csv: the file has no rows" in fails(tmp_path / "x.csv")


@pytest.mark.parametrize(("label", "heard"), [("T", "only the therapist"), ("C", "only the client")])
def test_one_speaker_only(tmp_path, label, heard):
    message = fails(csv(tmp_path, table(speaker=label)))
    assert f"dyad a, session 1 has {heard} (4 rows)" in message


def test_third_labels_are_named_where_they_cannot_be_speech(tmp_path):
    message = fails(csv(tmp_path, table(speaker=["Barbara", "Kim", "Barbara", "Kim"])))
    assert "third speakers: barbara, kim" in message
    message = fails(csv(tmp_path, table(speaker=[f"{SECRET} one", "two", "three", "four"])))
    assert "third speakers" not in message


def test_one_speaker_sessions_are_set_aside_on_request(tmp_path):
    frame = pd.concat([table(), table(session="2", speaker="C"), table(session="3", speaker="T")])
    message = fails(csv(tmp_path, frame))
    assert "session 2 has only the client" in message
    assert "session 3 has only the therapist" in message
    summary = read_transcripts(tmp_path / "x.csv", one_speaker="set_aside").attrs["summary"]
    assert summary["set_aside"] == {"one_speaker": 8}
    assert (summary["sessions"], summary["sessions_without_exchange"]) == (1, 2)


def test_nothing_but_client_before_therapist(tmp_path):
    message = fails(csv(tmp_path, table(speaker=["C", "C", "T", "T"])))
    assert "no therapist turn is followed by a client turn in 4 rows" in message


def test_all_names_that_do_not_match_come_together(tmp_path):
    for name in ("a_1.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(GOOD)
    message = fails(tmp_path, ids="{dyad}_{session}")
    assert "b.txt: the name does not match" in message
    assert "c.txt: the name does not match" in message
    assert "a_1.txt" not in message


def test_two_files_of_one_session(tmp_path):
    (tmp_path / "a_1.txt").write_text(GOOD)
    (tmp_path / "a_1.text").write_text(GOOD)
    assert "dyad a, session 1 is also a_1.text" in fails(tmp_path)


def test_mixed_formats_and_unknown_suffixes(tmp_path):
    (tmp_path / "a_1.txt").write_text(GOOD)
    (tmp_path / "a_2.vtt").write_text("WEBVTT\n")
    (tmp_path / "plan.pdf").write_bytes(b"%PDF")
    message = fails(tmp_path)
    assert "plan.pdf: suffix '.pdf' means no transcript format" in message
    assert "mixed formats: 1 text (as a_1.txt), 1 vtt (as a_2.vtt)" in message


def test_paths_that_cannot_be_read(tmp_path, monkeypatch):
    assert "there is no such file or folder" in fails(tmp_path / "nowhere")
    (tmp_path / "inner").mkdir()
    assert "it holds no transcript files (but 1 subfolder)" in fails(tmp_path)
    (tmp_path / "a_1.txt").write_text(GOOD)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", refuse)
        assert "a_1.txt: Permission denied" in fails(tmp_path / "a_1.txt")
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.iterdir", refuse)
        assert "Cannot read the folder" in fails(tmp_path)


def test_ragged_and_unclosed_tables_name_the_line(tmp_path):
    (tmp_path / "a.csv").write_text(f"dyad,session,speaker,text\na,1,T,Hello, {SECRET}\na,1,C,Hi\na,1,T\n")
    message = fails(tmp_path / "a.csv")
    assert "a.csv, line 2: 5 fields where the header has 4" in message
    assert "a.csv, line 4: 3 fields where the header has 4" in message
    (tmp_path / "b.csv").write_text(f'dyad,session,speaker,text\na,1,T,"Hello {SECRET}\na,1,C,Hi\n')
    assert "the table breaks off" in fails(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text(f"dyad,session,text,text\na,1,T,{SECRET}\n")
    assert "1 column name stands twice" in fails(tmp_path / "c.csv")


def test_lines_that_are_no_json(tmp_path):
    (tmp_path / "x.jsonl").write_text(f'{{"dyad": "a"}}\n{{"text": {SECRET}}}\n["{SECRET}"]\n')
    message = fails(tmp_path / "x.jsonl")
    assert "x.jsonl, line 2: no JSON from column 10 on" in message
    assert "x.jsonl, line 3: no JSON object" in message


def test_damaged_parquet_word_and_webvtt(tmp_path):
    for name in ("a_1.parquet", "a_1.docx", "a_1.vtt"):
        (tmp_path / name).write_text(f"PK{SECRET}" * 20)
    assert "no Parquet file" in fails(tmp_path / "a_1.parquet")
    assert "no Word file" in fails(tmp_path / "a_1.docx")
    assert "first line is not WEBVTT" in fails(tmp_path / "a_1.vtt")
    (tmp_path / "a_1.vtt").write_text(f"WEBVTT\n\n0:1 --> x\nT: {SECRET}\n\nC: {SECRET}\n")
    message = fails(tmp_path / "a_1.vtt")
    assert "a_1.vtt, line 3: a timing line that is not start --> end" in message
    assert "a_1.vtt, line 6: a block without a timing line" in message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "pdf"}, "format 'pdf' is unknown"),
        ({"one_speaker": "drop"}, "one_speaker 'drop' is unknown"),
        ({"ids": "{session}"}, "has no field {dyad}"),
        ({"ids": "{dyad}{dyad}"}, "names {dyad} 2 times"),
        ({"ids": "{dyad}_{text}"}, "has the field {text}"),
        ({"ids": "{dyad}_{}"}, "has the field {}"),
        ({"columns": {"t": "row"}}, "a name this reading gives itself"),
        ({"columns": {"text": None}}, "Only session may be None"),
        ({"speakers": {"T": "therapist"}}, "speakers names no client"),
        ({"speakers": {"T": "helper", "C": "client"}}, "speakers maps 'T' to 'helper'"),
        ({"speakers": {"T": "therapist", "t ": "client"}}, "two roles"),
        ({"ids": "{dyad}", "columns": {"dyad": "pair"}}, "dyad from both ids and columns"),
    ],
)
def test_options_that_cannot_be_used(tmp_path, options, said):
    (tmp_path / "a_1.txt").write_text(GOOD)
    assert said in fails(tmp_path / "a_1.txt", **options)


def test_annomi_without_its_index(tmp_path):
    (tmp_path / "annomi.csv").write_text("transcript_id\n1\n")
    assert "transcript_index.csv: there is no such file" in fails(tmp_path, "annomi")
    (tmp_path / "transcript_index.csv").write_text("transcript_id,dyad_id,session\n2,d2,1\n")
    assert "transcripts 1 have no row in the index" in fails(tmp_path, "annomi")
    assert "its own ids" in fails(tmp_path, "annomi", ids="{dyad}")
