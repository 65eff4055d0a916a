"""The commands from measures to the report: files in, a file out, options named as the Python arguments."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bayesdyn.cli.options import (
    Backend,
    File,
    Least1,
    Least4,
    Out,
    Seed,
    beta,
    number,
    numbers,
    pairs,
    say,
    show,
    words,
)


class Measurement(StrEnum):
    """Settings of ``--measurement``."""

    known = "known"
    two_stage = "two_stage"
    propagated = "propagated"
    joint = "joint"
    none = "none"


def add_models(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (fit, claims, sensitivity, plan, report):
        app.command()(command)


def fit(
    measures: File,
    random_seed: Seed,
    spec: Annotated[str, typer.Option(help="A preset, or a model file.")] = "chen2026",
    measurement: Annotated[
        Measurement | None, typer.Option(help="Default: what the model file says, else known.")
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, pymc or jax.")] = "auto",
    draws: Least4 = 1000,
    tune: Least1 = 1000,
    chains: Least1 = 4,
    kappa: Annotated[bool, typer.Option(help="Whether the errors are themselves uncertain.")] = True,
    target_accept: float = 0.9,
    backend: Backend = "jax",
    sampler: Annotated[str, typer.Option(help="nutpie, numpyro or blackjax.")] = "nutpie",
    latent_draws: Annotated[int, typer.Option(min=0)] = 0,
    imputations: Annotated[
        int, typer.Option(min=2, help="measurement propagated: draws of the raters that are pooled.")
    ] = 20,
    until_ess: Annotated[
        float | None, typer.Option(help="engine jax: stop at this least ESS, and R-hat 1.01.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="engine jax: folder of checkpoints.")] = None,
    device: Annotated[str, typer.Option(help="engine jax: cpu, gpu or auto.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="engine jax: how many of them share the study.")] = 1,
    out: Out = Path("fit.nc"),
) -> None:
    """Draw from the posterior of a structural model.

    Example: bayesdyn fit measures.nc --spec chen2026 --measurement known --random-seed 1
    """
    from bayesdyn.artefacts import read_dataset, write_dataset
    from bayesdyn.fitting.diagnostics import diagnose
    from bayesdyn.fitting.fit import fit as run
    from bayesdyn.fitting.summaries import summary
    from bayesdyn.structure.language.model_file import load_model
    from bayesdyn.study.manifest import check_out

    check_out(out, measures, spec)
    fitted = run(
        read_dataset(measures, "measures"), load_model(Path(spec)),
        measurement=None if measurement is None else measurement.value,
        engine=engine, draws=draws, tune=tune, chains=chains, random_seed=random_seed, kappa=kappa,
        target_accept=target_accept, backend=backend, sampler=sampler,
        latent_draws=latent_draws, imputations=imputations,
        until=None if until_ess is None else {"ess": until_ess}, resume=resume,
        device=device, devices=devices, progress=True,
    )  # fmt: skip
    write_dataset(fitted, out, "fit")
    show(summary(fitted), index=True)
    verdict = diagnose(fitted)
    typer.echo(" ".join(part for part in (verdict.line, verdict.pooled) if part))
    for problem, advice in zip(verdict.problems, verdict.advice, strict=True):
        typer.echo(f"{problem} {advice}")
    say(f"wrote {out}")


def claims(
    fit: File,
    threshold: Annotated[float, typer.Option(help="Probability at which a claim is supported.")] = 0.95,
    out: Out = Path("claims.csv"),
) -> None:
    """Check the claims of the model file against a posterior.

    Example: bayesdyn claims fit.nc
    """
    from bayesdyn.artefacts import read_tree
    from bayesdyn.fitting.claims import check_claims
    from bayesdyn.study.manifest import check_out
    from bayesdyn.study.stages import write_csv

    check_out(out, fit)
    table = check_claims(read_tree(fit, "fit"), threshold=threshold)
    write_csv(table, out)
    show(table[["claim", "probability", "prior_probability", "verdict", "parts", "says"]])
    say(f"wrote {out}")


def sensitivity(
    fit: File,
    kind: str = "reliability",
    factors: Annotated[str, typer.Option(help="Multiples of the error variances.")] = "0,0.5,1,1.5,2",
    draws: Least4 = 500,
    tune: Least1 = 500,
    chains: Least1 = 2,
    random_seed: Annotated[int | None, typer.Option(min=0, help="Default: the fit's own.")] = None,
    backend: Backend = "jax",
    device: Annotated[str, typer.Option(help="Of a fit by sweeps: cpu, gpu or auto.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Of a fit by sweeps: how many share the study.")] = 1,
    out: Out = Path("sensitivity.json"),
) -> None:
    """Refit along one assumption and tell where conclusions tip.

    Example: bayesdyn sensitivity fit.nc --kind reliability
    """
    from bayesdyn.artefacts import read_tree
    from bayesdyn.study.manifest import check_out
    from bayesdyn.sweeps.sensitivity import sensitivity as run

    check_out(out, fit)
    found = run(
        read_tree(fit, "fit"), kind,
        factors=[number("--factors", part, float) for part in words([factors])],
        draws=draws, tune=tune, chains=chains, random_seed=random_seed, backend=backend,
        device=device, devices=devices, progress=say,
    )  # fmt: skip
    found.save(out)
    show(found.tipping)
    say(f"wrote {out}")


def plan(
    fit: File,
    path: Annotated[
        str, typer.Argument(help='Name or label, e.g. "disclosure ~ empathy".', show_default=False)
    ],
    budget: Annotated[float, typer.Option(help="What may be spent, in any currency.", show_default=False)],
    cost: Annotated[
        list[str], typer.Option(help="Of one rating: llm_rating=..., human_coding=...", show_default=False)
    ],
    options: Annotated[str, typer.Option(help="Of these.")] = "replicate,llm,human_random,human_stratified",
    constructs: Annotated[str | None, typer.Option(help="To be rated; default: the path's.")] = None,
    coders: Least1 = 2,
    overlap: Annotated[float, typer.Option(help="Share coded by all coders, the rest by one.")] = 0.2,
    coder_prior: Annotated[str, typer.Option(help="Beta parameters: a coder's reliability.")] = "7,3",
    points: Annotated[int, typer.Option(min=1, help="Steps of the curve.")] = 20,
    ci_prob: float = 0.95,
    out: Out = Path("plan.json"),
) -> None:
    """Tell which further ratings would make a path most precise: replicates, another LLM, human coding.

    Example: bayesdyn plan fit.nc "disclosure ~ empathy" --budget 500 --cost llm_rating=0.01,human_coding=2
    """
    from bayesdyn.artefacts import read_tree
    from bayesdyn.study.manifest import check_out
    from bayesdyn.sweeps.planning.plan import plan_ratings

    check_out(out, fit)
    made = plan_ratings(
        read_tree(fit, "fit"), path, budget=budget, cost=numbers("--cost", pairs("--cost", cost)),
        options=words([options]), constructs=None if constructs is None else words([constructs]),
        coders=coders, overlap=overlap, coder_prior=beta("--coder-prior", coder_prior), points=points,
        ci_prob=ci_prob,
    )  # fmt: skip
    made.save(out)
    show(made.options[["option", "buys", "sd", "relative"]])
    for line in (made.says, *made.notes):
        typer.echo(line)
    say(f"wrote {out}")


def report(
    fit: File,
    sens: Annotated[Path | None, typer.Option(help="sensitivity.json")] = None,
    naive: Annotated[Path | None, typer.Option(help="A fit with --measurement none.")] = None,
    measures: Annotated[Path | None, typer.Option(help="measures.nc")] = None,
    agreement: Annotated[Path | None, typer.Option(help="agreement.csv")] = None,
    plan: Annotated[Path | None, typer.Option(help="plan.json")] = None,
    out: Out = Path("report.html"),
) -> None:
    """Write one HTML file that says what was found and how far to trust it.

    Example: bayesdyn report fit.nc --sens sensitivity.json --naive fit_naive.nc --measures measures.nc
    """
    from bayesdyn.artefacts import read_dataset, read_tree
    from bayesdyn.reporting.html import report as run
    from bayesdyn.study.manifest import check_out
    from bayesdyn.study.stages import read_csv
    from bayesdyn.sweeps.planning.result import RatingPlan
    from bayesdyn.sweeps.sensitivity import Sensitivity

    check_out(out, fit, sens, naive, measures, agreement, plan)
    run(
        read_tree(fit, "fit"),
        None if sens is None else Sensitivity.load(sens),
        naive=None if naive is None else read_tree(naive, "fit"),
        measures=None if measures is None else read_dataset(measures, "measures"),
        agreement=None if agreement is None else read_csv(agreement),
        plan=None if plan is None else RatingPlan.load(plan),
        out=out,
    )
    say(f"wrote {out}")
