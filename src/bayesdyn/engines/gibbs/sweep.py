"""One Gibbs sweep: states, then everything else on their cross-products."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.gibbs.coefficients import Coefficients
from bayesdyn.engines.gibbs.covariances import by_scatter, inverse_of
from bayesdyn.engines.gibbs.facts import Facts
from bayesdyn.engines.gibbs.gaussian import Precisions
from bayesdyn.engines.gibbs.group_effects import GroupEffects
from bayesdyn.engines.gibbs.hamiltonian import TWO_STAGE, SlopeAt, hamiltonian, whitener
from bayesdyn.engines.gibbs.integrated import Integrated
from bayesdyn.engines.gibbs.lanes import Lanes, lay
from bayesdyn.engines.gibbs.layout import ONE_DEVICE, Bringing, Layout, rows_of, spread_priors, states_of
from bayesdyn.engines.gibbs.model import Law, Model, Unknowns
from bayesdyn.engines.gibbs.packing import pack
from bayesdyn.engines.gibbs.places import Dealt
from bayesdyn.engines.gibbs.shifts import Shifts
from bayesdyn.engines.gibbs.spreads import SpreadPrior
from bayesdyn.engines.gibbs.states import LaneLaw, States
from bayesdyn.engines.gibbs.steps import Steps
from bayesdyn.engines.gibbs.sums import Columns, Rows, Sums, columns_of, sums
from bayesdyn.engines.gibbs.term_parts import changed, means_of, parts_of
from bayesdyn.structure.problem import Problem

type Curvature = dict[str, jax.Array]
"""Curvature of densities, by the names of moves: what their metric is learnt from."""


class State(NamedTuple):
    """All that one chain is at: a checkpoint holds it."""

    key: jax.Array
    unknowns: Unknowns
    states: jax.Array
    steps: Steps


class Kept(NamedTuple):
    """What is kept of a sweep: the unknowns, and the acceptance of the moves (moves,)."""

    unknowns: Unknowns
    accepted: jax.Array


@dataclass(frozen=True)
class Sweep:
    """The sweeps of a problem, sessions dealt to devices or not; methods are traced, properties constant.

    ``facts`` and ``laid`` are given where a program is made (:meth:`at`).
    """

    problem: Problem
    dtype: str = "float64"
    dealt: Dealt | None = None
    facts: Facts[jax.Array] | None = None
    laid: Layout | None = None

    def at(self, rows: Rows) -> "Sweep":
        """Return the sweeps with the facts of a program's arguments in the place of the problem's own."""
        return replace(self, facts=rows.facts, laid=self.layout)

    @cached_property
    def model(self) -> Model:
        """Return the problem as the blocks take it."""
        return Model(self.problem, self.facts)

    @cached_property
    def layout(self) -> Layout:
        """Return where the exchanges stand."""
        if self.laid is not None:
            return self.laid
        session_of = self.problem.session_of
        return Layout(lay(session_of, self.dealt), pack(session_of, self.dealt))

    @property
    def lanes(self) -> Lanes:
        """Return in which lanes the exchanges stand."""
        return self.layout.lanes

    @cached_property
    def coefficients(self) -> Coefficients:
        """Return the Gaussian blocks."""
        return Coefficients(self.model)

    @cached_property
    def noisy(self) -> bool:
        """Return whether scores have errors."""
        return self.problem.measurement != "none"

    @cached_property
    def states(self) -> States:
        """Return the updates of the states."""
        return states_of(self.model, self.lanes)

    @cached_property
    def priors(self) -> dict[str, tuple[int, SpreadPrior]]:
        """Return size and prior of each covariance by name."""
        return spread_priors(self.model)

    @cached_property
    def moves(self) -> tuple[str, ...]:
        """Return the names of the Hamiltonian moves."""
        scaled = (effects.named for effects in self.group_effects.values())
        return (*self.priors, *scaled, *(_moves_of(name) for name in self.integrated))

    @cached_property
    def integrated(self) -> dict[str, Integrated]:
        """Return the move of each construct that has states and errors, by its name."""
        moved = self.states.moved if self.noisy else ()
        return {
            self.problem.constructs[c]: Integrated(self.model, self.states, c, self.priors) for c in moved
        }

    @cached_property
    def group_effects(self) -> dict[str, GroupEffects]:
        """Return the updates of groups' effects by kind of group."""
        return {
            name: GroupEffects(self.coefficients, name, *self.priors[name], self.dealt)
            for name in self.model.groups
        }

    def rows(self, bring: Bringing = ONE_DEVICE) -> Rows:
        """Return the problem's arrays, brought to where the sweeps are made."""
        return rows_of(self.problem, self.layout, self.dtype, bring)

    def factors(self, unknowns: Unknowns) -> dict[str, jax.Array]:
        """Return every covariance's factor."""
        return {
            name: spreads.factor_of(unknowns.factors[name], size) for name, (size, _) in self.priors.items()
        }

    def precisions(self, factors: dict[str, jax.Array]) -> Precisions:
        """Return the inverse covariances of innovations and of starts."""
        size = len(self.model.own)
        later = jnp.zeros((size, size))
        for number, block in enumerate(self.model.blocks):
            later = later.at[np.ix_(block, block)].set(inverse_of(factors[f"residual_{number}"]))
        return Precisions(later, inverse_of(factors["start"]))

    def kappa(self, unknowns: Unknowns) -> jax.Array:
        """Return the log scale of each construct's error variance."""
        return unknowns.kappa_raw * self.model.facts.kappa_sd

    def law(self, unknowns: Unknowns) -> Law:
        """Return the law at the unknowns."""
        return self.model.law(self.model.path(unknowns.free), unknowns.level_mean, unknowns.effects)

    def columns(self, states: jax.Array) -> Columns:
        """Return the columns of states (C, T, L)."""
        return columns_of(states, self.problem.spec.order)

    def sums(self, columns: Columns, rows: Rows) -> Sums:
        """Return the columns' cross-products."""
        return sums(self.model.expansion, self.model.own, columns, rows)

    def begin_metric(self) -> dict[str, jax.Array]:
        """Return the metrics that are learnt, as they begin: about as if nothing were integrated out."""
        count = len(self.problem.t)
        found = {_moves_of(name): count * jnp.eye(one.size) for name, one in self.integrated.items()}
        for effects in self.group_effects.values():
            found |= effects.begin_metric
        return found

    def __call__(
        self, state: State, rows: Rows, given: Sums | None, probe: jax.Array
    ) -> tuple[State, Kept, Curvature]:
        """Return the state after one sweep.

        Parameters
        ----------
        given
            The sums where no state is latent.
        probe
            Whether moves whose metrics are learnt look at the curvature of their densities.
        """
        key, of_states, of_rest = jax.random.split(state.key, 3)
        unknowns, states, chances, curvature = state.unknowns, state.states, {}, {}
        if given is None:
            unknowns, columns, chances, curvature = self._latent(of_states, state, rows, probe)
            given = self.sums(columns, rows)
            states = jnp.stack(columns.now)
        unknowns, accepted, looked = self._rest(of_rest, unknowns, given, state.steps, probe)
        chances, curvature = chances | accepted, curvature | looked
        every = jnp.stack([chances[name] for name in self.moves])
        # Effects are most of what is kept, and are kept as precisely as the states.
        effects = {name: effect.astype(self.dtype) for name, effect in unknowns.effects.items()}
        kept = Kept(unknowns._replace(effects=effects), every)
        return State(key, unknowns, states, state.steps), kept, curvature

    def _latent(
        self, key: jax.Array, state: State, rows: Rows, probe: jax.Array
    ) -> tuple[Unknowns, Columns, dict[str, jax.Array], Curvature]:
        """Move and draw one construct after the other, all others given."""
        model, moves, unknowns = self.model, self.states, state.unknowns
        dtype, columns = state.states.dtype, self.columns(state.states)
        levels = model.levels(model.path(unknowns.free), unknowns.level_mean, unknowns.effects)
        expanded, slopes_of = model.expanded(levels), model.slopes(unknowns.effects)
        means = means_of(model, levels, dtype, rows.places)

        def law_of(unknowns: Unknowns) -> LaneLaw:
            common = model.common(model.path(unknowns.free))
            return moves.laid(
                model.law_at(common + slopes_of, expanded, levels["session"]), dtype, rows.places
            )

        law, precisions = law_of(unknowns), self.precisions(self.factors(unknowns))
        innovations = _kept(moves.innovations(law, columns, rows))
        chances, curvature = {}, {}
        for one in self.integrated.values():
            rows = one.scored(unknowns, rows)
        for c, own in zip(moves.moved, jax.random.split(key, len(moves.moved)), strict=True):
            name, (of_move, of_draw) = self.problem.constructs[c], jax.random.split(own)
            change = _kept(moves.change(c, law, innovations, columns, rows))
            if name in self.integrated:
                one, step = self.integrated[name], state.steps.log_step[self.moves.index(_moves_of(name))]
                parts = parts_of(model, c, one.free, means, columns, rows)
                density = one.density(unknowns, precisions.later, change, parts, columns, rows)
                metric = state.steps.metric[_moves_of(name)]
                unknowns, far, moved = one.move(of_move, unknowns, density, metric, jnp.exp(step), probe)
                change, rows = changed(change, parts, far, rows.later), one.scored(unknowns, rows)
                chances[_moves_of(name)], curvature[_moves_of(name)] = moved.chance, moved.curvature
                law, precisions = law_of(unknowns), self.precisions(self.factors(unknowns))
            errors = moves.errors(c, self.kappa(unknowns), columns, rows)
            # Barriers: XLA would else fuse what makes an array into each of its uses, and make it many times.
            weighted = moves.weighted(change, precisions.later)
            chain = _kept(moves.chain(c, change, weighted, rows, precisions.start, errors))
            columns = columns.put(c, _kept(moves.draw(of_draw, c, chain, columns.now[c], rows.places)))
            innovations = _kept(moves.changed(change, columns, rows, innovations, c))
        return unknowns, columns, chances, curvature

    def _rest(
        self, key: jax.Array, unknowns: Unknowns, given: Sums, steps: Steps, probe: jax.Array
    ) -> tuple[Unknowns, dict[str, jax.Array], Curvature]:
        """Draw everything but the states, given their cross-products."""
        blocks, names = self.coefficients, list(self.model.groups)
        keys = iter(jax.random.split(key, 4 + 8 * len(names) + len(self.moves)))
        chances: dict[str, jax.Array] = {}
        curvature: Curvature = {}

        def move(name: str, slope_at: SlopeAt, point: jax.Array, count: jax.Array | int) -> jax.Array:
            step = jnp.exp(steps.log_step[self.moves.index(name)])
            if name in steps.metric:
                factor = whitener(steps.metric[name])
                found = hamiltonian(next(keys), slope_at, point, factor, step, TWO_STAGE, probe)
                curvature[name] = found.curvature
            else:
                scale = jnp.full(point.shape, 1 / jnp.sqrt(1.0 + count))
                found = hamiltonian(next(keys), slope_at, point, scale, step)
            chances[name] = found.chance
            return found.point

        factors = self.factors(unknowns)
        precisions = self.precisions(factors)
        unknowns = blocks.draw_paths(next(keys), unknowns, given, precisions)
        unknowns = blocks.draw_means(next(keys), unknowns, given, precisions)
        inverses = {}
        for name in names:
            effects = self.group_effects[name]
            unknowns, inverses[name] = effects(keys, unknowns, given, precisions, move)
        unknowns = Shifts(self.model).down(next(keys), unknowns, inverses)
        for name in names:
            unknowns = Shifts(self.model).up(next(keys), name, unknowns, inverses[name])
        law = self.law(unknowns)
        scatter = jnp.einsum("svu,sux,swx->vw", law.weights, given.gram, law.weights)
        deviation = given.starts - law.means
        scatters: dict[str, tuple[jax.Array, jax.Array | int]] = {
            f"residual_{number}": (scatter[np.ix_(block, block)], self.model.facts.later)
            for number, block in enumerate(self.model.blocks)
        }
        scatters["start"] = (deviation.T @ deviation, len(deviation))
        scatters |= {name: (effect.T @ effect, len(effect)) for name, effect in unknowns.effects.items()}
        points = dict(unknowns.factors)
        for name, (size, prior) in self.priors.items():
            total, count = scatters[name]
            slope_at = jax.value_and_grad(
                partial(by_scatter, size=size, prior=prior, total=total, count=count)
            )
            points[name] = move(name, slope_at, points[name], count)
        return unknowns._replace(factors=points), chances, curvature


_kept = jax.lax.optimization_barrier


def _moves_of(construct: str) -> str:
    """Return the name of a construct's integrated move."""
    return f"{construct} integrated"
