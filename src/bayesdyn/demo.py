"""The demonstration: the sample study laid out and run, and one session rated anew beside it."""

from dataclasses import dataclass
from pathlib import Path

from bayesdyn.errors import BayesdynError, Fault, InputError
from bayesdyn.presets import content_dir
from bayesdyn.ratings.ledgers.files import copy_ledger
from bayesdyn.ratings.rate import rate
from bayesdyn.ratings.results import read_ledger
from bayesdyn.ratings.servers.weights import fetch_weights
from bayesdyn.study.file import load_study
from bayesdyn.study.layout import init_sample
from bayesdyn.study.parts import Parts, load_parts
from bayesdyn.study.run import StudyRun, run_study
from bayesdyn.transcripts.read import read_transcripts

RATER = "smollm2"
"""The rater that is asked anew: its weights are small enough to fetch."""

LIVE_LEDGER = "live.sqlite"
REDONE_LEDGER = "redone.sqlite"


@dataclass(frozen=True)
class Repeat:
    """One session rated again: how far the answers lie from the shipped ones, in scale points."""

    dyad: str
    session: str
    ratings: int
    mean_difference: float
    largest_difference: float


def run_demo(out: str | Path, *, live: bool = False, progress: bool = True) -> StudyRun:
    """Lay the sample study out in a folder, or go on with it there, and run it.

    Parameters
    ----------
    out
        The folder; a demonstration that is there already is run again, reusing what has not changed.
    live
        Rate everything anew with the smallest embedded rater; the other rater's shipped ratings are kept.
    progress
        Tell each stage on stderr.

    Raises
    ------
    InputError
        If the folder holds another study or cannot be written; with ``live``, if the weights are nowhere.
    """
    folder = Path(out)
    if not _is_demo(folder):
        init_sample(folder)
    ledger = None
    if live:
        fetch_weights(RATER, progress=progress)
        ledger = folder / REDONE_LEDGER
        if not ledger.is_file():
            copy_ledger(folder / "ratings.sqlite", ledger, without=RATER)
    return run_study(folder / "study.toml", folder, ledger=ledger, progress=progress)


def repeat_session(folder: str | Path, *, progress: bool = True) -> Repeat:
    """Rate the first session of a laid-out demonstration live, into a ledger of its own, and compare.

    The study is not changed: this is a check that the shipped ratings can be made again.

    Parameters
    ----------
    folder
        From :func:`run_demo`.
    progress
        Show progress on stderr.

    Raises
    ------
    InputError, EndpointError
        If the weights or the runtime are neither here nor to be had.
    """
    parts = _parts(Path(folder))
    fetch_weights(RATER, progress=progress)
    given = parts.file.transcripts
    exchanges = read_transcripts(parts.transcripts, given.format, ids=given.ids)
    first = exchanges.iloc[0]
    one = exchanges[(exchanges["dyad"] == first["dyad"]) & (exchanges["session"] == first["session"])]
    live = rate(
        one, parts.codebook, parts.panel, Path(folder) / LIVE_LEDGER, raters=[RATER], progress=progress
    )
    shipped = read_ledger(parts.ledger, one, parts.codebook, parts.panel, raters=[RATER])
    difference = (live["value"] - shipped["value"]).abs().dropna()
    if difference.empty:
        raise InputError("Nothing to compare", [Fault(f"the shipped ledger has no ratings by {RATER}")])
    return Repeat(
        str(first["dyad"]),
        str(first["session"]),
        len(difference),
        float(difference.mean()),
        float(difference.max()),
    )


def repeat_says(folder: str | Path, *, progress: bool = True) -> str:
    """Return one line on the repeated session, or on why there is none; the demonstration goes on."""
    try:
        found = repeat_session(folder, progress=progress)
    except BayesdynError as error:
        faults = getattr(error, "faults", ())
        why = "; ".join(
            f"{fault.where + ': ' if fault.where else ''}{fault.what}" for fault in faults
        ) or str(error)
        return f"No session was rated live ({why}). The study does not need it: its ratings ship with it."
    return (
        f"{RATER} rated session {found.dyad} {found.session} again, live: {found.ratings} ratings, mean "
        f"absolute difference from the shipped ones {found.mean_difference:.3f} scale points (largest "
        f"{found.largest_difference:.3f}). The study uses the shipped ones."
    )


def _is_demo(folder: Path) -> bool:
    """Whether the folder holds the sample study; another study is not touched."""
    study = folder / "study.toml"
    if not study.is_file():
        return False
    shipped = content_dir("reports") / "sample" / "study.toml"
    if study.read_bytes() != shipped.read_bytes():
        raise InputError(
            f"Cannot use {folder}",
            [
                Fault(
                    "it holds another study, or an edited one",
                    f"Choose another folder, or: bayesdyn run {study}",
                )
            ],
        )
    return True


def _parts(folder: Path) -> Parts:
    return load_parts(load_study(folder), folder.resolve())
