"""Prior draws have the distributions that the model file names.

Kolmogorov-Smirnov tests of 4,000 draws at alpha = .001, shared out (Bonferroni) where one test makes several:
the draws are independent and the seed is fixed, so a failure is a wrong distribution but for that chance.
"""

import numpy as np
import pytest
from scipy import stats

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.structure.prior_draws import draw_factors, draw_paths, draw_prior
from bayesdyn.structure.problem import prepare
from bayesdyn.structure.stability import are_stable, party_lags

ALPHA, COUNT = 0.001, 4000
MODEL = """
[model]
name = "lags"
paths = '''
disclosure ~ k*empathy + lag(disclosure) + lag(negative) + lag(disclosure, 2)
negative ~ k*empathy + 0.2*rapport + lag(negative) + lag(disclosure)
disclosure + negative ~ (1 + empathy | dyad) + (1 | session)
disclosure ~~ negative
'''
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
client = ["disclosure", "negative"]
[priors]
lag_own = "normal(0.7, 0.3)"
lag_cross = "normal(0, 0.3)"
k = "normal(0.4, 0.1)"
"""


@pytest.fixture(scope="module")
def problem():
    spec = bd.load_model(MODEL)
    measures, _ = bd.simulate(spec, dyads=4, sessions=2, exchanges=5, random_seed=2)
    measures["kappa_sd"] = ("construct", np.full(measures.sizes["construct"], 0.3))
    return prepare(measures, spec, "known")


@pytest.mark.parametrize(("size", "eta"), [(2, 2.0), (3, 1.0), (4, 2.0)])
def test_covariances_have_lkj_correlations_and_half_normal_sds(size, eta):
    """Every correlation is 2 Beta(b, b) - 1 with b = eta + (size - 2) / 2 (LKJ 2009, section 3)."""
    factor = draw_factors(size, 0.5, eta, COUNT, np.random.default_rng(4))
    cov = factor @ factor.swapaxes(1, 2)
    sds = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    pairs = [(i, j) for i in range(size) for j in range(i)]
    b, share = eta + (size - 2) / 2, ALPHA / (len(pairs) + size)
    for i, j in pairs:
        correlation = cov[:, i, j] / (sds[:, i] * sds[:, j])
        assert stats.kstest((correlation + 1) / 2, stats.beta(b, b).cdf).pvalue > share
    for i in range(size):
        assert stats.kstest(sds[:, i], stats.halfnorm(scale=0.5).cdf).pvalue > share


def test_determinants_have_the_lkj_density():
    """E det(R) of an LKJ correlation is prod over columns of E(1 - p^2)^(rows below), within 5 errors.

    A test of the joint distribution: 1 - p^2 of a canonical partial correlation has mean b / (b + 1/2).
    """
    size, eta = 4, 2.0
    factor = draw_factors(size, 1.0, eta, 20_000, np.random.default_rng(5))
    cov = factor @ factor.swapaxes(1, 2)
    determinant = np.linalg.det(cov) / np.diagonal(cov, axis1=1, axis2=2).prod(axis=1)
    expected = 1.0
    for column in range(size - 1):
        b = eta + (size - 2 - column) / 2
        expected *= (b / (b + 0.5)) ** (size - 1 - column)
    assert abs(determinant.mean() - expected) < 5 * determinant.std() / np.sqrt(20_000)


def test_every_draw_of_the_lags_is_stable_and_the_truncation_counts(problem):
    """The companion matrix of the client's lags, written out, has all eigenvalues within 1."""
    path = draw_paths(problem.spec, COUNT, np.random.default_rng(1))
    at = [item.name for item in problem.spec.paths].index
    companion = np.zeros((COUNT, 4, 4))
    companion[:, 0, 0] = path[:, at("disclosure ~ lag(disclosure)")]
    companion[:, 0, 1] = path[:, at("disclosure ~ lag(negative)")]
    companion[:, 0, 2] = path[:, at("disclosure ~ lag(disclosure, 2)")]
    companion[:, 1, 0] = path[:, at("negative ~ lag(disclosure)")]
    companion[:, 1, 1] = path[:, at("negative ~ lag(negative)")]
    companion[:, 2, 0] = companion[:, 3, 1] = 1.0
    assert np.abs(np.linalg.eigvals(companion)).max() < 1
    # Without truncation their mean would be .7: it is lower by more than 5 standard errors of a mean.
    assert path[:, at("disclosure ~ lag(disclosure)")].mean() < 0.7 - 5 * 0.3 / np.sqrt(COUNT)


def test_the_lag_of_a_lone_construct_is_a_truncated_normal(problem):
    """Rapport has no lag but its own: normal(.7, .3) within -1 and 1."""
    path = draw_paths(problem.spec, COUNT, np.random.default_rng(6))
    names = [item.name for item in problem.spec.paths]
    own = path[:, names.index("rapport ~ lag(rapport)")]
    truncated = stats.truncnorm((-1 - 0.7) / 0.3, (1 - 0.7) / 0.3, loc=0.7, scale=0.3)
    assert stats.kstest(own, truncated.cdf).pvalue > ALPHA


def test_labels_are_shared_and_fixed_paths_are_fixed(problem):
    path = draw_paths(problem.spec, COUNT, np.random.default_rng(7))
    names = [item.name for item in problem.spec.paths]
    one, other = (path[:, names.index(f"{name} ~ empathy")] for name in ("disclosure", "negative"))
    np.testing.assert_array_equal(one, other)
    assert stats.kstest(one, stats.norm(0.4, 0.1).cdf).pvalue > ALPHA
    np.testing.assert_array_equal(path[:, names.index("negative ~ rapport")], 0.2)


def test_stability_is_the_engines_rule():
    """|| A^64 || < 1 is stricter than a radius below 1, by less than 4 % for these sizes."""
    spec = bd.load_model(MODEL)
    lags = party_lags(spec, ("disclosure", "negative"))
    names = [item.name for item in spec.paths]
    path = np.zeros((4, len(names)))
    path[:, names.index("disclosure ~ lag(disclosure)")] = [0.9, 0.96, 1.001, 1e200]
    np.testing.assert_array_equal(are_stable(lags, path), [True, True, False, False])


def test_priors_that_leave_nothing_stable_are_told():
    spec = bd.load_model(MODEL.replace("normal(0.7, 0.3)", "normal(5, 0.01)"))
    with pytest.raises(InputError, match="leave next to no stable dynamics"):
        draw_paths(spec, 10, np.random.default_rng(1))


def test_effects_and_kappa_follow_their_own_prior(problem):
    drawn = draw_prior(problem, COUNT, np.random.default_rng(8))
    kappa = drawn["kappa"].values[0, :, 0]
    assert stats.kstest(kappa, stats.norm(0, 0.3).cdf).pvalue > ALPHA / 3
    mean = drawn["level_mean"].sel(endogenous="disclosure").values[0]
    assert stats.kstest(mean, stats.norm(0, 1).cdf).pvalue > ALPHA / 3
    name = "disclosure ~ empathy"
    effect = drawn["dyad_effects"].sel(dyad_effect=name).values[0][:, 0]
    variance = drawn["dyad_cov"].sel(dyad_effect=name, dyad_effect2=name).values[0]
    assert stats.kstest(effect / np.sqrt(variance), stats.norm.cdf).pvalue > ALPHA / 3
    residual = drawn["residual_cov"].values[0]
    # disclosure ~~ negative are one block, the predictors another: nothing between the two.
    place = [list(problem.endogenous).index(name) for name in ("disclosure", "negative")]
    others = [v for v in range(len(problem.endogenous)) if v not in place]
    assert (residual[:, place[0], place[1]] != 0).all()
    assert (residual[np.ix_(np.arange(COUNT), place, others)] == 0).all()
