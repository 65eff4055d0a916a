"""Paths, grand means and effects of groups, each a Gaussian block given the rest."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.gaussian import (
    Held,
    Precisions,
    Quadratic,
    by_session,
    draw,
    draw_across,
    draw_held,
)
from bayesdyn.engines.gibbs.model import Effects, Law, Model, Unknowns
from bayesdyn.engines.gibbs.sums import Sums
from bayesdyn.structure.language.priors import resolve_priors

_NONE = np.empty(0, dtype=np.int64)

type Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Coefficients:
    """The updates of everything that sessions' innovations are affine in; all methods are traced."""

    model: Model

    @cached_property
    def _free_within(self) -> Indices:
        """Return the free coefficients of paths within sessions."""
        paths, _, _ = self.model.within
        return np.flatnonzero(self.model.paths.pick[paths].any(axis=0))

    @cached_property
    def _free_between(self) -> Indices:
        return np.setdiff1d(np.arange(len(self.model.paths.loc)), self._free_within)

    @cached_property
    def mean_blocks(self) -> list[Indices]:
        """Return constructs (indices into V) in blocks: no term multiplies two means of one block."""
        return self._blocks(centre_held=False)

    def _blocks(self, centre_held: bool) -> list[Indices]:
        own = list(self.model.own)
        apart = {
            (own.index(a), own.index(b))
            for entry in self.model.expansion.entries
            for _, a in entry.moving(centre_held)
            for _, b in entry.moving(centre_held)
            if a != b and a in own and b in own
        }
        for p in self.model.between:
            # A mean that a path between sessions makes of others moves with them.
            names = self.model.problem.spec.paths[p].term.names
            among = [
                own.index(self.model.problem.constructs.index(one))
                for one in names
                if one in self.model.problem.endogenous
            ]
            outcome = self.model.problem.terms.path_outcome[p]
            linked = [(a, b) for a in [*among, outcome] for b in [*among, outcome] if a != b]
            if apart or len(among) > 1:
                apart |= set(linked)
        blocks: list[list[int]] = []
        for v in range(len(own)):
            for block in blocks:
                if not any((v, other) in apart for other in block):
                    block.append(v)
                    break
            else:
                blocks.append([v])
        return [np.array(block) for block in blocks]

    def effect_blocks(self, name: str) -> list[Indices]:
        """Return a group's effects in blocks that the innovations are affine in together.

        The mean over dyads is held while effects are drawn (:meth:`held`).
        """
        places, outcomes = self.model.intercepts[name]
        slopes = np.setdiff1d(np.arange(self.model.effect_counts[name][1]), places)
        blocks = [np.sort(places[np.isin(outcomes, block)]) for block in self._blocks(centre_held=True)]
        blocks = [block for block in blocks if block.size]
        with_means = {entry.term for entry in self.model.expansion.entries if entry.moving(centre_held=True)}
        if slopes.size and not with_means & set(self.model.problem.terms.slope_term) and len(blocks) <= 1:
            return [np.sort(np.concatenate([*blocks, slopes]))]
        return [*blocks, slopes] if slopes.size else blocks

    def draw_paths(self, key: jax.Array, unknowns: Unknowns, sums: Sums, precisions: Precisions) -> Unknowns:
        """Draw the paths within sessions; those between, one by one."""
        keys = jax.random.split(key, 1 + len(self._free_between))
        unknowns = self._draw_within(keys[0], unknowns, sums, precisions)
        for own, f in zip(keys[1:], self._free_between, strict=True):
            unknowns = self._draw_between(own, int(f), unknowns, sums, precisions)
        return unknowns

    def _draw_within(
        self, key: jax.Array, unknowns: Unknowns, sums: Sums, precisions: Precisions
    ) -> Unknowns:
        model, at = self.model, self._free_within
        if not at.size:
            return unknowns
        paths, terms, outcomes = model.within
        path = model.path(unknowns.free)
        levels = model.levels(path, unknowns.level_mean, unknowns.effects)
        expanded = model.expanded(levels)
        held = model.common(jnp.asarray(model.paths.fixed)) + model.slopes(unknowns.effects)
        law = model.law_at(held, expanded, levels["session"])
        moved = jnp.einsum("sux,stx->sut", sums.gram, expanded)
        products = jnp.einsum("stu,sux->tx", expanded, moved)
        toward = precisions.later @ jnp.einsum("svu,sut->vt", law.weights, moved)
        pick = jnp.asarray(model.paths.pick[np.ix_(paths, at)])
        own = precisions.later[outcomes][:, outcomes] * products[terms][:, terms]
        tau = 1 / model.paths.sd[at] ** 2
        said = Quadratic(pick.T @ own @ pick, pick.T @ toward[outcomes, terms])
        quadratic = Quadratic(
            said.precision + jnp.diag(tau), said.linear + jnp.asarray(tau * model.paths.loc[at])
        )
        # A draw of the untruncated normal, taken if stable: a Metropolis step on the truncated one.
        free = unknowns.free.at[at].set(draw(key, quadratic))
        taken = self.model.stable(model.path(free))
        return unknowns._replace(free=jnp.where(taken, free, unknowns.free))

    def _seen(
        self,
        law: Callable[[jax.Array, Indices | None], Law],
        columns: Indices,
        at: jax.Array,
        sums: Sums,
        precisions: Precisions,
    ) -> Quadratic:
        """Return what each session says of x (K,), which is at (S, K); ``law`` of how far x is moved."""
        still = jnp.zeros(at.shape[1])
        tangent = jax.jacfwd(lambda moved: law(moved, columns))(still)
        moved = Law(jnp.moveaxis(tangent.weights, -1, 1), jnp.moveaxis(tangent.means, -1, 1))
        return by_session(law(still, None), moved, columns, at, sums, precisions)

    def _draw_between(
        self, key: jax.Array, f: int, unknowns: Unknowns, sums: Sums, precisions: Precisions
    ) -> Unknowns:
        def law(moved: jax.Array, columns: Indices | None) -> Law:
            path = self.model.path(unknowns.free.at[f].add(moved[0]))
            return self.model.law(path, unknowns.level_mean, unknowns.effects, columns)

        at = jnp.broadcast_to(unknowns.free[f], (len(sums.starts), 1))
        seen = self._seen(law, self.model.touched(True, _NONE), at, sums, precisions)
        prior = Quadratic(
            jnp.eye(1) / self.model.paths.sd[f] ** 2,
            jnp.asarray(self.model.paths.loc / self.model.paths.sd**2)[f, None],
        )
        return unknowns._replace(free=unknowns.free.at[f].set(draw(key, _total(seen, prior))[0]))

    def draw_means(self, key: jax.Array, unknowns: Unknowns, sums: Sums, precisions: Precisions) -> Unknowns:
        """Draw the grand means, block by block."""
        loc, sd = resolve_priors(self.model.problem.spec)["mean"].numbers
        path, columns = self.model.path(unknowns.free), self.model.touched(True, _NONE)
        for own, block in zip(jax.random.split(key, len(self.mean_blocks)), self.mean_blocks, strict=True):
            level_mean = unknowns.level_mean

            def law(
                moved: jax.Array,
                columns: Indices | None,
                block: Indices = block,
                level_mean: jax.Array = level_mean,
                effects: Effects = unknowns.effects,
            ) -> Law:
                return self.model.law(path, level_mean.at[block].add(moved), effects, columns)

            at = jnp.broadcast_to(level_mean[block], (len(sums.starts), len(block)))
            prior = Quadratic(jnp.eye(len(block)) / sd**2, jnp.full(len(block), loc / sd**2))
            total = _total(self._seen(law, columns, at, sums, precisions), prior)
            unknowns = unknowns._replace(level_mean=level_mean.at[block].set(draw(own, total)))
        return unknowns

    def of_effects(
        self, name: str, block: Indices, unknowns: Unknowns, sums: Sums, precisions: Precisions
    ) -> Quadratic:
        """Return what the sessions of each group say of a block of its effects, (groups, K).

        The mean over dyads is taken to be the present one: :meth:`held` says what keeps it.
        """
        model, effect = self.model, unknowns.effects[name]
        path, table = model.path(unknowns.free), model.problem.terms
        of = model.facts.group[name]
        slopes = [slope for slope in table.in_group(name) if table.slope_effect[slope] in block]
        of_slopes = np.isin(block, table.slope_effect[slopes])
        columns = model.touched(bool((~of_slopes).any()), table.slope_term[slopes], centre_held=True)
        levels = model.levels(path, unknowns.level_mean, unknowns.effects)

        def law(moved: jax.Array) -> Law:
            # But for the mean over dyads, a session's law knows its own group only: all are moved at once.
            every: Effects = {**unknowns.effects, name: effect.at[:, block[~of_slopes]].add(moved)}
            return model.law(path, unknowns.level_mean, every, columns, levels.get("grand"))

        tangent = jax.jacfwd(law)(jnp.zeros(int((~of_slopes).sum())))
        counts = (len(of), len(block), len(model.own))
        weights = (
            jnp.zeros((*counts, len(columns))).at[:, ~of_slopes].set(jnp.moveaxis(tangent.weights, -1, 1))
        )
        means = jnp.zeros(counts).at[:, ~of_slopes].set(jnp.moveaxis(tangent.means, -1, 1))
        if slopes:
            # The law is linear in slopes: their tangents are the terms themselves, in one equation each.
            expanded = model.expanded(levels, columns)
            for slope in slopes:
                place = int(np.flatnonzero(block == table.slope_effect[slope])[0])
                own = -expanded[:, table.slope_term[slope]]
                weights = weights.at[:, place, table.slope_outcome[slope]].set(own)
        now = model.law(path, unknowns.level_mean, unknowns.effects)
        at = effect[:, block][of]
        seen = by_session(now, Law(weights, means), columns, at, sums, precisions)
        return Quadratic(*(jax.ops.segment_sum(part, of, len(effect)) for part in seen))

    def held(self, name: str, block: Indices, unknowns: Unknowns) -> Held | None:
        """Return what a draw of a block of effects holds so that no mean over dyads moves; None: nothing.

        The mean itself moves with the grand means, and :mod:`.shifts` moves these against the effects.
        """
        inside = self.model.in_centre(name, block)
        if inside is None:
            return None
        shares, places = inside
        return Held(shares, places, shares @ unknowns.effects[name][:, block[places]])

    def known(
        self, name: str, block: Indices, seen: Quadratic, unknowns: Unknowns, inverse: jax.Array
    ) -> Quadratic:
        """Return what is known of a block of effects given the others.

        ``inverse`` (E, E) is that of their covariance.
        """
        effect = unknowns.effects[name]
        rest = np.setdiff1d(np.arange(effect.shape[1]), block)
        linear = seen.linear - effect[:, rest] @ inverse[rest][:, block]
        return Quadratic(seen.precision + inverse[block][:, block], linear)

    def draw_effects(
        self, key: jax.Array, name: str, block: Indices, now: Quadratic, unknowns: Unknowns, known: Quadratic
    ) -> Unknowns:
        """Draw a block of effects, of which this is known; ``now`` is what the present ones are of.

        They lean away from the present ones, except where they hold a sum.
        """
        held, effect = self.held(name, block, unknowns), unknowns.effects[name]
        if held is None:
            drawn = draw_across(key, now, effect[:, block], known)
        else:
            drawn = draw_held(key, known, held)
        effects = {**unknowns.effects, name: effect.at[:, block].set(drawn)}
        return unknowns._replace(effects=effects)


def _total(seen: Quadratic, prior: Quadratic) -> Quadratic:
    """Return what all sessions and the prior say together."""
    return Quadratic(*(jnp.sum(part, axis=0) + known for part, known in zip(seen, prior, strict=True)))
