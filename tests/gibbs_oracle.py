"""The reference engine's log density at the unknowns of the Gibbs sweeps: their blocks must agree."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.jax_density import jax_density
from bayesdyn.engines.pymc_model import build, refit_data


def reference_density(sweep):
    """Return log p(scores, states, unknowns) of a :class:`Sweep`, by the PyMC model by exchange.

    Covariances' own coordinates are unconstrained in both; effects are here the effects themselves, not
    their noise, so that the log determinants of their factors are added.
    """
    problem = sweep.problem
    model = build(problem)
    density = jax_density(model)
    names = [variable.name for variable in model.value_vars]
    data = {name: np.asarray(value) for name, value in refit_data(problem).items()}
    of_density = [density.data[name] for name in density.density_data]

    def at(unknowns, states):
        values = {name: getattr(unknowns, name) for name in ("level_mean", "kappa_raw")}
        values["path_free"] = unknowns.free
        jacobian = 0.0
        for name, (size, _) in sweep.priors.items():
            residual = name.startswith("residual_")
            prefix = name.replace("residual_", "residual_factor_") if residual else f"{name}_factor"
            point = unknowns.factors[name]
            values[f"{prefix}_sd_log__"], values[f"{prefix}_partial"] = point[:size], point[size:]
        for name, effect in unknowns.effects.items():
            factor = spreads.factor_of(unknowns.factors[name], sweep.priors[name][0])
            values[f"{name}_raw"] = jnp.linalg.solve(factor, effect.T).T
            jacobian = jacobian - len(effect) * jnp.sum(jnp.log(jnp.diag(factor)))
        if unknowns.raters:
            of_raters, of_probits = _raters(sweep, unknowns.raters)
            values |= of_raters
            jacobian = jacobian + of_probits
        if "latent_raw" in names:
            latent = states.reshape(len(states), -1)[:, sweep.lanes.place].T
            raw = (latent - data["latent_centre"]) / data["latent_spread"]
            free = model["latent_raw"].type.shape
            values["latent_raw"] = raw if len(free) == 2 else raw[~problem.rated]
        point = jnp.concatenate([jnp.ravel(values[name]) for name in names])
        return density.log_density(point, *of_density) + jacobian

    return jax.jit(at)


def _raters(sweep, raters):
    """Return the raters' numbers as PyMC has them: all constructs' in one array, by rater first.

    And the log Jacobian of its logits by the probits of the sweeps.
    """
    rated = sweep.problem.rated_by
    parts = [sweep.integrated[name].measured.parts(raters[name]) for name in sweep.problem.constructs]
    every = {name: [part[name] for part in parts if name in part] for name in {n for p in parts for n in p}}
    found = {name: jnp.concatenate(of_constructs) for name, of_constructs in every.items()}
    places = jnp.zeros(rated.present.shape)
    drawn = rated.rho_priors[..., 0] > 0
    for c, part in enumerate(parts):
        places = places.at[np.flatnonzero(drawn[:, c]), c].set(part["reliability_raw"])
    found["reliability_raw"] = places[np.nonzero(drawn)]
    normals = ("severity_raw", "discrimination_raw")
    values, jacobian = {}, 0.0
    for name, value in found.items():
        if name in normals:
            values[name] = value
            continue
        below, above = norm.logcdf(value), norm.logcdf(-value)
        values[f"{name}_logodds__"] = below - above
        jacobian = jacobian + jnp.sum(norm.logpdf(value) - below - above)
    return values, jacobian
