"""The log-likelihood of dyads and of sessions with everything that is theirs integrated out.

Of a dyad: its effects, its sessions' effects and its states; of a session: its effects and its states, given
its dyad's effects. Standard normal unknowns stand for the effects, shaped noise for the constructs that
multiply others; all other states are integrated in closed form (:mod:`bayesdyn.engines.chain`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.integrand import Inputs, Integrand, build_integrand, hyperparameters
from bayesdyn.engines.laplace import Arrow, integrate
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.problem import Problem

PAIRS = 32
"""Antithetic pairs of draws of a dyad's effects; each of the two has a pair of draws of the sessions'
unknowns, so 128 evaluations of the density."""

_MOST_AT_ONCE = 16  # points side by side, fewer where their exchanges would leave a core's cache
_EXCHANGES_AT_ONCE = 2**15


@dataclass(frozen=True)
class Integrated:
    """Log-likelihoods of K draws for U dyads or sessions, each (K, U), and their errors.

    Attributes
    ----------
    value
        Log density of the scores, in raw units.
    ess
        Effective number of the importance weights, of at most ``2 PAIRS``.
    mcse
        Monte Carlo standard error of ``value``.
    settled
        Whether the mode was found.
    """

    value: np.ndarray
    ess: np.ndarray
    mcse: np.ndarray
    settled: np.ndarray


@dataclass(frozen=True)
class Likelihood:
    """The compiled log-likelihood of one problem by dyad or by session; see :func:`build_likelihood`."""

    layout: "_Layout"
    value: Callable[..., jax.Array]
    slope: Callable[..., tuple[jax.Array, jax.Array]]

    def arrow(self, draw: Mapping[str, np.ndarray]) -> Arrow:
        """Return the densities of one draw."""
        layout = self.layout
        given = layout.given(draw)

        def value(shared: np.ndarray, own: np.ndarray) -> np.ndarray:
            return _batched(self.value, given, layout.batch, shared, own)[0]

        def slope(shared: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            of_shared, of_own = _batched(self.slope, given, layout.batch, shared, own)
            return of_shared, of_own

        return Arrow(layout.group_of, layout.groups, layout.own, layout.shared, value, slope)

    def evaluate(self, draws: Mapping[str, np.ndarray], random_seed: int) -> Integrated:
        """Return the log-likelihoods of K draws of the hyperparameters.

        Parameters
        ----------
        draws
            K draws (K, ...) of what :func:`bayesdyn.engines.integrand.hyperparameters` names, of ``dyad_cov``
            and ``session_cov`` where effects vary, and of ``dyad_effects`` for ``by="session"``.
        random_seed
            Seed of the importance sampling.
        """
        layout, found = self.layout, []
        start = np.zeros((layout.groups, layout.shared)), np.zeros((len(layout.group_of), layout.own))
        for k, seed in enumerate(np.random.SeedSequence(random_seed).spawn(len(draws["path"]))):
            arrow = self.arrow({name: value[k] for name, value in draws.items()})
            integral = integrate(arrow, start, np.random.default_rng(seed), PAIRS)
            start = integral.mode  # modes of two draws are near each other
            found.append([integral.value, integral.ess, integral.mcse, integral.settled])
        value, ess, mcse, settled = (np.stack(parts) for parts in zip(*found, strict=True))
        if layout.by == "dyad" and not layout.of_dyad:
            value, ess, mcse, settled = _by_dyad(layout.problem, value, ess, mcse, settled)
        return Integrated(value, ess, mcse, settled)


def build_likelihood(problem: Problem, by: str = "dyad") -> Likelihood:
    """Return the compiled log-likelihood of a problem by ``dyad`` or by ``session``.

    Raises
    ------
    EngineError
        See :func:`bayesdyn.engines.integrand.build_integrand`.
    """
    layout = _Layout(problem, by, build_integrand(problem))
    normal = layout.idle()

    def value(given: _Given, shared: jax.Array, own: jax.Array) -> jax.Array:
        density = layout.integrand.by_session(layout.inputs(given, shared, own))
        return density - 0.5 * jnp.sum(normal * (own**2 + np.log(2 * np.pi)), axis=1)

    slope = jax.grad(lambda given, shared, own: jnp.sum(value(given, shared, own)), (1, 2))
    value_at, slope_at = (jax.jit(jax.vmap(function, (None, 0, 0))) for function in (value, slope))
    return Likelihood(layout, value_at, slope_at)


type _Given = tuple[Inputs, Inputs]
"""Hyperparameters, and the Cholesky factors of the effects by group."""


@dataclass(frozen=True)
class _Layout:
    """Where a density's inputs stand among the unknowns: a session's own are its noise, then its effects."""

    problem: Problem
    by: str
    integrand: Integrand

    @cached_property
    def of_dyad(self) -> int:
        """Number of dyad effects to integrate out."""
        return len(effect_names(self.problem.spec, "dyad")) if self.by == "dyad" else 0

    @cached_property
    def of_session(self) -> int:
        return len(effect_names(self.problem.spec, "session"))

    @cached_property
    def slots(self) -> int:
        """How many numbers of noise the largest session has."""
        return int(np.bincount(self.integrand.own_session, minlength=1).max())

    @cached_property
    def place(self) -> np.ndarray:
        """Each number's place within its session."""
        session = self.integrand.own_session
        order = np.argsort(session, kind="stable")
        count = np.bincount(session, minlength=len(self.problem.sessions))
        place = np.empty(len(session), dtype=int)
        place[order] = np.arange(len(session)) - (np.cumsum(count) - count)[session[order]]
        return place

    @property
    def group_of(self) -> np.ndarray:
        # Without dyad effects a dyad's sessions are independent: each is integrated alone.
        return self.problem.dyad_of_session if self.of_dyad else np.arange(len(self.problem.sessions))

    @property
    def groups(self) -> int:
        return len(self.problem.dyads if self.of_dyad else self.problem.sessions)

    @property
    def own(self) -> int:
        return max(self.slots + self.of_session, 1)

    @property
    def shared(self) -> int:
        return max(self.of_dyad, 1)

    @property
    def batch(self) -> int:
        return min(_MOST_AT_ONCE, 1 + _EXCHANGES_AT_ONCE // len(self.problem.t))

    def idle(self) -> np.ndarray:
        """Return (S, m): which own unknowns are standard normal, effects and what only fills up."""
        idle = np.ones((len(self.problem.sessions), self.own))
        idle[self.integrand.own_session, self.place] = 0.0
        return idle

    def given(self, draw: Mapping[str, np.ndarray]) -> _Given:
        """Return what one draw gives."""
        theta = hyperparameters(self.problem, draw)
        if self.by == "session" and "dyad_effects" in draw:
            theta["dyad_effects"] = jnp.asarray(draw["dyad_effects"])
        sized = {"dyad": self.of_dyad, "session": self.of_session}
        factors = {g: jnp.asarray(np.linalg.cholesky(draw[f"{g}_cov"])) for g, size in sized.items() if size}
        return theta, factors

    def inputs(self, given: _Given, shared: jax.Array, own: jax.Array) -> Inputs:
        """Return the density's inputs at a point."""
        theta, factors = given
        found = dict(theta)
        if self.of_dyad:
            found["dyad_effects"] = shared @ factors["dyad"].T
        if self.of_session:
            found["session_effects"] = (
                own[:, self.slots : self.slots + self.of_session] @ factors["session"].T
            )
        names = self.integrand.own
        values = own[self.integrand.own_session, self.place]
        return found | dict(zip(names, jnp.split(values, len(names)) if names else (), strict=True))


def _batched(
    function: Callable[..., jax.Array | tuple[jax.Array, ...]],
    given: _Given,
    batch: int,
    shared: np.ndarray,
    own: np.ndarray,
) -> list[np.ndarray]:
    """Evaluate at B points, some side by side; the last are filled up, so that one program serves all."""
    count, parts = len(shared), []
    for first in range(0, count, batch):
        at = np.minimum(np.arange(first, first + batch), count - 1)
        parts.append([np.asarray(part) for part in jax.tree.leaves(function(given, shared[at], own[at]))])
    return [np.concatenate(values)[:count] for values in zip(*parts, strict=True)]


def _by_dyad(
    problem: Problem, value: np.ndarray, ess: np.ndarray, mcse: np.ndarray, settled: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Join independent sessions: log densities add, errors add in squares, the least ESS stands for all."""
    member = np.eye(len(problem.dyads))[problem.dyad_of_session]
    least = np.stack([ess[:, column > 0].min(axis=1) for column in member.T], axis=1)
    return value @ member, least, np.sqrt(mcse**2 @ member), settled @ member == member.sum(axis=0)
