"""States of one construct at a time, given those of all others: scalar Gaussian chains over all sessions.

In x_t the innovations are e_t = e0_t + a_t x_t + b_t x_{t-1}, where a, b and e0 depend on the others only; so
log p = -sum (d_t x_t^2 / 2 + f_t x_t x_{t-1} - l_t x_t) with d, f, l from a, b, e0 and the scores. A scalar
chain of a corpus stays in the processor's cache, which the joint chain of all constructs does not; that the
others are held costs little, since what an exchange says of two constructs is nearly independent.
"""

from dataclasses import dataclass
from functools import cached_property, partial
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


class Change(NamedTuple):
    """Innovations (V, H, B) without a construct, and what its states now and before add: a and b."""

    rest: jax.Array
    now: jax.Array
    lag: jax.Array


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

    def coefficients(
        self, c: int, law: Law, states: jax.Array, rows: Rows
    ) -> tuple[dict[int, jax.Array], dict[int, jax.Array]]:
        """Return a and b (H, B) of construct c by the outcomes that it moves; 0 at starts."""
        expansion = self.model.expansion
        return (
            self._change(expansion.containing(("now", c)), law, states, rows),
            self._change(expansion.containing(("lag", c)), law, states, rows),
        )

    def _change(self, cofactors: _Cofactors, law: Law, states: jax.Array, rows: Rows) -> dict[int, jax.Array]:
        found: dict[int, jax.Array] = {}
        for v in range(len(self.model.own)):
            parts = [
                law.weights[v, j] * monomial(rest, states, rows)
                for j, rest in cofactors
                if self._places[v, j]
            ]
            if parts:
                found[v] = rows.later * sum(parts[1:], parts[0])
        return found

    @cached_property
    def _linked(self) -> NDArray[np.bool_]:
        """Return which outcomes' residuals covary (V, V)."""
        size = len(self.model.own)
        found = np.zeros((size, size), dtype=bool)
        for block in self.model.blocks:
            found[np.ix_(block, block)] = True
        return found

    def errors(self, c: jax.Array, kappa: jax.Array, states: jax.Array, rows: Rows) -> Errors:
        """Return what the scores say of construct c's states, other constructs' errors given."""
        scale = jnp.exp(-kappa / 2)[:, None, None] * rows.precision
        if self.pattern is None:
            weight = scale[c] ** 2
            return Errors(weight, weight * rows.score[c])
        inverse = jnp.asarray(self.inverse_corr, rows.score.dtype)[:, c][self.pattern]  # (H, B, C)
        error = scale * (rows.score - states)
        error = error.at[c].set(0.0)
        others = sum((inverse[..., k] * error[k] for k in range(1, len(states))), inverse[..., 0] * error[0])
        weight = scale[c] ** 2 * inverse[..., c]
        return Errors(weight, weight * rows.score[c] + scale[c] * others)

    def chain(
        self,
        c: int,
        law: Law,
        precisions: Precisions,
        innovations: jax.Array,
        errors: Errors,
        states: jax.Array,
        rows: Rows,
    ) -> tuple[Chain, Change]:
        """Return the chain of one construct, and what its states change.

        ``law`` is by chunk, ``innovations`` (V, H, B) are those at the present states.
        """
        now, lag = self.coefficients(c, law, states, rows)
        value, earlier = states[c], before(states[c])
        own = list(self.model.own).index(c)
        rest = [
            innovations[v] - _or_zero(now.get(v), value) - _or_zero(lag.get(v), earlier)
            for v in range(len(innovations))
        ]
        rest[own] = rest[own] - rows.start * value
        linked = self._linked
        later, start = (one.astype(value.dtype) for one in precisions)
        diagonal, linear = errors.weight + rows.start * start[own, own], errors.linear
        linear = linear - rows.start * sum(start[own, w] * rest[w] for w in range(len(rest)))
        below, ahead, ahead_linear = (jnp.zeros_like(value) for _ in range(3))
        for w in range(len(rest)):
            by_now = _weighted(later[w], now, linked[w])
            by_lag = _weighted(later[w], lag, linked[w])
            if by_now is not None:
                linear = linear - by_now * rest[w]
                if w in now:
                    diagonal = diagonal + by_now * now[w]
            if by_lag is not None:
                ahead_linear = ahead_linear + by_lag * rest[w]
                if w in now:
                    below = below + by_lag * now[w]
                if w in lag:
                    ahead = ahead + by_lag * lag[w]
        chain = Chain(diagonal + after(ahead), below, linear - after(ahead_linear))
        still = jnp.zeros_like(value)
        own_now = {**now, own: now.get(own, still) + rows.start}
        size = range(len(innovations))
        return chain, Change(
            jnp.stack(rest),
            jnp.stack([own_now.get(v, still) for v in size]),
            jnp.stack([lag.get(v, still) for v in size]),
        )

    def draw(self, key: jax.Array, c: jax.Array, chain: Chain, states: jax.Array) -> jax.Array:
        """Return states (H, B) of construct c; fixed ones as they are, idle places 0."""
        diagonal, below, linear = chain
        filled = jnp.asarray(self.packing.filled)
        free = filled if self.fixed is None else filled & ~jnp.asarray(self.fixed)[c]
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
        if not self.moved:
            return states
        keys, moved = jax.random.split(key, len(self.moved)), jnp.asarray(self.moved)
        chains = [partial(self.chain, c, by_chunk, precisions) for c in self.moved]

        def one(i: jax.Array, carried: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            innovations, states = carried
            c = moved[i]
            errors = self.errors(c, kappa, states, rows)
            # Barriers: XLA would else fuse what makes an array into each of its uses, and make it many times.
            chain, change = _kept(jax.lax.switch(i, chains, innovations, errors, states, rows))
            drawn = _kept(self.draw(keys[i], c, chain, states))
            changed = change.rest + change.now * drawn + change.lag * before(drawn)
            return changed, states.at[c].set(drawn)

        start = _kept(self.innovations(by_chunk, states, rows)), states
        return jax.lax.fori_loop(0, len(self.moved), one, start)[1]


_kept = jax.lax.optimization_barrier


def _or_zero(coefficient: jax.Array | None, value: jax.Array) -> jax.Array:
    return jnp.zeros_like(value) if coefficient is None else coefficient * value


def _weighted(
    weights: jax.Array, vectors: dict[int, jax.Array], linked: NDArray[np.bool_]
) -> jax.Array | None:
    """Return a row of weights times vectors (H, B) by outcome; None where all are 0."""
    parts = [weights[v] * vector for v, vector in vectors.items() if linked[v]]
    return sum(parts[1:], parts[0]) if parts else None
