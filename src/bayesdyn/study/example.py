"""The study that ships with bayesdyn, stage by stage."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr

from bayesdyn.artefacts import read_dataset, read_tree
from bayesdyn.errors import ArtefactError, Fault, InputError
from bayesdyn.presets import content_dir
from bayesdyn.ratings.results import read_ledger
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.study.file import load_study
from bayesdyn.study.parts import load_parts
from bayesdyn.sweeps.sensitivity import Sensitivity
from bayesdyn.transcripts.read import read_transcripts

EXAMPLES = ("sample",)
ARTEFACTS = "artefacts"


@dataclass(frozen=True)
class Example:
    """The artefacts of a shipped study, stage by stage.

    Attributes
    ----------
    exchanges, ratings
        Tables, see :mod:`bayesdyn.tables`.
    measures
        Dataset (exchange, construct).
    spec
        The model.
    fit
        DataTree; its draws are thinned, to keep the package small.
    sensitivity
        The reliability sweep.
    """

    exchanges: pd.DataFrame
    ratings: pd.DataFrame
    measures: xr.Dataset
    spec: ModelSpec
    fit: xr.DataTree
    sensitivity: Sensitivity


def load_example(name: str) -> Example:
    """Return a shipped study with each stage's artefact.

    Parameters
    ----------
    name
        ``sample``: fictional transcripts written for this package, rated by two embedded LLMs.

    Raises
    ------
    InputError
        There is no such example.
    ArtefactError
        An artefact is missing, or of another version.
    """
    if name not in EXAMPLES:
        raise InputError(
            f"There is no example {name!r}", [Fault("it is not shipped", f"Use {', '.join(EXAMPLES)}")]
        )
    base = content_dir("reports") / name
    file = load_study(base)
    parts = load_parts(file, base)
    made = base / ARTEFACTS
    _must_be_there([parts.ledger, *(made / part for part in ("measures.nc", "fit.nc", "sensitivity.json"))])
    given = file.transcripts
    exchanges = read_transcripts(parts.transcripts, given.format, ids=given.ids, speakers=given.speakers)
    return Example(
        exchanges=exchanges,
        ratings=read_ledger(parts.ledger, exchanges, parts.codebook, parts.panel),
        measures=read_dataset(made / "measures.nc", "measures"),
        spec=parts.spec,
        fit=read_tree(made / "fit.nc", "fit"),
        sensitivity=Sensitivity.load(made / "sensitivity.json"),
    )


def _must_be_there(files: list[Path]) -> None:
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ArtefactError(
            "The example is not whole",
            [Fault(f"{name} is not shipped with this bayesdyn", _REMEDY) for name in missing],
        )


_REMEDY = "In a checkout: bayesdyn demo --out demo, then python reports/sample/make_artefacts.py demo"
