"""Compare samplers on one density: seconds, gradients a draw, effective draws of the paths.

python benchmarks/samplers.py nutpie numpyro blackjax
"""

import argparse
import json
import time

import arviz as az

import bayesdyn as bd

MODEL = """
[model]
name = "two constructs"
centering = "none"
paths = '''
disclosure ~ empathy + lag(disclosure)
empathy ~ lag(empathy) + lag(disclosure)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""


def main() -> None:
    """Fit with each sampler named and print JSON, one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samplers", nargs="+")
    parser.add_argument("--exchanges", type=int, default=15)
    parser.add_argument("--draws", type=int, default=400)
    given = parser.parse_args()
    spec = bd.load_model(MODEL)
    measures, _ = bd.simulate(
        spec, dyads=10, sessions=2, exchanges=given.exchanges, reliability=0.7, random_seed=77
    )
    for sampler in given.samplers:
        wall, cpu = time.perf_counter(), time.process_time()
        fit = bd.fit(
            measures, spec, sampler=sampler, draws=given.draws, tune=given.draws, chains=2, random_seed=4
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        stats = fit["sample_stats"].to_dataset()
        told = {
            "sampler": fit.attrs["sampler"],
            "wall_s": round(wall, 1),
            "cpu_s": round(cpu, 1),
            "gradients_per_draw": round(float(stats["n_steps"].mean()), 1),
            "divergences": int(stats["diverging"].sum()),
            "least_ess_of_paths": round(float(az.ess(fit["posterior"].to_dataset()["path"]).min()), 0),
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
