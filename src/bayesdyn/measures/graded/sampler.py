"""The sampler of the ordinal rater model: HMC in the coordinates that the mode's curvature makes round."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from bayesdyn.machine import available_cores
from bayesdyn.measures.compiled import kept_on_disk
from bayesdyn.measures.graded.density import Form
from bayesdyn.measures.graded.model import GradedProblem, Lane, log_posterior, unpack
from bayesdyn.measures.whitened import find_shape, sample_whitened

type Floats = NDArray[np.float64]

_WARMUP = 150


@dataclass(frozen=True)
class GradedDraws:
    """Posterior of one construct, in units of the true score's SD.

    ``cut`` (draw, rater, point - 1), ``own`` and ``blur`` (draw, rater), ``s`` (draw,), ``true_share``
    (draw, 3): see :class:`~bayesdyn.measures.graded.density.Graded`; ``rhat`` and ``ess`` the worst over all
    parameters, ``divergences`` their number.
    """

    cut: Floats
    own: Floats
    blur: Floats
    s: Floats
    true_share: Floats
    rhat: float
    ess: float
    divergences: int


def sample_graded(
    problems: Sequence[GradedProblem], *, random_seed: int, chains: int = 2, draws: int = 400
) -> list[GradedDraws]:
    """Return the posterior of each construct, in float64.

    The mode is found first, and the curvature there (differences of gradients) is divided out, so that HMC
    starts in a space where the posterior is nearly round. Exact: the change of coordinates is linear.

    Parameters
    ----------
    problems
        The constructs.
    random_seed
        Seed of all chains.
    chains, draws
        Chains per construct, and kept draws of each, after 150 of adaptation.
    """
    found = []
    with jax.enable_x64(True), kept_on_disk():
        keys = jax.random.split(jax.random.key(random_seed), (len(problems), chains))
        for own, problem in zip(keys, problems, strict=True):
            lane = problem.lane()
            mode, root = _shape_of(problem, lane)
            run = partial(_one_chain, _compiled_chain(problem.form, draws), lane, mode, root)
            with ThreadPoolExecutor(available_cores()) as pool:
                made = list(pool.map(run, own))
            found.append(_gathered([jax.tree.map(np.asarray, one) for one in made]))
    return found


def _one_chain(
    chain: Callable[[Lane, jax.Array, jax.Array, jax.Array], dict[str, jax.Array]],
    lane: Lane,
    mode: jax.Array,
    root: jax.Array,
    key: jax.Array,
) -> dict[str, jax.Array]:
    with jax.enable_x64(True):  # the setting is a thread's own
        return chain(lane, mode, root, key)


def _shape_of(problem: GradedProblem, lane: Lane) -> tuple[jax.Array, jax.Array]:
    """Return the mode, and a root of the inverse curvature there."""
    gradient = _compiled_gradient(problem.form)

    def negative(point: Floats) -> tuple[float, Floats]:
        value, slope = gradient(lane, jnp.asarray(point))
        return float(value), np.asarray(slope)

    mode, root = find_shape(negative, np.asarray(ravel_pytree(problem.start)[0]))
    return jnp.asarray(mode), jnp.asarray(root)


@lru_cache(maxsize=32)
def _compiled_gradient(form: Form) -> Callable[[Lane, jax.Array], tuple[jax.Array, jax.Array]]:
    def negative(lane: Lane, flat: jax.Array) -> jax.Array:
        return -log_posterior(lane, _unravelled(lane, flat), form)

    return jax.jit(jax.value_and_grad(negative, argnums=1))


@lru_cache(maxsize=32)
def _compiled_chain(
    form: Form, draws: int
) -> Callable[[Lane, jax.Array, jax.Array, jax.Array], dict[str, jax.Array]]:
    """Return one chain as a compiled function of the data, the mode, the root and a key."""

    def chain(lane: Lane, mode: jax.Array, root: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        def negative(point: jax.Array) -> jax.Array:
            return -log_posterior(lane, _unravelled(lane, point), form)

        points, diverging = sample_whitened(negative, mode, root, key, warmup=_WARMUP, draws=draws)
        found, _ = jax.vmap(lambda point: unpack(lane, _unravelled(lane, point), form))(points)
        return {**vars(found), "diverging": diverging}

    return jax.jit(chain)


def _unravelled(lane: Lane, flat: jax.Array) -> dict[str, jax.Array]:
    """Return the named coordinates of a flat point (ravelled in the order of their names)."""
    raters, points = lane.base.shape
    sizes = {"nu": (raters,), "rho": (raters,), "s": (), "share": (raters, points), "true": (2,)}
    found, place = {}, 0
    for name, shape in sizes.items():
        size = int(np.prod(shape, dtype=int))
        found[name] = flat[place : place + size].reshape(shape)
        place += size
    return found


def _gathered(chains: Sequence[dict[str, Floats]]) -> GradedDraws:
    stacked = {name: np.stack([one[name] for one in chains]) for name in chains[0]}
    diverging = int(stacked.pop("diverging").sum())
    flat = np.concatenate([values.reshape(*values.shape[:2], -1) for values in stacked.values()], axis=-1)
    flat = flat[..., np.ptp(flat, axis=(0, 1)) > 0]
    return GradedDraws(
        **{name: values.reshape(-1, *values.shape[2:]) for name, values in stacked.items()},
        rhat=float(np.max(split_gelman_rubin(flat))),
        ess=float(np.min(effective_sample_size(flat))),
        divergences=diverging,
    )
