"""Tables too large for memory: artefacts read and written a piece at a time."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bayesdyn.artefacts import check_table, stamp, whole_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def read_pieces(
    path: str | Path, kind: str, columns: list[str], rows: int = 4096
) -> "Iterator[pd.DataFrame]":
    """Yield an artefact's table a piece at a time.

    Parameters
    ----------
    path, kind
        As in :func:`bayesdyn.artefacts.read_table`, which also says what it raises.
    columns
        Those that are read.
    rows
        At most so many a piece.
    """
    import pyarrow.parquet as pq

    check_table(path, kind)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            yield batch.to_pandas()


def read_arrow(
    path: str | Path, kind: str, columns: list[str], coded: list[str], rows: int = 500_000
) -> "Iterator[pa.Table]":
    """Yield an artefact's table a piece at a time, as Arrow tables of one chunk.

    Parameters
    ----------
    path, kind
        As in :func:`bayesdyn.artefacts.read_table`, which also says what it raises.
    columns, coded
        Those that are read; those of them, of text, that come as codes with a dictionary.
    rows
        About so many a piece: a file may hold very many small row groups, or a single large one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_table(path, kind)
    with pq.ParquetFile(path, read_dictionary=coded) as file:
        held: list[pa.RecordBatch] = []
        count = 0
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            held.append(batch)
            count += batch.num_rows
            if count >= rows:
                yield _joined(held)
                held, count = [], 0
        if held:
            yield _joined(held)


def _joined(batches: "list[pa.RecordBatch]") -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()


@contextmanager
def piecewise_table(
    path: str | Path, kind: str, inputs: Mapping[str, str] | None, schema: "pa.Schema"
) -> "Iterator[Callable[[pd.DataFrame], None]]":
    """Yield a function that appends rows to a new artefact, which stands whole at the end or not at all.

    Parameters
    ----------
    path, kind, inputs
        As in :func:`bayesdyn.artefacts.write_table`.
    schema
        Columns and types of every piece.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = schema.with_metadata({b"bayesdyn": json.dumps(stamp(kind, inputs)).encode()})
    with whole_file(path) as part, pq.ParquetWriter(part, told) as writer:

        def append(frame: "pd.DataFrame") -> None:
            writer.write_table(pa.Table.from_pandas(frame[schema.names], told, preserve_index=False))

        yield append
