"""Recovery of the rater parameters. Threshold: posterior mean within 4 posterior SDs of the truth."""

import numpy as np
import pytest

from bayesdyn.measures.patterns import find_patterns
from bayesdyn.measures.rater_model import Problem, sample_raters
from bayesdyn.measures.tokens import binned, relative_variance

N = 1500


def ratings(seed, discrimination, sigma, w, missing=0.0):
    """y = 3 + severity + discrimination theta + e, theta sd .7; token variance q times a function of y."""
    rng = np.random.default_rng(seed)
    raters = len(discrimination)
    q = rng.gamma(2, 0.5, (N, raters))
    error = rng.normal(size=(N, raters)) * np.array(sigma) * np.sqrt(1 - w + w * q)
    mean = 3 + np.linspace(-0.3, 0.3, raters)
    value = mean + np.array(discrimination) * rng.normal(0, 0.7, (N, 1)) + error
    value[rng.random(value.shape) < missing] = np.nan
    return value, q


def problem_of(value, q, discrimination, tokens=True, prior=(2.0, 2.0)):
    bins = {1: 1, 2: 2, 3: 4}  # 16 bins with two raters, 4 with three and missing ratings: below 256 patterns
    coarse = np.column_stack([binned(column / column.mean(), bins[value.shape[1]]) for column in q.T])
    return Problem(
        find_patterns(value, coarse if tokens else np.ones_like(value), np.zeros_like(value)),
        np.nanmean(value, axis=0), np.nanstd(value, axis=0, ddof=1), tokens, prior, discrimination,
    )  # fmt: skip


def sampled(*problems):
    """Two constructs at a time, so that all tests share one compiled sampler."""
    return sample_raters(problems, random_seed=11)


def assert_recovered(draws, g, sigma, w=None):
    found = {"g": draws.g - np.array(g), "sigma": draws.sigma - np.array(sigma)}
    found["mu"] = draws.mu - (3 + np.linspace(-0.3, 0.3, len(g)))
    if w is not None:
        found["w"] = (draws.w - w)[:, None]
    for name, away in found.items():
        z = away.mean(axis=0) / away.std(axis=0)
        assert np.abs(z).max() < 4, (name, z)
    assert draws.rhat < 1.02
    assert draws.ess > 200
    assert draws.divergences == 0


def test_two_raters_of_different_spread_and_the_token_share():
    # The second rater uses a third of the scale; equally reliable: .49 / (.49 + .25) = .66.
    told, q_told = ratings(1, (1.0, 0.3), (0.5, 0.15), 0.6)
    blind, q_blind = ratings(2, (1.0, 1.0), (0.5, 0.5), 0.0)
    first, second = sampled(
        problem_of(told, q_told, "proportional"), problem_of(blind, q_blind, "proportional")
    )
    assert_recovered(first, (0.7, 0.21), (0.5, 0.15), 0.6)
    assert_recovered(second, (0.7, 0.7), (0.5, 0.5))
    assert second.w.mean() < 0.12
    assert first.w.std() < 0.1


def test_three_raters_with_missing_ratings_and_two_with_equal_discriminations():
    free, q_free = ratings(3, (0.8, 1.0, 1.25), (0.4, 0.6, 0.8), 0.5, missing=0.2)
    equal, q_equal = ratings(4, (1.0, 1.0), (0.35, 0.7), 0.0)
    first, second = sampled(
        problem_of(free, q_free, "free"), problem_of(equal, q_equal, "equal", tokens=False)
    )
    assert_recovered(first, (0.56, 0.7, 0.875), (0.4, 0.6, 0.8), 0.5)
    assert_recovered(second, (0.7, 0.7), (0.35, 0.7))
    assert not second.w.any()


def test_one_rater_has_the_prior_as_its_posterior():
    value, q = ratings(5, (1.0,), (0.5,), 0.0)
    first, second = sampled(
        problem_of(value, q, "single", prior=(6.0, 4.0)), problem_of(value, q, "single", prior=(2.0, 8.0))
    )
    for draws, (a, b) in ((first, (6, 4)), (second, (2, 8))):
        rho = (draws.g**2 / (draws.g**2 + draws.sigma**2)).ravel()
        sd = np.sqrt(a * b / (a + b) ** 2 / (a + b + 1))
        # Monte Carlo error of the mean at 200 effective draws: sd / 14; 4 of them.
        assert abs(rho.mean() - a / (a + b)) < 4 * sd / np.sqrt(200)
        assert abs(rho.std() / sd - 1) < 0.25
        assert not draws.w.any()


def test_dependence_of_token_variance_on_the_score_is_removed():
    value, q = ratings(6, (1.0, 1.0), (0.5, 0.5), 0.0)
    value = np.clip(value, 1.02, 4.98)
    hump = (value[:, 0] - 1) * (5 - value[:, 0]) / 4
    relative = relative_variance(value[:, 0], q[:, 0] * hump)
    assert relative.mean() == pytest.approx(1)
    assert relative.max() < 5.5
    assert abs(np.corrcoef(relative, np.square(value[:, 0] - 3))[0, 1]) < 0.08
    assert np.corrcoef(relative, q[:, 0])[0, 1] > 0.9
    # Ratings without a distribution have the average error variance.
    token = np.where(np.arange(N) < 100, np.nan, q[:, 0])
    np.testing.assert_array_equal(relative_variance(value[:, 0], token)[:100], 1.0)
    assert len(np.unique(binned(relative, 2))) == 16


def test_patterns_keep_count_mean_and_cross_products():
    value = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, np.nan], [np.nan, np.nan]])
    found = find_patterns(value, np.ones((4, 2)), np.zeros((4, 2)))
    assert found.count.tolist() == [1, 2]
    np.testing.assert_array_equal(found.mean, [[4, 0], [2, 3.5]])
    # Deviations -1, 1 and -1.5, 1.5.
    np.testing.assert_array_equal(found.cross[1], [[2, 3], [3, 4.5]])
    np.testing.assert_array_equal(found.mask, [[1, 0], [1, 1]])
