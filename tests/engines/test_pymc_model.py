"""The PyMC model's density against the reference, for every option of the language at least once."""

import numpy as np
import pymc as pm
import pytest

from bayesdyn.engines.pymc_model import build, whitening
from reference.structural_density import log_density
from small_problems import CASES, make_problem


@pytest.mark.parametrize("case", CASES)
def test_density_matches_the_reference_up_to_a_constant(case):
    problem = make_problem(case)
    model = build(problem)
    rng = np.random.default_rng(1)
    names = [variable.name for variable in model.deterministics]
    # The priors of correlations are judged in test_pymc_covariance.
    laws = [potential for potential in model.potentials if not potential.name.endswith("_lkj")]
    potentials = model.replace_rvs_by_values(laws)
    function = model.compile_fn(
        [*potentials, *model.replace_rvs_by_values(model.deterministics)],
        inputs=model.value_vars,
        mode="FAST_COMPILE",
        on_unused_input="ignore",
    )
    start = model.initial_point()
    differences = []
    for _ in range(3):
        point = {name: value + 0.3 * rng.standard_normal(np.shape(value)) for name, value in start.items()}
        found = function(point)
        values = dict(zip(names, found[len(potentials) :], strict=True)) | {"level_mean": point["level_mean"]}
        if problem.spec.time:
            values["decay"] = np.exp(point["decay_log__"])
        total = sum(float(part) for part in found[: len(potentials)])
        assert np.isfinite(total)
        differences.append(total - log_density(problem, values))
    np.testing.assert_allclose(differences, differences[0], atol=1e-8)
    states = len(problem.t) * len(problem.endogenous)
    scores = problem.rated.sum() if problem.measurement != "none" else 0
    dropped = (states + scores) / 2 * np.log(2 * np.pi) + logdet_of_errors(problem)
    np.testing.assert_allclose(differences[0], dropped, atol=1e-6)


def logdet_of_errors(problem) -> float:
    """The model drops log det R / 2 of each exchange: it does not move."""
    if problem.measurement == "none":
        return 0.0
    total = 0.0
    for rated in problem.rated:
        kept = np.flatnonzero(rated)
        total += 0.5 * np.linalg.slogdet(problem.error_corr[np.ix_(kept, kept)])[1]
    return total


def test_gap_becomes_an_exchange_that_nobody_rated():
    problem = make_problem("session means")
    assert (problem.row < 0).sum() == 1
    assert not problem.rated[problem.row < 0].any()
    assert "1 gap in t was filled" in " ".join(problem.notes)


def test_whitening_of_a_pattern_inverts_the_kept_block():
    problem = make_problem("dyad centred, unrated")
    matrices, pattern = whitening(problem)
    for n, rated in enumerate(problem.rated):
        kept = np.flatnonzero(rated)
        whitener = matrices[pattern[n]][np.ix_(kept, kept)]
        block = problem.error_corr[np.ix_(kept, kept)]
        np.testing.assert_allclose(whitener @ block @ whitener.T, np.eye(len(kept)), atol=1e-12)
        assert not matrices[pattern[n]][[c for c in range(4) if c not in kept]].any()


def test_shared_labels_are_one_coefficient_and_fixed_values_stay():
    problem = make_problem("session means")
    model = build(problem)
    drawn = pm.draw(model["path"], draws=5, random_seed=1)
    names = [path.name for path in problem.spec.paths]
    same = drawn[:, names.index("disclosure ~ empathy")], drawn[:, names.index("self_negative ~ empathy")]
    np.testing.assert_array_equal(*same)
    np.testing.assert_array_equal(drawn[:, names.index("self_negative ~ rapport")], 0.2)
    np.testing.assert_array_equal(drawn[:, names.index("empathy ~ lag(disclosure)")], 0.0)
    assert np.ptp(drawn[:, names.index("disclosure ~ rapport")]) > 0


def test_unstable_dynamics_have_no_density():
    problem = make_problem("none centred, observed")
    model = build(problem)
    potential = model["stability_client"]
    own = [path.name for path in problem.spec.paths].index("disclosure ~ lag(disclosure)")
    path = np.zeros(len(problem.spec.paths))
    for value, expected in ((0.9, 0.0), (1.1, -np.inf)):
        path[own] = value
        assert potential.eval({model["path"]: path}) == expected
