"""Batches: handed in once, collected by whoever comes back, and what failed is asked again."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bayesdyn.errors import EndpointError, Fault, InputError
from bayesdyn.ratings.ledgers.batch_book import batches_of
from bayesdyn.ratings.ledgers.files import open_ledger
from bayesdyn.ratings.rate import prepare, rate
from bayesdyn.ratings.results import NOT_ASKED
from bayesdyn.ratings.running.batches import visit, wait_for
from bayesdyn.ratings.scoring.panel import Panel, Price
from bayesdyn.ratings.servers.client import ChatClient, Passing
from bayesdyn.ratings.servers.scripted import Script, ScriptedServer

MakePanel = Callable[..., Panel]
ONE = ["empathy"]


class Crash(BaseException):
    """The process ends."""


def test_a_batch_is_handed_in_once_and_collected_when_it_is_finished(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    path = tmp_path / "l.sqlite"
    with ScriptedServer(Script(usage=(100, 1))) as server:
        panel = make_panel(server.base_url, price=Price(input=1.0))
        first = visit(prepare(exchanges, panel=panel, constructs=ONE), path)
        assert (first.submitted, first.collected, first.running) == (1, 0, 1)
        # Another process, another day: nothing is handed in again, and not rated by calls either.
        job = prepare(exchanges, panel=panel, constructs=ONE)
        again = visit(job, path)
        assert (again.submitted, again.running) == (0, 1)
        early = rate(exchanges, panel=panel, ledger=path, constructs=ONE, progress=False)
        assert set(early["reason"]) == {NOT_ASKED}
        last = visit(job, path)
        assert (last.submitted, last.collected, last.ratings, last.running) == (0, 1, len(exchanges), 0)
        assert len(server.desk.batches) == 1
        assert Counter(server.asked.values()) == {1: len(exchanges)}
        batched = rate(exchanges, panel=panel, ledger=path, constructs=ONE, progress=False)
        called = rate(exchanges, panel=panel, ledger=tmp_path / "c.sqlite", constructs=ONE, progress=False)
    pd.testing.assert_frame_equal(batched, called)
    with open_ledger(path, create=False) as ledger:
        assert ledger.tokens("scripted") == {True: (100 * len(exchanges), len(exchanges)), False: (0, 0)}
        assert [row.status for row in batches_of(ledger, "scripted")] == ["completed"]
        assert ledger.owners() == {}
    # Half the price of calls.
    assert job.estimate(path)["spent"].item() == pytest.approx(0.5 * 100 * len(exchanges) / 1e6)


def test_lines_that_failed_are_handed_in_again(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    path = tmp_path / "l.sqlite"
    with ScriptedServer(Script(fail={3: 500, 5: 429}, batch_looks=1)) as server:
        job = prepare(exchanges, panel=make_panel(server.base_url), constructs=ONE)
        visit(job, path)
        second = visit(job, path)
        assert (second.ratings, second.submitted) == (len(exchanges) - 2, 1)
        assert wait_for(job, path, every=0.01).running == 0
        with open_ledger(path, create=False) as ledger:
            assert len(ledger) == len(exchanges)
        assert server.requests == len(exchanges) + 2


def test_a_batch_that_was_created_just_before_a_crash_is_found_and_not_paid_twice(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, submit = tmp_path / "l.sqlite", ChatClient.submit

    async def crash(self: ChatClient, lines: bytes, owner: str) -> str:
        await submit(self, lines, owner)
        raise Crash

    with ScriptedServer(Script(batch_looks=1)) as server:
        job = prepare(exchanges, panel=make_panel(server.base_url), constructs=ONE)
        monkeypatch.setattr(ChatClient, "submit", crash)
        with pytest.raises(Crash):
            visit(job, path)
        monkeypatch.undo()
        found = visit(job, path)
        assert (found.submitted, found.collected, found.ratings) == (0, 1, len(exchanges))
        assert len(server.desk.batches) == 1


def test_a_batch_whose_creation_timed_out_is_looked_for_and_not_paid_twice(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, submit = tmp_path / "l.sqlite", ChatClient.submit

    async def lose(self: ChatClient, lines: bytes, owner: str) -> str:
        await submit(self, lines, owner)
        raise Passing(EndpointError("The LLM server cannot be used", [Fault("no answer within 5 s")]))

    with ScriptedServer(Script(batch_looks=1)) as server:
        job = prepare(exchanges, panel=make_panel(server.base_url), constructs=ONE)
        monkeypatch.setattr(ChatClient, "submit", lose)
        with pytest.raises(EndpointError, match="no answer"):
            visit(job, path)
        monkeypatch.undo()
        found = visit(job, path)
        assert (found.submitted, found.ratings) == (0, len(exchanges))
        assert len(server.desk.batches) == 1


def test_a_batch_that_the_server_never_took_is_handed_in_again(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "l.sqlite"

    async def crash(self: ChatClient, lines: bytes, owner: str) -> str:
        raise Crash

    with ScriptedServer(Script(batch_looks=1)) as server:
        job = prepare(exchanges, panel=make_panel(server.base_url), constructs=ONE)
        monkeypatch.setattr(ChatClient, "submit", crash)
        with pytest.raises(Crash):
            visit(job, path)
        monkeypatch.undo()
        assert visit(job, path).submitted == 1
        assert visit(job, path).ratings == len(exchanges)


def test_a_budget_holds_for_batches(tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel) -> None:
    path, told = tmp_path / "l.sqlite", list[str]()
    with ScriptedServer(Script(batch_looks=1)) as server:
        job = prepare(exchanges, panel=make_panel(server.base_url, price=Price(input=1.0)), constructs=ONE)
        whole = job.estimate(path)["cost"].item()
        for _ in range(2):
            visit(job, path, max_cost=0.25 * whole, tell=told.append)
        # At half the price, half of them fit.
        with open_ledger(path, create=False) as ledger:
            assert len(ledger) == len(exchanges) // 2
    assert any("max_cost" in line for line in told)


def test_answers_to_other_exchanges_are_told(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    path = tmp_path / "l.sqlite"
    with ScriptedServer(Script(batch_looks=1)) as server:
        panel = make_panel(server.base_url)
        visit(prepare(exchanges, panel=panel, constructs=ONE), path)
        other = exchanges.assign(therapist_text="Something else.")
        with pytest.raises(InputError, match=r"12 answers of scripted are of no passage here"):
            visit(prepare(other, panel=panel, constructs=ONE), path)
        assert visit(prepare(exchanges, panel=panel, constructs=ONE), path).ratings == len(exchanges)


def test_embedded_raters_have_no_batches(tmp_path: Path, exchanges: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="the embedded server has no batches"):
        visit(prepare(exchanges, panel="local"), tmp_path / "l.sqlite")
