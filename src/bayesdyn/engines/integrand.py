"""The density of the scores as a JAX function of the hyperparameters and of what is to be integrated out.

It is the density of :mod:`bayesdyn.engines.pymc_collapsed`, taken apart by exchange, with every random
variable of the PyMC model cut off and handed in: hyperparameters as a fit keeps them, effects, and the noise
of the constructs that multiply others (or the unrated scores, where scores are taken as they are).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors

from bayesdyn.engines.pymc_collapsed import chain_rows, multipliers, observed_rows, unrated_states
from bayesdyn.engines.pymc_equations import GRAND
from bayesdyn.engines.pymc_model import coordinates, refit_data, whitening
from bayesdyn.engines.session_chain import padded_places, session_integrals
from bayesdyn.errors import EngineError, Fault
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.terms import intercept_places, residual_blocks

type Inputs = Mapping[str, jax.Array]

_KEPT = ("path", "level_mean", "kappa", "dyad_effects", "session_effects")


@dataclass(frozen=True)
class Integrand:
    """The density of the scores of a problem; N exchanges.

    Attributes
    ----------
    by_session
        From the inputs by name, the log density of each session's scores (S,), in raw units.
    names
        The inputs that the density depends on.
    own
        Names of the inputs that are to be integrated out beside the effects: noise (N,) of each multiplying
        construct, or ``unrated``.
    own_session
        The session of each of their elements, joined.
    """

    by_session: Callable[[Inputs], jax.Array]
    names: tuple[str, ...]
    own: tuple[str, ...]
    own_session: np.ndarray


def build_integrand(problem: Problem) -> Integrand:
    """Return the density of a problem's scores, its linear states integrated out in closed form.

    Raises
    ------
    EngineError
        If the model has unknowns that a fit does not keep and that are not integrated out.
    """
    from pymc.sampling.jax import get_jaxified_graph

    jax.config.update("jax_enable_x64", True)
    as_they_are = problem.measurement == "none"
    with pm.Model(coords=coordinates(problem)) as model:
        rows = observed_rows(problem) if as_they_are else chain_rows(problem)
    own = tuple(f"{name}_noise" for name in ([] if as_they_are else multipliers(problem)))
    if as_they_are and unrated_states(problem).any():
        own = ("unrated",)
    outputs = [rows.now, rows.before, rows.constant, rows.scale_at]
    blocks = residual_blocks(problem.spec, problem.endogenous)
    named = {
        *_KEPT,
        GRAND,
        "start_factor",
        *(f"residual_factor_{number}" for number in range(len(blocks))),
        *own,
    }
    known = {str(variable.name): variable for variable in ancestors(outputs) if variable.name in named}
    stand_ins = {name: variable.type(name) for name, variable in known.items()}
    replaced = clone_replace(outputs, {known[name]: stand_ins[name] for name in known})
    left = [str(variable.name) for variable in model.free_RVs if variable in set(ancestors(replaced))]
    if left:
        raise EngineError(
            f"The likelihood of model {problem.spec.name!r} cannot be told",
            [Fault(f"it depends on {name}, which is neither kept nor integrated out") for name in left],
        )
    names = tuple(known)
    evaluate = get_jaxified_graph(inputs=[stand_ins[name] for name in names], outputs=replaced)
    places = padded_places(problem.session_of, len(problem.sessions))
    constant_at = jnp.asarray(_constants(problem, len(rows.moving)))

    def by_session(inputs: Inputs) -> jax.Array:
        now, before, constant, scale = evaluate(*[inputs[name] for name in names])  # type: ignore[arg-type]
        scale_of = jax.ops.segment_sum(scale + constant_at, problem.session_of, len(problem.sessions))
        return scale_of + session_integrals(now, before, constant, places)

    return Integrand(by_session, names, own, _own_session(problem, own))


def hyperparameters(problem: Problem, draw: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Return the inputs that one draw of a fit gives.

    Parameters
    ----------
    problem
        The problem whose scores are evaluated.
    draw
        ``path`` (path_name,), ``level_mean`` (V,), ``residual_cov`` and ``start_cov`` (V, V), ``kappa`` (C,)
        and ``grand_centre`` (C,) where the model has them.
    """
    blocks = residual_blocks(problem.spec, problem.endogenous)
    values = {name: draw[name] for name in ("path", "level_mean", "kappa", GRAND) if name in draw}
    values["start_factor"] = np.linalg.cholesky(draw["start_cov"])
    for number, block in enumerate(blocks):
        members = np.ix_(block, block)
        values[f"residual_factor_{number}"] = np.linalg.cholesky(draw["residual_cov"][members])
    return {name: jnp.asarray(value) for name, value in values.items()}


def grand_centre(problem: Problem, level_mean: np.ndarray, dyad_effects: np.ndarray | None) -> np.ndarray:
    """Return (K, C) the mean over dyads of the dyads' latent means, in K draws of a fit of this problem.

    Parameters
    ----------
    level_mean, dyad_effects
        (K, V) and (K, D, E); None where nothing varies by dyad.
    """
    observed = refit_data(problem)["observed_dyad_mean"].mean(axis=0)
    centre = np.tile(observed, (len(level_mean), 1))
    own = [problem.constructs.index(name) for name in problem.endogenous]
    centre[:, own] = level_mean
    if dyad_effects is not None:
        effect, outcome = intercept_places(problem.spec, "dyad", problem.endogenous)
        centre[:, np.array(own)[outcome]] += dyad_effects.mean(axis=1)[:, effect]
    return centre


def _own_session(problem: Problem, own: tuple[str, ...]) -> np.ndarray:
    if own == ("unrated",):
        return problem.session_of[np.nonzero(unrated_states(problem))[0]]
    return np.tile(problem.session_of, len(own))


def _constants(problem: Problem, moving: int) -> np.ndarray:
    """Return, by exchange, the constants that the sampler does without.

    They are the normal densities' powers of 2 pi, of which the closed-form integral takes M back, the
    determinant of the errors' correlation, and the scales of the standardisation.
    """
    lawful = np.array([name in problem.endogenous for name in problem.constructs])
    if problem.measurement == "none":
        counted, correlation = problem.rated & lawful, 0.0
    else:
        matrices, pattern = whitening(problem)
        diagonal = np.diagonal(matrices, axis1=1, axis2=2)
        counted, correlation = (
            problem.rated,
            np.log(np.where(diagonal > 0, diagonal, 1.0)).sum(axis=1)[pattern],
        )
    normals = len(problem.endogenous) - moving
    if problem.measurement != "none":
        normals = normals + problem.rated.sum(axis=1)
    return correlation - 0.5 * np.log(2 * np.pi) * normals - counted @ np.log(problem.scale)
