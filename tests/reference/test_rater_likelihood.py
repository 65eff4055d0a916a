"""The slow, obvious likelihood of the rater model: one dense multivariate normal of all ratings."""

from dataclasses import asdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayesdyn.measures.rater.density import Data, Parameters, log_likelihood
from bayesdyn.measures.rater.patterns import gather_statistics, pad


def dense_log_likelihood(value, q, noise, session, dyad, mu, g, h, sigma, w, true_share, error_share):
    n, raters = value.shape
    covariance = np.zeros((n, raters, n, raters))
    for i in range(n):
        for j in range(n):
            same = np.array([i == j, session[i] == session[j], dyad[i] == dyad[j]], dtype=float)
            covariance[i, :, j] = (np.outer(g, g) + np.outer(h, h)) * (true_share @ same)
            covariance[i, :, j] += np.diag(sigma**2) * (error_share[1:] @ same[1:])
        covariance[i, :, i] += np.diag(sigma**2 * error_share[0] * (1 - w + w * q[i]) + noise[i])
    rated = np.isfinite(value).ravel()
    whole = covariance.reshape(n * raters, -1)[np.ix_(rated, rated)]
    return multivariate_normal.logpdf(value.ravel()[rated], np.tile(mu, n)[rated], whole)


@pytest.mark.parametrize("raters", [1, 2, 4])
@pytest.mark.parametrize("bins", [1, 4, None])
@pytest.mark.parametrize("levels", ["none", "session", "both"])
def test_fast_likelihood_equals_the_dense_one(raters, bins, levels):
    rng = np.random.default_rng(raters)
    n = 50
    dyad = rng.integers(0, 4, n)
    session = dyad * 3 + rng.integers(0, 3, n)
    value = rng.normal(3, 1, (n, raters))
    value[rng.random((n, raters)) < 0.25] = np.nan
    q = rng.gamma(2, 0.5, (n, raters)) if bins is None else rng.integers(1, bins + 1, (n, raters)) / bins
    noise = 0.1 / rng.integers(1, 4, (n, raters))
    mu, g = rng.normal(3, 0.5, raters), rng.uniform(0.3, 1.2, raters)
    h = rng.uniform(0, 0.6, raters) * (np.arange(raters) < raters - 1)
    sigma, w = rng.uniform(0.2, 0.9, raters), 0.4
    shares = {"none": ([1, 0, 0], [1, 0, 0]), "session": ([0.7, 0.3, 0], [0.9, 0.1, 0]),
              "both": ([0.6, 0.25, 0.15], [0.7, 0.2, 0.1])}  # fmt: skip
    true_share, error_share = (np.array(share, dtype=float) for share in shares[levels])
    found = gather_statistics(value, q, noise, session, dyad, np.full(raters, 2.9))

    def padded(x):
        return jnp.asarray(np.pad(x, (0, 2)))

    with jax.enable_x64(True):
        data = Data(**asdict(pad(found, 8, 16, 64, raters + 2)))
        at = Parameters(*map(padded, (mu, g, h, sigma)), w, true_share, error_share)  # type: ignore[arg-type]
        fast = float(jax.jit(log_likelihood)(data, at))
    dense = dense_log_likelihood(value, q, noise, session, dyad, mu, g, h, sigma, w, true_share, error_share)
    assert fast == pytest.approx(dense, rel=1e-10)
