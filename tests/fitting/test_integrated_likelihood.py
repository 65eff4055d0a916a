"""Log-likelihoods of fits: their names and dims, what they refuse, and what loo and compare make of them."""

import json

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize
from scipy.stats import norm

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.fitting.comparing import Predicted, leave_out, stacking_weights
from bayesdyn.fitting.fits import posterior_of
from bayesdyn.fitting.likelihood import hyperparameter_draws, likelihood_notes, problem_of
from bayesdyn.structure.problem import prepare
from drawn_fits import LINEAR, drawn_fit


@pytest.fixture(scope="module")
def fit():
    made = drawn_fit(LINEAR, draws=20)
    posterior = posterior_of(made)
    constructs = made["constant_data"]["construct"].values
    kappa = xr.DataArray(np.zeros((2, 20, len(constructs))), dims=("chain", "draw", "construct"))
    made["posterior"] = xr.DataTree(posterior.assign(kappa=kappa))
    return made


@pytest.fixture(scope="module")
def measures():
    return bd.simulate(
        bd.load_model(LINEAR), dyads=4, sessions=2, exchanges=8, reliability=0.8, random_seed=11
    )[0]


@pytest.fixture(scope="module")
def found(fit, measures):
    return bd.log_likelihood(fit, measures, draws=8, random_seed=1)


def test_it_has_one_value_per_draw_and_dyad(fit, found):
    assert found["log_likelihood"].dims == ("chain", "draw", "dyad")
    assert found["log_likelihood"].shape == (2, 4, 4)
    assert list(found["draw"].values) == [0, 6, 12, 19]
    assert list(found["dyad"].values) == list(posterior_of(fit)["dyad"].values)
    assert np.isfinite(found["log_likelihood"].values).all()
    # 64 weights; slopes that vary make them unequal, but these dyads are short.
    assert 32 < float(found["ess"].min()) <= 64
    assert json.loads(found.attrs["scores"]) == ["disclosure", "empathy", "rapport", "self_negative"]


def test_draws_stored_in_single_precision_are_evaluated_in_double(fit):
    stored = fit.map_over_datasets(lambda group: group.astype("float32") if "chain" in group.dims else group)
    assert posterior_of(stored)["level_mean"].dtype == np.float32
    draws = hyperparameter_draws(posterior_of(stored), problem_of(fit))
    assert {value.dtype for value in draws.values()} == {np.dtype("float64")}


def test_a_fit_keeps_the_problem_that_it_solved(fit, measures):
    problem = problem_of(fit)
    solved = prepare(measures, bd.load_model(LINEAR), "known")
    for name in (
        "score",
        "se",
        "rated",
        "covariate",
        "session_of",
        "dyad_of",
        "shift",
        "scale",
        "error_corr",
    ):
        np.testing.assert_allclose(getattr(problem, name), getattr(solved, name), atol=1e-12)
    assert problem.endogenous == solved.endogenous
    draws = hyperparameter_draws(posterior_of(fit), problem)
    # The draws' residuals covary across outcomes and across predictors; each part is where it belongs.
    own = list(problem.endogenous)
    cov = posterior_of(fit)["residual_cov"].isel(chain=0, draw=3)
    one, other = own.index("disclosure"), own.index("self_negative")
    assert draws["residual_cov"][3, one, other] == float(
        cov.sel(outcome="disclosure", outcome2="self_negative")
    )
    assert draws["residual_cov"].shape == (40, len(own), len(own))


def test_wrong_asking_is_refused_with_all_faults(fit, measures):
    other = measures.assign(score=measures["score"] + 1)
    with pytest.raises(InputError) as caught:
        bd.log_likelihood(fit, other, by="turn", draws=1, random_seed=1)
    assert len(caught.value.faults) == 3


def test_poor_values_are_told():
    problem = prepare(*_small(), "known")
    ess, mcse = np.full((5, 4), 60.0), np.full((5, 4), 0.01)
    assert likelihood_notes(problem, ess, mcse, np.ones((5, 4), dtype=bool), "dyad") == []
    ess[2, 1] = 3.0
    (note,) = likelihood_notes(problem, ess, mcse, np.ones((5, 4), dtype=bool), "dyad")
    assert "1 of 4 dyads" in note
    assert "5.0%" in note


def _small():
    spec = bd.load_model(LINEAR)
    return bd.simulate(spec, dyads=4, sessions=2, exchanges=4, random_seed=1)[0], spec


def conjugate(draws=2000, outlier=0.0):
    """Return log-likelihoods of y_d ~ N(theta, 1) over the posterior of theta, and the exact elpd of each."""
    rng = np.random.default_rng(6)
    y = rng.standard_normal(20)
    y[0] += outlier
    theta = rng.normal(y.sum() / 21, np.sqrt(1 / 21), (2, draws, 1))
    value = xr.DataArray(
        norm.logpdf(y, theta, 1.0),
        dims=("chain", "draw", "dyad"),
        coords={"chain": [0, 1], "draw": np.arange(draws), "dyad": [f"d{d}" for d in range(20)]},
    )
    exact = norm.logpdf(y, (y.sum() - y) / 20, np.sqrt(1 + 1 / 20))
    attrs = {"model": "normal", "measures": "same", "scores": '["y"]', "notes": "[]"}
    return value.to_dataset(name="log_likelihood").assign_attrs(attrs), exact


def test_leaving_out_agrees_with_a_normal_model_known_exactly():
    log_likelihoods, exact = conjugate()
    predicted = leave_out(log_likelihoods)
    # 4,000 draws and one parameter: the importance ratio's SD is at most |y| / sqrt(21), .5 here, so each
    # elpd has an error of .5 / sqrt(4000) = .008; four of them.
    np.testing.assert_allclose(predicted.by_dyad["elpd"], exact, atol=0.032)
    assert predicted.se == pytest.approx(np.sqrt(20) * exact.std(ddof=1), abs=0.1)
    assert predicted.bad_k == 0
    assert predicted.notes == ()


def test_a_dyad_that_moves_the_posterior_is_named():
    predicted = leave_out(conjugate(draws=100, outlier=15.0)[0])
    assert predicted.bad_k >= 1
    assert "d0" in predicted.notes[-1]
    assert "kfold" in predicted.notes[-1]


@pytest.mark.parametrize(("draws", "remedy"), [(20, "at least 26, 13 of each"), (25, "at least 26, 13")])
def test_too_few_draws_to_leave_out_dyads_are_refused(fit, draws, remedy):
    with pytest.raises(InputError, match=remedy):
        bd.loo_dyads(fit, draws=draws)


def test_a_fit_of_too_few_draws_is_refused(fit):
    short = fit.isel(draw=slice(12))
    with pytest.raises(InputError, match=r"keeps 12 draws of each of 2 chains\. Fit with draws=13"):
        bd.loo_dyads(short)


def test_the_least_number_of_draws_is_the_least_that_psis_takes():
    enough, short = (conjugate()[0].isel(draw=slice(n)) for n in (13, 12))
    assert len(leave_out(enough).by_dyad) == 20
    with pytest.raises(ValueError, match="n_draws_tail"):
        leave_out(short)


def made(name, elpd, measures="same", scores=("y",)):
    import pandas as pd

    table = pd.DataFrame({"dyad": list("abcd"), "elpd": elpd, "fold": [1, 1, 2, 2]})
    return Predicted("kfold", name, table, float("nan"), measures, scores)


def test_differences_are_paired_over_dyads():
    one, other = [-10.0, -20.0, -30.0, -40.0], [-11.0, -22.0, -33.0, -41.0]
    table = bd.compare({"worse": made("m", other), "better": made("n", one)})
    assert list(table.index) == ["better", "worse"]
    assert table.loc["better", ["elpd", "difference", "difference_se"]].tolist() == [-100.0, 0.0, 0.0]
    assert table.loc["worse", "difference"] == -7.0
    # Differences 1, 2, 3, 1: variance 11 / 12; times four dyads.
    assert table.loc["worse", "difference_se"] == pytest.approx(np.sqrt(4 * 11 / 12))
    # The better model is better for every dyad.
    assert table.loc["better", "weight"] == pytest.approx(1.0, abs=1e-6)


def test_stacking_finds_the_best_mixture():
    elpd = np.random.default_rng(1).normal([-3000, -2999.8, -3000.3], 1.5, (40, 3))
    weight = stacking_weights(elpd)
    density = np.exp(elpd - elpd.max(axis=1, keepdims=True))

    def loss(free):
        given = np.exp(np.append(free, 0.0))
        return -np.log(density @ (given / given.sum())).sum()

    best = minimize(loss, np.zeros(2), tol=1e-12)
    assert -np.log(density @ weight).sum() == pytest.approx(best.fun, abs=1e-6)


def test_what_cannot_be_compared_is_refused():
    one = made("m", [-1.0, -2.0, -3.0, -4.0])
    for other, said in (
        (made("n", [0.0] * 4, measures="others"), "different measures"),
        (made("n", [0.0] * 4, scores=("y", "z")), "predicts the scores"),
    ):
        with pytest.raises(InputError, match=said):
            bd.compare({"one": one, "other": other})
    with pytest.raises(InputError, match="nothing to compare"):
        bd.compare({"one": one})


def test_a_fit_is_left_out_dyad_by_dyad(fit, measures):
    predicted = bd.loo_dyads(fit, measures, draws=40)
    assert list(predicted.by_dyad.columns) == ["dyad", "elpd", "p", "pareto_k"]
    assert (predicted.by_dyad["p"] > 0).all()
    assert np.isfinite(predicted.elpd)
