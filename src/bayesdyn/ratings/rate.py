"""Rate exchanges with the LLMs of a panel."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from bayesdyn.artefacts import sha256_file, versions
from bayesdyn.errors import Fault, InputError
from bayesdyn.ratings.asking import ask_all, run_apart
from bayesdyn.ratings.client import Asker, ChatClient, api_key_of
from bayesdyn.ratings.codebook import Codebook, load_codebook, pick_constructs
from bayesdyn.ratings.ledger import open_ledger
from bayesdyn.ratings.local import available_cores, local_server, runtime_version
from bayesdyn.ratings.panel import Panel, Rater, check_remote, load_panel, pick_raters
from bayesdyn.ratings.progress import rating_progress
from bayesdyn.ratings.questions import Plan, collect, make_plans, missing
from bayesdyn.ratings.weights import require_weights
from bayesdyn.tables import check_exchanges


def rate(
    exchanges: pd.DataFrame,
    codebook: str | Path | Codebook = "chen2026",
    panel: str | Path | Panel = "local",
    ledger: str | Path = "ratings.sqlite",
    *,
    allow_remote: bool = False,
    raters: list[str] | None = None,
    constructs: list[str] | None = None,
    progress: bool = True,
    client: Asker | None = None,
) -> pd.DataFrame:
    """Rate exchanges on the constructs of a codebook, with the raters of a panel.

    Parameters
    ----------
    exchanges
        A table of exchanges, see :func:`~bayesdyn.tables.check_exchanges`.
    codebook, panel
        A preset by name, a YAML file, or what was loaded from one.
    ledger
        SQLite file of all answers. What it has is not asked again, so a run that was stopped goes on where
        it was, and a finished one needs no server.
    allow_remote
        The caller's consent that passages leave this machine; the panel must consent too.
    raters, constructs
        Names, to take fewer than all.
    progress
        Show progress on stderr.
    client
        Asks in place of the raters' servers, e.g. in tests.

    Returns
    -------
    pandas.DataFrame
        A checked Ratings table, one row for each rater, construct and exchange. ``value`` is the expected
        score sum of p_k k; ``probabilities`` are renormalised over the scale, and ``off_scale`` is the mass
        that was off it; where unrated, ``value`` is missing and ``reason`` says why.

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
    thread and event loop of their own. Ctrl-C stops the run and keeps what is done.
    """
    book, board = load_codebook(codebook), load_panel(panel)
    chosen = pick_raters(board, raters)
    if client is None:
        check_remote(board, chosen, allow_remote)
    plans = make_plans(book, pick_constructs(book, constructs), chosen)
    table = check_exchanges(exchanges)
    for plan in plans:
        _rate_with(plan, table, book, Path(ledger), progress, client)
    with open_ledger(ledger) as opened:
        return collect(table, book, plans, opened)


def _rate_with(
    plan: Plan, exchanges: pd.DataFrame, codebook: Codebook, path: Path, progress: bool, client: Asker | None
) -> None:
    """Ask one rater what the ledger lacks; starts nothing where it lacks nothing."""
    with open_ledger(path) as ledger:
        lacking = sum(1 for _ in missing(exchanges, codebook, plan, ledger))
    if lacking == 0:
        return
    rater = plan.rater
    total = len(exchanges) * len(plan.prompts)

    async def ask() -> None:
        with open_ledger(path) as ledger:
            questions = missing(exchanges, codebook, plan, ledger)
            await ask_all(questions, rater, connect, ledger, provenance, advance)

    with (
        _endpoint(plan, client) as (connect, served),
        rating_progress(rater.name, total, total - lacking, progress) as advance,
    ):
        provenance = _provenance(plan, codebook, served)
        run_apart(ask)


@contextmanager
def _endpoint(plan: Plan, client: Asker | None) -> Iterator[tuple["Asker | _Connect", str]]:
    """Yield how to reach the rater, and what to call that in the provenance."""
    rater = plan.rater
    if client is not None:
        yield client, "given client"
    elif rater.base_url is not None:
        place = urlsplit(rater.base_url)
        yield _Connect(rater, rater.base_url, api_key_of(rater)), f"{place.scheme}://{place.hostname}"
    else:
        weights = require_weights(rater.weights or "")
        if sha256_file(weights) != plan.weights_sha256:
            raise InputError(
                f"Weights {rater.weights} cannot be used",
                [Fault(f"{weights} has another sha256 than the known file",
                       f"Run: bayesdyn local fetch {rater.weights}")],
            )  # fmt: skip
        with local_server(weights, name=rater.model, slots=rater.concurrency) as server:
            yield _Connect(rater, server.base_url, server.api_key), "embedded"


class _Connect:
    """Makes a rater's client, in the event loop that will use it."""

    def __init__(self, rater: Rater, base_url: str, api_key: str | None) -> None:
        self._made_of = (rater, base_url, api_key)

    def __call__(self) -> ChatClient:
        return ChatClient(*self._made_of)


def _provenance(plan: Plan, codebook: Codebook, served: str) -> dict[str, object]:
    packages = versions()
    kept = {name: packages[name] for name in ("python", "bayesdyn", "openai")}
    record: dict[str, object] = {
        "rater": plan.rater.name, "model": plan.rater.model, "endpoint": served,
        "prompt": plan.rater.prompt, "labels": plan.rater.labels,
        "decoding": plan.rater.decoding.model_dump(mode="json"), "concurrency": plan.rater.concurrency,
        "codebook": codebook.name, "codebook_sha256": codebook.sha256, "packages": kept,
    }  # fmt: skip
    if served == "embedded":
        record |= {
            "weights": plan.rater.weights, "weights_sha256": plan.weights_sha256,
            "packages": {**kept, "xllamacpp": runtime_version()},
            "machine": {"architecture": platform.machine(), "cores": available_cores()},
        }  # fmt: skip
    return record
