"""A chain's start, and blocks of sweeps of one chain or of several together."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.gibbs.layout import ONE_DEVICE, Bringing
from bayesdyn.engines.gibbs.model import Unknowns
from bayesdyn.engines.gibbs.steps import adapt, begin_steps, learn, looks
from bayesdyn.engines.gibbs.sums import Rows, Sums
from bayesdyn.engines.gibbs.sweep import Kept, State, Sweep


def start(sweep: Sweep, seed: int, chain: int, bring: Bringing = ONE_DEVICE) -> State:
    """Return where a chain begins: unknowns near the middle of their priors, states near their scores.

    ``bring`` brings the states to where the sweeps are made.
    """
    rng = np.random.default_rng([seed, chain])
    model, problem = sweep.model, sweep.problem
    near = rng.uniform(-0.5, 0.5, len(model.paths.loc))
    free = model.paths.loc + 0.2 * np.minimum(model.paths.sd, 1.0) * near
    effects = {
        name: jnp.asarray(0.1 * rng.standard_normal(shape)) for name, shape in model.effect_counts.items()
    }
    factors = {}
    for name, (size, prior) in sweep.priors.items():
        point = np.zeros(spreads.length(size))
        point[:size] = np.log(0.5 * prior.sd) + rng.uniform(-0.5, 0.5, size)
        factors[name] = jnp.asarray(point)
    unknowns = Unknowns(
        jnp.asarray(free),
        jnp.asarray(0.1 * rng.standard_normal(len(model.own))),
        effects,
        factors,
        jnp.asarray(0.1 * rng.standard_normal(len(problem.constructs))),
        _raters(sweep, rng),
    )
    states = sweep.lanes.laid(np.where(problem.rated, problem.score, 0.0))
    key = jax.random.fold_in(jax.random.key(seed), chain)
    return State(
        key,
        unknowns,
        bring.by_lane(states.astype(sweep.dtype)),
        begin_steps(len(sweep.moves), sweep.begin_metric()),
    )


def stacked(states: Sequence[State]) -> State:
    """Return the states of several chains as one, the chains along its first axis."""
    return jax.tree.map(lambda *chains: jnp.stack(chains), *states)


class Totals(NamedTuple):
    """Sums over a block of sweeps of the states (..., C, T, L), and of their squares."""

    first: jax.Array
    second: jax.Array


def _raters(sweep: Sweep, rng: np.random.Generator) -> dict[str, jax.Array]:
    """Return the numbers of each construct's raters, near those of the middle of their priors."""
    if sweep.problem.rated_by is None:
        return {}
    sizes = {name: one.measured.moves.size for name, one in sweep.integrated.items()}
    return {name: jnp.asarray(0.1 * rng.standard_normal(size)) for name, size in sizes.items()}


def run_block(
    sweep: Sweep,
    count: int,
    warm: jax.Array,
    state: State,
    rows: Rows,
    given: Sums | None,
    together: bool = False,
) -> tuple[State, Kept, Totals]:
    """Return the state after a block of sweeps, what is kept of each, and the totals of their states.

    Whether the steps adapt is an argument like another, so that one compilation serves both. With
    ``together``, ``state`` holds several chains along its first axis, which are as far as each other; kept
    draws have the chains along their second.
    """
    one_sweep, learns, adapts = sweep.at(rows), learn, adapt
    if together:
        one_sweep = jax.vmap(one_sweep, in_axes=(0, None, None, None))
        learns, adapts = jax.vmap(learn), jax.vmap(adapt)

    def once(along: tuple[State, Totals], _: None) -> tuple[tuple[State, Totals], Kept]:
        state, totals = along
        done = state.steps.sweeps[0] if together else state.steps.sweeps
        look = warm & looks(done)
        state, kept, curvature = one_sweep(state, rows, given, look)
        steps = jax.lax.cond(look, learns, lambda steps, _: steps, state.steps, curvature)
        steps = jax.lax.cond(warm, adapts, lambda steps, _: steps, steps, kept.accepted)
        if given is None:
            totals = Totals(totals.first + state.states, totals.second + state.states**2)
        return (state._replace(steps=steps), totals), kept

    # Nothing to sum up where no state is latent.
    none = jnp.zeros_like(state.states if given is None else state.states[..., :0])
    (state, totals), kept = jax.lax.scan(once, (state, Totals(none, none)), None, length=count)
    return state, kept, totals
