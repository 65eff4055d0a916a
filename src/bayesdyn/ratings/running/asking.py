"""Ask one rater a stream of questions: bounded concurrency, every answer stored before the next question."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import batched
from typing import Any

from bayesdyn.errors import EndpointError, Fault
from bayesdyn.ratings.answers.methods import read_answer
from bayesdyn.ratings.answers.parse import Answer, unrated
from bayesdyn.ratings.ledgers.ledger import LEASE_SECONDS, Entry, Ledger
from bayesdyn.ratings.questions.plans import Request
from bayesdyn.ratings.running.costs import Budget, tokens_of
from bayesdyn.ratings.running.probing import no_method
from bayesdyn.ratings.scoring.panel import Rater
from bayesdyn.ratings.servers.client import TooLong, Unsupported
from bayesdyn.ratings.servers.pacing import Caller, SetAside

TOO_LONG = "passage too long for the model"

_LARGEST_CLAIM = 256
_RENEW_SECONDS = LEASE_SECONDS / 4


@dataclass
class Run:
    """One run over what a rater lacks: who asks, where answers go, when to stop.

    Attributes
    ----------
    ledger
        Where entries go: all that are ready, in one transaction.
    owner
        Holds the claims of what is asked just now.
    provenance
        Stored with the entries.
    budget
        Stops the run before it is passed.
    advance
        Told how many ratings were stored, and what has been spent.
    stopping
        Set: what is in flight is finished, and nothing new asked.
    over_budget
        Whether the budget stopped it.
    aside
        Why requests were left for another run.
    """

    ledger: Ledger
    owner: str
    provenance: Mapping[str, object]
    budget: Budget
    advance: Callable[[int, float], None]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    over_budget: bool = False
    aside: list[EndpointError] = field(default_factory=list)


async def ask_all(requests: Iterator[Request], rater: Rater, caller: Caller, run: Run) -> None:
    """Ask every request that nobody has asked, and store every answer.

    Parameters
    ----------
    requests
        Made as they are drawn: a chunk of about the rater's concurrency is held at a time.
    rater, caller
        Who is asked, and how.
    run
        See :class:`Run`. A worker draws its next request when its entries are stored, so a kill loses no
        more than the requests in flight.

    Raises
    ------
    EndpointError
        The server failed; what was in flight is given up, what was stored stays. Also at the end, where
        some requests failed again and again while others were answered.
    """
    ready: asyncio.Queue[tuple[list[Entry], asyncio.Future[None]]] = asyncio.Queue()
    mine = _claimed(requests, rater, run)

    async def work() -> None:
        while not run.stopping.is_set():
            request = next(mine, None)
            if request is None:
                return
            body = request.body()
            tokens = tokens_of(body)
            if not run.budget.book(tokens):
                run.over_budget = True
                run.stopping.set()
                return
            entries = await _entries(caller, request, body, tokens, run)
            if entries:
                stored = asyncio.get_running_loop().create_future()
                ready.put_nowait((entries, stored))
                await stored

    writer = asyncio.create_task(_write(ready, run))
    workers = [asyncio.create_task(work()) for _ in range(rater.concurrency)]
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
        run.ledger.release([run.owner])
    if run.aside:
        fault, count = run.aside[-1].faults[0], len(run.aside)
        raise EndpointError(
            f"{count} request{'s' if count > 1 else ''} failed after {rater.retries} more tries each; "
            "the others are rated",
            [Fault(fault.what, "Run it again: only what failed is asked", fault.where)],
        )


def _claimed(requests: Iterator[Request], rater: Rater, run: Run) -> Iterator[Request]:
    """Yield the requests of which this run won a question; equal ones come once."""
    for chunk in batched(requests, min(max(rater.concurrency, 16), _LARGEST_CLAIM)):
        keys = [[question.key for question in request.questions] for request in chunk]
        won = run.ledger.claim((key for several in keys for key in several), run.owner)
        for request, several in zip(chunk, keys, strict=True):
            if won.intersection(several):
                won.difference_update(several)
                yield request


async def _entries(
    caller: Caller, request: Request, body: Mapping[str, object], tokens: tuple[int, int], run: Run
) -> list[Entry]:
    rater, way = request.plan.rater, request.plan.way
    used, spoiled = (0, 0), 0
    try:
        answer = await caller.call(body, sum(tokens))
        used = (answer.input_tokens, answer.output_tokens) if answer.input_tokens else tokens
        spoiled = answer.spoiled
        first, *others = entries_of(request, answer)
        billed = [one + spoiled * other for one, other in zip(used, tokens, strict=True)]
        return [replace(first, input_tokens=billed[0], output_tokens=billed[1]), *others]
    except TooLong:
        reading = unrated(TOO_LONG)
        return [Entry(question, reading, way, "", 0.0) for question in request.questions]
    except Unsupported:
        raise no_method(rater, f"the server refuses {way}") from None
    except SetAside as failure:
        spoiled = failure.spoiled
        run.aside.append(failure.error)
        return []
    finally:
        run.budget.settle(tokens, used, spoiled)


def entries_of(request: Request, answer: Answer) -> list[Entry]:
    """Return what an answer settles: an entry for each question; the first carries the tokens.

    Raises
    ------
    EndpointError
        If log probabilities were asked for and are not there.
    """
    rater, way = request.plan.rater, request.plan.way
    spoke = not answer.refused and answer.finish != "content_filter"
    if way == "logprobs" and answer.tokens is None and spoke:
        raise no_method(rater)
    readings = read_answer(answer, way, request.prompt, rater.min_mass, sampled=rater.replicates > 1)
    counts = [(answer.input_tokens, answer.output_tokens), *[(0, 0)] * (len(request.questions) - 1)]
    return [
        Entry(question, readings[question.construct], way, answer.model, answer.seconds, *count)
        for question, count in zip(request.questions, counts, strict=True)
    ]


async def _write(ready: "asyncio.Queue[tuple[list[Entry], asyncio.Future[None]]]", run: Run) -> None:
    """Store all entries that are ready, in one transaction, again and again; keep the claims alive."""
    renewed = time.monotonic()
    while True:
        batch = []
        with suppress(TimeoutError):
            batch.append(await asyncio.wait_for(ready.get(), _RENEW_SECONDS))
        while not ready.empty():
            batch.append(ready.get_nowait())
        if batch:
            run.ledger.add([entry for entries, _ in batch for entry in entries], run.provenance)
        if time.monotonic() - renewed > _RENEW_SECONDS:
            run.ledger.renew(run.owner)
            renewed = time.monotonic()
        for _, stored in batch:
            if not stored.done():
                stored.set_result(None)
        if batch:
            run.advance(sum(len(entries) for entries, _ in batch), run.budget.spent)


def run_apart(make: Callable[[], Coroutine[Any, Any, None]], stop: Callable[[], None]) -> None:
    """Run a coroutine in a thread and event loop of its own, so that it works inside a running loop too.

    Parameters
    ----------
    make
        Makes the coroutine.
    stop
        Called in its loop at the first Ctrl-C: it should come to an end by itself. A second Ctrl-C cancels
        it. Either is raised again when it has put its things away.
    """
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def main() -> None:
        task = asyncio.ensure_future(make())
        running.append((asyncio.get_running_loop(), task))
        await task

    def in_loop(call: Callable[[], object]) -> None:
        for loop, _ in running:
            if not loop.is_closed():
                loop.call_soon_threadsafe(call)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="bayesdyn-rate") as pool:
        future = pool.submit(lambda: asyncio.run(main()))
        interrupted = 0
        while not future.done():
            try:
                # In short waits: an endless one cannot be interrupted on every system.
                wait([future], timeout=0.2)
            except KeyboardInterrupt:
                interrupted += 1
                in_loop(stop if interrupted == 1 else lambda: [task.cancel() for _, task in running])
        if interrupted:
            raise KeyboardInterrupt
        future.result()
