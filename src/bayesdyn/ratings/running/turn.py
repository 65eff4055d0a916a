"""One rater's turn at a corpus: what lacks is counted, its server reached, its questions asked."""

import asyncio
import os
import secrets
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bayesdyn.errors import BayesdynWarning
from bayesdyn.ratings.ledgers.batch_book import BATCH_OWNER
from bayesdyn.ratings.ledgers.files import dead_owners, open_ledger
from bayesdyn.ratings.ledgers.ledger import Ledger
from bayesdyn.ratings.progress import RatingProgress, rating_progress
from bayesdyn.ratings.questions.corpus import Corpus
from bayesdyn.ratings.questions.plans import Plan, choice_sha256, chosen_ways, make_plans, missing
from bayesdyn.ratings.running.asking import Run, ask_all, run_apart
from bayesdyn.ratings.running.costs import Budget, spent_on
from bayesdyn.ratings.running.endpoints import Endpoint, endpoint_of, provenance_of
from bayesdyn.ratings.running.probing import choose_way
from bayesdyn.ratings.scoring.codebook import Codebook
from bayesdyn.ratings.scoring.panel import Panel, Rater
from bayesdyn.ratings.servers.client import Asker
from bayesdyn.ratings.servers.pacing import Caller

_LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Work:
    """What is to be rated, by whom."""

    corpus: Corpus
    codebook: Codebook
    constructs: tuple[str, ...]
    raters: tuple[Rater, ...]
    panel: Panel

    def plans(self, ledger: str | Path) -> list[Plan]:
        """Return a plan for each rater, asked as the ledger says where it has chosen."""
        with reading(ledger) as opened:
            ways = {} if opened is None else chosen_ways(opened, self.codebook, self.raters)
        return make_plans(self.codebook, self.constructs, self.raters, ways)


@contextmanager
def reading(path: str | Path) -> Iterator[Ledger | None]:
    """Yield a ledger to read from; None where there is none, and none is made."""
    if not Path(path).is_file():
        yield None
        return
    with open_ledger(path, create=False) as opened:
        yield opened


class Turn:
    """One rater's turn.

    Parameters
    ----------
    work
        What is rated.
    path
        The ledger's file.
    max_cost, progress, client
        See :func:`bayesdyn.rate`.
    """

    def __init__(
        self, work: Work, path: Path, max_cost: float | None, progress: bool, client: Asker | None
    ) -> None:
        self._work = work
        self._path = path
        self._max_cost = max_cost
        self._progress = progress
        self._client = client

    def take(self, plan: Plan) -> None:
        """Ask the plan's rater what the ledger lacks; starts nothing where it lacks nothing."""
        lacking = 0
        with reading(self._path) as ledger:
            for request in missing(self._work.corpus, self._work.codebook, plan, ledger):
                lacking += len(request.questions)
        if lacking == 0:
            return
        total = sum(1 for session in self._work.corpus.sessions() for _ in session.exchanges)
        total = max(lacking, total * len(self._work.constructs) * plan.rater.replicates)
        with (
            endpoint_of(plan.rater, plan.weights_sha256, self._client) as endpoint,
            rating_progress(plan.rater.name, total, total - lacking, self._progress) as shown,
        ):
            self._until_done(plan, endpoint, shown)

    def _until_done(self, plan: Plan, endpoint: Endpoint, shown: RatingProgress) -> None:
        """Ask, and ask again what another process has claimed and not rated, until nothing lacks."""
        waiting = False
        while True:
            plan, stopped = self._one_run(plan, endpoint, shown)
            if stopped:
                return
            with open_ledger(self._path) as ledger:
                if not any(islice(missing(self._work.corpus, self._work.codebook, plan, ledger), 1)):
                    return
                owners = ledger.owners()
            held = sum(count for owner, count in owners.items() if not owner.startswith(BATCH_OWNER))
            if owners and not held:
                shown.tell(f"{sum(owners.values())} more are in batches: collect them with --batch")
                return
            if held and not waiting:
                shown.tell(f"{held} more are being rated by another process: waiting for it")
            waiting = True
            time.sleep(_LOOK_EVERY_SECONDS)

    def _one_run(self, plan: Plan, endpoint: Endpoint, shown: RatingProgress) -> tuple[Plan, bool]:
        rater, work = plan.rater, self._work
        made: list[tuple[Plan, Run]] = []
        ended = asyncio.Event()

        async def ask() -> None:
            async with AsyncExitStack() as stack:
                caller = Caller(rater, await endpoint.connect(stack), shown.tell)
                chosen = await way_for(plan, work, self._path, caller)
                # SQLite's connection belongs to this thread.
                ledger = stack.enter_context(open_ledger(self._path))
                ledger.release(dead_owners(list(ledger.owners()), socket.gethostname()))
                run = Run(
                    ledger,
                    f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(8)}",
                    provenance_of(chosen, work.codebook, work.panel, endpoint),
                    Budget(rater.price, self._max_cost, spent_on(ledger, rater)),
                    shown.advance,
                    ended,
                )
                made.append((chosen, run))
                await ask_all(missing(work.corpus, work.codebook, chosen, ledger), rater, caller, run)

        def stop() -> None:
            shown.tell("Finishing what is in flight; Ctrl-C again drops it")
            ended.set()

        run_apart(ask, stop)
        chosen, run = made[0]
        if run.over_budget:
            warnings.warn(
                f"{rater.name}: stopped before max_cost {self._max_cost:g} is passed; "
                "what is left is unrated, not asked yet",
                BayesdynWarning,
                stacklevel=6,
            )
        return chosen, run.over_budget


async def way_for(plan: Plan, work: Work, path: Path, caller: Caller) -> Plan:
    """Return a plan with the way that its server supports: as the ledger says, or by one probe.

    A server is probed before the first rating even where the rater lists one method: one that cannot be
    used is then sent no passage, and leaves no empty ledger behind.

    Raises
    ------
    EndpointError
        If the server cannot be used, or supports none of the rater's methods.
    """
    rater = plan.rater
    key = choice_sha256(rater)
    with reading(path) as ledger:
        way = None if ledger is None else ledger.choice(key)
    if way is None:
        found = await choose_way(rater, work.codebook, work.constructs, caller)
        with open_ledger(path) as ledger:
            way = ledger.choose(key, found)
    (chosen,) = make_plans(work.codebook, work.constructs, [rater], {rater.name: way})
    return chosen
