"""False moderation from ratings at the floor of their scale: Gaussian against ordinal rater model.

Outcomes follow two predictors without any moderation: ``y = .3 x + .3 r + e``, variance 1, x and r normal
with correlation .3 and known without error. Three raters with error of SD .7 rate y on five points whose cuts
put a given share of ratings at the lowest. Each likelihood's measures then go into the regression of y on x,
r and x r in which their standard errors count: ``score ~ N(mean, sigma^2 + se^2)``, by maximum likelihood.
The truth of the product is 0; what is found is told in SDs of y, mean over replicates with its Monte Carlo
error.

    python benchmarks/floors.py [--replicates 12] [--exchanges 2000]

Prints the table of docs/measures.md, and JSON as the last line.
"""

import argparse
import json
import time

import numpy as np
import pandas as pd
from scipy import optimize
from scipy.stats import norm

import bayesdyn as bd

FLOORS = (0.2, 0.4, 0.6)
MAIN, CORRELATION, OWN = 0.3, 0.3, 0.7
NAMES = ("intercept", "x", "r", "x r")


def simulate(seed: int, exchanges: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return ratings of one construct per floor, and the design matrix."""
    rng = np.random.default_rng(seed)
    x, r = rng.multivariate_normal([0, 0], [[1, CORRELATION], [CORRELATION, 1]], exchanges).T
    told = 2 * MAIN**2 * (1 + CORRELATION)
    tables = []
    for floor in FLOORS:
        y = MAIN * (x + r) + np.sqrt(1 - told) * rng.normal(size=exchanges)
        # The lowest cut gives the floor its share, the others lie .6 SD of a rating apart.
        cuts = np.sqrt(1 + OWN**2) * (norm.ppf(floor) + 0.6 * np.arange(4))
        for rater in range(3):
            value = 1 + np.searchsorted(cuts, y + OWN * rng.normal(size=exchanges))
            tables.append(
                pd.DataFrame(
                    {
                        "dyad": [f"d{i // 20:04d}" for i in range(exchanges)],
                        "session": "1",
                        "t": np.arange(exchanges) % 20,
                        "construct": f"floor_{round(100 * floor)}",
                        "rater": f"r{rater}",
                        "rater_kind": "llm",
                        "value": value.astype(float),
                        "scale_min": 1.0,
                        "scale_max": 5.0,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True), np.column_stack([np.ones(exchanges), x, r, x * r])


def regress(design: np.ndarray, score: np.ndarray, se: np.ndarray) -> np.ndarray:
    """Return coefficients over the residual-and-explained SD of the true outcome."""

    def negative(parameters: np.ndarray) -> float:
        variance = np.exp(parameters[-1]) + np.square(se)
        away = score - design @ parameters[:-1]
        return 0.5 * float((np.log(variance) + np.square(away) / variance).sum())

    start = np.append(np.linalg.lstsq(design, score)[0], np.log(np.var(score) / 2))
    found = optimize.minimize(negative, start, method="BFGS").x
    sd = np.sqrt(np.exp(found[-1]) + np.var(design[:, 1:] @ found[1:-1]))
    return found[:-1] / sd


def main() -> None:
    """Run all replicates and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=12)
    parser.add_argument("--exchanges", type=int, default=2000)
    asked = parser.parse_args()
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    spent = dict.fromkeys(("gaussian", "ordinal"), 0.0)
    for seed in range(asked.replicates):
        ratings, design = simulate(seed, asked.exchanges)
        for likelihood in spent:
            start = time.perf_counter()
            measures = bd.measure(ratings, likelihood=likelihood, shared_prior=None, random_seed=seed)
            spent[likelihood] += time.perf_counter() - start
            for c, name in enumerate(measures["construct"].values):
                score, se = measures["score"].values[:, c], measures["se"].values[:, c]
                found.setdefault((likelihood, str(name)), []).append(regress(design, score, se))
        print(f"replicate {seed + 1} of {asked.replicates}", flush=True)
    table = {}
    for (likelihood, name), rows in found.items():
        mean, error = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1) / np.sqrt(len(rows))
        table[f"{name} {likelihood}"] = {
            term: [round(float(m), 4), round(float(e), 4)]
            for term, m, e in zip(NAMES, mean, error, strict=True)
        }
        print(f"{name:10s} {likelihood:9s} " + "  ".join(
            f"{term} {m:+.3f} ({e:.3f})" for term, m, e in zip(NAMES, mean, error, strict=True)
        ))  # fmt: skip
    told = {"replicates": asked.replicates, "exchanges": asked.exchanges, "truth": MAIN, "found": table}
    print(json.dumps({**told, "seconds": {name: round(value) for name, value in spent.items()}}))


if __name__ == "__main__":
    main()
