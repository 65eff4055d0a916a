"""A plan of further ratings in the report: its curves and its table."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from bayesdyn.reporting.figures import Drawing, Panel, marker, multiples
from bayesdyn.reporting.svg import ERROR, MUTED, RULE
from bayesdyn.reporting.tables import Group, Table
from bayesdyn.reporting.words import listed, number
from bayesdyn.sweeps.planning.result import RatingPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = {
    "replicate": ("replicates", "of every LLM"),
    "llm": ("LLMs", "average ones"),
    "human_random": ("random coding", "by humans"),
    "human_stratified": ("stratified coding", "by humans, of outer thirds"),
}


def plan_figure(plan: RatingPlan) -> Drawing:
    """Return the curves: one panel per option, the posterior SD expected of the path over what is spent.

    Every panel shows the other options faintly, so that curves compare across panels. Panels are in the order
    of the options at the whole budget, the best first; the vertical axis does not begin at zero.
    """
    curves = {str(name): own.sort_values("spend") for name, own in plan.table.groupby("option")}
    low, high = float(plan.table["sd"].min()), float(plan.table["sd"].max())
    margin = 0.08 * (high - low or high)

    def draw(name: str) -> Callable[["Axes"], None]:
        def panel(axes: "Axes") -> None:
            for other in curves:
                if other != name:
                    axes.plot(curves[other]["spend"], curves[other]["sd"], color=RULE, lw=1.4, zorder=2)
            own = curves[name]
            axes.axhline(own["sd"].iloc[0], color=MUTED, lw=1, dashes=(2, 2), zorder=1)
            axes.plot(own["spend"], own["sd"], color=ERROR, lw=2, zorder=3)
            axes.plot(own["spend"].iloc[-1:], own["sd"].iloc[-1:], **marker(ERROR), ls="none", zorder=4)
            axes.set(xlim=(0, plan.budget * 1.03), ylim=(low - margin, high + margin))

        return panel

    order = [str(name) for name in plan.options["option"]]
    panels = [Panel(*_NAMES[name], draw(name)) for name in order]
    reached = plan.options.set_index("option")["sd"]
    alt = (
        f"Posterior SD expected of {plan.path_name} over what is spent. At {plan.budget:g}: "
        + "; ".join(f"{' '.join(_NAMES[name])}, {number(float(reached[name]))}" for name in order)
        + f". Now it is {number(float(plan.table['sd'].iloc[0]))}."
    )
    return multiples(panels, "spent", "plan", alt)


def plan_table(plan: RatingPlan) -> Table:
    """Return what the whole budget buys, the best first."""
    rows = tuple((str(row.buys), number(row.sd), number(row.relative)) for row in plan.options.itertuples())
    caption = (
        f"What {plan.budget:g} buys for {plan.path_name}: posterior SD expected, and that over the SD now."
    )
    return Table(caption, ("buys", "SD", "relative"), (Group(rows),))


def plan_notes(plan: RatingPlan) -> list[str]:
    """Return what each option assumes, then what all do."""
    assumed = [
        f"{_NAMES[str(row.option)][0].capitalize()}: {row.assumes}" for row in plan.options.itertuples()
    ]
    return [*assumed, *plan.notes]


def parts_in_words(parts: pd.DataFrame) -> str:
    """Return what the path's variance is made of now, as one sentence."""
    said = [f"{row.part} ({100 * row.share:.0f} %)" for row in parts.itertuples()]
    return f"The path's variance now comes of: {listed(said)}."
