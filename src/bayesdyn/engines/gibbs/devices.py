"""What a run is on: the device that was asked for, and the memory that it has."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import jax
from jax.stages import Compiled

from bayesdyn.errors import EngineError, FaultList


def on_device(name: str) -> AbstractContextManager[object]:
    """Return a context in which JAX works on a device: ``cpu``, ``gpu`` or ``auto``, what it takes itself.

    Raises
    ------
    EngineError
        If JAX sees none of that kind.
    """
    if name == "auto":
        return nullcontext()
    try:
        return jax.default_device(jax.devices(name)[0])
    except RuntimeError as error:
        faults = FaultList()
        faults.add(
            f"JAX sees no {name} here",
            'Install JAX with support for it (pip install "jax[cuda13]"), or use device="auto"',
        )
        faults.raise_if_any(f"Cannot run on device {name!r}", EngineError)
        raise AssertionError("a fault was added") from error


class Device(Protocol):
    """What is asked of a device of JAX, whose own class is no type to checkers."""

    platform: str

    def memory_stats(self) -> dict[str, int] | None:
        """Return bytes by what they are of; None where the device does not tell."""
        ...


def device_in_use() -> Device:
    """Return the device that JAX works on here by default."""
    device = jax.config.jax_default_device
    return jax.devices(device)[0] if device is None or isinstance(device, str) else device


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
    if stats:
        return float(stats["bytes_limit"] - stats["bytes_in_use"])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    told = dict(line.split(":", 1) for line in lines)
    return 1024.0 * int(told["MemAvailable"].split()[0]) if "MemAvailable" in told else None
