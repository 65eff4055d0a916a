"""The closed forms against brute force: errors of products, sampling variance, what coding tells.

Each Monte Carlo check states its threshold: four standard errors of the simulated figure.
"""

import numpy as np
import pytest

from bayesdyn.sweeps.planning.equation import tilt_of
from bayesdyn.sweeps.planning.errors import CODER_PRIOR, SHARED_PRIOR, Coding, LlmErrors, learn
from bayesdyn.sweeps.planning.moments import Moments
from bayesdyn.sweeps.planning.precision import Parts, kappa_slopes, sampling_cov

PATH = np.array([0.3, 0.2, -0.15])  # x, r, x:r
TRUE = np.array([[1.0, 0.4], [0.4, 1.0]])
MEAN = np.array([0.5, -0.3])
OMEGA = np.array([[0.6, 0.15, 0.1], [0.15, 0.5, 0.05], [0.1, 0.05, 0.4]])  # x, r, y
RESIDUAL = 0.7


def draw(rng, count, omega):
    """Return true terms (count, 3), observed terms and outcome (count, 4)."""
    true = MEAN + rng.standard_normal((count, 2)) @ np.linalg.cholesky(TRUE).T
    terms = np.column_stack([true, true.prod(axis=1)])
    outcome = terms @ PATH + np.sqrt(RESIDUAL) * rng.standard_normal(count)
    error = rng.standard_normal((count, 3)) @ np.linalg.cholesky(omega + 1e-12 * np.eye(3)).T
    seen = true + error[:, :2]
    return terms, np.column_stack([seen, seen.prod(axis=1), outcome + error[:, 2]]), outcome


def moments(observed, omega):
    """Return the moments of x, r, x:r and the outcome, as the planning of a fit takes them."""
    size = len(observed)
    rest = np.zeros((size, 4, 2))
    rest[:, [0, 1, 3], 0] = 1.0
    rest[:, 2, 0], rest[:, 2, 1] = observed[:, 1], observed[:, 0]
    every = rest.reshape(size, -1)
    return Moments(
        column=np.array([[0, -1], [1, -1], [0, 1], [2, -1]]),
        product=(every.T @ every / size).reshape(4, 2, 4, 2),
        clean=np.ones((4, 4)),
        omega=omega,
    )


def corrected(observed, omega):
    """Return errors-in-variables coefficients: observed moments less those of the errors."""
    error = moments(observed, omega).error_cov()
    cov = np.cov(observed, rowvar=False)
    return np.linalg.solve(cov[:3, :3] - error[:3, :3], cov[:3, 3] - error[:3, 3])


def test_errors_of_products_have_the_covariance_of_brute_force():
    terms, observed, outcome = draw(np.random.default_rng(1), 400_000, OMEGA)
    errors = observed - np.column_stack([terms, outcome])
    errors -= errors.mean(axis=0)
    products = errors[:, :, None] * errors[:, None, :]
    standard_error = products.std(axis=0) / np.sqrt(len(errors))
    found = moments(observed, OMEGA).error_cov()
    assert (np.abs(found - products.mean(axis=0)) < 4 * standard_error).all()


def test_a_product_of_independent_factors_by_hand():
    # Mean 0, variances 1: E[x^2] s_f + E[r^2] s_e + s_e s_f = 0.5 + 0.2 + 0.1.
    column = np.array([[0, 1], [-1, -1]])
    product = np.zeros((2, 2, 2, 2))
    product[0, 0, 0, 0], product[0, 1, 0, 1] = 1.0 + 0.5, 1.0 + 0.2  # observed: true and error
    both = Moments(column, product, np.ones((2, 2)), np.diag([0.2, 0.5]))
    assert both.error_cov()[0, 0] == pytest.approx(0.8)


def test_sd_ratio_of_two_designs_is_that_of_brute_force():
    # Two predictors with errors that correlate with the outcome's, 1,000 exchanges, 2,000 replicates. A log
    # SD has standard error 1 / sqrt(2 n) = .016, a log ratio .022; four of these, and .02 for 1,000 being
    # finite.
    rng = np.random.default_rng(2)
    replicates, count, path = 2000, 1000, np.array([0.9, -0.6])
    seen, told = [], []
    for omega in (OMEGA, 0.4 * OMEGA):
        true = rng.standard_normal((replicates, count, 2)) @ np.linalg.cholesky(TRUE).T
        outcome = true @ path + np.sqrt(RESIDUAL) * rng.standard_normal((replicates, count))
        observed = np.concatenate([true, outcome[:, :, None]], axis=2)
        observed += rng.standard_normal((replicates, count, 3)) @ np.linalg.cholesky(omega).T
        cov = observed.swapaxes(1, 2) @ observed / count - omega
        estimates = np.linalg.solve(cov[:, :2, :2], cov[:, :2, 2:])[:, :, 0]
        assert estimates.mean(axis=0) == pytest.approx(path, abs=0.02)
        seen.append(estimates.std(axis=0, ddof=1))
        told.append(np.sqrt(np.diag(sampling_cov(TRUE, omega, path, RESIDUAL, count))))
    off = np.log(np.array(seen) / told)
    assert (np.abs(off) < 4 / np.sqrt(2 * replicates) + 0.02).all()
    assert (np.abs(off[1] - off[0]) < 4 / np.sqrt(replicates) + 0.02).all()


def test_a_product_gains_at_least_what_is_told_and_not_twice_as_much():
    # The errors of a product grow with its factors, which the closed form averages: it may promise too
    # little, but not too much, and a plan that told less than half of a gain would be of no use. 300
    # replicates: a log ratio of two SDs has standard error 1 / sqrt(300) = .058; four of these.
    rng = np.random.default_rng(3)
    seen, told = [], []
    for omega in (OMEGA, 0.4 * OMEGA):
        estimates = [corrected(draw(rng, 1000, omega)[1], omega)[2] for _ in range(300)]
        terms, observed, _ = draw(rng, 200_000, omega)
        error = moments(observed, omega).error_cov()
        cov = sampling_cov(np.cov(terms, rowvar=False), error, PATH, RESIDUAL, 1000)
        seen.append(np.std(estimates, ddof=1))
        told.append(np.sqrt(cov[2, 2]))
    gain, promised = np.log(seen[0] / seen[1]), np.log(told[0] / told[1])
    assert promised < gain + 4 / np.sqrt(300)
    assert promised > gain / 2


def test_slopes_over_the_log_error_variance_are_those_of_the_estimator():
    # With many exchanges, moving kappa by .02 moves the estimate by slope x .02.
    terms, observed, _ = draw(np.random.default_rng(4), 400_000, OMEGA)
    slopes = kappa_slopes(moments(observed, OMEGA), np.cov(terms, rowvar=False), PATH)
    for c in range(3):
        factor = np.ones(3)
        factor[c] = np.exp(0.01)
        both = [corrected(observed, OMEGA * np.outer(f, f)) for f in (factor, 1 / factor)]
        assert (both[0] - both[1]) / 0.04 == pytest.approx(slopes[:, c], abs=0.01)
    assert np.abs(slopes).max() > 0.1


def test_moments_with_other_errors_are_those_of_the_same_scores_with_them():
    less = 0.3 * OMEGA
    rng = np.random.default_rng(5)
    one = moments(draw(rng, 400_000, OMEGA)[1], OMEGA).with_errors(less).error_cov()
    other = moments(draw(rng, 400_000, less)[1], less).error_cov()
    assert one == pytest.approx(other, abs=0.01)


def test_one_predictor_by_hand():
    # M 1, S .5, b .6, residual .7, error of the outcome .4 that covaries .1: s_vv = .7 + .4 - .12 + .18,
    # 1.16; s_uv = .1 - .3 = -.2; so n var(b) = 1.16 x 1.5 + .04.
    cov = sampling_cov(np.eye(1), np.array([[0.5, 0.1], [0.1, 0.4]]), np.array([0.6]), 0.7, 1)
    assert cov[0, 0] == pytest.approx(1.78)


def test_no_error_leaves_ordinary_least_squares():
    cov = sampling_cov(np.eye(2), np.zeros((3, 3)), np.array([0.3, 0.1]), 0.5, 100)
    assert cov == pytest.approx(0.005 * np.eye(2))


def coded_study(rng, choose, coded, reliability, coder, size=8000):
    """Return the estimated log r^2 of score and coder, by regression of the coder on the score."""
    true = np.sqrt(reliability) * rng.standard_normal(size)
    score = true + np.sqrt(1 - reliability) * rng.standard_normal(size)
    spread = np.sqrt(reliability * (1 - coder) / coder)
    chosen = choose(rng, score, coded)
    humans = true[chosen, None] + spread * rng.standard_normal((coded, 2))
    x = score[chosen] - score[chosen].mean()
    slope = x @ humans[:, 0] / (x @ x)
    rest = ((humans[:, 0] - humans[:, 0].mean() - slope * x) ** 2).sum() / (coded - 2)
    square = slope**2 * score.var() / (slope**2 * score.var() + rest)
    return np.log(square)


def at_random(rng, score, coded):
    return rng.permutation(len(score))[:coded]


def outer_thirds(rng, score, coded):
    order = np.argsort(score)
    third = len(score) // 3
    half = coded // 2
    return np.concatenate([rng.permutation(order[:third])[:half], rng.permutation(order[-third:])[:half]])


@pytest.mark.parametrize(("choose", "tilted"), [(at_random, False), (outer_thirds, True)])
def test_what_coding_tells_of_a_reliability_is_that_of_brute_force(choose, tilted):
    # Standard error of a log variance over n replicates: sqrt(2 / n) = .032; four of these. So many coded
    # that the delta method's own error, of the order of 1 / coded, is far below that.
    rng = np.random.default_rng(6)
    reliability, coder, coded = 0.6, 0.7, 1600
    found = [coded_study(rng, choose, coded, reliability, coder) for _ in range(2000)]
    outer = tilt_of(np.random.default_rng(7).standard_normal(100_000))[0]
    exact = Coding(2, 0.0, (7e9, 3e9))  # the coder's reliability is known, .7
    told = exact.kappa_variance(coded, reliability, outer if tilted else 1.0)
    told *= ((1 - reliability) / reliability) ** 2  # from log error variance to log reliability
    assert abs(np.log(np.var(found) / told)) < 4 * np.sqrt(2 / 2000)


def test_the_overlap_tells_a_coders_reliability_as_an_intraclass_correlation_does():
    # Two coders: (1 - p^2)^2 / m, with hardly any prior. The same threshold as above.
    rng = np.random.default_rng(8)
    coding = Coding(2, 1.0, (0.7, 0.3))
    pairs = rng.standard_normal((2000, 1600, 2)) * np.sqrt(0.3) + np.sqrt(0.7) * rng.standard_normal(
        (2000, 1600, 1)
    )
    centred = pairs - pairs.mean(axis=(1, 2), keepdims=True)
    icc = 2 * centred.prod(axis=2).sum(axis=1) / np.square(centred).sum(axis=(1, 2))
    assert abs(np.log(icc.var() / coding.reliability_variance(1600))) < 4 * np.sqrt(2 / 2000)


def test_the_outer_thirds_of_a_normal_have_the_known_mean_square():
    # With z = .4307 at the upper third: E[x^2 | x > z] = 1 + 3 z phi(z) = 1.4697, the middle third's 0.0605.
    outer, middle = tilt_of(np.random.default_rng(9).standard_normal(400_000))
    assert outer == pytest.approx(1.4697, abs=0.01)
    assert middle == pytest.approx(0.0605, abs=0.002)


def test_precisions_add():
    cov = np.array([[0.09, 0.03], [0.03, 0.04]])
    seen = learn(cov, 0, 0.18)
    assert seen == pytest.approx(np.linalg.inv(np.linalg.inv(cov) + np.diag([1 / 0.18, 0])))
    assert learn(np.zeros((2, 2)), 0, 0.5) == pytest.approx(np.zeros((2, 2)))
    assert Parts(0.02, 0.01, 0.01).variance(0.2) == pytest.approx(1 / (1 / 0.04 + 1 / 0.04))


def test_a_score_by_llms():
    errors = LlmErrors(0.1, 0.05, np.array([0.3, 0.3]), np.array([0.2, 0.2]), np.array([1.0, 1.0]))
    assert errors.private() == pytest.approx(0.25)
    assert errors.private(more_replicates=1) == pytest.approx(0.2)  # (0.3 + 0.1) / 2
    assert errors.private(more_llms=2) == pytest.approx(0.125)
    assert errors.private(more_llms=1.5) == pytest.approx((0.5 / 3 + 0.125) / 2)
    assert errors.private(more_replicates=0.5) == pytest.approx(0.225)


def test_priors_are_those_of_measure():
    from bayesdyn.measures.rater import model, parts

    assert SHARED_PRIOR == model.SHARED_PRIOR
    assert CODER_PRIOR == parts.CODER_PRIOR
