"""Rate exchanges with the LLMs of a panel."""

from pathlib import Path

import pandas as pd

from bayesdyn.ratings.ledgers.files import open_ledger
from bayesdyn.ratings.questions.corpus import Corpus, Deidentify
from bayesdyn.ratings.questions.plans import Plan, make_plans
from bayesdyn.ratings.questions.shards import in_shard
from bayesdyn.ratings.results import collect, export
from bayesdyn.ratings.running.costs import estimate
from bayesdyn.ratings.running.turn import Turn, Work, reading
from bayesdyn.ratings.scoring.codebook import Codebook, load_codebook, pick_constructs
from bayesdyn.ratings.scoring.panel import Panel, check_remote, load_panel, pick_raters
from bayesdyn.ratings.servers.client import Asker


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
        :mod:`bayesdyn.ratings.questions.deidentify`.
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


class Job(Work):
    """What is to be rated, by whom; checked, and nothing sent yet. Made by :func:`prepare`."""

    def estimate(self, ledger: str | Path) -> pd.DataFrame:
        """Return what asking would take, see :func:`~bayesdyn.ratings.running.costs.estimate`."""
        with reading(ledger) as opened:
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
            Turn(self, path, max_cost, progress, client).take(plan)
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
    book, board = load_codebook(codebook), load_panel(panel)
    chosen = pick_raters(board, raters)
    names = pick_constructs(book, constructs)
    make_plans(book, names, chosen)
    corpus = Corpus(exchanges, deidentify, None if shard is None else in_shard(*shard))
    return Job(corpus, book, names, chosen, board)
