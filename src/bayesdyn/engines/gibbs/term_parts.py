"""What free coefficients' terms are in one construct's states: what multiplies them, and the rest."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.expansion import Mean, state_before
from bayesdyn.engines.gibbs.model import Levels, Model
from bayesdyn.engines.gibbs.places import Places
from bayesdyn.engines.gibbs.states import Change
from bayesdyn.engines.gibbs.sums import Columns, Rows, monomial

type Means = dict[Mean, jax.Array]
"""Latent means (T, L) where the exchanges stand; (1, 1) where all sessions share one."""


class Part(NamedTuple):
    """Terms of free coefficients in one equation: what they add to one array.

    That multiplies the states ``back`` exchanges before, or no states (None). ``free`` (F,) tells which
    coefficients, ``values`` are F arrays (T, L), or with one step or lane where all share a number.
    """

    back: int | None
    outcome: int
    free: NDArray[np.int64]
    values: tuple[jax.Array, ...]


def means_of(model: Model, levels: Levels, dtype: jnp.dtype, places: Places) -> Means:
    """Return the latent means that terms hold."""
    used = {mean for entry in model.expansion.entries for mean in entry.means}
    # In one order, so that a compiled program is found again.
    found = {(level, c): levels[level][:, c].astype(dtype) for level, c in sorted(used)}
    return {
        mean: value[:1, None] if mean[0] == "grand" else places.spread(value) for mean, value in found.items()
    }


def parts_of(
    model: Model, c: int, free: NDArray[np.int64], means: Means, columns: Columns, rows: Rows
) -> list[Part]:
    """Return the terms of free coefficients (F,) in construct c, gathered by what they add to."""
    paths, terms, outcomes = model.within
    found: dict[tuple[int | None, int], list[tuple[int, jax.Array]]] = {}
    for f, which in enumerate(free):
        for i in np.flatnonzero(model.paths.pick[paths, which]):
            for back, value in _term(model, c, int(terms[i]), means, columns, rows).items():
                found.setdefault((back, int(outcomes[i])), []).append((f, value))
    kept = jax.lax.optimization_barrier
    return [
        Part(*key, np.array([f for f, _ in terms]), kept(tuple(value for _, value in terms)))
        for key, terms in found.items()
    ]


def _term(
    model: Model, c: int, term: int, means: Means, columns: Columns, rows: Rows
) -> dict[int | None, jax.Array]:
    """Return what a term is, by what multiplies the states so far before, or none."""
    sums: dict[int | None, jax.Array] = {}
    for entry in model.expansion.entries:
        if entry.term != term:
            continue
        primitives = model.expansion.monomials[entry.monomial]
        own = [(state_before(k), c) for k in range(len(columns.states))]
        back = next((k for k, one in enumerate(own) if one in primitives), None)
        value = monomial(tuple(one for one in primitives if one not in own), columns, rows)
        one = jnp.ones((1, 1), rows.later.dtype)
        value = entry.sign * (one if value is None else value)
        for mean in entry.means:
            value = value * means[mean]
        sums[back] = sums[back] + value if back in sums else value
    return sums


def changed(change: Change, parts: list[Part], step: jax.Array, later: jax.Array) -> Change:
    """Return what innovations are made of with coefficients that are ``step`` (F,) farther.

    ``later`` (T, L) is 1 where an exchange has one before it, else 0.
    """
    rest, moving = dict(change.rest), tuple(map(dict, change.moving))
    for part in parts:
        steps = step[part.free].astype(part.values[0].dtype)
        terms = [steps[k] * term for k, term in enumerate(part.values)]
        moved = sum(terms[1:], terms[0])
        moved = later * moved if part.back is None else moved
        made = rest if part.back is None else moving[part.back]
        made[part.outcome] = made.get(part.outcome, 0.0) - moved
    return change._replace(rest=rest, moving=moving)
