"""The figures of what follows from a fit: simple slopes, impulse responses, the paths of dyads."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesdyn.reporting.figures import Drawing, Panel, marker, multiples, span
from bayesdyn.reporting.slopes import PLACES, SlopeLine
from bayesdyn.reporting.svg import ERROR, MUTED, NAIVE, TIP
from bayesdyn.reporting.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_MARKED = 40  # dyads: beyond this their discs would hide each other and their intervals


def slopes(lines: Sequence[SlopeLine], naive: Sequence[SlopeLine] = (), *, is_naive: bool) -> Drawing:
    """Return the simple slopes: one panel per behaviour and outcome, the slope over the moderator.

    Below each of the places -1, 0 and +1 stands the probability that the slope is positive there; the zero
    line is thick where the interval excludes zero.

    Parameters
    ----------
    lines
        What to show, with bands.
    naive
        The same of scores taken as free of error: posterior means only, dashed.
    is_naive
        Whether ``lines`` itself takes the scores as free of error.
    """
    colour = NAIVE if is_naive else ERROR
    others = {line.key: line for line in naive}
    limits = span(*(pd.DataFrame({"lower": line.lower, "upper": line.upper}) for line in lines))

    def draw(line: SlopeLine) -> Callable[["Axes"], None]:
        def panel(axes: "Axes") -> None:
            axes.axhline(0, color=MUTED, lw=1, zorder=1)
            for start, stop, _ in line.regions:
                axes.hlines(0, start, stop, color=TIP, lw=4.5, zorder=3)
            axes.fill_between(line.grid, line.lower, line.upper, color=colour, alpha=0.17, lw=0, zorder=2)
            axes.plot(line.grid, line.mean, color=colour, lw=2, zorder=4)
            axes.plot(
                [point.at for point in line.points], [point.mean for point in line.points],
                **marker(colour), ls="none", zorder=5,
            )  # fmt: skip
            other = others.get(line.key)
            if other is not None:
                axes.plot(other.grid, other.mean, color=NAIVE, lw=1.6, dashes=(3.2, 2.2), zorder=3)
            axes.set(xlim=(-2, 2), ylim=limits, xticks=[-2, *PLACES, 2])
            beside = [short(point.prob_positive) for point in line.points]
            axes.set_xticklabels(["", *(f"{at}\n{p}" for at, p in zip(_SIGNED, beside, strict=True)), ""])

        return panel

    panels = [Panel(line.outcome, f"slope of {line.behaviour}", draw(line)) for line in lines]
    moderators = ", ".join(dict.fromkeys(line.moderator for line in lines))
    alt = (
        f"Simple slopes over {moderators}: {len(lines)} panels, posterior mean with an equal-tailed 95 % "
        "band and the probability of a positive slope at -1, 0 and +1 SD. The tables below hold the numbers."
    )
    label = f"{moderators} (SD from its centre); below it, Pr(slope > 0)"
    return multiples(panels, label, "slopes", alt, foot=14)


_SIGNED = ("−1", "0", "+1")


def responses(table: pd.DataFrame, *, is_naive: bool) -> Drawing:
    """Return impulse responses: one panel per rise and response, over the exchanges ahead.

    Parameters
    ----------
    table
        Columns ``shock, response, ahead, mean, lower, upper``.
    is_naive
        Whether the fit takes the scores as free of error.
    """
    colour = NAIVE if is_naive else ERROR
    limits, last = span(table[["lower", "upper"]]), int(table["ahead"].max())

    def draw(frame: pd.DataFrame) -> Callable[["Axes"], None]:
        def panel(axes: "Axes") -> None:
            ahead = frame["ahead"].to_numpy()
            axes.axhline(0, color=MUTED, lw=1, zorder=1)
            axes.fill_between(
                ahead, frame["lower"].to_numpy(), frame["upper"].to_numpy(), color=colour, alpha=0.17, lw=0,
                zorder=2,
            )  # fmt: skip
            axes.plot(ahead, frame["mean"].to_numpy(), color=colour, lw=2, zorder=3)
            axes.plot(ahead[:1], frame["mean"].to_numpy()[:1], **marker(colour), ls="none", zorder=4)
            axes.set(xlim=(-0.4, last + 0.2), ylim=limits, xticks=[0, last // 2, last])

        return panel

    panels = [
        Panel(str(response), f"after a rise of {shock}", draw(frame))
        for (shock, response), frame in table.groupby(["shock", "response"], sort=False)
    ]
    alt = (
        f"Impulse responses: {len(panels)} panels over {last} exchanges, posterior mean with an equal-tailed "
        "95 % band. The table below gives the response at once, in the next exchange, and in sum."
    )
    return multiples(panels, "exchanges after the rise", "responses", alt)


def dyads(table: pd.DataFrame, common: dict[str, float], *, is_naive: bool) -> Drawing:
    """Return the paths of dyads: one panel per path, dyads sorted by posterior mean, with intervals.

    Parameters
    ----------
    table
        As :func:`bayesdyn.effects.dyad_paths` gives.
    common
        The posterior mean of each common path, by name.
    is_naive
        Whether the fit takes the scores as free of error.
    """
    colour = NAIVE if is_naive else ERROR
    limits = span(table[["lower", "upper"]])

    def draw(frame: pd.DataFrame, centre: float) -> Callable[["Axes"], None]:
        def panel(axes: "Axes") -> None:
            own = frame.sort_values("mean")
            rank = np.arange(1, len(own) + 1)
            many = len(own) > _MOST_MARKED
            axes.axhline(0, color=MUTED, lw=1, zorder=1)
            axes.axhline(centre, color=TIP, lw=1.2, dashes=(3.2, 2.2), zorder=2)
            wide = 0.8 if many else 1.6
            axes.vlines(rank, own["lower"], own["upper"], color=colour, lw=wide, alpha=0.6, zorder=3)
            axes.plot(rank, own["mean"], **marker(colour, 3.0 if many else 5.5), ls="none", zorder=4)
            axes.set(xlim=(0.2, len(own) + 0.8), ylim=limits, xticks=[1, len(own)])

        return panel

    panels = []
    for name, frame in table.groupby("path", sort=False):
        outcome, _, term = str(name).partition(" ~ ")
        pooling = f"pooling {number(float(frame['pooling'].iloc[0]), 2)}"
        panels.append(Panel(outcome, f"{term} · {pooling}", draw(frame, common[str(name)])))
    alt = (
        f"Paths of {table['dyad'].nunique()} dyads: {len(panels)} panels, sorted by posterior mean, with "
        "equal-tailed 95 % intervals and the common path. The table below sums them up."
    )
    return multiples(panels, "dyads, sorted by posterior mean", "dyads", alt)


def short(probability: float) -> str:
    """Return a probability with two decimals; draws cannot show 0 or 1, so the ends are bounds."""
    if probability > 0.995:
        return "> .99"
    return "< .01" if probability < 0.005 else f"{probability:.2f}".removeprefix("0")
