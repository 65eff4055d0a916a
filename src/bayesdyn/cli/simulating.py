"""The commands that simulate: measures or raw ratings, from a model whose truth is known."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesdyn.cli.options import Least1, Out, Seed, number, numbers, pairs, say, words
from bayesdyn.errors import FaultList

if TYPE_CHECKING:
    from bayesdyn.structure.simulating import Covariate, Spreads
    from bayesdyn.structure.simulating.lengths import Lengths

_LENGTH = "a number, LOW:HIGH, mean=M,sd=S (negative binomial), or observed counts N,N,N."
_EACH = "one number, or CONSTRUCT=NUMBER with commas."
_SPREAD = re.compile(r"(\w+)(?:\[(.+)\])?")

Spec = Annotated[str, typer.Argument(help="A preset, or a model file.", show_default=False)]
Sessions = Annotated[str, typer.Option(help=f"Per dyad: {_LENGTH}")]
Exchanges = Annotated[str, typer.Option(help=f"Per session: {_LENGTH}")]
Truth = Annotated[list[str] | None, typer.Option(help="PATH=NUMBER: path name or label.")]
Spread = Annotated[
    list[str] | None,
    typer.Option(help="dyad_sd=NUMBER, 'dyad_sd[y ~ 1]=NUMBER', 'residual_corr[y ~~ z]=NUMBER' and so on."),
]
Drawn = Annotated[
    list[str] | None,
    typer.Option(help="NAME=normal, NAME=binary or NAME=LEVEL/LEVEL; then @session or @dyad."),
]
Missing = Annotated[str, typer.Option(help=f"Share that is unrated: {_EACH}")]
MissingExchanges = Annotated[float, typer.Option(help="Share of exchanges that nobody rated.")]
TruthOut = Annotated[Path | None, typer.Option(help="Where to write the truth.")]


def add_simulating(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (simulate, simulate_ratings):
        app.command()(command)


def simulate(
    spec: Spec,
    random_seed: Seed,
    dyads: Least1 = 40,
    sessions: Sessions = "3",
    exchanges: Exchanges = "15:25",
    reliability: Annotated[str, typer.Option(help=_EACH.capitalize())] = "0.7",
    truth: Truth = None,
    spread: Spread = None,
    covariate: Drawn = None,
    kappa_sd: Annotated[str, typer.Option(help=f"How wrong the errors are: {_EACH}")] = "0",
    missing: Missing = "0",
    missing_exchanges: MissingExchanges = 0.0,
    out: Out = Path("measures.nc"),
    truth_out: TruthOut = None,
) -> None:
    """Simulate measures from a model whose coefficients are known.

    Example: bayesdyn simulate chen2026 --dyads 20 --reliability 0.6 --random-seed 1
    """
    from bayesdyn.artefacts import write_dataset
    from bayesdyn.structure.language.model_file import load_model
    from bayesdyn.structure.simulate import simulate as run

    _check_outs(spec, out, truth_out)
    measures, true = run(
        load_model(Path(spec)), dyads=dyads, sessions=_lengths("--sessions", sessions),
        exchanges=_lengths("--exchanges", exchanges), reliability=_each("--reliability", reliability),
        truth=numbers("--truth", pairs("--truth", truth or [])), spreads=_spreads(spread or []),
        covariates=_covariates(covariate or []), kappa_sd=_each("--kappa-sd", kappa_sd),
        missing=_each("--missing", missing), missing_exchanges=missing_exchanges, random_seed=random_seed,
    )  # fmt: skip
    write_dataset(measures, out, "measures")
    if truth_out is not None:
        write_dataset(true, truth_out, "truth")
    say(f"wrote {out}: {measures.sizes['exchange']} exchanges")


def simulate_ratings(
    spec: Spec,
    random_seed: Seed,
    llms: Annotated[int, typer.Option(min=0, help="LLM raters.")] = 2,
    coders: Annotated[int, typer.Option(min=0, help="Human coders.")] = 0,
    error_sd: Annotated[str, typer.Option(help=f"Of a rater's own error, in points: {_EACH}")] = "0.5",
    shared_error: Annotated[str, typer.Option(help=f"Share of it in what LLMs agree on: {_EACH}")] = "0",
    replicates: Annotated[int, typer.Option(min=1, help="Ratings of each LLM.")] = 1,
    replicate_sd: Annotated[str, typer.Option(help=f"Noise of each: {_EACH}")] = "0",
    coded: Annotated[float, typer.Option(help="Share of the exchanges that humans code.")] = 1.0,
    overlap: Annotated[float, typer.Option(help="Share of these that every coder codes.")] = 1.0,
    points: Annotated[str | None, typer.Option(help="LOW:HIGH of the scale; left out, no rounding.")] = None,
    floor: Annotated[str, typer.Option(help=f"Share of ratings at the lowest point: {_EACH}")] = "0",
    dyads: Least1 = 40,
    sessions: Sessions = "3",
    exchanges: Exchanges = "15:25",
    truth: Truth = None,
    spread: Spread = None,
    covariate: Drawn = None,
    missing: Missing = "0",
    missing_exchanges: MissingExchanges = 0.0,
    out: Out = Path("ratings.parquet"),
    truth_out: TruthOut = None,
) -> None:
    """Simulate the raw ratings of several raters from a model whose coefficients are known.

    Example: bayesdyn simulate-ratings chen2026 --llms 3 --coders 2 --coded 0.2 --points 1:5 --random-seed 1
    """
    from bayesdyn.artefacts import write_dataset, write_table
    from bayesdyn.structure.language.model_file import load_model
    from bayesdyn.structure.simulate_ratings import simulate_ratings as run
    from bayesdyn.structure.simulating import Rater, RaterDesign

    _check_outs(spec, out, truth_out)
    error, noise = _each("--error-sd", error_sd), _each("--replicate-sd", replicate_sd)
    raters = [
        Rater(f"llm{r + 1}", error_sd=error, replicates=replicates, replicate_sd=noise) for r in range(llms)
    ]
    raters += [Rater(f"coder{r + 1}", "human", error_sd=error) for r in range(coders)]
    design = RaterDesign(
        tuple(raters), shared_error=_each("--shared-error", shared_error), coded=coded, overlap=overlap,
        points=None if points is None else _range("--points", points), floor=_each("--floor", floor),
    )  # fmt: skip
    ratings, true = run(
        load_model(Path(spec)), raters=design, dyads=dyads, sessions=_lengths("--sessions", sessions),
        exchanges=_lengths("--exchanges", exchanges), truth=numbers("--truth", pairs("--truth", truth or [])),
        spreads=_spreads(spread or []), covariates=_covariates(covariate or []),
        missing=_each("--missing", missing), missing_exchanges=missing_exchanges, random_seed=random_seed,
    )  # fmt: skip
    write_table(ratings, out, "ratings")
    if truth_out is not None:
        write_dataset(true, truth_out, "truth")
    say(f"wrote {out}: {len(ratings)} ratings")


def _check_outs(spec: str, out: Path, truth_out: Path | None) -> None:
    from bayesdyn.study.manifest import check_out

    check_out(out, spec)
    if truth_out is None:
        return
    check_out(truth_out, spec)
    faults = FaultList()
    if truth_out.resolve() == out.resolve():
        faults.add(f"it is {out} too", "Give the name of another file", "--truth-out")
    faults.raise_if_any("These options cannot be used")


def _each(option: str, text: str) -> float | dict[str, float]:
    if "=" in text:
        return numbers(option, pairs(option, [text]))
    return number(option, text, float)


def _range(option: str, text: str) -> tuple[int, int]:
    low, _, high = text.partition(":")
    return number(option, low, int), number(option, high, int)


def _lengths(option: str, text: str) -> "Lengths":
    from bayesdyn.structure.simulating import NegativeBinomial, Observed

    if "=" in text:
        given = numbers(option, pairs(option, [text]))
        if set(given) != {"mean", "sd"}:
            faults = FaultList()
            faults.add(f"{text!r} is no negative binomial", "Write mean=40,sd=20", option)
            faults.raise_if_any("This option cannot be used")
        return NegativeBinomial(given["mean"], given["sd"])
    if "," in text:
        return Observed([number(option, part, int) for part in words([text])])
    return _range(option, text) if ":" in text else number(option, text, int)


def _covariates(values: Sequence[str]) -> "dict[str, Covariate]":
    from bayesdyn.structure.simulating import Covariate

    found = {}
    for name, text in pairs("--covariate", values).items():
        law, _, level = text.partition("@")
        found[name] = Covariate(tuple(law.split("/")) if "/" in law else law, level or "exchange")
    return found


def _spreads(values: Sequence[str]) -> "Spreads":
    """Return spreads: ``dyad_sd=0.5`` is for all, ``dyad_sd[y ~ 1]=0.5`` for one, ``[y ~~ z]`` a pair."""
    from dataclasses import fields, replace

    from bayesdyn.structure.language.words import did_you_mean, sentence
    from bayesdyn.structure.simulating import Spreads

    known, faults = [one.name for one in fields(Spreads)], FaultList()
    for_all: dict[str, float] = {}
    named: dict[str, dict[str | tuple[str, ...], float]] = {}
    for key, value in numbers("--spread", pairs("--spread", values)).items():
        match = _SPREAD.fullmatch(key)
        if match is None or match[1] not in known:
            remedy = sentence(did_you_mean(key.partition("[")[0], known), f"Use {', '.join(known)}")
            faults.add(f"{key!r} is no spread", remedy, "--spread")
        elif match[2] is None:
            for_all[match[1]] = value
        else:
            pair = tuple(part.strip() for part in match[2].split("~~"))
            named.setdefault(match[1], {})[pair if match[1].endswith("_corr") else match[2].strip()] = value
    for name in sorted(set(for_all) & set(named)):
        faults.add(f"{name} is given for all and by name", "Give one of the two", "--spread")
    faults.raise_if_any("This option cannot be used")
    return replace(Spreads(), **for_all, **named)
