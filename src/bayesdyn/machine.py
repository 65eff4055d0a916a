"""The machine that this process runs on."""

import os
from pathlib import Path


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_dir() -> Path:
    """Return the folder for what can be made or fetched again: the user's cache, or BAYESDYN_CACHE."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("BAYESDYN_CACHE") or user_cache_dir("bayesdyn", appauthor=False))
