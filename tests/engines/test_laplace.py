"""Integrals over arrows: exact where the density is normal, near quadrature elsewhere."""

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.stats import multivariate_normal

from bayesdyn.engines.laplace import Arrow, average_weights, integrate

GROUP_OF = np.array([0, 0, 1])


def normal_arrow() -> tuple[Arrow, np.ndarray]:
    """Return blocks y_s ~ N(A_s z + B_s w, I), w flat but for N(0, I / 4): and what the integrals are."""
    rng = np.random.default_rng(3)
    a, b, y = (rng.standard_normal(shape) for shape in ((3, 4, 2), (3, 4, 3), (3, 4)))

    def value(shared, own):
        rest = y - np.einsum("sre,bse->bsr", a, shared[:, GROUP_OF]) - np.einsum("srm,bsm->bsr", b, own)
        prior = -2.0 * np.sum(own**2, axis=2) + 3 * 0.5 * np.log(4 / (2 * np.pi))
        return -0.5 * np.sum(rest**2, axis=2) - 2 * np.log(2 * np.pi) + prior

    def slope(shared, own):
        rest = y - np.einsum("sre,bse->bsr", a, shared[:, GROUP_OF]) - np.einsum("srm,bsm->bsr", b, own)
        by_shared = np.zeros_like(shared)
        np.add.at(by_shared, (slice(None), GROUP_OF), np.einsum("sre,bsr->bse", a, rest))
        return by_shared, np.einsum("srm,bsr->bsm", b, rest) - 4.0 * own

    expected = []
    for group in (0, 1):
        members = np.flatnonzero(group == GROUP_OF)
        loading = np.concatenate(a[members])
        cov = np.eye(4 * len(members)) + loading @ loading.T
        for place, s in enumerate(members):
            at = slice(4 * place, 4 * place + 4)
            cov[at, at] += b[s] @ b[s].T / 4
        expected.append(multivariate_normal.logpdf(y[members].ravel(), np.zeros(len(cov)), cov))
    return Arrow(GROUP_OF, 2, 3, 2, value, slope), np.array(expected)


def test_a_normal_density_is_integrated_exactly_with_equal_weights():
    arrow, expected = normal_arrow()
    found = integrate(arrow, (np.ones((2, 2)), np.ones((3, 3))), np.random.default_rng(1), 4)
    np.testing.assert_allclose(found.value, expected, rtol=1e-8)
    np.testing.assert_allclose(found.ess, 8.0, rtol=1e-8)
    assert found.settled.all()
    assert (found.mcse < 1e-8).all()


def test_another_density_is_integrated_within_its_monte_carlo_error():
    # One group, one block: 1 ~ N((1 + 0.3 z) w, 1), w ~ N(0, 1). A product, with one mode (at z < -3.3 there
    # is another, of no weight): of densities with two, one only is found.
    def value(shared, own):
        rest = 1 - (1 + 0.3 * shared[..., 0]) * own[..., 0]
        return -0.5 * rest**2 - 0.5 * own[..., 0] ** 2

    def slope(shared, own):
        rest = 1 - (1 + 0.3 * shared[..., 0]) * own[..., 0]
        by_own = rest * (1 + 0.3 * shared[..., 0]) - own[..., 0]
        return (0.3 * rest * own[..., 0])[..., None], by_own[..., None]

    arrow = Arrow(np.array([0]), 1, 1, 1, value, slope)
    start = (np.full((1, 1), 0.5), np.full((1, 1), 0.5))
    found = integrate(arrow, start, np.random.default_rng(1), 20_000)
    by_quadrature = dblquad(
        lambda w, z: np.exp(-0.5 * ((1 - (1 + 0.3 * z) * w) ** 2 + w**2 + z**2)) / np.sqrt(2 * np.pi),
        *(-9, 9, -9, 9),
    )[0]
    assert found.settled.all()
    # The standard error is itself estimated, from 20,000 pairs: four of them.
    assert abs(found.value[0] - np.log(by_quadrature)) < 4 * found.mcse[0]
    assert found.mcse[0] < 0.005


def test_weights_are_averaged_as_by_hand():
    weight = np.array([[1.0, 3.0], [2.0, 2.0], [4.0, 6.0]])[:, :, None]
    value, ess, mcse = average_weights(np.log(weight))
    assert value[0] == pytest.approx(np.log(3.0))  # (1 + 3 + 2 + 2 + 4 + 6) / 6
    assert ess[0] == pytest.approx(18**2 / 70)
    # Pair means 2, 2, 5: SD sqrt(3), over sqrt(3) pairs, over the mean.
    assert mcse[0] == pytest.approx(1 / 3)
