"""Files between stages: written whole or not at all, stamped with kind, version and input hashes.

Tables are Parquet, arrays and fits are NetCDF. Every artefact carries a stamp, a JSON object with
``kind``, ``format``, ``packages`` (bayesdyn's version among them) and ``inputs`` (name to sha256), so that
a later stage can refuse what it cannot read, and a report can say where each figure came from.
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesdyn.errors import ArtefactError, Fault, InputError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FORMAT = 1
"""Version of the artefact layout; raised when a stage can no longer read the files of the one before."""

_PACKAGES = ("pymc", "nutpie", "numpyro", "blackjax", "jax", "arviz", "xarray", "pandas", "numpy", "openai")
_STAMP = "bayesdyn_stamp"


def sha256_text(text: str) -> str:
    """Return the sha256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the sha256 of a file, in hex, read in blocks."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_json(value: object) -> str:
    """Return the sha256 of a JSON-able value in canonical form (sorted keys, no spaces)."""
    return sha256_text(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def sha256_frame(frame: "pd.DataFrame") -> str:
    """Return the sha256 of a table: its columns, then its values row by row (the index is not part)."""
    import numpy as np
    import pandas as pd

    digest = hashlib.sha256("\x1f".join(map(str, frame.columns)).encode())
    flat = frame.copy(deep=False)
    for name in flat.columns[[pd.api.types.is_object_dtype(dtype) for dtype in flat.dtypes]]:
        if flat[name].map(lambda value: hasattr(value, "__len__") and not isinstance(value, str)).any():
            # As plain Python numbers: Parquet gives arrays back where lists went in.
            flat[name] = flat[name].map(
                lambda value: repr(np.asarray(value).tolist()) if hasattr(value, "__len__") else ""
            )
    digest.update(pd.util.hash_pandas_object(flat, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def sha256_dataset(dataset: "xr.Dataset") -> str:
    """Return the sha256 of a dataset: names, dims, shapes and values of all variables, in name order."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset[name]
        values = np.asarray(variable.values)
        digest.update(f"{name}|{variable.dims}|{values.shape}".encode())
        if values.dtype.kind in "OUST":
            digest.update("\x1f".join(map(str, values.ravel())).encode())
        else:
            digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python, bayesdyn and the packages that make a result."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "bayesdyn": _version("bayesdyn")}
    return found | {name: _version(name) for name in _PACKAGES}


def stamp(kind: str, inputs: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return the stamp of an artefact: its kind, the layout's version, package versions, input hashes."""
    return {"kind": kind, "format": FORMAT, "packages": versions(), "inputs": dict(inputs or {})}


def stamped(kind: str, inputs: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the attribute that holds the stamp of a Dataset or DataTree."""
    return {_STAMP: json.dumps(stamp(kind, inputs))}


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it only when the block ends well.

    Raises
    ------
    InputError
        If the folder cannot be written, or a folder has the file's name.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise InputError(
            f"Cannot write {target}", [Fault(_reason(error), "Choose a folder that you may write to")]
        ) from None
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())
        try:
            os.replace(part, target)
        except OSError as error:
            raise InputError(
                f"Cannot write {target}", [Fault(_reason(error), "Choose another name or folder")]
            ) from None
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_table(
    frame: "pd.DataFrame", path: str | Path, kind: str, inputs: Mapping[str, str] | None = None
) -> None:
    """Write a table as Parquet with its stamp in the file's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), b"bayesdyn": json.dumps(stamp(kind, inputs)).encode()}
    with whole_file(path) as part:
        pq.write_table(table.replace_schema_metadata(metadata), part)


def read_table(path: str | Path, kind: str) -> "pd.DataFrame":
    """Read a table that :func:`write_table` wrote.

    Raises
    ------
    ArtefactError
        If it is missing, damaged, of another kind, or of another layout version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_table(path, kind)
    try:
        return pq.read_table(path).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, kind, error) from None


def check_table(path: str | Path, kind: str) -> int:
    """Check that a file is a table that :func:`write_table` wrote, and return how many rows it has.

    Raises
    ------
    ArtefactError
        As :func:`read_table`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _must_exist(path, kind)
    try:
        with pq.ParquetFile(path) as file:
            metadata, rows = file.schema_arrow.metadata, file.metadata.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, kind, error) from None
    check_stamp(_stamp_of(metadata or {}, b"bayesdyn"), path, kind)
    return int(rows)


def write_dataset(
    dataset: "xr.Dataset | xr.DataTree", path: str | Path, kind: str, inputs: Mapping[str, str] | None = None
) -> None:
    """Write a Dataset or DataTree as NetCDF with its stamp in the root attributes."""
    marked = dataset.copy()
    marked.attrs = {**dataset.attrs, **stamped(kind, inputs)}
    with whole_file(path) as part:
        marked.to_netcdf(part, engine="h5netcdf")


def read_dataset(path: str | Path, kind: str) -> "xr.Dataset":
    """Read a Dataset that :func:`write_dataset` wrote, into memory. Raises as :func:`read_table`."""
    import xarray as xr

    _must_exist(path, kind)
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, kind, error) from None
    check_stamp(_stamp_of(dataset.attrs, _STAMP), path, kind)
    return dataset


def read_tree(path: str | Path, kind: str) -> "xr.DataTree":
    """Read a DataTree that :func:`write_dataset` wrote, into memory. Raises as :func:`read_table`."""
    import xarray as xr

    _must_exist(path, kind)
    try:
        tree = xr.load_datatree(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, kind, error) from None
    check_stamp(_stamp_of(tree.attrs, _STAMP), path, kind)
    return tree


def check_stamp(found: Mapping[str, object] | None, path: str | Path, kind: str) -> None:
    """Check that a stamp is of this kind and layout version.

    Raises
    ------
    ArtefactError
        If it is absent, of another kind, or of another layout version.
    """
    if found is None:
        fault = Fault(
            "it carries no bayesdyn stamp",
            f"Make it with bayesdyn, or read it as data from elsewhere ({kind})",
        )
    elif found.get("format") != FORMAT:
        fault = Fault(
            f"it has layout version {found.get('format')}, this bayesdyn reads {FORMAT}",
            "Make it again with this version, or use the version that made it",
        )
    elif found.get("kind") != kind:
        fault = Fault(f"it holds {found.get('kind')}, not {kind}", f"Give the file that holds {kind}")
    else:
        return
    raise ArtefactError(f"Cannot use {path}", [fault])


def _stamp_of(metadata: Mapping[Any, Any], key: str | bytes) -> dict[str, object] | None:
    """Return the stamp, or None where there is none that can be read."""
    raw = metadata.get(key)
    if not isinstance(raw, str | bytes):
        return None
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _must_exist(path: str | Path, kind: str) -> None:
    if not Path(path).is_file():
        raise ArtefactError(
            f"Cannot read {path}", [Fault("there is no such file", f"Run the stage that makes {kind} first")]
        )


def _damaged(path: str | Path, kind: str, error: Exception) -> ArtefactError:
    return ArtefactError(
        f"Cannot read {path}",
        [Fault(f"it is damaged or not {kind} ({type(error).__name__})", "Make it again")],
    )


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
