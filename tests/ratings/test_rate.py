"""Rating against a scripted server: resume, unrated, and servers that cannot be used."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from bayesdyn.errors import EndpointError, InputError
from bayesdyn.ratings.answers.parse import Answer
from bayesdyn.ratings.ledgers.files import merge_ledgers, open_ledger
from bayesdyn.ratings.rate import prepare, rate
from bayesdyn.ratings.results import NO_WORDS, NOT_ASKED, read_ledger
from bayesdyn.ratings.scoring.codebook import load_codebook
from bayesdyn.ratings.scoring.panel import Panel
from bayesdyn.ratings.servers.scripted import Script, ScriptedServer
from bayesdyn.tables import check_ratings

MakePanel = Callable[..., Panel]
CONSTRUCTS = 6


def test_every_exchange_and_construct_is_rated_once(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer() as server:
        panel = make_panel(server.base_url)
        ratings = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        assert server.requests == len(exchanges) * CONSTRUCTS == len(ratings)
        assert max(server.asked.values()) == 1
        again = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        assert server.requests == len(ratings)
    pd.testing.assert_frame_equal(ratings, again)
    pd.testing.assert_frame_equal(ratings, check_ratings(ratings))
    assert ratings["value"].between(1, 5).all()
    assert ratings["off_scale"].to_numpy() == pytest.approx(0.05)
    assert set(ratings["rater_kind"]) == {"llm"}
    assert set(ratings["method"]) == {"logprobs"}
    assert ratings.groupby("construct")["prompt_hash"].nunique().tolist() == [1] * CONSTRUCTS
    assert set(ratings["codebook_hash"]) == {load_codebook("chen2026").sha256}
    assert set(ratings["panel_hash"]) == {panel.sha256}
    expected = [sum(p * k for p, k in zip(row, range(1, 6), strict=True)) for row in ratings["probabilities"]]
    assert ratings["value"].to_numpy() == pytest.approx(expected)


def test_the_ledger_holds_no_transcript_text(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer() as server:
        rate(exchanges, panel=make_panel(server.base_url), ledger=tmp_path / "l.sqlite", progress=False)
    for path in tmp_path.iterdir():
        assert b"says" not in path.read_bytes()


def test_only_what_is_new_is_asked(tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel) -> None:
    with ScriptedServer() as server:
        panel = make_panel(server.base_url)
        path = tmp_path / "l.sqlite"
        rate(exchanges[:6], panel=panel, ledger=path, constructs=["empathy"], progress=False)
        assert server.requests == 6
        part = read_ledger(path, exchanges, panel=panel, constructs=["empathy"])
        assert (part["reason"] == NOT_ASKED).sum() == 6
        rate(exchanges, panel=panel, ledger=path, constructs=["empathy"], progress=False)
        assert server.requests == 12
        changed = exchanges.assign(client_text=exchanges["client_text"] + "!")
        rate(changed, panel=panel, ledger=path, constructs=["empathy"], progress=False)
        assert server.requests == 12  # empathy does not read the client's reply
        rate(changed, panel=make_panel(server.base_url, labels="digits", min_mass=0.01), ledger=path,
             constructs=["empathy"], progress=False)  # fmt: skip
        assert server.requests == 24  # another prompt
    with open_ledger(path, create=False) as ledger:
        assert len(ledger) == 24  # the old rows stay


def test_equal_passages_are_asked_once(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    same = exchanges.assign(therapist_text="Mm-hm.")
    with ScriptedServer() as server:
        ratings = rate(same, panel=make_panel(server.base_url), ledger=tmp_path / "l.sqlite",
                       constructs=["empathy"], progress=False)  # fmt: skip
        assert server.requests == 1
    assert len(ratings) == len(same)
    assert len(set(ratings["value"])) == 1


def test_a_turn_without_words_is_unrated_and_not_asked(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    exchanges.loc[0, "client_text"] = ""
    with ScriptedServer() as server:
        ratings = rate(exchanges, panel=make_panel(server.base_url), ledger=tmp_path / "l.sqlite",
                       constructs=["disclosure"], progress=False)  # fmt: skip
        assert server.requests == len(exchanges) - 1
    assert ratings["reason"].tolist() == [NO_WORDS] + [""] * 11
    assert ratings["value"].isna().tolist() == [True] + [False] * 11


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (Script(finish="content_filter"), "content filter"),
        (Script(refusal="I cannot."), "refusal"),
        (Script(off_scale=0.8), "less than 0.5 of the probability is on the scale"),
        (Script(always=400), None),
    ],
)
def test_unrated_with_a_reason_or_an_error(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, script: Script, reason: str | None
) -> None:
    with ScriptedServer(script) as server:
        panel = make_panel(server.base_url)
        if reason is None:
            with pytest.raises(EndpointError, match="HTTP 400"):
                rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
            return
        ratings = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        assert set(ratings["reason"]) == {reason}
        assert ratings["value"].isna().all()
        rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        assert server.requests == len(ratings)  # an unrated answer is an answer


def test_a_passing_failure_is_tried_again(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer(Script(fail={2: 503, 5: 429})) as server:
        ratings = rate(exchanges, panel=make_panel(server.base_url, retries=2), ledger=tmp_path / "l.sqlite",
                       constructs=["rapport"], progress=False)  # fmt: skip
        assert server.requests == len(exchanges) + 2
    assert ratings["value"].notna().all()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (Script(logprobs=False), "offers no method"),
        (Script(always=401), "HTTP 401.*API key"),
        (Script(always=404), "HTTP 404.*base_url"),
    ],
)
def test_a_server_that_cannot_be_used_stops_the_run_at_once(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, script: Script, told: str
) -> None:
    with ScriptedServer(script) as server:
        panel = make_panel(server.base_url, retries=4, concurrency=1)
        with pytest.raises(EndpointError, match=told):
            rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        assert (server.requests, server.probes) == (0, 1)  # no passage went to a server of no use
    assert not list(tmp_path.iterdir())


def test_a_ledger_of_another_codebook_is_refused(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    path, book = tmp_path / "l.sqlite", load_codebook("chen2026")
    other = book.model_copy(update={"name": "other2030"})
    with ScriptedServer() as server:
        panel = make_panel(server.base_url)
        rate(exchanges, panel=panel, ledger=path, constructs=["empathy"], progress=False)
        asked = server.requests
        for use in (
            lambda: rate(exchanges, other, panel, path, constructs=["empathy"], progress=False),
            lambda: prepare(exchanges, other, panel).estimate(path),
            lambda: read_ledger(path, exchanges, other, panel),
        ):
            with pytest.raises(
                InputError, match=r"another codebook.*\n.*chen2026, and not by other2030.*new ledger"
            ):
                use()
        assert server.requests == asked
        rate(exchanges, other, panel, tmp_path / "m.sqlite", constructs=["empathy"], progress=False)
    with pytest.raises(InputError, match="different codebooks"):
        merge_ledgers(tmp_path / "both.sqlite", [path, tmp_path / "m.sqlite"])
    assert not (tmp_path / "both.sqlite").exists()


def test_what_was_rated_before_a_failure_is_kept(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer(Script(fail={8: 500})) as server:
        panel = make_panel(server.base_url, concurrency=1)
        with pytest.raises(EndpointError, match="HTTP 500"):
            rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        ratings = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        assert server.requests == len(ratings) + 1
        assert sorted(server.asked.values())[-2:] == [1, 2]  # only the failed question came twice


def test_no_server_is_told_with_its_address(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EndpointError, match=f"127.0.0.1:{port}.*cannot be reached"):
        rate(exchanges, panel=make_panel(f"http://127.0.0.1:{port}/v1"), ledger=tmp_path / "l.sqlite",
             progress=False)  # fmt: skip


def test_nothing_leaves_this_machine_without_consent(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    panel = make_panel("https://llm.example.org/v1")
    for board, allowed in [(panel, True), (panel.model_copy(update={"allow_remote": True}), False)]:
        with pytest.raises(InputError, match="two consents"):
            rate(exchanges, panel=board, ledger=tmp_path / "l.sqlite", allow_remote=allowed, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_missing_api_key_is_told(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with ScriptedServer(Script(api_key="s3")) as server:
        panel = make_panel(server.base_url, api_key_env="SOME_KEY")
        with pytest.raises(InputError, match="SOME_KEY is not set"):
            rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        monkeypatch.setenv("SOME_KEY", "s3")
        rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", constructs=["rapport"], progress=False)
        assert server.requests == len(exchanges)


class Constant:
    """An asker that is no server."""

    async def ask(self, body: Mapping[str, object]) -> Answer:
        return Answer("high", (("high", (("high", -0.01),)),), "length", False, "constant", 0.0)


def test_it_works_inside_a_running_event_loop(tmp_path: Path, exchanges: pd.DataFrame) -> None:
    async def notebook_cell() -> pd.DataFrame:
        return rate(exchanges, panel="local_small", ledger=tmp_path / "l.sqlite", progress=False,
                    client=Constant())  # fmt: skip

    ratings = asyncio.run(notebook_cell())
    assert set(ratings["value"]) == {4.0}


# A shell's background job, and so its children, would ignore Ctrl-C.
RUN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import json, sys
import pandas as pd
from bayesdyn.ratings.scoring.panel import Panel
from bayesdyn.ratings.rate import rate
exchanges = pd.read_json(sys.argv[1], orient="records", dtype={"dyad": str, "session": str})
rate(exchanges, panel=Panel.model_validate_json(sys.argv[2]), ledger=sys.argv[3], progress=False)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_goes_on_as_if_it_had_not_been(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, end: signal.Signals
) -> None:
    """Kill a run in the middle: the same ratings as an uninterrupted run, and no question twice.

    The questions in flight at the kill, at most the rater's concurrency, may come again: their answers
    were lost with the process.
    """
    table, path = tmp_path / "exchanges.json", tmp_path / "l.sqlite"
    exchanges.to_json(table, orient="records")
    everything = len(exchanges) * CONSTRUCTS
    with ScriptedServer(Script(delay=0.05)) as server:
        panel = make_panel(server.base_url)
        command = [sys.executable, "-c", RUN, str(table), panel.model_dump_json(), str(path)]
        run = subprocess.Popen(command, env={**os.environ}, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while server.requests < everything // 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        run.send_signal(end)
        run.wait(timeout=30)
        before = server.requests
        assert 0 < before < everything
        ratings = rate(exchanges, panel=panel, ledger=path, progress=False)
        assert set(server.asked.values()) <= {1, 2}
        twice = sum(count == 2 for count in server.asked.values())
        assert twice <= panel.raters[0].concurrency
        assert server.requests == everything + twice
        whole = rate(exchanges, panel=panel, ledger=tmp_path / "other.sqlite", progress=False)
    pd.testing.assert_frame_equal(ratings, whole)
    assert json.loads(ratings["value"].to_json())  # not empty
