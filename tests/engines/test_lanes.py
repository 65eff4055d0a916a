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


def _chain(steps: int, order: int) -> Chain:
    rng = np.random.default_rng(steps)
    below = rng.uniform(-1, 1, (order, steps, LANES))
    begins = steps // 3  # a session starts here
    for k in range(1, order + 1):
        below[k - 1, :k] = 0.0
        below[k - 1, begins : begins + k] = 0.0
    diagonal = 0.3 + np.abs(below).sum(axis=0)
    for k in range(1, order + 1):
        diagonal[:-k] += np.abs(below[k - 1, k:])
    linear = rng.normal(size=(steps, LANES))
    return Chain(*jax.tree.map(jax.numpy.asarray, (diagonal, tuple(below), linear)))


def _dense(chain: Chain, lane: int) -> tuple[np.ndarray, np.ndarray]:
    precision = np.diag(np.asarray(chain.diagonal)[:, lane])
    for k, below in enumerate(chain.below[: len(precision) - 1], 1):
        beside = np.asarray(below)[k:, lane]
        precision += np.diag(beside, -k) + np.diag(beside, k)
    return np.linalg.inv(precision), np.asarray(chain.linear)[:, lane]


def _every(walking, halving):
    """Return what solves chains of each order, and the order; halving is for one lag only."""
    return [(walking, 1), (halving, 1), (walking, 2), (walking, 3)]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 13])
@pytest.mark.parametrize(("moments", "order"), _every(moments_walking, moments_halving))
def test_moments_are_those_of_dense_algebra(steps, moments, order):
    chain = _chain(steps, order)
    found, entropy = moments(chain), 0.0
    for lane in range(LANES):
        covariance, linear = _dense(chain, lane)
        mean = covariance @ linear
        second = covariance + np.outer(mean, mean)
        entropy += 0.5 * np.linalg.slogdet(covariance)[1]
        np.testing.assert_allclose(found.mean[:, lane], mean, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found.second[:, lane], np.diag(second), rtol=1e-10, atol=1e-10)
        for k, cross in enumerate(found.cross, 1):
            np.testing.assert_allclose(cross[k:, lane], np.diag(second, -k), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.entropy, entropy, rtol=1e-10)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 13])
@pytest.mark.parametrize(("draw", "order"), _every(draw_walking, draw_halving))
def test_a_draw_maps_noise_to_the_covariance(steps, draw, order):
    """A draw is mean + A noise; A A' must be the covariance, whatever direction noise stands for."""
    chain = _chain(steps, order)
    mean = draw(chain, np.zeros((steps, LANES)))
    units = np.eye(steps)[:, :, None] * np.ones(LANES)
    map_of_noise = np.stack([draw(chain, unit) - mean for unit in units], axis=1)
    for lane in range(LANES):
        covariance, linear = _dense(chain, lane)
        np.testing.assert_allclose(mean[:, lane], covariance @ linear, rtol=1e-10, atol=1e-10)
        by_noise = map_of_noise[:, :, lane]
        np.testing.assert_allclose(by_noise @ by_noise.T, covariance, rtol=1e-10, atol=1e-10)
