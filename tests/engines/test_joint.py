"""Measurement ``joint``: the ratings' density against dense normals, against the same model given scores."""

import json
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

import bayesdyn as bd
from bayesdyn.engines.jax_density import jax_density
from bayesdyn.engines.likelihood import build_likelihood
from bayesdyn.engines.pymc_collapsed import build_collapsed
from bayesdyn.engines.pymc_engine import compile_problem, draw, same_shape
from bayesdyn.engines.pymc_model import build
from bayesdyn.engines.pymc_raters import add_raters, rated_data, rated_scores
from bayesdyn.errors import InputError
from bayesdyn.fitting.comparing import Predicted
from bayesdyn.fitting.likelihood import hyperparameter_draws, scores_told
from bayesdyn.structure.prior_draws import draw_raters
from bayesdyn.structure.problem import prepare
from bayesdyn.tables import RATER_PRIORS
from joint_measures import RATERS, rated_measures

# Few dyads keep these fits quick; that a fit warns of them is tested in tests/fitting.
pytestmark = pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")

NAMES = ("severity", "discrimination", "error_sd", "shared", "token_weight")


def parameters_of(rated, seed=5):
    drawn = draw_raters(rated, 1, np.random.default_rng(seed))
    return {name: values[0] for name, (_, values) in drawn.items()}


def scores_at(rated, at):
    """Return score, log_se and rest as NumPy arrays at parameters of the raters."""
    data = {name: pt.as_tensor(value) for name, value in rated_data(rated).items()}
    found = rated_scores(data, *(pt.as_tensor(at[name]) for name in NAMES))
    return pytensor.function([], [found.score, found.log_se, found.rest])()


def test_ratings_are_a_score_and_what_is_left():
    """Equal to the dense normal density of all ratings of an exchange, for any true score."""
    spec, measures = rated_measures()
    rated = prepare(measures, spec, "joint").rated_by
    at = parameters_of(rated)
    score, log_se, rest = scores_at(rated, at)
    theta = np.random.default_rng(6).standard_normal(score.shape)
    seen = 0
    for t in range(len(score)):
        dense = whole = 0.0
        for c in range(score.shape[1]):
            who = rated.mask[t, :, c] > 0
            if not who.any():
                assert score[t, c] == log_se[t, c] == 0
                continue
            w = at["token_weight"][c]
            own = at["error_sd"][who, c] ** 2 * (1 - w + w * rated.q[t, who, c]) + rated.noise[t, who, c]
            shared = at["shared"][who, c]
            mean = at["severity"][who, c] + at["discrimination"][who, c] * theta[t, c]
            covariance = np.outer(shared, shared) + np.diag(own)
            dense += stats.multivariate_normal(mean, covariance).logpdf(rated.value[t, who, c])
            whole += stats.norm(theta[t, c], np.exp(log_se[t, c])).logpdf(score[t, c])
            seen += 1
        np.testing.assert_allclose(whole + rest[t], dense, atol=1e-9)
    assert seen > 60


def density(model, point):
    found = jax_density(model)
    flat = np.concatenate([np.ravel(point[variable.name]) for variable in model.value_vars])
    return float(jax.jit(found.log_density)(flat, *[found.data[name] for name in found.density_data]))


@pytest.mark.parametrize("builder", [build, build_collapsed])
def test_the_model_is_that_of_known_scores_with_the_raters_added(builder):
    """At fixed raters: the log densities of joint and of known differ by the raters' prior and the rest."""
    spec, measures = rated_measures()
    problem = prepare(measures, spec, "joint")
    with pm.Model(coords={"rater": RATERS, "construct": problem.constructs}) as alone:
        data = {name: pm.Data(name, value) for name, value in rated_data(problem.rated_by).items()}
        said = add_raters(problem.rated_by, data)
    start = alone.initial_point()
    rng = np.random.default_rng(8)
    point = {name: value + 0.3 * rng.standard_normal(np.shape(value)) for name, value in start.items()}
    prior = alone.compile_logp()(point)
    values = alone.replace_rvs_by_values([said.score, said.log_se, pt.sum(said.rest)])
    score, log_se, rest = alone.compile_fn(values, inputs=alone.value_vars, on_unused_input="ignore")(point)
    given = replace(
        problem,
        measurement="known",
        rated_by=None,
        score=np.where(problem.rated, score, 0.0),
        se=np.exp(log_se),
    )
    joint, known = builder(problem), builder(given)
    structure = {
        name: value + 0.1 * rng.standard_normal(np.shape(value))
        for name, value in known.initial_point().items()
    }
    if builder is build:
        # The states are the same numbers only where they are shifted and scaled alike: by the same data.
        for name in ("latent_centre", "latent_spread"):
            assert not np.array_equal(joint[name].get_value(), known[name].get_value())
            known[name].set_value(joint[name].get_value())
    values = [density(joint, {**structure, **point}), density(known, structure)]
    np.testing.assert_allclose(values[0] - values[1], prior + rest, rtol=1e-9)


@pytest.mark.parametrize("discrimination", ["free", "proportional", "equal"])
def test_prior_draws_are_those_of_the_model(discrimination):
    """Kolmogorov and Smirnov's p of 2,000 draws each, Holm's bound .01, over all that varies."""
    spec, measures = rated_measures(discrimination)
    rated = prepare(measures, spec, "joint").rated_by
    with pm.Model(coords={"rater": RATERS, "construct": list(measures["construct"].values)}) as model:
        add_raters(rated, {name: pm.Data(name, value) for name, value in rated_data(rated).items()})
    theirs = pm.draw([model[name] for name in NAMES], 2000, random_seed=9)
    ours = draw_raters(rated, 2000, np.random.default_rng(10))
    p = []
    for name, drawn in zip(NAMES, theirs, strict=True):
        _, values = ours[name]
        flat, other = values.reshape(2000, -1), drawn.reshape(2000, -1)
        for k in range(flat.shape[1]):
            if np.ptp(flat[:, k]) < 1e-9:
                np.testing.assert_allclose(flat[:, k], other[:, k], atol=1e-9)
            else:
                p.append(stats.ks_2samp(flat[:, k], other[:, k]).pvalue)
    assert len(p) >= 20
    assert min(p) * len(p) > 0.01


def test_anchors_set_the_scale():
    spec, measures = rated_measures()
    rated = prepare(measures, spec, "joint").rated_by
    empathy = list(measures["construct"].values).index("empathy")
    at = parameters_of(rated)
    assert at["severity"][0, empathy] == pytest.approx(0, abs=1e-12)
    assert at["discrimination"][0, empathy] == pytest.approx(1)
    llms = slice(1, None)
    assert at["severity"][llms, 1 - empathy].sum() == pytest.approx(0, abs=1e-12)
    assert np.log(at["discrimination"][llms, 1 - empathy]).sum() == pytest.approx(0, abs=1e-12)
    assert (at["shared"][0] == 0).all()
    np.testing.assert_array_equal(at["error_sd"][0, 1 - empathy], 0.0)


def test_equal_raters_load_alike_on_what_their_kind_has_in_common():
    """As in the rater model: c is 1 for coder and LLMs, and a part of it is error in LLMs."""
    spec, measures = rated_measures("equal")
    rated = prepare(measures, spec, "joint").rated_by
    at = {name: values for name, (_, values) in draw_raters(rated, 50, np.random.default_rng(3)).items()}
    empathy = list(measures["construct"].values).index("empathy")
    own = at["discrimination"][..., empathy]
    np.testing.assert_allclose(own**2 + at["shared"][..., empathy] ** 2, 1.0)
    assert (own[:, 0] == 1).all()
    assert (own[:, 1:] < 1).all()
    np.testing.assert_allclose(at["discrimination"][..., 1 - empathy], 1.0)


def dense_likelihood(fit, measures, spec):
    """The scores' likelihood as that of known scores, and the rest of the ratings', in raw units."""
    problem, found = prepare(measures, spec, "joint"), []
    for chain, at in ((chain, at) for chain in (0, 1) for at in np.linspace(0, 39, 2).astype(int)):
        drawn = fit["posterior"].to_dataset().isel(chain=[chain], draw=[at])
        score, log_se, rest = scores_at(problem.rated_by, {name: drawn[name].values[0, 0] for name in NAMES})
        both = ("exchange", "construct")
        names = list(problem.constructs)
        given = measures.sel(construct=names, construct2=names).assign(
            score=(both, np.where(problem.rated, problem.shift + problem.scale * score, np.nan)),
            se=(both, np.where(problem.rated, problem.scale * np.exp(log_se), np.nan)),
        )
        known = prepare(given, spec, "known", kappa=False)
        value = build_likelihood(known, "dyad").evaluate(hyperparameter_draws(drawn, known), 1).value.sum()
        more = (problem.rated_by.mask.sum(axis=1) - problem.rated).sum(axis=0)
        found.append(value + rest.sum() - more @ np.log(problem.scale))
    return found


def test_a_joint_fit_tells_of_its_raters_and_of_its_likelihood():
    spec, measures = rated_measures(dyads=6)
    fit = bd.fit(measures, spec, measurement="joint", draws=40, tune=80, chains=2, random_seed=4)
    posterior = fit["posterior"]
    for name in ("severity", "discrimination", "error_sd", "shared"):
        assert posterior[name].dims == ("chain", "draw", "rater", "construct")
    assert list(posterior["rater"].values) == list(RATERS)
    assert fit.attrs["measurement"] == "joint"
    assert float(np.abs(posterior["kappa"]).max()) == 0
    said = bd.log_likelihood(fit, measures, draws=4, random_seed=1)["log_likelihood"]
    np.testing.assert_allclose(
        said.sum("dyad").values.ravel(), dense_likelihood(fit, measures, spec), rtol=1e-9
    )
    own = Predicted(
        "loo",
        "tiny",
        pd.DataFrame({"dyad": [], "elpd": []}),
        0.5,
        "one",
        scores_told(prepare(measures, spec, "joint")),
    )
    others = replace(own, scores=scores_told(prepare(measures, spec, "known")))
    with pytest.raises(InputError, match=r"disclosure \(each rating\)"):
        bd.compare({"joint": own, "known": others})
    with pytest.raises(InputError, match="what is replicated are scores"):
        bd.predictive(fit, measures, random_seed=1)
    with pytest.raises(InputError, match="folds leave out scores"):
        bd.kfold(measures, spec, measurement="joint", folds=3, random_seed=1)


def test_one_compiled_model_serves_other_ratings_and_no_other_raters():
    spec, measures = rated_measures()
    one, other = (prepare(rated_measures(seed=seed)[1], spec, "joint") for seed in (3, 4))
    assert same_shape(one, prepare(measures, spec, "joint"))
    assert not same_shape(one, prepare(rated_measures("equal")[1], spec, "joint"))
    fewer = prepare(rated_measures(human=False)[1], spec, "joint")
    assert not same_shape(one, fewer)
    tree = draw(compile_problem(one, "jax"), other, draws=4, tune=10, chains=1, random_seed=1)
    assert np.isfinite(tree["posterior"]["path"].values).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda measures: measures.drop_vars("rating"), "hold no ratings"),
        (lambda measures: flagged(measures, "ordinal"), "ordinal likelihood"),
        (lambda measures: flagged(measures, "weighted"), "labelling"),
    ],
)
def test_measures_without_ratings_to_fit_are_refused(change, message):
    spec, measures = rated_measures()
    with pytest.raises(InputError, match=message):
        prepare(change(measures), spec, "joint")


def flagged(measures, kind):
    assumed = json.loads(measures.attrs[RATER_PRIORS])
    assumed["empathy"][kind] = True
    return measures.assign_attrs({RATER_PRIORS: json.dumps(assumed)})
