"""Rater uncertainty carried forward: scores at a draw as dense least squares, a fit as its parts."""

import arviz as az
import jax
import numpy as np
import pytest
import xarray as xr

import bayesdyn as bd
from bayesdyn.engines.gibbs import draw as module
from bayesdyn.engines.gibbs.asked import Asked
from bayesdyn.engines.gibbs.draw import draw_gibbs
from bayesdyn.engines.pymc_engine import compile_problem, draw
from bayesdyn.errors import InputError
from bayesdyn.fitting.diagnostics import diagnose
from bayesdyn.fitting.mixing import mixing
from bayesdyn.measures.imputed import imputation_places, measures_at
from bayesdyn.structure.problem import prepare
from small_models import TINY as MODEL
from synthetic import synthetic_fit

# Few dyads keep these fits quick; that a fit warns of them is tested in tests/fitting.
pytestmark = pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")

RATERS, DRAWS = 3, 6


@pytest.fixture(scope="module")
def measures():
    """Ratings of three raters, the third absent from empathy, with made-up draws of their parameters."""
    spec = bd.load_model(MODEL)
    made, truth = bd.simulate(spec, dyads=3, sessions=2, exchanges=6, reliability=0.6, random_seed=2)
    rng = np.random.default_rng(3)
    shape = (made.sizes["exchange"], RATERS, 2)
    rating = 3 + 0.8 * truth["latent"].values[:, None, :] + 0.5 * rng.standard_normal(shape)
    rating[rng.random(shape) < 0.2] = np.nan
    rating[4] = np.nan
    rating[:, 2, 1] = np.nan
    rated = np.isfinite(rating)
    by_rater = {
        "severity": rng.normal(0, 0.2, (DRAWS, RATERS, 2)),
        "discrimination": rng.uniform(0.7, 1.3, (DRAWS, RATERS, 2)),
        "shared": rng.uniform(0.1, 0.3, (DRAWS, RATERS, 2)),
        "error_sd": rng.uniform(0.4, 0.8, (DRAWS, RATERS, 2)),
    }
    for values in by_rater.values():
        values[:, 2, 1] = np.nan
    shares = np.broadcast_to([0.7, 0.2, 0.1], (DRAWS, 2, 3)).transpose(0, 2, 1)
    found = made.drop_vars(["shift", "scale"]).assign(
        {
            **{f"{name}_draws": (("draw", "rater", "construct"), value) for name, value in by_rater.items()},
            "mean_draws": (("draw", "construct"), rng.normal(3, 0.1, (DRAWS, 2))),
            "variance_draws": (("draw", "construct"), rng.uniform(0.5, 0.8, (DRAWS, 2))),
            "token_weight_draws": (("draw", "construct"), rng.uniform(0.1, 0.5, (DRAWS, 2))),
            "true_share_draws": (("draw", "level", "construct"), shares),
            "error_share_draws": (("draw", "level", "construct"), shares),
            "rating": (("exchange", "rater", "construct"), rating),
            "rating_q": (
                ("exchange", "rater", "construct"),
                np.where(rated, rng.uniform(0.5, 1.5, shape), np.nan),
            ),
            "rating_noise": (("exchange", "rater", "construct"), np.where(rated, 0.04, np.nan)),
        }
    )
    found["kappa_sd"] = ("construct", np.full(2, 0.2))
    nobody = ~rated.any(axis=1)
    return found.assign(score=found["score"].where(~nobody), se=found["se"].where(~nobody))


def test_scores_at_a_draw_are_generalised_least_squares(measures):
    found = measures_at(measures, 4)
    one = measures.isel(draw=4)
    for c in range(2):
        for n in range(measures.sizes["exchange"]):
            rating = measures["rating"].values[n, :, c]
            rated = np.flatnonzero(np.isfinite(rating))
            if not rated.size:
                assert np.isnan(found["score"].values[n, c])
                continue
            part = {
                name: one[f"{name}_draws"].values[rated, c]
                for name in ("severity", "discrimination", "shared")
            }
            sigma, w = one["error_sd_draws"].values[rated, c], float(one["token_weight_draws"][c])
            q = measures["rating_q"].values[n, rated, c]
            noise = measures["rating_noise"].values[n, rated, c]
            own = sigma**2 * (0.7 * (1 - w + w * q) + 0.3) + noise
            cov = np.diag(own) + np.outer(part["shared"], part["shared"])
            mean = float(one["mean_draws"][c])
            # rating = mean + severity + discrimination (theta - mean) + error
            g = part["discrimination"]
            weight = np.linalg.solve(cov, g)
            theta = mean + weight @ (rating[rated] - mean - part["severity"]) / (weight @ g)
            np.testing.assert_allclose(found["score"].values[n, c], theta, rtol=1e-5)
            np.testing.assert_allclose(found["se"].values[n, c], (weight @ g) ** -0.5, rtol=1e-5)
    assert (found["kappa_sd"] == 0).all()


def problem_at(measures, spec, place):
    """Return the problem of one draw of the raters, on the scale of the measures themselves."""
    problem = prepare(measures, spec, "propagated")
    own = [problem.constructs.index(str(name)) for name in measures["construct"].values]
    fixed = measures.assign(shift=("construct", problem.shift[own]), scale=("construct", problem.scale[own]))
    return prepare(measures_at(fixed, place), spec, "propagated")


def test_a_propagated_fit_is_the_fits_at_draws_of_the_raters_evenly_mixed(measures):
    spec = bd.load_model(MODEL)
    fit = bd.fit(
        measures, spec, measurement="propagated", imputations=3, draws=30, tune=60, chains=2, random_seed=5
    )
    places = imputation_places(measures, 3)
    assert list(places) == [0, 2, 5]
    number = fit["sample_stats"]["imputation"].values
    assert (number[:, :3] == [0, 1, 2]).all()
    assert (np.bincount(number.ravel()) == 20).all()
    problem = prepare(measures, spec, "propagated")
    assert (problem.kappa_sd == 0).all()
    seeds = np.random.SeedSequence(5).generate_state(3)
    alone = draw(
        compile_problem(problem, "jax"),
        problem_at(measures, spec, 2),
        draws=10, tune=60, chains=2, random_seed=int(seeds[1]),
    )  # fmt: skip
    own = fit["posterior"]["path"].values[:, number[0] == 1]
    np.testing.assert_array_equal(own, alone["posterior"]["path"].values)
    assert fit.attrs["measurement"] == "propagated"


def test_sweeps_propagate_too_and_go_on(measures, tmp_path, monkeypatch):
    spec = bd.load_model(MODEL)
    asked = {"measurement": "propagated", "imputations": 3, "draws": 60, "tune": 100, "chains": 2}
    whole = bd.fit(measures, spec, **asked, engine="jax", random_seed=5)
    number = whole["sample_stats"]["imputation"].values
    assert (np.bincount(number.ravel()) == 40).all()
    seeds = np.random.SeedSequence(5).generate_state(3)
    with jax.enable_x64(True):
        alone = draw_gibbs(problem_at(measures, spec, 0), Asked(20, 100, 2, int(seeds[0])))
    own = whole["posterior"]["path"].values[:, number[0] == 0]
    np.testing.assert_array_equal(own, alone["posterior"]["path"].values)
    # A run that was cut off in its second imputation gives the same draws.
    advance, calls = module._Run._advance, []

    def killed(self, *given):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return advance(self, *given)

    monkeypatch.setattr(module._Run, "_advance", killed)
    for _ in range(2):
        try:
            again = bd.fit(measures, spec, **asked, engine="jax", random_seed=5, resume=tmp_path / "run")
            break
        except KeyboardInterrupt:
            continue
    assert {one.name for one in (tmp_path / "run").iterdir()} == {f"imputation-{i:03}" for i in range(3)}
    for name, values in whole["posterior"].data_vars.items():
        np.testing.assert_array_equal(values, again["posterior"][name], err_msg=str(name))


@pytest.mark.slow
def test_the_engines_propagate_alike(measures):
    """At an ESS of 1,000 in each, means that are .2 SD apart are four and a half Monte Carlo errors apart."""
    spec = bd.load_model(MODEL)
    asked = {"measurement": "propagated", "imputations": 3, "tune": 1000, "chains": 4, "random_seed": 5}
    theirs = bd.fit(measures, spec, **asked, draws=6000)
    ours = bd.fit(measures, spec, **asked, draws=12_000, engine="jax")
    for number in range(3):
        one, other = (
            fit["posterior"]["path"].isel(draw=np.arange(number, fit["posterior"].sizes["draw"], 3))
            for fit in (theirs, ours)
        )
        ess = [float(az.ess(part).min()) for part in (one, other)]
        apart = other.mean(("chain", "draw")) - one.mean(("chain", "draw"))
        away = np.abs(apart / one.std(("chain", "draw")))
        print(number, "least ESS", ess, "SDs apart", away.values.round(3))
        assert min(ess) > 1000
        assert float(away.max()) < 0.2


@pytest.mark.parametrize(
    ("change", "imputations", "message"),
    [
        (lambda given: given.drop_vars("rating"), 3, "these measures hold no draws of rater parameters"),
        (lambda given: given, 7, "imputations is 7. Use 2 to 6"),
        (
            lambda given: given.assign(scale=("construct", [np.nan, 1.0])),
            3,
            "empathy: ordinal scores are kept at posterior means of the raters only",
        ),
    ],
)
def test_measures_that_cannot_be_propagated_are_refused(measures, change, imputations, message):
    with pytest.raises(InputError) as error:
        imputation_places(change(measures), imputations)
    assert message in str(error.value)


def test_the_scale_of_all_imputations_is_that_of_the_measures(measures):
    spec = bd.load_model(MODEL)
    one, other = (prepare(measures_at(measures, place), spec, "propagated") for place in (0, 5))
    assert isinstance(measures, xr.Dataset)
    assert not np.allclose(one.shift, other.shift)  # each would have its own: hence they are fixed


def dealt_runs(seed, imputations=20, chains=4, draws=50, rho=0.9):
    """Return AR(1) chains of several imputations, dealt in turn (chain, draw), and which draw is whose."""
    rng = np.random.default_rng(seed)
    value, runs = rng.standard_normal((chains, imputations)), []
    for _ in range(draws):
        value = rho * value + np.sqrt(1 - rho**2) * rng.standard_normal((chains, imputations))
        runs.append(value)
    return np.concatenate(runs, axis=1), np.tile(np.arange(imputations), draws)


def test_effective_draws_of_imputations_are_those_within_each():
    # AR(1) of rho .9 has N (1 - rho) / (1 + rho) effective draws: 4,000 * .1 / 1.9 = 211. Chains of 50 draws
    # tell their own autocorrelation too low, so the estimate is some way above; 2 * 211 is the threshold.
    dealt, imputation = dealt_runs(seed=1)
    draws = xr.Dataset({"a": (("chain", "draw"), dealt)})
    found = mixing(draws, imputation)
    assert 100 < float(found.ess_bulk["a"]) < 2 * 211
    assert float(mixing(draws).ess_bulk["a"]) > 10 * float(found.ess_bulk["a"])
    each = [mixing(draws.isel(draw=np.flatnonzero(imputation == one))) for one in range(20)]
    for name, join in (("rhat", max), ("ess_bulk", sum), ("ess_tail", sum)):
        expected = join(float(getattr(part, name)["a"]) for part in each)
        assert float(getattr(found, name)["a"]) == pytest.approx(expected)


def test_what_stands_still_in_one_imputation_is_judged_by_the_others():
    dealt, imputation = dealt_runs(seed=2)
    some = np.where(imputation == 3, 0.0, dealt)
    draws = xr.Dataset({"some": (("chain", "draw"), some), "none": (("chain", "draw"), 0 * dealt)})
    found = mixing(draws, imputation)
    assert np.isfinite(found.rhat["some"])
    assert np.isnan(found.rhat["none"])
    some[0, 3] = np.nan
    assert np.isnan(mixing(draws, imputation).ess_bulk["some"])


def test_the_verdict_and_the_summary_of_imputations_tell_how_they_mixed():
    fit, _, _ = synthetic_fit(chains=4, draws=1000)
    assert diagnose(fit).imputations == 0
    assert diagnose(fit).pooled == ""
    dealt, imputation = dealt_runs(seed=3)
    posterior, stats = fit["posterior"].to_dataset(), fit["sample_stats"].to_dataset()
    posterior["path"][..., 0] = dealt
    fit["posterior"] = xr.DataTree(posterior)
    name = str(posterior["path_name"].values[0])
    assert bd.summary(fit).loc[name, "ess_bulk"] > 2000
    stats["imputation"] = ("chain", "draw"), np.tile(imputation, (4, 1))
    fit["sample_stats"] = xr.DataTree(stats)
    found, table = diagnose(fit), bd.summary(fit)
    assert found.worst == f"path[{name}]"
    assert found.rhat == pytest.approx(table.loc[name, "rhat"])
    assert found.rhat > 1.1
    assert found.ess_bulk == pytest.approx(table.loc[name, "ess_bulk"])
    assert found.ess_bulk < 2 * 211
    assert "each of 20 imputations has 50 draws of a chain" in " ".join(found.advice)
    assert "pools 20 imputations" in found.pooled
