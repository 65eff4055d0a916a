"""What the rater model says of the real ratings, as tables of text."""

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

import bayesdyn as bd
from bayesdyn.measures.dataset import read_notes

FLAT = (1.0, 1.0)
DRAWS = 1000
"""Of each chain: six raters of 50 items mix slowly."""


def number(value: float) -> str:
    """Return a figure to two places, without the zero before the point."""
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.2f}"


def shared_error_tables(both: Sequence[pd.DataFrame]) -> dict[str, pd.DataFrame | list[str]]:
    """Return the tables of experts beside LLMs.

    Parameters
    ----------
    both
        Ratings of each framework, humans and LLMs in one table.
    """
    made = [_measured(table) for table in both]
    flat = [_measured(table, FLAT) for table in both]
    return {
        "reliability": pd.concat(
            [_reliability(found).join(_consistency(table)) for found, table in zip(made, both, strict=True)]
        ),
        "shared": pd.concat(
            [_shared(ours, other) for ours, other in zip(made, flat, strict=True)]
        ),
        "budget": pd.concat(map(_budget, made)),
        "notes": list(dict.fromkeys(line for one in made for line in read_notes(one))),
    }  # fmt: skip


def crossed_tables(ratings: pd.DataFrame) -> dict[str, pd.DataFrame | list[str]]:
    """Return the tables of annotators who all rated all."""
    start = time.perf_counter()
    measures = bd.measure(ratings)
    print(f"annotators: {time.perf_counter() - start:.0f} s")
    return {
        "annotators-reliability": _crossed_reliability(measures),
        "annotators-budget": _crossed_budget(measures),
        "annotators": _annotators(measures),
        "annotators-notes": read_notes(measures),
    }


def _measured(table: pd.DataFrame, shared_prior: tuple[float, float] = (1.0, 4.0)) -> xr.Dataset:
    start = time.perf_counter()
    llm = table["rater_kind"] == "llm"
    found = bd.measure(table[llm], human=table[~llm], shared_prior=shared_prior, draws=DRAWS)
    print(f"experts and LLMs, prior {shared_prior}: {time.perf_counter() - start:.0f} s")
    return found


def _parts(measures: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return each rater's draws of loading, shared SD and own SD, in units of the true score's SD."""
    unit = np.sqrt(measures["variance_draws"])
    shared, own = (measures[f"{name}_draws"] / unit for name in ("shared", "error_sd"))
    return measures["discrimination_draws"], shared, own


def of_one(measures: xr.Dataset) -> xr.DataArray:
    """Return draws of each rater's reliability: the true score's share of one rating's variance."""
    loading, shared, own = _parts(measures)
    return loading**2 / (loading**2 + shared**2 + own**2)


def of_several(measures: xr.Dataset, kind: str) -> xr.DataArray:
    """Return draws of the reliability of all raters of a kind together, best weighted.

    Information of the errors' covariance D + h h' by Sherman & Morrison: l'D^-1 l - (l'D^-1 h)^2 /
    (1 + h'D^-1 h).
    """
    loading, shared, own = (part.sel(rater=measures["rater_kind"] == kind) for part in _parts(measures))
    square, cross, drag = (
        (a * b / own**2).sum("rater") for a, b in ((loading, loading), (loading, shared), (shared, shared))
    )
    told = square - cross**2 / (1 + drag)
    return told / (1 + told)


def _told(draws: xr.DataArray | np.ndarray) -> str:
    low, high = np.quantile(draws, [0.05, 0.95])
    return f"{number(float(np.mean(draws)))} ({number(low)}, {number(high)})"


def _reliability(measures: xr.Dataset) -> pd.DataFrame:
    one = of_one(measures)
    human, llm = (
        one.sel(rater=measures["rater_kind"] == kind).mean("rater") for kind in ("human", "llm")
    )  # fmt: skip
    three = {kind: of_several(measures, kind) for kind in ("human", "llm")}
    rows = {
        str(name): {
            "one expert": _told(human.sel(construct=name)),
            "one LLM": _told(llm.sel(construct=name)),
            "LLM less expert": _told((llm - human).sel(construct=name)),
            "three experts": _told(three["human"].sel(construct=name)),
            "three LLMs": _told(three["llm"].sel(construct=name)),
            "all six": _told(measures["reliability_draws"].sel(construct=name)),
        }
        for name in measures["construct"].to_numpy()
    }
    return pd.DataFrame(rows).T.rename_axis("dimension")


def _consistency(table: pd.DataFrame) -> pd.DataFrame:
    """Return the plain ICC(C,1) of experts and of LLMs, which counts all that they agree on as true."""
    found = bd.agreement(table, levels=["exchange"], pairs=False, bootstrap=0)
    found = found[found["statistic"] == "ICC(C,1)"].set_index(["construct", "panel"])["estimate"]
    heads = {"all human": "ICC(C,1), experts", "all LLM": "ICC(C,1), LLMs"}
    return pd.DataFrame(
        {head: found.xs(panel, level="panel").map(number) for panel, head in heads.items()}
    ).rename_axis("dimension")


def _shared(measures: xr.Dataset, flat: xr.Dataset) -> pd.DataFrame:
    llm = measures["rater_kind"] == "llm"
    severity = measures["severity_draws"].sel(rater=llm).mean("rater")
    discrimination = measures["discrimination_draws"].sel(rater=llm).mean("rater")
    several, one = of_several(measures, "llm"), of_one(measures).sel(rater=llm)
    effective = several / (1 - several) / (one / (1 - one)).mean("rater")
    rows = {
        str(name): {
            "shared error": _bounds(measures.sel(construct=name)),
            "under a flat prior": _bounds(flat.sel(construct=name)),
            "effective LLMs, of 3": _told(effective.sel(construct=name)),
            "LLMs' mean severity": _told(severity.sel(construct=name)),
            "LLMs' mean discrimination": _told(discrimination.sel(construct=name)),
        }
        for name in measures["construct"].to_numpy()
    }
    return pd.DataFrame(rows).T.rename_axis("dimension")


def _bounds(one: xr.Dataset) -> str:
    middle, low, high = (float(one[f"shared_error{end}"]) for end in ("", "_lower", "_upper"))
    return f"{number(middle)} ({number(low)}, {number(high)})"


def _budget(measures: xr.Dataset) -> pd.DataFrame:
    kinds = measures["rater_kind"]
    human, llm = (
        measures["error_budget"].sel(rater=kinds == kind).mean("rater") for kind in ("human", "llm")
    )  # fmt: skip
    own = ["dyad", "session", "exchange", "replicates"]
    rows = {}
    for name in measures["construct"].to_numpy():
        ours, theirs = llm.sel(construct=name), human.sel(construct=name)
        rows[str(name)] = {
            "LLM: true score": _percent(ours.sel(source="true score")),
            "LLM: shared error": _percent(ours.sel(source="shared by LLMs")),
            "LLM: its own": _percent(ours.sel(source=own).sum()),
            "expert: true score": _percent(theirs.sel(source="true score")),
            "expert: their own": _percent(theirs.sel(source=own).sum()),
        }
    return pd.DataFrame(rows).T.rename_axis("dimension")


def _percent(share: xr.DataArray) -> str:
    return f"{float(share):.0%}"


def _crossed_reliability(measures: xr.Dataset) -> pd.DataFrame:
    one = of_one(measures).mean("rater")
    level = measures["level_reliability"]
    rows = {}
    for name in measures["construct"].to_numpy():
        found = level.sel(construct=name)
        rows[str(name)] = {
            "one annotator": _told(one.sel(construct=name)),
            "ten annotators": _told(measures["reliability_draws"].sel(construct=name)),
            **{
                head: _told_bounds(found.sel(level=which))
                for which, head in (
                    ("exchange", "ten, utterances within a transcript"),
                    ("session", "ten, means of transcripts"),
                )
            },
        }
    return pd.DataFrame(rows).T.rename_axis("code")


def _told_bounds(found: xr.DataArray) -> str:
    low, middle, high = (float(found.sel(bound=end)) for end in ("lower", "mean", "upper"))
    return f"{number(middle)} ({number(low)}, {number(high)})"


def _crossed_budget(measures: xr.Dataset) -> pd.DataFrame:
    budget = measures["error_budget"]
    heads = {
        "true score": "true score",
        "session": "own, of the transcript",
        "exchange": "own, of the utterance",
    }
    rows = {
        str(name): {
            head: f"{_percent(part.mean())} ({_percent(part.min())} to {_percent(part.max())})"
            for source, head in heads.items()
            for part in [budget.sel(construct=name, source=source)]
        }
        for name in measures["construct"].to_numpy()
    }
    return pd.DataFrame(rows).T.rename_axis("code")


def _annotators(measures: xr.Dataset) -> pd.DataFrame:
    parts = {
        "severity": measures["severity_draws"],
        "discrimination": measures["discrimination_draws"],
        "reliability": of_one(measures),
    }
    rows = {
        str(rater): {
            f"{name}: {head}": _told(part.sel(rater=rater, construct=name))
            for name in measures["construct"].to_numpy()
            for head, part in parts.items()
        }
        for rater in measures["rater"].to_numpy()
    }
    return pd.DataFrame(rows).T.rename_axis("annotator")
