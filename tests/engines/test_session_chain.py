"""Integrals by session against the one of all sessions, and against each session's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesdyn.engines import chain
from bayesdyn.engines.session_chain import padded_places, session_integrals

LENGTHS = (3, 1, 5)
SESSION_OF = np.repeat(np.arange(3), LENGTHS)


def make(size):
    rng = np.random.default_rng(7)
    now, before = rng.standard_normal((2, 5, size, 9))
    before[..., [0, 3, 4]] = 0.0
    return now, before, rng.standard_normal((5, 9))


@pytest.mark.parametrize("size", [1, 3])
def test_each_session_is_integrated_as_if_it_stood_alone(size):
    now, before, constant = make(size)
    with jax.enable_x64(True):
        found = session_integrals(*map(jnp.asarray, (now, before, constant)), padded_places(SESSION_OF, 3))
        for s in range(3):
            at = s == SESSION_OF
            alone = chain.log_integral(*(jnp.asarray(part[..., at]) for part in (now, before, constant)))
            np.testing.assert_allclose(found[s], alone, rtol=1e-10)


def test_without_states_only_the_squares_are_left():
    _, _, constant = make(1)
    none = np.zeros((5, 0, 9))
    with jax.enable_x64(True):
        found = session_integrals(*map(jnp.asarray, (none, none, constant)), padded_places(SESSION_OF, 3))
    squares = -0.5 * (constant**2).sum(axis=0)
    np.testing.assert_allclose(found, [squares[s == SESSION_OF].sum() for s in range(3)], rtol=1e-10)


def test_places_are_filled_up_with_a_stand_in():
    np.testing.assert_array_equal(
        padded_places(SESSION_OF, 3).T, [[0, 1, 2, 9, 9], [3, 9, 9, 9, 9], [4, 5, 6, 7, 8]]
    )
