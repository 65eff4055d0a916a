"""Ask one rater a stream of questions: bounded concurrency, every answer stored before the next question."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AsyncExitStack
from typing import Any

from bayesdyn.ratings.client import Asker, ChatClient, TooLong
from bayesdyn.ratings.ledger import Entry, Ledger
from bayesdyn.ratings.panel import Rater
from bayesdyn.ratings.parse import Reading, read_answer
from bayesdyn.ratings.prompt import Prompt
from bayesdyn.ratings.questions import Place

TOO_LONG = "passage too long for the model"


async def ask_all(
    questions: Iterator[tuple[Prompt, Place]],
    rater: Rater,
    connect: Callable[[], ChatClient] | Asker,
    ledger: Ledger,
    provenance: Mapping[str, object],
    advance: Callable[[int], None],
) -> None:
    """Ask every question and store every answer.

    Parameters
    ----------
    questions
        Prompt and place, made as they are drawn: at most the rater's concurrency are held at a time.
    rater
        Who is asked.
    connect
        Makes the client (it belongs to this event loop), or an asker as it is.
    ledger
        Where entries go: all that are ready, in one transaction. A worker draws its next question when its
        entry is stored, so a kill loses no more than the questions in flight.
    provenance
        Stored with the entries.
    advance
        Told how many entries were stored.

    Raises
    ------
    EndpointError
        The server failed; the other questions in flight are given up, what was stored stays.
    """
    ready: asyncio.Queue[tuple[Entry, asyncio.Future[None]]] = asyncio.Queue()

    async def work(asker: Asker) -> None:
        for prompt, place in questions:
            entry = await _ask(asker, rater, prompt, place)
            stored = asyncio.get_running_loop().create_future()
            ready.put_nowait((entry, stored))
            await stored

    async def write() -> None:
        while True:
            batch = [await ready.get()]
            while not ready.empty():
                batch.append(ready.get_nowait())
            ledger.add([entry for entry, _ in batch], provenance)
            for _, stored in batch:
                if not stored.done():
                    stored.set_result(None)
            advance(len(batch))

    async with AsyncExitStack() as stack:
        asker = await stack.enter_async_context(connect()) if callable(connect) else connect
        writer = asyncio.create_task(write())
        workers = [asyncio.create_task(work(asker)) for _ in range(rater.concurrency)]
        try:
            # The writer never ends by itself: if it is done, storing failed, and waiting would be for ever.
            pending: set[asyncio.Task[None]] = {*workers, writer}
            while not all(worker.done() for worker in workers):
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in (*workers, writer):
                task.cancel()
            await asyncio.gather(*workers, writer, return_exceptions=True)


async def _ask(asker: Asker, rater: Rater, prompt: Prompt, place: Place) -> Entry:
    assert place.question is not None
    method = rater.methods[0]
    try:
        answer = await asker.ask(prompt.messages(place.passage))
    except TooLong:
        return Entry(place.question, Reading(None, None, None, TOO_LONG), method, "", 0.0)
    reading = read_answer(answer, prompt.points, prompt.labels, rater.min_mass)
    return Entry(place.question, reading, method, answer.model, answer.seconds)


def run_apart(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine in a thread and event loop of its own, so that it works inside a running loop too.

    Ctrl-C cancels it, waits until it has put its things away, and is raised again.
    """
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def main() -> None:
        task = asyncio.ensure_future(make())
        running.append((asyncio.get_running_loop(), task))
        await task

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="bayesdyn-rate") as pool:
        future = pool.submit(lambda: asyncio.run(main()))
        try:
            # In short waits: an endless one cannot be interrupted on every system.
            while not future.done():
                wait([future], timeout=0.2)
        except KeyboardInterrupt:
            for loop, task in running:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(task.cancel)
            raise
        future.result()
