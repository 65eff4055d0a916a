"""How the command line spells mappings, lists and ranges, and how it shows tables."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesdyn.errors import FaultList

if TYPE_CHECKING:
    import pandas as pd

File = Annotated[Path, typer.Argument(show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="File to write.")]
Seed = Annotated[int, typer.Option("--random-seed", min=0, show_default=False, help="Seed of the sampler.")]
Least4 = Annotated[int, typer.Option(min=4)]
Least1 = Annotated[int, typer.Option(min=1)]
Backend = Annotated[str, typer.Option(help="jax or numba.")]


def pairs(option: str, values: Iterable[str]) -> dict[str, str]:
    """Return ``a=b`` pairs, one or several (comma) in each value, as a mapping.

    Raises
    ------
    InputError
        A part without ``=``.
    """
    faults, found = FaultList(), {}
    for part in words(values):
        left, sign, right = part.partition("=")
        if not sign or not left.strip() or not right.strip():
            faults.add(f"{part!r} is no pair", "Write NAME=VALUE, several with commas", option)
        found[left.strip()] = right.strip()
    faults.raise_if_any("This option cannot be used")
    return found


def words(values: Iterable[str]) -> list[str]:
    """Return the parts of comma-separated values."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def numbers(option: str, values: dict[str, str]) -> dict[str, float]:
    """Return the values of a mapping as numbers.

    Raises
    ------
    InputError
        A value that is no number.
    """
    return {name: number(f"{option} {name}", value, float) for name, value in values.items()}


def number[N: (int, float)](option: str, text: str, kind: Callable[[str], N]) -> N:
    """Return a text as a number.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        return kind(text)
    except ValueError:
        faults = FaultList()
        noun = "whole number" if kind is int else "number"
        faults.add(f"{text!r} is no {noun}", f"Give a {noun}", option)
        faults.raise_if_any("This option cannot be used")
        raise


def show(frame: "pd.DataFrame", *, index: bool = False) -> None:
    """Print a table on stdout, numbers to three digits, after a line that says what its intervals are."""
    if "ci_kind" in frame.attrs:
        typer.echo(stated(frame))
    typer.echo(frame.to_string(index=index, float_format=lambda value: f"{value:.3f}", na_rep=""))


def stated(frame: "pd.DataFrame") -> str:
    """Return what a table says of all its rows: ``Equal-tailed 95 % intervals; units: standard.``."""
    kinds = {"eti": "Equal-tailed", "hdi": "Highest-density"}
    intervals = f"{kinds[frame.attrs['ci_kind']]} {100 * frame.attrs['ci_prob']:g} % intervals"
    more = {"units": "units", "over": "over", "kind": "response", "sd_from": "SDs from"}
    told = [f"{word}: {frame.attrs[name]}" for name, word in more.items() if name in frame.attrs]
    if frame.attrs.get("unstable_share"):
        told.append(f"draws without a stationary state: {100 * frame.attrs['unstable_share']:.2g} %")
    return f"{'; '.join([intervals, *told])}."


def say(line: str) -> None:
    """Tell something on stderr: stdout is for results."""
    typer.echo(line, err=True)


def beta(option: str, text: str) -> tuple[float, float]:
    """Return the two parameters of a Beta, written with a comma.

    Raises
    ------
    InputError
        Not two numbers.
    """
    faults = FaultList()
    parts = [number(option, part, float) for part in words([text])]
    if len(parts) != 2:
        faults.add(f"{text!r} has {len(parts)} numbers", "Give the two of a Beta, such as 6,4", option)
    faults.raise_if_any("This option cannot be used")
    return parts[0], parts[1]
