"""Chains of sweeps: starts, warm-up, draws by the names that the reference engine gives them."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.gibbs.model import Unknowns
from bayesdyn.engines.gibbs.steps import adapt, begin_steps, frozen
from bayesdyn.engines.gibbs.sums import Rows, Sums
from bayesdyn.engines.gibbs.sweep import Kept, State, Sweep
from bayesdyn.engines.pymc_model import coordinates
from bayesdyn.machine import available_cores
from bayesdyn.structure.problem import Problem

_BLOCK = 50


def start(sweep: Sweep, seed: int, chain: int) -> State:
    """Return where a chain begins: unknowns near the middle of their priors, states near their scores."""
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
    )
    states = sweep.packing.laid(np.where(problem.rated, problem.score, 0.0))
    key = jax.random.fold_in(jax.random.key(seed), chain)
    return State(key, unknowns, jnp.asarray(states, sweep.dtype), begin_steps(len(sweep.moves)))


def run_block(
    sweep: Sweep, warm: bool, state: State, rows: Rows, given: Sums | None, count: int = _BLOCK
) -> tuple[State, Kept]:
    """Return the state after a block of sweeps, and what is kept of each."""

    def once(state: State, _: None) -> tuple[State, Kept]:
        state, kept = sweep(state, rows, given)
        if warm:
            state = state._replace(steps=adapt(state.steps, kept.accepted))
        return state, kept

    return jax.lax.scan(once, state, None, length=count)


def draw_gibbs(
    problem: Problem,
    *,
    draws: int,
    tune: int,
    chains: int,
    random_seed: int,
    dtype: str = "float64",
    progress: bool = False,
) -> xr.DataTree:
    """Draw from the posterior of a problem; groups and names as :func:`.pymc_engine.draw` gives them."""
    jax.config.update("jax_enable_x64", True)
    sweep = Sweep(problem, dtype)
    rows = sweep.rows()
    latent = bool(sweep.states.moved)
    states = [start(sweep, random_seed, chain) for chain in range(chains)]
    given = None if latent else jax.jit(sweep.sums)(states[0].states, rows)
    block = min(_BLOCK, tune, draws)
    warm = jax.jit(partial(run_block, sweep, True, count=block)).lower(states[0], rows, given).compile()
    steady = jax.jit(partial(run_block, sweep, False, count=block)).lower(states[0], rows, given).compile()
    began = time.monotonic()

    def run(chain: int) -> tuple[State, Kept]:
        state = states[chain]
        for _ in range(-(-tune // block)):
            state, _ = warm(state, rows, given)
        state, kept = state._replace(steps=frozen(state.steps)), []
        for done in range(-(-draws // block)):
            state, one = steady(state, rows, given)
            kept.append(jax.tree.map(np.asarray, one))
            if progress:
                sys.stderr.write(
                    f"chain {chain}: {block * (done + 1)} draws, {time.monotonic() - began:.0f} s\n"
                )
        return state, jax.tree.map(lambda *parts: np.concatenate(parts)[:draws], *kept)

    with ThreadPoolExecutor(available_cores()) as pool:
        ended = list(pool.map(run, range(chains)))
    every: Kept = jax.tree.map(lambda *parts: np.stack(parts), *[kept for _, kept in ended])
    return xr.DataTree.from_dict(
        {"posterior": _posterior(sweep, every.unknowns), "sample_stats": _stats(sweep, every)}
    )


def _posterior(sweep: Sweep, unknowns: Unknowns) -> xr.Dataset:
    problem = sweep.problem
    covs = {
        name: _covariances(np.asarray(unknowns.factors[name]), size)
        for name, (size, _) in sweep.priors.items()
    }
    lead = unknowns.free.shape[:2]
    residual = np.zeros((*lead, len(sweep.model.own), len(sweep.model.own)))
    for number, block in enumerate(sweep.model.blocks):
        residual[..., np.array(block)[:, None], np.array(block)] = covs[f"residual_{number}"]
    path = unknowns.free @ sweep.model.paths.pick.T + sweep.model.paths.fixed
    found = {
        "path": (("path_name",), path),
        "level_mean": (("endogenous",), unknowns.level_mean),
        "residual_cov": (("endogenous", "endogenous2"), residual),
        "start_cov": (("endogenous", "endogenous2"), covs["start"]),
    }
    for name, effect in unknowns.effects.items():
        found[f"{name}_effects"] = ((name, f"{name}_effect"), effect)
        found[f"{name}_cov"] = ((f"{name}_effect", f"{name}_effect2"), covs[name])
    if sweep.noisy:
        found["kappa"] = (("construct",), unknowns.kappa_raw * problem.kappa_sd)
    dataset = xr.Dataset({name: (("chain", "draw", *dims), value) for name, (dims, value) in found.items()})
    coords = {name: values for name, values in coordinates(problem).items() if name in dataset.dims}
    return dataset.assign_coords({"chain": np.arange(lead[0]), "draw": np.arange(lead[1]), **coords})


def _covariances(points: np.ndarray, size: int) -> np.ndarray:
    flat = jnp.asarray(points.reshape(-1, points.shape[-1]))
    factor = np.asarray(jax.vmap(lambda point: spreads.factor_of(point, size))(flat))
    return (factor @ factor.swapaxes(1, 2)).reshape(*points.shape[:-1], size, size)


def _stats(sweep: Sweep, kept: Kept) -> xr.Dataset:
    return xr.Dataset(
        {"acceptance": (("chain", "draw", "move"), kept.accepted)}, coords={"move": list(sweep.moves)}
    )
