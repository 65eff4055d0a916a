"""The commands of the rating stage: ask LLMs, and look after their ledgers."""

from pathlib import Path
from typing import Annotated

import typer

from bayesdyn.cli.options import File, Out, say, show, words
from bayesdyn.errors import FaultList

Names = Annotated[list[str] | None, typer.Option(help="Names, with commas; default: all.")]
LedgerPath = Annotated[Path, typer.Option(help="All answers; what it has is not asked again.")]
LEDGER = Path("ratings.sqlite")


def add_rate(app: typer.Typer, ledger: typer.Typer) -> None:
    """Add ``rate`` to the application, and the commands of its group ``ledger``."""
    app.command()(rate)
    ledger.command()(merge)
    ledger.command()(export)
    ledger.command()(info)


def rate(
    exchanges: File,
    out: Out = Path("ratings.parquet"),
    codebook: Annotated[str, typer.Option(help="A preset, or a YAML file.")] = "chen2026",
    panel: Annotated[str, typer.Option(help="A preset, or a YAML file.")] = "local",
    ledger: LedgerPath = LEDGER,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Passages may leave this machine.")
    ] = False,
    raters: Names = None,
    constructs: Names = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell requests, tokens and cost; send nothing.")
    ] = False,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="Stop each rater before it has cost more.")
    ] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Hand in by the Batch API, and collect what is finished.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --batch: stay until every batch is finished.")
    ] = False,
    deidentify: Annotated[
        str | None, typer.Option(help="presidio, presidio-patterns or module:function; before sending.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler: spread shards over its workers.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="i/n: rate one of n shares of the dyads, into a ledger of its own.")
    ] = None,
) -> None:
    """Rate exchanges with the LLMs of a panel.

    Example: bayesdyn rate exchanges.parquet --panel local --ledger ratings.sqlite
    """
    from bayesdyn.ratings.questions.deidentify import hook_of
    from bayesdyn.ratings.questions.shards import parse_shard, shard_ledger
    from bayesdyn.ratings.rate import prepare
    from bayesdyn.study.manifest import check_out

    share = None if shard is None else parse_shard(shard)
    _check_together({"--batch": batch, "--dask": dask is not None, "--shard": share is not None}, wait)
    job = prepare(
        exchanges, codebook, panel, raters=words(raters or []) or None,
        constructs=words(constructs or []) or None, shard=share,
        deidentify=None if deidentify is None else hook_of(deidentify),
    )  # fmt: skip
    path = ledger if share is None else shard_ledger(ledger, share)
    if dry_run:
        show(job.estimate(path))
        say("Nothing was sent. Tokens are estimates, output tokens at most; costs as the panel prices them.")
        return
    if share is None:
        check_out(out, exchanges, codebook, panel, path)
    if batch:
        from bayesdyn.ratings.running.batches import visit, wait_for

        found = visit(job, path, allow_remote=allow_remote, max_cost=max_cost, tell=say)
        if wait and found.running:
            found = wait_for(job, path, allow_remote=allow_remote, tell=say)
        if found.running:
            say(f"{found.running} batches are running: give the same command again to collect them")
            return
    elif dask is not None:
        from bayesdyn.ratings.cluster import rate_on_cluster

        rate_on_cluster(
            dask, exchanges, job.codebook, job.panel, path, raters=words(raters or []) or None,
            constructs=words(constructs or []) or None, deidentify=deidentify, allow_remote=allow_remote,
            max_cost=max_cost, tell=say,
        )  # fmt: skip
    else:
        job.ask(path, allow_remote=allow_remote, max_cost=max_cost)
    if share is not None:
        say(f"wrote {path}; when all shards are done: bayesdyn ledger merge {ledger} SHARD...")
        return
    show(job.export(path, out), index=True)
    say(f"wrote {out}")


def _check_together(given: dict[str, bool], wait: bool) -> None:
    """Refuse options that say different things about where and how to ask."""
    faults = FaultList()
    named = [name for name, there in given.items() if there]
    if len(named) > 1:
        faults.add(f"{' and '.join(named)} cannot go together", "Give one of them")
    if wait and not given["--batch"]:
        faults.add("--wait is about batches", "Give --batch with it, or leave it out")
    faults.raise_if_any("These options cannot be used")


def merge(
    ledger: Annotated[Path, typer.Argument(help="The ledger that receives them.")],
    sources: Annotated[list[Path], typer.Argument(help="Ledgers of shards, or of colleagues.")],
) -> None:
    """Add to a ledger what others hold and it does not.

    Example: bayesdyn ledger merge ratings.sqlite ratings.1-of-2.sqlite ratings.2-of-2.sqlite
    """
    from bayesdyn.ratings.ledgers.files import merge_ledgers

    added = merge_ledgers(ledger, sources)
    say(f"added {added} ratings to {ledger}")


def export(
    ledger: Annotated[Path, typer.Argument(help="What was rated, by one process or merged.")],
    exchanges: File,
    out: Out = Path("ratings.parquet"),
    codebook: Annotated[str, typer.Option(help="A preset, or a YAML file.")] = "chen2026",
    panel: Annotated[str, typer.Option(help="A preset, or a YAML file.")] = "local",
    raters: Names = None,
    constructs: Names = None,
    deidentify: Annotated[
        str | None, typer.Option(help="As it was rated: presidio, presidio-patterns or module:function.")
    ] = None,
) -> None:
    """Write the ratings that a ledger holds of some exchanges; nothing is asked.

    Example: bayesdyn ledger export ratings.sqlite exchanges.parquet --out ratings.parquet
    """
    from bayesdyn.ratings.questions.deidentify import hook_of
    from bayesdyn.ratings.rate import prepare
    from bayesdyn.study.manifest import check_out

    job = prepare(
        exchanges, codebook, panel, raters=words(raters or []) or None,
        constructs=words(constructs or []) or None,
        deidentify=None if deidentify is None else hook_of(deidentify),
    )  # fmt: skip
    check_out(out, ledger, exchanges, codebook, panel)
    show(job.export(ledger, out), index=True)
    say(f"wrote {out}")


def info(ledger: Annotated[Path, typer.Argument()] = LEDGER) -> None:
    """Tell what a ledger holds: one row for each way of asking.

    Example: bayesdyn ledger info ratings.sqlite
    """
    import pandas as pd

    from bayesdyn.ratings.ledgers.files import open_ledger

    with open_ledger(ledger, create=False) as opened:
        records = opened.provenance()
        size = len(opened)
    columns = ["rater", "model", "endpoint", "method", "codebook", "ratings", "first", "last"]
    if records:
        show(pd.DataFrame(records).reindex(columns=columns))
    say(f"{size} ratings")
