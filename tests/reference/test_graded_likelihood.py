"""The ordinal rater model's density against nested quadrature, one integral per unknown."""

import json
from functools import reduce
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.interpolate import CubicSpline

from bayesdyn.measures.graded.density import Data, Form, Graded, by_exchange, log_likelihood

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
CUT = np.array([[-0.9, 0.1, 0.9, 2.0], [-1.5, -0.4, 0.8, 1.7], [-0.6, 0.5, 1.2, 2.4]])
OWN, BLUR = np.array([0.7, 0.9, 0.6]), np.array([0.5, 0.4, 0.6])


def answered(counts, cut, where, sd):
    """Log probability of counts of answers where the rater sees ``where``."""
    below = stats.norm.cdf((cut - where[..., None]) / sd)
    edges = np.concatenate([np.zeros((*where.shape, 1)), below, np.ones((*where.shape, 1))], axis=-1)
    return (counts * np.log(np.maximum(np.diff(edges, axis=-1), 1e-300))).sum(axis=-1)


def of_rater(counts, r, x, repeated):
    """Probability of a rater's answers given what its kind has in common, at the points x."""
    if not repeated:
        return np.exp(answered(counts, CUT[r], x, OWN[r]))
    seen = x[..., None] + OWN[r] * NODES
    return np.exp(answered(counts, CUT[r], seen, BLUR[r])) @ WEIGHTS


def slow(counts, session, dyad, repeated, llm, s, shares):
    """Sum over dyads of the log of nested integrals over dyad, session, exchange and shared error."""

    def of_exchange(i):
        """The probability as a function of theta, by cubic splines through 601 exact values."""
        theta = np.linspace(-12, 12, 601)
        shared = np.sqrt(1 - s) * theta[..., None] + np.sqrt(s) * NODES
        mixed = any(llm) and not all(llm)
        humans = [of_rater(counts[i, r], r, theta, repeated[r]) for r in range(3) if not (mixed and llm[r])]
        models = [of_rater(counts[i, r], r, shared, repeated[r]) for r in range(3) if mixed and llm[r]]
        alone = reduce(np.multiply, humans)
        return CubicSpline(theta, alone * (reduce(np.multiply, models) @ WEIGHTS) if mixed else alone)

    root = np.sqrt(shares)
    total = 0.0
    for d in np.unique(dyad):
        value = np.ones(len(NODES))
        for number in np.unique(session[dyad == d]):
            level = root[2] * NODES[:, None] + root[1] * NODES
            inside = np.ones(level.shape)
            for i in np.flatnonzero(session == number):
                inside *= of_exchange(i)(level[..., None] + root[0] * NODES) @ WEIGHTS
            value *= inside @ WEIGHTS
        total += np.log(value @ WEIGHTS)
    return total


@pytest.mark.parametrize("repeated", [(False, False, False), (True, False, True)])
@pytest.mark.parametrize("llm", [(True, True, True), (True, True, False)])
@pytest.mark.parametrize("nested", [False, True])
def test_density_is_that_of_nested_quadrature(repeated, llm, nested):
    rng = np.random.default_rng(3)
    session = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    owner = np.array([0, 0, 1, 1])
    counts = np.zeros((8, 3, 5))
    for r in range(3):
        number = 4 if repeated[r] else 1
        counts[:, r] = rng.multinomial(number, [0.4, 0.3, 0.15, 0.1, 0.05], 8)
    counts[2, 1] = counts[5] = 0  # unrated by one, and by all
    distinct = [
        np.unique(np.vstack([np.zeros(5), counts[:, r]]), axis=0, return_inverse=True) for r in range(3)
    ]
    most = max(len(rows) for rows, _ in distinct)
    s, shares = 0.3, np.array([0.6, 0.25, 0.15]) if nested else np.array([1.0, 0.0, 0.0])
    with jax.enable_x64(True):
        data = Data(
            counts=jnp.stack([jnp.pad(rows, ((0, most - len(rows)), (0, 0))) for rows, _ in distinct]),
            pattern=jnp.stack([place.reshape(-1)[1:] for _, place in distinct], axis=1),
            often=jnp.asarray(session == np.arange(4)[:, None], dtype=float), owner=jnp.asarray(owner),
        )  # fmt: skip
        at = Graded(*map(jnp.asarray, (CUT, OWN, BLUR, s, shares)))
        found = log_likelihood(data, at, Form(repeated, llm, nested, nested, 0.1, 2))
    each = session if nested else np.arange(8)
    expected = slow(counts, each, owner[session] if nested else each, repeated, llm, s, shares)
    # The quadratures differ: 80 Gauss-Hermite nodes against a trapezoid of step .1 cut off at 6 SD.
    assert float(found) == pytest.approx(expected, abs=2e-5)


def test_density_and_scores_are_those_of_two_programs_in_r():
    """``graded_probit.R``: own Gauss-Hermite likelihood and ordinal::clmm2, which agree to 1e-7."""
    told = json.loads((Path(__file__).parent / "graded_probit.json").read_text())
    a, t = np.array(told["maximum"]["a"]), np.array(told["maximum"]["t"])
    value, count = np.array(told["patterns"]["value"]), np.array(told["patterns"]["count"], dtype=float)
    with jax.enable_x64(True):
        data = Data(
            counts=jnp.tile(jnp.concatenate([jnp.zeros((1, 5)), jnp.eye(5)]), (3, 1, 1)),
            pattern=jnp.asarray(value), often=jnp.asarray(count)[None], owner=jnp.zeros(1, int),
        )  # fmt: skip
        form = Form((False,) * 3, (True,) * 3, False, False, 0.1, 1)

        def at(x):
            a, t = jnp.exp(x[:3]), x[3:].reshape(3, 4)
            one = jnp.ones(3)
            return Graded(t / a[:, None], 1 / a, one, jnp.zeros(()), jnp.array([1.0, 0.0, 0.0]))

        best = jnp.asarray(np.concatenate([np.log(a), t.ravel()]))
        found, slope = jax.value_and_grad(lambda x: log_likelihood(data, at(x), form))(best)
        away = by_exchange(data.counts, data.pattern, at(best), form)
        weight = np.asarray(jax.nn.softmax(away - 0.5 * jnp.square(form.grid), axis=1))
        x = np.asarray(form.grid)
    assert float(found) == pytest.approx(told["maximum"]["log_likelihood"], abs=1e-5)
    # A maximum for us too: the curvature is in the hundreds, so a slope of .05 is 1e-4 away.
    assert np.abs(slope).max() < 0.05
    mean = weight @ x
    np.testing.assert_allclose(mean, told["scores"]["mean"], atol=2e-5)
    sd = np.sqrt(weight @ np.square(x) - np.square(mean))
    np.testing.assert_allclose(sd, told["scores"]["sd"], atol=2e-5)
