"""The command line of the rating stage, against a scripted server."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from bayesdyn.artefacts import read_table, write_table
from bayesdyn.cli.app import build_app
from bayesdyn.ratings.servers.scripted import Script, ScriptedServer
from bayesdyn.tables import check_exchanges

PANEL = """
name: mine
raters:
  - {{name: one, model: m, base_url: "{url}", prompt: rubric, labels: words, concurrency: 2, retries: 0,
     price: {{input: 2, output: 8}}}}
"""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), [str(part) for part in arguments])


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder, the working one, with exchanges of four dyads."""
    rows = [
        {
            "dyad": f"d{d}",
            "session": "1",
            "t": t,
            "therapist_text": f"So {d} {t}?",
            "client_text": f"Yes {d} {t}.",
        }
        for d in range(4)
        for t in range(3)
    ]
    write_table(check_exchanges(pd.DataFrame(rows)), tmp_path / "e.parquet", "exchanges")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def panel(server: ScriptedServer) -> Path:
    path = Path("panel.yaml")
    path.write_text(PANEL.format(url=server.base_url))
    return path


def test_a_dry_run_tells_the_cost_and_sends_and_writes_nothing(study: Path) -> None:
    with ScriptedServer() as server:
        done = call("rate", "e.parquet", "--panel", panel(server), "--dry-run")
        assert (done.exit_code, server.requests) == (0, 0)
    assert "Nothing was sent" in done.output
    line = next(line for line in done.stdout.splitlines() if line.strip().startswith("one"))
    assert line.split()[1] == "72"
    assert {path.name for path in study.iterdir()} == {"e.parquet", "panel.yaml"}


def test_shards_are_merged_and_exported(study: Path) -> None:
    with ScriptedServer() as server:
        asked = ("rate", "e.parquet", "--panel", panel(server), "--constructs", "empathy,rapport")
        for number in (1, 2):
            done = call(*asked, "--shard", f"{number}/2")
            assert done.exit_code == 0, done.output
        done = call("ledger", "merge", "ratings.sqlite", "ratings.1-of-2.sqlite", "ratings.2-of-2.sqlite")
        assert "added 24 ratings" in done.output
        assert server.requests == 24
        done = call(*asked)
        assert done.exit_code == 0
        assert server.requests == 24
    assert len(read_table("ratings.parquet", "ratings")) == 24
    assert "24 ratings" in call("ledger", "info").output


def test_batches_are_collected_by_the_same_command(study: Path) -> None:
    with ScriptedServer(Script(batch_looks=2)) as server:
        asked = ("rate", "e.parquet", "--panel", panel(server), "--constructs", "empathy", "--batch")
        first = call(*asked)
        assert "1 batches are running" in first.output
        assert not Path("ratings.parquet").exists()
        call(*asked)
        last = call(*asked)
        assert last.exit_code == 0, last.output
    assert read_table("ratings.parquet", "ratings")["value"].notna().all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--batch", "--shard", "1/2"], "cannot go together"),
        (["--wait"], "--wait is about batches"),
        (["--shard", "3/2"], "Give i/n"),
        (["--deidentify", "nowhere:hide"], "cannot be imported"),
        (["--constructs", "warmth"], "unknown construct 'warmth'"),
        (["--raters", "two"], "unknown rater 'two'"),
        (["--dask", "tcp://127.0.0.1:9"], "cannot be reached"),
    ],
)
def test_options_that_cannot_be_used_are_told(study: Path, options: list[str], told: str) -> None:
    with ScriptedServer() as server:
        done = call("rate", "e.parquet", "--panel", panel(server), *options)
        assert server.requests == 0
    assert done.exit_code == 2
    assert told in done.output
    assert {path.name for path in study.iterdir()} == {"e.parquet", "panel.yaml"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("methods: [guess]", "line 4"),
        ("together: true", r"methods: [json]"),
        ("replicates: 3", "Raise decoding.temperature"),
        ("methods: [json, json]", "stands twice"),
        ("price: {inputs: 2}", "unknown key 'inputs'"),
    ],
)
def test_a_faulty_panel_is_told(study: Path, line: str, told: str) -> None:
    text = (
        'name: mine\nraters:\n  - {name: one, model: m, base_url: "http://127.0.0.1:9/v1", prompt: rubric,\n'
    )
    Path("panel.yaml").write_text(text + f"     labels: words, {line}}}\n")
    done = call("rate", "e.parquet", "--panel", "panel.yaml", "--dry-run")
    assert done.exit_code == 2
    assert told in done.output
