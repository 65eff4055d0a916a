"""The blocks of the Gibbs sweeps against the reference engine's log density, at 1e-8, option by option."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import block_diag, null_space

import bayesdyn as bd
from bayesdyn.engines.gibbs import coefficients, spreads
from bayesdyn.engines.gibbs.block import start
from bayesdyn.engines.gibbs.coefficients import Coefficients
from bayesdyn.engines.gibbs.covariances import inverse_of, with_effects_out
from bayesdyn.engines.gibbs.expansion import obstacles
from bayesdyn.engines.gibbs.group_effects import GroupEffects
from bayesdyn.engines.gibbs.lanes import before
from bayesdyn.engines.gibbs.layout import fixed_of
from bayesdyn.engines.gibbs.sweep import Sweep
from bayesdyn.engines.gibbs.term_parts import means_of, parts_of
from bayesdyn.structure.problem import prepare
from gibbs_cases import MODELS
from gibbs_oracle import reference_density


def drawn_places(sweep):
    """Return 1 at the states (C, T, L) that are drawn: not at scores taken as they are."""
    fixed = sweep.lanes.laid(fixed_of(sweep.problem))
    return 1.0 * (sweep.lanes.filled & ~fixed)


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    problem = MODELS[request.param]()
    with jax.enable_x64(True):
        sweep = Sweep(problem)
        state, rows = start(sweep, 1, 0), sweep.rows()
        for one in sweep.integrated.values():
            rows = one.scored(state.unknowns, rows)
        noise = jax.random.normal(jax.random.key(3), state.states.shape)
        states = state.states + 0.3 * noise * drawn_places(sweep)
        yield sweep, rows, state.unknowns, states, reference_density(sweep)


def kept_sums(values, held):
    """Return values of groups' effects (groups, K) whose sums are the held ones."""
    return values if held is None else values.at[:, held.places].add(held.total - held.of(values))


def changes(values):
    return np.array(values) - values[0]


def test_effects_have_the_conditional_of_the_reference(case):
    sweep, rows, unknowns, states, density = case
    given, factors = sweep.sums(sweep.columns(states), rows), sweep.factors(unknowns)
    rng = np.random.default_rng(1)
    for name in sweep.model.groups:
        inverse = np.linalg.inv(factors[name] @ factors[name].T)
        for block in sweep.coefficients.effect_blocks(name):
            seen = sweep.coefficients.of_effects(name, block, unknowns, given, sweep.precisions(factors))
            effect = unknowns.effects[name]
            held = sweep.coefficients.held(name, block, unknowns)
            precision, linear = sweep.coefficients.known(name, block, seen, unknowns, inverse)
            theirs, ours = [], []
            for x in map(partial(kept_sums, held=held), jnp.asarray(rng.standard_normal((3, *linear.shape)))):
                moved = {**unknowns.effects, name: effect.at[:, block].set(x)}
                theirs.append(float(density(unknowns._replace(effects=moved), states)))
                ours.append(float(jnp.sum(x * (linear - 0.5 * jnp.einsum("gij,gj->gi", precision, x)))))
            np.testing.assert_allclose(changes(ours), changes(theirs), atol=1e-8)


def test_means_have_the_conditional_of_the_reference(case, monkeypatch):
    sweep, rows, unknowns, states, density = case
    given, precisions = sweep.sums(sweep.columns(states), rows), sweep.precisions(sweep.factors(unknowns))
    said = []

    def middle(_, quadratic):
        said.append(quadratic)
        return jnp.linalg.solve(quadratic.precision, quadratic.linear)

    monkeypatch.setattr(coefficients, "draw", middle)
    blocks = sweep.coefficients
    after = blocks.draw_means(jax.random.key(0), unknowns, given, precisions).level_mean
    rng, at = np.random.default_rng(1), unknowns.level_mean
    for block, (precision, linear) in zip(blocks.mean_blocks, said, strict=True):
        theirs, ours = [], []
        for x in rng.standard_normal((3, len(block))):
            theirs.append(float(density(unknowns._replace(level_mean=at.at[block].set(x)), states)))
            ours.append(float(x @ (linear - 0.5 * precision @ x)))
        np.testing.assert_allclose(changes(ours), changes(theirs), atol=1e-8)
        at = at.at[block].set(after[block])


def test_covariances_move_on_the_reference_density_with_effects_integrated_out(case):
    """Of effects that are one block: over those with the held sums."""
    sweep, rows, unknowns, states, density = case
    given, precisions = sweep.sums(sweep.columns(states), rows), sweep.precisions(sweep.factors(unknowns))
    rng = np.random.default_rng(1)
    for name, effect in unknowns.effects.items():
        blocks = sweep.coefficients.effect_blocks(name)
        if len(blocks) > 1:
            continue
        held = sweep.coefficients.held(name, blocks[0], unknowns)
        seen = sweep.coefficients.of_effects(name, blocks[0], unknowns, given, precisions)
        sums = np.zeros((0, effect.size))
        if held is not None:
            sums = np.stack([held.of(one.reshape(effect.shape)) for one in np.eye(effect.size)], axis=1)
        along = null_space(sums)
        size, prior = sweep.priors[name]
        slope_at = jax.jit(partial(with_effects_out, size=size, prior=prior, seen=seen, held=held))
        ours, theirs = [], []
        begin, away = unknowns.factors[name], rng.standard_normal(len(unknowns.factors[name]))
        for far in (0.0, 0.3, -0.6):
            point = begin + far * away
            ours.append(float(slope_at(point)[0]))
            # What is known of the effects together, less what is known of them given the covariance.
            factor = spreads.factor_of(point, size)
            precision = block_diag(*(seen.precision + np.linalg.inv(factor @ factor.T)))
            inside = along.T @ precision @ along
            toward = along.T @ (np.ravel(seen.linear) - precision @ np.ravel(effect))
            given_all = 0.5 * np.linalg.slogdet(inside)[1] - 0.5 * toward @ np.linalg.solve(inside, toward)
            moved = unknowns._replace(factors={**unknowns.factors, name: point})
            theirs.append(float(density(moved, states)) - given_all)
        np.testing.assert_allclose(changes(ours), changes(theirs), atol=1e-8, err_msg=name)
        step = 1e-5
        ends = [slope_at(begin + sign * step)[0] for sign in (1, -1)]
        np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), jnp.sum(slope_at(begin)[1]), rtol=1e-6)


def test_effects_are_drawn_given_all_else_as_it_is_then(case, monkeypatch):
    """Their covariance's move may move effects of all blocks; then every block is drawn after another."""
    sweep, rows, unknowns, states, _ = case
    given, blocks = sweep.sums(sweep.columns(states), rows), sweep.coefficients
    precisions, drawn = sweep.precisions(sweep.factors(unknowns)), []
    draw, begin = Coefficients.draw_effects, unknowns

    def draw_effects(self, key, name, block, now, unknowns, known):
        again, several = (
            blocks.of_effects(name, block, unknowns, given, precisions),
            len(blocks.effect_blocks(name)) > 1,
        )
        # Present effects are of the covariance of before, where these were integrated out while it moved.
        for found, at in ((known, unknowns), (now, unknowns if several else begin)):
            inverse = inverse_of(sweep.factors(at)[name])
            for one, other in zip(found, blocks.known(name, block, again, unknowns, inverse), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
        drawn.append(name)
        return draw(self, key, name, block, now, unknowns, known)

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
    law, columns = update.laid(sweep.law(unknowns), states.dtype, rows.places), sweep.columns(states)
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
            x = states[c] + 0.5 * noise * drawn_places(sweep)[c]
            theirs.append(float(density(unknowns, states.at[c].set(x))))
            quadratic = 0.5 * chain.diagonal * x**2 - chain.linear * x
            for k, below in enumerate(chain.below, 1):
                quadratic = quadratic + below * x * before(x, k)
            ours.append(-float(jnp.sum(quadratic)))
        np.testing.assert_allclose(changes(ours), changes(theirs), atol=1e-8)


@partial(jax.jit, static_argnums=1)
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
    update, columns = sweep.states, sweep.columns(states)
    law = sweep.law(unknowns)
    by_lane = update.laid(law, states.dtype, rows.places)
    innovations = update.innovations(by_lane, columns, rows)
    levels = sweep.model.levels(sweep.model.path(unknowns.free), unknowns.level_mean, unknowns.effects)
    means = means_of(sweep.model, levels, states.dtype, rows.places)
    later = sweep.precisions(sweep.factors(unknowns)).later
    filled = np.flatnonzero(sweep.lanes.filled.ravel())

    # One program for all constructs and points.
    @jax.jit
    def integrated(at, c):
        def of_states(x):
            return density(at, states.at[c].set(states[c].ravel().at[filled].set(x).reshape(states[c].shape)))

        begin = states[c].ravel()[filled]
        slope, hessian = jax.grad(of_states)(begin), jax.hessian(of_states)(begin)
        value = of_states(begin) - 0.5 * slope @ jnp.linalg.solve(hessian, slope)
        return value - 0.5 * jnp.linalg.slogdet(-hessian)[1]

    for name, one in sweep.integrated.items():
        change = update.change(one.c, by_lane, innovations, columns, rows)
        found = one.density(
            unknowns,
            later,
            change,
            parts_of(sweep.model, one.c, one.free, means, columns, rows),
            columns,
            rows,
        )
        slope_at = jax.jit(found.slope_at)
        rng = np.random.default_rng(5)
        ours, theirs = [], []
        for k in range(3):
            point = found.begin + 0.1 * k * rng.standard_normal(one.size)
            value, slope = slope_at(point)
            ours.append(float(value))
            # By the logs of what is left of the variances: their part of the Jacobian.
            at = one.measured.moves.size
            logs = point[at] + point[at + len(one.block)]
            there = found.unknowns_at(point)
            for factor in (one.residual, "start"):
                logs = logs + log_jacobian(there.factors[factor], one.priors[factor][0])
            theirs.append(float(integrated(there, one.c) + logs))
            if k == 2:
                step = 1e-5
                along = rng.standard_normal(one.size)
                ends = [slope_at(point + sign * step * along)[0] for sign in (1, -1)]
                np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), slope @ along, rtol=1e-6)
        np.testing.assert_allclose(changes(ours), changes(theirs), atol=1e-8, err_msg=name)


@pytest.mark.parametrize(("centring", "said"), [("session", ["a product of empathy's means"]), ("grand", [])])
def test_products_of_means_that_are_made_of_one_another_are_named(centring, said):
    """A session's mean of disclosure holds that of empathy, so their product holds its square."""
    paths = "disclosure ~ mean(empathy) + lag(disclosure)\nemotion ~ disclosure*empathy"
    text = f"[model]\nname = 'far'\ncentering = '{centring}'\npaths = '''\n{paths}\n'''\n"
    spec = bd.load_model(text + "[constructs]\ntherapist = ['empathy']\nclient = ['disclosure', 'emotion']\n")
    measures, _ = bd.simulate(spec, dyads=3, sessions=2, random_seed=1)
    assert obstacles(prepare(measures, spec, "known")) == said


@pytest.mark.parametrize(
    ("label", "said"),
    [("b", ["one coefficient for paths between sessions that follow each other"]), ("c", [])],
)
def test_a_label_along_a_chain_of_means_is_named(label, said):
    """Emotion's mean holds b times that of disclosure, which holds b times that of empathy: b squared."""
    paths = f"disclosure ~ b*mean(empathy) + lag(disclosure)\nemotion ~ {label}*mean(disclosure)"
    text = f"[model]\nname = 'chain'\npaths = '''\n{paths}\n'''\n[constructs]\ntherapist = ['empathy']\n"
    spec = bd.load_model(text + "client = ['disclosure', 'emotion']\n")
    measures, _ = bd.simulate(spec, dyads=3, sessions=2, random_seed=1)
    assert obstacles(prepare(measures, spec, "known")) == said


def test_what_the_sweeps_cannot_do_is_named():
    paths = "disclosure ~ lag(disclosure, 2) + lag(disclosure):lag(disclosure, 3)"
    spec = bd.load_model(f"[model]\nname = 'far'\npaths = '{paths}'\n")
    measures, _ = bd.simulate(spec, dyads=3, random_seed=1)
    said = ["a product of disclosure with itself", "a product of disclosure's means"]
    assert obstacles(prepare(measures, spec, "known")) == said
    assert not [name for name, problem in MODELS.items() if obstacles(problem())]
