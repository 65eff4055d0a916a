"""The stages of a study, each from its inputs to its artefact."""

from collections.abc import Callable
from dataclasses import dataclass
from warnings import catch_warnings, simplefilter

import pandas as pd
import xarray as xr

from bayesdyn.artefacts import sha256_file, sha256_text
from bayesdyn.errors import DataWarning, Fault, InputError
from bayesdyn.fitting.fit import fit as fit_model
from bayesdyn.measures.agreement import agreement
from bayesdyn.measures.build import measure
from bayesdyn.ratings.questions.plans import make_plans, prompt_hashes
from bayesdyn.ratings.rate import rate
from bayesdyn.ratings.results import NOT_ASKED
from bayesdyn.ratings.tables import read_ratings
from bayesdyn.structure.language.model_file import check_names, to_text
from bayesdyn.structure.problem import measurement_of
from bayesdyn.study.manifest import Artefact, OutFolder
from bayesdyn.study.parts import Parts, transcript_files
from bayesdyn.study.stages import AGREE, FIT, MEASURE, NAIVE, RATE, READ, SENSITIVITY
from bayesdyn.sweeps.sensitivity import Sensitivity, sensitivity
from bayesdyn.tables import EXCHANGE_COLUMNS
from bayesdyn.transcripts.read import read_transcripts


@dataclass(frozen=True)
class Run:
    """What every stage needs to know."""

    parts: Parts
    folder: OutFolder
    tell: Callable[[str], None]
    progress: bool
    allow_remote: bool

    @property
    def seed(self) -> int:
        """The study's seed."""
        return self.parts.file.study.random_seed

    @property
    def measurement(self) -> str:
        """How the study's fit takes its scores: as its file says, else its model."""
        return measurement_of(self.parts.spec, self.parts.file.fit.measurement)


def read_stage(run: Run) -> Artefact[pd.DataFrame]:
    """Read the transcripts; stop before any rating if the model names what will not be there."""
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


def rate_stage(run: Run, exchanges: Artefact[pd.DataFrame]) -> Artefact[pd.DataFrame]:
    """Rate the exchanges, or take what the ledger has."""
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


def coders_of(run: Run) -> tuple[pd.DataFrame | None, dict[str, str]]:
    """Return the coders' ratings, and what they are hashed by."""
    given, path = run.parts.file.human, run.parts.human
    if given is None or path is None:
        return None, {}
    columns = sha256_text(str(sorted((given.columns or {}).items())))
    table = read_ratings(path, columns=given.columns, codebook=run.parts.codebook)
    return table, {"human": sha256_file(path), "human columns": columns}


def agree_stage(
    run: Run, ratings: Artefact[pd.DataFrame], human: pd.DataFrame | None, coders: dict[str, str]
) -> Artefact[pd.DataFrame] | None:
    """Tell how far the raters agree."""
    if human is None and len(run.parts.raters) < 2:
        run.folder.skip(AGREE, "one rater and no human ratings")
        return None
    inputs = {"ratings": ratings.content, **coders}
    return run.folder.run(AGREE, inputs, {}, lambda: agreement(ratings.value, human))


def measure_stage(
    run: Run,
    exchanges: Artefact[pd.DataFrame],
    ratings: Artefact[pd.DataFrame],
    human: pd.DataFrame | None,
    coders: dict[str, str],
) -> Artefact[xr.Dataset]:
    """Turn ratings into measures."""
    given = run.parts.file.measures
    return run.folder.run(
        MEASURE,
        {"exchanges": exchanges.content, "ratings": ratings.content, **coders},
        {**given.model_dump(mode="json"), "random_seed": run.seed},
        lambda: measure(
            ratings.path,
            human,
            exchanges=exchanges.value,
            likelihood=given.likelihood,
            random_seed=run.seed,
            reliability_prior=given.reliability_prior,
            coder_prior=given.coder_prior,
            shared_prior=given.shared_prior or None,
            levels=given.levels,
            most_sessions=given.most_sessions,
            discrimination=given.discrimination,
            draws=given.draws,
        ),
    )


def fit_stages(
    run: Run, measures: Artefact[xr.Dataset]
) -> tuple[Artefact[xr.DataTree], Artefact[xr.DataTree] | None]:
    """Return the fit of the study, and the usual analysis beside it where that is another one."""
    given = run.parts.file.fit
    inputs = {"measures": measures.content, "model": sha256_text(to_text(run.parts.spec))}
    written = given.model_dump(mode="json", exclude={"model"})
    settings = {**written, "measurement": run.measurement, "random_seed": run.seed}

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
            sampler=given.sampler,
            target_accept=given.target_accept,
            progress=run.progress,
        )

    chosen = run.folder.run(FIT, inputs, settings, lambda: fitted(run.measurement))
    if run.measurement == "none":
        run.folder.skip(NAIVE, "the fit is the usual analysis itself")
        return chosen, None
    usual = {**settings, "measurement": "none"}

    def naively() -> xr.DataTree:
        # The same data and model: what they make of each other was said at the first fit.
        with catch_warnings():
            simplefilter("ignore", DataWarning)
            return fitted("none")

    return chosen, run.folder.run(NAIVE, inputs, usual, naively)


def sweep_stage(
    run: Run, fit: Artefact[xr.DataTree], naive: Artefact[xr.DataTree] | None
) -> Artefact[Sensitivity] | None:
    """Refit along the study's assumption."""
    given, backend = run.parts.file.sensitivity, run.parts.file.fit.backend
    if run.measurement == "none":
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
            naive=value_of(naive),
            progress=lambda line: run.tell(f"{'':<12} {line}"),
        ),
    )


def value_of[T](artefact: Artefact[T] | None) -> T | None:
    """Return what an artefact holds; None where there is none."""
    return None if artefact is None else artefact.value
