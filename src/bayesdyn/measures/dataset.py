"""The shape of Measures: one xarray Dataset, whichever way the scores and their errors came about."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.tables import EXCHANGE_COLUMNS, KEY

RESERVED = (
    "score", "se", "error_corr", "reliability", "reliability_draws", "reliability_lower", "reliability_upper",
    "kappa_sd", "shift", "scale", "severity", "discrimination", "error_sd", "token_weight", "floor_share",
    "floor_predicted", "ceiling_share", "ceiling_predicted",
    "posterior_mean", "posterior_sd", "location_sd", "level_reliability", "error_budget", "replicates",
    "effective_raters", "shared_error", "shared_error_lower", "shared_error_upper", "severity_draws",
    "discrimination_draws",
    "shared_draws", "error_sd_draws", "token_weight_draws", "mean_draws", "variance_draws",
    "true_share_draws", "error_share_draws", "rating", "rating_q", "rating_noise", "level", "source", "bound",
    "identified_by", "exchange", "construct", "construct2", "rater", "draw", "dyad", "session", "t", "phase",
    "differential_bias", "differential_bias_lower", "differential_bias_upper", "covariate",
)  # fmt: skip
"""Names of Measures itself: no construct or covariate may bear one."""

_LONG_TEXT = 100
"""Characters; a text column with a longer value may be transcript, and is left out."""


@dataclass
class Notes:
    """Plain sentences that travel with the measures into every report; each is kept once."""

    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        """Keep a sentence that is not there yet."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)


def merged(sentences: Sequence[str], constructs: Sequence[str]) -> list[str]:
    """Return sentences with those that say the same of several constructs told once: ``a, b: so and so``."""
    names = "|".join(re.escape(name) for name in sorted(constructs, key=len, reverse=True))
    pattern = re.compile(rf"(Warning: )?({names}): (.*)", re.S)
    told: dict[tuple[str, str], list[str]] = {}
    for sentence in sentences:
        found = pattern.fullmatch(sentence)
        key = (found[1] or "", found[3]) if found else ("", sentence)
        told.setdefault(key, [])
        if found:
            told[key].append(found[2])
    return [f"{start}{', '.join(who)}: {what}" if who else what for (start, what), who in told.items()]


def read_notes(measures: xr.Dataset) -> list[str]:
    """Return the notes of measures: what identifies the errors, and every warning, as plain sentences."""
    return list(json.loads(str(measures.attrs.get("notes", "[]"))))


def assemble(
    keys: pd.DataFrame,
    constructs: Sequence[str],
    by_exchange: Mapping[str, NDArray[np.float64]],
    by_construct: Mapping[str, NDArray[np.float64]],
    error_corr: NDArray[np.float64],
    covariates: Mapping[str, NDArray[np.generic]],
    notes: Notes,
    identification: str,
) -> xr.Dataset:
    """Return the Dataset of measures.

    Parameters
    ----------
    keys
        ``dyad``, ``session``, ``t``, one row per exchange.
    constructs
        Labels, in the order of the arrays' last axis.
    by_exchange
        ``score`` and ``se``, shape (exchange, construct), in raw units, NaN where unrated.
    by_construct
        ``reliability``, ``kappa_sd`` and others, shape (construct,).
    error_corr
        Shape (construct, construct).
    covariates
        Shape (exchange,) each.
    notes, identification
        Kept as attributes; ``notes`` as JSON, since NetCDF has no lists of text.
    """
    names = np.array(list(constructs), dtype=object)
    return xr.Dataset(
        {
            **{name: (("exchange", "construct"), values) for name, values in by_exchange.items()},
            **{name: (("construct",), values) for name, values in by_construct.items()},
            "error_corr": (("construct", "construct2"), error_corr),
            **{name: (("exchange",), values) for name, values in covariates.items()},
        },
        coords={
            "construct": names,
            "construct2": names,
            "dyad": ("exchange", keys["dyad"].to_numpy(dtype=object)),
            "session": ("exchange", keys["session"].to_numpy(dtype=object)),
            "t": ("exchange", keys["t"].to_numpy(dtype=np.int64)),
        },
        attrs={
            "notes": json.dumps(merged(notes.sentences, constructs), ensure_ascii=False),
            "identification": identification,
            "ci_prob": 0.9,
            "ci_kind": "equal-tailed",
        },
    )


def pick_covariates(
    frame: pd.DataFrame,
    constructs: Sequence[str],
    wanted: Sequence[str] | None,
    notes: Notes,
    faults: FaultList,
) -> dict[str, NDArray[np.generic]]:
    """Return the covariates of a table of exchanges, numeric as float64, text as objects.

    Parameters
    ----------
    frame
        One row per exchange, in the order of the measures.
    constructs
        A covariate with one of these names is a fault.
    wanted
        Names; None takes every further column that is numeric or short text. Transcript text is never
        taken: columns with ``text`` in their name, or with a value of more than 100 characters.
    notes, faults
        Gather what was left out and what is wrong.
    """
    names = (
        [str(name) for name in frame.columns if name not in (*KEY, *EXCHANGE_COLUMNS)]
        if wanted is None
        else list(wanted)
    )
    picked: dict[str, NDArray[np.generic]] = {}
    for name in names:
        if name not in frame.columns:
            faults.add(f"covariate {name} is no column", f"Choose from {', '.join(map(str, frame.columns))}")
        elif name in constructs or name in RESERVED:
            faults.add(
                f"covariate {name} bears the name of a construct or of a part of measures", "Rename it"
            )
        elif pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            picked[name] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            text = frame[name].astype(str).where(frame[name].notna(), "")
            if "text" in name.lower() or text.str.len().max() > _LONG_TEXT:
                notes.add(f"Column {name} was not kept as a covariate: it may hold transcript text.")
            else:
                picked[name] = text.to_numpy(dtype=object)
    return picked


def sorted_by_key(frame: pd.DataFrame, faults: FaultList, title: str) -> pd.DataFrame:
    """Return a table of exchanges sorted by dyad, session, t, with typed keys.

    Repeated keys are gathered as faults.

    Raises
    ------
    InputError
        At once, under ``title`` and with the faults so far, when a row has no usable key.
    """
    before = len(faults.faults)
    missing = [name for name in KEY if name not in frame.columns]
    if missing:
        faults.add(f"column {', '.join(missing)} missing", "Rename your columns to dyad, session, t")
    elif frame.empty:
        faults.add("the table has no rows", "Check that the file or filter is the one you meant")
    else:
        lost = frame[KEY].isna().any(axis=1)
        if lost.any():
            faults.add(f"{int(lost.sum())} rows lack dyad, session or t", "Give every row its ids")
    if len(faults.faults) > before:
        faults.raise_if_any(title)
    t = pd.to_numeric(frame["t"], errors="coerce")
    if not ((t >= 0) & (t == np.floor(t))).all():
        faults.add("t is no whole number from 0", "Number the exchanges of a session 0, 1, ...")
        faults.raise_if_any(title)
    data = frame.assign(
        dyad=frame["dyad"].astype(str), session=frame["session"].astype(str), t=t.astype("int64")
    )
    twice = data.duplicated(KEY)
    for dyad, session, place in data.loc[twice, KEY].drop_duplicates().itertuples(index=False):
        faults.add(
            f"dyad {dyad}, session {session}, t {place} stands in more than one row",
            "Keep one row per exchange",
        )
    return data.sort_values(KEY, kind="stable").reset_index(drop=True)
