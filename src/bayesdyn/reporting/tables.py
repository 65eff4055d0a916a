"""The report's tables of a fit as plain rows of text, which the template lays out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bayesdyn.fitting.diagnostics import BFMI, ESS_PER_CHAIN, RHAT, Verdict
from bayesdyn.reporting.slopes import SlopeLine
from bayesdyn.reporting.words import ABSENT, count, interval, number, probability


@dataclass(frozen=True)
class Group:
    """Rows under one heading; the first cell of a row is its header."""

    rows: tuple[tuple[str, ...], ...]
    heading: str = ""


@dataclass(frozen=True)
class Table:
    """A table: its caption, its column heads, its rows, how many lead columns hold text and not numbers."""

    caption: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    text_columns: int = 1


def path_table(paths: pd.DataFrame, naive: pd.DataFrame | None, caption: str) -> Table:
    """Return paths by outcome, with the naive mean and interval beside where there is one.

    Parameters
    ----------
    paths
        Columns ``outcome, term, label``, and those of :func:`bayesdyn.summary`.
    naive
        Columns ``outcome, term, mean, lower, upper``, or None.
    caption
        What the table holds, with kind and probability of its intervals.
    """
    others = {} if naive is None else {(row.outcome, row.term): row for row in naive.itertuples()}
    groups = []
    for outcome, part in paths.groupby("outcome", sort=False):
        rows = []
        for row in part.itertuples():
            beside: tuple[str, ...] = ()
            if naive is not None:
                other = others.get((row.outcome, row.term))
                beside = (
                    (number(other.mean), interval(other.lower, other.upper)) if other else (ABSENT, ABSENT)
                )
            estimate = (number(row.mean), number(row.sd), interval(row.lower, row.upper))
            sampled = (number(row.rhat), count(row.ess_bulk), count(row.ess_tail))
            rows.append(
                (str(row.term), str(row.label), *estimate, probability(row.prob_positive), *beside, *sampled)
            )
        groups.append(Group(tuple(rows), str(outcome)))
    columns = ["path", "label", "mean", "SD", "95 % interval", "Pr(> 0)"]
    columns += ["naive mean", "naive 95 % interval"] if naive is not None else []
    columns += ["R-hat", "ESS bulk", "ESS tail"]
    return Table(caption, tuple(columns), tuple(groups), text_columns=2)


def plain_table(frame: pd.DataFrame, caption: str) -> Table:
    """Return a summary as it is: one row per quantity, no outcomes, no second fit."""
    rows = tuple(
        (
            str(row.Index),
            number(row.mean),
            number(row.sd),
            interval(row.lower, row.upper),
            probability(row.prob_positive),
        )
        for row in frame.itertuples()
    )
    return Table(caption, ("quantity", "mean", "SD", "95 % interval", "Pr(> 0)"), (Group(rows),))


def slope_table(lines: Sequence[SlopeLine]) -> Table:
    """Return the slopes at -1, 0 and +1 SD of the moderator."""
    groups = []
    for outcome in dict.fromkeys(line.outcome for line in lines):
        rows = tuple(
            (
                line.behaviour,
                _place(line.moderator, point.at),
                number(point.mean),
                interval(point.lower, point.upper),
                probability(point.prob_positive),
            )
            for line in lines
            if line.outcome == outcome
            for point in line.points
        )
        groups.append(Group(rows, outcome))
    return Table(
        "Simple slopes: posterior mean, equal-tailed 95 % interval, and probability of a positive slope.",
        ("slope of", "where", "mean", "95 % interval", "Pr(slope > 0)"),
        tuple(groups),
        text_columns=2,
    )


def _place(moderator: str, at: float) -> str:
    if not at:
        return f"{moderator} at its centre"
    return f"{moderator} at {'+' if at > 0 else ''}{number(at, 0)} SD"


def diagnostics_table(verdicts: Mapping[str, tuple[Verdict, int]]) -> Table:
    """Return one row per fit: the worst over its quantities.

    Parameters
    ----------
    verdicts
        A fit's name to its verdict and number of chains.
    """
    rows = tuple(
        (
            name,
            "sound" if found.ok else "problems",
            number(found.rhat),
            count(found.ess_bulk),
            count(found.ess_tail),
            count(ESS_PER_CHAIN * chains),
            count(found.divergences),
            count(found.max_depth_hits),
            number(found.bfmi, 2),
        )
        for name, (found, chains) in verdicts.items()
    )
    columns = ("fit", "verdict", "R-hat", "ESS bulk", "ESS tail", "ESS wanted", "divergences", "depth limit")
    return Table(
        f"The worst over all quantities. Wanted: R-hat below {RHAT}, ESS as in its column, no divergence, "
        f"BFMI of at least {BFMI}.",
        (*columns, "BFMI"),
        (Group(rows),),
        text_columns=2,
    )


def refit_table(table: pd.DataFrame) -> Table:
    """Return one row per refit of the sweep, with its diagnostics and identity."""
    rows = tuple(
        (
            str(row.alternative),
            str(row.fit)[:12],
            number(row.factor, 2),
            number(row.rhat),
            count(row.ess_bulk),
            count(row.divergences),
        )
        for row in table.itertuples()
    )
    columns = ("alternative", "fit", "factor", "worst R-hat", "least ESS", "divergences")
    caption = "Refits of the sweep; a fit is named by the first digits of its sha256."
    return Table(caption, columns, (Group(rows),), text_columns=2)
