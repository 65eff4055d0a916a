"""One Gibbs sweep: states, then everything else on their cross-products."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.gibbs.coefficients import Coefficients
from bayesdyn.engines.gibbs.gaussian import Precisions, Quadratic
from bayesdyn.engines.gibbs.model import Law, Model, Unknowns
from bayesdyn.engines.gibbs.packing import Packing, pack
from bayesdyn.engines.gibbs.spreads import SpreadPrior
from bayesdyn.engines.gibbs.states import States
from bayesdyn.engines.gibbs.steps import Steps
from bayesdyn.engines.gibbs.sums import Rows, Sums, sums
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.problem import Problem


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
    """The sweeps of one problem; methods are traced, properties are constants."""

    problem: Problem
    dtype: str = "float64"

    @cached_property
    def model(self) -> Model:
        """Return the constants of the problem."""
        return Model(self.problem)

    @cached_property
    def packing(self) -> Packing:
        """Return where the exchanges stand."""
        return pack(self.problem.session_of)

    @cached_property
    def coefficients(self) -> Coefficients:
        """Return the Gaussian blocks."""
        return Coefficients(self.model)

    @cached_property
    def _patterns(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return inverses (patterns, C, C) of the errors' correlation among the rated, and which (N,)."""
        patterns, pattern = np.unique(self.problem.rated, axis=0, return_inverse=True)
        size = len(self.problem.constructs)
        inverses = np.zeros((len(patterns), size, size))
        for inverse, rated in zip(inverses, patterns, strict=True):
            kept = np.ix_(np.flatnonzero(rated), np.flatnonzero(rated))
            inverse[kept] = np.linalg.inv(self.problem.error_corr[kept])
        return inverses, pattern.ravel()

    @cached_property
    def noisy(self) -> bool:
        """Return whether scores have errors."""
        return self.problem.measurement != "none"

    @cached_property
    def states(self) -> States:
        """Return the updates of the states."""
        correlated = self.noisy and not np.array_equal(
            self.problem.error_corr, np.eye(len(self.problem.constructs))
        )
        inverses, pattern = self._patterns
        laid = self.packing.laid(pattern.astype(float)).astype(int) if correlated else None
        lawless = [c for c in range(len(self.problem.constructs)) if c not in self.model.own]
        fixed = None
        if not self.noisy or lawless:
            fixed = self.packing.laid(self.problem.rated.astype(float)) > 0
            fixed = fixed if not self.noisy else np.zeros_like(fixed)
            fixed[lawless] = True
        return States(self.model, self.packing, inverses, laid, fixed)

    @cached_property
    def priors(self) -> dict[str, tuple[int, SpreadPrior]]:
        """Return size and prior of each covariance by name."""
        named = resolve_priors(self.problem.spec)
        (eta,) = named["correlation"].numbers

        def prior(name: str) -> SpreadPrior:
            return SpreadPrior(named[name].numbers[0], eta)

        found = {
            f"residual_{number}": (len(block), prior("residual_sd"))
            for number, block in enumerate(self.model.blocks)
        }
        found["start"] = (len(self.model.own), prior("start_sd"))
        return found | {
            name: (count, prior("level_sd")) for name, (_, count) in self.model.effect_counts.items()
        }

    @cached_property
    def moves(self) -> tuple[str, ...]:
        """Return the names of the Hamiltonian moves."""
        kappa = ("kappa",) if self.problem.kappa_sd.any() and self.noisy else ()
        return (*self.priors, *(f"{name} scaled" for name in self.model.groups), *kappa)

    def rows(self) -> Rows:
        """Return the constants of the exchanges."""
        problem, laid = self.problem, self.packing.laid
        rated = laid(problem.rated.astype(float))
        precision = rated * laid(1 / problem.se) if self.noisy else np.zeros_like(rated)
        values = (
            laid(problem.covariate),
            laid((problem.previous >= 0).astype(float)),
            laid((problem.previous < 0).astype(float)),
            laid(np.where(problem.rated, problem.score, 0.0)),
            precision,
            rated,
        )
        return Rows(*(jnp.asarray(value, self.dtype) for value in values))

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
            later = later.at[np.ix_(block, block)].set(_inverse(factors[f"residual_{number}"]))
        return Precisions(later, _inverse(factors["start"]))

    def kappa(self, unknowns: Unknowns) -> jax.Array:
        """Return the log scale of each construct's error variance."""
        return unknowns.kappa_raw * self.problem.kappa_sd

    def law(self, unknowns: Unknowns) -> Law:
        """Return the law at the unknowns."""
        return self.model.law(self.model.path(unknowns.free), unknowns.level_mean, unknowns.effects)

    def sums(self, states: jax.Array, rows: Rows) -> Sums:
        """Return the states' cross-products."""
        return sums(self.model.expansion, self.packing, self.model.own, states, rows)

    def __call__(self, state: State, rows: Rows, given: Sums | None) -> tuple[State, Kept]:
        """Return the state after one sweep; ``given`` are the sums where no state is latent."""
        key, of_states, of_rest = jax.random.split(state.key, 3)
        unknowns, states = state.unknowns, state.states
        if given is None:
            precisions = self.precisions(self.factors(unknowns))
            states = self.states.sweep(
                of_states, self.law(unknowns), precisions, self.kappa(unknowns), states, rows
            )
            given = self.sums(states, rows)
        unknowns, accepted = self._rest(of_rest, unknowns, states, rows, given, state.steps)
        return State(key, unknowns, states, state.steps), Kept(unknowns, accepted)

    def _rest(
        self, key: jax.Array, unknowns: Unknowns, states: jax.Array, rows: Rows, given: Sums, steps: Steps
    ) -> tuple[Unknowns, jax.Array]:
        blocks, names = self.coefficients, list(self.model.groups)
        keys = iter(jax.random.split(key, 4 + 8 * len(names) + len(self.moves)))
        chances: dict[str, jax.Array] = {}

        def move(
            name: str, log_density, point: jax.Array, scale: jax.Array, leapfrogs: int = spreads.LEAPFROGS
        ):
            step = jnp.exp(steps.log_step[self.moves.index(name)])
            found, chances[name] = spreads.hamiltonian(
                next(keys), log_density, point, step * scale, leapfrogs
            )
            return found

        factors = self.factors(unknowns)
        precisions = self.precisions(factors)
        inverses = {name: _inverse(factors[name]) for name in names}
        unknowns = blocks.draw_paths(next(keys), unknowns, given, precisions)
        unknowns = blocks.draw_means(next(keys), unknowns, given, precisions)
        for name in names:
            for number, block in enumerate(blocks.effect_blocks(name)):
                seen = blocks.of_effects(name, block, unknowns, given, precisions)
                if number == 0:
                    unknowns = self._scaled(name, seen, unknowns, given, precisions, move)
                    inverse = _inverse(spreads.factor_of(unknowns.factors[name], self.priors[name][0]))
                    inverses[name] = inverse
                unknowns = blocks.draw_effects(next(keys), name, block, seen, unknowns, inverses[name])
        unknowns = blocks.shift_down(next(keys), unknowns, inverses)
        for name in names:
            unknowns = blocks.shift(next(keys), name, unknowns, inverses[name])
        law = self.law(unknowns)
        scatter = jnp.einsum("svu,sux,swx->vw", law.weights, given.gram, law.weights)
        deviation = given.starts - law.means
        scatters = {
            f"residual_{number}": (scatter[np.ix_(block, block)], len(self.problem.later))
            for number, block in enumerate(self.model.blocks)
        }
        scatters["start"] = (deviation.T @ deviation, len(deviation))
        scatters |= {name: (effect.T @ effect, len(effect)) for name, effect in unknowns.effects.items()}
        points = dict(unknowns.factors)
        for name, (size, prior) in self.priors.items():
            total, count = scatters[name]

            def log_density(point: jax.Array, size=size, prior=prior, total=total, count=count) -> jax.Array:
                factor = spreads.factor_of(point, size)
                return spreads.log_prior(point, size, prior) + spreads.log_normal(factor, total, count)

            points[name] = move(name, log_density, points[name], _scale(points[name], count))
        unknowns = unknowns._replace(factors=points)
        if "kappa" in self.moves:
            unknowns = self._kappa(unknowns, states, rows, move)
        return unknowns, jnp.stack([chances[name] for name in self.moves])

    def _scaled(
        self, name, seen: Quadratic, unknowns: Unknowns, given: Sums, precisions: Precisions, move
    ) -> Unknowns:
        """Move a covariance with the effects' noise held: what mixes where the groups say little of them.

        The other of the two in an interweaving (Yu & Meng 2011, J. Comput. Graph. Stat. 20, 531-570).
        """
        size, prior = self.priors[name]
        factor = spreads.factor_of(unknowns.factors[name], size)
        noise = jax.lax.linalg.triangular_solve(
            factor, unknowns.effects[name].T, left_side=True, lower=True
        ).T
        path = self.model.path(unknowns.free)

        def log_density(point: jax.Array) -> jax.Array:
            effect = noise @ spreads.factor_of(point, size).T
            if seen.linear.shape[1] == size:
                bent = jnp.einsum("gef,gf->ge", seen.precision, effect)
                value = jnp.sum(effect * (seen.linear - 0.5 * bent))
            else:
                law = self.model.law(path, unknowns.level_mean, {**unknowns.effects, name: effect})
                value = log_law(law, given, precisions)
            return spreads.log_prior(point, size, prior) + value

        scale = _scale(unknowns.factors[name], len(noise))
        point = move(f"{name} scaled", log_density, unknowns.factors[name], scale)
        effect = noise @ spreads.factor_of(point, size).T
        return unknowns._replace(
            factors={**unknowns.factors, name: point}, effects={**unknowns.effects, name: effect}
        )

    def _kappa(self, unknowns: Unknowns, states: jax.Array, rows: Rows, move) -> Unknowns:
        error = rows.precision * (rows.score - states)
        inverses, _ = self._patterns
        if self.states.pattern is None:
            total = jnp.sum(error.astype(jnp.float64) ** 2, axis=(1, 2))
            totals = jnp.diag(total)[None]
            inverses = np.eye(len(total))[None]
        else:
            pattern = jnp.asarray(self.states.pattern)
            flat = error.reshape(len(error), -1).astype(jnp.float64)
            totals = jnp.stack([(flat * (pattern.ravel() == p)) @ flat.T for p in range(len(inverses))])
        counts = self.problem.rated.sum(axis=0)
        sd = self.problem.kappa_sd

        def log_density(raw: jax.Array) -> jax.Array:
            shrink = jnp.exp(-raw * sd / 2)
            quadratic = jnp.sum(inverses * totals * shrink[:, None] * shrink)
            return -0.5 * (quadratic + jnp.dot(counts, raw * sd) + jnp.sum(raw**2))

        scale = jnp.asarray(1 / np.sqrt(1 + 0.5 * counts * sd**2))
        return unknowns._replace(kappa_raw=move("kappa", log_density, unknowns.kappa_raw, scale))


def log_law(law: Law, given: Sums, precisions: Precisions) -> jax.Array:
    """Return the log density of the states, less what depends on the covariances' determinants."""
    seen = jnp.einsum("vw,swu->svu", precisions.later, law.weights)
    deviation = given.starts - law.means
    quadratic = jnp.einsum("svu,sux,svx->", seen, given.gram, law.weights)
    return -0.5 * (quadratic + jnp.sum(deviation * (deviation @ precisions.start)))


def _inverse(factor: jax.Array) -> jax.Array:
    half = jax.lax.linalg.triangular_solve(factor, jnp.eye(len(factor)), left_side=True, lower=True)
    return half.T @ half


def _scale(point: jax.Array, count: int) -> jax.Array:
    return jnp.full(point.shape, 1 / np.sqrt(1 + count))
