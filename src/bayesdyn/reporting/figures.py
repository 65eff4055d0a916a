"""The report's figures of a fit, each drawn twice: for a wide page and for a phone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pandas as pd

from bayesdyn.reporting.svg import ERROR, MUTED, NAIVE, PAPER, RULE, SMALL, TEXT, TIP, Canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator

WIDE, NARROW = 840, 372
_CHARACTER = 6.6  # pixels; the mean width of a character of 12.5 px sans serif, rounded up
_ROW, _GAP, _TITLE, _FOOT = 26, 30, 42, 34


@dataclass(frozen=True)
class Drawing:
    """One figure as two SVG elements, and what it shows in words for who cannot see it."""

    wide: str
    narrow: str
    alt: str


@dataclass(frozen=True)
class Panel:
    """One small multiple: two lines of title, and how to draw it."""

    title: str
    subtitle: str
    draw: Callable[["Axes"], None]


def forest(paths: pd.DataFrame, naive: pd.DataFrame | None, *, is_naive: bool) -> Drawing:
    """Return the forest plot of paths: one column of panels per outcome, one row per term.

    Parameters
    ----------
    paths
        Columns ``outcome, term, mean, lower, upper``, in the order to show.
    naive
        The same for scores taken as free of error, or None.
    is_naive
        Whether ``paths`` itself takes the scores as free of error.
    """
    colour = NAIVE if is_naive else ERROR
    series = [(paths, colour)] if naive is None else [(paths, colour), (naive, NAIVE)]
    limits = span(*(frame[["lower", "upper"]] for frame, _ in series))
    outcomes = list(dict.fromkeys(paths["outcome"]))

    def drawn(width: int, columns: int, name: str) -> str:
        blocks = [outcomes[i : i + columns] for i in range(0, len(outcomes), columns)]
        terms = [list(dict.fromkeys(paths.loc[paths["outcome"].isin(block), "term"])) for block in blocks]
        label = min(_CHARACTER * max(len(term) for block in terms for term in block) + 14, width / 2)
        panel = (width - label - (columns - 1) * _GAP - 8) / columns
        height = sum(_TITLE - 12 + _ROW * len(block) + 30 for block in terms) + _FOOT - 18
        canvas, top = Canvas(width, height), 0.0
        for block, rows in zip(blocks, terms, strict=True):
            top += _TITLE - 12
            tall = _ROW * len(rows)
            for place, term in enumerate(rows):
                canvas.text(label - 12, top + _ROW * (place + 0.5) + 4, term, align="right")
            for column, outcome in enumerate(block):
                left = label + column * (panel + _GAP)
                canvas.text(left, top - 10, outcome, bold=True)
                axes = canvas.axes(left, top, panel, tall)
                _forest_panel(axes, outcome, rows, series, limits)
            top += tall + 30
        middle = label + (width - label) / 2
        canvas.text(
            middle,
            height - 8,
            "SD of the outcome per SD of the term",
            size=SMALL,
            color=MUTED,
            align="center",
        )
        return canvas.svg(name)

    what = "with measurement error against scores taken as free of error" if naive is not None else ""
    return Drawing(
        drawn(WIDE, min(3, len(outcomes)), "forest-wide"),
        drawn(NARROW, 1, "forest-narrow"),
        f"Forest plot of {len(paths)} paths {what}: posterior means with equal-tailed 95 % intervals. "
        "The path table holds the same numbers.",
    )


def _forest_panel(
    axes: "Axes",
    outcome: str,
    rows: Sequence[str],
    series: Sequence[tuple[pd.DataFrame, str]],
    span: tuple[float, float],
) -> None:
    for place in range(0, len(rows), 2):
        axes.axhspan(place - 0.5, place + 0.5, color=RULE, alpha=0.28, lw=0, zorder=0)
    axes.axvline(0, color=MUTED, lw=1, zorder=1)
    offset = 0.17 if len(series) > 1 else 0.0
    for sign, (frame, colour) in zip((-1, 1), series, strict=False):
        own = frame[frame["outcome"] == outcome].set_index("term")
        own = own.loc[[term for term in rows if term in own.index]]
        y = np.array([rows.index(term) for term in own.index]) + sign * offset
        axes.hlines(y, own["lower"], own["upper"], color=colour, lw=2.0 if colour == ERROR else 1.6, zorder=2)
        axes.plot(own["mean"], y, **marker(colour), ls="none", zorder=3)
    axes.set(xlim=span, ylim=(len(rows) - 0.5, -0.5), yticks=[])
    axes.spines["left"].set_visible(False)
    few_ticks(axes)


def sweep(paths: pd.DataFrame, tipping: dict[str, float]) -> Drawing:
    """Return the sensitivity sweep: one panel per path, its mean and interval over the factor.

    Parameters
    ----------
    paths
        Columns ``outcome, term, path_name, factor, mean, lower, upper``; factor 0 is no error at all.
    tipping
        Path name to the factor where its interval starts or stops excluding zero.
    """
    low, high = span(paths[["lower", "upper"]])
    factors = sorted(paths["factor"].unique())

    def draw(name: str, frame: pd.DataFrame) -> Callable[["Axes"], None]:
        frame = frame.sort_values("factor")
        none, some = frame[frame["factor"] == 0], frame[frame["factor"] > 0]

        def panel(axes: "Axes") -> None:
            axes.axhline(0, color=MUTED, lw=1, zorder=1)
            axes.axvline(1, color=RULE, lw=1, zorder=1)
            axes.fill_between(
                some["factor"], some["lower"], some["upper"], color=ERROR, alpha=0.17, lw=0, zorder=2
            )
            axes.plot(frame["factor"], frame["mean"], color=NAIVE, lw=1, dashes=(2, 2), zorder=3)
            axes.plot(some["factor"], some["mean"], color=ERROR, lw=2, zorder=4)
            axes.plot(some["factor"], some["mean"], **marker(ERROR, 4.5), ls="none", zorder=5)
            axes.vlines(none["factor"], none["lower"], none["upper"], color=NAIVE, lw=1.6, zorder=4)
            axes.plot(none["factor"], none["mean"], **marker(NAIVE), ls="none", zorder=5)
            if np.isfinite(tipping.get(name, np.nan)):
                axes.plot(
                    [tipping[name]], [0], marker="D", ms=6.5, mfc=TIP, mec=PAPER, mew=1.2, ls="none", zorder=6
                )
            axes.set(xlim=(factors[0] - 0.12, factors[-1] + 0.12), ylim=(low, high), xticks=factors)
            axes.set_xticklabels([f"{factor:g}" for factor in factors])

        return panel

    panels = [
        Panel(str(frame["outcome"].iloc[0]), f"on {frame['term'].iloc[0]}", draw(str(name), frame))
        for name, frame in paths.groupby("path_name", sort=False)
    ]
    crossing = sum(bool(np.isfinite(tipping.get(str(name), np.nan))) for name in paths["path_name"].unique())
    alt = (
        f"Reliability sweep of {len(panels)} paths over the factors {', '.join(f'{f:g}' for f in factors)}: "
        f"{crossing} have a tipping point in this range. The text and table below say where."
    )
    return multiples(panels, "error variance, as a multiple of the estimate", "sweep", alt)


def multiples(panels: Sequence[Panel], label: str, name: str, alt: str, foot: int = 0) -> Drawing:
    """Lay panels out with shared axes, outcomes as columns on a wide page, two columns on a phone.

    ``foot`` is what the labels below a panel need beyond one line, in pixels.
    """
    outcomes = list(dict.fromkeys(panel.title for panel in panels))
    by_outcome = [[panel for panel in panels if panel.title == outcome] for outcome in outcomes]
    columns = len(outcomes) if 2 <= len(outcomes) <= 4 else 3
    if 2 <= len(outcomes) <= 4:
        depth = max(map(len, by_outcome))
        placed: list[Panel | None] = [
            own[row] if row < len(own) else None for row in range(depth) for own in by_outcome
        ]
    else:
        placed = list(panels)
    flat: list[Panel | None] = [panel for own in by_outcome for panel in own]
    return Drawing(
        _grid(placed, columns, WIDE, 118, label, f"{name}-wide", foot),
        _grid(flat, 2, NARROW, 96, label, f"{name}-narrow", foot),
        alt,
    )


def _grid(
    placed: Sequence[Panel | None], columns: int, width: int, tall: int, label: str, name: str, foot: int
) -> str:
    rows = -(-len(placed) // columns)
    left = 40.0
    gap = _GAP if width > NARROW else 14
    wide = (width - left - 8 - (columns - 1) * gap) / columns
    step = _TITLE + tall + 30 + foot
    canvas = Canvas(width, rows * step + 14)
    size = TEXT if width > NARROW else SMALL + 0.5
    for place, panel in enumerate(placed):
        if panel is None:
            continue
        row, column = divmod(place, columns)
        x, y = left + column * (wide + gap), row * step + _TITLE
        canvas.text(x, y - 24, panel.title, size=size, bold=True)
        canvas.text(x, y - 9, panel.subtitle, size=size - 0.5, color=MUTED)
        axes = canvas.axes(x, y, wide, tall)
        panel.draw(axes)
        axes.yaxis.set_major_locator(_locator())
        axes.grid(axis="y", color=RULE, lw=0.8, alpha=0.6)
        axes.spines["left"].set_visible(False)
        if column:
            axes.set_yticklabels([])
    used = min(columns, len(placed))
    middle = left + (used * wide + (used - 1) * gap) / 2
    canvas.text(middle, canvas.height - 8, label, size=SMALL, color=MUTED, align="center")
    return canvas.svg(name)


class Marker(TypedDict):
    """What matplotlib's ``plot`` takes of a marker: shape, size, fill, edge and its width."""

    marker: str
    ms: float
    mfc: str
    mec: str
    mew: float


def marker(colour: str, size: float = 6.0) -> Marker:
    """Return a disc for error, a ring for naive: told apart without colour too."""
    if colour == NAIVE:
        return {"marker": "o", "ms": size - 0.5, "mfc": PAPER, "mec": NAIVE, "mew": 1.6}
    return {"marker": "o", "ms": size + 0.5, "mfc": colour, "mec": PAPER, "mew": 1.0}


def span(*frames: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold every bound and zero, with a margin."""
    low = min(0.0, *(float(frame["lower"].min()) for frame in frames))
    high = max(0.0, *(float(frame["upper"].max()) for frame in frames))
    margin = 0.06 * (high - low or 1.0)
    return low - margin, high + margin


def few_ticks(axes: "Axes") -> None:
    """Give a panel at most five ticks at round numbers, and a faint grid."""
    axes.xaxis.set_major_locator(_locator())
    axes.grid(axis="x", color=RULE, lw=0.8, alpha=0.7)
    axes.tick_params(axis="x", labelcolor=MUTED)


def _locator() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10])
