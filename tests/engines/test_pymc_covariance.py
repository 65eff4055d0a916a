"""The covariance factor's density against the LKJ density and the numerical Jacobian of its map."""

import numpy as np
import pymc as pm
import pytest

from bayesdyn.engines.pymc_covariance import covariance_factor


@pytest.mark.parametrize(("size", "eta"), [(2, 2.0), (3, 2.0), (4, 1.3)])
def test_potential_is_the_lkj_density_of_the_mapped_correlations(size, eta):
    with pm.Model() as model:
        factor = covariance_factor("c", size, 1.0, eta)
    sd, partial = (model[f"c_{name}"] for name in ("sd", "partial"))
    value = model.rvs_to_values[partial]
    outputs = model.replace_rvs_by_values([factor, model["c_lkj"]])
    function = model.compile_fn(
        outputs, inputs=model.value_vars, mode="FAST_COMPILE", on_unused_input="ignore"
    )
    below = np.tril_indices(size, -1)
    sd_name = model.rvs_to_values[sd].name

    def correlations(raw):
        lower, potential = function({value.name: raw, sd_name: np.zeros(size)})
        return lower @ lower.T, float(potential)

    rng = np.random.default_rng(1)
    differences = []
    for _ in range(4):
        raw = rng.normal(0, 0.7, len(below[0]))
        corr, potential = correlations(raw)
        np.testing.assert_allclose(np.diag(corr), 1.0, atol=1e-12)
        step = 1e-6
        jacobian = np.column_stack(
            [
                (correlations(raw + step * e)[0] - correlations(raw - step * e)[0])[below] / (2 * step)
                for e in np.eye(len(raw))
            ]
        )
        # LKJ (2009): p(R) proportional to det(R)^(eta - 1).
        expected = (eta - 1) * np.linalg.slogdet(corr)[1] + np.linalg.slogdet(jacobian)[1]
        differences.append(potential - expected)
    np.testing.assert_allclose(differences, differences[0], atol=1e-6)


def test_far_out_the_factor_stays_finite_and_is_excluded():
    with pm.Model() as model:
        factor = covariance_factor("c", 3, 1.0, 2.0)
    value = model.rvs_to_values[model["c_partial"]].name
    sd = model.rvs_to_values[model["c_sd"]].name
    outputs = model.replace_rvs_by_values([factor, model["c_lkj"]])
    function = model.compile_fn(
        outputs, inputs=model.value_vars, mode="FAST_COMPILE", on_unused_input="ignore"
    )
    lower, potential = function({value: np.array([30.0, -30.0, 400.0]), sd: np.zeros(3)})
    assert np.isfinite(lower).all()
    assert potential == -np.inf


@pytest.mark.parametrize(("log_sd", "partial"), [(np.log(0.9e-4), 0.0), (0.0, 10.0)])
def test_next_to_singular_is_excluded(log_sd, partial):
    with pm.Model() as model:
        covariance_factor("c", 2, 1.0, 2.0)
    value, sd = (model.rvs_to_values[model[f"c_{name}"]].name for name in ("partial", "sd"))
    logp = model.compile_logp()
    inside = {value: np.array([9.0]), sd: np.array([np.log(1.1e-4), 0.0])}
    assert np.isfinite(logp(inside))
    assert logp({value: np.array([partial]), sd: np.array([log_sd, 0.0])}) == -np.inf
