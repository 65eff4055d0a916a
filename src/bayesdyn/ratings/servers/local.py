"""The embedded server: llama.cpp's own OpenAI-compatible server, in this process, on a loopback port."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from bayesdyn.errors import EndpointError, Fault, InputError
from bayesdyn.machine import available_cores

CONTEXT = 8192
"""Tokens of a prompt at most; longer passages are unrated."""

_SILENT = -1


@dataclass(frozen=True)
class LocalServer:
    """A running embedded server: its address (with ``/v1``) and the key that it asks for."""

    base_url: str
    api_key: str


@contextmanager
def local_server(
    weights: str | Path, *, name: str = "local", slots: int = 1, threads: int | None = None, port: int = 0
) -> Iterator[LocalServer]:
    """Serve a GGUF file on this machine while the block runs.

    Parameters
    ----------
    weights
        The GGUF file. It is loaded into memory here, and freed at the end.
    name
        The model name that answers carry; by default llama.cpp would put the file's path there.
    slots
        Requests evaluated at the same time, each with a context of its own.
    threads
        Threads for evaluation; by default one for each core that this process may use.
    port
        0 takes a free one.

    Raises
    ------
    InputError
        If the extra ``local`` is not installed, or there is no such file.
    EndpointError
        If the file cannot be served.

    Notes
    -----
    The server listens on the loopback address only and asks for a random key: other users and web pages
    on this machine cannot use it. Its log is kept off the terminal.
    """
    xllamacpp = _runtime()
    path = Path(weights)
    if not path.is_file():
        raise InputError(
            "The embedded server cannot start",
            [Fault(f"there is no file {path.name} in {path.parent}", "Run: bayesdyn local fetch")],
        )
    key = secrets.token_urlsafe(24)
    count = threads or available_cores()
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.api_keys = [key]
    params.cors_origins = "null"
    params.ui = False
    params.endpoint_slots = False
    params.n_parallel = slots
    params.n_ctx = CONTEXT * slots
    params.cpuparams.n_threads = count
    params.cpuparams_batch.n_threads = count
    # Waiting threads sleep instead of spinning: far better where other work shares the cores.
    params.cpuparams.poll = 0
    params.cpuparams_batch.poll = 0
    # Its store of whole prompts would grow by one entry a passage; a slot keeps the shared prefix itself.
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 0
    params.warmup = False
    params.verbosity = _SILENT
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise EndpointError(
            "The embedded server cannot start",
            [Fault(f"{path.name}: {error}", "Is it a whole GGUF file? Fetch it again")],
        ) from None
    try:
        yield LocalServer(f"{server.listening_address}/v1", key)
    finally:
        # Deleting it is how it stops: its destructor ends the loop and frees the model.
        del server


def runtime_version() -> str:
    """Return the version of the embedded server."""
    return version("xllamacpp")


def _runtime() -> ModuleType:  # compiled, without types of its own
    try:
        import xllamacpp
    except ModuleNotFoundError:
        raise InputError(
            "The embedded rater is not installed",
            [Fault("package xllamacpp is missing", "Install the extra: pip install 'bayesdyn[local]'")],
        ) from None
    return xllamacpp
