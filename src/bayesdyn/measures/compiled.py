"""Compiled samplers kept on disk: the rater models compile for longer than they run.

The rater models' programs are kept, and those of the sweeps. Their data are arguments, so that no score and
no rating of a study is in them.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from bayesdyn.machine import cache_dir

_OPTION = "jax_compilation_cache_dir"
_lock = threading.Lock()
_inside = 0


def programs_dir() -> Path:
    """Return the folder of compiled programs: in the user's cache, or under BAYESDYN_CACHE.

    One per kind of processor, since homes are shared between machines and programs are not.
    """
    return cache_dir() / "programs" / hashlib.sha256(_processor().encode()).hexdigest()[:12]


@contextmanager
def kept_on_disk() -> Iterator[None]:
    """Keep what JAX compiles meanwhile in :func:`programs_dir`, and take it from there.

    JAX decides by program, versions and options whether a kept one fits. Where the user has set a folder for
    JAX's compilation cache, or none can be made, JAX is left as it is.
    """
    if not _entered():
        yield
        return
    try:
        yield
    finally:
        _left()


def _entered() -> bool:
    global _inside
    with _lock:
        if _inside:
            _inside += 1
            return True
        if jax.config.jax_compilation_cache_dir is not None:
            return False
        folder = programs_dir()
        try:
            # Whoever can write here could have us run their code.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return False
        if not os.access(folder, os.W_OK):
            return False
        _use(str(folder))
        _inside = 1
        return True


def _left() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            _use(None)


def _use(folder: str | None) -> None:
    jax.config.update(_OPTION, folder)
    compilation_cache.reset_cache()  # else JAX goes on with the folder that it saw first


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told = {line.partition(":")[0].strip(): line for line in lines}
    system = os.uname() if hasattr(os, "uname") else None
    machine = system.machine if system else os.environ.get("PROCESSOR_IDENTIFIER", "")
    return " ".join([machine, *(told.get(name, "") for name in ("model name", "flags", "Features"))])
