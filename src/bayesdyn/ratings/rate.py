"""Rate exchanges with the LLMs of a panel."""

import asyncio
import os
import secrets
import socket
import time
import warnings
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from bayesdyn.errors import BayesdynWarning
from bayesdyn.ratings.asking import Run, ask_all, run_apart
from bayesdyn.ratings.batch_book import BATCH_OWNER
from bayesdyn.ratings.client import Asker
from bayesdyn.ratings.codebook import Codebook, load_codebook, pick_constructs
from bayesdyn.ratings.corpus import Corpus, Deidentify
from bayesdyn.ratings.costs import Budget, estimate, spent_on
from bayesdyn.ratings.endpoints import Endpoint, endpoint_of, provenance_of
from bayesdyn.ratings.ledger import Ledger
from bayesdyn.ratings.ledger_file import dead_owners, open_ledger
from bayesdyn.ratings.methods import Way, ways_of
from bayesdyn.ratings.pacing import Caller
from bayesdyn.ratings.panel import Panel, Rater, check_remote, load_panel, pick_raters
from bayesdyn.ratings.probing import choose_way
from bayesdyn.ratings.progress import RatingProgress, rating_progress
from bayesdyn.ratings.questions import Plan, choice_sha256, make_plans, missing
from bayesdyn.ratings.results import chosen_ways, collect, export

_LOOK_EVERY_SECONDS = 1.0


def rate(
    exchanges: pd.DataFrame | str | Path,
    codebook: str | Path | Codebook = "chen2026",
    panel: str | Path | Panel = "local",
    ledger: str | Path = "ratings.sqlite",
    *,
    allow_remote: bool = False,
    raters: list[str] | None = None,
    constructs: list[str] | None = None,
    max_cost: float | None = None,
    deidentify: Deidentify | None = None,
    progress: bool = True,
    client: Asker | None = None,
) -> pd.DataFrame:
    """Rate exchanges on the constructs of a codebook, with the raters of a panel.

    Parameters
    ----------
    exchanges
        A table of exchanges, see :func:`~bayesdyn.tables.check_exchanges`, or the path of a file that
        ``bayesdyn read`` wrote, which is read a piece at a time.
    codebook, panel
        A preset by name, a YAML file, or what was loaded from one.
    ledger
        SQLite file of all answers. What it has is not asked again, so a run that was stopped goes on where
        it was, and a finished one needs no server. Several processes may share one.
    allow_remote
        The caller's consent that passages leave this machine; the panel must consent too.
    raters, constructs
        Names, to take fewer than all.
    max_cost
        What the answers of each rater in the ledger may cost together, in the currency of the panel's
        prices; the run stops before it is passed, and warns.
    deidentify
        Takes a turn's text and its dyad, and returns what may be sent; see
        :mod:`bayesdyn.ratings.deidentify`.
    progress
        Show progress on stderr.
    client
        Asks in place of the raters' servers, e.g. in tests.

    Returns
    -------
    pandas.DataFrame
        A checked Ratings table, one row for each rater, construct, replicate and rated unit. ``value`` is
        the expected score sum of p_k k where the server gives probabilities, and the value that it gave
        where not; ``probabilities`` are renormalised over the scale, and ``off_scale`` is the mass that was
        off it; where unrated, ``value`` is missing and ``reason`` says why.

    Raises
    ------
    InputError
        If an input cannot be used, weights or the extra ``local`` are missing, or consent to a remote server.
    EndpointError
        If a server cannot be used, or offers no method that its rater lists. What was rated is kept.
    ArtefactError
        If the ledger is of another version.

    Notes
    -----
    Raters take turns, so at most one embedded model is in memory. Works in a notebook: requests run in a
    thread and event loop of their own. Ctrl-C finishes what is in flight and keeps what is done; a second
    one drops what is in flight.
    """
    job = prepare(exchanges, codebook, panel, raters=raters, constructs=constructs, deidentify=deidentify)
    plans = job.ask(ledger, allow_remote=allow_remote, max_cost=max_cost, progress=progress, client=client)
    with open_ledger(ledger, create=not Path(ledger).is_file()) as opened:
        return collect(job.corpus, job.codebook, plans, opened)


@dataclass(frozen=True)
class Job:
    """What is to be rated, by whom; checked, and nothing sent yet. Made by :func:`prepare`."""

    corpus: Corpus
    codebook: Codebook
    constructs: tuple[str, ...]
    raters: tuple[Rater, ...]
    panel: Panel

    def plans(self, ledger: str | Path) -> list[Plan]:
        """Return a plan for each rater, asked as the ledger says where it has chosen."""
        ways: dict[str, Way] = {}
        if Path(ledger).is_file():
            with open_ledger(ledger, create=False) as opened:
                ways = chosen_ways(opened, self.raters)
        return make_plans(self.codebook, self.constructs, self.raters, ways)

    def estimate(self, ledger: str | Path) -> pd.DataFrame:
        """Return what asking would take, see :func:`~bayesdyn.ratings.costs.estimate`."""
        with open_ledger(ledger, create=not Path(ledger).is_file()) as opened:
            return estimate(self.corpus, self.codebook, self.plans(ledger), opened)

    def ask(
        self,
        ledger: str | Path,
        *,
        allow_remote: bool = False,
        max_cost: float | None = None,
        progress: bool = True,
        client: Asker | None = None,
    ) -> list[Plan]:
        """Ask each rater what the ledger lacks; return how each was asked. See :func:`rate`."""
        if client is None:
            check_remote(self.panel, self.raters, allow_remote)
        path = Path(ledger)
        for plan in self.plans(path):
            _Asking(self, path, max_cost, progress, client).rate_with(plan)
        return self.plans(path)

    def export(
        self, ledger: str | Path, out: str | Path, inputs: dict[str, str] | None = None
    ) -> pd.DataFrame:
        """Stream what the ledger holds into an artefact, see :func:`bayesdyn.ratings.results.export`."""
        with open_ledger(ledger, create=False) as opened:
            return export(self.corpus, self.codebook, self.plans(ledger), opened, out, inputs)


def prepare(
    exchanges: pd.DataFrame | str | Path,
    codebook: str | Path | Codebook = "chen2026",
    panel: str | Path | Panel = "local",
    *,
    raters: list[str] | None = None,
    constructs: list[str] | None = None,
    deidentify: Deidentify | None = None,
    shard: tuple[int, int] | None = None,
) -> Job:
    """Check everything that a rating run needs, before anything is sent.

    Parameters
    ----------
    exchanges, codebook, panel, raters, constructs, deidentify
        As in :func:`rate`.
    shard
        (i, n): only the dyads of the i-th of n shards, i from 1.

    Raises
    ------
    InputError, ArtefactError
        As :func:`rate`.
    """
    from bayesdyn.ratings.shards import in_shard

    book, board = load_codebook(codebook), load_panel(panel)
    chosen = pick_raters(board, raters)
    names = pick_constructs(book, constructs)
    make_plans(book, names, chosen)
    corpus = Corpus(exchanges, deidentify, None if shard is None else in_shard(*shard))
    return Job(corpus, book, names, chosen, board)


class _Asking:
    """One rater's turn: what lacks is counted, its server reached, its way chosen, its questions asked."""

    def __init__(
        self, job: Job, path: Path, max_cost: float | None, progress: bool, client: Asker | None
    ) -> None:
        self._job = job
        self._path = path
        self._max_cost = max_cost
        self._progress = progress
        self._client = client

    def rate_with(self, plan: Plan) -> None:
        """Ask the plan's rater what the ledger lacks; starts nothing where it lacks nothing."""
        total = lacking = 0
        with open_ledger(self._path, create=not self._path.is_file()) as ledger:
            for request in missing(self._job.corpus, self._job.codebook, plan, ledger):
                lacking += len(request.questions)
        if lacking == 0:
            return
        total = sum(1 for session in self._job.corpus.sessions() for _ in session.exchanges)
        total = max(lacking, total * len(self._job.constructs) * plan.rater.replicates)
        with (
            endpoint_of(plan.rater, plan.weights_sha256, self._client) as endpoint,
            rating_progress(plan.rater.name, total, total - lacking, self._progress) as shown,
            open_ledger(self._path) as ledger,
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
                if not any(islice(missing(self._job.corpus, self._job.codebook, plan, ledger), 1)):
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
        rater, job = plan.rater, self._job
        made: list[tuple[Plan, Run]] = []
        ended = asyncio.Event()

        async def ask() -> None:
            async with AsyncExitStack() as stack:
                asker = await endpoint.connect(stack)
                # SQLite's connection belongs to this thread.
                ledger = stack.enter_context(open_ledger(self._path))
                ledger.release(dead_owners(list(ledger.owners()), socket.gethostname()))
                caller = Caller(rater, asker, shown.tell)
                chosen = await way_for(plan, job, ledger, caller)
                run = Run(
                    ledger,
                    f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(8)}",
                    provenance_of(chosen, job.codebook, job.panel, endpoint),
                    Budget(rater.price, self._max_cost, spent_on(ledger, rater)),
                    shown.advance,
                    ended,
                )
                made.append((chosen, run))
                await ask_all(missing(job.corpus, job.codebook, chosen, ledger), rater, caller, run)

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


async def way_for(plan: Plan, job: Job, ledger: Ledger, caller: Caller) -> Plan:
    """Return a plan with the way that its server supports: as the ledger says, or by one probe.

    Raises
    ------
    EndpointError
        If the server cannot be used, or supports none of the rater's methods.
    """
    rater = plan.rater
    if len(ways_of(rater)) == 1:
        return plan
    key = choice_sha256(rater)
    way = ledger.choice(key)
    if way is None:
        way = ledger.choose(key, await choose_way(rater, job.codebook, job.constructs, caller))
    (chosen,) = make_plans(job.codebook, job.constructs, [rater], {rater.name: way})
    return chosen
