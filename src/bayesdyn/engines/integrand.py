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

from bayesdyn.engines.common import coordinates
from bayesdyn.engines.lags import blocks_of, in_blocks
from bayesdyn.engines.pymc_collapsed import chain_rows, multipliers, observed_rows, unrated_states
from bayesdyn.engines.pymc_equations import GRAND
from bayesdyn.engines.pymc_model import refit_data, whitening
from bayesdyn.engines.session_chain import padded_places, session_integrals
from bayesdyn.errors import EngineError, Fault
from bayesdyn.structure.data.rated import RATER_NAMES
from bayesdyn.structure.language.blocks import residual_blocks
from bayesdyn.structure.language.terms import intercept_places
from bayesdyn.structure.problem import Problem

type Inputs = Mapping[str, jax.Array]

_GIVEN = ("path", "level_mean", "kappa", "decay", *RATER_NAMES, "token_weight", GRAND)
_KEPT = (*_GIVEN, "dyad_effects", "session_effects")


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
        If dyads share effects of another group; they are then not independent of each other.
    """
    from pymc.sampling.jax import get_jaxified_graph

    if problem.spec.crossed:
        groups = " and ".join(problem.spec.crossed)
        remedy = f"Compare models without (... | {groups}), or fit them to dyads of one {groups}"
        raise EngineError(
            f"The likelihood of model {problem.spec.name!r} does not fall apart by dyads",
            [Fault(f"dyads of one {groups} share effects", remedy)],
        )
    jax.config.update("jax_enable_x64", True)
    as_they_are = problem.measurement == "none"
    with pm.Model(coords=coordinates(problem)) as model:
        rows = observed_rows(problem) if as_they_are else chain_rows(problem)
    own = tuple(f"{name}_noise" for name in ([] if as_they_are else multipliers(problem)))
    if as_they_are and unrated_states(problem).any():
        own = ("unrated",)
    outputs = [rows.scale_at, rows.now, rows.constant, *rows.before]
    blocks = residual_blocks(problem.spec, problem.endogenous)
    named = {
        *_KEPT,
        "start_factor",
        *(f"residual_factor_{number}" for number in range(len(blocks))),
        *own,
    }
    known = {str(variable.name): variable for variable in ancestors(outputs) if variable.name in named}
    stand_ins = {name: variable.type(name) for name, variable in known.items()}
    replaced = clone_replace(outputs, {known[name]: stand_ins[name] for name in known})
    left = [str(variable.name) for variable in model.free_RVs if variable in set(ancestors(replaced))]
    assert not left, f"neither kept nor integrated out: {left}"
    names = tuple(known)
    evaluate = get_jaxified_graph(inputs=[stand_ins[name] for name in names], outputs=replaced)
    in_row = blocks_of(problem.position, problem.spec.order)
    session_of_block = problem.session_of[in_row.member[0]]
    places = padded_places(session_of_block, len(problem.sessions))
    constant_at = jnp.asarray(_constants(problem, len(rows.moving)))

    def by_session(inputs: Inputs) -> jax.Array:
        scale, now, constant, *before = evaluate(*[inputs[name] for name in names])  # type: ignore[arg-type]
        scale_of = jax.ops.segment_sum(scale + constant_at, problem.session_of, len(problem.sessions))
        chain = (now, before[0], constant)
        if len(before) > 1:
            chain = in_blocks(in_row, now, constant, tuple(before))
        return scale_of + session_integrals(*chain, places)

    return Integrand(by_session, names, own, _own_session(problem, own))


def hyperparameters(problem: Problem, draw: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Return the inputs that one draw of a fit gives.

    Parameters
    ----------
    problem
        The problem whose scores are evaluated.
    draw
        ``path`` (path_name,), ``level_mean`` (V,), ``residual_cov`` and ``start_cov`` (V, V), ``kappa`` (C,),
        ``decay`` and ``grand_centre`` (C,) where the model has them.
    """
    blocks = residual_blocks(problem.spec, problem.endogenous)
    values = {name: draw[name] for name in _GIVEN if name in draw}
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
    if problem.rated_by is not None:
        # Each rating has a scale, of which its exchange's score is one.
        counted = problem.rated_by.mask.sum(axis=1)
    return correlation - 0.5 * np.log(2 * np.pi) * normals - counted @ np.log(problem.scale)
