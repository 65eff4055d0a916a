"""Data sets that the structural engine is checked on beside other programs, as measures and models.

Our equations hold from the second exchange of a session on; the first follows the start law. A regression
holds at every row. So :func:`with_start` puts an exchange before each session at which the outcomes are
unrated: without a lag nothing there enters any equation, its law integrates to one, and the posterior of
everything else is that of the regression.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bayesdyn as bd


@dataclass(frozen=True)
class Study:
    """A data set with the model that a peer fitted to it.

    Attributes
    ----------
    model
        Text of the model file, priors left to the test.
    rows
        From the folder of csv files: ``dyad``, in order, and the columns of the model in raw units.
    outcomes, covariates
        Columns.
    names
        Our name of each coefficient to the peer's.
    """

    model: str
    rows: Callable[[Path], pd.DataFrame]
    outcomes: tuple[str, ...]
    covariates: tuple[str, ...]
    names: dict[str, str]


def with_start(rows: pd.DataFrame, outcomes: tuple[str, ...], score: float = np.nan) -> pd.DataFrame:
    """Return the rows with t from 1 and, before each dyad's, an exchange t = 0 with another score.

    Parameters
    ----------
    rows
        Each dyad has one session. Covariates of the new exchange repeat the first row's, unread.
    score
        The outcomes' score at the new exchange, missing (unrated) or a number, whose sign changes from dyad
        to dyad and, at half the pace each, from outcome to outcome: no outcome's start tells another's.
    """
    numbered = rows.assign(session="1", t=rows.groupby("dyad").cumcount() + 1)
    start = numbered[numbered["t"] == 1].copy()
    signs = {name: 2.0 * (np.arange(len(start)) >> k & 1) - 1 for k, name in enumerate(outcomes)}
    start = start.assign(t=0, **{name: score * sign for name, sign in signs.items()})
    return pd.concat([start, numbered], ignore_index=True)


def raw_measures(frame: pd.DataFrame, study: Study, unit: bool = False) -> xr.Dataset:
    """Return measures for ``measurement="none"``, which reads no error.

    They stay in raw units; with ``unit`` each outcome is to be divided by the SD of its rated scores.
    """
    measures = bd.as_measures(
        frame, {name: name for name in study.outcomes}, reliability=0.9, covariates=study.covariates
    )
    later = frame[frame["t"] > 0] if "t" in frame else frame
    scale = [float(later[name].std()) if unit else 1.0 for name in study.outcomes]
    shift = [float(later[name].mean()) if unit else 0.0 for name in study.outcomes]
    return measures.assign(shift=("construct", shift), scale=("construct", scale))


def _sleepstudy(folder: Path) -> pd.DataFrame:
    given = pd.read_csv(folder / "lme4_sleepstudy.csv", dtype={"Subject": str})
    return given.rename(columns={"Subject": "dyad", "Reaction": "reaction", "Days": "days"})


def _couples(folder: Path) -> pd.DataFrame:
    """Return one row per couple; ``view_first`` is how partner 1 (the first gender) sees the other."""
    long = pd.read_csv(folder / "dyadr_acipair.csv")
    first, second = (long[long["Gender_A"] == gender].set_index("CoupleID") for gender in (1, 2))
    wide = pd.DataFrame(
        {
            "first": first["Satisfaction_A"], "second": second["Satisfaction_A"],
            "view_first": first["OtherPos_A"], "view_second": second["OtherPos_A"],
        }
    )  # fmt: skip
    # Couples are independent rows, so they stand as the exchanges of one session: one start, not 148.
    return wide.assign(dyad="all")


def _daily(folder: Path) -> pd.DataFrame:
    given = pd.read_csv(folder / "bmlm_BLch9.csv", dtype={"id": str})
    return given.rename(columns={"id": "dyad"})


def _twolevel(folder: Path) -> pd.DataFrame:
    given = pd.read_csv(folder / "lavaan_Demo.twolevel.csv", dtype={"cluster": str})
    return given.rename(columns={"cluster": "dyad"}).sort_values("dyad", kind="stable")


def _model(name: str, paths: str, outcomes: tuple[str, ...]) -> str:
    listed = ", ".join(f'"{one}"' for one in outcomes)
    head = f'[model]\nname = "{name}"\ncentering = "none"\npaths = """\n{paths}\n"""\n'
    return f"{head}[constructs]\nclient = [{listed}]\n"


def _study(
    name: str,
    paths: str,
    rows: Callable[[Path], pd.DataFrame],
    outcomes: tuple[str, ...],
    covariates: tuple[str, ...],
    names: dict[str, str],
) -> Study:
    return Study(_model(name, paths, outcomes), rows, outcomes, covariates, names)


STUDIES = {
    "sleepstudy": _study(
        "sleepstudy", "reaction ~ days + (1 + days | dyad)", _sleepstudy, ("reaction",), ("days",),
        {"reaction ~ 1": "(Intercept)", "reaction ~ days": "Days"},
    ),
    # Stacked in the peer: m and y at once, each with its residual variance, all slopes with one covariance.
    "mediation_both": _study(
        "mediation", "m ~ x + (0 + x | dyad)\ny ~ x + m + (0 + x + m | dyad)", _daily, ("m", "y"), ("x",),
        {"m ~ 1": "m0", "m ~ x": "mx", "y ~ 1": "y0", "y ~ x": "yx", "y ~ m": "ym"},
    ),
    "apim": _study(
        "apim", "first + second ~ view_first + view_second\nfirst ~~ second", _couples, ("first", "second"),
        ("view_first", "view_second"),
        {
            "first ~ 1": "g1", "first ~ view_first": "g1:OtherPos_A", "first ~ view_second": "g1:OtherPos_P",
            "second ~ 1": "g2", "second ~ view_second": "g2:OtherPos_A",
            "second ~ view_first": "g2:OtherPos_P",
        },
    ),
    "twolevel": _study(
        "twolevel", "y1 + y2 ~ x1 + x2 + x3 + w1 + w2 + (1 | dyad)\ny1 ~~ y2", _twolevel, ("y1", "y2"),
        ("x1", "x2", "x3", "w1", "w2"),
        {f"{y} ~ {x}": f"{y}~{x}@{level}" for y in ("y1", "y2")
         for x, level in (("x1", 1), ("x2", 1), ("x3", 1), ("w1", 2), ("w2", 2), ("1", 2))},
    ),
}  # fmt: skip
"""By the peer's case in peers.json. Covariates are observed and have no law, as in the peers."""
