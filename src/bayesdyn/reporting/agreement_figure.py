"""Agreement at a glance: one row for each construct, one panel for each level, beside the paper's values."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesdyn.reporting.figures import NARROW, WIDE, Drawing, few_ticks, marker
from bayesdyn.reporting.svg import ERROR, MUTED, RULE, SMALL, TIP, Canvas
from bayesdyn.reporting.words import level as in_words
from bayesdyn.reporting.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATISTIC = "ICC(A,1)"
PAPER_RANGE = (0.45, 0.81)
PAPER_ICC = {"rapport": 0.81, "disclosure": 0.78}
"""Agreement of LLM scores with human coders in Chen et al., arXiv 2602.12450, as far as its abstract says."""

_MEANS = "mean of humans, mean of LLMs"
_ROW, _TOP, _FOOT, _GAP = 26, 30, 52, 30
_CHARACTER = 6.6


def shown_panel(agreement: pd.DataFrame) -> str:
    """Return the raters that are shown: humans against LLMs if there are both, else all, else a pair."""
    for name in (_MEANS, "all raters", "all LLM", "all human"):
        if (agreement["panel"] == name).any():
            return name
    against = agreement[agreement["kind"] == "human - LLM"]
    return str((agreement if against.empty else against)["panel"].iloc[0])


def agreement_figure(agreement: pd.DataFrame | None) -> Drawing | None:
    """Return the figure of a table as :func:`bayesdyn.agreement` gives it; None where it has nothing to show.

    Each disc is ICC(A,1), absolute agreement of single raters, its line the interval with whole dyads drawn
    anew, or that of independent rows where there are too few dyads. The band is the range that the paper
    reports, the diamonds its values for single constructs: of its raters and corpus, for orientation only.
    """
    if agreement is None:
        return None
    panel = shown_panel(agreement)
    rows = agreement[(agreement["statistic"] == STATISTIC) & (agreement["panel"] == panel)]
    rows = rows[rows["estimate"].notna()]
    if rows.empty:
        return None
    by_cluster = rows["cluster_lower"].notna()
    rows = rows.assign(
        low=rows["cluster_lower"].where(by_cluster, rows["lower"]),
        high=rows["cluster_upper"].where(by_cluster, rows["upper"]),
    )
    constructs = list(dict.fromkeys(agreement["construct"]))
    levels = list(dict.fromkeys(rows["level"]))
    ends = rows[["low", "high", "estimate"]].to_numpy(dtype=float)
    span = (min(0.0, float(np.nanmin(ends))) - 0.04, 1.04)

    def drawn(width: int, columns: int, name: str) -> str:
        label = min(_CHARACTER * max(map(len, constructs)) + 14, width / 2)
        wide = (width - label - (columns - 1) * _GAP - 8) / columns
        tall = _ROW * len(constructs)
        blocks = [levels[i : i + columns] for i in range(0, len(levels), columns)]
        canvas = Canvas(width, len(blocks) * (_TOP + tall + 30) + _FOOT - 26)
        for number_of, block in enumerate(blocks):
            top = number_of * (_TOP + tall + 30) + _TOP
            for place, construct in enumerate(constructs):
                canvas.text(label - 12, top + _ROW * (place + 0.5) + 4, construct, align="right")
            for column, level in enumerate(block):
                left = label + column * (wide + _GAP)
                canvas.text(left, top - 10, level, bold=True)
                own = rows[rows["level"] == level].set_index("construct")
                _panel(canvas.axes(left, top, wide, tall), own, constructs, span)
        canvas.text(
            label + (width - label) / 2, canvas.height - 6, STATISTIC, size=SMALL, color=MUTED, align="center"
        )
        return canvas.svg(name)

    prob = in_words(float(rows["ci_prob"].iloc[0]))
    alt = (
        f"{STATISTIC} of {panel}, with {prob} intervals: "
        + "; ".join(f"{row.construct}, {row.level}, {number(row.estimate, 2)}" for row in rows.itertuples())
        + f". The paper reports {PAPER_RANGE[0]} to {PAPER_RANGE[1]}."
    )
    return Drawing(drawn(WIDE, len(levels), "agreement-wide"), drawn(NARROW, 1, "agreement-narrow"), alt)


def _panel(axes: "Axes", own: pd.DataFrame, constructs: list[str], span: tuple[float, float]) -> None:
    axes.axvspan(*PAPER_RANGE, color=RULE, alpha=0.4, lw=0, zorder=0)
    axes.axvline(0, color=MUTED, lw=1, zorder=1)
    for place, construct in enumerate(constructs):
        if construct in PAPER_ICC:
            axes.plot(
                [PAPER_ICC[construct]], [place], marker="D", ms=5.5, mfc="none", mec=TIP, ls="none", zorder=2
            )
        if construct in own.index:
            row = own.loc[construct]
            axes.hlines(place, row["low"], row["high"], color=ERROR, lw=2, zorder=3)
            axes.plot([row["estimate"]], [place], **marker(ERROR), ls="none", zorder=4)
    axes.set(xlim=span, ylim=(len(constructs) - 0.5, -0.5), yticks=[])
    axes.spines["left"].set_visible(False)
    few_ticks(axes)
