"""Hamiltonian Monte Carlo in coordinates that make a posterior round at its mode: for both rater models.

Means of raters are told by dyads, thresholds by exchanges, shares by sessions: their posterior SDs differ by
orders of magnitude, and a sampler spends most of its gradients on finding that out. The curvature at the mode
tells it beforehand. The change of coordinates is linear, so the posterior is the same.

In these coordinates every direction has about the same period, 2 pi: one length of path suits them all, and
NUTS, which looks for a turn, takes twice the gradients for the same effective draws (docs/measured.md).
"""

from collections.abc import Callable

import jax
import numpy as np
from numpy.typing import NDArray
from numpyro.infer import HMC
from scipy import optimize

type Floats = NDArray[np.float64]

_STEP = 1e-4
_LEAST_CURVATURE = 0.05
_LENGTH = 2.4
"""Length of a path: over a quarter of the period, where draws of a normal would be independent, so that
directions that are wider than they look at the mode move too; below half, where they would come back."""


def find_shape(negative: Callable[[Floats], tuple[float, Floats]], start: Floats) -> tuple[Floats, Floats]:
    """Return the mode of a density, and a root of the inverse of its curvature there.

    Parameters
    ----------
    negative
        Negative log density and its gradient at a point of shape (size,).
    start
        (size,).

    Returns
    -------
    mode, root
        (size,) and (size, size): ``mode + root @ x`` with x of about unit variance in every direction. Where
        the density is flat, its SD is taken as that of curvature .05.
    """
    mode = optimize.minimize(negative, start, jac=True, method="L-BFGS-B").x
    # Differences of gradients: the gradient is compiled already, a second derivative would be compiled anew.
    rows = [
        (negative(mode + _STEP * e)[1] - negative(mode - _STEP * e)[1]) / (2 * _STEP)
        for e in np.eye(len(mode))
    ]
    curvature, axes = np.linalg.eigh(0.5 * (np.array(rows) + np.array(rows).T))
    return mode, axes / np.sqrt(np.maximum(curvature, _LEAST_CURVATURE))


def sample_whitened(
    negative: Callable[[jax.Array], jax.Array],
    mode: jax.Array,
    root: jax.Array,
    key: jax.Array,
    *,
    warmup: int,
    draws: int,
) -> tuple[jax.Array, jax.Array]:
    """Return one chain's points (draw, size), and which of its draws diverged; to be compiled.

    The chain starts at a random point about as far from the mode as the posterior reaches, so that R-hat can
    see one that is stuck.
    """
    kernel = HMC(
        potential_fn=lambda x: negative(mode + root @ x), step_size=0.5, trajectory_length=_LENGTH
    )  # fmt: skip
    start_key, run_key = jax.random.split(key)
    state = kernel.init(run_key, warmup, jax.random.normal(start_key, mode.shape, mode.dtype), (), {})

    def step(state, _):
        state = kernel.sample(state, (), {})
        return state, (state.z, state.diverging)

    _, (points, diverging) = jax.lax.scan(step, state, None, length=warmup + draws)
    return mode + points[warmup:] @ root.T, diverging[warmup:]
