"""The Gaussian chain against dense linear algebra: integral, gradient, draws, for odd and even lengths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesdyn.engines import chain
from bayesdyn.engines.common import LEAST_SD

ROWS, SIZE = 5, 3


def make(count: int):
    """Return A, B, c with a second session where there is room, and the design matrix of all rows."""
    rng = np.random.default_rng(count)
    now, before = rng.standard_normal((2, ROWS, SIZE, count))
    constant = rng.standard_normal((ROWS, count))
    before[..., 0] = 0.0
    if count > 4:
        before[..., 3] = 0.0
    return now, before, constant


def design(now, before):
    count = now.shape[-1]
    blocks = [[jnp.zeros((ROWS, SIZE))] * count for _ in range(count)]
    for t in range(count):
        blocks[t][t] = now[..., t]
        if t:
            blocks[t][t - 1] = before[..., t]
    return jnp.block(blocks)


def dense_integral(now, before, constant):
    rows, added = design(now, before), constant.T.ravel()
    precision, linear = rows.T @ rows, -rows.T @ added
    quadratic = linear @ jnp.linalg.solve(precision, linear) - added @ added
    return 0.5 * quadratic - 0.5 * jnp.linalg.slogdet(precision)[1]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_integral_and_gradient_match_dense_algebra(count):
    with jax.enable_x64(True):
        parts = [jnp.asarray(part) for part in make(count)]
        value, slopes = jax.value_and_grad(chain.log_integral, (0, 1, 2))(*parts)
        expected, dense_slopes = jax.value_and_grad(dense_integral, (0, 1, 2))(*parts)
        np.testing.assert_allclose(value, expected, rtol=1e-10)
        for slope, dense in zip(slopes, dense_slopes, strict=True):
            np.testing.assert_allclose(slope, dense, atol=1e-8)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_draws_have_the_chains_mean_and_covariance(count):
    with jax.enable_x64(True):
        now, before, constant = (jnp.asarray(part) for part in make(count))
        rows = design(now, before)
        covariance = jnp.linalg.inv(rows.T @ rows)
        still = jnp.zeros((SIZE, count))

        def draw(noise):
            return chain.draw_states(now, before, constant, noise).T.ravel()

        np.testing.assert_allclose(draw(still), -covariance @ rows.T @ constant.T.ravel(), atol=1e-9)
        # The draw is linear in its noise: the map's outer product is the covariance, exactly.
        spread = jax.jacobian(draw)(still).reshape(count * SIZE, -1)
        np.testing.assert_allclose(spread @ spread.T, covariance, atol=1e-9)


def test_integral_keeps_its_digits_where_innovations_are_as_small_as_priors_let_them():
    """An AR(1) with an innovation SD of ``LEAST_SD``, against its covariance, which loses no digit there."""
    count, lag, error = 200, 0.4, 0.7
    score = np.random.default_rng(1).standard_normal(count)
    now = np.stack([np.full((1, count), 1 / LEAST_SD), np.full((1, count), -1 / error)])
    before = np.stack([np.full((1, count), -lag / LEAST_SD), np.zeros((1, count))])
    before[..., 0] = 0.0
    constant = np.stack([np.zeros(count), score / error])
    with jax.enable_x64(True):
        found = chain.log_integral(*(jnp.asarray(part) for part in (now, before, constant)))
    root = np.linalg.inv(np.eye(count) - lag * np.eye(count, k=-1)) * LEAST_SD
    cov = root @ root.T + error**2 * np.eye(count)
    expected = -0.5 * (score @ np.linalg.solve(cov, score) + np.linalg.slogdet(cov)[1])
    expected += count * (np.log(LEAST_SD) + np.log(error))
    np.testing.assert_allclose(float(found), expected, atol=1e-6)
