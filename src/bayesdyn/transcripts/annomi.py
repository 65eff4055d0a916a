"""The AnnoMI layout (Wu et al. 2022): its transcripts, and its experts' codes as human ratings."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.tables import check_ratings
from bayesdyn.transcripts.exchanges import place_rows
from bayesdyn.transcripts.formats import read_csv
from bayesdyn.transcripts.speakers import speaker_roles
from bayesdyn.transcripts.utterances import in_order, prepare, rename

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


def annomi_codes(path: str | Path, encoding: str = "utf-8") -> pd.DataFrame:
    """Return the AnnoMI expert's codes as ratings of the nearest constructs, one per exchange.

    ``annomi.csv`` names one main behaviour per utterance, without subtypes. So ``empathy`` is 1 where an
    utterance of the therapist turn is mainly a reflection, else 0; ``exploration`` is 1 where one is mainly a
    question (open or closed), else 0.

    Parameters
    ----------
    path
        ``annomi.csv``, or the folder that holds it and ``transcript_index.csv``.

    Returns
    -------
    DataFrame
        As :func:`bayesdyn.tables.check_ratings` gives it: rater ``annomi_expert``, scale 0 to 1, with the
        dyad, session and t that ``read_transcripts(path, "annomi")`` gives.

    Raises
    ------
    InputError
        As :func:`read_annomi_rows`.
    """
    rows = _therapist_rows(Path(path), encoding, {"code": "main_therapist_behaviour"})
    return _ratings(
        rows.assign(
            empathy=(rows["code"] == "reflection").astype("float64"),
            exploration=(rows["code"] == "question").astype("float64"),
            rater="annomi_expert",
        ),
        scale_max=1,
    )


def annomi_annotators(path: str | Path, encoding: str = "utf-8") -> pd.DataFrame:
    """Return the codes of AnnoMI's ten annotators as ratings: 7 transcripts, fully crossed, by exchange.

    ``ten_annotator_long.csv`` has subtypes: ``empathy`` is 0 without a reflection, 1 with a simple one, 2
    with a complex one; ``exploration`` is 0 without a question, 1 with a closed one, 2 with an open one. A
    turn of several utterances has the highest of its codes.

    Parameters
    ----------
    path
        The folder that holds ``annomi.csv``, ``transcript_index.csv`` and ``ten_annotator_long.csv``, or one
        of the first and last.

    Returns
    -------
    DataFrame
        As :func:`annomi_codes`, with raters ``annomi_annotator_0`` to ``annomi_annotator_9``, scale 0 to 2.

    Raises
    ------
    InputError
        As :func:`read_annomi_rows`; a missing file, column or code.
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    file = folder / "ten_annotator_long.csv"
    if not file.is_file():
        raise InputError(
            "Cannot read the annomi layout",
            [Fault("there is no such file", "Keep the data set's files together", where=str(file))],
        )
    needed = ["transcript_id", "utterance_id", "annotator_id", "reflection", "question"]
    codes = read_csv(file, encoding, ())
    faults = FaultList()
    for column in needed:
        if column not in codes.columns:
            faults.add(f"column {column} is missing", "Fetch the data set again", where=file.name)
    faults.raise_if_any("Cannot read the annomi layout")
    rows = _therapist_rows(
        folder, encoding, {"transcript_id": "transcript_id", "utterance_id": "utterance_id"}
    )
    for column in ("transcript_id", "utterance_id"):
        codes[column] = pd.to_numeric(codes[column]).astype("int64")
        rows[column] = rows[column].astype("int64")
    coded = rows.merge(codes[needed], on=["transcript_id", "utterance_id"], validate="one_to_many")
    for construct, column in (("empathy", "reflection"), ("exploration", "question")):
        coded[construct] = pd.to_numeric(coded[column], errors="coerce").astype("float64")
        if coded[construct].isna().any():
            faults.add(f"{column} lacks a code in {int(coded[construct].isna().sum())} therapist rows",
                       "Fetch the data set again", where=file.name)  # fmt: skip
    faults.raise_if_any("Cannot read the annomi layout")
    return _ratings(coded.assign(rater="annomi_annotator_" + coded["annotator_id"]), scale_max=2)


def _therapist_rows(path: Path, encoding: str, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the therapist utterances that are part of an exchange, with its key and no text."""
    faults = FaultList()
    raw = read_annomi_rows(path, encoding, columns)
    utterances, _ = in_order(prepare(raw, speaker_roles(None), tuple(columns), faults))
    faults.raise_if_any("Cannot read the annomi layout")
    placed = place_rows(utterances)
    used = (placed["reason"] == "") & (utterances["role"] == "therapist")
    return utterances[used].assign(t=placed.loc[used, "t"])[["dyad", "session", "t", *columns]]


def _ratings(rows: pd.DataFrame, scale_max: int) -> pd.DataFrame:
    key = ["dyad", "session", "t", "rater"]
    turns = rows.groupby(key, as_index=False)[["empathy", "exploration"]].max()
    long = turns.melt(key, var_name="construct", value_name="value")
    return check_ratings(
        long.assign(scale_min=0, scale_max=scale_max, rater_kind="human", method="behaviour code")
    )
