"""States of one construct at a time, given those of all others: scalar Gaussian chains over all sessions.

In x_t the innovations are e_t = e0_t + a_t x_t + b_t x_{t-1}, where a, b and e0 depend on the others only; so
log p = -sum (d_t x_t^2 / 2 + f_t x_t x_{t-1} - l_t x_t) with d, f, l from a, b, e0 and the scores. A scalar
chain of a corpus stays in the processor's cache, which the joint chain of all constructs does not; that the
others are held costs little, since what an exchange says of two constructs is nearly independent.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.chain import draw_given
from bayesdyn.engines.gibbs.expansion import Primitive
from bayesdyn.engines.gibbs.gaussian import Precisions
from bayesdyn.engines.gibbs.model import Law, Model
from bayesdyn.engines.gibbs.packing import Packing
from bayesdyn.engines.gibbs.sums import Rows, after, before, monomial

type _Cofactors = list[tuple[int, tuple[Primitive, ...]]]


class Chain(NamedTuple):
    """A scalar chain (H, B): diagonal, what is below it, and the linear term."""

    diagonal: jax.Array
    below: jax.Array
    linear: jax.Array


class Errors(NamedTuple):
    """What one construct's scores say of its states (H, B): weight of x^2, and the linear term."""

    weight: jax.Array
    linear: jax.Array


@dataclass(frozen=True)
class States:
    """The updates of the states; all methods are traced.

    ``fixed`` (C, H, B) marks scores taken as they are; None where all have errors.
    """

    model: Model
    packing: Packing
    inverse_corr: NDArray[np.float64]
    pattern: NDArray[np.int64] | None
    fixed: NDArray[np.bool_] | None

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
        """Return the constructs that have states to draw, multipliers last."""
        free = [c for c in self.model.own if self.fixed is None or not self.fixed[c].all()]
        return tuple(int(c) for c in free)

    def by_chunk(self, law: Law, dtype: jnp.dtype) -> Law:
        """Return weights (V, U, H, 1) and means (V, H, 1) of each chunk's session."""
        weights = law.weights.astype(dtype)[self.packing.session]
        means = law.means.astype(dtype)[self.packing.session]
        return Law(jnp.moveaxis(weights, 0, -1)[..., None], means.T[..., None])

    def innovations(self, law: Law, states: jax.Array, rows: Rows) -> jax.Array:
        """Return innovations (V, H, B), at starts the deviations; ``law`` by chunk."""
        columns = [monomial(one, states, rows) for one in self.model.expansion.monomials]
        found = []
        for v, c in enumerate(self.model.own):
            used = np.flatnonzero(self._places[v])
            value = sum((law.weights[v, j] * columns[j] for j in used[1:]), law.weights[v, 0] * columns[0])
            found.append(rows.later * value + rows.start * (states[c] - law.means[v]))
        return jnp.stack(found)

    def coefficients(self, c: int, law: Law, states: jax.Array, rows: Rows) -> tuple[jax.Array, jax.Array]:
        """Return a and b (V, H, B) of construct c; at starts a is 1 for its own deviation."""
        expansion = self.model.expansion
        own = (np.arange(len(self.model.own)) == list(self.model.own).index(c)).astype(float)
        now = self._change(expansion.containing(("now", c)), law, states, rows)
        lag = self._change(expansion.containing(("lag", c)), law, states, rows)
        return now + own[:, None, None].astype(now.dtype) * rows.start, lag

    def _change(self, cofactors: _Cofactors, law: Law, states: jax.Array, rows: Rows) -> jax.Array:
        found = []
        for v in range(len(self.model.own)):
            value = jnp.zeros_like(rows.later)
            for j, rest in cofactors:
                if self._places[v, j]:
                    value = value + law.weights[v, j] * monomial(rest, states, rows)
            found.append(rows.later * value)
        return jnp.stack(found)

    def errors(self, c: int, kappa: jax.Array, states: jax.Array, rows: Rows) -> Errors:
        """Return what the scores say of construct c's states, other constructs' errors given."""
        scale = jnp.exp(-kappa / 2)[:, None, None] * rows.precision
        if self.pattern is None:
            weight = scale[c] ** 2
            return Errors(weight, weight * rows.score[c])
        inverse = jnp.asarray(self.inverse_corr[:, c], rows.score.dtype)[self.pattern]  # (H, B, C)
        error = scale * (rows.score - states)
        others = sum(
            (inverse[..., k] * error[k] for k in range(len(states)) if k != c), jnp.zeros_like(rows.later)
        )
        weight = scale[c] ** 2 * inverse[..., c]
        return Errors(weight, weight * rows.score[c] + scale[c] * others)

    def chain(
        self, a: jax.Array, b: jax.Array, rest: jax.Array, precisions: Precisions, errors: Errors, rows: Rows
    ) -> Chain:
        """Return the chain of one construct: ``rest`` (V, H, B) are its innovations at 0."""
        later, start = (one.astype(rest.dtype) for one in precisions)
        weighted_a = _times(later, a) * rows.later + _times(start, a) * rows.start
        weighted_b = _times(later, b)
        diagonal = _dot(weighted_a, a) + after(_dot(weighted_b, b)) + errors.weight
        linear = errors.linear - _dot(weighted_a, rest) - after(_dot(weighted_b, rest))
        return Chain(diagonal, _dot(weighted_b, a), linear)

    def draw(self, key: jax.Array, c: int, chain: Chain, states: jax.Array) -> jax.Array:
        """Return states (H, B) of construct c; fixed ones as they are, idle places 0."""
        diagonal, below, linear = chain
        filled = jnp.asarray(self.packing.filled)
        free = filled if self.fixed is None else filled & ~jnp.asarray(self.fixed[c])
        known = jnp.where(free, 0.0, states[c])
        linear = linear - below * before(known) - after(below * known)
        below = jnp.where(free & before(free), below, 0.0)
        one = jnp.ones_like(diagonal)
        flat = (
            jnp.where(free, diagonal, one).reshape(1, 1, -1),
            below.reshape(1, 1, -1),
            jnp.where(free, linear, 0.0).reshape(1, -1),
        )
        noise = jax.random.normal(key, flat[2].shape, flat[2].dtype)
        return jnp.where(free, draw_given(*flat, noise).reshape(diagonal.shape), known)

    def sweep(
        self,
        key: jax.Array,
        law: Law,
        precisions: Precisions,
        kappa: jax.Array,
        states: jax.Array,
        rows: Rows,
    ) -> jax.Array:
        """Return states (C, H, B) with every construct's drawn in turn."""
        dtype = states.dtype
        by_chunk, kappa = self.by_chunk(law, dtype), kappa.astype(dtype)
        innovations = self.innovations(by_chunk, states, rows)
        for own, c in zip(jax.random.split(key, max(len(self.moved), 1)), self.moved, strict=False):
            a, b = self.coefficients(c, by_chunk, states, rows)
            rest = innovations - a * states[c] - b * before(states[c])
            chain = self.chain(a, b, rest, precisions, self.errors(c, kappa, states, rows), rows)
            drawn = self.draw(own, c, chain, states)
            innovations = rest + a * drawn + b * before(drawn)
            states = states.at[c].set(drawn)
        return states


def _times(matrix: jax.Array, vectors: jax.Array) -> jax.Array:
    """Return (V, V) times (V, H, B), written out."""
    return jnp.stack(
        [sum((row[w] * vectors[w] for w in range(1, len(row))), row[0] * vectors[0]) for row in matrix]
    )


def _dot(one: jax.Array, other: jax.Array) -> jax.Array:
    return jnp.sum(one * other, axis=0)
