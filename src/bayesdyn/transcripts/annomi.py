"""The AnnoMI layout (Wu et al. 2022): its transcripts, and its experts' codes as human ratings."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.transcripts.formats import read_csv
from bayesdyn.transcripts.utterances import rename

_COLUMNS: dict[str, str | None] = {
    "dyad": "dyad_id", "session": "session", "speaker": "interlocutor", "text": "utterance_text",
    "order": "utterance_id", "time": "timestamp",
}  # fmt: skip


def read_annomi_rows(path: Path, encoding: str, columns: Mapping[str, str | None]) -> pd.DataFrame:
    """Return the utterances of ``annomi.csv`` with dyad and session from ``transcript_index.csv`` beside it.

    Parameters
    ----------
    path
        The file, or the folder that holds it.
    encoding
        Of both files.
    columns
        Covariates to keep, e.g. ``{"quality": "mi_quality"}``; the codes stay out unless asked for.

    Raises
    ------
    InputError
        A file or column is missing, or a transcript has no row in the index.
    """
    file = path / "annomi.csv" if path.is_dir() else path
    index_file = file.with_name("transcript_index.csv")
    for wanted in (file, index_file):
        if not wanted.is_file():
            raise InputError(
                "Cannot read the annomi layout",
                [
                    Fault(
                        "there is no such file",
                        "Keep annomi.csv and transcript_index.csv together",
                        where=str(wanted),
                    )
                ],
            )
    faults = FaultList()
    rows = read_csv(file, encoding, ())
    index = read_csv(index_file, encoding, ())
    for frame, name, needed in (
        (rows, file.name, ["transcript_id"]),
        (index, index_file.name, ["transcript_id", "dyad_id", "session"]),
    ):
        for column in needed:
            if column not in frame.columns:
                faults.add(f"column {column} is missing", "Fetch the data set again", where=name)
    faults.raise_if_any("Cannot read the annomi layout")
    index = index[["transcript_id", "dyad_id", "session"]].drop_duplicates("transcript_id")
    merged = rows.merge(index, on="transcript_id", how="left", validate="many_to_one")
    lacking = merged.loc[merged["dyad_id"].isna(), "transcript_id"].unique()
    if len(lacking):
        faults.add(f"transcripts {', '.join(map(str, lacking[:5]))} have no row in the index",
                   "Add them to transcript_index.csv", where=index_file.name)  # fmt: skip
    renamed = rename(merged, {**_COLUMNS, **columns}, file.name, faults)
    faults.raise_if_any("Cannot read the annomi layout")
    assert renamed is not None
    return renamed
