"""Replicated studies: what they are, that the truth passes their checks, and that a missing lag does not."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.fitting import predicting
from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.fitting.score_statistics import STATISTICS, score_statistics
from bayesdyn.structure.problem import prepare
from truths import whole_residual_cov

MODEL = """
[model]
name = "system"
paths = '''
disclosure ~ empathy + empathy:rapport + lag(disclosure) + lag(negative) + phase + mean(empathy)
negative ~ empathy + lag(negative)
disclosure + negative ~ (1 + empathy | dyad) + (1 | session)
disclosure ~~ negative
'''
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
client = ["disclosure", "negative"]
"""
LONE = """
[model]
name = "lone"
paths = '''
disclosure ~ {}phase
disclosure ~ (1 | dyad)
'''
[constructs]
client = ["disclosure"]
"""


def fit_at_the_truth(measures, truth, spec, draws):
    """Return a fit all of whose draws are the truth."""
    problem = prepare(measures, spec, "known")
    own = list(problem.endogenous)
    raw = truth.drop_vars(
        ["residual_cov", "predictor_cov", "cross_cov", "latent", "defined"], errors="ignore"
    )
    raw["residual_cov"] = whole_residual_cov(truth).sel(endogenous=own, endogenous2=own)
    raw = raw.sel(path_name=[path.name for path in problem.spec.paths], endogenous=own, endogenous2=own)
    raw = raw.sel(construct=list(problem.constructs))
    raw = raw.drop_vars([name for name in raw.coords if name.startswith("path_") and name != "path_name"])
    every = raw.expand_dims(chain=[0], draw=np.arange(draws)).copy(deep=True)
    tree = xr.DataTree.from_dict({"posterior": every, "sample_stats": xr.Dataset()})
    return assemble(tree, problem, measures, Settings(draws, 1, 1, 1))


@pytest.fixture(scope="module")
def true():
    spec = bd.load_model(MODEL)
    measures, truth = bd.simulate(
        spec,
        dyads=80,
        sessions=2,
        exchanges=20,
        reliability=0.7,
        kappa_sd=0.2,
        missing=0.1,
        truth={"disclosure ~ lag(disclosure)": 0.5},
        random_seed=9,
    )
    return measures, fit_at_the_truth(measures, truth, spec, 150)


@pytest.mark.parametrize("new", ["exchanges", "dyads"])
def test_a_simulated_study_is_like_its_replicates(true, new):
    """3,200 exchanges, 7 statistics of 4 constructs: each within 4 SDs of the replicates' mean.

    Were all 28 normal and independent, one such test in 560 would fail by chance; skewness and the shares at
    the ends, not normal, are allowed for by the range of the replicates.
    """
    measures, fit = true
    group = bd.predictive(fit, measures, draws=150, new=new, random_seed=2)[
        "posterior_predictive"
    ].to_dataset()
    table = bd.predictive_checks(fit, measures, draws=150, new=new, random_seed=2)
    assert list(table.columns) == [
        "construct", "statistic", "observed", "replicated", "lower", "upper", "p",
    ]  # fmt: skip
    assert len(table) == 4 * len(STATISTICS)
    for row in table.itertuples():
        own = group["statistics"].sel(construct=row.construct, statistic=row.statistic).values
        assert row.replicated == pytest.approx(own.mean())
        # Floor and ceiling of the observed study are its own extremes: shares of a replicate are skewed.
        ends = row.statistic in ("floor", "ceiling", "skewness")
        inside = own.min() <= row.observed <= own.max()
        assert abs(row.observed - own.mean()) < 4 * own.std() or (ends and inside), row
    assert table.attrs["exploded"] == 0
    assert (table.attrs["ci_prob"], table.attrs["ci_kind"]) == (0.95, "eti")


def test_replicates_keep_rows_mask_and_units(true):
    measures, fit = true
    tree = bd.predictive(fit, measures, draws=3, random_seed=2)
    score = tree["posterior_predictive"]["score"].transpose("sample", "exchange", "construct")
    observed = fit["observed_data"]["score"].transpose("exchange", "construct")
    assert list(score["session"].values) == list(observed["session"].values)
    for k in range(3):
        np.testing.assert_array_equal(np.isnan(score.values[k]), np.isnan(observed.values))
    again = bd.predictive(fit, measures, draws=3, random_seed=2)["posterior_predictive"]["score"]
    np.testing.assert_array_equal(again.values, score.values)


def test_new_dyads_forget_the_old_ones(true):
    """Dyad means of new exchanges go with the observed ones; those of new dyads do not, within 4 SE."""
    measures, fit = true
    observed = _dyad_means(fit["observed_data"]["score"].sel(construct="disclosure"))
    for new, related in (("exchanges", True), ("dyads", False)):
        tree = bd.predictive(fit, measures, draws=1, new=new, random_seed=3)
        score = tree["posterior_predictive"]["score"].sel(construct="disclosure").isel(sample=0)
        correlation = np.corrcoef(_dyad_means(score), observed)[0, 1]
        assert (correlation > 4 / np.sqrt(80)) == related


def _dyad_means(score):
    return pd.Series(score.values).groupby(score["dyad"].values).mean().to_numpy()


def test_large_studies_keep_statistics_only(true, monkeypatch):
    measures, fit = true
    whole = bd.predictive(fit, measures, draws=4, random_seed=2)["posterior_predictive"].to_dataset()
    monkeypatch.setattr(predicting, "MOST_EXCHANGES", 100)
    small = bd.predictive(fit, measures, draws=4, random_seed=2)["posterior_predictive"].to_dataset()
    assert "score" not in small
    np.testing.assert_array_equal(small["statistics"].values, whole["statistics"].values)


def test_the_prior_predictive_is_wider_than_the_posterior(true):
    measures, fit = true
    prior = bd.predictive(fit, measures, draws=40, kind="prior", random_seed=2)[
        "prior_predictive"
    ].to_dataset()
    own = prior["statistics"].sel(construct="negative", statistic="mean").values
    posterior = bd.predictive(fit, measures, draws=40, random_seed=2)["posterior_predictive"].to_dataset()
    other = posterior["statistics"].sel(construct="negative", statistic="mean").values
    assert np.nanstd(own) > 5 * other.std()
    assert prior.attrs["exploded"] == int(np.isnan(prior["statistics"][..., 0]).any("construct").sum())


def test_the_prior_has_the_variables_of_the_posterior(true):
    measures, fit = true
    prior = bd.prior(measures, bd.load_model(MODEL), draws=7, random_seed=1)["prior"].to_dataset()
    posterior = fit["posterior"].to_dataset()
    assert set(prior.data_vars) == set(posterior.data_vars)
    for name in posterior.data_vars:
        assert prior[name].dims == posterior[name].dims
        for dim in prior[name].dims[2:]:
            np.testing.assert_array_equal(prior[dim].values, posterior[dim].values)
    assert prior.sizes["draw"] == 7
    assert (np.linalg.eigvalsh(prior["dyad_cov"].values) > 0).all()


def test_statistics_of_a_study_written_out():
    """Two sessions by hand: deviations -1 0 1 and -2 . 2 about their means 1 and 4, one score unrated."""
    spec = bd.load_model(LONE.format(""))
    measures, _ = bd.simulate(spec, dyads=2, sessions=1, exchanges=3, reliability=1.0, random_seed=1)
    raw = np.array([0.0, 1.0, 2.0, 2.0, np.nan, 6.0])
    measures["score"].values[:, 0] = raw
    measures = measures.drop_vars(["shift", "scale"])
    problem = prepare(measures, spec, "none")
    score = np.where(problem.rated, problem.score, np.nan)
    found = dict(zip(STATISTICS, score_statistics(problem, score[None])[0, 0], strict=True))
    unit = 1 / problem.scale[0]
    # Squares about the sessions' means: 1 + 0 + 1 + 4 + 4 of 5 scores in 2 sessions.
    assert found["sd_within"] == pytest.approx(unit * np.sqrt(10 / 3))
    assert found["sd_between"] == pytest.approx(unit * np.sqrt((1.5**2 + 1.5**2) / 1))
    # Pairs (0, -1) and (1, 0) of the first session only: their products are 0.
    assert found["lag1"] == pytest.approx(0.0)
    assert found["mean"] == pytest.approx(0.0, abs=1e-12)
    # Cubes about 2.2: -10.648 - 1.728 - 0.008 - 0.008 + 54.872; squares 20.8, both of 5 scores.
    assert found["skewness"] == pytest.approx(42.48 / 5 / (20.8 / 5) ** 1.5)
    assert found["floor"] == found["ceiling"] == pytest.approx(1 / 5)


@pytest.fixture(scope="module")
def autoregressive():
    measures, _ = bd.simulate(
        bd.load_model(LONE.format("lag(disclosure) + ")),
        dyads=15,
        sessions=1,
        exchanges=20,
        reliability=1.0,
        truth={"disclosure ~ lag(disclosure)": 0.6},
        random_seed=12,
    )
    return measures


@pytest.mark.parametrize(("lag", "reproduced"), [("", False), ("lag(disclosure) + ", True)])
def test_a_model_without_the_lag_is_caught_by_the_autocorrelation(autoregressive, lag, reproduced):
    """A lag of .6 over 285 pairs: without it the p of lag1 is below .01, with it between .05 and .95."""
    asked = {"draws": 150, "tune": 200, "chains": 2, "random_seed": 1}
    fit = bd.fit(autoregressive, bd.load_model(LONE.format(lag)), measurement="none", **asked)
    table = bd.predictive_checks(fit, autoregressive, draws=300, random_seed=1).set_index("statistic")
    assert (0.05 < table.loc["lag1", "p"] < 0.95) == reproduced
    assert (table.loc["lag1", "p"] < 0.01) == (not reproduced)
    assert 0.05 < table.loc["mean", "p"] < 0.95


def test_what_cannot_be_predicted_is_told(true):
    measures, fit = true
    with pytest.raises(InputError) as told:
        bd.predictive(fit, measures, draws=10**6, kind="both", new="sessions", random_seed=1)
    for part in ("kind 'both'", "new 'sessions'", "The fit has 150: use 1 to 150"):
        assert part in str(told.value)
    other = measures.copy(deep=True)
    other["score"] += 1
    with pytest.raises(InputError, match="not those that the fit was made from"):
        bd.predictive(fit, other, draws=2, random_seed=1)
