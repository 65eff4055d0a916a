"""A problem brought to where the sweeps are made: scores in lanes, where they stand, who belongs where."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.facts import errors_correlate, facts_of, rated_patterns
from bayesdyn.engines.gibbs.lanes import Lanes
from bayesdyn.engines.gibbs.model import Model
from bayesdyn.engines.gibbs.packing import Packing
from bayesdyn.engines.gibbs.places import Places
from bayesdyn.engines.gibbs.spreads import SpreadPrior
from bayesdyn.engines.gibbs.states import States
from bayesdyn.engines.gibbs.sums import Rows
from bayesdyn.engines.raters import Ratings
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.problem import Problem


class Layout(NamedTuple):
    """Where the exchanges of a problem stand."""

    lanes: Lanes
    packing: Packing


class Bringing(Protocol):
    """What brings arrays to where the sweeps are made."""

    @property
    def mesh(self) -> Mesh | None:
        """Return the devices; None for one."""
        ...

    def by_lane(self, values: NDArray[np.generic]) -> jax.Array:
        """Bring an array (..., T, L)."""
        ...

    def by_session(self, values: NDArray[np.generic]) -> jax.Array:
        """Bring an array whose first axis is of sessions, or of what each device has as many of."""
        ...

    def whole(self, values: NDArray[np.generic]) -> jax.Array:
        """Bring an array that each device holds whole."""
        ...


class OneDevice:
    """Brings arrays to the one device that JAX works on by default."""

    mesh = None

    def by_lane(self, values: NDArray[np.generic]) -> jax.Array:
        """Do as :meth:`Bringing.by_lane`."""
        return jnp.asarray(values)

    by_session = whole = by_lane


ONE_DEVICE = OneDevice()


def rows_of(problem: Problem, layout: Layout, dtype: str, bring: Bringing) -> Rows:
    """Return a problem as the sweeps take it."""
    lanes, noisy = layout.lanes, problem.measurement != "none"

    def laid(values: NDArray[np.float64]) -> jax.Array:
        return bring.by_lane(lanes.laid(values).astype(dtype))

    ratings, by = None, problem.rated_by
    if by is not None:
        every = Ratings(by.value, by.q, by.noise, by.mask)
        ratings = Ratings(*(laid(np.moveaxis(value, 1, 2)) for value in every))
    lags = np.arange(1, problem.spec.order + 1)
    begun = problem.position[:, None] >= lags
    # Before a session's first exchange a covariate is as there.
    far = np.minimum(np.arange(problem.spec.order + 1), problem.position[:, None])
    return Rows(
        covariate=laid(problem.covariate[np.arange(len(far))[:, None] - far]),
        later=laid((problem.previous >= 0).astype(float)),
        begun=laid(begun.astype(float)) if len(lags) > 1 else None,
        score=laid(np.where(problem.rated, problem.score, 0.0)),
        precision=laid(problem.rated / problem.se if noisy else np.zeros_like(problem.se)),
        rated=laid(problem.rated.astype(float)),
        ratings=ratings,
        places=_places_of(problem, layout, bring),
        facts=jax.tree.map(bring.whole, facts_of(problem)),
    )


def _places_of(problem: Problem, layout: Layout, bring: Bringing) -> Places:
    lanes, packing = layout
    count, sessions = 1 if bring.mesh is None else bring.mesh.size, len(problem.sessions)
    each, every = -(-sessions // count), lanes.filled.shape[1]
    wide, missing = every // count, (0, count * each - sessions)
    # Idle places look at the device's first session; it is nothing that counts.
    used = lanes.filled if len(lanes.session) > 1 else lanes.filled.any(axis=0, keepdims=True)
    step, lane = lanes.start
    place, fixed = lanes.place[packing.exchange], fixed_of(problem)
    pattern = lanes.laid(rated_patterns(problem)[1]) if errors_correlate(problem) else None
    return Places(
        session=bring.by_lane(np.where(used, lanes.session % each, 0).astype(np.int32)),
        step=bring.by_session(np.pad(step, missing).astype(np.int32)),
        lane=bring.by_session(np.pad(lane % wide, missing, constant_values=wide).astype(np.int32)),
        filled=bring.by_lane(lanes.filled),
        fixed=bring.by_lane(lanes.laid(fixed)) if fixed.any() else None,
        pattern=None if pattern is None else bring.by_lane(pattern.astype(np.int32)),
        chunk=bring.by_session((place // every * wide + place % wide).astype(np.int32)),
        used=bring.by_session(packing.filled),
        of=bring.by_session((packing.session % each).astype(np.int32)),
        mesh=bring.mesh,
        sessions=sessions,
    )


def fixed_of(problem: Problem) -> NDArray[np.bool_]:
    """Return which states (N, C) are taken as they are: those scores without error, and what has no law."""
    lawless = np.array([name not in problem.endogenous for name in problem.constructs])
    return lawless | (problem.rated & (problem.measurement == "none"))


def states_of(model: Model, lanes: Lanes) -> States:
    """Return the updates of the states."""
    fixed = fixed_of(model.problem).mean(axis=0)
    return States(model, bool(lanes.filled.all()), tuple(fixed.tolist()))


def spread_priors(model: Model) -> dict[str, tuple[int, SpreadPrior]]:
    """Return size and prior of each covariance: of blocks of residuals, of starts, of groups' effects."""
    named = resolve_priors(model.problem.spec)
    (eta,) = named["correlation"].numbers

    def prior(name: str) -> SpreadPrior:
        return SpreadPrior(named[name].numbers[0], eta)

    found = {
        f"residual_{number}": (len(block), prior("residual_sd")) for number, block in enumerate(model.blocks)
    }
    found["start"] = (len(model.own), prior("start_sd"))
    return found | {name: (count, prior("level_sd")) for name, (_, count) in model.effect_counts.items()}
