"""The commands for whole studies, the demonstration and the embedded rater."""

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from bayesdyn.cli.options import say


def add_study(app: typer.Typer) -> None:
    """Add init, run and demo."""
    for command in (init, run, demo):
        app.command()(command)


def add_local(app: typer.Typer) -> None:
    """Add fetch and serve."""
    for command in (fetch, serve):
        app.command()(command)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the study goes.", show_default=False)],
    transcripts: Annotated[
        Path | None, typer.Option(help="Your transcripts, which stay where they are.", show_default=False)
    ] = None,
) -> None:
    """Lay out a new study: models/, scoring/, reports/ and study.toml, to be edited.

    Example: bayesdyn init mystudy --transcripts path/to/transcripts
    """
    from bayesdyn.study.layout import init_study

    study = init_study(folder, transcripts=transcripts)
    typer.echo(f"Laid out {folder}. Look through {study}, then:")
    typer.echo(f"  bayesdyn run {shlex.quote(str(study))}")


def run(
    study: Annotated[Path, typer.Argument(help="study.toml, or its folder.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of all artefacts; default: the study's own.", show_default=False),
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="A ledger in place of the study's own.", show_default=False)
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Passages may leave this machine.")
    ] = False,
) -> None:
    """Run a study from transcripts to report.html; what has not changed is reused.

    Example: bayesdyn run mystudy/study.toml
    """
    from bayesdyn.study.run import run_study

    start = time.perf_counter()
    done = run_study(study, out, ledger=ledger, allow_remote=allow_remote, progress=True)
    say(f"{time.perf_counter() - start:.0f} s in all")
    typer.echo(str(done.report))


def demo(
    out: Annotated[Path, typer.Option(help="Where the sample study goes.")] = Path("demo"),
    live: Annotated[
        bool, typer.Option("--live", help="Rate everything anew with the smallest model.")
    ] = False,
) -> None:
    """Run the sample study: fictional transcripts, real LLM ratings, a posterior, a report.

    Example: bayesdyn demo --out demo
    """
    from bayesdyn.demo import repeat_says, run_demo

    start = time.perf_counter()
    done = run_demo(out, live=live, progress=True)
    if not live:
        say(repeat_says(out, progress=True))
    say(f"{time.perf_counter() - start:.0f} s in all")
    typer.echo(f"The report: {done.report}")
    typer.echo('For a folder of your own transcripts, named like anna_1.txt ("T: ..." and "C: ..." lines):')
    typer.echo("  bayesdyn init mystudy --transcripts path/to/transcripts")
    typer.echo("  bayesdyn run mystudy/study.toml")


def fetch(
    name: Annotated[str, typer.Argument(help="smollm2 or qwen2.5-coder-1.5b")] = "smollm2",
    source: Annotated[
        Path | None, typer.Option("--from", help="A GGUF file that you have already.", show_default=False)
    ] = None,
) -> None:
    """Bring a model's weights to this machine; they are accepted by their sha256 alone.

    Example: bayesdyn local fetch smollm2
    """
    from bayesdyn.ratings.servers.weights import fetch_weights

    typer.echo(str(fetch_weights(name, source, progress=True)))


def serve(
    name: Annotated[str, typer.Argument(help="smollm2, qwen2.5-coder-1.5b, or a GGUF file")] = "smollm2",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
) -> None:
    """Serve a model on this machine alone, over the OpenAI chat protocol, until Ctrl-C.

    Example: bayesdyn local serve smollm2 --port 8080
    """
    from bayesdyn.ratings.servers.local import local_server
    from bayesdyn.ratings.servers.weights import require_weights

    with local_server(require_weights(name), name=name, port=port) as server:
        typer.echo(f"base_url: {server.base_url}")
        typer.echo(f"api_key:  {server.api_key}")
        say("Ctrl-C stops it.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            say("Stopped.")
