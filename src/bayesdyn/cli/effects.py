"""The command for what follows from a fit: effects, slopes, responses, paths of dyads, contrasts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesdyn.cli.options import File, Out, number, pairs, say, show, words
from bayesdyn.errors import FaultList

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


_TOLD = ("units", "over", "kind", "sd_from", "unstable_share", "ci_prob", "ci_kind")
"""What holds of every row, and goes into the file as columns."""


@dataclass(frozen=True)
class Asked:
    """What was asked for, as :mod:`bayesdyn.effects` takes it; None where nothing was said."""

    cause: str | None
    outcome: str | None
    path: str | None
    moderator: str | None
    shock: str | None
    expressions: tuple[str, ...]
    at: Mapping[str, tuple[float, ...]]
    over: str | None
    response: str | None
    horizon: int | None
    between: tuple[float, float] | None
    units: str
    ci_prob: float

    @property
    def held(self) -> dict[str, float]:
        """Where each moderator is held, one value each."""
        return {name: values[0] for name, values in self.at.items()}


def add_effects(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(effects)


def effects(
    fit: File,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="total (the default), standardised, slopes, regions, bands, impulse, dyads, contrast; "
            "with commas."
        ),
    ] = None,
    units: Annotated[str, typer.Option(help="standard, or raw: points of the rating scales.")] = "standard",
    cause: Annotated[str | None, typer.Option(help="total: this construct's effects.")] = None,
    outcome: Annotated[str | None, typer.Option(help="total: effects on this construct.")] = None,
    path: Annotated[
        str | None, typer.Option(help='slopes, regions, bands, dyads: one only, e.g. "disclosure ~ empathy".')
    ] = None,
    moderator: Annotated[str | None, typer.Option(help="regions, bands: along this one only.")] = None,
    shock: Annotated[str | None, typer.Option(help="impulse: what rises; default: each construct.")] = None,
    expression: Annotated[
        list[str] | None, typer.Option(help='contrast: e.g. "se - oe"; may be given several times.')
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(help="MODERATOR=VALUE, with commas, standardised; for slopes also VALUE:VALUE:VALUE."),
    ] = None,
    over: Annotated[str | None, typer.Option(help="total: typical, or dyads for the mean over all.")] = None,
    response: Annotated[str | None, typer.Option(help="impulse: plain or generalised.")] = None,
    horizon: Annotated[int | None, typer.Option(help="impulse: exchanges ahead; default: 10.")] = None,
    between: Annotated[str | None, typer.Option(help="regions, bands: LOW:HIGH; default: -3:3.")] = None,
    ci_prob: float = 0.95,
    out: Out = Path("effects.csv"),
) -> None:
    """Tell what follows from a fit: total and indirect effects, slopes, responses, paths of dyads, contrasts.

    With several kinds each has its own file: effects_slopes.csv and so on. Each row of a file says what its
    interval is: ci_prob, ci_kind (eti: equal-tailed).

    Example: bayesdyn effects fit.nc --kind slopes,regions --path "disclosure ~ empathy"
    """
    from bayesdyn.artefacts import read_tree
    from bayesdyn.study.manifest import check_out
    from bayesdyn.study.stages import write_csv

    kinds = list(dict.fromkeys(words(["total"] if kind is None else kind)))
    given = {
        "cause": cause, "outcome": outcome, "path": path, "moderator": moderator, "shock": shock,
        "expression": expression, "at": at, "over": over, "response": response, "horizon": horizon,
        "between": between,
    }  # fmt: skip
    _check(kinds, {name for name, value in given.items() if value is not None}, units)
    asked = Asked(
        cause, outcome, path, moderator, shock, tuple(expression or ()), _places(kinds, at or []), over,
        response, horizon, _bounds(between), units, ci_prob,
    )  # fmt: skip
    check_out(out, fit)
    files = {one: out if len(kinds) == 1 else out.with_stem(f"{out.stem}_{one}") for one in kinds}
    for file in files.values():
        check_out(file, fit)
    tree = read_tree(fit, "fit")
    # All are worked out before one is shown: a fault of the last leaves no half an answer.
    tables = {one: KINDS[one].table(tree, asked) for one in kinds}
    for one, table in tables.items():
        if len(kinds) > 1:
            typer.echo(f"{one}:")
        show(table)
        told = {name: table.attrs[name] for name in _TOLD if name in table.attrs}
        write_csv(table.assign(**told), files[one])
        say(f"wrote {files[one]}")


def _total(fit: "xr.DataTree", asked: Asked) -> "pd.DataFrame":
    from bayesdyn.effects import effects as run

    return run(
        fit, asked.cause, asked.outcome, at=asked.held, over=asked.over or "typical", ci_prob=asked.ci_prob,
        units=asked.units,
    )  # fmt: skip


def _standardised(fit: "xr.DataTree", asked: Asked) -> "pd.DataFrame":
    from bayesdyn.effects import standardised

    return standardised(fit, at=asked.held, ci_prob=asked.ci_prob)


def _slopes(fit: "xr.DataTree", asked: Asked) -> "pd.DataFrame":
    from bayesdyn.effects import simple_slopes

    return simple_slopes(fit, asked.path, at=asked.at, ci_prob=asked.ci_prob, units=asked.units)


def _bands(fit: "xr.DataTree", asked: Asked) -> "pd.DataFrame":
    from bayesdyn.effects.neyman import band_table

    return _along(band_table, fit, asked)


def _regions(fit: "xr.DataTree", asked: Asked) -> "pd.DataFrame":
    from bayesdyn.effects.neyman import region_table

    return _along(region_table, fit, asked)


def _along(table: "Callable[..., pd.DataFrame]", fit: "xr.DataTree", asked: Asked) -> "pd.DataFrame":
    return table(
        fit, asked.path, asked.moderator, at=asked.held, between=asked.between or (-3.0, 3.0),
        ci_prob=asked.ci_prob,
    )  # fmt: skip


def _impulse(fit: "xr.DataTree", asked: Asked) -> "pd.DataFrame":
    import pandas as pd

    from bayesdyn.effects import impulse_response

    names = fit["constant_data"].to_dataset()["construct"].values
    horizon = 10 if asked.horizon is None else asked.horizon
    tables = [
        impulse_response(
            fit, str(one), horizon=horizon, kind=asked.response or "plain", at=asked.held,
            ci_prob=asked.ci_prob, units=asked.units,
        )
        for one in ([asked.shock] if asked.shock else names)
    ]  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    # The equations are the same for every rise, and so is what is said of all rows.
    table.attrs = tables[0].attrs
    return table


def _dyads(fit: "xr.DataTree", asked: Asked) -> "pd.DataFrame":
    from bayesdyn.effects import dyad_paths

    return dyad_paths(fit, asked.path, ci_prob=asked.ci_prob)


def _contrast(fit: "xr.DataTree", asked: Asked) -> "pd.DataFrame":
    from bayesdyn.effects import contrast

    return contrast(fit, *asked.expressions, ci_prob=asked.ci_prob, units=asked.units)


@dataclass(frozen=True)
class _Kind:
    """How a kind is worked out, which options are for it, whether it has raw units."""

    table: Callable[["xr.DataTree", Asked], "pd.DataFrame"]
    options: tuple[str, ...]
    raw: bool = False


KINDS: dict[str, _Kind] = {
    "total": _Kind(_total, ("cause", "outcome", "at", "over"), raw=True),
    "standardised": _Kind(_standardised, ("at",)),
    "slopes": _Kind(_slopes, ("path", "at"), raw=True),
    "regions": _Kind(_regions, ("path", "moderator", "at", "between")),
    "bands": _Kind(_bands, ("path", "moderator", "at", "between")),
    "impulse": _Kind(_impulse, ("shock", "at", "response", "horizon"), raw=True),
    "dyads": _Kind(_dyads, ("path",)),
    "contrast": _Kind(_contrast, ("expression",), raw=True),
}


def _check(kinds: list[str], given: set[str], units: str) -> None:
    """Refuse unknown kinds, options that no kind asked for uses, and units that a kind does not have."""
    from bayesdyn.structure.language.words import did_you_mean, sentence

    faults = FaultList()
    if not kinds:
        faults.add("there is no kind", f"The kinds are {', '.join(KINDS)}", "--kind")
    known = [one for one in kinds if one in KINDS]
    for one in kinds:
        if one not in KINDS:
            listed = f"The kinds are {', '.join(KINDS)}"
            faults.add(f"there is no kind {one!r}", sentence(did_you_mean(one, KINDS), listed), "--kind")
        elif units == "raw" and not KINDS[one].raw:
            can = ", ".join(name for name, kind in KINDS.items() if kind.raw)
            faults.add(f"{one} is not told in raw units", f"Ask for standard units, or for {can}", "--units")
    used = {option for one in known for option in KINDS[one].options}
    for option in sorted(given - used) if known == kinds else ():
        users = ", ".join(one for one, kind in KINDS.items() if option in kind.options)
        faults.add(f"it is not for {', '.join(kinds)}", f"It is for --kind {users}", f"--{option}")
    faults.raise_if_any("Cannot tell these effects")


def _places(kinds: list[str], at: list[str]) -> dict[str, tuple[float, ...]]:
    faults = FaultList()
    found = {
        name: tuple(number(f"--at {name}", part, float) for part in text.split(":"))
        for name, text in pairs("--at", at).items()
    }
    for name, values in found.items():
        if len(values) > 1 and kinds != ["slopes"]:
            faults.add(f"{name} has {len(values)} values", "Give one; several are for --kind slopes", "--at")
    faults.raise_if_any("This option cannot be used")
    return found


def _bounds(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    faults, (low, _, high) = FaultList(), text.partition(":")
    if not high:
        faults.add(f"{text!r} is no range", "Write LOW:HIGH, such as -3:3", "--between")
    faults.raise_if_any("This option cannot be used")
    return number("--between", low, float), number("--between", high, float)
