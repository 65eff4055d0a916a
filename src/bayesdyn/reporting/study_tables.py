"""The report's tables of what came before the fit: measures, raters, agreement, counts."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.reporting.tables import Group, Table
from bayesdyn.reporting.words import count, interval, level, number, percent, stopped

MAIN_STATISTICS = ("ICC(A,1)", "pearson", "kappa quadratic", "alpha interval")
"""What the agreement table shows first; the other coefficients fold away."""


def reliability_table(measures: xr.Dataset | None, fit: xr.DataTree) -> Table:
    """Return each construct's reliability, floor, missing scores and unit.

    Without measures, the reliability is what the fit's standard errors imply:
    ``1 / (1 + mean squared standardised se)``.
    """
    constant, score = fit["constant_data"].to_dataset(), fit["observed_data"].to_dataset()["score"]
    given = measures if measures is not None else xr.Dataset()
    bounds, prob = _reliability_bounds(given)
    known = "identified_by" in given
    rows = []
    for name in map(str, constant["construct"].values):
        at = {"construct": name}
        implied = 1 / (1 + float(np.square(constant["se"].sel(at)).mean()))
        value = float(given["reliability"].sel(at)) if "reliability" in given else implied
        low, high = (float(bound.sel(at)) for bound in bounds) if bounds else (np.nan, np.nan)
        rows.append(
            (
                name,
                *((str(given["identified_by"].sel(at).item()),) if known else ()),
                number(value, 2),
                interval(low, high, digits=2),
                number(float(constant["kappa_sd"].sel(at)), 2),
                percent(float(given["floor_share"].sel(at)) if "floor_share" in given else np.nan),
                percent(float(np.isnan(score.sel(at)).mean())),
                number(float(constant["shift"].sel(at)), 2),
                number(float(constant["scale"].sel(at)), 2),
            )
        )
    source = "" if "reliability" in given else ", implied by the fit's standard errors"
    kind = f" with its equal-tailed {level(prob)} interval" if bounds else ""
    return Table(
        f"Reliability of each construct's score{source}{kind}; SD of its log error variance (0: taken as "
        "known exactly); share of ratings at the scale's floor; share of exchanges unrated; and where the "
        "standardised scale has its 0 and how long its unit is, in points of the rating scale.",
        (
            *(
                "construct",
                *(("error identified by",) if known else ()),
                "reliability",
                f"{level(prob)} interval",
                "SD of log variance",
                "at floor",
            ),
            *("unrated", "0 is at", "1 SD is"),
        ),
        (Group(tuple(rows)),),
        text_columns=2 if known else 1,
    )


def _reliability_bounds(measures: xr.Dataset) -> tuple[tuple[xr.DataArray, xr.DataArray] | None, float]:
    prob = float(measures.attrs.get("ci_prob", 0.9))
    if "reliability_lower" in measures and "reliability_upper" in measures:
        return (measures["reliability_lower"], measures["reliability_upper"]), prob
    if "reliability_draws" in measures:
        both = measures["reliability_draws"].quantile([(1 - prob) / 2, (1 + prob) / 2], dim="draw")
        return (both.isel(quantile=0), both.isel(quantile=1)), prob
    return None, prob


def rater_table(measures: xr.Dataset | None) -> Table | None:
    """Return the raters' severity, discrimination and error SD, or None where the measures have none."""
    parts = ("severity", "discrimination", "error_sd")
    if measures is None or "rater" not in measures.dims or not all(name in measures for name in parts):
        return None
    groups = []
    for construct in map(str, measures["construct"].values):
        own = measures[list(parts)].sel(construct=construct)
        rows = tuple(
            (str(rater), *(number(float(own[name].sel(rater=rater)), 2) for name in parts))
            for rater in own["rater"].values
            if np.isfinite(float(own["error_sd"].sel(rater=rater)))
        )
        groups.append(Group(rows, construct))
    return Table(
        "Raters, posterior means: severity and error SD in points of the scale, discrimination as a ratio.",
        ("rater", "severity", "discrimination", "error SD"),
        tuple(groups),
    )


def level_table(measures: xr.Dataset | None) -> Table | None:
    """Return reliabilities by level, the LLMs' shared error and their effective number; None if not told."""
    if measures is None or "level_reliability" not in measures:
        return None
    levels = [str(name) for name in measures["level"].values]
    rows = []
    for name in map(str, measures["construct"].values):
        own = measures.sel(construct=name)
        by_level = []
        for at in levels:
            low, middle, high = own["level_reliability"].sel(level=at).values
            told = (
                f"{number(middle, 2)} ({interval(low, high, 2)})" if np.isfinite(middle) else number(np.nan)
            )
            by_level.append(told)
        low, high = float(own["shared_error_lower"]), float(own["shared_error_upper"])
        share = number(np.nan)
        if high > 0:
            share = f"{number(float(own['shared_error']), 2)} ({interval(low, high, 2)})"
        rows.append((name, *by_level, share, number(float(own["effective_raters"]), 1)))
    return Table(
        "Reliability of the scores of exchanges within a session, of the means of sessions, and of the means "
        "of dyads; the share of error in what the LLMs have in common; and how many LLMs without shared "
        "error would tell as much as these do. Posterior means with equal-tailed 90 % intervals.",
        ("construct", *levels, "shared error", "effective LLMs"),
        (Group(tuple(rows)),),
    )


def budget_table(measures: xr.Dataset | None) -> Table | None:
    """Return the shares of one rating's variance, by source; None where the measures have none."""
    if measures is None or "error_budget" not in measures:
        return None
    sources = [str(name) for name in measures["source"].values]
    groups = []
    for construct in map(str, measures["construct"].values):
        own = measures["error_budget"].sel(construct=construct)
        rows = tuple(
            (str(rater), *(percent(float(own.sel(rater=rater, source=source))) for source in sources))
            for rater in own["rater"].values
            if np.isfinite(float(own.sel(rater=rater, source=sources[0])))
        )
        groups.append(Group(rows, construct))
    return Table(
        "What the variance of one rating is made of, posterior means. Dyad, session, exchange and replicates "
        "are the rater's own error.",
        ("rater", *sources),
        tuple(groups),
    )


def agreement_tables(agreement: pd.DataFrame | None) -> list[Table]:
    """Return the agreement that matters first, then the rest, level by level."""
    if agreement is None:
        return []
    main = agreement["statistic"].isin(MAIN_STATISTICS)
    exchange = agreement["level"] == "exchange"
    parts = [
        (agreement[main & exchange], "Agreement, exchange by exchange"),
        (agreement[~main & exchange], "The other coefficients, exchange by exchange"),
        (agreement[agreement["level"] == "session"], "Agreement of the means of sessions"),
        (agreement[agreement["level"] == "dyad"], "Agreement of the means of dyads"),
    ]
    return [_agreement(part, title) for part, title in parts if not part.empty]


def _agreement(part: pd.DataFrame, title: str) -> Table:
    prob = level(float(part["ci_prob"].iloc[0]))
    notes = part["note"].fillna("").unique().tolist()
    # A note that holds for every row is told once, in the caption.
    noted, told = (len(notes) > 1, "") if len(notes) != 1 else (False, stopped(notes[0]) if notes[0] else "")
    groups = []
    for construct, own in part.groupby("construct", sort=False):
        rows = []
        for row in own.itertuples():
            texts = [str(row.panel), str(row.statistic)] + ([str(row.note)] if noted else [])
            bounds = (
                interval(row.lower, row.upper, 2),
                interval(row.cluster_lower, row.cluster_upper, 2),
            )
            rows.append((*texts, number(row.estimate, 2), *bounds, count(row.n)))
        groups.append(Group(tuple(rows), str(construct)))
    texts = ("raters", "statistic") + (("note",) if noted else ())
    return Table(
        f"{title}, with {prob} intervals: as if all rows were independent, and with whole dyads drawn anew "
        f"(bootstrap percentiles). {told}".strip(),
        (*texts, "estimate", f"{prob}, independent", f"{prob}, dyads", "n"),
        tuple(groups),
        text_columns=len(texts),
    )


def count_tables(summary: Mapping[str, object], caption: str) -> list[Table]:
    """Return counts as tables: plain numbers first, then one table per nested mapping.

    Parameters
    ----------
    summary
        Names to numbers, to mappings of numbers, or to mappings of such mappings.
    caption
        Of the plain numbers.
    """
    plain = _rows({key.replace("_", " "): value for key, value in summary.items()})
    tables = [Table(caption, ("what", "count"), (Group(plain),))] if plain else []
    for key, value in summary.items():
        if not isinstance(value, Mapping) or not value:
            continue
        nested = [
            Group(_rows(inner), str(head)) for head, inner in value.items() if isinstance(inner, Mapping)
        ]
        own = [Group(_rows(value))] if _rows(value) else []
        what = "reason" if key == "set_aside" else key.rpartition("_by_")[2] if "_by_" in key else "what"
        tables.append(Table(stopped(key.replace("_", " ")), (what, "count"), tuple(own + nested)))
    return tables


def _rows(counts: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (str(name), count(value)) for name, value in counts.items() if isinstance(value, int | float)
    )
