"""Sweeps on four devices, which are parts of a processor: what a process of its own finds, as JSON.

Run as ``python on_four_devices.py FOLDER`` with the variables of :data:`FOUR` and ``BAYESDYN_CACHE``: how
many devices a processor stands for is fixed when JAX starts.
"""

import json
import re
import sys
import warnings
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import bayesdyn as bd
from bayesdyn.engines.gibbs.block import run_block, stacked, start
from bayesdyn.engines.gibbs.shards import sweep_on
from bayesdyn.engines.gibbs.sweep import Sweep
from bayesdyn.errors import EngineError
from bayesdyn.measures.compiled import kept_on_disk
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.problem import prepare
from small_models import TINY


def parts(count: int) -> dict[str, str]:
    """Return the variables by which a processor stands for so many devices.

    Little is computed here, so that compiling takes least without optimisation.
    """
    devices = f"--xla_force_host_platform_device_count={count}"
    return {"XLA_FLAGS": f"{devices} --xla_backend_optimization_level=0", "JAX_PLATFORMS": "cpu"}


FOUR = parts(4)
LENGTHS = (13, 4, 5, 13, 6, 4, 9, 5, 4, 7, 3)
"""Unlike, so that lanes hold several sessions; and eleven, so that one device has fewer than the others."""
CHAINS, SWEEPS = 2, 8
_SHAPED = re.compile(r"= (.*?) (all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(")


def study() -> tuple[xr.Dataset, ModelSpec]:
    """Return a small study of sessions of unlike length, and a model of it."""
    spec = bd.load_model(TINY.replace("lag(disclosure)", "lag(disclosure) + (1 | dyad)"))
    whole, _ = bd.simulate(spec, dyads=len(LENGTHS), sessions=1, exchanges=max(LENGTHS), random_seed=2)
    kept = np.concatenate([np.arange(max(LENGTHS)) < length for length in LENGTHS])
    return whole.isel(exchange=kept), spec


def compared() -> dict[str, object]:
    """Return how far all that a block of sweeps gives is from the same on one device, and what crossed."""
    measures, spec = study()
    sweep, shards = sweep_on("cpu", 4, prepare(measures, spec, "known"), "float64")
    warm = jnp.array(True)

    # The same layout, as one device has it.
    here = Sweep(sweep.problem, "float64", sweep.dealt._replace(mesh=None))
    begin = stacked([start(here, 3, chain) for chain in range(CHAINS)])
    alone = jax.jit(partial(run_block, here, SWEEPS, together=True))(warm, begin, here.rows(), None)
    states = shards.stacked([start(sweep, 3, chain, shards) for chain in range(CHAINS)])
    rows = sweep.rows(shards)
    # The program that the fit below takes from where it is kept.
    with kept_on_disk():
        block = jax.jit(partial(run_block, sweep, SWEEPS, together=True), out_shardings=shards.of_block)
        compiled = block.lower(warm, states, rows, None).compile()
    crossing = [
        [name, [int(size) for size in re.findall(r"\d+", " ".join(re.findall(r"\[([\d,]*)\]", shapes)))]]
        for shapes, name in _SHAPED.findall(compiled.as_text())
    ]
    spread = compiled(warm, states, rows, None)
    pairs = zip(jax.tree_util.tree_leaves_with_path(alone), jax.tree.leaves(spread), strict=True)
    far = {
        jax.tree_util.keystr(path): float(np.max(np.abs(_plain(one) - _plain(other)) / _largest(_plain(one))))
        for (path, one), other in pairs
    }
    by_device = [shard.data.shape for shard in spread[0].states.addressable_shards]
    return {"far": far, "crossing": crossing, "states": spread[0].states.shape, "by_device": by_device}


def fitted(folder: Path) -> dict[str, object]:
    """Return what ``bd.fit`` gives on four devices, when it goes on, and what it refuses."""
    measures, spec = study()
    run = {
        "measurement": "known",
        "engine": "jax",
        "draws": SWEEPS,
        "tune": SWEEPS,
        "chains": CHAINS,
        "latent_draws": 2,
        "random_seed": 3,
        "device": "cpu",
        "resume": folder,
    }
    begun = bd.fit(measures, spec, **run, devices=4)
    again = bd.fit(measures, spec, **run, devices=4)
    same = all(
        np.array_equal(values, again[group][name])
        for group in ("posterior", "latent", "latent_summary")
        for name, values in begun[group].data_vars.items()
    )
    score, mean = begun["observed_data"]["score"].values, begun["latent_summary"]["mean"].values
    refused = {}
    for devices in (5, 2):
        try:
            bd.fit(measures, spec, **run, devices=devices)
        except EngineError as error:
            refused[devices] = str(error)
    return {
        "same": same,
        "compiled": [one["sample_stats"].attrs["compiling_time"] for one in (begun, again)],
        "correlation": float(np.corrcoef(score[:, 0], mean[:, 0])[0, 1]),
        "refused": refused,
    }


def unlike() -> dict[str, float]:
    """Return how far four devices are from one, each in its own layout, where no state is drawn."""
    terms = "age + lag(age, 2) + lag(disclosure, 2) + lag(disclosure) + (1 | dyad) + (1 | session)"
    spec = bd.load_model(TINY.replace("lag(disclosure)", terms))
    lengths = (*LENGTHS, 8)
    whole, _ = bd.simulate(
        spec, dyads=6, sessions=2, exchanges=max(lengths), random_seed=2, covariates={"age": "normal"}
    )
    kept = np.concatenate([np.arange(max(lengths)) < length for length in lengths])
    one, four = (
        bd.fit(
            whole.isel(exchange=kept), spec, measurement="none", engine="jax", draws=SWEEPS, tune=SWEEPS,
            chains=CHAINS, device="cpu", random_seed=3, devices=devices,
        )["posterior"]
        for devices in (1, 4)
    )  # fmt: skip
    return {str(name): float(np.abs(one[name] - four[name]).max()) for name in one.data_vars}


def _plain(leaf) -> np.ndarray:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf, float)


def _largest(values: np.ndarray) -> float:
    return max(float(np.max(np.abs(values), initial=0.0)), 1e-300)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    json.dump(compared() | fitted(Path(sys.argv[1])) | {"unlike": unlike()}, sys.stdout)
