"""What the measures of a corpus cost: time and memory of ``bd.measure`` on a file of ratings.

    python benchmarks/measures.py [--quick] [--exchanges N] [--only read,table,measure,ordinal]

A made-up corpus (six constructs, four raters, of whom two give probabilities, three replicates each, sessions
of 60 exchanges, five sessions a dyad, 1 % unrated) is written as the rating stage writes it. It is then read
to cells, and measured, from that file, in processes of their own; so is a corpus a sixth of its size, which
is read from a table in memory too. A corpus of 20,000 is measured with the ordinal likelihood, all six
constructs. ``--quick`` reads small ones, and samples nothing. The last
line is one JSON object: sizes in MB, times in seconds; ``read_*`` is from file to cells, ``measure_*`` and
``ordinal_*`` the whole; ``memory_grows`` is the large corpus's reading over the small one's, per rating;
``in_memory_*`` is the table over the file, of the small one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bayesdyn.artefacts import read_table, stamp
from bayesdyn.errors import FaultList
from bayesdyn.machine import available_cores
from bayesdyn.measures.build import measure
from bayesdyn.measures.dataset import sorted_by_key
from bayesdyn.measures.gathering.cells import reduce_cells
from bayesdyn.measures.gathering.pieces import open_ratings
from bayesdyn.measures.gathering.sources import source_of
from bayesdyn.measures.modelled import Likelihood
from bayesdyn.ratings.results import _schema
from bayesdyn.tables import check_ratings

HERE = Path(__file__).resolve()
CONSTRUCTS = ("disclosure", "empathy", "exploration", "outward_negative", "rapport", "self_negative")
ERROR_SD = (0.45, 0.6, 0.75, 0.9)
DISCRIMINATION = (0.8, 1.0, 1.1, 1.25)
REPLICATES, LENGTH, SESSIONS = 3, 60, 5
POINTS = np.arange(1.0, 6.0)
UNRATED = 0.01
LIKELIHOODS: dict[str, Likelihood] = {"measure": "gaussian", "ordinal": "ordinal"}


def write_corpus(path: Path, exchanges: int, seed: int = 1) -> int:
    """Write ratings of so many exchanges, session by session as the rating stage does; return the rows."""
    schema = _schema().with_metadata({b"bayesdyn": json.dumps(stamp("ratings")).encode()})
    rng = np.random.default_rng(seed)
    rows = 0
    with pq.ParquetWriter(path, schema) as writer:
        for dyad in range(-(-exchanges // (LENGTH * SESSIONS))):
            left = min(LENGTH * SESSIONS, exchanges - dyad * LENGTH * SESSIONS)
            table = _dyad(dyad, left, rng, schema)
            writer.write_table(table)
            rows += len(table)
    return rows


def _dyad(dyad: int, exchanges: int, rng: np.random.Generator, schema: pa.Schema) -> pa.Table:
    """Return the ratings of one dyad: ``m + discrimination (theta - m) + error``, read off five points."""
    constructs, raters = len(CONSTRUCTS), len(ERROR_SD)
    session = np.arange(exchanges) // LENGTH
    theta = 0.8 * rng.standard_normal((exchanges, constructs))
    theta += 0.4 * rng.standard_normal((SESSIONS, constructs))[session]
    theta += 0.3 * rng.standard_normal(constructs)
    shared = 0.3 * rng.standard_normal((exchanges, constructs))
    seen = DISCRIMINATION * (theta + shared)[:, :, None]
    seen = 3 + seen + ERROR_SD * rng.standard_normal((exchanges, constructs, raters))
    spread = rng.uniform(0.4, 0.9, seen.shape)
    p = np.exp(-0.5 * np.square((POINTS - seen[..., None]) / spread[..., None])) + 1e-9
    p /= p.sum(axis=-1, keepdims=True)
    shape = (exchanges, constructs, raters, REPLICATES)
    place, construct, rater, replicate = (axis.ravel() for axis in np.indices(shape))
    drawn = 1.0 + (rng.random((*shape, 1)) > p.cumsum(axis=-1)[:, :, :, None, :4]).sum(axis=-1)
    expected = np.broadcast_to((p @ POINTS)[..., None], shape)
    told = rater < 2
    rated = rng.random(len(place)) >= UNRATED
    value = np.where(told, expected.ravel(), drawn.ravel())
    lengths = np.where(told & rated, 5, 0)
    every = np.broadcast_to(p[:, :, :, None, :], (*shape, 5)).reshape(-1, 5)[told & rated]
    ends = pa.array(np.append(0, lengths.cumsum()), pa.int32())
    lists = pa.ListArray.from_arrays(ends, every.ravel(), mask=pa.array(~(told & rated)))

    def text(names: list[str], codes: np.ndarray) -> pa.Array:
        return pc.take(pa.array(names), pa.array(codes))

    def one(value: object, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), len(place))

    number, words = pa.float64(), pa.string()
    columns = {
        "dyad": one(f"d{dyad:06d}", words),
        "session": text([str(k + 1) for k in range(SESSIONS)], session[place]),
        "t": pa.array(place % LENGTH),
        "construct": text(list(CONSTRUCTS), construct),
        "rater": text([f"r{k}" for k in range(raters)], rater),
        "replicate": pa.array(replicate),
        "value": pa.array(value, mask=~rated),
        "probabilities": lists,
        "off_scale": pa.array(np.where(told & rated, 0.01, np.nan), from_pandas=True),
        "scale_min": one(1.0, number),
        "scale_max": one(5.0, number),
        "rater_kind": one("llm", words),
        "method": text(["sampled", "probabilities"], told.astype(int)),
        "reason": text(["not a number", ""], rated.astype(int)),
        **{name: one(16 * "0a1b", words) for name in ("prompt_hash", "codebook_hash", "panel_hash")},
    }
    return pa.table(columns, schema=schema)


def read(path: str, in_memory: bool) -> None:
    """Bring ratings to cells, from the file or from a table in memory."""
    faults = FaultList()
    source = source_of(check_ratings(read_table(path, "ratings"))) if in_memory else open_ratings(path)
    reduce_cells([source], sorted_by_key(source.keys, faults, "made-up ratings"), faults)
    faults.raise_if_any("made-up ratings")


def alone(what: str, path: Path, sessions: int) -> tuple[float, float]:
    """Return seconds and peak resident MB of one job in a process of its own."""
    command = [sys.executable, str(HERE), "--job", what, str(path), str(sessions)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, size = run.stdout.split()[-2:]
    return float(seconds), float(size)


def job(what: str, path: str, sessions: int) -> None:
    """Do one job; print its seconds and the peak resident size in MB."""
    begun = time.perf_counter()
    if what in LIKELIHOODS:
        measure(path, likelihood=LIKELIHOODS[what], random_seed=1, most_sessions=sessions)
    else:
        read(path, in_memory=what == "table")
    seconds = time.perf_counter() - begun
    # Not getrusage: its peak is inherited from the process that made the ratings.
    status = Path("/proc/self/status").read_text()
    print(seconds, int(status.split("VmHWM:")[1].split()[0]) / 1024)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="at most 45 s; reads, and samples nothing")
    parser.add_argument("--only", default="read,table,measure,ordinal")
    parser.add_argument("--exchanges", type=int, default=300_000)
    parser.add_argument("--ordinal-exchanges", type=int, default=20_000)
    parser.add_argument("--most-sessions", type=int, default=320)
    parser.add_argument("--job", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        job(given.job[0], given.job[1], int(given.job[2]))
        return
    large = 6_000 if given.quick else given.exchanges
    small, wanted = large // 6, given.only.split(",")
    found: dict[str, object] = {
        "benchmark": "measures", "quick": given.quick, "cores": available_cores(), "exchanges": large,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        paths = {count: Path(folder) / f"{count}.parquet" for count in (small, large)}
        rows = {count: write_corpus(path, count) for count, path in paths.items()}
        found |= {"ratings": rows[large], "file_mb": round(paths[large].stat().st_size / 2**20)}
        if "read" in wanted:
            few, many = (alone("read", paths[count], 1) for count in (small, large))
            found |= {
                "read_seconds": round(many[0], 1), "read_peak_mb": round(many[1]),
                "read_us_per_rating": round(1e6 * many[0] / rows[large], 2),
                "memory_grows_bytes_per_rating":
                    round((many[1] - few[1]) * 2**20 / (rows[large] - rows[small]), 1),
            }  # fmt: skip
            if "table" in wanted:
                table = alone("table", paths[small], 1)
                found |= {
                    "in_memory_time_ratio": round(table[0] / few[0], 1),
                    "in_memory_peak_ratio": round(table[1] / few[1], 1),
                }
        if "measure" in wanted and not given.quick:
            seconds, size = alone("measure", paths[large], given.most_sessions)
            found |= {"measure_seconds": round(seconds), "measure_peak_mb": round(size)}
        if "ordinal" in wanted and not given.quick:
            path = Path(folder) / "ordinal.parquet"
            write_corpus(path, given.ordinal_exchanges)
            seconds, size = alone("ordinal", path, given.most_sessions)
            found |= {
                "ordinal_exchanges": given.ordinal_exchanges, "ordinal_seconds": round(seconds),
                "ordinal_peak_mb": round(size),
            }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
