"""The artefact of each stage of a study: its file, how it is read back, and what of it later stages see."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import xarray as xr

from bayesdyn.artefacts import (
    read_dataset,
    read_table,
    read_tree,
    sha256_dataset,
    sha256_file,
    sha256_frame,
    sha256_json,
    whole_file,
    write_dataset,
    write_table,
)
from bayesdyn.errors import ArtefactError, Fault
from bayesdyn.study.manifest import Stage
from bayesdyn.sweeps.sensitivity import Sensitivity


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table of results as CSV, for eyes and spreadsheets, whole or not at all."""
    with whole_file(path) as part:
        frame.to_csv(part, index=False)


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read what :func:`write_csv` wrote, to the last digit.

    Raises
    ------
    ArtefactError
        If there is no such file, or it is no such table.
    """
    try:
        return pd.read_csv(path, float_precision="round_trip", keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        fault = Fault(f"it is missing or no table ({type(error).__name__})", "Make it again")
        raise ArtefactError(f"Cannot read {path}", [fault]) from None


def _table(kind: str) -> tuple[Callable[[pd.DataFrame, Path], None], Callable[[Path], pd.DataFrame]]:
    return lambda frame, path: write_table(frame, path, kind), lambda path: read_table(path, kind)


def _content_of_exchanges(exchanges: pd.DataFrame) -> str:
    # The summary counts rows set aside, which the report shows: another summary is another content.
    return sha256_json([sha256_frame(exchanges), exchanges.attrs.get("summary", {})])


def _content_of_measures(measures: xr.Dataset) -> str:
    return sha256_json([sha256_dataset(measures), measures.attrs.get("notes", "")])


def _content_of_fit(fit: xr.DataTree) -> str:
    groups = {name: sha256_dataset(node.to_dataset()) for name, node in fit.children.items()}
    return sha256_json([groups, fit.attrs["spec"], fit.attrs["inputs"], fit.attrs.get("notes", "")])


def _content_of_sensitivity(found: Sensitivity) -> str:
    return sha256_json(
        [found.kind, *(sha256_frame(part) for part in (found.table, found.paths, found.tipping))]
    )


def _says_exchanges(exchanges: pd.DataFrame) -> str:
    sessions = len(exchanges[["dyad", "session"]].drop_duplicates())
    aside = sum(exchanges.attrs.get("summary", {}).get("set_aside", {}).values())
    dyads = exchanges["dyad"].nunique()
    return f"{len(exchanges)} exchanges, {sessions} sessions, {dyads} dyads; {aside} rows set aside"


def _says_ratings(ratings: pd.DataFrame) -> str:
    unrated = int(ratings["value"].isna().sum())
    return f"{len(ratings) - unrated} ratings by {ratings['rater'].nunique()} raters, {unrated} unrated"


def _says_claims(claims: pd.DataFrame) -> str:
    counts = claims["verdict"].value_counts()
    return ", ".join(
        f"{counts.get(verdict, 0)} {verdict}" for verdict in ("supported", "contradicted", "undecided")
    )


_write_exchanges, _read_exchanges = _table("exchanges")
_write_ratings, _read_ratings = _table("ratings")

READ = Stage(
    "read", "exchanges.parquet", _write_exchanges, _read_exchanges, _content_of_exchanges, _says_exchanges
)
RATE = Stage("rate", "ratings.parquet", _write_ratings, _read_ratings, sha256_frame, _says_ratings)
AGREE: Stage[pd.DataFrame] = Stage("agree", "agreement.csv", write_csv, read_csv, sha256_frame)
MEASURE: Stage[xr.Dataset] = Stage(
    "measure",
    "measures.nc",
    lambda measures, path: write_dataset(measures, path, "measures"),
    lambda path: read_dataset(path, "measures"),
    _content_of_measures,
)
CLAIMS: Stage[pd.DataFrame] = Stage("claims", "claims.csv", write_csv, read_csv, sha256_frame, _says_claims)
SENSITIVITY: Stage[Sensitivity] = Stage(
    "sensitivity",
    "sensitivity.json",
    lambda found, path: found.save(path),
    Sensitivity.load,
    _content_of_sensitivity,
)
REPORT: Stage[Path] = Stage("report", "report.html", lambda value, path: None, lambda path: path, sha256_file)


def fit_stage(name: str, file: str) -> Stage[xr.DataTree]:
    """Return the stage of a fit; a study has two, the chosen one and the naive one beside it."""
    return Stage(
        name,
        file,
        lambda fit, path: write_dataset(fit, path, "fit"),
        lambda path: read_tree(path, "fit"),
        _content_of_fit,
    )


FIT = fit_stage("fit", "fit.nc")
NAIVE = fit_stage("fit_naive", "fit_naive.nc")
