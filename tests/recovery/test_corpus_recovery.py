"""A corpus of 2,000 hours recovered, five times: 240,000 exchanges of the replication's model, by sweeps.

Seeds and bounds were fixed before the first run. Over the 27 written paths of five studies no posterior mean
may be four posterior SDs from the truth (135 paths: a probability of .009 were all normal and independent),
and the mean of the squared distances lies between .6 and 1.5 (their standard error is .12; correlations
between paths of a study make it wider). Scores as they are must be far outside: each of the six products with
rapport by more than four SDs, behaviours and products together by a mean square of more than 16.
"""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from truths import BEHAVIOURS, PRODUCTS, RELIABILITY, TRUTH

pytestmark = pytest.mark.slow

SEEDS = (2101, 2202, 2303, 2404, 2505)
UNTIL = {"ess": 400, "rhat": 1.03}


def deviations(measures, truth, measurement, seed):
    """Return the distances of written paths from the truth, in posterior SDs."""
    fit = bd.fit(
        measures, bd.load_model("chen2026"), measurement=measurement, engine="jax", draws=20_000, tune=500,
        chains=2, random_seed=seed, until=UNTIL,
    )  # fmt: skip
    path = fit["posterior"].to_dataset()["path"]
    path = path[..., path["path_origin"].values == "written"]
    mean, sd = (getattr(path, name)(("chain", "draw")).to_series() for name in ("mean", "std"))
    z = (mean - truth["path"].to_series().loc[mean.index]) / sd
    print(f"seed {seed}, {measurement}: {path.sizes['draw']} draws of two chains")
    print(pd.DataFrame({"mean": mean, "sd": sd, "z": z}).round(4).to_string(), flush=True)
    return z


@pytest.fixture(scope="module")
def found():
    """Return the deviations with ``known`` and ``none``, a column for each seed."""
    known, none = {}, {}
    for seed in SEEDS:
        measures, truth = bd.simulate(
            bd.load_model("chen2026"), dyads=400, sessions=5, exchanges=120, reliability=RELIABILITY,
            truth=TRUTH, random_seed=seed,
        )  # fmt: skip
        measures = measures.assign(kappa_sd=("construct", np.full(measures.sizes["construct"], 0.1)))
        known[seed] = deviations(measures, truth, "known", seed)
        none[seed] = deviations(measures, truth, "none", seed)
    return pd.DataFrame(known), pd.DataFrame(none)


def test_known_recovers_the_paths(found):
    z = found[0]
    print(f"largest {z.abs().max(axis=None):.2f}, mean square {(z**2).mean(axis=None):.2f}")
    assert z.shape == (27, len(SEEDS))
    assert z.abs().max(axis=None) < 4
    assert 0.6 < (z**2).mean(axis=None) < 1.5


def test_scores_as_they_are_do_not(found):
    z = found[1]
    print(z.loc[BEHAVIOURS + PRODUCTS].round(1).to_string())
    assert (z.loc[PRODUCTS].abs() > 4).all(axis=None)
    assert (z.loc[BEHAVIOURS + PRODUCTS] ** 2).mean(axis=None) > 16
