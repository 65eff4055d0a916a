"""Covariates of a simulated study: numbers or levels, of exchanges, sessions or dyads."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.measures.dataset import RESERVED
from bayesdyn.structure.data.categories import code_categories
from bayesdyn.structure.language.numbers import is_number, shown
from bayesdyn.structure.language.spec import BUILT_IN_COVARIATES, ModelSpec, covariate_of
from bayesdyn.structure.language.words import did_you_mean, sentence

LAWS = ("normal", "binary")
LEVELS = ("exchange", "session", "dyad")


@dataclass(frozen=True)
class Covariate:
    """How a covariate is drawn, independently of everything else.

    Attributes
    ----------
    law
        ``normal`` (mean 0, SD 1), ``binary`` (0 and 1), or a tuple of levels, which become text.
    level
        What has one value each: ``exchange``, ``session`` or ``dyad``.
    share
        Of a binary covariate, the share of ones. It is met as nearly as the number of units allows, and
        levels are equally frequent: the order is random, not the count, as in a planned study.
    """

    law: str | tuple[str, ...] = "normal"
    level: str = "exchange"
    share: float = 0.5


def described(covariates: Mapping[str, str | Covariate]) -> dict[str, Covariate]:
    """Return every covariate with its description; a law alone is of exchanges."""
    given = covariates.items()
    return {name: value if isinstance(value, Covariate) else Covariate(value) for name, value in given}


def check_covariates(spec: ModelSpec, asked: Mapping[str, Covariate], faults: FaultList) -> None:
    """Note covariates that the model does not name, that it takes for something else, and unknown laws."""
    named = dict.fromkeys(map(covariate_of, spec.names))
    for name, covariate in asked.items():
        if name in BUILT_IN_COVARIATES:
            faults.add(f"covariate {name} is built in", "Leave it out: it follows from the exchanges")
        elif name not in named:
            remedy = sentence(did_you_mean(name, named), f"The model names {', '.join(named)}")
            faults.add(f"covariate {name!r} is not in the model", remedy)
        elif name in RESERVED:
            faults.add(f"covariate {name} bears the name of a part of measures", "Rename it")
        if not isinstance(covariate.law, tuple | list) and covariate.law not in LAWS:
            remedy = f"Use {', '.join(LAWS)} or a tuple of levels"
            faults.add(f"the law {covariate.law!r} of covariate {name} is unknown", remedy)
        if isinstance(covariate.law, tuple | list) and len(set(covariate.law)) < 2:
            faults.add(f"covariate {name} has fewer than two levels", "Name them all")
        if covariate.level not in LEVELS:
            faults.add(f"the level {covariate.level!r} of covariate {name} is unknown",
                       f"Use one of {', '.join(LEVELS)}")  # fmt: skip
        if not (is_number(covariate.share) and 0 < covariate.share < 1):
            faults.add(f"the share of covariate {name} is {shown(covariate.share)}",
                       "Give a number between 0 and 1")  # fmt: skip
    for name in spec.names:
        if name != covariate_of(name) and covariate_of(name) not in asked:
            faults.add(f"{name} is a contrast of a covariate that is not described",
                       f"Give covariates={{{covariate_of(name)!r}: Covariate((level, ...))}}")  # fmt: skip


def with_contrasts(spec: ModelSpec, asked: Mapping[str, Covariate], faults: FaultList) -> ModelSpec:
    """Return the model with the contrasts of covariates of text written out, as a fit writes them."""
    texts = {name: item.law for name, item in asked.items() if not isinstance(item.law, str)}
    size = max(map(len, texts.values()), default=1)
    every = {name: np.resize(np.array(levels, dtype=object), size) for name, levels in texts.items()}
    dataset = xr.Dataset({name: ("exchange", values) for name, values in every.items()})
    return code_categories(spec, dataset, faults).spec


def draw_covariates(
    asked: Mapping[str, Covariate], index: pd.DataFrame, rng: np.random.Generator, faults: FaultList
) -> dict[str, np.ndarray]:
    """Return each covariate at each exchange (N,), float, or object where it has levels.

    Parameters
    ----------
    asked
        The descriptions.
    index
        One row per exchange: ``dyad``, ``label`` (of the session).
    rng
        Source of the draws.
    faults
        Receives levels of which there are more than units.
    """
    found = {}
    for name, covariate in asked.items():
        units: np.ndarray = {
            "exchange": np.arange(len(index)),
            "session": pd.factorize(index["label"])[0],
            "dyad": pd.factorize(index["dyad"])[0],
        }[covariate.level]
        count = int(units.max()) + 1
        if covariate.law == "normal":
            values = rng.standard_normal(count)
        elif covariate.law == "binary":
            values = rng.permutation((np.arange(count) < round(covariate.share * count)).astype(float))
        else:
            levels = np.array(covariate.law, dtype=object)
            if count < len(levels):
                faults.add(f"covariate {name} has {len(levels)} levels, and there are {count} "
                           f"{covariate.level}s", "Leave levels out, or simulate more")  # fmt: skip
            values = rng.permutation(np.resize(levels, count))
        found[name] = values[units]
    return found


def numeric(name: str, drawn: Mapping[str, np.ndarray], index: pd.DataFrame) -> np.ndarray:
    """Return a covariate of terms at each exchange (N,): as drawn, a contrast's 0 and 1, or the phase."""
    if name in drawn:
        return drawn[name].astype(float)
    base = covariate_of(name)
    if base in drawn:
        return (drawn[base] == name[len(base) + 1 : -1]).astype(float)
    return index[name].to_numpy()
