"""How a run behaves: failures, limits, budgets, several processes, interruption, shards, files."""

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesdyn.artefacts import read_table, write_table
from bayesdyn.errors import ArtefactError, BayesdynWarning, EndpointError, InputError
from bayesdyn.ratings.ledgers.files import merge_ledgers, open_ledger
from bayesdyn.ratings.ledgers.ledger import Ledger
from bayesdyn.ratings.questions.shards import parse_shard, shard_ledger
from bayesdyn.ratings.rate import prepare, rate
from bayesdyn.ratings.results import NOT_ASKED
from bayesdyn.ratings.running.costs import Budget, cost_of
from bayesdyn.ratings.scoring.panel import Panel, Price
from bayesdyn.ratings.servers.pacing import Pace
from bayesdyn.ratings.servers.scripted import CLOSE, TRUNCATE, Script, ScriptedServer

MakePanel = Callable[..., Panel]
ONE = ["empathy"]


def test_every_passing_failure_is_tried_again(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    """HTTP 429, 500 and 503, a closed connection, half an answer: each question is answered once."""
    fail = {2: 429, 3: 500, 5: CLOSE, 7: TRUNCATE, 9: 503}
    with ScriptedServer(Script(fail=fail, retry_after=0.05)) as server:
        panel = make_panel(server.base_url, retries=3)
        ratings = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", constructs=ONE, progress=False)
        assert server.requests == len(exchanges) + len(fail)
    assert ratings["value"].notna().all()


def test_a_server_that_asks_to_wait_is_left_alone(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer(Script(fail={4: 429}, retry_after=1.5)) as server:
        panel = make_panel(server.base_url, retries=1, concurrency=1)
        start = time.monotonic()
        rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", constructs=ONE, progress=False)
        assert time.monotonic() - start > 1.5


def test_a_question_that_alone_fails_is_left_for_another_run(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer(Script(fail={6: 500, 13: 500})) as server:
        panel = make_panel(server.base_url, retries=0, concurrency=1)
        with pytest.raises(EndpointError, match=r"1 request failed.*\n.*HTTP 500.*only what failed"):
            rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", constructs=ONE, progress=False)
        assert server.requests == len(exchanges)
        with open_ledger(tmp_path / "l.sqlite", create=False) as ledger:
            assert len(ledger) == len(exchanges) - 1
            assert ledger.owners() == {}


def test_a_server_that_dies_is_paused_and_given_up_when_patience_ends(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, capfd: pytest.CaptureFixture[str]
) -> None:
    dead = {number: 503 for number in range(4, 500)}
    with ScriptedServer(Script(fail=dead)) as server:
        panel = make_panel(server.base_url, retries=50, concurrency=1, patience=10.0)
        with pytest.raises(EndpointError, match="HTTP 503"):
            rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", constructs=ONE, progress=True)
        assert server.requests < 40
    assert "Pausing" in capfd.readouterr().err
    with open_ledger(tmp_path / "l.sqlite", create=False) as ledger:
        assert len(ledger) == 3


def test_a_server_that_comes_back_is_asked_on(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer(Script(fail={number: 503 for number in range(4, 12)})) as server:
        panel = make_panel(server.base_url, retries=20, concurrency=1, patience=60)
        ratings = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", constructs=ONE, progress=False)
    assert ratings["value"].notna().all()


def test_a_wrong_key_stops_at_once(tmp_path: Path, make_panel: MakePanel) -> None:
    rows = [
        {"dyad": "a", "session": "1", "t": t, "therapist_text": f"says {t}", "client_text": "yes"}
        for t in range(500)
    ]
    with ScriptedServer(Script(always=401)) as server:
        panel = make_panel(server.base_url, concurrency=8, retries=4)
        with pytest.raises(EndpointError, match=r"HTTP 401.*API key"):
            rate(pd.DataFrame(rows), panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        assert server.requests <= 8


def test_pace_spreads_requests_over_the_minute() -> None:
    async def take(count: int, tokens: int, pace: Pace) -> float:
        start = time.monotonic()
        await asyncio.gather(*(pace.turn(tokens) for _ in range(count)))
        return time.monotonic() - start

    # 20 a second, of which one second's worth goes at once: 30 take at least half a second.
    assert 0.4 < asyncio.run(take(30, 1, Pace(1200, None))) < 1.5
    assert 0.4 < asyncio.run(take(30, 100, Pace(None, 120_000))) < 1.5
    assert asyncio.run(take(30, 100, Pace(None, None))) < 0.2


def test_a_budget_is_never_passed(tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel) -> None:
    price, path = Price(input=1.0, output=2.0), tmp_path / "l.sqlite"
    job = prepare(exchanges, panel=make_panel("http://127.0.0.1:9/v1", price=price), constructs=ONE)
    told = job.estimate(path).iloc[0]
    # The server bills 1.6 times the estimate.
    usage = (round(1.6 * told["input_tokens"] / len(exchanges)), 1)
    with ScriptedServer(Script(usage=usage)) as server:
        panel = make_panel(server.base_url, price=price, concurrency=4)
        assert told["requests"] == len(exchanges)
        assert told["cost"] == pytest.approx((told["input_tokens"] + 2 * told["output_tokens"]) / 1e6)
        most = 6.5 * cost_of(price, *usage)
        for _ in range(2):  # a second run does not spend it again
            with pytest.warns(BayesdynWarning, match="max_cost"):
                ratings = rate(exchanges, panel=panel, ledger=path, constructs=ONE, max_cost=most,
                               progress=False)  # fmt: skip
            asked = int(ratings["value"].notna().sum())
            assert 3 <= asked == server.requests < len(exchanges)
            assert asked * cost_of(price, *usage) <= most
            assert set(ratings.loc[ratings["value"].isna(), "reason"]) == {NOT_ASKED}
        whole = rate(exchanges, panel=panel, ledger=path, constructs=ONE, max_cost=1.0, progress=False)
        assert whole["value"].notna().all()
        assert server.requests == len(exchanges)


@pytest.mark.parametrize("usage", [(700, 1), (0, 0)])
def test_tries_that_were_spoiled_may_have_been_billed(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, usage: tuple[int, int]
) -> None:
    """Half an answer and a closed connection count as estimated; so does an answer that bills nothing."""
    path = tmp_path / "l.sqlite"
    with ScriptedServer(Script(usage=usage, fail={2: TRUNCATE, 5: CLOSE, 6: 500, 7: 429})) as server:
        panel = make_panel(server.base_url, price=Price(input=1.0), retries=3)
        job = prepare(exchanges, panel=panel, constructs=ONE)
        estimate = job.estimate(path)["input_tokens"].sum() / len(exchanges)
        job.ask(path, progress=False)
        assert server.requests == len(exchanges) + 4
        billed = len(exchanges) * (usage[0] or estimate) + 2 * estimate
        assert job.estimate(path)["spent"].sum() * 1e6 == pytest.approx(billed, rel=1e-3)


def test_a_budget_books_what_is_in_flight_at_its_most() -> None:
    budget = Budget(Price(input=1e6), 10.0, spent=4.0)
    assert budget.book((3, 0))  # booked as 6 until an answer tells more
    assert not budget.book((1, 0))
    budget.settle((3, 0), (3, 0))
    assert budget.spent == 7.0
    assert budget.book((1, 0))
    budget.settle((1, 0), (1, 0), spoiled=1)
    assert budget.spent == 9.0
    assert budget.book((1, 0))
    assert not budget.book((1, 0))


# A shell's background job, and so its children, would ignore Ctrl-C.
RUN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys, pandas as pd
from bayesdyn.ratings.scoring.panel import Panel
from bayesdyn.ratings.rate import rate
exchanges = pd.read_json(sys.argv[1], orient="records", dtype={"dyad": str, "session": str})
rate(exchanges, panel=Panel.model_validate_json(sys.argv[2]), ledger=sys.argv[3], progress=True)
"""


def start(table: Path, panel: Panel, ledger: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(table), panel.model_dump_json(), str(ledger)]
    return subprocess.Popen(command, env={**os.environ}, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_processes_on_one_ledger_rate_nothing_twice(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    table, path = tmp_path / "exchanges.json", tmp_path / "l.sqlite"
    exchanges.to_json(table, orient="records")
    with ScriptedServer(Script(delay=0.1)) as server:
        panel = make_panel(server.base_url)
        runs = [start(table, panel, path) for _ in range(2)]
        told = [run.communicate(timeout=100)[1] for run in runs]
        assert [run.returncode for run in runs] == [0, 0], told
        assert Counter(server.asked.values()) == {1: len(exchanges) * 6}
        ratings = rate(exchanges, panel=panel, ledger=path, progress=False)
        assert server.requests == len(exchanges) * 6
    assert ratings["value"].notna().all()


def test_ctrl_c_finishes_what_is_in_flight_and_loses_nothing(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    table, path = tmp_path / "exchanges.json", tmp_path / "l.sqlite"
    exchanges.to_json(table, orient="records")
    with ScriptedServer(Script(delay=0.3)) as server:
        panel = make_panel(server.base_url)
        run = start(table, panel, path)
        wait_for(lambda: server.requests >= 6)
        run.send_signal(signal.SIGINT)
        _, told = run.communicate(timeout=30)
        assert "Finishing what is in flight" in told
        asked = server.requests
        with open_ledger(path, create=False) as ledger:
            assert len(ledger) == asked
            assert ledger.owners() == {}
        rate(exchanges, panel=panel, ledger=path, progress=False)
        assert Counter(server.asked.values()) == {1: len(exchanges) * 6}


def test_claims_of_a_process_that_is_gone_block_nothing(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    table, path = tmp_path / "exchanges.json", tmp_path / "l.sqlite"
    exchanges.to_json(table, orient="records")
    with ScriptedServer(Script(delay=0.2)) as server:
        panel = make_panel(server.base_url)
        run = start(table, panel, path)
        wait_for(lambda: server.requests >= 4)
        run.kill()
        run.communicate(timeout=30)
        with open_ledger(path, create=False) as ledger:
            assert sum(ledger.owners().values()) > 0
        begun = time.monotonic()
        ratings = rate(exchanges, panel=panel, ledger=path, progress=False)
        assert time.monotonic() - begun < 60  # and not the 90 seconds of the lease
    assert ratings["value"].notna().all()


def test_a_claim_runs_out_where_its_owner_is_silent(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.claim(["a", "b"], "elsewhere/1/x", seconds=0.2) == {"a", "b"}
        assert ledger.claim(["a", "c"], "elsewhere/2/y") == {"c"}
        time.sleep(0.25)
        assert ledger.claim(["a"], "elsewhere/2/y") == {"a"}
        ledger.renew("elsewhere/2/y", seconds=100)
        assert ledger.owners() == {"elsewhere/2/y": 2}
        ledger.release(["elsewhere/2/y"])
        assert ledger.owners() == {}


def test_shards_share_the_dyads_and_merge_into_the_same_ledger(tmp_path: Path, make_panel: MakePanel) -> None:
    rows = [
        {"dyad": f"d{d}", "session": "1", "t": t, "therapist_text": f"{d} says {t}", "client_text": "yes"}
        for d in range(20)
        for t in range(3)
    ]
    exchanges, whole = pd.DataFrame(rows), tmp_path / "l.sqlite"
    with ScriptedServer() as server:
        panel = make_panel(server.base_url)
        paths = []
        for number in (1, 2, 3):
            shard = parse_shard(f"{number}/3")
            paths.append(shard_ledger(whole, shard))
            prepare(exchanges, panel=panel, constructs=ONE, shard=shard).ask(paths[-1], progress=False)
            with open_ledger(paths[-1], create=False) as ledger:
                assert 0 < len(ledger) < len(rows)
        assert server.requests == len(rows)
        assert merge_ledgers(whole, paths) == len(rows)
        assert merge_ledgers(whole, paths) == 0
        merged = rate(exchanges, panel=panel, ledger=whole, constructs=ONE, progress=False)
        assert server.requests == len(rows)
        single = rate(exchanges, panel=panel, ledger=tmp_path / "one.sqlite", constructs=ONE, progress=False)
    pd.testing.assert_frame_equal(merged, single)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3"])
def test_a_shard_that_is_none_is_told(text: str) -> None:
    with pytest.raises(InputError, match="i/n"):
        parse_shard(text)


def test_a_file_of_exchanges_is_streamed_to_a_file_of_ratings(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    exchanges.loc[0, "client_text"] = ""
    write_table(exchanges, tmp_path / "exchanges.parquet", "exchanges")
    with ScriptedServer() as server:
        panel = make_panel(server.base_url)
        job = prepare(tmp_path / "exchanges.parquet", panel=panel)
        job.ask(tmp_path / "l.sqlite", progress=False)
        counts = job.export(tmp_path / "l.sqlite", tmp_path / "ratings.parquet")
        table = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
    assert counts.loc["scripted", "rated"] == 72 - 4
    streamed = read_table(tmp_path / "ratings.parquet", "ratings")
    streamed["probabilities"] = [None if row is None else list(row) for row in streamed["probabilities"]]
    pd.testing.assert_frame_equal(streamed, table, check_dtype=False)


def test_a_file_that_is_not_in_order_is_told(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    write_table(exchanges[::-1], tmp_path / "exchanges.parquet", "exchanges")
    job = prepare(tmp_path / "exchanges.parquet", panel=make_panel("http://127.0.0.1:9/v1"))
    with pytest.raises(InputError, match=r"order of dyad, session, t.*bayesdyn read"):
        job.estimate(tmp_path / "l.sqlite")
    write_table(exchanges, tmp_path / "other.parquet", "ratings")
    with pytest.raises(ArtefactError, match="holds ratings, not exchanges"):
        prepare(tmp_path / "other.parquet", panel=make_panel("http://127.0.0.1:9/v1"))


def test_a_ledger_of_the_first_version_is_read_and_raised_when_written(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    path = tmp_path / "l.sqlite"
    with ScriptedServer() as server:
        panel = make_panel(server.base_url)
        rate(exchanges[:6], panel=panel, ledger=path, constructs=ONE, progress=False)
        connection = sqlite3.connect(path, isolation_level=None)
        for statement in (
            "drop table claim", "drop table choice", "drop table batch",
            "alter table rating drop column input_tokens", "alter table rating drop column output_tokens",
            "pragma user_version = 1",
        ):  # fmt: skip
            connection.execute(statement)
        connection.close()
        ratings = rate(exchanges[:6], panel=panel, ledger=path, constructs=ONE, progress=False)
        assert ratings["value"].notna().all()
        assert server.requests == 6
        rate(exchanges, panel=panel, ledger=path, constructs=ONE, progress=False)
        assert server.requests == len(exchanges)
    with open_ledger(path, create=False) as ledger:
        assert len(ledger) == len(exchanges)
        assert ledger.owners() == {}


def test_a_full_disk_is_told_and_what_was_rated_is_kept(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "l.sqlite"
    add = Ledger.add

    def small(self: Ledger, *given: object) -> None:
        # SQLite's own way to be full: no page more than there are.
        self._connection.execute("pragma max_page_count = 1")
        add(self, *given)  # type: ignore[arg-type]

    with ScriptedServer() as server:
        panel = make_panel(server.base_url, concurrency=1)
        rate(exchanges[:6], panel=panel, ledger=path, constructs=ONE, progress=False)
        monkeypatch.setattr(Ledger, "add", small)
        many = pd.concat(
            [
                exchanges.assign(
                    dyad=exchanges["dyad"] + str(k), therapist_text=exchanges["therapist_text"] + str(k)
                )
                for k in range(40)
            ],
            ignore_index=True,
        )
        with pytest.raises(InputError, match=r"full.*what was rated before is kept.*Make room"):
            rate(many, panel=panel, ledger=path, constructs=ONE, progress=False)
        monkeypatch.undo()
        with open_ledger(path, create=False) as ledger:
            assert len(ledger) >= 6
        ratings = rate(many, panel=panel, ledger=path, constructs=ONE, progress=False)
        assert ratings["value"].notna().all()


def test_what_identifies_is_changed_before_anything_is_sent_or_hashed(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    def hide(text: str, dyad: str) -> str:
        return text.replace(f"therapist {dyad}", "NAME")

    asked: list[str] = []

    class Listening(ScriptedServer):
        def reply(self, body: dict[str, object], key: str) -> tuple[int, dict[str, object]]:
            asked.append(str(body))
            return super().reply(body, key)

    with Listening() as server:
        panel = make_panel(server.base_url)
        rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", constructs=ONE, deidentify=hide,
             progress=False)  # fmt: skip
        # Both dyads say the same once their names are hidden: equal passages are asked once.
        assert server.requests == 6
        probe, *questions = asked
        assert "says" not in probe
        assert all("NAME says" in body and "therapist a" not in body for body in questions)


def test_values_of_both_kinds_are_on_the_scale(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer(Script(logprobs=False)) as server:
        panel = make_panel(server.base_url, methods=("json",))
        ratings = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
    assert np.isin(ratings["value"], [1, 2, 3, 4, 5]).all()
    assert ratings["off_scale"].isna().all()


def test_no_log_holds_a_passage_even_when_everything_is_to_be_logged(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("openai").setLevel(logging.DEBUG)
    with ScriptedServer(Script(fail={2: 500, 4: 429})) as server, caplog.at_level(logging.DEBUG):
        panel = make_panel(server.base_url, retries=2)
        rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", constructs=ONE, progress=False)
    assert server.requests > len(exchanges)
    assert "says" not in caplog.text
