"""One plain function per file format: from a file to its rows, nothing interpreted yet."""

import csv
import html
import io
import json
import re
import zipfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.transcripts.files import read_bytes, read_text
from bayesdyn.transcripts.speakers import split_label

Reader = Callable[[Path, str, Collection[str]], pd.DataFrame]
"""(path, encoding, known speaker labels) to one row per utterance, in file order."""


@dataclass(frozen=True)
class Format:
    """How files of one format are read."""

    read: Reader
    suffixes: tuple[str, ...]
    tabular: bool
    """True where the file's own columns are kept; else its columns are speaker, text and perhaps time."""


def read_csv(path: Path, encoding: str, labels: Collection[str]) -> pd.DataFrame:
    """Read comma-separated values; semicolons where the header has some and no comma."""
    text = read_text(path, encoding)
    header = text.lstrip().split("\n", 1)[0]
    return _delimited(text, path, ";" if ";" in header and "," not in header else ",")


def read_tsv(path: Path, encoding: str, labels: Collection[str]) -> pd.DataFrame:
    """Read tab-separated values."""
    return _delimited(read_text(path, encoding), path, "\t")


def read_jsonl(path: Path, encoding: str, labels: Collection[str]) -> pd.DataFrame:
    """Read one JSON object per line; blank lines are passed over."""
    faults = FaultList()
    rows = []
    for number, line in enumerate(read_text(path, encoding).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            faults.add(f"no JSON from column {error.colno} on", "Write one object per line",
                       where=f"{path.name}, line {number}")  # fmt: skip
            continue
        if isinstance(row, dict):
            rows.append(row)
        else:
            faults.add("no JSON object", "Write one object per line", where=f"{path.name}, line {number}")
    faults.raise_if_any("Cannot read transcripts")
    return pd.DataFrame(rows)


def read_parquet(path: Path, encoding: str, labels: Collection[str]) -> pd.DataFrame:
    """Read a Parquet table (its text is always UTF-8)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_bytes(path)
    if not data:
        raise _unreadable(path, "the file is empty", "Take it out, or fill it")
    try:
        return pq.read_table(io.BytesIO(data)).to_pandas(ignore_metadata=True)
    except (pa.ArrowInvalid, OSError):
        raise _unreadable(path, "it is no Parquet file, or a damaged one", "Write it again") from None


def read_plain(path: Path, encoding: str, labels: Collection[str]) -> pd.DataFrame:
    """Read ``Speaker: text`` lines; a line without a label goes on with the utterance above it."""
    return _utterances((None, line) for line in read_text(path, encoding).splitlines())(labels)


def read_vtt(path: Path, encoding: str, labels: Collection[str]) -> pd.DataFrame:
    """Read WebVTT: a row per voice span (``<v Name>``) or ``Speaker: text`` of a cue; time from the cue."""
    text = read_text(path, encoding).replace("\r\n", "\n").replace("\r", "\n")
    if not re.match(r"WEBVTT(?:[ \t\n]|$)", text):
        raise _unreadable(path, "its first line is not WEBVTT", 'Give format="text" if it is plain text')
    faults = FaultList()
    rows: list[dict[str, object]] = []
    for number, block in _blocks(text):
        timing = next((index for index, line in enumerate(block[:2]) if "-->" in line), None)
        if timing is None:
            if number > 1 and not re.match(r"NOTE|STYLE|REGION", block[0]):
                faults.add("a block without a timing line (-->)", "Add its start and end, or make it a NOTE",
                           where=f"{path.name}, line {number}")  # fmt: skip
            continue
        start = _CUE_TIME.match(block[timing])
        if start is None:
            faults.add("a timing line that is not start --> end", "Write it like 00:01.000 --> 00:04.000",
                       where=f"{path.name}, line {number + timing}")  # fmt: skip
            continue
        hours, minutes, seconds = start.groups()
        time = 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
        rows.extend({**row, "time": time} for row in _cue(block[timing + 1 :], labels))
    faults.raise_if_any("Cannot read transcripts")
    return pd.DataFrame(rows, columns=["speaker", "text", "time"])


def read_docx(path: Path, encoding: str, labels: Collection[str]) -> pd.DataFrame:
    """Read a Word file: paragraphs as lines of text, table rows as speaker and text cells."""
    try:
        import docx
        from docx.table import Table
    except ModuleNotFoundError:
        raise _unreadable(
            path, "reading Word files needs python-docx", "Install bayesdyn[docx], or save them as text"
        ) from None
    data = read_bytes(path)
    if not data:
        raise _unreadable(path, "the file is empty", "Take it out, or fill it")
    try:
        content = docx.Document(io.BytesIO(data))
    except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError):  # SyntaxError: lxml's, of broken XML
        raise _unreadable(path, "it is no Word file (.docx), or a damaged one", "Save it again") from None
    lines: list[tuple[str | None, str]] = []
    for item in content.iter_inner_content():
        if not isinstance(item, Table):
            lines.extend((None, line) for line in item.text.splitlines())
            continue
        for row in item.rows:
            cells = [cell.text.strip() for cell in row.cells]
            lines.append((cells[0], " ".join(cells[1:])) if len(cells) > 1 else (None, cells[0]))
    if not any((label or "") + line.strip() for label, line in lines):
        raise _unreadable(path, "the file is empty", "Take it out, or fill it")
    return _utterances(lines)(labels)


FORMATS: dict[str, Format] = {
    "csv": Format(read_csv, (".csv",), tabular=True),
    "tsv": Format(read_tsv, (".tsv", ".tab"), tabular=True),
    "jsonl": Format(read_jsonl, (".jsonl", ".ndjson"), tabular=True),
    "parquet": Format(read_parquet, (".parquet", ".pq"), tabular=True),
    "vtt": Format(read_vtt, (".vtt",), tabular=False),
    "text": Format(read_plain, (".txt", ".text"), tabular=False),
    "docx": Format(read_docx, (".docx",), tabular=False),
}

_CUE_TIME = re.compile(r"\s*(?:(\d+):)?(\d{2}):(\d{2}\.\d{3})\s+-->\s+(?:\d+:)?\d{2}:\d{2}\.\d{3}(?:\s|$)")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]*)>")
_TAG = re.compile(r"<[^>]*>")


def _delimited(text: str, path: Path, delimiter: str) -> pd.DataFrame:
    # The csv module and not pandas: a transcript's "None" or "n/a" is speech, and every ragged row is told.
    faults = FaultList()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    header: list[str] = []
    try:
        header = [name.strip() for name in next(row for row in reader if any(row))]
        for row in reader:
            if len(row) == len(header):
                rows.append(row)
            elif row:
                faults.add(f"{len(row)} fields where the header has {len(header)}",
                           "Quote fields that hold the delimiter",
                           where=f"{path.name}, line {reader.line_num}")  # fmt: skip
    except csv.Error as error:
        faults.add(f"the table breaks off ({error})", "Look for a quote that is never closed",
                   where=f"{path.name}, line {reader.line_num}")  # fmt: skip
    twice = sum(header.count(name) > 1 for name in set(header))
    if twice:
        faults.add(f"{twice} column name{'s stand' if twice > 1 else ' stands'} twice in the header",
                   "Name each column once", where=path.name)  # fmt: skip
    faults.raise_if_any("Cannot read transcripts")
    return pd.DataFrame(rows, columns=header, dtype=str)


def _utterances(lines: Iterable[tuple[str | None, str]]) -> Callable[[Collection[str]], pd.DataFrame]:
    """Rows of labelled lines: (label, text) where the label is known already, else (None, line)."""

    def rows_of(labels: Collection[str]) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        for given, line in lines:
            label, text, clock = (
                (given, line.strip(), None) if given is not None else split_label(line, labels)
            )
            if not text and label is None:
                continue
            if label is None and clock is None and rows:
                rows[-1]["text"] = f"{rows[-1]['text']} {text}".strip()
            else:
                rows.append({"speaker": label or "", "text": text, "time": clock or ""})
        frame = pd.DataFrame(rows, columns=["speaker", "text", "time"])
        return frame if (frame["time"] != "").any() else frame.drop(columns="time")

    return rows_of


def _blocks(text: str) -> list[tuple[int, list[str]]]:
    """Return blocks of non-blank lines, each with the number of its first line."""
    blocks: list[tuple[int, list[str]]] = []
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            inside = False
        elif inside:
            blocks[-1][1].append(line)
        else:
            blocks.append((number, [line]))
            inside = True
    return blocks


def _cue(lines: list[str], labels: Collection[str]) -> list[dict[str, object]]:
    payload = "\n".join(lines)
    spans = _VOICE.split(payload)
    rows: list[dict[str, object]] = []
    frame = _utterances((None, html.unescape(_TAG.sub("", line))) for line in spans[0].split("\n"))(labels)
    rows.extend({"speaker": row.speaker, "text": row.text} for row in frame.itertuples())
    for name, said in zip(spans[1::2], spans[2::2], strict=True):
        text = " ".join(html.unescape(_TAG.sub("", said)).split())
        rows.append({"speaker": html.unescape(name).strip(), "text": text})
    return rows or [{"speaker": "", "text": ""}]


def _unreadable(path: Path, what: str, remedy: str) -> InputError:
    return InputError("Cannot read transcripts", [Fault(what, remedy, where=path.name)])
