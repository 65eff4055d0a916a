"""Ratings in a file too large for memory: checked and placed a piece at a time.

Every row is held against the rules of :func:`bayesdyn.tables.check_ratings` at once, by arrays. Rows that
may break one are given to that function itself, so that a file's faults read as a table's do.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bayesdyn.artefacts import check_table
from bayesdyn.errors import FaultList, InputError
from bayesdyn.measures.gathering.sources import Finder, Source, placed
from bayesdyn.measures.gathering.sums import Axes, Floats, Places, Rows, by_length, variances
from bayesdyn.streams import read_arrow
from bayesdyn.tables import KEY, LABELLING, RATER_KINDS, check_ratings

_TEXTS = ["dyad", "session", "construct", "rater", "rater_kind"]
_NUMBERS = ["t", "replicate", "value", "off_scale", "scale_min", "scale_max"]
_REQUIRED = [*KEY, "construct", "rater", "value"]
_UNIQUE = [*KEY, "construct", "rater", "replicate"]
MOST_FAULTS = 1000
"""Faults after which the rest of a file is not read: it is then another file that was meant."""


def open_ratings(path: str | Path) -> Source:
    """Return a Parquet file of ratings, as the rating stage writes it, as a source in pieces.

    Its columns of ids are gone through once; all else is read when the source's rows are.

    Parameters
    ----------
    path
        Any order of rows, any row groups.

    Raises
    ------
    ArtefactError
        If it is missing, damaged, or holds no ratings of this layout.
    InputError
        Missing columns, no rows, columns of other types than the rating stage's.
    """
    columns = _columns_of(path)
    seen = {name: _Labels() for name in ("dyad", "session", "construct", "rater")}
    every = pd.DataFrame({name: np.empty(0, dtype=np.int64) for name in KEY})
    replicates = np.zeros(1)
    for table in read_arrow(path, "ratings", [name for name in columns if name in _UNIQUE], list(seen)):
        code = {name: labels.codes(_coded(table, name)) for name, labels in seen.items()}
        t = _number(table, "t")
        # Rows without usable ids are passed over here, and told when the rows are read.
        kept = _whole(t) & (code["dyad"] >= 0) & (code["session"] >= 0)
        found = {"dyad": code["dyad"][kept], "session": code["session"][kept], "t": t[kept].astype(np.int64)}
        every = pd.concat([every, pd.DataFrame(found).drop_duplicates()]).drop_duplicates()
        replicates = np.union1d(replicates, pd.unique(_number(table, "replicate")))
    if every.empty:
        check_ratings(next(read_arrow(path, "ratings", columns, [], MOST_FAULTS)).to_pandas())
    names = {name: np.array(seen[name].names, dtype=object) for name in ("dyad", "session")}
    keys = every.assign(**{name: texts[every[name]] for name, texts in names.items()})
    return Source(
        keys=keys.astype({"dyad": str, "session": str}).reset_index(drop=True),
        constructs=tuple(seen["construct"].names),
        raters=tuple(seen["rater"].names),
        rows=lambda axes, faults: _rows(path, columns, replicates, axes, faults),
        load=lambda column, value: _some_rows(path, columns, column, value),
    )


def _some_rows(path: str | Path, columns: list[str], column: str, value: str) -> pd.DataFrame:
    """Return a file's rows with a value in a column of text, checked; without any, an empty table."""
    wanted = columns + [name for name in pq.read_schema(path).names if name == LABELLING]
    kept = []
    for table in read_arrow(path, "ratings", wanted, []):
        # Codes, since a file without rater_kind has humans' ratings only.
        chosen = _is(_coded(table, column), [value])
        kept.append(table.filter(pa.array(chosen)).to_pandas())
    rows = pd.concat(kept, ignore_index=True)
    return check_ratings(rows) if len(rows) else rows


class _Labels:
    """Texts and their codes, in order of appearance."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        return list(self._known)

    def codes(self, column: pa.DictionaryArray) -> Places:
        """Return the codes of a column; -1 where it is missing or empty."""
        texts = column.dictionary.to_pylist()
        own = [self._known.setdefault(text, len(self._known)) if text else -1 for text in texts]
        return _through(np.array(own, dtype=np.int64), column)


def _rows(
    path: str | Path, columns: list[str], replicates: Floats, axes: Axes, faults: FaultList
) -> Iterator[Rows]:
    """Yield a file's rows in pieces; note what is wrong with them, and at the end what stands twice."""
    finder = Finder(axes.keys)
    total = check_table(path, "ratings")
    # A rating of each cell and replicate has a number of its own; eight bytes a row find what stands twice.
    numbers, start = np.empty(total, dtype=np.int64), 0
    for table in read_arrow(path, "ratings", columns, [name for name in columns if name in _TEXTS]):
        text = {name: _coded(table, name) for name in _TEXTS}
        number = {name: _number(table, name) for name in _NUMBERS}
        clean, token = _judged(table, text, number)
        if not clean.all():
            _tell(table, start, np.flatnonzero(~clean), faults)
        if len(faults.faults) >= MOST_FAULTS:
            faults.add(f"rows from {start + len(table)} on were not read", "Mend these first, and try again")
            return
        at = {
            name: _through(labels.get_indexer(text[name].dictionary.to_pylist()), text[name])
            for name, labels in (
                ("dyad", finder.dyads), ("session", finder.sessions),
                ("construct", pd.Index(axes.constructs)), ("rater", pd.Index(axes.raters)),
            )
        }  # fmt: skip
        t = np.where(_whole(number["t"]), number["t"], -1).astype(np.int64)
        rows = Rows(
            exchange=finder.find(at["dyad"], at["session"], t),
            construct=at["construct"],
            rater=at["rater"],
            human=_is(text["rater_kind"], ["human"]),
            value=number["value"],
            token=token,
            low=number["scale_min"],
            high=number["scale_max"],
        )
        kept = placed(rows)
        own = -1 - np.arange(start, start + len(table))
        place = (rows.exchange[kept], rows.construct[kept], rows.rater[kept])
        own[kept] = np.ravel_multi_index(place, axes.shape) * len(replicates)
        own[kept] += np.searchsorted(replicates, number["replicate"][kept])
        numbers[start : start + len(table)] = own
        start += len(table)
        yield rows if kept.all() else rows.take(kept)
    _tell_doubles(numbers, replicates, axes, faults)


def _judged(
    table: pa.Table, text: dict[str, pa.DictionaryArray], number: dict[str, Floats]
) -> tuple[NDArray[np.bool_], Floats]:
    """Return which rows break no rule beyond doubt, and the variance of each row's distribution."""
    value, low, high, off = (number[name] for name in ("value", "scale_min", "scale_max", "off_scale"))
    clean = _is(text["rater_kind"], RATER_KINDS)
    for name in ("dyad", "session", "construct", "rater"):
        clean &= _is(text[name], [label for label in text[name].dictionary.to_pylist() if label])
    for name in ("t", "replicate"):
        clean &= _whole(number[name])
    for column in (value, low, high):
        clean &= ~np.isinf(column)
    clean &= np.isnan(off) | ((off >= 0) & (off <= 1))
    # Comparisons with NaN, of an unrated row or an unknown scale, are False: nothing is off.
    clean &= ~((value < low - 1e-9) | (value > high + 1e-9))
    token = np.full(len(table), np.nan)
    lists = table["probabilities"].chunk(0) if "probabilities" in table.column_names else pa.nulls(len(table))
    if pa.types.is_null(lists.type):
        return clean, token
    given = np.flatnonzero(lists.is_valid().to_numpy(zero_copy_only=False))
    lengths = lists.value_lengths().drop_null().to_numpy().astype(np.int64)
    flat = pc.cast(lists.flatten(), pa.float64()).to_numpy(zero_copy_only=False)
    for chosen, p in by_length(flat, lengths):
        points = high[given[chosen]] - low[given[chosen]] + 1
        proper = (p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 0.9e-6) & (points == p.shape[1])
        clean[given[chosen]] &= proper
    token[given] = variances(flat, lengths, low[given])
    return clean, token


def _tell(table: pa.Table, start: int, doubtful: NDArray[np.intp], faults: FaultList) -> None:
    """Note what is wrong with the doubtful rows, by the check of tables; rows are numbered as in the file."""
    # A row in doubt may yet be right: so many at a time, until as many are wrong.
    for some in np.array_split(doubtful, -(-len(doubtful) // MOST_FAULTS)):
        part = table.take(pa.array(some))
        for name in [name for name in table.column_names if name in _TEXTS]:
            part = part.set_column(part.schema.get_field_index(name), name, pc.cast(part[name], pa.string()))
        try:
            check_ratings(part.to_pandas().set_axis(some + start, axis=0))
        except InputError as error:
            faults.faults += error.faults
        if len(faults.faults) >= MOST_FAULTS:
            return


def _tell_doubles(numbers: Places, replicates: Floats, axes: Axes, faults: FaultList) -> None:
    """Note ratings of one cell and replicate that stand in more than one row."""
    if (numbers[1:] > numbers[:-1]).all():
        return
    ordered = np.sort(numbers)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(twice) == 0:
        return
    shown = twice[:MOST_FAULTS]
    places = np.flatnonzero(np.isin(numbers, shown))
    by_number = pd.Series(places).groupby(numbers[places])
    for number, rows in by_number:
        cell, replicate = divmod(int(number), len(replicates))
        exchange, construct, rater = np.unravel_index(cell, axes.shape)
        dyad, session, t = axes.keys.loc[axes.keys.index[exchange], KEY]
        listed = ", ".join(map(str, rows[:5]))
        faults.add(
            f"dyad {dyad}, session {session}, t {t}, construct {axes.constructs[construct]}, "
            f"rater {axes.raters[rater]}, replicate {replicates[replicate]:.0f} stands in rows {listed}",
            f"Keep one row per {', '.join(_UNIQUE)}",
        )
    if len(twice) > len(shown):
        faults.add(f"{len(twice) - len(shown)} more ratings stand in several rows", "Keep one row for each")


def _columns_of(path: str | Path) -> list[str]:
    """Return the columns to read; raise where a needed one is missing or has another type."""
    rows = check_table(path, "ratings")
    schema = pq.read_schema(path)
    if rows == 0 or not set(_REQUIRED) <= set(schema.names):
        check_ratings(schema.empty_table().to_pandas())
    faults = FaultList()
    found = []
    for names, kind, fits in (
        (_TEXTS, "text", _is_text),
        (_NUMBERS, "numbers", _is_number),
        (["probabilities"], "lists of numbers", _is_lists),
    ):
        for name in [name for name in names if name in schema.names]:
            found.append(name)
            if not fits(schema.field(name).type):
                faults.add(
                    f"column {name} holds {schema.field(name).type}, not {kind}",
                    "Write it with that type, or give the table itself in place of its file",
                )
    faults.raise_if_any(f"Cannot use the ratings {Path(path).name}")
    return found


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)


def _is_lists(kind: pa.DataType) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return pa.types.is_null(kind) or (listed and _is_number(kind.value_type))


def _coded(table: pa.Table, name: str) -> pa.DictionaryArray:
    """Return a column of text as codes; where the file has no ``rater_kind``, every rating is a human's."""
    if name not in table.column_names:
        return pa.DictionaryArray.from_arrays(np.zeros(len(table), dtype=np.int32), ["human"])
    column = table[name].chunk(0)
    if isinstance(column, pa.DictionaryArray):
        return column
    return pc.cast(column, pa.string()).dictionary_encode()


def _number(table: pa.Table, name: str) -> Floats:
    """Return a column of numbers, NaN where missing; a file without replicates has each rating once."""
    if name not in table.column_names:
        return np.full(len(table), 0.0 if name == "replicate" else np.nan)
    return pc.cast(table[name].chunk(0), pa.float64()).to_numpy(zero_copy_only=False)


def _through(codes: NDArray[np.integer], column: pa.DictionaryArray) -> Places:
    """Return each row's code; -1 where the column is missing."""
    places = pc.fill_null(column.indices, len(codes)).to_numpy(zero_copy_only=False)
    return np.append(codes, -1).astype(np.int64)[places]


def _is(column: pa.DictionaryArray, wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Return where a column of text has one of these values."""
    found = np.array([text in wanted for text in column.dictionary.to_pylist()], dtype=np.int64)
    return _through(found, column) > 0


def _whole(column: Floats) -> NDArray[np.bool_]:
    return (column >= 0) & (np.floor(column) == column) & np.isfinite(column)
