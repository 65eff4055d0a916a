"""The out folder of a study: which file each stage made from what, so that a second run reuses it.

A stage is made anew if and only if the hash of its inputs, its settings or the artefact format changed, or
its file is missing or altered. ``manifest.json`` is written after each stage: an interrupted run goes on
where it was.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayesdyn.artefacts import FORMAT, check_stamp, sha256_file, sha256_json, stamp, write_text
from bayesdyn.errors import ArtefactError, Fault, InputError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Stage[T]:
    """How one stage's artefact is written, read back and hashed.

    Attributes
    ----------
    name, file
        Name of the stage; name of its file in the out folder.
    write
        Writes a value to a path, whole or not at all.
    read
        Reads the value back.
    content
        Hash of what later stages see of the value, whatever the bytes of the file.
    says
        The value in a few words, for the line that tells what was done.
    """

    name: str
    file: str
    write: Callable[[T, Path], None]
    read: Callable[[Path], T]
    content: Callable[[T], str]
    says: Callable[[T], str] = field(default=lambda _: "")


@dataclass(frozen=True)
class Outcome:
    """What became of one stage in a run: its file, whether it was reused, wall time in seconds."""

    stage: str
    file: Path
    reused: bool
    seconds: float


class Artefact[T]:
    """The value of a stage, read from its file when it is first needed."""

    def __init__(self, stage: Stage[T], path: Path, content: str, value: T | None = None) -> None:
        self.content = content
        self.path = path
        self._stage = stage
        self._value = value

    @property
    def value(self) -> T:
        """The value itself."""
        if self._value is None:
            self._value = self._stage.read(self.path)
        return self._value


class OutFolder:
    """An out folder with its manifest.

    Parameters
    ----------
    path
        The folder; made where it is not there.
    study
        Name of the study, for the manifest.
    tell
        Called with one line for each thing done.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """

    def __init__(self, path: Path, study: str, tell: Callable[[str], None]) -> None:
        self.path = path
        self.outcomes: list[Outcome] = []
        self._study = study
        self._tell = tell
        check_writable(path)
        self._records = self._read_manifest()

    def run[T](
        self, stage: Stage[T], inputs: Mapping[str, str], settings: object, make: Callable[[], T]
    ) -> Artefact[T]:
        """Return a stage's artefact: the file of an earlier run if nothing it depends on changed, else anew.

        Parameters
        ----------
        stage
            Which one.
        inputs
            Name to content hash of all that the value is made from.
        settings
            JSON-able; all else that decides the value.
        make
            Makes the value.
        """
        target = self.path / stage.file
        key = sha256_json({"inputs": dict(inputs), "settings": settings, "format": FORMAT})
        start = time.perf_counter()
        record = self._records.get(stage.name, {})
        if record.get("key") == key and target.is_file() and sha256_file(target) == record.get("sha256"):
            self._done(stage.name, target, True, time.perf_counter() - start, "")
            return Artefact(stage, target, record["content"])
        self._remove_parts(stage.file)
        self._tell(f"{stage.name:<12} ...")
        value = make()
        stage.write(value, target)
        seconds = time.perf_counter() - start
        content = stage.content(value)
        self._records[stage.name] = {
            "file": stage.file, "sha256": sha256_file(target), "content": content, "key": key,
            "inputs": dict(inputs), "settings": settings, "format": FORMAT, "seconds": round(seconds, 2),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }  # fmt: skip
        self._write_manifest()
        self._done(stage.name, target, False, seconds, stage.says(value))
        return Artefact(stage, target, content, value)

    def skip[T](self, stage: Stage[T], why: str) -> None:
        """Tell that a stage does not belong to this study, and drop what an earlier run left of it.

        Its old file would otherwise stand beside results that it has nothing to do with.
        """
        if self._records.pop(stage.name, None) is not None:
            (self.path / stage.file).unlink(missing_ok=True)
            self._write_manifest()
        self._tell(f"{stage.name:<12} left out: {why}")

    def _done(self, name: str, file: Path, reused: bool, seconds: float, says: str) -> None:
        self.outcomes.append(Outcome(name, file, reused, seconds))
        took = "reused" if reused else f"{seconds:.1f} s"
        self._tell(f"{name:<12} {took:>8}  {file.name}{': ' + says if says else ''}")

    def _read_manifest(self) -> dict[str, dict[str, Any]]:
        path = self.path / MANIFEST
        if not path.is_file():
            return {}
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            check_stamp(stored["stamp"], path, "manifest")
            stages = stored["stages"]
            return {name: dict(stages[name]) for name in stages}
        except (ArtefactError, OSError, ValueError, KeyError, TypeError, AttributeError):
            # The manifest only spares work: without it the same results are made again.
            self._tell(f"{MANIFEST} is damaged or of another version: every stage is made anew")
            return {}

    def _write_manifest(self) -> None:
        content = {"stamp": stamp("manifest"), "study": self._study, "stages": self._records}
        write_text(self.path / MANIFEST, json.dumps(content, indent=1, ensure_ascii=False))

    def _remove_parts(self, file: str) -> None:
        """Remove what a killed run had half written of this file."""
        for part in self.path.glob(f".{file}.*.part"):
            part.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Check that files can be written in a folder, or that it can be made; leaves nothing behind.

    Raises
    ------
    InputError
        If not.
    """
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"Cannot write in {folder}", [Fault(reason, "Choose a folder that you may write to: --out")]
        ) from None


def check_out(file: Path, *inputs: str | Path | None) -> None:
    """Check, before hours of work, that a file can be written and is none of those that are read.

    Parameters
    ----------
    file
        What is to be written.
    inputs
        What is read: files, names of presets, None for what was not given.

    Raises
    ------
    InputError
        If its folder cannot be written, a folder has its name, or it would be written over an input.
    """
    if file.is_dir():
        raise InputError(f"Cannot write {file}", [Fault("it is a folder", "Give the name of a file: --out")])
    given = [Path(one) for one in inputs if one is not None]
    if any(one.is_file() and file.is_file() and file.samefile(one) for one in given):
        fault = Fault("it is read, and would be written over", "Give the name of another file: --out")
        raise InputError(f"Cannot write {file}", [fault])
    check_writable(file.parent)
