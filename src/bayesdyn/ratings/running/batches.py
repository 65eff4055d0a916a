"""The Batch API: hand in many requests at half the price, come back for the answers.

What is handed in is claimed in the ledger, where the batches' ids live too: another process, or another
day, goes on where this one stopped. A batch carries its owner's name, so that one which was created just
before a crash is found again and not paid twice.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bayesdyn.errors import EndpointError, Fault, FaultList, InputError
from bayesdyn.ratings.answers.parse import UnreadableError, answer_of
from bayesdyn.ratings.ledgers.batch_book import (
    BATCH_OWNER,
    BatchRow,
    add_batch,
    answers_in,
    batches_of,
    line_of,
    set_batch,
)
from bayesdyn.ratings.ledgers.files import open_ledger
from bayesdyn.ratings.ledgers.ledger import Entry, Ledger
from bayesdyn.ratings.questions.plans import Plan, Request, missing, requests_of
from bayesdyn.ratings.running.asking import entries_of, run_apart
from bayesdyn.ratings.running.costs import cost_of, spent_on, tokens_of
from bayesdyn.ratings.running.endpoints import Endpoint, endpoint_of, provenance_of
from bayesdyn.ratings.running.turn import Work, way_for
from bayesdyn.ratings.scoring.panel import check_remote
from bayesdyn.ratings.servers.client import ChatClient, Passing
from bayesdyn.ratings.servers.pacing import Caller

MOST_REQUESTS, MOST_BYTES = 10_000, 50_000_000
"""Of one batch; hosts allow 50,000 and 200 MB."""

_LEASE_SECONDS = 4 * 24 * 3600.0
_FINAL = ("completed", "failed", "expired", "cancelled")
_TRIES = 5


@dataclass(frozen=True)
class BatchReport:
    """What a visit found: batches handed in and collected, ratings stored, and batches still running."""

    submitted: int
    collected: int
    ratings: int
    running: int

    def __add__(self, other: "BatchReport") -> "BatchReport":
        return BatchReport(
            self.submitted + other.submitted,
            self.collected + other.collected,
            self.ratings + other.ratings,
            self.running + other.running,
        )


def visit(
    job: Work,
    ledger: str | Path,
    *,
    allow_remote: bool = False,
    max_cost: float | None = None,
    submit: bool = True,
    tell: Callable[[str], None] = lambda line: None,
) -> BatchReport:
    """Collect the batches that are finished, and hand in what the ledger lacks.

    Parameters
    ----------
    job
        From :func:`bayesdyn.ratings.rate.prepare`; the same as when the batches were handed in.
    ledger
        SQLite file of all answers and batches.
    allow_remote, max_cost
        As in :func:`bayesdyn.rate`.
    submit
        False: collect only.
    tell
        Called with one line for each event.

    Raises
    ------
    InputError
        If consent is lacking, or a rater is embedded: batches are for servers elsewhere.
    EndpointError
        If a server cannot be used or has no batches.
    """
    faults = FaultList()
    for rater in job.raters:
        if rater.base_url is None:
            faults.add("the embedded server has no batches", "Rate it without --batch", f"rater {rater.name}")
    faults.raise_if_any("This panel cannot be rated in batches")
    check_remote(job.panel, job.raters, allow_remote)
    found: list[BatchReport] = []
    ended = asyncio.Event()

    async def visit_all() -> None:
        for plan in job.plans(ledger):
            async with AsyncExitStack() as stack:
                endpoint = stack.enter_context(endpoint_of(plan.rater, plan.weights_sha256))
                client = await stack.enter_async_context(endpoint.client())
                chosen = await way_for(plan, job, Path(ledger), Caller(plan.rater, client, tell))
                opened = stack.enter_context(open_ledger(ledger))
                desk = _Desk(job, chosen, endpoint, client, opened, tell)
                found.append(await desk.visit(max_cost, submit=submit, ended=ended))

    run_apart(visit_all, ended.set)
    return sum(found, BatchReport(0, 0, 0, 0))


class _Desk:
    """One rater's batches."""

    def __init__(
        self,
        job: Work,
        plan: Plan,
        endpoint: Endpoint,
        client: ChatClient,
        ledger: Ledger,
        tell: Callable[[str], None],
    ) -> None:
        self._job = job
        self._plan = plan
        self._endpoint = endpoint
        self._client = client
        self._ledger = ledger
        self._tell = tell

    async def visit(self, max_cost: float | None, *, submit: bool, ended: asyncio.Event) -> BatchReport:
        """Collect, hand in, and count."""
        rater = self._plan.rater
        collected = ratings = submitted = 0
        for row in batches_of(self._ledger, rater.name):
            if row.status in _FINAL:
                continue
            row = await self._recovered(row)
            stored = None if row is None else await self._collect(row)
            collected += stored is not None
            ratings += stored or 0
        if submit:
            spent = spent_on(self._ledger, rater)
            for chunk in self._chunks(max_cost, spent):
                if ended.is_set():
                    break
                submitted += await self._submit(chunk)
        running = sum(row.status not in _FINAL for row in batches_of(self._ledger, rater.name))
        return BatchReport(submitted, collected, ratings, running)

    def _chunks(self, max_cost: float | None, spent: float) -> Iterator[list[tuple[Request, bytes]]]:
        """Yield what lacks in lots of one batch, unclaimed, within the budget."""
        rater = self._plan.rater
        # Batches that run will be billed too; what they cost is known when they are collected.
        rows = batches_of(self._ledger, rater.name)
        booked = spent + sum(row.cost for row in rows if row.status not in _FINAL)
        lot: list[tuple[Request, bytes]] = []
        size = 0
        seen: set[str] = set()
        for request in missing(self._job.corpus, self._job.codebook, self._plan, self._ledger):
            key = request.questions[0].key
            if key in seen or self._ledger.claimed([one.key for one in request.questions]):
                continue
            body = request.body()
            booked += rater.price.batch * cost_of(rater.price, *tokens_of(body))
            if max_cost is not None and booked > max_cost:
                self._tell(f"{rater.name}: more could pass max_cost {max_cost:g}, and is not handed in")
                break
            seen.add(key)
            line = line_of(key, body)
            lot.append((request, line))
            size += len(line)
            if len(lot) == MOST_REQUESTS or size > MOST_BYTES:
                yield lot
                lot, size, seen = [], 0, set()
        if lot:
            yield lot

    async def _submit(self, lot: Sequence[tuple[Request, bytes]]) -> bool:
        """Hand in a lot; False where another process has claimed all of it meanwhile."""
        owner = f"{BATCH_OWNER}{secrets.token_hex(12)}"
        keys = [question.key for request, _ in lot for question in request.questions]
        won = self._ledger.claim(keys, owner, _LEASE_SECONDS)
        lines = [
            (request, line)
            for request, line in lot
            if won.intersection(question.key for question in request.questions)
        ]
        if not lines:
            return False
        rater = self._plan.rater
        cost = sum(cost_of(rater.price, *tokens_of(request.body())) for request, _ in lines)
        # Before it is created: one that the server took just before a crash is found by its owner's name.
        add_batch(self._ledger, BatchRow(owner, rater.name, owner, "created", rater.price.batch * cost))
        try:
            identity = await self._client.submit(b"".join(line for _, line in lines), owner)
        except EndpointError:
            set_batch(self._ledger, owner, owner, "failed")
            self._ledger.release([owner])
            raise
        except Passing as failure:
            # The server may have taken it before its answer was lost: the next visit looks for it.
            raise failure.error from None
        set_batch(self._ledger, owner, identity, "submitted")
        self._tell(f"{rater.name}: handed in batch {identity}, {len(lines)} requests")
        return True

    async def _recovered(self, row: BatchRow) -> BatchRow | None:
        """Return the row of a batch whose creation was not seen to the end; None where it never was."""
        if row.status != "created":
            return row
        identity = await _persist(lambda: self._client.find_batch(row.owner))
        if identity is None:
            set_batch(self._ledger, row.owner, row.identity, "failed")
            self._ledger.release([row.owner])
            return None
        set_batch(self._ledger, row.owner, identity, "submitted")
        return BatchRow(identity, row.rater, row.owner, "submitted", row.cost)

    async def _collect(self, row: BatchRow) -> int | None:
        """Store what a finished batch answers; None while it runs."""
        status, files = await _persist(lambda: self._client.batch(row.identity))
        if status not in _FINAL:
            return None
        answers: dict[str, Mapping[str, object]] = {}
        for file in files:
            content = await _persist(lambda file=file: self._client.results(file))
            answers |= dict(answers_in(content))
        stored = self._store(answers)
        set_batch(self._ledger, row.owner, row.identity, status)
        self._ledger.release([row.owner])
        self._tell(f"{row.rater}: collected batch {row.identity} ({status}), {stored} ratings")
        return stored

    def _store(self, answers: Mapping[str, Mapping[str, object]]) -> int:
        """Store the answers of a batch, matched to their requests by the key that each line carried."""
        job, plan = self._job, self._plan
        provenance = {**provenance_of(plan, job.codebook, job.panel, self._endpoint), "batch": True}
        left, entries, stored = set(answers), list[Entry](), 0
        for session in job.corpus.sessions():
            for prompt in plan.prompts:
                for request, _ in requests_of(session, job.codebook, plan, prompt):
                    key = "" if request is None else request.questions[0].key
                    if request is None or key not in left:
                        continue
                    left.discard(key)
                    try:
                        entries += entries_of(request, answer_of(answers[key], 0.0))
                    except UnreadableError:
                        continue  # asked again: a line without a completion is no answer
            if len(entries) >= MOST_REQUESTS:
                self._ledger.add(entries, provenance)
                stored, entries = stored + len(entries), []
        if entries:
            self._ledger.add(entries, provenance)
        if left:
            raise InputError(
                "These batches are of other exchanges",
                [
                    Fault(
                        f"{len(left)} answers of {plan.rater.name} are of no passage here; the rest is kept",
                        "Give the exchanges, codebook and panel that they were handed in with",
                    )
                ],
            )
        return stored + len(entries)


def wait_for(
    job: Work,
    ledger: str | Path,
    *,
    allow_remote: bool = False,
    every: float = 30.0,
    tell: Callable[[str], None] = lambda line: None,
) -> BatchReport:
    """Visit until no batch of the job's raters runs; see :func:`visit`. ``every`` is in seconds."""
    while True:
        found = visit(job, ledger, allow_remote=allow_remote, submit=False, tell=tell)
        if not found.running:
            return found
        time.sleep(every)


async def _persist[T](call: Callable[[], Awaitable[T]]) -> T:
    """Return what a call gives, tried again a few times where the failure may pass."""
    for attempt in range(_TRIES):
        try:
            return await call()
        except Passing as failure:
            if attempt == _TRIES - 1:
                raise failure.error from None
            await asyncio.sleep(failure.after if failure.after is not None else 0.5 * 2**attempt)
    raise AssertionError("the last try returns or raises")
