"""Covariates as contrasts: numbers in SDs, levels one by one, turn lengths, place in the session."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesdyn.measures.dataset import Notes

_MOST_LEVELS = 10


@dataclass(frozen=True)
class Contrast:
    """One covariate that an error may go with.

    Attributes
    ----------
    name
        The covariate, and its level where it has levels.
    value
        (exchange,) in SDs over the exchanges, or 0 and 1; NaN where missing.
    sd
        SD of ``value``: 1 of a number.
    where, unit
        How to say "where it is large", and what a difference of 1 is.
    """

    name: str
    value: NDArray[np.float64]
    sd: float
    where: str
    unit: str


def contrasts_of(
    keys: pd.DataFrame, covariates: Mapping[str, NDArray[np.generic]], notes: Notes
) -> list[Contrast]:
    """Return the contrasts of a study's exchanges; constant covariates have none.

    ``phase``, the place in the session from -0.5 to 0.5, is always among them, and ``therapist_words`` and
    ``client_words``, numbers of words, where the exchanges have texts. A number with two values, and a text
    with two levels, are one contrast of the second with the first; a text of up to 10 levels is one of each
    level with all others; a text of more is left out, and the notes say so.

    Parameters
    ----------
    keys
        One row per exchange, sorted by dyad, session, t, perhaps with ``therapist_text``, ``client_text``.
    covariates
        (exchange,) each, numbers or text, the empty text where missing.
    """
    found: list[Contrast] = []
    for name, values in ({"phase": _phase(keys)} | _words(keys) | dict(covariates)).items():
        if values.dtype.kind == "f":
            found += _of_numbers(name, values.astype(np.float64))
        else:
            found += _of_levels(name, values, notes)
    return found


def _phase(keys: pd.DataFrame) -> NDArray[np.float64]:
    place = keys.groupby(["dyad", "session"], sort=False)["t"]
    first, last = place.transform("min").to_numpy(), place.transform("max").to_numpy()
    return np.where(last > first, (keys["t"].to_numpy() - first) / np.maximum(last - first, 1) - 0.5, 0.0)


def _words(keys: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return numbers of words, and nothing else of a text; NaN where there is none."""
    found = {}
    for speaker in ("therapist", "client"):
        if f"{speaker}_text" in keys.columns:
            texts = keys[f"{speaker}_text"].tolist()
            counts = [len(text.split()) if isinstance(text, str) else np.nan for text in texts]
            found[f"{speaker}_words"] = np.array(counts, dtype=np.float64)
    return found


def _of_numbers(name: str, values: NDArray[np.float64]) -> list[Contrast]:
    values = np.where(np.isfinite(values), values, np.nan)
    known = np.unique(values[np.isfinite(values)])
    if len(known) < 2:
        return []
    if len(known) == 2:
        low, high = known
        coded = np.where(np.isfinite(values), (values == high).astype(np.float64), np.nan)
        return [Contrast(name, coded, float(np.nanstd(coded)), f"{name} is {high:g}", f"against {low:g}")]
    scaled = (values - np.nanmean(values)) / np.nanstd(values)
    return [Contrast(name, scaled, 1.0, f"{name} is large", "per SD")]


def _of_levels(name: str, values: NDArray[np.generic], notes: Notes) -> list[Contrast]:
    text = values.astype(str)
    levels = [str(level) for level in np.unique(text) if level]
    if len(levels) > _MOST_LEVELS:
        notes.add(
            f"Covariate {name} has {len(levels)} levels: the raters' errors were not compared over them."
        )
        return []
    if len(levels) < 2:
        return []
    against = f"against {levels[0]}" if len(levels) == 2 else "against all others"
    found = []
    for level in levels[1:] if len(levels) == 2 else levels:
        coded = np.where(text == "", np.nan, (text == level).astype(np.float64))
        found.append(
            Contrast(f"{name}: {level}", coded, float(np.nanstd(coded)), f"{name} is {level}", against)
        )
    return found
