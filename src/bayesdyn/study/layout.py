"""Lay out a new study: the folders that a researcher edits, and its study file."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.presets import content_dir
from bayesdyn.study.manifest import check_writable

_STUDY = """\
# A study: `bayesdyn run {file}` takes it from transcripts to a report. Paths count from this folder.
# Settings that are left out have the defaults of the functions of the same name.

[study]
name = "{name}"
random_seed = 1

[transcripts]
path = "{transcripts}"          # a file, or a folder of files of one format
format = "auto"                 # csv, tsv, jsonl, parquet, vtt, text, docx, annomi; auto: from the suffix
ids = "{{dyad}}_{{session}}"        # what the file names say; drop it for a table with these columns
# speakers = {{T = "therapist", C = "client"}}   # the labels in your files, if not the usual ones
# columns = {{speaker = "who", text = "utterance"}}   # our names to yours, for tables

[ratings]
codebook = "chen2026"           # scoring/chen2026.yaml: what is rated, and how
panel = "local"                 # scoring/panels/local.yaml: who rates
ledger = "ratings.sqlite"       # every answer; what it has is not asked again
allow_remote = false            # whether passages may leave this machine

# [human]                       # ratings of human coders of some of the exchanges
# path = "coders.csv"
# columns = {{dyad = "client_id", value = "score"}}

[fit]
model = "chen2026"              # models/chen2026.toml: paths, priors, claims
measurement = "known"
draws = 1000
tune = 1000
chains = 4

[sensitivity]
kinds = ["reliability"]

[report]
out = "reports"                 # report.html and every artefact
"""

_REPORTS = """\
# Reports

`bayesdyn run study.toml` writes here: `report.html`, and the artefact of each stage, with `manifest.json`,
which says what each was made from. `exchanges.parquet` holds the transcripts' text: guard it as
you guard them.
"""


def init_study(folder: str | Path, *, transcripts: str | Path | None = None) -> Path:
    """Lay out a new study and return its study file.

    ``models/`` and ``scoring/`` are copies of the presets, to be edited; ``reports/`` is where results go.

    Parameters
    ----------
    folder
        Made where it is not there.
    transcripts
        Your transcripts, which stay where they are; None: a folder ``transcripts`` in the study.

    Raises
    ------
    InputError
        If a file that would be written is there already, the folder cannot be written, or there are no
        such transcripts.
    """
    target = Path(folder)
    place = "transcripts"
    if transcripts is not None:
        source = Path(transcripts).resolve()
        if not source.exists():
            raise InputError(
                "Cannot lay out a study", [Fault(f"there is no {transcripts}", "Check --transcripts")]
            )
        inside = source.is_relative_to(target.resolve())
        place = source.relative_to(target.resolve()).as_posix() if inside else source.as_posix()
    name = (
        "".join(sign if sign.isalnum() or sign in "_.-" else "-" for sign in target.resolve().name) or "study"
    )
    name = name if name.isascii() else "study"
    text = _STUDY.format(name=name, transcripts=_quoted(place), file=(target / "study.toml").as_posix())
    written = {"reports/README.md": _REPORTS, "study.toml": text}
    lay_out(target, dict(_presets()), written)
    if transcripts is None:
        (target / "transcripts").mkdir(exist_ok=True)
    return target / "study.toml"


def init_sample(folder: str | Path) -> Path:
    """Lay out a copy of the sample study, with its transcripts and its ledger, and return its study file."""
    target = Path(folder)
    sample = content_dir("reports") / "sample"
    own = {"study.toml", "README.md", "ratings.sqlite", "transcripts"}
    copied = {
        name: file for name, file in _below(sample) if name.split("/")[0] in own and name != "study.toml"
    }
    study = (sample / "study.toml").read_text(encoding="utf-8")
    lay_out(target, {**dict(_presets()), **copied}, {"study.toml": study})
    return target / "study.toml"


def lay_out(target: Path, copied: Mapping[str, Path], written: Mapping[str, str]) -> None:
    """Copy and write files into a folder; the study file comes last, so that a half-made study has none.

    Raises
    ------
    InputError
        Naming every file that is there already with another content, or if there is a study already.
    """
    faults = FaultList()
    if (target / "study.toml").exists():
        faults.add(
            f"there is a study in {target} already", "Choose another folder, or run it: bayesdyn run DIR"
        )
    for name, source in copied.items():
        there = target / name
        if there.exists() and (not there.is_file() or there.read_bytes() != source.read_bytes()):
            faults.add(f"{there} is there already and differs", "Choose another folder, or move it away")
    for name, text in written.items():
        there = target / name
        if name != "study.toml" and there.exists() and there.read_text(encoding="utf-8") != text:
            faults.add(f"{there} is there already and differs", "Choose another folder, or move it away")
    faults.raise_if_any("Nothing was written: a study is never overwritten")
    check_writable(target)
    for name, source in copied.items():
        there = target / name
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, there)
    for name, text in sorted(written.items(), key=lambda item: item[0] == "study.toml"):
        there = target / name
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text, encoding="utf-8")


def _presets() -> Iterator[tuple[str, Path]]:
    for folder in ("models", "scoring"):
        for name, file in _below(content_dir(folder)):
            yield f"{folder}/{name}", file


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and "__pycache__" not in name and not name.startswith("."):
            yield name, file


def _quoted(text: str) -> str:
    """Return text fit to stand between the double quotes of a TOML string."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
