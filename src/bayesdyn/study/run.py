"""A whole study from its file: read, rate, agree, measure, fit, claims, sensitivity, report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bayesdyn.fitting.claims import check_claims
from bayesdyn.reporting.counts import count_ratings
from bayesdyn.reporting.html import report
from bayesdyn.study.example import Example, load_example
from bayesdyn.study.file import load_study, study_path
from bayesdyn.study.manifest import Outcome, OutFolder
from bayesdyn.study.parts import load_parts, reproduce
from bayesdyn.study.stages import (
    CLAIMS,
    REPORT,
)
from bayesdyn.study.steps import (
    Run,
    agree_stage,
    coders_of,
    fit_stages,
    measure_stage,
    rate_stage,
    read_stage,
    sweep_stage,
    value_of,
)

__all__ = ["Example", "StudyRun", "load_example", "run_study"]


@dataclass(frozen=True)
class StudyRun:
    """What :func:`run_study` did: the out folder, its report, and one outcome per stage in order."""

    out: Path
    report: Path
    outcomes: tuple[Outcome, ...]


def run_study(
    path: str | Path,
    out: str | Path | None = None,
    *,
    ledger: str | Path | None = None,
    allow_remote: bool = False,
    progress: bool = True,
) -> StudyRun:
    """Run a study from transcripts to the report, reusing what has not changed.

    Each stage writes its artefact into the out folder: ``exchanges.parquet``, ``ratings.parquet``,
    ``agreement.csv``, ``measures.nc``, ``fit.nc``, ``fit_naive.nc`` (the same model, scores as they are),
    ``claims.csv``, ``sensitivity.json``, ``report.html``; ``manifest.json`` says what each was made from.

    Parameters
    ----------
    path
        The study file, or the folder that holds ``study.toml``. Paths in it count from its folder.
    out
        The folder of all artefacts; None: the study's own ``[report] out``.
    ledger
        A ledger in place of the study's own.
    allow_remote
        The caller's consent that passages leave this machine; the study file and the panel must consent too.
    progress
        Tell each stage, and show the progress of long ones, on stderr.

    Returns
    -------
    StudyRun

    Raises
    ------
    InputError
        With all faults of the study file and of what it names, before any work; or an unwritable folder.
    EndpointError, ArtefactError, EngineError
        As the stage raises them; the artefacts of the stages before stay, and a second run goes on there.
    """
    file = load_study(path)
    parts = load_parts(file, study_path(path).resolve().parent, ledger)
    tell = _teller(progress)
    folder = OutFolder(Path(out) if out is not None else parts.base / file.report.out, file.study.name, tell)
    run = Run(parts, folder, tell, progress, allow_remote)

    exchanges = read_stage(run)
    ratings = rate_stage(run, exchanges)
    human, coders = coders_of(run)
    agreed = agree_stage(run, ratings, human, coders)
    measures = measure_stage(run, exchanges, ratings, human, coders)
    fit, naive = fit_stages(run, measures)
    claims = folder.run(CLAIMS, {"fit": fit.content}, {}, lambda: check_claims(fit.value))
    sweep = sweep_stage(run, fit, naive)
    inputs = {
        "exchanges": exchanges, "ratings": ratings, "agreement": agreed, "measures": measures, "fit": fit,
        "fit_naive": naive, "claims": claims, "sensitivity": sweep,
    }  # fmt: skip
    made = folder.run(
        REPORT,
        {name: artefact.content for name, artefact in inputs.items() if artefact is not None},
        {"study": file.study.name},
        lambda: report(
            fit.value,
            value_of(sweep),
            naive=value_of(naive),
            out=folder.path / REPORT.file,
            agreement=value_of(agreed),
            data_summary=exchanges.value.attrs.get("summary"),
            rating_summary=count_ratings(ratings.value),
            measures=measures.value,
            reproduce=reproduce(run.parts),
        ),
    )
    return StudyRun(folder.path, made.path, tuple(folder.outcomes))


def _teller(progress: bool) -> Callable[[str], None]:
    if not progress:
        return lambda line: None
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    return console.print
