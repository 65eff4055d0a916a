"""Sessions of one rated exchange each, such as ratings of whole conversations: no levels, and told as one."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesdyn.measures.dataset import Notes
from bayesdyn.measures.gathering.cells import gather_cells
from bayesdyn.measures.rater.density import Data, Parameters, log_likelihood
from bayesdyn.measures.rater.parts import CODER_PRIOR, RELIABILITY_PRIOR, Assumed, prepare
from bayesdyn.measures.rater.patterns import gather_statistics
from bayesdyn.measures.rater.places import find_places
from bayesdyn.tables import KEY, check_ratings

KINDS = ["llm", "llm", "llm", "human", "human", "human"]
ASSUMED = Assumed("auto", RELIABILITY_PRIOR, CODER_PRIOR, (1.0, 4.0), levels=True)


def prepared(make_world, assumed, length):
    """Return six raters' part of one construct, 50 sessions of that many exchanges, and its notes."""
    world = make_world(
        3, sessions=50, length=length, constructs=("empathy",), severity=(0.0,) * 6,
        discrimination=(1.0,) * 6, error_sd=(0.5,) * 6, kinds=KINDS,
    )  # fmt: skip
    table = check_ratings(world.ratings)
    notes = Notes()
    cells = gather_cells(table, table[KEY].drop_duplicates().reset_index(drop=True))
    places = find_places(cells, 400, notes)
    return prepare(cells, places, 0, np.arange(6, dtype=np.intp), assumed, notes), places, notes.sentences


def density(statistics):
    with jax.enable_x64(True):
        names = ("count", "total", "cross", "mask", "q", "noise", "member", "centre")
        data = Data(**{name: jnp.asarray(getattr(statistics, name)) for name in names})
        nothing = jnp.array([1.0, 0.0, 0.0])
        at = Parameters(
            mu=jnp.linspace(2.8, 3.2, 6), g=jnp.linspace(0.5, 0.9, 6), sigma=jnp.linspace(0.4, 0.7, 6),
            h=jnp.array([0.3, 0.2, 0.4, 0.0, 0.0, 0.0]), w=jnp.asarray(0.0), true_share=nothing,
            error_share=nothing,
        )  # fmt: skip
        return float(log_likelihood(data, at))


def test_one_session_of_sums_has_the_density_of_fifty(make_world):
    part, places, _ = prepared(make_world, ASSUMED, length=1)
    apart = gather_statistics(
        part.value, part.q, part.noise, places.session, places.dyad, np.nanmean(part.value, axis=0)
    )
    assert len(apart.count) == 50
    assert part.problem.statistics.count.shape == (1, 1)
    # Levels that are off have a variance of 1e-14 in the density: hence not closer.
    assert density(part.problem.statistics) == pytest.approx(density(apart), rel=1e-9)


def test_the_notes_say_that_levels_are_not_told_apart(make_world):
    part, _, notes = prepared(make_world, ASSUMED, length=1)
    assert not part.problem.sessions
    assert not part.problem.dyads
    assert sum("stands under exchange" in sentence for sentence in notes) == 1
    unasked = prepared(make_world, replace(ASSUMED, levels=False), length=1)
    assert not any("stands under exchange" in sentence for sentence in unasked[2])


def test_sessions_of_two_exchanges_keep_their_levels(make_world):
    part, _, notes = prepared(make_world, ASSUMED, length=2)
    assert part.problem.sessions
    assert len(part.problem.statistics.count) == 50
    assert not any("stands under exchange" in sentence for sentence in notes)
