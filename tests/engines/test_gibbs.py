"""The blocks of the Gibbs sweeps against the reference engine's log density, at 1e-8, option by option."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.engines.gibbs.draw import start
from bayesdyn.engines.gibbs.expansion import obstacles
from bayesdyn.engines.gibbs.sums import before
from bayesdyn.engines.gibbs.sweep import Sweep
from bayesdyn.structure.problem import prepare
from gibbs_oracle import reference_density

MODELS = ("chen2026", "chen2026_within")


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    spec = bd.load_model(request.param)
    measures, _ = bd.simulate(
        spec, dyads=4, sessions=2, exchanges=(5, 9), missing=0.1, kappa_sd=0.2,
        error_corr=0.7 * np.eye(6) + 0.3, random_seed=3,
    )  # fmt: skip
    with jax.enable_x64(True):
        sweep = Sweep(prepare(measures, spec, "known"))
        state, rows = start(sweep, 1, 0), sweep.rows()
        noise = jax.random.normal(jax.random.key(3), state.states.shape)
        states = state.states + 0.3 * noise * sweep.packing.filled
        yield sweep, rows, state.unknowns, states, reference_density(sweep)


def changes(values):
    return np.array(values) - values[0]


def test_effects_have_the_conditional_of_the_reference(case):
    sweep, rows, unknowns, states, density = case
    given, factors = sweep.sums(states, rows), sweep.factors(unknowns)
    rng = np.random.default_rng(1)
    for name in sweep.model.groups:
        inverse = np.linalg.inv(factors[name] @ factors[name].T)
        for block in sweep.coefficients.effect_blocks(name):
            seen = sweep.coefficients.of_effects(name, block, unknowns, given, sweep.precisions(factors))
            effect = unknowns.effects[name]
            rest = np.setdiff1d(np.arange(effect.shape[1]), block)
            precision = seen.precision + inverse[np.ix_(block, block)]
            linear = seen.linear - effect[:, rest] @ inverse[np.ix_(rest, block)]
            theirs, ours = [], []
            for x in rng.standard_normal((3, *linear.shape)):
                moved = {**unknowns.effects, name: effect.at[:, block].set(x)}
                theirs.append(float(density(unknowns._replace(effects=moved), states)))
                ours.append(float(jnp.sum(x * (linear - 0.5 * jnp.einsum("gij,gj->gi", precision, x)))))
            np.testing.assert_allclose(changes(ours), changes(theirs), atol=1e-8)


def test_states_have_the_conditional_of_the_reference(case):
    sweep, rows, unknowns, states, density = case
    update, precisions = sweep.states, sweep.precisions(sweep.factors(unknowns))
    law = update.by_chunk(sweep.law(unknowns), states.dtype)
    innovations = update.innovations(law, states, rows)
    for c in update.moved:
        errors = update.errors(c, sweep.kappa(unknowns), states, rows)
        chain, change = update.chain(c, law, precisions, innovations, errors, states, rows)
        again = change.rest + change.now * states[c] + change.lag * before(states[c])
        np.testing.assert_allclose(again, innovations, atol=1e-12)
        theirs, ours = [], []
        for seed in range(3):
            noise = jax.random.normal(jax.random.key(seed), states[c].shape)
            x = states[c] + 0.5 * noise * sweep.packing.filled
            theirs.append(float(density(unknowns, states.at[c].set(x))))
            quadratic = 0.5 * chain.diagonal * x**2 + chain.below * x * before(x) - chain.linear * x
            ours.append(-float(jnp.sum(quadratic)))
        np.testing.assert_allclose(changes(ours), changes(theirs), atol=1e-8)


def test_what_the_sweeps_cannot_do_is_named():
    spec = bd.load_model("[model]\nname = 'far'\npaths = 'disclosure ~ lag(disclosure, 2)'\n")
    measures, _ = bd.simulate(spec, dyads=3, random_seed=1)
    assert obstacles(prepare(measures, spec, "known")) == ["a lag of more than one exchange"]
