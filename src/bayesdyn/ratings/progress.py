"""Progress of long work, on stderr, and nothing where it is not wanted."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LINE_EVERY_SECONDS = 20.0


@contextmanager
def transfer_progress(label: str, total: int, show: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that notes bytes as they come."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not show) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


@dataclass(frozen=True)
class RatingProgress:
    """Notes ratings as they come, with what has been spent so far; tells what else the user should know."""

    advance: Callable[[int, float], None]
    tell: Callable[[str], None]


@contextmanager
def rating_progress(label: str, total: int, done: int, show: bool) -> Iterator[RatingProgress]:
    """Yield what shows count, rate, time left and cost: a bar on a terminal, elsewhere a line now and then.

    Parameters
    ----------
    label
        The rater.
    total, done
        Ratings to be, and how many of them are there.
    show
        False: nothing is shown.
    """
    if not show:
        yield RatingProgress(lambda count, spent: None, lambda line: None)
    elif sys.stderr.isatty():
        with _bar(label, total, done) as shown:
            yield shown
    else:
        yield _lines(label, total, done)


@contextmanager
def _bar(label: str, total: int, done: int) -> Iterator[RatingProgress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.1f} ratings/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[cost]}"),
    )
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=60) as bar:
        task = bar.add_task(label, total=total, completed=done, cost="")

        def advance(count: int, spent: float) -> None:
            bar.update(task, advance=count, cost=f"cost {spent:.2f}" if spent else "")

        yield RatingProgress(advance, lambda line: bar.console.print(line, markup=False))


def _lines(label: str, total: int, done: int) -> RatingProgress:
    started = told = time.monotonic()
    have = done

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def advance(count: int, spent: float) -> None:
        nonlocal have, told
        have += count
        now = time.monotonic()
        if now - told < _LINE_EVERY_SECONDS and have < total:
            return
        told = now
        speed = (have - done) / max(now - started, 1e-9)
        left = (total - have) / max(speed, 1e-9)
        cost = f", cost {spent:.2f}" if spent else ""
        say(f"{label}: {have} of {total} ratings, {speed:.1f} ratings/s, about {left:.0f} s left{cost}")

    return RatingProgress(advance, say)
