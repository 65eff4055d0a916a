"""Moves of what one construct's states would hold fast, with these states integrated out.

Given states, 240,000 exchanges tell an error variance, a residual variance and paths to a thousandth; what
the scores tell is far less, and a chain that draws each given the other creeps. So before a construct's
states are drawn, everything that they enter with moves on the density in which they are integrated out, given
all other constructs' states: what their errors go with (kappa, or with ``joint`` their raters' parameters),
their row of the residuals' and of the starts' covariance, the coefficients of the terms that hold them and
of their own equation (partial collapsing: van Dyk & Park 2008, J. Amer. Statist. Assoc. 103, 790-796). The
states are redrawn at once, as validity asks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs import conditional, spreads
from bayesdyn.engines.gibbs.conditional import Others
from bayesdyn.engines.gibbs.expansion import state_before
from bayesdyn.engines.gibbs.expected import (
    Products,
    Slopes,
    expected_square,
    expected_start,
    slope_of_coefficients,
    slope_of_row,
    without_states,
)
from bayesdyn.engines.gibbs.gaussian import Precisions
from bayesdyn.engines.gibbs.hamiltonian import (
    TWO_STAGE,
    Moved,
    SlopeAt,
    hamiltonian,
    leapfrogs,
    whitener,
)
from bayesdyn.engines.gibbs.lanes import dot
from bayesdyn.engines.gibbs.measured import Measured, measured
from bayesdyn.engines.gibbs.model import Model, Unknowns
from bayesdyn.engines.gibbs.scalar_chains import moments
from bayesdyn.engines.gibbs.spreads import SpreadPrior
from bayesdyn.engines.gibbs.states import Change, States
from bayesdyn.engines.gibbs.sums import Columns, Rows
from bayesdyn.engines.gibbs.term_parts import Part, changed


class Point(NamedTuple):
    """Where a move is: what errors go with, rows (:mod:`.conditional`) of two covariances, coefficients."""

    errors: jax.Array
    residual: jax.Array
    start: jax.Array
    free: jax.Array


class Density(NamedTuple):
    """A density over K unknowns of a construct: where they are, its slopes, all unknowns at a point."""

    begin: jax.Array
    slope_at: SlopeAt
    unknowns_at: Callable[[jax.Array], Unknowns]


@dataclass(frozen=True)
class Integrated:
    """The move of one construct; all methods are traced.

    Attributes
    ----------
    c
        The construct.
    priors
        Size and prior of each covariance by name.
    """

    model: Model
    states: States
    c: int
    priors: Mapping[str, tuple[int, SpreadPrior]]

    @cached_property
    def place(self) -> int:
        """Return the construct's place among those that have a law."""
        return self.model.place(self.c)

    @cached_property
    def block(self) -> tuple[int, ...]:
        """Return the outcomes whose residuals covary with the construct's."""
        return next(block for block in self.model.blocks if self.place in block)

    @cached_property
    def residual(self) -> str:
        """Return the name of the residual covariance's factor."""
        return f"residual_{self.model.blocks.index(self.block)}"

    @cached_property
    def free(self) -> NDArray[np.int64]:
        """Return the free coefficients of its equation, and those all of whose terms hold its states."""
        model = self.model
        paths, terms, outcomes = model.within
        own = {(state_before(k), self.c) for k in range(model.problem.spec.order + 1)}
        holds = {
            entry.term
            for entry in model.expansion.entries
            if own & set(model.expansion.monomials[entry.monomial])
        }
        inside = np.zeros(len(model.paths.pick), dtype=bool)
        inside[paths] = np.isin(terms, sorted(holds)) | (outcomes == self.place)
        pick = model.paths.pick > 0
        return np.flatnonzero(pick.any(axis=0) & ~(pick & ~inside[:, None]).any(axis=0))

    @cached_property
    def measured(self) -> Measured:
        """Return how the construct is measured."""
        return measured(self.model, self.c)

    @property
    def size(self) -> int:
        """Return how many numbers move."""
        return self.measured.moves.size + len(self.block) + len(self.model.own) + len(self.free)

    def _split(self, unknowns: Unknowns) -> tuple[Point, Others, Others]:
        def of(name: str, place: int) -> tuple[jax.Array, Others]:
            factor = spreads.factor_of(unknowns.factors[name], self.priors[name][0])
            return conditional.split(factor @ factor.T, place)

        residual, by_block = of(self.residual, self.block.index(self.place))
        start, by_start = of("start", self.place)
        point = Point(self.measured.of(unknowns), residual, start, unknowns.free[self.free])
        return point, by_block, by_start

    def _point(self, values: jax.Array) -> Point:
        ends = np.cumsum([self.measured.moves.size, len(self.block), len(self.model.own)])
        return Point(*jnp.split(values, ends))

    def density(
        self,
        unknowns: Unknowns,
        later: jax.Array,
        change: Change,
        parts: list[Part],
        columns: Columns,
        rows: Rows,
    ) -> Density:
        """Return the density that the move is on.

        Parameters
        ----------
        later
            (V, V) the innovations' present precision.
        change, parts
            Of the present states and coefficients.
        """
        begin, by_block, by_start = self._split(unknowns)
        block = np.ix_(self.block, self.block)

        def law(values: jax.Array) -> tuple[jax.Array, Precisions]:
            point = self._point(values)
            inside = later.at[block].set(conditional.precision(point.residual, by_block))
            start = conditional.precision(point.start, by_start)
            return point.free - begin.free, Precisions(inside, start)

        def rest(values: jax.Array) -> jax.Array:
            point = self._point(values)
            value = -0.5 * self.model.facts.later * point.residual[0]
            value = value - 0.5 * len(self.model.problem.sessions) * point.start[0]
            value = value + conditional.log_prior(point.residual, by_block, self.priors[self.residual][1])
            value = value + conditional.log_prior(point.start, by_start, self.priors["start"][1])
            return value + self._log_prior(point, unknowns)

        def slope_at(values: jax.Array) -> tuple[jax.Array, jax.Array]:
            (far, precisions), back = jax.vjp(law, values)
            moved = changed(change, parts, far, rows.later)
            at = self.measured.put(unknowns, self._point(values).errors)
            value, slopes = self.log_scores(at, moved, parts, precisions, columns, rows)
            known, slope = jax.value_and_grad(rest)(values)
            (through,) = back((slopes.free, Precisions(slopes.later, slopes.start)))
            return value + known, (slope + through).at[: len(slopes.errors)].add(slopes.errors)

        def unknowns_at(values: jax.Array) -> Unknowns:
            point = self._point(values)
            factors = {
                self.residual: spreads.point_of(conditional.joined(point.residual, by_block)),
                "start": spreads.point_of(conditional.joined(point.start, by_start)),
            }
            return self.measured.put(unknowns, point.errors)._replace(
                free=unknowns.free.at[self.free].set(point.free),
                factors={**unknowns.factors, **factors},
            )

        return Density(jnp.concatenate(begin), slope_at, unknowns_at)

    def move(
        self,
        key: jax.Array,
        unknowns: Unknowns,
        density: Density,
        metric: jax.Array,
        step: jax.Array,
        probe: jax.Array,
    ) -> tuple[Unknowns, jax.Array, Moved]:
        """Return the unknowns after a move, how far coefficients moved (F,), and what the move tells.

        Parameters
        ----------
        metric, step, probe
            (K, K) precision, and as :func:`.hamiltonian.hamiltonian` takes them.
        """
        held = np.ones(self.size)
        held[: self.measured.moves.size] = self.measured.moves
        factor = whitener(metric) * held[:, None]
        # Few exchanges leave densities far from normal, where a long step would stick.
        splitting = TWO_STAGE if self.model.many_exchanges else leapfrogs(3)
        found = hamiltonian(key, density.slope_at, density.begin, factor, step, splitting, probe)
        moved = density.unknowns_at(found.point)
        inside = jnp.all(
            jnp.array(
                [
                    jnp.isfinite(spreads.log_prior(moved.factors[name], *self.priors[name]))
                    for name in (self.residual, "start")
                ]
            )
        )
        moved = jax.tree.map(lambda new, old: jnp.where(inside, new, old), moved, unknowns)
        # A held number has no curvature of its own: 1, so that its metric stays.
        curvature = found.curvature + jnp.diag(1 - held)
        told = found._replace(chance=found.chance * inside, curvature=curvature)
        return moved, (moved.free - unknowns.free)[self.free], told

    def log_scores(
        self,
        unknowns: Unknowns,
        change: Change,
        parts: list[Part],
        precisions: Precisions,
        columns: Columns,
        rows: Rows,
    ) -> tuple[jax.Array, Slopes]:
        """Return the log density of scores and other states, and its slopes.

        Of the unknowns only those of the measurement enter; the law is given by the other parameters. The
        density lacks the determinants of the laws' covariances.
        """
        scored = self.measured.scored(self.measured.of(unknowns), rows)
        rows, kappa = scored.rows, unknowns.kappa_raw * self.model.facts.kappa_sd
        errors = self.states.errors(self.c, kappa, columns, rows)
        weighted = self.states.weighted(change, precisions.later)
        chain = _kept(self.states.chain(self.c, change, weighted, rows, precisions.start, errors))
        chain, _, _ = self.states.latent(self.c, chain, columns.now[self.c], rows.places)
        found = moments(chain)
        products = Products(weighted, found, rows.later)
        score, start = rows.score[self.c], precisions.start
        value = found.entropy + 0.5 * dot(chain.linear, found.mean)
        value = value + without_states(errors, score, change, weighted, start)
        # Of the precisions, only the construct's rows move.
        row, of_row = precisions.later[self.place], jnp.zeros(len(self.model.own))
        for v in self.block:
            of_row = of_row.at[v].set(expected_square(change, v, self.place, products))
        first = (rows.places.at_start(one) for one in (found.mean, found.second))
        by_start = expected_start(change, self.place, *first)
        free = slope_of_coefficients(parts, len(self.free), products)
        later = slope_of_row(self.place, self.block, row, of_row)
        slopes = Slopes(scored.slope(errors, found), free, later, -0.5 * by_start)
        return value + scored.beside, slopes

    def scored(self, unknowns: Unknowns, rows: Rows) -> Rows:
        """Return the rows with the construct's scores at the unknowns."""
        return self.measured.scored(self.measured.of(unknowns), rows).rows

    def _log_prior(self, point: Point, unknowns: Unknowns) -> jax.Array:
        """Return the log prior of the measurement and of the coefficients: -inf where lags are not stable."""
        paths, at = self.model.paths, self.free
        deviation = (point.free - paths.loc[at]) / paths.sd[at]
        value = self.measured.log_prior(point.errors) - 0.5 * jnp.sum(deviation**2)
        stable = self.model.stable(self.model.path(unknowns.free.at[at].set(point.free)))
        return jnp.where(stable, value, -jnp.inf)


_kept = jax.lax.optimization_barrier
