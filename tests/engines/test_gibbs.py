"""The blocks of the Gibbs sweeps against the reference engine's log density, at 1e-8, option by option."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.gibbs.block import start
from bayesdyn.engines.gibbs.coefficients import Coefficients
from bayesdyn.engines.gibbs.expansion import obstacles
from bayesdyn.engines.gibbs.group_effects import GroupEffects
from bayesdyn.engines.gibbs.lanes import before
from bayesdyn.engines.gibbs.sums import columns_of
from bayesdyn.engines.gibbs.sweep import Sweep
from bayesdyn.engines.gibbs.term_parts import parts_of
from bayesdyn.structure.problem import prepare
from gibbs_oracle import reference_density
from joint_measures import rated_measures

MODELS = ("chen2026", "chen2026_within", "joint")


def known_problem(model):
    spec = bd.load_model(model)
    measures, _ = bd.simulate(
        spec, dyads=4, sessions=2, exchanges=(5, 9), missing=0.1, kappa_sd=0.2,
        error_corr=0.7 * np.eye(6) + 0.3, random_seed=3,
    )  # fmt: skip
    return prepare(measures, spec, "known")


def joint_problem():
    """A coder of some exchanges and three LLMs; token variance, replicates; a fifth of all cells unrated."""
    spec, measures = rated_measures()
    corr = np.array([[1.0, 0.4], [0.4, 1.0]])
    return prepare(measures.assign(error_corr=(("construct", "construct2"), corr)), spec, "joint")


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    problem = {"joint": joint_problem}.get(request.param, lambda: known_problem(request.param))()
    with jax.enable_x64(True):
        sweep = Sweep(problem)
        state, rows = start(sweep, 1, 0), sweep.rows()
        for one in sweep.integrated.values():
            rows = one.scored(state.unknowns, rows)
        noise = jax.random.normal(jax.random.key(3), state.states.shape)
        states = state.states + 0.3 * noise * sweep.lanes.filled
        yield sweep, rows, state.unknowns, states, reference_density(sweep)


def changes(values):
    return np.array(values) - values[0]


def test_effects_have_the_conditional_of_the_reference(case):
    sweep, rows, unknowns, states, density = case
    given, factors = sweep.sums(columns_of(states), rows), sweep.factors(unknowns)
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


def test_effects_are_drawn_given_all_else_as_it_is_then(case, monkeypatch):
    """Their covariance's move may move effects of all blocks, before any of them is drawn."""
    sweep, rows, unknowns, states, _ = case
    given, blocks = sweep.sums(columns_of(states), rows), sweep.coefficients
    precisions, drawn = sweep.precisions(sweep.factors(unknowns)), []
    draw = Coefficients.draw_effects

    def draw_effects(self, key, name, block, seen, unknowns, *rest):
        again = blocks.of_effects(name, block, unknowns, given, precisions)
        for one, other in zip(seen, again, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
        drawn.append(name)
        return draw(self, key, name, block, seen, unknowns, *rest)

    monkeypatch.setattr(Coefficients, "draw_effects", draw_effects)
    for name in sweep.model.groups:
        keys = iter(jax.random.split(jax.random.key(2), 9))
        effects = GroupEffects(blocks, name, *sweep.priors[name])
        moved, inverse = effects(
            keys, unknowns, given, precisions, lambda name, slope, point, count: point + 0.3
        )
        assert drawn.count(name) == len(blocks.effect_blocks(name))
        factor = sweep.factors(moved)[name]
        np.testing.assert_allclose(inverse @ factor @ factor.T, np.eye(len(inverse)), atol=1e-9)


def test_states_have_the_conditional_of_the_reference(case):
    sweep, rows, unknowns, states, density = case
    update, precisions = sweep.states, sweep.precisions(sweep.factors(unknowns))
    law, columns = update.laid(sweep.law(unknowns), states.dtype), columns_of(states)
    innovations = update.innovations(law, columns, rows)
    for c in update.moved:
        errors = update.errors(c, sweep.kappa(unknowns), columns, rows)
        change = update.change(c, law, innovations, columns, rows)
        weighted = update.weighted(change, precisions.later)
        chain = update.chain(c, change, weighted, rows, precisions.start, errors)
        again = update.changed(change, columns, rows, innovations, c)
        for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(innovations), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
        theirs, ours = [], []
        for seed in range(3):
            noise = jax.random.normal(jax.random.key(seed), states[c].shape)
            x = states[c] + 0.5 * noise * sweep.lanes.filled
            theirs.append(float(density(unknowns, states.at[c].set(x))))
            quadratic = 0.5 * chain.diagonal * x**2 + chain.below * x * before(x) - chain.linear * x
            ours.append(-float(jnp.sum(quadratic)))
        np.testing.assert_allclose(changes(ours), changes(theirs), atol=1e-8)


def log_jacobian(point, size):
    """Return the log determinant of a factor's numbers by the elements of its covariance."""
    at = np.tril_indices(size)

    def numbers(elements):
        half = jnp.zeros((size, size)).at[at].set(elements)
        return spreads.point_of(half + jnp.tril(half, -1).T)

    factor = spreads.factor_of(point, size)
    return jnp.linalg.slogdet(jax.jacobian(numbers)((factor @ factor.T)[at]))[1]


def test_moves_are_on_the_reference_density_with_states_integrated_out(case):
    """The reference's density is quadratic in one construct's states: integrated by its Hessian."""
    sweep, rows, unknowns, states, density = case
    update, columns = sweep.states, columns_of(states)
    law = sweep.law(unknowns)
    by_lane = update.laid(law, states.dtype)
    innovations = update.innovations(by_lane, columns, rows)
    levels = dict(zip(("session", "dyad"), sweep.model.levels(
        sweep.model.path(unknowns.free), unknowns.level_mean, unknowns.effects), strict=True))  # fmt: skip
    used = {mean for entry in sweep.model.expansion.entries for mean in entry.means}
    means = {(name, c): sweep.lanes.spread(levels[name][:, c]) for name, c in used}
    later = sweep.precisions(sweep.factors(unknowns)).later
    filled = np.flatnonzero(sweep.lanes.filled.ravel())
    for name, one in sweep.integrated.items():

        def dense(at, c=one.c, one=one):
            def of_states(x):
                return density(
                    at, states.at[c].set(states[c].ravel().at[filled].set(x).reshape(states[c].shape))
                )

            begin = states[c].ravel()[filled]
            slope, hessian = jax.grad(of_states)(begin), jax.hessian(of_states)(begin)
            value = of_states(begin) - 0.5 * slope @ jnp.linalg.solve(hessian, slope)
            value = value - 0.5 * jnp.linalg.slogdet(-hessian)[1]
            for factor in (one.residual, "start"):
                value = value + log_jacobian(at.factors[factor], one.priors[factor][0])
            return value

        change = update.change(one.c, by_lane, innovations, columns, rows)
        found = one.density(
            unknowns,
            later,
            change,
            parts_of(sweep.model, one.c, one.free, means, columns, rows),
            columns,
            rows,
        )
        rng = np.random.default_rng(5)
        ours, theirs = [], []
        for k in range(3):
            point = found.begin + 0.1 * k * rng.standard_normal(one.size)
            value, slope = found.slope_at(point)
            ours.append(float(value))
            # By the logs of what is left of the variances: their part of the Jacobian.
            at = one.measured.moves.size
            logs = point[at] + point[at + len(one.block)]
            theirs.append(float(dense(found.unknowns_at(point)) + logs))
            if k == 2:
                step = 1e-5
                along = rng.standard_normal(one.size)
                ends = [found.slope_at(point + sign * step * along)[0] for sign in (1, -1)]
                np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), slope @ along, rtol=1e-6)
        np.testing.assert_allclose(changes(ours), changes(theirs), atol=1e-8, err_msg=name)


def test_what_the_sweeps_cannot_do_is_named():
    spec = bd.load_model("[model]\nname = 'far'\npaths = 'disclosure ~ lag(disclosure, 2)'\n")
    measures, _ = bd.simulate(spec, dyads=3, random_seed=1)
    assert obstacles(prepare(measures, spec, "known")) == ["a lag of more than one exchange"]
