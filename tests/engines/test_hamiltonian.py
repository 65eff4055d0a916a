"""Hamiltonian moves leave a density as it is: 40,000 exact draws are moved 20 times and set beside new ones.

x is the log of a Gamma(2) variable, y is normal about x with SD .7: skewed, and the metric is not its own.
What would fail it: a mean of x, y, their squares or their product more than four standard errors from that
of exact draws (chance of one of five in right moves: one in 3,000).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesdyn.engines.gibbs.hamiltonian import EIGHT_STEPS, TWO_STAGE, hamiltonian, leapfrogs

CHAINS = 40_000


def log_density(point):
    return 2 * point[0] - jnp.exp(point[0]) - 0.5 * ((point[1] - point[0]) / 0.7) ** 2


def exact(rng):
    x = np.log(rng.gamma(2.0, size=CHAINS))
    return np.stack([x, x + 0.7 * rng.standard_normal(CHAINS)], axis=1)


def numbers(points):
    x, y = np.asarray(points).T
    return np.stack([x, y, x**2, y**2, x * y])


@pytest.mark.parametrize(
    ("splitting", "step"),
    [(TWO_STAGE, 1.5), (leapfrogs(3), 0.7), (EIGHT_STEPS, 0.4)],
    ids=["two stages", "three leapfrogs", "eight"],
)
def test_moves_leave_a_density_as_it_is(splitting, step):
    with jax.enable_x64(True):
        factor = jnp.array([[0.8, 0.0], [0.5, 0.6]])

        def moved(points, key):
            def one(key, point):
                return hamiltonian(key, jax.value_and_grad(log_density), point, factor, step, splitting)

            found = jax.vmap(one)(jax.random.split(key, CHAINS), points)
            return found.point, found.chance.mean()

        rng = np.random.default_rng(7)
        begin = exact(rng)
        end, chances = jax.lax.scan(moved, jnp.asarray(begin), jax.random.split(jax.random.key(3), 20))
        # Both ends have Monte Carlo error, and are all but independent after 20 moves.
        fresh, kept, chance = numbers(exact(rng)), numbers(end), float(chances.mean())
    z = (kept.mean(axis=1) - fresh.mean(axis=1)) / np.sqrt((fresh.var(axis=1) + kept.var(axis=1)) / CHAINS)
    assert np.abs(z).max() < 4, z
    assert 0.5 < chance < 0.999
    assert np.abs(np.corrcoef(np.asarray(end).T, begin.T)[:2, 2:]).max() < 0.05
