"""Settings of a sampler, checked before anything is compiled."""

from importlib.util import find_spec

import numpy as np

from bayesdyn.errors import FaultList
from bayesdyn.fitting.run import SAMPLERS, Settings

ENGINES = ("auto", "pymc", "jax")
DEVICES = ("auto", "cpu", "gpu")
MOST_SEED = 2**32
"""Seeds are below it: NumPy, nutpie and JAX all take these."""


def check_engine(engine: str, faults: FaultList) -> None:
    """Note an engine that there is none of."""
    if engine not in ENGINES:
        faults.add(f"engine {engine!r} is unknown", f"Use one of {', '.join(ENGINES)}")


def check_device(device: str, devices: int, faults: FaultList) -> None:
    """Note a kind of device that there is none of, and a number of them that is none."""
    if device not in DEVICES:
        faults.add(f"device {device!r} is unknown", f"Use one of {', '.join(DEVICES)}")
    if devices < 1:
        faults.add(f"devices is {devices}", "Use at least 1")


def check_device_of(engine: str, device: str, devices: int, faults: FaultList) -> None:
    """Note a device that is asked of the reference engine, which has no choice of one."""
    if engine == "pymc" and device != "auto":
        faults.add(f"device {device!r} is not for engine 'pymc'", 'Use engine="jax", or leave device out')
    if engine == "pymc" and devices > 1:
        faults.add(f"devices {devices} is not for engine 'pymc'", 'Use engine="jax", or leave devices out')


def check_settings(settings: Settings, backend: str, faults: FaultList) -> None:
    """Note every setting of a sampler that it cannot use."""
    sampler = settings.sampler
    if backend not in ("jax", "numba"):
        faults.add(f"backend {backend!r} is unknown", "Use jax or numba")
    if sampler not in SAMPLERS:
        faults.add(f"sampler {sampler!r} is unknown", f"Use one of {', '.join(SAMPLERS)}")
    elif backend == "numba" and sampler != "nutpie":
        faults.add(f"{SAMPLERS[sampler]} draws on JAX, not on numba", 'Use backend="jax"')
    elif find_spec(sampler) is None:
        faults.add(f"{SAMPLERS[sampler]} is not installed", f'Run pip install "bayesdyn[{sampler}]"')
    for name, value, least in (
        ("draws", settings.draws, 4),
        ("tune", settings.tune, 1),
        ("chains", settings.chains, 1),
    ):
        if value < least:
            faults.add(f"{name} is {value}", f"Use at least {least}")
    if not 0 < settings.target_accept < 1:
        faults.add(f"target_accept is {settings.target_accept:g}", "Give a rate between 0 and 1, such as 0.9")
    seed = settings.random_seed
    if not isinstance(seed, int | np.integer) or not 0 <= seed < MOST_SEED:
        faults.add(f"random_seed is {seed}", f"Use a whole number from 0 to {MOST_SEED - 1}")
