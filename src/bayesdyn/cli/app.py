"""The command line: one command for each stage, and for whole studies.

Every error that is the user's to mend is told on stderr without a traceback, with exit code 2. Heavy packages
are imported inside the commands, so that ``bayesdyn --help`` is quick.
"""

import sys
import warnings

import typer
from typer.core import TyperGroup

from bayesdyn.cli.effects import add_effects
from bayesdyn.cli.models import add_models
from bayesdyn.cli.rate import add_rate
from bayesdyn.cli.simulating import add_simulating
from bayesdyn.cli.stages import add_stages
from bayesdyn.cli.study import add_local, add_study
from bayesdyn.errors import BayesdynError, BayesdynWarning

EXIT_FAULT = 2
EXIT_INTERRUPTED = 130


class Guarded(TyperGroup):
    """Runs a command and turns what a user can act on into a message and an exit code."""

    # Typer's base names a private Context; the public one is what a command is given.
    def invoke(self, ctx: typer.Context) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run the command that was asked for."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _Shown()
                warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS")
                return super().invoke(ctx)
        except BayesdynError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(EXIT_FAULT) from None
        except KeyboardInterrupt:
            typer.echo(
                "\nStopped. What was finished is kept: give the same command again to go on.", err=True
            )
            raise typer.Exit(EXIT_INTERRUPTED) from None


def build_app() -> typer.Typer:
    """Return the command line application."""
    app = typer.Typer(
        cls=Guarded,
        help="Bayesian structural models of psychotherapy process, from ratings with their uncertainty.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(invoke_without_command=True)(_version)
    add_stages(app)
    ledger = typer.Typer(help="Ledgers of ratings.", no_args_is_help=True)
    add_rate(app, ledger)
    app.add_typer(ledger, name="ledger")
    add_models(app)
    add_simulating(app)
    add_effects(app)
    add_study(app)
    local = typer.Typer(help="The embedded rater: its weights and its server.", no_args_is_help=True)
    add_local(local)
    app.add_typer(local, name="local")
    return app


def main() -> None:
    """Run the command line."""
    build_app()()


def _version(version: bool = typer.Option(False, "--version", help="Show the version and leave.")) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("bayesdyn"))
        raise typer.Exit


class _Shown:
    """Shows our own warnings as sentences, each once in a command; others as Python does."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, BayesdynWarning):
            typer.echo(warnings.formatwarning(message, category, filename, lineno, line), err=True, nl=False)
            return
        for sentence in str(message).splitlines():
            if sentence not in self._told:
                typer.echo(f"Note: {sentence}", err=True)
            self._told.add(sentence)


if __name__ == "__main__":
    sys.exit(main())
