"""Draws of sweeps under the names that the reference engine gives them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayesdyn.engines.common import coordinates
from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.gibbs.measured import RatedScores
from bayesdyn.engines.gibbs.model import Unknowns
from bayesdyn.engines.gibbs.sweep import Kept, Sweep
from bayesdyn.structure.data.rated import RATER_NAMES


def posterior_of(sweep: Sweep, unknowns: Unknowns, effects: bool = True) -> xr.Dataset:
    """Return draws (chain, draw, ...) by the names of :func:`.pymc_engine.draw`.

    Parameters
    ----------
    sweep
        The sweep that drew.
    unknowns
        Its unknowns, each with leading dims (chain, draw).
    effects
        Whether to give the groups' effects too, which are most of it.
    """
    problem = sweep.problem
    covs = {
        name: _covariances(np.asarray(unknowns.factors[name]), size)
        for name, (size, _) in sweep.priors.items()
    }
    lead = unknowns.free.shape[:2]
    residual = np.zeros((*lead, len(sweep.model.own), len(sweep.model.own)))
    for number, block in enumerate(sweep.model.blocks):
        residual[..., np.array(block)[:, None], np.array(block)] = covs[f"residual_{number}"]
    path = np.asarray(unknowns.free) @ sweep.model.paths.pick.T + sweep.model.paths.fixed
    found = {
        "path": (("path_name",), path),
        "level_mean": (("endogenous",), unknowns.level_mean),
        "residual_cov": (("endogenous", "endogenous2"), residual),
        "start_cov": (("endogenous", "endogenous2"), covs["start"]),
    }
    for name, effect in unknowns.effects.items():
        if effects:
            found[f"{name}_effects"] = ((name, f"{name}_effect"), effect)
        found[f"{name}_cov"] = ((f"{name}_effect", f"{name}_effect2"), covs[name])
    if sweep.noisy:
        found["kappa"] = (("construct",), unknowns.kappa_raw * problem.kappa_sd)
    found |= _raters(sweep, unknowns)
    dataset = xr.Dataset({name: (("chain", "draw", *dims), value) for name, (dims, value) in found.items()})
    coords = {name: values for name, values in coordinates(problem).items() if name in dataset.dims}
    return dataset.assign_coords({"chain": np.arange(lead[0]), "draw": np.arange(lead[1]), **coords})


def stats_of(sweep: Sweep, kept: Kept) -> xr.Dataset:
    """Return the probability at which each Hamiltonian move was accepted (chain, draw, move)."""
    accepted = np.asarray(kept.accepted)
    return xr.Dataset(
        {"acceptance": (("chain", "draw", "move"), accepted)}, coords={"move": list(sweep.moves)}
    )


def _raters(sweep: Sweep, unknowns: Unknowns) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return the raters' parameters by name, with their dims; empty where there are no raters."""
    if sweep.problem.rated_by is None:
        return {}
    every = []
    for c, name in enumerate(sweep.problem.constructs):
        drawn = jnp.asarray(unknowns.raters[name])
        at = RatedScores(sweep.problem.rated_by.of(c), name, c).raters
        every.append(jax.vmap(jax.vmap(at))(drawn)._asdict())
    both = {name: np.concatenate([np.asarray(one[name]) for one in every], axis=-1) for name in every[0]}
    return {
        name: (("rater", "construct") if name in RATER_NAMES else ("construct",), value)
        for name, value in both.items()
    }


def _covariances(points: np.ndarray, size: int) -> np.ndarray:
    factor = np.asarray(_factors(points.reshape(-1, points.shape[-1]), size))
    return (factor @ factor.swapaxes(1, 2)).reshape(*points.shape[:-1], size, size)


@partial(jax.jit, static_argnums=1)
def _factors(points: jax.Array, size: int) -> jax.Array:
    # Compiled once for all looks at a run, whose blocks are of one length.
    return jax.vmap(lambda point: spreads.factor_of(point, size))(points)
