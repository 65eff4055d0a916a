"""What a study file names, found and loaded: every fault of every part is told at once, before any work."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bayesdyn.artefacts import sha256_file
from bayesdyn.errors import FaultList, FaultsError, InputError
from bayesdyn.presets import preset_names, resolve
from bayesdyn.ratings.questions.corpus import Deidentify
from bayesdyn.ratings.questions.deidentify import hook_of
from bayesdyn.ratings.scoring.codebook import Codebook, load_codebook, pick_constructs
from bayesdyn.ratings.scoring.panel import Panel, Rater, load_panel, pick_raters
from bayesdyn.structure.language.model_file import load_model
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.study.file import StudyFile, beside, gather


@dataclass(frozen=True)
class Parts:
    """A study file with all that it names.

    Attributes
    ----------
    file, base
        The study file as read; the folder that it lies in, from which its paths count.
    transcripts, ledger, human
        Paths; ``human`` is None where there are no coders.
    columns
        Column map of the transcripts, with None where the file says false.
    codebook, panel, spec
        Loaded; the panel's prompts and weights are the study's own where it has them.
    constructs, raters
        Those to be rated, and by whom.
    deidentify
        Changes each turn before it is sent, where the file names how.
    """

    file: StudyFile
    base: Path
    transcripts: Path
    ledger: Path
    human: Path | None
    columns: dict[str, str | None] | None
    codebook: Codebook
    panel: Panel
    spec: ModelSpec
    constructs: tuple[str, ...]
    raters: tuple[Rater, ...]
    deidentify: Deidentify | None


def load_parts(file: StudyFile, base: Path, ledger: str | Path | None = None) -> Parts:
    """Find and load all that a study names.

    Parameters
    ----------
    file
        From :func:`bayesdyn.study.file.load_study`.
    base
        The folder from which the file's paths count.
    ledger
        A ledger in place of the file's.

    Raises
    ------
    InputError
        With the faults of all parts, each with its section.
    """
    faults = FaultList()

    def attempt[T](where: str, load: Callable[[], T]) -> T | None:
        try:
            return load()
        except FaultsError as error:
            gather(faults, where, error)
            return None

    named = file.ratings
    codebook = attempt(
        "[ratings] codebook", lambda: load_codebook(beside(named.codebook, base, "scoring", ".yaml"))
    )
    panel = attempt(
        "[ratings] panel", lambda: load_panel(beside(named.panel, base, "scoring/panels", ".yaml"))
    )
    spec = attempt("[fit] model", lambda: load_model(Path(beside(file.fit.model, base, "models", ".toml"))))
    transcripts = base / file.transcripts.path
    human = None if file.human is None else base / file.human.path
    for path, where in ((transcripts, "[transcripts] path"), (human, "[human] path")):
        if path is not None and not path.exists():
            faults.add(f"there is no {path}", "Paths count from the folder of the study file", where)
    constructs, raters = None, None
    if codebook is not None:
        constructs = attempt("[ratings] constructs", lambda: pick_constructs(codebook, named.constructs))
    if panel is not None:
        panel = with_own_files(panel, base)
        chosen = panel
        raters = attempt("[ratings] raters", lambda: pick_raters(chosen, named.raters))
    way = named.deidentify
    hook = None if way is None else attempt("[ratings] deidentify", lambda: hook_of(way))
    faults.raise_if_any(f"The study {file.study.name} cannot run")
    if codebook is None or panel is None or spec is None or constructs is None or raters is None:
        raise InputError(f"The study {file.study.name} cannot run")
    columns = file.transcripts.columns
    return Parts(
        file=file,
        base=base,
        transcripts=transcripts,
        ledger=Path(ledger) if ledger is not None else base / named.ledger,
        human=human,
        columns=None if columns is None else {ours: _or_none(theirs) for ours, theirs in columns.items()},
        codebook=codebook,
        panel=panel,
        spec=spec,
        constructs=constructs,
        raters=raters,
        deidentify=hook,
    )


def with_own_files(panel: Panel, base: Path) -> Panel:
    """Return a panel whose prompt templates and weights are those of the study's folder, where it has them.

    A template that equals the preset keeps the preset's name, so that no path of this machine gets into
    the provenance of ratings without need.
    """

    def own(rater: Rater) -> Rater:
        update: dict[str, str] = {}
        template = beside(rater.prompt, base, "scoring/prompts", ".j2")
        if template != rater.prompt and not _is_preset(rater.prompt, Path(template)):
            update["prompt"] = template
        if rater.weights is not None and (base / rater.weights).is_file():
            update["weights"] = str(base / rater.weights)
        return rater.model_copy(update=update)

    return panel.model_copy(update={"raters": tuple(own(rater) for rater in panel.raters)})


def transcript_files(parts: Parts) -> dict[str, Path]:
    """Return all files that reading the transcripts may depend on, by name."""
    source = parts.transcripts
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    index = source.parent / "transcript_index.csv"
    if parts.file.transcripts.format == "annomi" and index.is_file():
        files.append(index)
    return {file.name: file for file in files if file.is_file() and not file.name.startswith(".")}


def reproduce(parts: Parts) -> list[str]:
    """Return the commands that make the same report again; no path of this machine is in them."""
    ledger = parts.file.ratings.ledger
    own = parts.ledger == parts.base / ledger
    return [
        f"# the folder of the study {parts.file.study.name}: study.toml, transcripts, {ledger}",
        "bayesdyn run study.toml" + ("" if own else f" --ledger {parts.ledger.name}"),
    ]


def _is_preset(name: str, file: Path) -> bool:
    known = preset_names("scoring/prompts", ".j2")
    return name in known and sha256_file(
        resolve(name, "scoring/prompts", ".j2", "prompt template")
    ) == sha256_file(file)


def _or_none(value: str | Literal[False]) -> str | None:
    return None if value is False else value
