"""What a run is on: the device that was asked for, and the memory that it has."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jax.stages import Compiled

from bayesdyn.engines.gibbs.places import SHARD
from bayesdyn.errors import EngineError, FaultList


class Device(Protocol):
    """What is asked of a device of JAX, whose own class is no type to checkers."""

    platform: str
    process_index: int

    def memory_stats(self) -> dict[str, int] | None:
        """Return bytes by what they are of; None where the device does not tell."""
        ...


def on_device(name: str) -> AbstractContextManager[object]:
    """Return a context in which JAX works on a device: ``cpu``, ``gpu`` or ``auto``, what it takes itself.

    Raises
    ------
    EngineError
        If JAX sees none of that kind.
    """
    if name == "auto":
        return nullcontext()
    # This host's: the first of all may be another one's.
    own = [device for device in _seen(name) if device.process_index == jax.process_index()]
    return jax.default_device(own[0])


def mesh_of(name: str, count: int) -> Mesh:
    """Return a mesh of so many devices of a kind, on all hosts.

    Raises
    ------
    EngineError
        If JAX sees none of that kind, or fewer.
    """
    seen, faults = _seen(name), FaultList()
    if len(seen) < count:
        faults.add(
            f"JAX sees {len(seen)} of kind {seen[0].platform} here",
            f"Ask for at most {len(seen)}; a processor stands for several with "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={count}",
        )
    faults.raise_if_any(f"Cannot run on {count} devices", EngineError)
    return Mesh(np.array(seen[:count]), (SHARD,))


def on_host(values: jax.Array | np.ndarray) -> np.ndarray:
    """Return an array as NumPy has it, also where other hosts hold parts of it."""
    if isinstance(values, jax.Array) and not (values.is_fully_addressable or values.is_fully_replicated):
        values = multihost_utils.process_allgather(values, tiled=True)
    return np.asarray(values)


def _seen(name: str) -> Sequence[Device]:
    """Return the devices of a kind that JAX sees, on all hosts."""
    try:
        return jax.devices(None if name == "auto" else name)
    except RuntimeError as error:
        faults = FaultList()
        faults.add(
            f"JAX sees no {name} here",
            'Install JAX with support for it (pip install "jax[cuda13]"), or use device="auto"',
        )
        faults.raise_if_any(f"Cannot run on device {name!r}", EngineError)
        raise AssertionError("a fault was added") from error


def device_in_use() -> Device:
    """Return the device that JAX works on here by default."""
    device = jax.config.jax_default_device
    return jax.local_devices(backend=device)[0] if device is None or isinstance(device, str) else device


def needed_by(compiled: Compiled) -> float:
    """Return the bytes that a compiled program holds while it runs; 0 where the backend does not tell."""
    told = compiled.memory_analysis()
    if told is None:
        return 0.0
    return float(told.temp_size_in_bytes + told.argument_size_in_bytes + told.output_size_in_bytes)


def free_memory() -> float | None:
    """Return the bytes that are free where JAX works by default; None where nobody tells."""
    device = device_in_use()
    stats = device.memory_stats() if device.platform != "cpu" else None
    return float(stats["bytes_limit"] - stats["bytes_in_use"]) if stats else free_on_host()


def free_on_host() -> float | None:
    """Return the bytes that are free on this host; None where nobody tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    told = dict(line.split(":", 1) for line in lines)
    return 1024.0 * int(told["MemAvailable"].split()[0]) if "MemAvailable" in told else None


def check_memory(needs: Mapping[str, tuple[float, float | None]], title: str) -> None:
    """Refuse what would not fit: bytes that are needed and that are free, by name of memory; None: not known.

    Raises
    ------
    EngineError
        With what is needed, and what is there.
    """
    faults = FaultList()
    for name, (needed, free) in needs.items():
        if free is not None and needed >= free:
            faults.add(
                f"it needs about {needed / 2**30:.1f} GiB of {name}, and {free / 2**30:.1f} are free",
                "Ask for fewer draws or chains, or use a machine with more memory",
            )
    faults.raise_if_any(title, EngineError)
