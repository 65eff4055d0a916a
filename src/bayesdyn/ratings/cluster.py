"""Rate on the workers of a Dask cluster: a shard and a ledger each, merged at the end (extra ``cluster``)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bayesdyn.errors import BayesdynError, Fault, InputError
from bayesdyn.ratings.ledgers.files import merge_ledgers
from bayesdyn.ratings.questions.deidentify import hook_of
from bayesdyn.ratings.questions.shards import shard_ledger
from bayesdyn.ratings.rate import Job, prepare
from bayesdyn.ratings.scoring.codebook import Codebook, load_codebook
from bayesdyn.ratings.scoring.panel import Panel, load_panel


@dataclass(frozen=True)
class Share:
    """What one worker is to do: everything that a shard needs, small enough to be sent."""

    exchanges: Path
    codebook: Codebook
    panel: Panel
    ledger: Path
    shard: tuple[int, int]
    raters: list[str] | None
    constructs: list[str] | None
    deidentify: str | None
    allow_remote: bool
    max_cost: float | None

    def job(self) -> Job:
        """Return the shard's job."""
        hook = None if self.deidentify is None else hook_of(self.deidentify)
        return prepare(
            self.exchanges, self.codebook, self.panel, raters=self.raters, constructs=self.constructs,
            deidentify=hook, shard=self.shard,
        )  # fmt: skip


def rate_on_cluster(
    address: str,
    exchanges: str | Path,
    codebook: str | Path | Codebook = "chen2026",
    panel: str | Path | Panel = "local",
    ledger: str | Path = "ratings.sqlite",
    *,
    shards: int | None = None,
    raters: list[str] | None = None,
    constructs: list[str] | None = None,
    deidentify: str | None = None,
    allow_remote: bool = False,
    max_cost: float | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> int:
    """Rate a file of exchanges on a Dask cluster; return how many ratings the ledger gained.

    Parameters
    ----------
    address
        Of the Dask scheduler.
    exchanges, ledger
        Files in a folder that this process and all workers see under the same path. Each shard has a
        ledger of its own beside ``ledger``, so a run that was stopped, or a worker that died, goes on where
        it was when the same shards are asked for again.
    codebook, panel, raters, constructs, allow_remote
        As in :func:`bayesdyn.rate`.
    shards
        Default: one for each worker.
    deidentify
        A name, see :func:`bayesdyn.ratings.questions.deidentify.hook_of`.
    max_cost
        As in :func:`bayesdyn.rate`; each shard may spend its share of it.
    tell
        Called with one line for each shard that is done.

    Raises
    ------
    InputError
        If the extra is not installed, the scheduler cannot be reached or has no workers, or an input cannot
        be used.
    BayesdynError
        What a worker raised. The other shards are finished and kept, and merged before it is raised.
    """
    client_type, completed = _dask()
    source, target = Path(exchanges).resolve(), Path(ledger).resolve()
    book, board = load_codebook(codebook), load_panel(panel)
    try:
        client = client_type(address, timeout=10)
    except (OSError, TimeoutError) as error:
        raise _unreached(address, f"it cannot be reached ({type(error).__name__})") from None
    with client:
        count = shards or len(client.scheduler_info(n_workers=-1)["workers"])
        if count == 0:
            raise _unreached(address, "it has no workers")
        shares = [
            Share(source, book, board, target, (number + 1, count), raters, constructs, deidentify,
                  allow_remote, None if max_cost is None else max_cost / count)
            for number in range(count)
        ]  # fmt: skip
        shares[0].job()  # what cannot be used is told here, and not by every worker
        futures = [client.submit(rate_share, share, pure=False) for share in shares]
        failures: list[BayesdynError] = []
        for future in completed(futures):
            done, failure = future.result()
            tell(f"shard {done[0]}/{done[1]}: {'done' if failure is None else 'failed'}")
            failures += [] if failure is None else [failure]
    paths = [shard_ledger(target, share.shard) for share in shares]
    added = merge_ledgers(target, [path for path in paths if path.is_file()])
    if failures:
        raise failures[0]
    return added


def rate_share(share: Share) -> tuple[tuple[int, int], BayesdynError | None]:
    """Rate one shard; runs on a worker. Returns the shard, and what stopped it."""
    try:
        path = shard_ledger(share.ledger, share.shard)
        share.job().ask(path, allow_remote=share.allow_remote, max_cost=share.max_cost, progress=False)
    except BayesdynError as error:
        return share.shard, error
    return share.shard, None


def _dask():
    try:
        from distributed import Client, as_completed
    except ModuleNotFoundError as error:
        raise InputError(
            "Dask is not installed",
            [Fault(f"package {error.name} is missing", "Install the extra: pip install 'bayesdyn[cluster]'")],
        ) from None
    return Client, as_completed


def _unreached(address: str, what: str) -> InputError:
    return InputError(
        f"The Dask scheduler {address} cannot be used",
        [Fault(what, "Start it and its workers, or correct it")],
    )
