"""A real Dask cluster of two worker processes: the same ratings as a single process, none twice."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from distributed import LocalCluster

from bayesdyn.artefacts import write_table
from bayesdyn.errors import EndpointError, InputError
from bayesdyn.ratings.cluster import rate_on_cluster
from bayesdyn.ratings.rate import rate
from bayesdyn.ratings.scoring.panel import Panel
from bayesdyn.ratings.servers.scripted import Script, ScriptedServer

MakePanel = Callable[..., Panel]
ONE = ["empathy"]


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made:
        yield made.scheduler_address


@pytest.fixture
def many() -> pd.DataFrame:
    rows = [
        {"dyad": f"d{d}", "session": "1", "t": t, "therapist_text": f"{d} says {t}", "client_text": "yes"}
        for d in range(12)
        for t in range(4)
    ]
    return pd.DataFrame(rows).sort_values(["dyad", "session", "t"], ignore_index=True)


def test_a_cluster_gives_what_one_process_gives(
    cluster: str, tmp_path: Path, many: pd.DataFrame, make_panel: MakePanel
) -> None:
    source, path = tmp_path / "exchanges.parquet", tmp_path / "l.sqlite"
    write_table(many, source, "exchanges")
    told: list[str] = []
    with ScriptedServer() as server:
        panel = make_panel(server.base_url)
        added = rate_on_cluster(cluster, source, panel=panel, ledger=path, constructs=ONE, tell=told.append)
        assert added == len(many)
        assert sorted(told) == ["shard 1/2: done", "shard 2/2: done"]
        assert Counter(server.asked.values()) == {1: len(many)}
        assert rate_on_cluster(cluster, source, panel=panel, ledger=path, constructs=ONE) == 0
        spread = rate(many, panel=panel, ledger=path, constructs=ONE, progress=False)
        assert server.requests == len(many)
        single = rate(many, panel=panel, ledger=tmp_path / "one.sqlite", constructs=ONE, progress=False)
    pd.testing.assert_frame_equal(spread, single)


def test_what_stops_a_worker_is_told_and_the_rest_is_kept(
    cluster: str, tmp_path: Path, many: pd.DataFrame, make_panel: MakePanel
) -> None:
    source, path = tmp_path / "exchanges.parquet", tmp_path / "l.sqlite"
    write_table(many, source, "exchanges")
    with ScriptedServer(Script(fail={5: 500})) as server:
        panel = make_panel(server.base_url, retries=0)
        with pytest.raises(EndpointError, match="HTTP 500"):
            rate_on_cluster(cluster, source, panel=panel, ledger=path, constructs=ONE)
        rate_on_cluster(cluster, source, panel=panel, ledger=path, constructs=ONE)
        assert server.requests == len(many) + 1


def test_a_scheduler_that_is_not_there_is_told(tmp_path: Path, many: pd.DataFrame) -> None:
    write_table(many, tmp_path / "exchanges.parquet", "exchanges")
    with pytest.raises(InputError, match="cannot be reached"):
        rate_on_cluster("tcp://127.0.0.1:9", tmp_path / "exchanges.parquet", ledger=tmp_path / "l.sqlite")
