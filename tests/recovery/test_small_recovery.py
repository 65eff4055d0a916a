"""A small model recovered by the sampler itself, and its sweep.

Fails if any path's posterior mean is more than four posterior SDs from the truth, if the chains disagree, or
if taking scores as they are does not attenuate what it must.
"""

import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.fitting.diagnostics import diagnose
from small_models import MODERATED as MODEL

# These studies have few dyads; that a fit warns of them is tested in tests/fitting.
pytestmark = pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")

TRUTH = {"de": 0.4, "dr": 0.2, "der": -0.3}
SEED = 20261122


@pytest.fixture(scope="module")
def study():
    spec = bd.load_model(MODEL)
    measures, truth = bd.simulate(
        spec, dyads=20, sessions=1, exchanges=20, reliability=0.65, truth=TRUTH, random_seed=SEED
    )
    fit = bd.fit(
        measures, spec, measurement="known", draws=400, tune=400, chains=2, random_seed=SEED, latent_draws=200
    )
    return fit, measures, truth


def test_every_path_is_within_four_posterior_sds(study):
    fit, _, truth = study
    table = bd.summary(fit, variables=("path",))
    z = (table["mean"] - truth["path"].to_series().loc[table.index]) / table["sd"]
    assert np.abs(z).max() < 4
    assert diagnose(fit).rhat < 1.05
    assert diagnose(fit).divergences <= 8


def test_latent_scores_are_covered_and_better_than_the_scores(study):
    """1,200 states: 90 % intervals must cover .87 to .93 of them (binomial SE .009), with sharper centres."""
    fit, _, truth = study
    drawn = fit["latent"]["latent"].transpose("sample", "exchange", "construct")
    true = truth["latent"].sel(construct=drawn["construct"]).values
    lower, upper = np.quantile(drawn.values, [0.05, 0.95], axis=0)
    assert 0.87 < np.mean((lower < true) & (true < upper)) < 0.93
    scores = fit["observed_data"]["score"].values
    assert np.mean((drawn.values.mean(axis=0) - true) ** 2) < 0.8 * np.mean((scores - true) ** 2)


def test_a_sweep_moves_a_path_away_from_zero_as_error_grows(study):
    fit, measures, _ = study
    model = bd.load_model(MODEL)
    naive = bd.fit(measures, model, measurement="none", draws=300, tune=300, chains=2, random_seed=SEED)
    sweep = bd.sensitivity(fit, factors=(0, 1), naive=naive)
    with pytest.raises(InputError, match="naive is no fit of the same model"):
        bd.sensitivity(fit, factors=(0, 1), naive=fit)
    by_factor = sweep.paths.pivot_table(index="path_name", columns="factor", values="mean")
    # Reliability .65 in both: the naive path of empathy is attenuated by about a third.
    ratio = by_factor.loc["disclosure ~ empathy", 0.0] / by_factor.loc["disclosure ~ empathy", 1.0]
    assert 0.4 < ratio < 0.9
    assert list(sweep.table["measurement"]) == ["none", "known"]
    assert sweep.table["fit"].is_unique
