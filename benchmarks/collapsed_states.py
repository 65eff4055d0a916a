"""Effective draws per second of the reference engine: states integrated out against states sampled.

    python benchmarks/collapsed_states.py [--exchanges 20] [--draws 300]

Both forms have one posterior (tests/engines/test_pymc_collapsed.py); one simulated study, one process, one
after the other, two chains each. Compiling is told apart. Prints JSON: the ratio is what counts, the rest
depends on the machine.
"""

import argparse
import json
import time
import warnings

import numpy as np

import bayesdyn as bd
from bayesdyn.engines.jax_density import jax_density
from bayesdyn.engines.nutpie_on_jax import compile_for_nutpie
from bayesdyn.engines.pymc_collapsed import build_collapsed
from bayesdyn.engines.pymc_model import build
from bayesdyn.structure.problem import prepare

SEED = 20261123


def measure(model, draws: int) -> dict[str, float]:
    """Return times, gradients a draw, and the smallest bulk ESS of all paths per second of drawing."""
    import nutpie
    from arviz_stats.base import array_stats

    start = time.perf_counter()
    compiled = compile_for_nutpie(jax_density(model))
    nutpie.sample(compiled, draws=2, tune=2, chains=1, seed=1, progress_bar=False)
    ready = time.perf_counter()
    trace = nutpie.sample(
        compiled, draws=draws, tune=draws, chains=2, seed=SEED, progress_bar=False, target_accept=0.8
    )
    done = time.perf_counter()
    path = trace["posterior"].to_dataset()["path"].values
    free = np.ptp(path, axis=(0, 1)) > 0
    ess = min(array_stats.ess(path[:, :, p], chain_axis=0, draw_axis=1) for p in np.flatnonzero(free))
    stats = trace["sample_stats"].to_dataset()
    return {
        "compile_s": round(ready - start, 1),
        "draw_s": round(done - ready, 1),
        "gradients_per_draw": float(stats["n_steps"].mean()),
        "divergences": int(stats["diverging"].sum()),
        "ess_slowest_path": round(float(ess), 1),
        "ess_per_s": round(float(ess) / (done - ready), 3),
    }


def main() -> None:
    """Run both forms and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exchanges", type=int, default=20)
    parser.add_argument("--draws", type=int, default=300)
    given = parser.parse_args()
    spec = bd.load_model("chen2026_disclosure")
    measures, _ = bd.simulate(
        spec, dyads=10, sessions=2, exchanges=given.exchanges, reliability=0.6, random_seed=SEED
    )
    problem = prepare(measures, spec, "known")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forms = {
            "integrated": measure(build_collapsed(problem), given.draws),
            "sampled": measure(build(problem), given.draws),
        }
    ratio = forms["integrated"]["ess_per_s"] / forms["sampled"]["ess_per_s"]
    print(json.dumps({"exchanges": len(problem.t), **forms, "ratio_ess_per_s": round(ratio, 1)}, indent=1))


if __name__ == "__main__":
    main()
