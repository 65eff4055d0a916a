"""Read transcripts of any common form and form exchanges: the one door of this stage."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import pandas as pd

from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.tables import check_exchanges
from bayesdyn.transcripts.annomi import read_annomi_rows
from bayesdyn.transcripts.exchanges import form_exchanges, place_rows, summarise
from bayesdyn.transcripts.files import IdPattern, find_files, match_ids
from bayesdyn.transcripts.formats import FORMATS
from bayesdyn.transcripts.speakers import shown_names, speaker_roles
from bayesdyn.transcripts.utterances import NAMES, check_columns, in_order, prepare, rename

DEFAULT_IDS = "{dyad}_{session}"
_TITLE = "These transcripts cannot be used"


def read_transcripts(
    path: str | Path,
    format: str = "auto",
    *,
    columns: Mapping[str, str | None] | None = None,
    ids: str | None = None,
    speakers: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    one_speaker: Literal["raise", "set_aside"] = "raise",
) -> pd.DataFrame:
    """Read a file or a folder of transcripts and return its exchanges.

    Utterances of one speaker in a row are merged into a turn; an exchange is a therapist turn and the client
    turn that follows. A row that cannot be used is set aside for one reason and counted: ``missing_speaker``,
    ``third_speaker``, ``empty``, ``silence``, ``one_speaker``, ``leading_client``, ``trailing_therapist``.
    A row set aside does not break a turn.

    Parameters
    ----------
    path
        A file, or a folder of files of one format (subfolders and hidden files are passed over).
    format
        ``csv``, ``tsv``, ``jsonl``, ``parquet``, ``vtt``, ``text`` ("Speaker: text"; a line without a label
        goes on with the utterance above), ``docx`` (extra ``docx``), ``annomi`` (the AnnoMI layout, its
        ``transcript_index.csv`` beside it), or ``auto``: from the suffix.
    columns
        Our name to the file's: ``dyad``, ``session``, ``speaker``, ``text``, ``order``, ``time``; any further
        name is a covariate to keep. A name left out is looked for as it is (order and time are optional).
        ``{"session": None}`` says that each dyad has one session.
    ids
        Pattern of the file names' stems, e.g. ``"{dyad}_{session}"`` (the default for vtt, text and docx);
        with it a table needs no dyad and session columns. Without ``{session}``, the session is ``1``.
        Further fields become covariates.
    speakers
        Label to ``therapist``, ``client`` or ``other``, case does not count. Replaces the default, which
        knows therapist, T, Th, counselor, counsellor, clinician, psychologist, psychotherapist; client, C,
        Cl, patient, P, Pt. Any other label is a third speaker.
    encoding
        Of the text files.
    one_speaker
        A session in which only one of the two speaks: ``raise``, or ``set_aside`` its rows.

    Returns
    -------
    DataFrame
        As :func:`bayesdyn.tables.check_exchanges` gives it: dyad, session, t, therapist_text, client_text,
        ``time`` (seconds, of the exchange's first utterance) where given, covariates (of the same utterance).
        ``attrs["summary"]`` counts rows_in, rows_used, set_aside (by reason), turns, exchanges, dyads,
        sessions, sessions_without_exchange, rows_moved (by sorting within their session on order, else on
        time), files, files_ignored; rows_in = rows_used + the sum of set_aside.

    Raises
    ------
    InputError
        With all faults of all files: unreadable or empty files, another encoding, mixed formats, names that
        do not match ``ids``, missing columns or ids, one order twice in a session, one speaker only.
    """
    check_options(format, one_speaker)
    mapping = check_columns(columns)
    roles = speaker_roles(speakers)
    if format == "annomi":
        if ids is not None:
            raise InputError(_TITLE, [Fault("the annomi layout has its own ids", "Leave ids out")])
        rows = read_annomi_rows(Path(path), encoding, mapping)
        raw, counts = rows, {"files": 1, "files_ignored": 0}
    else:
        raw, counts = _read_files(Path(path), format, mapping, ids, encoding, roles)
    covariates = tuple(name for name in raw.columns if name not in (*NAMES, "source", "row"))
    faults = FaultList()
    utterances = prepare(raw, roles, covariates, faults)
    faults.raise_if_any(_TITLE)
    utterances, moved = in_order(utterances)
    placed = place_rows(utterances)
    if one_speaker == "raise":
        _check_speakers(utterances, placed, faults)
    summary = {**summarise(utterances, placed), "rows_moved": moved, **counts}
    if not faults.faults and summary["exchanges"] == 0:
        faults.add(f"no therapist turn is followed by a client turn in {summary['rows_in']} rows",
                   "Check speakers= and the order of the rows")  # fmt: skip
    faults.raise_if_any(_TITLE)
    exchanges = check_exchanges(form_exchanges(utterances, placed, covariates))
    exchanges.attrs["summary"] = summary
    return exchanges


def check_options(format: str, one_speaker: str) -> None:
    """Check the options that are names, or raise InputError with what they may be."""
    faults = FaultList()
    known = ["auto", *FORMATS, "annomi"]
    if format not in known:
        faults.add(f"format {format!r} is unknown", f"Give one of {', '.join(known)}")
    if one_speaker not in ("raise", "set_aside"):
        faults.add(f"one_speaker {one_speaker!r} is unknown", 'Give "raise" or "set_aside"')
    faults.raise_if_any(_TITLE)


def _read_files(
    path: Path,
    format: str,
    columns: Mapping[str, str | None],
    ids: str | None,
    encoding: str,
    labels: Collection[str],
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return all rows under our names, and the file counts."""
    files = find_files(path, format, {name: kind.suffixes for name, kind in FORMATS.items()})
    kind = FORMATS[files.format]
    pattern = IdPattern(ids) if ids is not None else None if kind.tabular else IdPattern(DEFAULT_IDS)
    from_names = pattern.fields if pattern else ()
    twice = [name for name in ("session", *from_names) if pattern and columns.get(name) is not None]
    if twice:
        raise InputError(
            _TITLE, [Fault(f"{', '.join(dict.fromkeys(twice))} from both ids and columns", "Drop one")]
        )
    faults = FaultList()
    try:
        names = match_ids(files.paths, pattern) if pattern else {}
    except InputError as error:
        faults.faults.extend(error.faults)
        names = {}
    frames = []
    for file in files.paths:
        try:
            frame = kind.read(file, encoding, labels)
        except InputError as error:
            faults.faults.extend(error.faults)
            continue
        if frame.empty:
            faults.add("the file has no rows", "Take it out, or fill it", where=file.name)
            continue
        given = names.get(file) or ({"dyad": "-", "session": "-"} if pattern else {})
        wanted = {name: source for name, source in columns.items() if name not in given}
        renamed = rename(
            frame.assign(**given), {**wanted, **{name: name for name in given}}, file.name, faults
        )
        if renamed is not None:
            frames.append(renamed)
    faults.raise_if_any(_TITLE)
    return pd.concat(frames, ignore_index=True), {"files": len(frames), "files_ignored": files.ignored}


def _check_speakers(utterances: pd.DataFrame, placed: pd.DataFrame, faults: FaultList) -> None:
    """Note each session in which not both speak."""
    session = placed["session_index"]
    lone = placed["reason"].isin(_LONE).groupby(session).transform("all")
    for _, rows in utterances[lone].groupby(session[lone], sort=False):
        heard = [role for role in ("therapist", "client") if (rows["role"] == role).any()]
        labels = rows.loc[rows["role"] == "other", "label"].value_counts()
        repeated = [label for label, count in labels.items() if count > 1] if len(labels) <= 12 else []
        unknown = f"; third speakers: {shown_names(repeated)}" if repeated else ""
        faults.add(
            f"dyad {rows['dyad'].iloc[0]}, session {rows['session'].iloc[0]} has "
            f"{'only the ' + heard[0] if len(heard) == 1 else 'no exchange of speech'} "
            f"({len(rows)} rows{unknown})",
            'Name the labels in speakers=, mend the file, or give one_speaker="set_aside"',
            where=str(rows["source"].iloc[0]),
        )


_LONE = ("missing_speaker", "third_speaker", "empty", "silence", "one_speaker")
