"""What Bambi and pathmc make of two of the data sets, with the priors that the test gives our engine.

Run in this folder, in an environment of its own: pip install bambi pathmc; python peers_python.py FOLDER,
where FOLDER holds the csv files (shared/data/longitudinal_reference). Minutes. Writes peers_python.json.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import arviz_stats
import bambi
import pandas as pd
import pathmc
import xarray as xr
from pymc_extras.prior import Prior

SAMPLER = {"draws": 4000, "tune": 1000, "chains": 4, "cores": 1, "random_seed": 51, "progressbar": False}


def summary(draws: dict[str, xr.DataArray]) -> dict[str, dict[str, float]]:
    """Return mean, SD and effective draws of each quantity (chain, draw)."""
    return {
        name: {
            "mean": float(values.mean()),
            "sd": float(values.std()),
            "ess": float(arviz_stats.ess(values.transpose("chain", "draw").values)),
        }
        for name, values in draws.items()
    }


def by_bambi(folder: Path) -> dict[str, dict[str, float]]:
    """Sleepstudy with varying intercepts; the outcome standardised, the intercept that of day 0."""
    rows = pd.read_csv(folder / "lme4_sleepstudy.csv", dtype={"Subject": str})
    rows["reaction"] = (rows["Reaction"] - rows["Reaction"].mean()) / rows["Reaction"].std()
    priors = {
        "Intercept": bambi.Prior("Normal", mu=0, sigma=1),
        "Days": bambi.Prior("Normal", mu=0, sigma=0.5),
        "1|Subject": bambi.Prior("Normal", mu=0, sigma=bambi.Prior("HalfNormal", sigma=0.5)),
        "sigma": bambi.Prior("HalfNormal", sigma=1),
    }
    model = bambi.Model("reaction ~ Days + (1|Subject)", rows, priors=priors, center_predictors=False)
    posterior = model.fit(**SAMPLER, target_accept=0.9)["posterior"]
    names = {
        "reaction ~ 1": "Intercept", "reaction ~ days": "Days",
        "group sd": "1|Subject_sigma", "reaction": "sigma",
    }  # fmt: skip
    return summary({ours: posterior[theirs] for ours, theirs in names.items()})


def by_pathmc(folder: Path) -> dict[str, dict[str, float]]:
    """Mediation of daily stress, all days alike, with the indirect effect."""
    rows = pd.read_csv(folder / "bmlm_BLch9.csv")[["x", "m", "y"]]
    normal, half = Prior("Normal", mu=0, sigma=0.5), Prior("HalfNormal", sigma=1)
    priors = {"beta_m": normal, "beta_y": normal, "sigma_m": half, "sigma_y": half}
    model = pathmc.model("m ~ a*x\ny ~ b*m + c*x\nab := a*b", rows, priors=priors)
    posterior = model.fit(**SAMPLER)["posterior"]
    a = posterior["beta_m"].sel({posterior["beta_m"].dims[-1]: "x"})
    b, c = (posterior["beta_y"].sel({posterior["beta_y"].dims[-1]: name}) for name in ("m", "x"))
    return summary(
        {
            "m ~ x": a,
            "y ~ m": b,
            "y ~ x": c,
            "ab": a * b,
            "m": posterior["sigma_m"],
            "y": posterior["sigma_y"],
        }
    )


if __name__ == "__main__":
    given = Path(sys.argv[1])
    found = {
        "versions": {name: version(name) for name in ("bambi", "pathmc", "pymc")},
        "bambi": by_bambi(given),
        "pathmc": by_pathmc(given),
    }
    Path("peers_python.json").write_text(json.dumps(found, indent=2) + "\n")
