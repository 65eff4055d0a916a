"""Errors a user can act on: each gathers all faults, and each fault names its place and its remedy."""

from collections.abc import Iterable
from dataclasses import dataclass


class BayesdynError(Exception):
    """Base of every error that is the user's to mend; the CLI prints it and exits with 2."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong: where it is, what it is, and what would mend it.

    A fault never quotes transcript text: transcripts are health data.
    """

    what: str
    remedy: str = ""
    where: str = ""

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}. {self.remedy}" if self.remedy else head


class FaultsError(BayesdynError):
    """An error that carries every fault found, not only the first.

    Parameters
    ----------
    title
        What could not be done, in one line.
    faults
        All faults found, in the order of the input.
    """

    def __init__(self, title: str, faults: Iterable[Fault] = ()) -> None:
        self.title = title
        self.faults = tuple(faults)
        shown = [f"  - {fault}" for fault in self.faults[:_MOST_SHOWN]]
        if len(self.faults) > _MOST_SHOWN:
            shown.append(f"  - and {len(self.faults) - _MOST_SHOWN} more of this input")
        super().__init__("\n".join([title, *shown]))


class InputError(FaultsError, ValueError):
    """Input that cannot be used: a table, a file, a model, an option."""


class ArtefactError(FaultsError):
    """A file of ours that cannot be used: another version, another kind, or damaged."""


class EndpointError(FaultsError):
    """An LLM server that cannot be used: unreachable, refused, or lacking what a rater needs."""


class EngineError(FaultsError):
    """A model that the named engine cannot fit."""


class FaultList:
    """Gathers faults while a whole input is checked, then raises once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, what: str, remedy: str = "", where: str = "") -> None:
        """Note one fault and go on checking."""
        self.faults.append(Fault(what, remedy, where))

    def raise_if_any(self, title: str, kind: type[FaultsError] = InputError) -> None:
        """Raise ``kind`` with everything gathered; do nothing when nothing was."""
        if self.faults:
            raise kind(title, self.faults)


class BayesdynWarning(UserWarning):
    """A warning a statistician should read; it also reaches the report."""


class DataWarning(BayesdynWarning):
    """What a fit's data or model make of each other: levels that are one, few dyads, sessions without a path.

    One warning for each call, one sentence a line; the same sentences are in the notes of the fit.
    """


_MOST_SHOWN = 20
