"""Chains solved step by step, and by halving, against dense linear algebra."""

import jax
import numpy as np
import pytest

from bayesdyn.engines.gibbs.scalar_chains import (
    Chain,
    draw_halving,
    draw_walking,
    moments_halving,
    moments_walking,
)

jax.config.update("jax_enable_x64", True)
LANES = 3


def _chain(steps: int) -> Chain:
    rng = np.random.default_rng(steps)
    below = rng.uniform(-1, 1, (steps, LANES))
    below[0] = 0.0
    below[steps // 3] = 0.0  # a session starts here
    diagonal = 0.3 + np.abs(below) + np.abs(np.vstack([below[1:], np.zeros(LANES)]))
    return Chain(*map(jax.numpy.asarray, (diagonal, below, rng.normal(size=(steps, LANES)))))


def _dense(chain: Chain, lane: int) -> tuple[np.ndarray, np.ndarray]:
    diagonal, below, linear = (np.asarray(values)[:, lane] for values in chain)
    precision = np.diag(diagonal) + np.diag(below[1:], -1) + np.diag(below[1:], 1)
    return np.linalg.inv(precision), linear


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 13])
@pytest.mark.parametrize("moments", [moments_walking, moments_halving])
def test_moments_are_those_of_dense_algebra(steps, moments):
    chain = _chain(steps)
    found, entropy = moments(chain), 0.0
    for lane in range(LANES):
        covariance, linear = _dense(chain, lane)
        mean = covariance @ linear
        second = covariance + np.outer(mean, mean)
        entropy += 0.5 * np.linalg.slogdet(covariance)[1]
        np.testing.assert_allclose(found.mean[:, lane], mean, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found.second[:, lane], np.diag(second), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found.cross[1:, lane], np.diag(second, -1), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.entropy, entropy, rtol=1e-10)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 13])
@pytest.mark.parametrize("draw", [draw_walking, draw_halving])
def test_a_draw_maps_noise_to_the_covariance(steps, draw):
    """A draw is mean + A noise; A A' must be the covariance, whatever direction noise stands for."""
    chain = _chain(steps)
    mean = draw(chain, np.zeros((steps, LANES)))
    units = np.eye(steps)[:, :, None] * np.ones(LANES)
    map_of_noise = np.stack([draw(chain, unit) - mean for unit in units], axis=1)
    for lane in range(LANES):
        covariance, linear = _dense(chain, lane)
        np.testing.assert_allclose(mean[:, lane], covariance @ linear, rtol=1e-10, atol=1e-10)
        by_noise = map_of_noise[:, :, lane]
        np.testing.assert_allclose(by_noise @ by_noise.T, covariance, rtol=1e-10, atol=1e-10)
