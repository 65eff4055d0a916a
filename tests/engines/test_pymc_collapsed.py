"""The collapsed density against the full one: integrating by hand, at any value of what stays."""

import numpy as np
import pymc as pm
import pytest

import bayesdyn as bd
from bayesdyn.engines.common import coordinates
from bayesdyn.engines.pymc_collapsed import build_collapsed, chain_rows, multipliers
from bayesdyn.engines.pymc_model import build
from bayesdyn.structure.problem import prepare
from small_problems import make_problem

NOISY = ("session means", "dyad centred, unrated", "grand centred", "two lags", "time", "groups and spreads")


def laws(model: pm.Model):
    """All densities but the priors', which both forms share."""
    names = {name: model[name] for name in (p.name for p in model.potentials) if not name.endswith("_lkj")}
    kept = [law for name, law in names.items() if not name.startswith("stability")]
    return model.compile_fn(
        model.replace_rvs_by_values(kept), inputs=model.value_vars, mode="JAX", on_unused_input="ignore"
    )


def dense(now, before, constant):
    """The precision and the mean of the chain, by dense linear algebra."""
    rows, size, count = now.shape
    design = np.zeros((count * rows, count * size))
    for t in range(count):
        design[t * rows : (t + 1) * rows, t * size : (t + 1) * size] = now[:, :, t]
        for lag, coefficient in enumerate(before, start=1):
            if t >= lag:
                design[t * rows : (t + 1) * rows, (t - lag) * size : (t - lag + 1) * size] = coefficient[
                    :, :, t
                ]
    precision = design.T @ design
    return precision, -np.linalg.solve(precision, design.T @ constant.T.ravel()).reshape(count, size)


@pytest.mark.parametrize("case", NOISY)
def test_collapsed_is_the_integral_of_the_full_density(case):
    problem = make_problem(case)
    full, collapsed = build(problem), build_collapsed(problem)
    of_full, of_collapsed = laws(full), laws(collapsed)
    with pm.Model(coords=coordinates(problem)) as parts:
        rows = chain_rows(problem)
    outputs = [rows.now, rows.constant, rows.states, rows.log_spread, *rows.before]
    chain = parts.compile_fn(
        parts.replace_rvs_by_values(outputs), inputs=parts.value_vars, mode="JAX", on_unused_input="ignore"
    )
    data = {name: full[name].get_value() for name in ("latent_centre", "latent_spread")}
    moving = [problem.constructs.index(name) for name in rows.moving]
    rng = np.random.default_rng(1)
    start = collapsed.initial_point()
    differences = []
    for _ in range(3):
        point = {name: value + 0.3 * rng.standard_normal(np.shape(value)) for name, value in start.items()}
        now, constant, states, log_spread, *before = chain(point)
        precision, mean = dense(now, before, constant)
        states = np.array(states)
        states[:, moving] = mean
        raw = (states - data["latent_centre"]) / data["latent_spread"]
        given = {name: value for name, value in point.items() if not name.endswith("_noise")}
        at_mode = sum(float(part) for part in of_full({**given, "latent_raw": raw}))
        integral = at_mode - np.linalg.slogdet(precision)[1] / 2
        differences.append(sum(float(part) for part in of_collapsed(point)) - float(log_spread) - integral)
    np.testing.assert_allclose(differences, 0.0, atol=1e-8)


def test_given_constructs_are_the_fewest_that_leave_every_term_linear():
    names = ("empathy", "exploration", "rapport", "disclosure")
    text = """
    [model]
    name = "m"
    centering = "none"
    paths = '''
    disclosure ~ empathy + exploration + rapport{} + lag(disclosure)
    '''
    [constructs]
    therapist = ["empathy", "exploration"]
    dyad = ["rapport"]
    """

    def given(terms: str) -> tuple[str, ...]:
        spec = bd.load_model(text.format(terms))
        used = [name for name in names if name in spec.names]
        full = {name: 0.7 for name in used}
        measures, _ = bd.simulate(spec, dyads=2, sessions=1, exchanges=4, reliability=full, random_seed=1)
        return multipliers(prepare(measures, spec, "known"))

    assert given("") == ()
    assert given(" + empathy:rapport + exploration:rapport") == ("rapport",)
    assert given(" + empathy:empathy") == ("empathy",)
    assert len(given(" + empathy:rapport:exploration")) == 2


def test_scores_as_they_are_have_nothing_to_integrate():
    with pytest.raises(ValueError, match="no states"):
        build_collapsed(make_problem("none centred, observed"))
