"""Draws of ``bd.fit`` beside those of Bambi and pathmc, on what they can express and under the same priors.

Both are posteriors, so means may differ by the Monte Carlo errors of two chains: .032 SD at 2,000 effective
draws each, three of which are .1 SD. An SD's own error is 1.6 % at each; four times both is 9 %.
"""

import json

import arviz_stats
import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from peer_studies import STUDIES, with_start

# These studies have few dyads; that a fit warns of them is tested in tests/fitting.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")]

LEAST_ESS = 2000
# (model, outcomes, covariates, the case whose rows it takes); the start law as in test_peer_posteriors.
MODELS = {
    "bambi": (
        'paths = "reaction ~ days + (1 | dyad)"\n[constructs]\nclient = ["reaction"]\n[priors]\n',
        ("reaction",), ("days",), "sleepstudy",
    ),
    "pathmc": (
        "paths = '''\nm ~ a*x\ny ~ b*m + c*x\nab := a*b\n'''\n"
        '[constructs]\nclient = ["m", "y"]\n[priors]\nmean = "normal(0, 0.5)"\n',
        ("m", "y"), ("x",), "mediation_both",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("program", "draws"), [("bambi", 6000), ("pathmc", 1000)])
def test_posteriors_are_those_of_the_program(program, draws, shared_data, root):
    """Paths, means, residual SDs, the SD of the dyads and the indirect effect: mean and SD of each.

    All else stands at our defaults, which the peers were given. Each start is rated 1000 SDs away, under a
    start law as wide (:mod:`test_peer_posteriors`).
    """
    model, outcomes, covariates, case = MODELS[program]
    theirs = pd.DataFrame(
        json.loads((root / "tests" / "reference" / "peers_python.json").read_text())[program]
    ).T
    rows = STUDIES[case].rows(shared_data / "longitudinal_reference")
    if program == "bambi":
        rows["reaction"] = (rows["reaction"] - rows["reaction"].mean()) / rows["reaction"].std()
    else:
        rows = rows.assign(dyad="all")
    listed = {name: name for name in outcomes}
    frame = with_start(rows, outcomes, 1000.0)
    measures = bd.as_measures(frame, listed, reliability=0.9, covariates=covariates).assign(
        shift=("construct", [0.0] * len(outcomes)), scale=("construct", [1.0] * len(outcomes))
    )
    spec = bd.load_model(
        f'[model]\nname = "{program}"\ncentering = "none"\n{model}start_sd = "half_normal(1000)"\n'
    )
    fit = bd.fit(
        measures, spec, measurement="none", target_accept=0.8,
        draws=draws, tune=700, chains=4, random_seed=43,
    )  # fmt: skip
    posterior = fit["posterior"].to_dataset().transpose("chain", "draw", ...)
    ours = {str(name): posterior["path"].sel(path_name=name).values for name in posterior["path_name"].values}
    for name in outcomes:
        ours[f"{name} ~ 1"] = posterior["level_mean"].sel(endogenous=name).values
        ours[name] = np.sqrt(posterior["residual_cov"].sel(outcome=name, outcome2=name).values)
    if "defined" in posterior:
        ours["ab"] = posterior["defined"].sel(quantity="ab").values
    else:
        ours["group sd"] = np.sqrt(posterior["dyad_cov"].values[..., 0, 0])
    both = theirs.assign(
        ours=[ours[name].mean() for name in theirs.index],
        ours_sd=[ours[name].std() for name in theirs.index],
        ours_ess=[float(arviz_stats.ess(ours[name])) for name in theirs.index],
    )
    print(both.assign(apart=(both["ours"] - both["mean"]) / both["sd"]).round(5).to_string())
    assert (both[["ess", "ours_ess"]] >= LEAST_ESS).all(axis=None)
    assert ((both["ours"] - both["mean"]).abs() < 0.1 * both["sd"]).all()
    assert ((both["ours_sd"] / both["sd"] - 1).abs() < 0.09).all()
