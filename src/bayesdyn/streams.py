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
