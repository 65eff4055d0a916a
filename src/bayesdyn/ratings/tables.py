"""Ratings from elsewhere: human coders' tables, or any other rater's."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.ratings.scoring.codebook import Codebook, load_codebook
from bayesdyn.tables import KEY, LABELLING, RATING_COLUMNS, check_ratings

_REQUIRED = [*KEY, "construct", "rater", "value"]
_COLUMNS = [*RATING_COLUMNS, LABELLING]
_NUMBERS = ("t", "replicate", "value", "off_scale", "scale_min", "scale_max", LABELLING)
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


def read_ratings(
    path_or_frame: str | Path | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    constructs: Mapping[str, str] | None = None,
    rater: str | None = None,
    codebook: str | Path | Codebook | None = None,
    encoding: str = "utf-8",
) -> pd.DataFrame:
    """Read ratings of human coders, or of any raters from elsewhere.

    Parameters
    ----------
    path_or_frame
        A ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` file, or a table, one row per rating: columns
        ``dyad``, ``session``, ``t``, ``construct``, ``rater``, ``value``, and what else
        :func:`bayesdyn.tables.check_ratings` knows. Other columns are left out: a note may quote a client.
    columns
        Our name to the file's, where they differ.
    constructs
        For a table with one column per construct: construct to its column, in place of ``construct`` and
        ``value``. With a codebook, a table without those two needs no map where a construct's column bears
        its name.
    rater
        Who gave all these ratings, in place of a column ``rater``.
    codebook
        A codebook's name, file or content: constructs must be among its own, and its scale is that of ratings
        that state none, so that values off the scale are faults. None: constructs and values as they are.
    encoding
        Of a text file.

    Returns
    -------
    pandas.DataFrame
        As :func:`bayesdyn.tables.check_ratings` gives it; ``rater_kind`` is ``human`` unless the file says
        otherwise.

    Raises
    ------
    InputError
        With all faults: an unreadable file, another encoding, missing columns with the nearest found, values
        that are no numbers, constructs that are not in the codebook, and those of
        :func:`bayesdyn.tables.check_ratings`.
    """
    book = None if codebook is None else load_codebook(codebook)
    if isinstance(path_or_frame, str | Path):
        frame, source_name = _load(Path(path_or_frame), encoding), Path(path_or_frame).name
    else:
        frame, source_name = path_or_frame, ""
    found = [str(name) for name in frame.columns]
    given = dict(columns or {})
    if constructs is None and book is not None and not {"construct", "value"} & {*found, *given}:
        constructs = {name: name for name in book.constructs if name in found}
    faults = FaultList()
    for name in given:
        if name not in _COLUMNS:
            near = get_close_matches(name, _COLUMNS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(_COLUMNS)}"
            faults.add(f"columns maps {name!r}, which ratings do not have", hint)
    instead = {"construct", "value"} if constructs else set()
    instead |= {"rater"} if rater is not None else set()
    wanted = {name: given.get(name, name) for name in _COLUMNS if name not in instead}
    wanted = {
        name: source
        for name, source in wanted.items()
        if name in given or source in found or name in _REQUIRED
    }
    for name, source in [*wanted.items(), *(constructs or {}).items()]:
        if source not in found:
            near = get_close_matches(source, found, n=1)
            hint = f"Is it {near[0]!r}? " if near else ""
            remedy = f"{hint}The file has {', '.join(found)}: map them with columns="
            faults.add(f"column {source} (for {name}) is missing", remedy, source_name)
    faults.raise_if_any("These ratings cannot be used")
    table = frame[list(wanted.values())].set_axis(list(wanted), axis=1)
    if constructs:
        parts = [table.assign(construct=name, value=frame[source]) for name, source in constructs.items()]
        table = pd.concat(parts, ignore_index=True)
    if rater is not None:
        table["rater"] = rater
    for name in _NUMBERS:
        if name in table.columns:
            table[name] = _numbers(table[name], name, faults)
    if book is not None:
        table = _on_the_codebook(table, book, faults)
    faults.raise_if_any("These ratings cannot be used")
    return check_ratings(table)


def _on_the_codebook(table: pd.DataFrame, book: Codebook, faults: FaultList) -> pd.DataFrame:
    """Return the ratings with the codebook's scale where they state none; note unknown constructs."""
    for name in sorted(set(table["construct"].dropna().astype(str)) - set(book.constructs)):
        near = get_close_matches(name, book.constructs, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        faults.add(
            f"construct {name!r} is not in codebook {book.name}",
            f"{hint}It has {', '.join(book.constructs)}",
        )
    ends = {"scale_min": float(book.scale.min), "scale_max": float(book.scale.max)}
    return table.assign(
        **{name: table[name].fillna(end) if name in table.columns else end for name, end in ends.items()}
    )


def _load(file: Path, encoding: str) -> pd.DataFrame:
    """Return a file's table; text stays text, so that the id 007 is not 7."""
    title = f"Cannot read the ratings {file.name}"
    if file.suffix.lower() not in _SUFFIXES:
        raise InputError(
            title, [Fault(f"the suffix is {file.suffix!r}", f"Give one of {', '.join(_SUFFIXES)}")]
        )
    try:
        match file.suffix.lower():
            case ".parquet":
                return pd.read_parquet(file)
            case ".jsonl":
                lines = file.read_text(encoding=encoding).splitlines()
                return pd.DataFrame([json.loads(line) for line in lines if line.strip()])
            case suffix:
                sep = "\t" if suffix == ".tsv" else ","
                return pd.read_csv(file, sep=sep, dtype=str, encoding=encoding, encoding_errors="strict")
    except UnicodeDecodeError:
        fault = Fault(f"it is not {encoding} text", "Give its encoding=, or save it as UTF-8")
    except OSError as error:
        fault = Fault(error.strerror or "it cannot be read", "Check the path")
    except pd.errors.EmptyDataError:
        fault = Fault("the file is empty", "Check that it is the one you meant")
    except ValueError as error:
        # The parser's own words may quote a row, and a row may hold a note on a client.
        fault = Fault(f"it is no such table ({type(error).__name__})", "Save it again as CSV")
    raise InputError(title, [fault])


def _numbers(column: pd.Series, name: str, faults: FaultList) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    for row in column.index[numbers.isna() & column.notna()]:
        faults.add(f"{name} is no number", "Leave it empty where unrated", f"row {row}")
    return numbers
