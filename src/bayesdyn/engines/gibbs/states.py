"""States of one construct at a time, given those of all others: scalar Gaussian chains over all sessions.

In x_t the innovations are e_t = e0_t + sum_k a_tk x_{t-k}, k from 0 to the longest lag, K, where a and e0
depend on the others only; so log p = -sum (d_t x_t^2 / 2 + sum_k f_tk x_t x_{t-k} - l_t x_t) with d, f, l
from a, e0 and the scores. A scalar chain of a corpus stays in the processor's cache, which the joint chain of
all constructs does not; that the others are held costs little, since what an exchange says of two constructs
is nearly independent.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.expansion import Primitive, state_before
from bayesdyn.engines.gibbs.lanes import after, before
from bayesdyn.engines.gibbs.model import Law, Model
from bayesdyn.engines.gibbs.places import Places
from bayesdyn.engines.gibbs.scalar_chains import Chain, draw
from bayesdyn.engines.gibbs.sums import Columns, Rows, monomial

type Parts = dict[int, jax.Array]
"""Arrays by outcome, 0 where it is absent: (T, L), or of one step or lane where all share a number."""
type _Cofactors = list[tuple[int, tuple[Primitive, ...]]]


class LaneLaw(NamedTuple):
    """Weights by outcome and column: a number, or one for each place; means (V, S) that starts are about."""

    weights: dict[tuple[int, int], jax.Array]
    means: jax.Array


class Innovations(NamedTuple):
    """Innovations of each outcome (T, L), 0 at starts; deviations at starts (V, S)."""

    later: tuple[jax.Array, ...]
    start: jax.Array


class Change(NamedTuple):
    """Innovations without a construct, and what its states now and 1 to K exchanges before add: a.

    ``rest`` is 0 where no exchange is before; ``moving`` (1 + K) need not be, so that what a session's
    exchanges share stays one number. ``start`` (V, S) are the deviations at starts without the construct.
    """

    rest: Parts
    moving: tuple[Parts, ...]
    start: jax.Array


class Weighted(NamedTuple):
    """Rows of the innovations' precision times what innovations are made of."""

    rest: Parts
    moving: tuple[Parts, ...]


class Errors(NamedTuple):
    """What one construct's scores say of its states (T, L): weight of x^2, and the linear term.

    ``others`` is that part of the linear term that other constructs' errors give; None where none correlate.
    """

    weight: jax.Array
    linear: jax.Array
    others: jax.Array | None


@dataclass(frozen=True)
class States:
    """The updates of the states; all methods are traced.

    Attributes
    ----------
    full
        Whether an exchange stands at each place of the lanes.
    fixed
        (C,) which share of each construct's scores is taken as it is: 1 is all, 0 none.
    """

    model: Model
    full: bool
    fixed: tuple[float, ...]

    @cached_property
    def _places(self) -> NDArray[np.bool_]:
        """Return which weights (V, U) can differ from 0."""
        model, problem = self.model, self.model.problem
        found = np.zeros((len(model.own), len(model.expansion.monomials)), dtype=bool)
        found[np.arange(len(model.own)), model.expansion.own] = True
        found[:, 0] = True
        _, terms, outcomes = model.within
        pairs = set(zip(terms, outcomes, strict=True))
        pairs |= set(zip(problem.terms.slope_term, problem.terms.slope_outcome, strict=True))
        for entry in model.expansion.entries:
            for term, outcome in pairs:
                if term == entry.term:
                    found[outcome, entry.monomial] = True
        return found

    @cached_property
    def moved(self) -> tuple[int, ...]:
        """Return the constructs that have states to draw."""
        return tuple(int(c) for c in self.model.own if self.fixed[c] < 1)

    def laid(self, law: Law, dtype: jnp.dtype, places: Places) -> LaneLaw:
        """Return the law where the exchanges stand: what all sessions share stays one number."""
        weights = law.weights.astype(dtype)
        found = {}
        for v, j in zip(*np.nonzero(self._places), strict=True):
            varies = self._varies[v, j]
            value = places.spread(weights[:, v, j]) if varies else weights[0, v, j]
            found[int(v), int(j)] = value
        return LaneLaw(found, law.means.astype(dtype).T)

    @cached_property
    def _varies(self) -> NDArray[np.bool_]:
        """Return which weights (V, U) differ between sessions."""
        table, found = self.model.problem.terms, np.zeros_like(self._places)
        found[:, 0] = True
        _, terms, outcomes = self.model.within
        sloped = set(zip(table.slope_term, table.slope_outcome, strict=True))
        for entry in self.model.expansion.entries:
            for term, outcome in {*zip(terms, outcomes, strict=True), *sloped}:
                # A mean over dyads is one number for all sessions.
                if term == entry.term and (entry.moving(centre_held=True) or (term, outcome) in sloped):
                    found[outcome, entry.monomial] = True
        return found

    def innovations(self, law: LaneLaw, columns: Columns, rows: Rows) -> Innovations:
        """Return the innovations at the present states."""
        later = []
        for v in range(len(self.model.own)):
            parts = [
                _weighted(law.weights[v, int(j)], monomial(self.model.expansion.monomials[j], columns, rows))
                for j in np.flatnonzero(self._places[v])
            ]
            later.append(rows.later * sum(parts[1:], parts[0]))
        first = (rows.places.at_start(columns.now[c]) for c in self.model.own)
        start = [states - law.means[v] for v, states in enumerate(first)]
        return Innovations(tuple(later), jnp.stack(start))

    def change(self, c: int, law: LaneLaw, innovations: Innovations, columns: Columns, rows: Rows) -> Change:
        """Return what the innovations are without construct c, and what it adds to them."""
        expansion = self.model.expansion
        moving = tuple(
            self._cofactors(expansion.containing((state_before(k), c)), law, columns, rows)
            for k in range(len(columns.states))
        )
        rest = {}
        for v in self._near(set().union(*moving)):
            rest[v] = innovations.later[v]
            if any(v in part for part in moving):
                rest[v] = rest[v] - rows.later * _added(v, moving, columns, c)
        start = innovations.start.at[self.model.place(c)].add(-rows.places.at_start(columns.now[c]))
        return Change(rest, moving, start)

    def changed(
        self, change: Change, columns: Columns, rows: Rows, given: Innovations, c: int
    ) -> Innovations:
        """Return the innovations with the states that construct c has now."""
        later = list(given.later)
        for v, value in change.rest.items():
            later[v] = value
            if any(v in part for part in change.moving):
                later[v] = value + rows.later * _added(v, change.moving, columns, c)
        start = rows.places.at_start(columns.now[c])
        return Innovations(tuple(later), change.start.at[self.model.place(c)].add(start))

    def _cofactors(self, cofactors: _Cofactors, law: LaneLaw, columns: Columns, rows: Rows) -> Parts:
        found: Parts = {}
        for v in range(len(self.model.own)):
            parts = [
                _weighted(law.weights[v, j], monomial(rest, columns, rows))
                for j, rest in cofactors
                if self._places[v, j]
            ]
            if parts:
                # Of two dimensions, also where all share one number.
                found[v] = jnp.atleast_2d(sum(parts[1:], parts[0]))
        return found

    def _near(self, outcomes: set[int]) -> list[int]:
        """Return the outcomes, and those whose residuals covary with one of them."""
        blocks = [block for block in self.model.blocks if outcomes & set(block)]
        return sorted(v for block in blocks for v in block)

    def errors(self, c: int, kappa: jax.Array, columns: Columns, rows: Rows) -> Errors:
        """Return what the scores say of construct c's states, other constructs' errors given.

        ``kappa`` is (C,).
        """
        score = rows.score[c]
        shrink = jnp.exp(-kappa / 2).astype(score.dtype)
        scale = [one * precision for one, precision in zip(shrink, rows.precision, strict=True)]
        pattern = rows.places.pattern
        if pattern is None:
            return Errors(scale[c] ** 2, scale[c] ** 2 * score, None)
        inverse = jnp.asarray(self.model.facts.inverse_corr, score.dtype)[:, c]  # (patterns, C)
        others = [
            inverse[pattern, k] * scale[k] * (rows.score[k] - columns.now[k])
            for k in range(len(columns.now))
            if k != c
        ]
        weight, of_others = scale[c] ** 2 * inverse[pattern, c], scale[c] * sum(others[1:], others[0])
        return Errors(weight, weight * score + of_others, of_others)

    def weighted(self, change: Change, later: jax.Array) -> Weighted:
        """Return the rows of the innovations' precision (V, V) times what the innovations are made of."""

        def rows(parts: Parts) -> Parts:
            found = {}
            for w in change.rest:
                block = next(block for block in self.model.blocks if w in block)
                used = [later[w, v].astype(parts[v].dtype) * parts[v] for v in block if v in parts]
                if used:
                    found[w] = sum(used[1:], used[0])
            return found

        return _kept(Weighted(rows(change.rest), tuple(map(rows, change.moving))))

    def chain(
        self, c: int, change: Change, weighted: Weighted, rows: Rows, start: jax.Array, errors: Errors
    ) -> Chain:
        """Return the chain (T, L) of construct c; ``start`` (V, V) is the precision of starts."""
        now, *earlier = weighted.moving
        linear = errors.linear - _products(now, change.rest)
        diagonal, *below = (rows.later * _products(now, other) for other in change.moving)
        diagonal = errors.weight + diagonal
        for k, one in enumerate(earlier, 1):
            # Whole arrays: a shift inside a fused loop is made element by element.
            products = (_products(one, other) for other in (change.rest, *change.moving[k:]))
            of_rest, own, *others = _kept([rows.later * product for product in products])
            diagonal, linear = diagonal + after(own, k), linear - after(of_rest, k)
            below = [
                *(so_far + after(other, k) for so_far, other in zip(below, others, strict=False)),
                *below[len(others) :],
            ]
        row = start[self.model.place(c)].astype(linear.dtype)
        linear = rows.places.add_at_start(linear, -row @ change.start)
        diagonal = rows.places.add_at_start(diagonal, row[self.model.place(c)])
        return Chain(diagonal, tuple(below), linear)

    def draw(self, key: jax.Array, c: int, chain: Chain, states: jax.Array, places: Places) -> jax.Array:
        """Return states (T, L) of construct c; fixed ones as they are, idle places 0."""
        chain, free, known = self.latent(c, chain, states, places)
        noise = jax.random.normal(key, chain.linear.shape, chain.linear.dtype)
        drawn = draw(chain, noise)
        return drawn if free is None else jnp.where(free, drawn, known)

    def latent(
        self, c: int, chain: Chain, states: jax.Array, places: Places
    ) -> tuple[Chain, jax.Array | None, jax.Array]:
        """Return the chain given the fixed states, which are free (None: all), and the fixed ones, else 0."""
        if self.full and not self.fixed[c]:
            return chain, None, jnp.zeros_like(states)
        filled = places.filled
        free = filled if places.fixed is None else filled & ~places.fixed[c]
        known = jnp.where(free, 0.0, jnp.where(filled, states, 0.0))
        linear, below = chain.linear, []
        for k, one in enumerate(chain.below, 1):
            linear = linear - one * before(known, k) - after(one * known, k)
            tied = free & before(free, k)
            below.append(jnp.where(tied, one, 0.0))
        diagonal = jnp.where(free, chain.diagonal, 1.0)
        return Chain(diagonal, tuple(below), jnp.where(free, linear, 0.0)), free, known


_kept = jax.lax.optimization_barrier


def _added(v: int, moving: tuple[Parts, ...], columns: Columns, c: int) -> jax.Array:
    """Return what construct c's states add to the innovation of outcome v."""
    both = zip(moving, columns.states, strict=True)
    parts = [part[v] * states[c] for part, states in both if v in part]
    return sum(parts[1:], parts[0])


def _products(one: Parts, other: Parts) -> jax.Array | float:
    """Return the sum of products over the outcomes that both have."""
    return sum((one[w] * other[w] for w in one if w in other), 0.0)


def _weighted(weight: jax.Array, value: jax.Array | None) -> jax.Array:
    return weight if value is None else weight * value
