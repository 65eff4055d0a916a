"""The two engines on the same small studies: means of paths within .1 posterior SD, SDs within 10 %.

At an ESS of at least 4,000 in each, the difference of two means has a Monte Carlo error of .022 SD, that of
two SDs of 1.6 %: the bounds are four and six of it. Larger differences are a wrong density, not chance.
"""

import arviz_stats
import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from small_models import MODERATED, TINY

# These studies have few dyads; that a fit warns of them is tested in tests/fitting.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")]

LEAST_ESS = 4000
CASES = {
    "one outcome, as it is": (TINY, {"measurement": "none"}),
    "moderation, as it is": (MODERATED, {"measurement": "none"}),
    "one outcome, errors known": (TINY, {"measurement": "known", "kappa": False}),
    "moderation, errors known": (MODERATED, {"measurement": "known", "kappa": False}),
}


def draws_of(fit):
    posterior = fit["posterior"].to_dataset().transpose("chain", "draw", ...)
    paths = {str(n): posterior["path"].sel(path_name=n).values for n in posterior["path_name"].values}
    return {name: values for name, values in paths.items() if values.std() > 0}


@pytest.mark.parametrize("case", CASES)
def test_the_engines_agree(case):
    model, given = CASES[case]
    spec = bd.load_model(model)
    measures, _ = bd.simulate(spec, dyads=10, sessions=1, exchanges=15, reliability=0.8, random_seed=5)
    theirs = draws_of(bd.fit(measures, spec, **given, draws=3000, tune=700, chains=4, random_seed=6))
    ours = draws_of(
        bd.fit(
            measures, spec, **given, engine="jax", draws=60_000, tune=1000, chains=4, random_seed=7,
            until={"ess": 1.05 * LEAST_ESS, "rhat": 1.01},
        )
    )  # fmt: skip
    rows = {
        name: {
            "apart": (ours[name].mean() - theirs[name].mean()) / theirs[name].std(),
            "ratio": ours[name].std() / theirs[name].std(),
            "ess": float(arviz_stats.ess(ours[name])), "their_ess": float(arviz_stats.ess(theirs[name])),
        }
        for name in theirs
    }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index")
    print(case, next(iter(ours.values())).shape, table.round(3).to_string(), sep="\n")
    assert set(ours) == set(theirs)
    assert (table[["ess", "their_ess"]] >= LEAST_ESS).all(axis=None)
    assert (table["apart"].abs() < 0.1).all()
    assert np.allclose(table["ratio"], 1, atol=0.1)
