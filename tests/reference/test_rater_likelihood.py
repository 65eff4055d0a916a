"""The slow, obvious likelihood of the rater model: one dense multivariate normal per exchange."""

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayesdyn.measures.patterns import find_patterns
from bayesdyn.measures.rater_model import Problem, log_likelihood, make_lane


def dense_log_likelihood(value, q, noise, mu, g, sigma, w):
    total = 0.0
    for y, own_q, own_noise in zip(value, q, noise, strict=True):
        rated = np.isfinite(y)
        if rated.any():
            error = sigma**2 * (1 - w + w * own_q) + own_noise
            covariance = np.outer(g, g) + np.diag(error)
            total += multivariate_normal.logpdf(y[rated], mu[rated], covariance[np.ix_(rated, rated)])
    return total


@pytest.mark.parametrize("raters", [1, 2, 3, 5])
@pytest.mark.parametrize("levels", [1, 4, None])
def test_fast_likelihood_equals_the_dense_one(raters, levels):
    rng = np.random.default_rng(raters)
    n = 60
    value = rng.normal(3, 1, (n, raters))
    value[rng.random((n, raters)) < 0.25] = np.nan
    q = (
        rng.gamma(2, 0.5, (n, raters))
        if levels is None
        else rng.integers(1, levels + 1, (n, raters)) / levels
    )
    noise = 0.1 / rng.integers(1, 4, (n, raters))
    mu, g = rng.normal(3, 0.5, raters), rng.uniform(0.3, 1.2, raters)
    sigma, w = rng.uniform(0.2, 0.9, raters), 0.4
    problem = Problem(find_patterns(value, q, noise), mu, np.ones(raters), tokens=True)
    wide = max(raters, 3)

    def padded(x):
        return np.pad(x, (0, wide - raters), constant_values=1.0)

    with jax.enable_x64(True):
        fast = float(log_likelihood(make_lane(problem, 128, wide), padded(mu), padded(g), padded(sigma), w))
    assert fast == pytest.approx(dense_log_likelihood(value, q, noise, mu, g, sigma, w), rel=1e-10)
