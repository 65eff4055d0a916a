"""What a sweep over several devices holds, moves and sends, from the program itself: nothing is drawn.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python benchmarks/scale.py [--exchanges 48000 96000]

The study is that of ``engine.py``; each given number of exchanges is one compilation, for a processor, with
the chains of states solved by cyclic reduction as a GPU does. Bytes are those of one device: of arguments,
of temporary arrays, of what every instruction reads and writes in a sweep (caches left out), and of what
crosses between devices (:mod:`traffic`). The last line is one JSON object, a list with one entry for each
number of exchanges.
"""

import argparse
import json
import time
import warnings
from functools import partial

import engine
import jax
import jax.numpy as jnp
from traffic import counted

import bayesdyn as bd
from bayesdyn.engines.gibbs import scalar_chains
from bayesdyn.engines.gibbs.block import run_block, stacked, start
from bayesdyn.engines.gibbs.layout import ONE_DEVICE
from bayesdyn.engines.gibbs.shards import sweep_on
from bayesdyn.errors import DataWarning
from bayesdyn.structure.problem import prepare


def measured(exchanges: int, chains: int, dtype: str) -> dict[str, float]:
    """Compile a sweep of so many exchanges on all devices, and return what it takes."""
    problem = prepare(engine.study(exchanges), bd.load_model("chen2026"), "known")
    sweep, shards = sweep_on("cpu", jax.device_count(), problem, dtype)
    bring = ONE_DEVICE if shards is None else shards
    rows = sweep.rows(bring)
    each = [start(sweep, 1, chain, bring) for chain in range(chains)]
    begin = stacked(each) if shards is None else shards.stacked(each)
    block = jax.jit(
        partial(run_block, sweep, 50, together=True),
        out_shardings=None if shards is None else shards.of_block,
    )
    began = time.monotonic()
    compiled = block.lower(jnp.array(False), begin, rows, None).compile()
    told, found = compiled.memory_analysis(), counted(compiled.as_text(), engine.SLOPES)
    # The block's 50 sweeps are one loop.
    by_sweep = {key: value / 50 for key, value in found.items()}
    return {
        "exchanges": len(problem.t), "sessions": len(problem.sessions), "dyads": len(problem.dyads),
        "places": sweep.lanes.filled.size, "devices": jax.device_count(), "chains": chains,
        "rows": sum(one.addressable_shards[0].data.nbytes for one in jax.tree.leaves(rows)),
        "states": begin.states.addressable_shards[0].data.nbytes,
        "arguments": told.argument_size_in_bytes, "outputs": told.output_size_in_bytes,
        "temporary": told.temp_size_in_bytes, "compiling": time.monotonic() - began, **by_sweep,
    }  # fmt: skip


def main() -> None:
    """Compile for each number of exchanges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exchanges", type=int, nargs="+", default=[48_000, 96_000])
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--session", type=int, default=engine.SESSION)
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    jax.config.update("jax_enable_x64", True)
    engine.SESSION = given.session
    scalar_chains.draw_walking = scalar_chains.draw_halving
    scalar_chains.moments_walking = scalar_chains.moments_halving
    found = [measured(exchanges, given.chains, given.dtype) for exchanges in given.exchanges]
    print(json.dumps([{name: round(float(value), 1) for name, value in one.items()} for one in found]))


if __name__ == "__main__":
    main()
