"""What the sweeps cost: effective draws per second, wall times, growth with the exchanges, memory traffic.

    python benchmarks/engine.py [--quick] [--only corpus,none,growth,reference] [--exchanges N] [--device gpu]

One simulated study of ``chen2026`` (three outcomes, two behaviours, rapport moderation, random slopes of
both behaviours by dyad, 120 exchanges a session, five sessions a dyad; reliability .6, .6, .8, .75, .7, .7;
kappa with a prior SD of .1). ``corpus`` draws from all of it with ``known`` until the least ESS over all
paths, means, covariances and kappa is 400 and R-hat below 1.03; ``none`` does so with scores as they are;
what of their ``seconds`` went into compiling is told apart.
``growth`` times a sweep of one chain, states in single precision, at 2,400 exchanges, 24,000, all, and with
``--large`` 1,200,000; and counts what a sweep moves and computes (:mod:`traffic`), ``share`` of what the
machine moves through arrays of such a size.
``reference`` sets the slowest path's effective draws per second, compiling included, beside those of PyMC
with nutpie, on 2,400 exchanges. The last line is one JSON object: times in seconds, memory in MB; ``growth``
is the time of the largest sweep over that of the smallest, per exchange. ``--quick`` times a sweep at 24,000.
"""

import argparse
import json
import resource
import time
import warnings

import arviz_stats
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from traffic import bandwidth, counted

import bayesdyn as bd
from bayesdyn.engines.gibbs.block import run_block, start
from bayesdyn.engines.gibbs.hamiltonian import TWO_STAGE
from bayesdyn.engines.gibbs.sweep import Sweep
from bayesdyn.errors import DataWarning
from bayesdyn.machine import available_cores
from bayesdyn.structure.problem import prepare

RELIABILITY = {
    "empathy": 0.6, "exploration": 0.6, "rapport": 0.8,
    "disclosure": 0.75, "self_negative": 0.7, "outward_negative": 0.7,
}  # fmt: skip
SESSION, SESSIONS = 120, 5
UNTIL = {"ess": 400, "rhat": 1.03}
SLOPES = len(TWO_STAGE.kicks)


def study(exchanges: int) -> xr.Dataset:
    """Return the measures of a study of so many exchanges."""
    measures, _ = bd.simulate(
        bd.load_model("chen2026"), dyads=max(4, exchanges // (SESSION * SESSIONS)), sessions=SESSIONS,
        exchanges=SESSION, reliability=RELIABILITY, random_seed=1,
    )  # fmt: skip
    return measures.assign(kappa_sd=("construct", np.full(measures.sizes["construct"], 0.1)))


def slowest(fit: xr.DataTree) -> float:
    """Return the least effective draws of a written path."""
    paths = fit["posterior"]["path"]
    written = paths.isel(path_name=np.flatnonzero(paths["path_origin"].values == "written"))
    values = [written.isel(path_name=i).values for i in range(written.sizes["path_name"])]
    return min(float(arviz_stats.ess(one)) for one in values if one.std() > 0)


def until_enough(measures: xr.Dataset, measurement: str, chains: int, device: str) -> dict[str, float]:
    """Fit until there is enough; return wall time, what of it was compiling, draws and ESS."""
    began = time.monotonic()
    fit = bd.fit(
        measures, bd.load_model("chen2026"), measurement=measurement, engine="jax", draws=20_000, tune=250,
        chains=chains, random_seed=1, until=UNTIL, device=device, progress=True,
    )  # fmt: skip
    seconds = time.monotonic() - began
    draws = fit["posterior"].sizes["draw"] * chains
    compiling = fit["sample_stats"].attrs["compiling_time"]
    return {
        "seconds": seconds, "compiling": compiling, "draws": draws, "ess_of_slowest_path": slowest(fit),
    }  # fmt: skip


def sweep_seconds(measures: xr.Dataset, measurement: str, sweeps: int) -> dict[str, float]:
    """Time sweeps of one chain after a few; return the seconds of one, and of compiling."""
    jax.config.update("jax_enable_x64", True)
    problem = prepare(measures, bd.load_model("chen2026"), measurement)
    sweep = Sweep(problem, "float32")
    state, rows = start(sweep, 1, 0), sweep.rows()
    given = None if sweep.states.moved else sweep.sums(sweep.columns(state.states), rows)
    began = time.monotonic()
    block = jax.jit(lambda warm, state, rows, given: run_block(sweep, sweeps, warm, state, rows, given))
    compiled = block.lower(jnp.array(False), state, rows, given).compile()
    compiling = time.monotonic() - began
    state, _, _ = jax.block_until_ready(compiled(jnp.array(False), state, rows, given))
    began = time.monotonic()
    jax.block_until_ready(compiled(jnp.array(False), state, rows, given))
    seconds = (time.monotonic() - began) / sweeps
    moved = {name: value / sweeps for name, value in counted(compiled.as_text() or "", SLOPES).items()}
    return {"seconds": seconds, "compiling": compiling, **moved}


def traffic(told: dict[str, float], exchanges: int) -> dict[str, float]:
    """Return what a sweep moves and computes, beside what the machine moves: from memory, and in caches."""
    moved = told["bytes"] / told["seconds"]
    # A sweep walks through arrays of one number an exchange.
    fast, slow = bandwidth(4 * exchanges), bandwidth(128_000_000)
    return {
        "sweep_mb": told["bytes"] / 1e6, "sweep_mflop": told["flops"] / 1e6, "mb_per_second": moved / 1e6,
        "bandwidth_of_such_arrays": fast / 1e6, "bandwidth_of_memory": slow / 1e6, "share": moved / fast,
    }  # fmt: skip


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="corpus,none,growth,reference")
    parser.add_argument("--exchanges", type=int, default=240_000)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    given = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    wanted = {"growth"} if given.quick else set(given.only.split(","))
    total = 24_000 if given.quick else given.exchanges
    measures = study(total)
    found: dict[str, float] = {"exchanges": total, "cores": available_cores()}
    if "growth" in wanted:
        sizes = [total] if given.quick else [2_400, 24_000, total, *([1_200_000] if given.large else [])]
        for size in sizes:
            part = study(size) if size > total else measures.isel(exchange=slice(0, size))
            told = sweep_seconds(part, "known", 5 if size > 100_000 else 20)
            found |= {f"sweep_seconds_{size}": told["seconds"], f"compiling_{size}": told["compiling"]}
            if size == total:
                found |= traffic(told, size)
        least, most = (found[f"sweep_seconds_{size}"] / size for size in (sizes[0], sizes[-1]))
        found["growth"] = most / least
    for name, measurement in (("corpus", "known"), ("none", "none")):
        if name in wanted:
            told = until_enough(measures, measurement, given.chains, given.device)
            found |= {f"{name}_{key}": value for key, value in told.items()}
    if "reference" in wanted:
        part = measures.isel(exchange=slice(0, 2_400))
        told = until_enough(part, "known", given.chains, given.device)
        ours = told["ess_of_slowest_path"] / told["seconds"]
        began = time.monotonic()
        fit = bd.fit(
            part, bd.load_model("chen2026"), measurement="known", engine="pymc", draws=200, tune=300,
            chains=given.chains, random_seed=1,
        )  # fmt: skip
        theirs = slowest(fit) / (time.monotonic() - began)
        found |= {"ess_per_second": ours, "reference_ess_per_second": theirs, "ratio": ours / theirs}
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {name: round(value, 4) for name, value in found.items()}
    print(json.dumps({"device": str(jax.devices(given.device)[0].device_kind), **told}))


if __name__ == "__main__":
    main()
