"""Draws of ``bd.fit`` beside the posterior of brms with ``me()``, and beside lme4 and nlme under wide priors.

Monte Carlo error is SD / sqrt(ESS), .022 SD at the 2,000 effective draws that are asked for, so .1 of a
standard error is more than four of it. Priors are the peer's own where the peer is Bayesian, else so wide
that they say nothing. A posterior SD has a Monte Carlo error of 1 / sqrt(2 ESS), 1.6 % here and .9 % in
brms; four times both together is 7.5 %.
"""

import json

import arviz_stats
import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from peer_panel import CASES, model, persons, their_names
from peer_studies import STUDIES, raw_measures, with_start

# These studies have few dyads; that a fit warns of them is tested in tests/fitting.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")]

LEAST_ESS = 2000
WIDE = """
[priors]
path = "normal(0, 10)"
mean = "normal(0, 10)"
residual_sd = "half_normal(10)"
level_sd = "half_normal(10)"
start_sd = "half_normal(1000)"
correlation = "lkj(1)"
"""
LAGS = 'lag_own = "normal(0, 10)"\nlag_cross = "normal(0, 10)"\n'
CLONES = 4
START = 1000.0  # SDs of the outcome
MEASURED = """
[model]
name = "measured"
centering = "none"
paths = '''
y ~ x + z + x:z
x ~ 0*lag(x)
'''
[constructs]
client = ["y"]
dyad = ["x"]
[priors]
path = "normal(0, 10)"
mean = "normal(0, 10)"
residual_sd = "half_normal(2)"
[scale]
x = [0, 1]
y = [0, 1]
"""


def drawn(fit):
    """Return the draws (chain, draw) of each coefficient: paths, ``y ~ 1``, and residual SDs ``y``."""
    posterior = fit["posterior"].to_dataset().transpose("chain", "draw", ...)
    found = {
        str(name): posterior["path"].sel(path_name=name).values for name in posterior["path_name"].values
    }
    for name in posterior["endogenous"].values:
        found[f"{name} ~ 1"] = posterior["level_mean"].sel(endogenous=name).values
    for name in posterior["outcome"].values:
        found[str(name)] = np.sqrt(posterior["residual_cov"].sel(outcome=name, outcome2=name).values)
    return found


def table(draws, theirs):
    """Return ours and theirs by our name; ``theirs`` is (estimate, standard error) by our name."""
    rows = {
        name: {"ours": draws[name].mean(), "sd": draws[name].std(), "theirs": value, "se": se,
               "apart": (draws[name].mean() - value) / se, "ess": float(arviz_stats.ess(draws[name]))}
        for name, (value, se) in theirs.items()
    }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").round(5)


def test_a_moderation_by_a_predictor_with_error_is_that_of_brms(root):
    """300 rows as one session of exchanges without lags, after a start that nobody rated.

    ``me(x, sdx)`` takes x as Gaussian about one mean with one SD: our law of a noisy predictor with its lag
    at 0. The score of y has to have an error here: .01, whose square is a 4,000th of the residual variance.
    The effect of the one dyad on x only widens the prior of the mean of x.
    """
    stored = json.loads((root / "tests" / "reference" / "brms_me.json").read_text())
    rows = pd.DataFrame(stored["data"]).assign(dyad="all")
    frame = with_start(rows, ("x", "y"))
    measures = bd.as_measures(frame, {"x": "x", "y": "y"}, se={"x": "sdx", "y": 0.01}, covariates=["z"])
    fit = bd.fit(
        measures, bd.load_model(MEASURED), measurement="known", kappa=False,
        draws=1300, tune=500, chains=4, random_seed=41,
    )  # fmt: skip
    names = {
        "y ~ 1": "b_Intercept",
        "y ~ x": "bsp_mexsdx",
        "y ~ z": "b_z",
        "y ~ x:z": "bsp_mexsdx:z",
        "y": "sigma",
    }
    theirs = {ours: stored["posterior"][name] for ours, name in names.items()}
    both = table(drawn(fit), {name: (one["mean"], one["sd"]) for name, one in theirs.items()})
    print(both.to_string())
    assert (both["ess"] >= LEAST_ESS).all()
    assert (both["apart"].abs() < 0.1).all()
    assert ((both["sd"] / both["se"] - 1).abs() < 0.075).all()


@pytest.mark.parametrize(
    ("case", "draws"), [("sleepstudy", 2000), ("apim", 1000), ("mediation_both", 1000), ("twolevel", 6000)]
)
def test_posterior_means_are_their_estimates(case, draws, shared_data, root):
    """Within .1 SE. The start is rated here, 1000 SDs away on either side, under a start law as wide.

    So no state is drawn; what the start says of a dyad's mean is a millionth of what one exchange says.
    """
    study = STUDIES[case]
    peer = json.loads((root / "tests" / "reference" / "peers.json").read_text())[case]
    rows = study.rows(shared_data / "longitudinal_reference")
    # Covariates about their means, where dyads do not vary: the sampler's business, taken back below.
    centre = rows[list(study.covariates)].mean() if case == "apim" else dict.fromkeys(study.covariates, 0.0)
    rows = rows.assign(**{name: rows[name] - centre[name] for name in study.covariates})
    frame = with_start(rows, study.outcomes, START * rows[list(study.outcomes)].std().max())
    measures = raw_measures(frame, study, unit=True)
    fit = bd.fit(
        measures, bd.load_model(study.model + WIDE), measurement="none", target_accept=0.8,
        draws=draws, tune=700, chains=4, random_seed=42,
    )  # fmt: skip
    found = drawn(fit)
    unit = {str(c): measures[["shift", "scale"]].sel(construct=c) for c in measures["construct"].values}
    for name in study.names:
        outcome, predictor = name.split(" ~ ")
        by = unit[predictor]["scale"].item() if predictor in unit else 1.0
        found[name] = found[name] * unit[outcome]["scale"].item() / by
    for outcome in study.outcomes:
        moved = sum(found[f"{outcome} ~ {name}"] * centre[name] for name in study.covariates)
        found[f"{outcome} ~ 1"] = found[f"{outcome} ~ 1"] + unit[outcome]["shift"].item() - moved
    both = table(
        found, {ours: (peer["estimate"][theirs], peer["se"][theirs]) for ours, theirs in study.names.items()}
    )
    print(both.to_string())
    assert (both["ess"] >= LEAST_ESS).all()
    assert (both["apart"].abs() < 0.1).all()


@pytest.mark.parametrize(("case", "draws"), [("ar1", 4000), ("two_equations", 2500)])
def test_lags_by_draws_are_those_of_lavaan(case, draws, shared_data, root):
    """Paths from wave to wave and grand means, within .1 SE of ML; first waves are rated, their law free.

    A posterior mean is not the mode that ML finds: that of a lag lies .2 SE above it here, the posterior of
    100 persons being skewed. Each person therefore enters CLONES times (data cloning; Lele, Dennis &
    Lutscher 2007, Ecology Letters 10, 551-563): the mode stays, what skewness and priors add shrinks by that
    factor, and sqrt(CLONES) times the posterior SD is the standard error of ML.
    """
    size, times = CASES[case]
    peer = json.loads((root / "tests" / "reference" / "peers.json").read_text())[case]
    rows = persons(shared_data, size, times)
    rows = pd.concat([rows.assign(dyad=rows["dyad"] + f"_{k}") for k in range(CLONES)], ignore_index=True)
    names = [f"y{v}" for v in range(1, size + 1)]
    measures = bd.as_measures(rows, {name: name for name in names}, reliability=0.9).assign(
        shift=("construct", rows[names].mean()), scale=("construct", rows[names].std())
    )
    fit = bd.fit(
        measures, bd.load_model(model(size, WIDE + LAGS)), measurement="none", target_accept=0.8,
        draws=draws, tune=1000, chains=4, random_seed=43,
    )  # fmt: skip
    found, unit = drawn(fit), dict(zip(names, measures["scale"].values, strict=True))
    for name in their_names(size):
        outcome, predictor = name.split(" ~ ")
        by = unit[predictor.removeprefix("lag(").removesuffix(")")] if predictor != "1" else 1.0
        found[name] = found[name] * unit[outcome] / by + (rows[outcome].mean() if predictor == "1" else 0.0)
    both = table(
        found, {ours: (peer["estimate"][name], peer["se"][name]) for ours, name in their_names(size).items()}
    )
    both["sd"] *= np.sqrt(CLONES)
    print(both.to_string())
    assert (both["ess"] >= LEAST_ESS).all()
    assert (both["apart"].abs() < 0.1).all()
    assert ((both["sd"] / both["se"] - 1).abs() < 0.1).all()
