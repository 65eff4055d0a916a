"""The commands from transcripts to measures: files in, a file out, options named as the Python arguments."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesdyn.cli.options import File, Least4, Out, beta, pairs, say, show, words
from bayesdyn.errors import FaultList

if TYPE_CHECKING:
    import pandas as pd

    from bayesdyn.measures.modelled import Likelihood

Human = Annotated[Path | None, typer.Option(help="Ratings of human coders.")]
Columns = Annotated[list[str] | None, typer.Option(help="OURS=THEIRS, of the human ratings.")]


class OneSpeaker(StrEnum):
    """Settings of ``--one-speaker``."""

    refuse = "raise"
    set_aside = "set_aside"


class Discrimination(StrEnum):
    """Settings of ``--discrimination``."""

    auto = "auto"
    equal = "equal"
    proportional = "proportional"
    free = "free"


def add_stages(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (read, agree, measure):
        app.command()(command)


def read(
    path: File,
    out: Out = Path("exchanges.parquet"),
    format: Annotated[
        str, typer.Option(help="csv tsv jsonl parquet vtt text docx annomi; auto: suffix.")
    ] = "auto",
    ids: Annotated[str | None, typer.Option(help='What file names say, e.g. "{dyad}_{session}".')] = None,
    speakers: Annotated[
        list[str] | None, typer.Option(help="LABEL=therapist|client|other, with commas.")
    ] = None,
    columns: Annotated[list[str] | None, typer.Option(help="OURS=THEIRS; session= for one session.")] = None,
    encoding: str = "utf-8",
    one_speaker: OneSpeaker = OneSpeaker.refuse,
) -> None:
    """Read transcripts and form exchanges.

    Example: bayesdyn read transcripts/ --ids "{dyad}_{session}" --speakers T=therapist,C=client
    """
    from bayesdyn.artefacts import write_table
    from bayesdyn.study.manifest import check_out
    from bayesdyn.transcripts.read import read_transcripts

    given = words(columns or [])
    mapping: dict[str, str | None] = {**pairs("--columns", [part for part in given if part != "session="])}
    if "session=" in given:
        mapping["session"] = None
    named = pairs("--speakers", speakers or [])
    check_out(out, path)
    exchanges = read_transcripts(
        path, format, columns=mapping or None, ids=ids, speakers=named or None, encoding=encoding,
        one_speaker=one_speaker.value,
    )  # fmt: skip
    write_table(exchanges, out, "exchanges")
    for name, value in exchanges.attrs["summary"].items():
        typer.echo(f"{name:<26} {value}")
    say(f"wrote {out}")


def agree(
    ratings: File,
    human: Human = None,
    columns: Columns = None,
    ci_prob: float = 0.95,
    bootstrap: Annotated[int, typer.Option(help="Replicates of the bootstrap of dyads; 0: none.")] = 1000,
    pairs: Annotated[bool, typer.Option("--pairs/--no-pairs", help="Each pair of raters too.")] = True,
    random_seed: Annotated[int, typer.Option(min=0)] = 1,
    out: Out = Path("agreement.csv"),
) -> None:
    """Tell how far raters agree: ICC, kappa, alpha, correlation and bias, with intervals, at three levels.

    Example: bayesdyn agree ratings.parquet --human coders.csv
    """
    from bayesdyn.measures.agreement import agreement
    from bayesdyn.study.manifest import check_out
    from bayesdyn.study.stages import write_csv

    check_out(out, ratings, human)
    table = agreement(
        _ratings(ratings), _human(human, columns), ci_prob=ci_prob, bootstrap=bootstrap, pairs=pairs,
        random_seed=random_seed,
    )  # fmt: skip
    write_csv(table, out)
    shown = [
        "construct", "level", "panel", "statistic", "estimate", "lower", "upper", "cluster_lower",
        "cluster_upper", "n",
    ]  # fmt: skip
    show(table.loc[table["statistic"].isin(["ICC(A,1)", "kappa quadratic", "alpha interval"]), shown])
    say(f"wrote {out}")


def measure(
    ratings: File,
    human: Human = None,
    columns: Columns = None,
    exchanges: Annotated[
        Path | None, typer.Option(help="For covariates and exchanges without ratings.")
    ] = None,
    likelihood: Annotated[
        str, typer.Option(help="gaussian, ordinal, or CONSTRUCT=ordinal with commas (floors, ceilings).")
    ] = "gaussian",
    random_seed: Annotated[int, typer.Option(min=0)] = 1,
    reliability_prior: Annotated[
        str, typer.Option(help="Beta parameters: of a single rater's reliability.")
    ] = "6,4",
    coder_prior: Annotated[
        str, typer.Option(help="The same of a coder beside LLMs, where no two coded the same exchanges.")
    ] = "7,3",
    shared_prior: Annotated[
        str, typer.Option(help="Of the share of error in what LLMs have in common; none: they share none.")
    ] = "1,4",
    levels: Annotated[bool, typer.Option(help="Parts of sessions and dyads in scores and errors.")] = True,
    most_sessions: Annotated[int, typer.Option(min=1, help="Learn the raters from so many.")] = 320,
    discrimination: Discrimination = Discrimination.auto,
    draws: Least4 = 400,
    out: Out = Path("measures.nc"),
) -> None:
    """Turn ratings into scores with standard errors.

    Example: bayesdyn measure ratings.parquet --exchanges exchanges.parquet --random-seed 1
    """
    from bayesdyn.artefacts import read_table, write_dataset
    from bayesdyn.measures.build import measure as run
    from bayesdyn.measures.dataset import read_notes
    from bayesdyn.study.manifest import check_out

    check_out(out, ratings, human, exchanges)
    made = run(
        ratings if ratings.suffix == ".parquet" else _ratings(ratings), _human(human, columns),
        exchanges=None if exchanges is None else read_table(exchanges, "exchanges"),
        likelihood=_likelihood(likelihood), random_seed=random_seed,
        reliability_prior=beta("--reliability-prior", reliability_prior),
        coder_prior=beta("--coder-prior", coder_prior),
        shared_prior=None if shared_prior == "none" else beta("--shared-prior", shared_prior),
        discrimination=discrimination.value, levels=levels, most_sessions=most_sessions, draws=draws,
    )  # fmt: skip
    write_dataset(made, out, "measures")
    names = ["reliability", "reliability_lower", "reliability_upper"]
    show(made[names].to_dataframe()[names], index=True)
    for note in read_notes(made):
        typer.echo(f"Note: {note}")
    say(f"wrote {out}")


def _ratings(path: Path) -> "pd.DataFrame":
    """Return ratings: what ``bayesdyn rate`` wrote, or a table from elsewhere."""
    from bayesdyn.artefacts import read_table
    from bayesdyn.ratings.tables import read_ratings

    return read_table(path, "ratings") if path.suffix == ".parquet" else read_ratings(path)


def _human(path: Path | None, columns: list[str] | None) -> "pd.DataFrame | None":
    from bayesdyn.ratings.tables import read_ratings

    return None if path is None else read_ratings(path, columns=pairs("--columns", columns or []) or None)


def _likelihood(text: str) -> "Likelihood | dict[str, Likelihood]":
    from bayesdyn.measures.modelled import LIKELIHOODS

    given = pairs("--likelihood", [text]) if "=" in text else {"": text}
    faults = FaultList()
    for value in given.values():
        if value not in LIKELIHOODS:
            faults.add(f"{value!r} is no likelihood", f"Use one of {', '.join(LIKELIHOODS)}", "--likelihood")
    faults.raise_if_any("This option cannot be used")
    known: dict[str, Likelihood] = {"gaussian": "gaussian", "ordinal": "ordinal"}
    return known[text] if "=" not in text else {name: known[value] for name, value in given.items()}
