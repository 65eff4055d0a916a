"""The truth of a simulated study stands in the names, dims and order of a fit, whatever the model."""

import numpy as np
import pytest
import xarray as xr

import bayesdyn as bd
from bayesdyn.engines.pymc_engine import is_of_fit
from bayesdyn.engines.pymc_model import build
from bayesdyn.errors import InputError
from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.problem import prepare
from bayesdyn.structure.simulating import Covariate, Spreads
from small_problems import CASES, SMALL

MODEL = """
[model]
name = "tiny"
centering = "none"
paths = '''
disclosure ~ de*empathy + lag(disclosure) + age + online*modality[online] + modality[phone]
disclosure ~ (1 + empathy | dyad) + (1 | session)
disclosure ~~ empathy
twice := 2*de
larger := de > 0.2
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""
COVARIATES = {"age": Covariate(level="dyad"), "modality": Covariate(("in person", "online", "phone"), "dyad")}


@pytest.fixture(scope="module")
def spec():
    return bd.load_model(MODEL)


@pytest.fixture(scope="module")
def made(spec):
    return bd.simulate(
        spec, dyads=11, sessions=2, exchanges=(2, 3), covariates=COVARIATES, truth={"de": 0.4}, random_seed=1
    )


@pytest.fixture(scope="module")
def fitted(spec, made):
    """Return a fit of one draw of ones: its names come from the engine's model, and nothing is sampled."""
    measures, _ = made
    problem = prepare(measures, spec)
    model = build(problem)
    drawn = {}
    every = [str(one.name) for one in (*model.deterministics, *model.free_RVs)]
    kept = [name for name in every if is_of_fit(name) or name == "latent"]
    for name in [name for name in kept if name in model.named_vars_to_dims]:
        coords = {dim: list(model.coords[dim]) for dim in model.named_vars_to_dims[name]}
        ones = np.ones((1, 1, *map(len, coords.values())))
        drawn[name] = xr.DataArray(ones, dims=("chain", "draw", *coords), coords=coords)
    posterior = xr.Dataset(drawn).assign_coords(chain=[0], draw=[0])
    latent = posterior["latent"].isel(chain=0).rename(draw="sample").drop_vars("chain")
    groups = {"posterior": posterior.drop_vars("latent"), "sample_stats": xr.Dataset()}
    tree = xr.DataTree.from_dict({**groups, "latent": latent.to_dataset()})
    return assemble(tree, problem, measures, Settings(4, 4, 1, 1))


def test_every_variable_of_a_fit_is_in_the_truth_with_the_same_dims_and_coordinates(made, fitted):
    _, truth = made
    posterior = fitted["posterior"].to_dataset()
    assert {"cross_cov", "predictor_cov", "defined", "kappa"} <= set(posterior.data_vars)
    assert set(truth.data_vars) == {*posterior.data_vars, "latent"}
    for name, drawn in posterior.data_vars.items():
        one = drawn.isel(chain=0, draw=0, drop=True)
        assert truth[name].dims == one.dims, name
        for coordinate in one.coords:
            if set(posterior[coordinate].dims) <= set(one.dims):
                np.testing.assert_array_equal(truth[coordinate].values, one[coordinate].values)


def test_latent_scores_are_those_of_the_fit_exchange_by_exchange(made, fitted):
    measures, truth = made
    latent = fitted["latent"].to_dataset()["latent"].isel(sample=0)
    assert truth["latent"].dims == latent.dims
    np.testing.assert_array_equal(truth["construct"].values, latent["construct"].values)
    pairs = zip(measures["dyad"].values, measures["session"].values, strict=True)
    np.testing.assert_array_equal([f"{dyad}:{session}" for dyad, session in pairs], latent["session"].values)
    np.testing.assert_array_equal(measures["t"].values, latent["t"].values)


def test_defined_quantities_follow_from_the_chosen_labels(made):
    defined = made[1]["defined"]
    assert float(defined.sel(quantity="twice")) == 0.8
    assert float(defined.sel(quantity="larger")) == 1.0


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sessions", [1, 2, 11])
def test_names_are_those_of_the_problem_that_is_fitted(case, sessions):
    """Of any centring; with one session in each dyad, and with so many that their labels are padded."""
    centring, between, more, residuals, _, _ = CASES[case]
    spec = bd.load_model(SMALL.format(centring=centring, between=between, more=more, residuals=residuals))
    measures, truth = bd.simulate(spec, dyads=3, sessions=sessions, exchanges=4, random_seed=1)
    problem = prepare(measures, spec)
    assert tuple(truth["path_name"].values) == tuple(path.name for path in problem.spec.paths)
    assert tuple(truth["endogenous"].values) == problem.endogenous
    assert tuple(truth["construct"].values) == problem.constructs
    np.testing.assert_array_equal(problem.row, np.arange(len(problem.row)))
    for group, units in (("dyad", problem.dyads), ("session", problem.sessions)):
        names = effect_names(problem.spec, group)
        assert (f"{group}_effects" in truth) == bool(names)
        if names:
            assert tuple(truth[f"{group}_effect"].values) == names
            assert tuple(truth[group].values) == units


def test_a_dyad_of_one_session_has_one_level_the_sum_of_both(spec):
    """The scores are still those of two levels; the SDs of both were .3, so the variance is .18."""
    spreads = Spreads(dyad_corr=0.0, session_corr=0.0)
    _, truth = bd.simulate(
        spec, dyads=6, sessions=1, exchanges=2, covariates=COVARIATES, spreads=spreads, random_seed=1
    )
    assert "session_effects" not in truth
    effect = {"dyad_effect": "disclosure ~ 1", "dyad_effect2": "disclosure ~ 1"}
    assert float(truth["dyad_cov"].sel(effect)) == pytest.approx(0.18)
    slope = {"dyad_effect": "disclosure ~ empathy", "dyad_effect2": "disclosure ~ empathy"}
    assert float(truth["dyad_cov"].sel(slope)) == pytest.approx(0.01)


@pytest.mark.parametrize("size", [{"dyads": 3, "sessions": 1}, {"dyads": 1, "sessions": 3}])
def test_sessions_of_one_exchange_are_their_levels_and_starts(size):
    spec = bd.load_model("chen2026")
    measures, truth = bd.simulate(spec, exchanges=1, random_seed=1, **size)
    assert measures.sizes["exchange"] == 3
    assert np.isfinite(measures["score"].values).all()
    assert (measures["se"].values > 0).all()
    assert set(measures["t"].values) == {0}
    assert np.isfinite(truth["latent"].values).all()


def test_the_scale_that_a_model_fixes_is_the_scale_of_the_scores():
    """Else the fit would standardise by other numbers than the truth is in."""
    spec = bd.load_model(SMALL.format(centring="none", between="", more="", residuals=""))
    fixed = bd.load_model(spec.text + "\n[scale]\nempathy = [10.0, 2.0]\n")
    usual, truth = bd.simulate(spec, dyads=2, sessions=2, exchanges=5, random_seed=1)
    other, same = bd.simulate(fixed, dyads=2, sessions=2, exchanges=5, random_seed=1)
    assert truth.identical(same)
    expected = 10 + 2 * (usual["score"].sel(construct="empathy") - 3) / 0.8
    np.testing.assert_allclose(other["score"].sel(construct="empathy"), expected, rtol=1e-12)
    problem = prepare(other, fixed)
    assert problem.shift[problem.constructs.index("empathy")] == 10


def test_paths_of_one_label_share_the_coefficient():
    spec = bd.load_model(SMALL.format(centring="none", between="", more="", residuals=""))
    size = {"dyads": 2, "sessions": 1, "exchanges": 2, "random_seed": 1}
    _, truth = bd.simulate(spec, truth={"disclosure ~ empathy": 0.37}, **size)
    assert float(truth["path"].sel(path_name="self_negative ~ empathy")) == 0.37
    with pytest.raises(InputError, match=r"0\.3 and 0\.4"):
        bd.simulate(spec, truth={"a": 0.3, "disclosure ~ empathy": 0.4}, **size)


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        ({"disclosure ~ empaty": 0.1}, ("empaty", "Did you mean 'disclosure ~ empathy'")),
        ({"self_negative ~ rapport": 0.5}, ("fixes it at 0.2", "Change the model")),
        ({"a": float("nan")}, ("nan", "finite")),
        ({"x": 0.1, "y": 0.2}, ("'x'", "'y'")),
    ],
)
def test_a_truth_that_cannot_be_is_refused_with_a_remedy(truth, words):
    spec = bd.load_model(SMALL.format(centring="none", between="", more="", residuals=""))
    with pytest.raises(InputError) as caught:
        bd.simulate(spec, dyads=2, sessions=1, exchanges=2, truth=truth, random_seed=1)
    assert all(word in str(caught.value) for word in words)
