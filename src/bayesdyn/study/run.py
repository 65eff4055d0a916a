"""A whole study from its file: read, rate, agree, measure, fit, claims, sensitivity, report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr

from bayesdyn.artefacts import sha256_file, sha256_text
from bayesdyn.errors import Fault, InputError
from bayesdyn.fitting.claims import check_claims
from bayesdyn.fitting.run import fit as fit_model
from bayesdyn.measures.agreement import agreement
from bayesdyn.measures.build import measure
from bayesdyn.ratings.questions.plans import make_plans, prompt_hashes
from bayesdyn.ratings.rate import rate
from bayesdyn.ratings.results import NOT_ASKED
from bayesdyn.ratings.tables import read_ratings
from bayesdyn.reporting.counts import count_ratings
from bayesdyn.reporting.html import report
from bayesdyn.structure.model_file import check_names, to_text
from bayesdyn.study.example import Example, load_example
from bayesdyn.study.file import load_study, study_path
from bayesdyn.study.manifest import Artefact, Outcome, OutFolder
from bayesdyn.study.parts import Parts, load_parts, reproduce, transcript_files
from bayesdyn.study.stages import (
    AGREE,
    CLAIMS,
    FIT,
    MEASURE,
    NAIVE,
    RATE,
    READ,
    REPORT,
    SENSITIVITY,
)
from bayesdyn.sweeps.sensitivity import Sensitivity, sensitivity
from bayesdyn.tables import EXCHANGE_COLUMNS
from bayesdyn.transcripts.read import read_transcripts

__all__ = ["Example", "StudyRun", "load_example", "run_study"]


@dataclass(frozen=True)
class StudyRun:
    """What :func:`run_study` did: the out folder, its report, and one outcome per stage in order."""

    out: Path
    report: Path
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class _Run:
    """What every stage needs to know."""

    parts: Parts
    folder: OutFolder
    tell: Callable[[str], None]
    progress: bool
    allow_remote: bool

    @property
    def seed(self) -> int:
        return self.parts.file.study.random_seed


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
    run = _Run(parts, folder, tell, progress, allow_remote)

    exchanges = _read(run)
    ratings = _rate(run, exchanges)
    human, coders = _human(run)
    agreed = _agree(run, ratings, human, coders)
    measures = _measure(run, exchanges, ratings, human, coders)
    fit, naive = _fits(run, measures)
    claims = folder.run(CLAIMS, {"fit": fit.content}, {}, lambda: check_claims(fit.value))
    sweep = _sweep(run, fit, naive)
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
            _value(sweep),
            naive=_value(naive),
            out=folder.path / REPORT.file,
            agreement=_value(agreed),
            data_summary=exchanges.value.attrs.get("summary"),
            rating_summary=count_ratings(ratings.value),
            measures=measures.value,
            reproduce=reproduce(run.parts),
        ),
    )
    return StudyRun(folder.path, made.path, tuple(folder.outcomes))


def _read(run: _Run) -> Artefact[pd.DataFrame]:
    given = run.parts.file.transcripts
    exchanges = run.folder.run(
        READ,
        {name: sha256_file(source) for name, source in transcript_files(run.parts).items()},
        given.model_dump(mode="json"),
        lambda: read_transcripts(
            run.parts.transcripts,
            given.format,
            columns=run.parts.columns,
            ids=given.ids,
            speakers=given.speakers,
            encoding=given.encoding,
            one_speaker=given.one_speaker,
        ),
    )
    # Before hours of rating: does the model name anything that will not be there?
    further = [str(name) for name in exchanges.value.columns if name not in EXCHANGE_COLUMNS]
    check_names(run.parts.spec, run.parts.constructs, further)
    return exchanges


def _rate(run: _Run, exchanges: Artefact[pd.DataFrame]) -> Artefact[pd.DataFrame]:
    parts, given = run.parts, run.parts.file.ratings
    prompts = prompt_hashes(make_plans(parts.codebook, parts.constructs, parts.raters))

    def rated() -> pd.DataFrame:
        ratings = rate(
            exchanges.value,
            parts.codebook,
            parts.panel,
            parts.ledger,
            allow_remote=run.allow_remote and given.allow_remote,
            raters=given.raters,
            constructs=given.constructs,
            max_cost=given.max_cost,
            deidentify=parts.deidentify,
            progress=run.progress,
        )
        lacking = int((ratings["reason"] == NOT_ASKED).sum())
        if lacking:
            raise InputError(
                "The study stops before all is rated",
                [Fault(f"{lacking} ratings are not asked yet", "Raise max_cost", "[ratings] max_cost")],
            )
        return ratings

    return run.folder.run(
        RATE,
        {"exchanges": exchanges.content, "codebook": parts.codebook.sha256, **prompts},
        {"ledger": parts.ledger.name, "deidentify": given.deidentify},
        rated,
    )


def _human(run: _Run) -> tuple[pd.DataFrame | None, dict[str, str]]:
    """Return the coders' ratings, and what they are hashed by."""
    given, path = run.parts.file.human, run.parts.human
    if given is None or path is None:
        return None, {}
    columns = sha256_text(str(sorted((given.columns or {}).items())))
    table = read_ratings(path, columns=given.columns, codebook=run.parts.codebook)
    return table, {"human": sha256_file(path), "human columns": columns}


def _agree(
    run: _Run, ratings: Artefact[pd.DataFrame], human: pd.DataFrame | None, coders: dict[str, str]
) -> Artefact[pd.DataFrame] | None:
    if human is None and len(run.parts.raters) < 2:
        run.folder.skip(AGREE, "one rater and no human ratings")
        return None
    inputs = {"ratings": ratings.content, **coders}
    return run.folder.run(AGREE, inputs, {}, lambda: agreement(ratings.value, human))


def _measure(
    run: _Run,
    exchanges: Artefact[pd.DataFrame],
    ratings: Artefact[pd.DataFrame],
    human: pd.DataFrame | None,
    coders: dict[str, str],
) -> Artefact[xr.Dataset]:
    given = run.parts.file.measures
    return run.folder.run(
        MEASURE,
        {"exchanges": exchanges.content, "ratings": ratings.content, **coders},
        {**given.model_dump(mode="json"), "random_seed": run.seed},
        lambda: measure(
            ratings.value,
            human,
            exchanges=exchanges.value,
            random_seed=run.seed,
            reliability_prior=given.reliability_prior,
            discrimination=given.discrimination,
            draws=given.draws,
        ),
    )


def _fits(
    run: _Run, measures: Artefact[xr.Dataset]
) -> tuple[Artefact[xr.DataTree], Artefact[xr.DataTree] | None]:
    """Return the fit of the study, and the usual analysis beside it where that is another one."""
    given = run.parts.file.fit
    inputs = {"measures": measures.content, "model": sha256_text(to_text(run.parts.spec))}
    settings = {**given.model_dump(mode="json", exclude={"model"}), "random_seed": run.seed}

    def fitted(measurement: str) -> xr.DataTree:
        return fit_model(
            measures.value,
            run.parts.spec,
            measurement=measurement,
            draws=given.draws,
            tune=given.tune,
            chains=given.chains,
            random_seed=run.seed,
            kappa=given.kappa,
            backend=given.backend,
            target_accept=given.target_accept,
            progress=run.progress,
        )

    chosen = run.folder.run(FIT, inputs, settings, lambda: fitted(given.measurement))
    if given.measurement == "none":
        run.folder.skip(NAIVE, "the fit is the usual analysis itself")
        return chosen, None
    usual = {**settings, "measurement": "none"}
    return chosen, run.folder.run(NAIVE, inputs, usual, lambda: fitted("none"))


def _sweep(
    run: _Run, fit: Artefact[xr.DataTree], naive: Artefact[xr.DataTree] | None
) -> Artefact[Sensitivity] | None:
    given, backend = run.parts.file.sensitivity, run.parts.file.fit.backend
    if run.parts.file.fit.measurement == "none":
        run.folder.skip(SENSITIVITY, "the fit has no error to vary")
        return None
    if not given.kinds:
        run.folder.skip(SENSITIVITY, "the study names no kinds")
        return None
    return run.folder.run(
        SENSITIVITY,
        {"fit": fit.content} | ({} if naive is None else {"naive": naive.content}),
        {**given.model_dump(mode="json"), "backend": backend, "random_seed": run.seed},
        lambda: sensitivity(
            fit.value,
            given.kinds[0],
            factors=given.factors,
            draws=given.draws,
            tune=given.tune,
            chains=given.chains,
            random_seed=run.seed,
            backend=backend,
            naive=_value(naive),
            progress=lambda line: run.tell(f"{'':<12} {line}"),
        ),
    )


def _value[T](artefact: Artefact[T] | None) -> T | None:
    return None if artefact is None else artefact.value


def _teller(progress: bool) -> Callable[[str], None]:
    if not progress:
        return lambda line: None
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    return console.print
