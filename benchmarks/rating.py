"""What rating costs beside the server's own time: overhead, memory, faults, and prefix reuse.

    python benchmarks/rating.py [--quick] [--only overhead,memory,faults,local]

All clients of a comparison run in one go against one server, a process of its own that answers every request
after 50 ms. The last line is one JSON object. ``throughput_ratio`` is our requests per second over those of a
bare loop over the official client on its aiohttp transport, with the same requests; ``lost`` and
``duplicated`` count questions over all killed runs.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import aiohttp
import httpx2
import openai
import pandas as pd

from bayesdyn.artefacts import write_table
from bayesdyn.ratings.rate import Job, prepare
from bayesdyn.ratings.scoring.panel import Panel, Rater

HERE = Path(__file__).resolve()
CONCURRENCY = 256
DELAY = 0.05
LABELS = ("none", "low", "medium", "high", "extreme")


def exchanges(count: int, session: int = 50) -> pd.DataFrame:
    """Return made-up exchanges of about a therapy turn's length, no two alike."""
    said = " and then there is this thing that keeps coming back to me when I try to sleep at night" * 3
    rows = [
        (f"d{n // session:06d}", "1", n % session, f"So {n} is how you see it?{said}", f"Yes, {n}.{said}")
        for n in range(count)
    ]
    return pd.DataFrame(rows, columns=["dyad", "session", "t", "therapist_text", "client_text"])


def panel(url: str, raters: int = 1, concurrency: int = CONCURRENCY, time_out: float = 30) -> Panel:
    """Return raters on a server, that differ in name only by their seed."""
    every = tuple(
        Rater.model_validate(
            {"name": f"r{k}", "model": "m", "base_url": url, "prompt": "rubric", "labels": "words",
             "decoding": {"seed": k}, "concurrency": concurrency, "retries": 8, "time_out": time_out}
        )
        for k in range(raters)
    )  # fmt: skip
    return Panel(name="bench", raters=every)


@contextmanager
def server(*options: str) -> Iterator[str]:
    """Yield the address of the benchmark's server, in a process of its own."""
    command = [sys.executable, str(HERE), "--serve", *options]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(run.stdout.readline())}/v1"
    finally:
        run.kill()
        run.wait()


def serve(faulty: float, log: str, delay: float) -> None:
    """Answer chat completions; with faults: 429, 500, silence, half an answer or a closed connection."""
    from aiohttp import web

    body = json.dumps(_completion()).encode()
    seen = open(log, "a", buffering=1) if log else None  # noqa: SIM115 - closed with the process
    dice = random.Random(7)

    async def answer(request: web.Request) -> web.StreamResponse:
        sent = await request.read()
        fault = dice.choice((429, 500, "silent", "half", "close")) if dice.random() < faulty else None
        await asyncio.sleep(delay)
        if fault == "silent":
            await asyncio.sleep(2)
        if fault == "close" and request.transport is not None:
            request.transport.close()
        if isinstance(fault, int):
            return web.json_response({"error": {}}, status=fault, headers={"Retry-After": "0.05"})
        if fault == "half":
            return web.Response(body=body[: len(body) // 2], content_type="application/json")
        if seen is not None and fault is None:
            seen.write(f"{hash(sent)}\n")
        return web.Response(body=body, content_type="application/json")

    async def main() -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


def _completion() -> dict[str, object]:
    tops = [{"token": word, "bytes": None, "logprob": -1.7} for word in LABELS]
    tops += [{"token": f"w{k}", "bytes": None, "logprob": -9.0} for k in range(15)]
    choice = {
        "index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "low"},
        "logprobs": {"content": [{**tops[1], "top_logprobs": tops}]},
    }  # fmt: skip
    usage = {"prompt_tokens": 600, "completion_tokens": 1, "total_tokens": 601}
    kind = "chat.completion"
    return {"id": "b", "object": kind, "created": 0, "model": "m", "choices": [choice], "usage": usage}


def bodies(job: Job, count: int) -> list[dict[str, object]]:
    """Return the bodies of the first requests of a job."""
    from bayesdyn.ratings.questions.plans import requests_of

    (plan,) = job.plans("")
    made = (
        request.body()
        for session in job.corpus.sessions()
        for request, _ in requests_of(session, job.codebook, plan, plan.prompts[0])
        if request is not None
    )
    return list(islice(made, count))


async def throughput(count: int, one: Callable[[int], Awaitable[object]]) -> float:
    """Return calls per second at the benchmark's concurrency, connections warmed."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(one(k) for k in range(CONCURRENCY)))
    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return count / (time.perf_counter() - begun)


async def peers(url: str, sent: list[dict[str, object]]) -> dict[str, float]:
    """Return requests per second of bare loops: aiohttp, and the official client on either transport."""
    found: dict[str, float] = {}
    count = len(sent)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as bare:

        async def by_aiohttp(number: int) -> None:
            async with bare.post(f"{url}/chat/completions", json=sent[number]) as response:
                json.loads(await response.read())

        found["bare_aiohttp"] = await throughput(count, by_aiohttp)
    limits = httpx2.Limits(max_connections=CONCURRENCY)
    kinds = {
        "official_aiohttp": (openai.DefaultAioHttpClient, 1),
        "official_default": (openai.DefaultAsyncHttpxClient, 4),
    }
    for name, (make, share) in kinds.items():
        http = make(limits=limits)
        client = openai.AsyncOpenAI(api_key="k", base_url=url, http_client=http, max_retries=0)

        async def by_client(number: int, client: openai.AsyncOpenAI = client) -> None:
            await client.chat.completions.create(**sent[number])  # type: ignore[call-overload]

        found[name] = await throughput(max(count // share, CONCURRENCY), by_client)
        await client.close()
    return found


def overhead(count: int) -> dict[str, float]:
    """Compare ours, everything included (prompts, claims, readings, ledger), with bare loops."""
    with server() as url, tempfile.TemporaryDirectory() as folder:
        job = prepare(exchanges(count), panel=panel(url), constructs=["empathy"])
        found = asyncio.run(peers(url, bodies(job, count)))
        begun = time.perf_counter()
        job.ask(Path(folder) / "l.sqlite", progress=False)
        found["ours"] = count / (time.perf_counter() - begun)
    return {
        **{f"{name}_per_second": round(value, 1) for name, value in found.items()},
        "throughput_ratio": round(found["ours"] / found["official_aiohttp"], 2),
    }


def memory(small: int, large: int) -> dict[str, float]:
    """Compare the resident size of a run over few and over many exchanges, from file to file."""
    sizes = {}
    for count in (small, large):
        with tempfile.TemporaryDirectory() as folder, server("--delay", "0") as url:
            write_table(exchanges(count), Path(folder) / "e.parquet", "exchanges")
            command = [sys.executable, str(HERE), "--measure", url, folder]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            sizes[count] = float(run.stdout.split()[-1])
    return {
        "memory_small_mb": round(sizes[small]), "memory_large_mb": round(sizes[large]),
        "memory_grows_mb": round(sizes[large] - sizes[small]), "memory_exchanges": large,
    }  # fmt: skip


def measure(url: str, folder: str) -> None:
    """Rate a file with two raters on all constructs, export, and print the peak resident size in MB."""
    job = prepare(Path(folder) / "e.parquet", panel=panel(url, raters=2))
    job.ask(Path(folder) / "l.sqlite", progress=False)
    job.export(Path(folder) / "l.sqlite", Path(folder) / "r.parquet")
    # Not getrusage: its peak is inherited from the process that made the exchanges.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


RUN = """
import sys
from pathlib import Path
from bayesdyn.ratings.scoring.panel import Panel
from bayesdyn.ratings.rate import prepare
prepare(Path(sys.argv[1]), panel=Panel.model_validate_json(sys.argv[2]), constructs=["empathy", "disclosure"]
        ).ask(sys.argv[3], progress=False)
"""


def faults(kills: int, count: int) -> dict[str, int]:
    """Kill a run again and again at random moments against a faulty server; count what is lost or twice."""
    dice = random.Random(11)
    with tempfile.TemporaryDirectory() as folder:
        source, path, log = (Path(folder) / name for name in ("e.parquet", "l.sqlite", "log"))
        log.touch()
        write_table(exchanges(count), source, "exchanges")
        with server("--faulty", "0.2", "--log", str(log), "--delay", "0.02") as url:
            board = panel(url, concurrency=16, time_out=1)
            command = [sys.executable, "-c", RUN, str(source), board.model_dump_json(), str(path)]
            survived = 0
            for _ in range(kills):
                before = _rows(path)
                run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
                deadline = time.monotonic() + 60
                wanted = before + dice.randrange(1, max(2, 2 * count // (kills + 2)))
                while _rows(path) < wanted and run.poll() is None and time.monotonic() < deadline:
                    time.sleep(dice.random() * 0.01)
                run.send_signal(signal.SIGKILL)
                run.wait()
                survived += _rows(path) >= before
            for _ in range(5):
                if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                    break
        keys = [row[0] for row in sqlite3.connect(path).execute("select key from rating")]
        answered = log.read_text().split()
    return {
        "kills": kills,
        "kills_survived": survived,
        "questions": 2 * count,
        "lost": 2 * count - len(set(keys)),
        "duplicated": len(keys) - len(set(keys)),
        # An answer that was on its way when the process died is asked again; no other is.
        "answered_again_after_a_kill": len(answered) - len(set(answered)),
        "most_in_flight_at_kills": kills * 16,
    }


def _rows(path: Path) -> int:
    if not path.is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as connection:
            return connection.execute("select count(*) from rating").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def local(count: int) -> dict[str, float]:
    """Compare the embedded rater with and without prefix reuse, on the sample's first exchanges."""
    from bayesdyn.ratings.scoring.panel import load_panel
    from bayesdyn.transcripts.read import read_transcripts

    root = HERE.parent.parent
    table = read_transcripts(root / "reports" / "sample" / "transcripts", ids="{dyad}_{session}")[:count]
    (rater,) = load_panel("local_small").raters
    found = {}
    for name, cached in (("with", True), ("without", False)):
        decoding = rater.decoding.model_copy(update={"cache_prompt": cached})
        board = Panel(name="b", raters=(rater.model_copy(update={"decoding": decoding}),))
        with tempfile.TemporaryDirectory() as folder:
            job = prepare(table, panel=board, constructs=["empathy"])
            begun = time.perf_counter()
            job.ask(Path(folder) / "l.sqlite", progress=False)
            found[f"local_{name}_prefix_reuse_per_second"] = round(count / (time.perf_counter() - begun), 2)
    return found


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="at most 45 s")
    parser.add_argument("--only", default="overhead,memory,faults,local")
    parser.add_argument("--exchanges", type=int, default=200_000, help="of the large run of memory")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--faulty", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--log", default="", help=argparse.SUPPRESS)
    parser.add_argument("--delay", type=float, default=DELAY, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.faulty, given.log, given.delay)
        return
    if given.measure:
        measure(*given.measure)
        return
    quick, wanted = given.quick, given.only.split(",")
    found: dict[str, object] = {"benchmark": "rating", "quick": quick, "cores": os.cpu_count()}
    if "overhead" in wanted:
        found |= overhead(300 if quick else 20_000)
    if "memory" in wanted and not quick:
        found |= memory(2_000, given.exchanges)
    if "faults" in wanted:
        found |= faults(2 if quick else 30, 60 if quick else 1_500)
    if "local" in wanted:
        found |= local(2 if quick else 100)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
