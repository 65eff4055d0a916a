"""Which raters are compared, at which level, on which table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.measures.agreeing.coefficient import Floats
from bayesdyn.tables import KEY, check_ratings

Level = Literal["exchange", "session", "dyad"]
LEVELS: tuple[Level, ...] = get_args(Level)

_UNIT: dict[Level, list[str]] = {"exchange": KEY, "session": ["dyad", "session"], "dyad": ["dyad"]}
_LABEL = {"llm": "LLM", "human": "human"}
_MOST_POINTS = 100


@dataclass(frozen=True)
class Panel:
    """Raters to compare at one level.

    Attributes
    ----------
    name, kind, level, raters
        As the table of agreement tells them.
    values
        Ratings, shape (item, rater), NaN where unrated.
    dyad
        Number of each item's dyad.
    scale
        Ends of the scale; None where the ratings state none, or several.
    dropped
        Exchanges that some but not all of the raters rated.
    """

    name: str
    kind: str
    level: Level
    raters: tuple[str, ...]
    values: Floats
    dyad: NDArray[np.int64]
    scale: tuple[float, float] | None
    dropped: int


def one_table(
    ratings: pd.DataFrame, human: pd.DataFrame | None, faults: FaultList
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return all ratings in one table, and each rater's kind; raise with all faults, those given included."""
    table = check_ratings(ratings)
    if human is not None:
        coders = check_ratings(human).assign(rater_kind="human")
        both = sorted(set(table["rater"]) & set(coders["rater"]))
        if both:
            faults.add(f"rater {', '.join(both)} stands in both tables", "Give each rater a name of its own")
        keys = [*KEY, "construct"]
        if not coders[keys].merge(table[keys].drop_duplicates(), on=keys, how="inner").shape[0]:
            faults.add(
                "no exchange and construct of the human ratings is among the ratings",
                "Check that dyad, session, t and construct are spelled alike in both tables",
            )
        table = pd.concat([table, coders], ignore_index=True)
    table = table[table["value"].notna()]
    kinds = dict(zip(table["rater"], table["rater_kind"], strict=True))
    if len(kinds) < 2:
        found = ", ".join(kinds) or "none"
        faults.add(f"agreement needs two raters (found: {found})", "Rate with a second LLM, or give human=")
    faults.raise_if_any("Agreement cannot be computed")
    return table, kinds


def scale_of(part: pd.DataFrame) -> tuple[float, float] | None:
    """Return the ends of the one scale that a construct's ratings state; None where there is no such."""
    ends = part[["scale_min", "scale_max"]].dropna().drop_duplicates()
    if len(ends) != 1:
        return None
    low, high = float(ends.iloc[0, 0]), float(ends.iloc[0, 1])
    return (low, high) if (high - low) % 1 == 0 and 1 <= high - low < _MOST_POINTS else None


def panels_of(
    wide: pd.DataFrame,
    kinds: dict[str, str],
    scale: tuple[float, float] | None,
    levels: Sequence[Level],
    *,
    pairs: bool,
) -> Iterator[Panel]:
    """Yield every set of raters that is compared, at each level.

    Parameters
    ----------
    wide
        Ratings of one construct, one row an exchange (index dyad, session, t), one column a rater.
    kinds
        Each rater's kind.
    scale, levels, pairs
        See :class:`Panel` and :func:`bayesdyn.agreement`.
    """
    raters = [str(name) for name in wide.columns]
    groups = {kind: [name for name in raters if kinds[name] == kind] for kind in ("llm", "human")}
    sets = [(f"all {_LABEL[kind]}", members) for kind, members in groups.items() if len(members) > 2]
    if groups["llm"] and groups["human"] and len(raters) > 2:
        sets.append(("all raters", raters))
    for name, members in sets:
        yield from _at_levels(name, _kind(members, kinds), wide[members], scale, levels)
    if groups["llm"] and groups["human"] and len(raters) > 2:
        sides = {"humans": wide[groups["human"]].mean(axis=1), "LLMs": wide[groups["llm"]].mean(axis=1)}
        name = "mean of humans, mean of LLMs"
        yield from _at_levels(name, "human - LLM", pd.DataFrame(sides), scale, levels)
    if pairs or len(raters) == 2:
        for pair in combinations(raters, 2):
            yield from _at_levels(", ".join(pair), _kind(pair, kinds), wide[list(pair)], scale, levels)


def _at_levels(
    name: str, kind: str, wide: pd.DataFrame, scale: tuple[float, float] | None, levels: Sequence[Level]
) -> Iterator[Panel]:
    rated = wide[wide.notna().any(axis=1)]
    complete = rated.dropna()
    for level in levels:
        table = rated if level == "exchange" else complete.groupby(level=_UNIT[level], sort=True).mean()
        dyad = pd.factorize(table.index.get_level_values("dyad"))[0].astype(np.int64)
        yield Panel(
            name, kind, level, tuple(map(str, wide.columns)), table.to_numpy(dtype=float), dyad, scale,
            len(rated) - len(complete),
        )  # fmt: skip


def _kind(members: Sequence[str], kinds: dict[str, str]) -> str:
    found = {kinds[name] for name in members}
    return "human - LLM" if len(found) > 1 else " - ".join([_LABEL[found.pop()]] * 2)
