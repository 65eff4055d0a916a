"""A problem as the sweeps take it, and the functions of the unknowns that all blocks share."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.expansion import Expansion, expand
from bayesdyn.engines.gibbs.facts import Facts, facts_of
from bayesdyn.structure.free_paths import FreePaths, free_paths
from bayesdyn.structure.language.blocks import residual_blocks
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.language.terms import (
    between_order,
    effect_names,
    intercept_places,
)
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.stability import SQUARINGS, party_lags

_MANY = 5000
"""Exchanges from which on long steps do not stick."""

type Effects = Mapping[str, jax.Array]
type Levels = dict[str, jax.Array]
"""Latent means (S, C) of each construct as each session has them, by level: ``session``, ``dyad``, and where
constructs are centred there ``grand``, the mean over dyads."""


class Unknowns(NamedTuple):
    """All that is drawn, but for the states.

    Attributes
    ----------
    free, level_mean
        (F,) free coefficients, (V,) grand means.
    effects
        (groups, effects) by kind of group.
    factors
        Unconstrained covariance factors (:mod:`.spreads`) by name: ``residual_0``, ..., ``start``, and kinds
        of group.
    kappa_raw
        (C,) kappa by its prior SD.
    raters
        With ``joint``: (K,) numbers that tell the raters' parameters (:mod:`.measured`), by construct; else
        empty.
    """

    free: jax.Array
    level_mean: jax.Array
    effects: dict[str, jax.Array]
    factors: dict[str, jax.Array]
    kappa_raw: jax.Array
    raters: dict[str, jax.Array]


class Law(NamedTuple):
    """What sessions say: weights (S, V, U) of columns, and the means (S, V) that starts are about."""

    weights: jax.Array
    means: jax.Array


@dataclass(frozen=True)
class Model:
    """A problem in S sessions, V constructs with a law, U monomials, T terms.

    ``given`` are its facts where they are arguments of a program.
    """

    problem: Problem
    given: Facts[jax.Array] | None = None

    @cached_property
    def facts(self) -> Facts[jax.Array]:
        """Return what the study is beside its exchanges."""
        if self.given is not None:
            return self.given
        # Kept for other programs too, also where it is first looked at while one is traced.
        with jax.ensure_compile_time_eval():
            return jax.tree.map(jnp.asarray, facts_of(self.problem))

    @property
    def many_exchanges(self) -> bool:
        """Return whether exchanges are so many that what they tell of a number is near a normal."""
        return len(self.problem.t) >= _MANY

    @cached_property
    def expansion(self) -> Expansion:
        """Return the terms in raw columns."""
        return expand(self.problem)

    @cached_property
    def paths(self) -> FreePaths:
        """Return the free coefficients."""
        return free_paths(self.problem.spec, resolve_priors(self.problem.spec))

    @cached_property
    def own(self) -> NDArray[np.int64]:
        """Return the constructs (V,) that have a law."""
        return np.array([self.problem.constructs.index(name) for name in self.problem.endogenous])

    def place(self, c: int) -> int:
        """Return the place of a construct among those that have a law."""
        return int(np.flatnonzero(self.own == c)[0])

    @cached_property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """Return the constructs whose residuals covary."""
        return residual_blocks(self.problem.spec, self.problem.endogenous)

    @cached_property
    def within(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the paths within sessions, their terms and their outcomes."""
        table = self.problem.terms
        paths = np.flatnonzero(table.path_term >= 0)
        return paths, table.path_term[paths], table.path_outcome[paths]

    @cached_property
    def between(self) -> list[int]:
        """Return the paths between sessions, each after those that it needs."""
        return between_order(self.problem.spec, self.problem.terms)

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the kinds of groups that something varies by."""
        return self.problem.spec.groups

    @cached_property
    def effect_counts(self) -> dict[str, tuple[int, int]]:
        """Return (groups, effects) by kind of group."""
        return {
            name: (len(self.problem.grouping(name).labels), len(effect_names(self.problem.spec, name)))
            for name in self.groups
        }

    @cached_property
    def intercepts(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Return, by kind of group, which effects are intercepts, and their outcomes."""
        return {
            name: intercept_places(self.problem.spec, name, self.problem.endogenous) for name in self.groups
        }

    def path(self, free: jax.Array) -> jax.Array:
        """Return every path (P,)."""
        return jnp.asarray(self.paths.pick) @ free + self.paths.fixed

    def in_centre(self, name: str, block: NDArray[np.int64]) -> tuple[jax.Array, NDArray[np.int64]] | None:
        """Return how the means over dyads hold a block of a group's effects; None where they do not.

        The share (groups,) of the dyads that is in each group, and the places in the block of those held.
        """
        places, outcomes = self.intercepts[name]
        inside = places[np.isin(self.own[outcomes], list(self.expansion.centres))]
        held = np.flatnonzero(np.isin(block, inside))
        if name not in self.facts.dyads_in or not held.size:
            return None
        return self.facts.dyads_in[name], held

    def levels(self, path: jax.Array, level_mean: jax.Array, effects: Effects) -> Levels:
        """Return the latent means at the unknowns."""
        problem, facts = self.problem, self.facts
        by_dyad = facts.dyad_mean.at[:, self.own].add(level_mean)
        in_session = jnp.zeros_like(by_dyad)
        for name, effect in effects.items():
            places, outcomes = self.intercepts[name]
            moved = effect[:, places][facts.group[name]]
            at = self.own[outcomes]
            if name in facts.dyads_in:
                by_dyad = by_dyad.at[:, at].add(moved)
            else:
                in_session = in_session.at[:, at].add(moved)
        by_session = by_dyad + in_session + facts.session_mean - facts.dyad_mean
        first = problem.blocks["session"]
        for p in self.between:
            both = jnp.concatenate([by_session, by_dyad], axis=1)
            term = jnp.prod(both[:, np.array(problem.terms.between[p]) - first], axis=1)
            outcome = self.own[problem.terms.path_outcome[p]]
            by_session = by_session.at[:, outcome].add(path[p] * term)
        levels = {"session": by_session, "dyad": by_dyad}
        if self.expansion.centres:
            levels["grand"] = jnp.broadcast_to(facts.dyad_share @ by_dyad, by_dyad.shape)
        return levels

    def expanded(self, means: Levels, columns: NDArray[np.int64] | None = None) -> jax.Array:
        """Return the terms in monomials, by session: (S, T, U), or in some of the columns only."""
        columns = np.arange(len(self.expansion.monomials)) if columns is None else columns
        place = {int(j): i for i, j in enumerate(columns)}
        shape = (len(self.problem.terms.names), len(columns))
        fixed, values, spread = np.zeros(shape), [], []
        for entry in self.expansion.entries:
            if entry.monomial not in place:
                continue
            at = np.zeros(shape)
            at[entry.term, place[entry.monomial]] = entry.sign
            if not entry.means:
                fixed += at
                continue
            values.append(prod(means[level][:, c] for level, c in entry.means))
            spread.append(at.ravel())
        every = jnp.broadcast_to(fixed, (len(means["session"]), *shape))
        # By a product, not by adding at places, which compiles to a slow scatter.
        return (
            every + (jnp.stack(values, axis=1) @ np.array(spread)).reshape(every.shape) if values else every
        )

    def slopes(self, effects: Effects) -> jax.Array:
        """Return how far coefficients deviate in each session: (S, T, V)."""
        table = self.problem.terms
        shape = (len(table.names), len(self.problem.endogenous))
        found = jnp.zeros((len(self.problem.sessions), shape[0] * shape[1]))
        for name, effect in effects.items():
            at = table.in_group(name)
            if at.size:
                spread = np.zeros((effect.shape[1], *shape))
                spread[table.slope_effect[at], table.slope_term[at], table.slope_outcome[at]] = 1.0
                found = found + (effect @ spread.reshape(effect.shape[1], -1))[self.facts.group[name]]
        return found.reshape(-1, *shape)

    def common(self, path: jax.Array) -> jax.Array:
        """Return the coefficient of each term in each equation, (T, V)."""
        paths, terms, outcomes = self.within
        shape = (len(self.problem.terms.names), len(self.problem.endogenous))
        return jnp.zeros(shape).at[terms, outcomes].add(path[paths])

    def law(
        self,
        path: jax.Array,
        level_mean: jax.Array,
        effects: Effects,
        columns: NDArray[np.int64] | None = None,
        centre: jax.Array | None = None,
    ) -> Law:
        """Return the innovations' weights of the columns, or of some, and the means that starts are about.

        With ``centre`` (S, C) the means over dyads are these, whatever the dyads' own are.
        """
        levels = self.levels(path, level_mean, effects)
        if centre is not None:
            levels["grand"] = centre
        coefficient = self.common(path) + self.slopes(effects)
        return self.law_at(coefficient, self.expanded(levels, columns), levels["session"], columns)

    def law_at(
        self,
        coefficient: jax.Array,
        expanded: jax.Array,
        by_session: jax.Array,
        columns: NDArray[np.int64] | None = None,
    ) -> Law:
        """Return the law for coefficients (S, T, V) of expanded terms (S, T, U)."""
        means = by_session[:, self.own]
        weights = -jnp.einsum("stv,stu->svu", coefficient, expanded)
        fixed = np.zeros((len(self.own), len(self.expansion.monomials)))
        fixed[np.arange(len(self.own)), self.expansion.own] = 1.0
        of_mean = np.zeros(len(self.expansion.monomials))
        of_mean[0] = 1.0
        if columns is not None:
            fixed, of_mean = fixed[:, columns], of_mean[columns]
        return Law(weights + fixed - means[:, :, None] * of_mean, means)

    def touched(self, means: bool, terms: NDArray[np.int64], centre_held: bool = False) -> NDArray[np.int64]:
        """Return the columns whose weights move with latent means, if asked, and with these terms.

        With ``centre_held`` the mean over dyads is not one of the means that move.
        """
        moved = [entry for entry in self.expansion.entries if means and entry.moving(centre_held)]
        by_means = {entry.monomial for entry in moved}
        by_terms = {entry.monomial for entry in self.expansion.entries if entry.term in terms}
        return np.array(sorted(by_means | by_terms | ({0} if means else set())))

    def stable(self, path: jax.Array) -> jax.Array:
        """Return whether the lags of every party are stable, by the rule of both engines."""
        found = jnp.asarray(True)
        for lags in party_lags(self.problem.spec, self.problem.endogenous):
            power = jnp.asarray(lags.matrix).at[lags.rows, lags.columns].set(path[lags.paths])
            for _ in range(SQUARINGS):
                power = power @ power
            found = found & (jnp.sum(power**2) < 1.0)
        return found
