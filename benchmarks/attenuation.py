"""What score errors do to a moderation: the true one, and two estimates of it as reliability falls.

    python benchmarks/attenuation.py [--exchanges N] [--out docs/attenuation.svg]

One simulated study of a moderation by rapport (two predictors, one outcome, 30 exchanges a session, four
sessions a dyad): the same true scores at every reliability, from .95 to .3 for all constructs. Fitted twice
by sweeps, with scores as they are (``none``) and with their errors (``known``). Draws the figure of
README.md; the last line is one JSON object.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import bayesdyn as bd
from bayesdyn.artefacts import whole_file
from bayesdyn.errors import DataWarning

MODEL = """
[model]
name = "attenuation"
centering = "none"
paths = '''
disclosure ~ de*empathy + dr*rapport + der*empathy:rapport + lag(disclosure)
disclosure ~ (1 | dyad)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
dyad = ["rapport"]
"""
TRUTH = {"de": 0.3, "dr": 0.1, "der": -0.2}
PATH = "disclosure ~ empathy:rapport"
RELIABILITIES = (0.95, 0.8, 0.65, 0.5, 0.4, 0.3)
SESSION, SESSIONS = 30, 4
_LOOKS = {
    "known": ("with their errors (known)", "#1f5aa6", "o"),
    "none": ("as they are (none)", "#5f6b76", "s"),
}


def estimate(measures: xr.Dataset, measurement: str) -> dict[str, float]:
    """Return the moderation's posterior mean and its equal-tailed 95 % interval, standardised."""
    fit = bd.fit(
        measures, bd.load_model(MODEL), measurement=measurement, engine="jax", draws=5_000, tune=500,
        chains=2, random_seed=2, until={"ess": 400, "rhat": 1.02},
    )  # fmt: skip
    draws = fit["posterior"]["path"].sel(path_name=PATH).values
    low, high = np.quantile(draws, (0.025, 0.975))
    return {"mean": float(draws.mean()), "low": float(low), "high": float(high)}


def drawn(found: dict[str, list[dict[str, float]]], exchanges: int) -> Figure:
    """Return the figure."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(TRUTH["der"], color="black", linewidth=1)
    axes.text(0.305, TRUTH["der"] - 0.004, "true", va="top", fontsize=9)
    axes.axhline(0, color="#c8ced4", linewidth=1)
    for (name, rows), shift in zip(found.items(), (-0.004, 0.004), strict=True):
        label, colour, marker = _LOOKS[name]
        mean = np.array([row["mean"] for row in rows])
        ends = np.abs(np.array([[row["low"], row["high"]] for row in rows]).T - mean)
        at = np.array(RELIABILITIES) + shift
        axes.errorbar(at, mean, ends, color=colour, marker=marker, linewidth=1.2, label=f"scores {label}")
    axes.invert_xaxis()
    axes.set_xlabel("reliability of every score")
    axes.set_ylabel("moderation of empathy by rapport")
    axes.set_title(f"{exchanges:,} exchanges; posterior means, equal-tailed 95 % intervals", fontsize=9)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.0, 0.93))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Simulate, fit, draw and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exchanges", type=int, default=12_000)
    parser.add_argument("--out", type=Path, default=Path("docs/attenuation.svg"))
    given = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    began = time.monotonic()
    found: dict[str, list[dict[str, float]]] = {"known": [], "none": []}
    for reliability in RELIABILITIES:
        measures, _ = bd.simulate(
            bd.load_model(MODEL), dyads=given.exchanges // (SESSION * SESSIONS), sessions=SESSIONS,
            exchanges=SESSION, reliability=reliability, truth=TRUTH, random_seed=1,
        )  # fmt: skip
        for name, rows in found.items():
            rows.append(estimate(measures, name))
    with whole_file(given.out) as part:
        drawn(found, given.exchanges).savefig(part, format="svg", metadata={"Date": None})
    told = {
        f"{name}_{key}_{reliability}": round(row[key], 4)
        for name, rows in found.items()
        for reliability, row in zip(RELIABILITIES, rows, strict=True)
        for key in ("mean", "low", "high")
    }
    told |= {
        "true": TRUTH["der"],
        "exchanges": given.exchanges,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
