"""Draws of groups' effects that hold the mean over dyads, and what moves between levels while it stays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import block_diag

from bayesdyn.engines.gibbs import gaussian, shifts
from bayesdyn.engines.gibbs.block import start
from bayesdyn.engines.gibbs.covariances import inverse_of
from bayesdyn.engines.gibbs.gaussian import Held, Quadratic, draw_across, draw_held
from bayesdyn.engines.gibbs.sweep import Sweep
from gibbs_cases import MODEL, known_problem

# Effects of dyads, of sessions and of groups of dyads in what is centred at the mean over dyads.
LEVELS = """
disclosure ~ empathy + lag(rapport) + empathy:lag(rapport) + lag(disclosure)
disclosure ~ (1 + empathy | dyad) + (1 | session)
emotion ~ lag(emotion)
empathy ~ (1 | dyad) + (1 | session) + (1 | therapist)
rapport ~ (1 | dyad) + (1 | session)
"""


def test_held_draws_are_those_of_the_conditional_normal(monkeypatch):
    """Their mean and covariance, from draws along each direction of the noise, by dense linear algebra."""
    groups, size, places = 4, 3, np.array([0, 2])
    rng = np.random.default_rng(2)
    half = rng.standard_normal((groups, size, size))
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    with jax.enable_x64(True):
        precision = half @ half.swapaxes(1, 2) + 0.5 * np.eye(size)
        linear, total = rng.standard_normal((groups, size)), rng.standard_normal(2)
        held = Held(weights, places, jnp.asarray(total))
        noises = iter([np.zeros((groups, size)), *np.eye(groups * size).reshape(-1, groups, size)])
        monkeypatch.setattr(gaussian.jax.random, "normal", lambda *_: jnp.asarray(next(noises)))
        quadratic = Quadratic(jnp.asarray(precision), jnp.asarray(linear))
        drawn = [np.ravel(draw_held(jax.random.key(0), quadratic, held)) for _ in range(1 + groups * size)]
    covariance = np.asarray(block_diag(*np.linalg.inv(precision)))
    sums = np.zeros((2, groups, size))
    for q, place in enumerate(places):
        sums[q, :, place] = weights
    sums, total = sums.reshape(2, -1), np.asarray(total)
    gain = covariance @ sums.T @ np.linalg.inv(sums @ covariance @ sums.T)
    mean = covariance @ np.ravel(linear)
    root = np.array(drawn[1:]).T - drawn[0][:, None]
    np.testing.assert_allclose(drawn[0], mean + gain @ (total - sums @ mean), atol=1e-10)
    np.testing.assert_allclose(root @ root.T, covariance - gain @ sums @ covariance, atol=1e-10)


def test_draws_across_are_of_their_normals_and_lean_away(monkeypatch):
    """Noise is a z + b e with a^2 + b^2 = 1, e fresh, whatever normals z was of."""
    size, rng = 3, np.random.default_rng(4)
    halves = rng.standard_normal((2, size, size))
    with jax.enable_x64(True):
        before, after = (jnp.asarray(half @ half.T + 0.5 * np.eye(size)) for half in halves)
        now, known = (Quadratic(a, jnp.asarray(rng.standard_normal(size))) for a in (before, after))
        mean, spread = jnp.linalg.solve(now.precision, now.linear), jnp.linalg.cholesky(now.precision)

        def drawn(noise, fresh):
            monkeypatch.setattr(gaussian.jax.random, "normal", lambda *_: jnp.asarray(fresh))
            values = mean + jnp.linalg.solve(spread.T, jnp.asarray(noise))
            return np.asarray(draw_across(jax.random.key(0), now, values, known))

        middle = drawn(np.zeros(size), np.zeros(size))
        by_old = np.stack([drawn(e, np.zeros(size)) - middle for e in np.eye(size)], axis=1)
        by_fresh = np.stack([drawn(np.zeros(size), e) - middle for e in np.eye(size)], axis=1)
        covariance = np.linalg.inv(known.precision)
        np.testing.assert_allclose(middle, covariance @ known.linear, atol=1e-10)
        np.testing.assert_allclose(by_old @ by_old.T + by_fresh @ by_fresh.T, covariance, atol=1e-10)
        leaning = np.linalg.cholesky(known.precision).T @ by_old
        np.testing.assert_allclose(leaning, leaning[0, 0] * np.eye(size), atol=1e-10)
        assert -0.7 < leaning[0, 0] < -0.3


@pytest.fixture(scope="module")
def sweep():
    with jax.enable_x64(True):
        yield Sweep(known_problem(MODEL.format("grand", LEVELS)))


def levels_of(sweep, unknowns):
    return sweep.model.levels(sweep.model.path(unknowns.free), unknowns.level_mean, unknowns.effects)


def test_moves_between_levels_change_no_mean_that_a_law_holds(sweep):
    """Those of sessions, and those over dyads; dyads' own means are in no term of this model."""
    unknowns = start(sweep, 1, 0).unknowns
    inverses = {name: inverse_of(factor) for name, factor in sweep.factors(unknowns).items()}
    own, before = shifts.Shifts(sweep.model), levels_of(sweep, unknowns)
    moves = [lambda key, at: own.down(key, at, inverses)]
    moves += [lambda key, at, name=name: own.up(key, name, at, inverses[name]) for name in sweep.model.groups]
    moved = []
    for key, move in zip(jax.random.split(jax.random.key(3), len(moves)), moves, strict=True):
        after = move(key, unknowns)
        for level, held in (("session", slice(None)), ("grand", sorted(sweep.model.expansion.centres))):
            now = levels_of(sweep, after)[level]
            np.testing.assert_allclose(now[:, held], before[level][:, held], atol=1e-12)
        moved.append(not np.allclose(after.effects["dyad"], unknowns.effects["dyad"]))
    # Down, and up from dyads; sessions' effects could not go up without the mean over dyads.
    assert moved == [True, True, False, False]
    assert own.up(jax.random.key(3), "session", unknowns, inverses["session"]) is unknowns


def test_steps_down_have_the_density_of_the_effects_that_they_make(sweep, monkeypatch):
    """Of steps that add up to 0 over dyads, the only ones that there are."""
    unknowns, said = start(sweep, 1, 0).unknowns, []
    factors = sweep.factors(unknowns)
    inverses = {name: inverse_of(factors[name]) for name in sweep.model.groups}
    rng = np.random.default_rng(4)

    def drawn(_, quadratic, held):
        step = rng.standard_normal(quadratic.linear.shape)
        step[:, held.places] -= step[:, held.places].mean(axis=0)
        said.append(
            float(np.sum(step * (quadratic.linear - 0.5 * (quadratic.precision @ step[..., None])[..., 0])))
        )
        np.testing.assert_allclose(held.of(step), held.total, atol=1e-12)
        return jnp.asarray(step)

    def log_prior(at):
        of = [jnp.sum(at.effects[name] @ inverses[name] * at.effects[name]) for name in ("dyad", "session")]
        return -0.5 * float(sum(of))

    monkeypatch.setattr(shifts, "draw_held", drawn)
    for _ in range(3):
        moved = shifts.Shifts(sweep.model).down(jax.random.key(0), unknowns, inverses)
        np.testing.assert_allclose(log_prior(moved) - log_prior(unknowns), said[-1], atol=1e-10)
