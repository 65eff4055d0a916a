"""Integrals over blocks of unknowns: Laplace's approximation, corrected by importance sampling.

The unknowns are laid out as an arrow: each group (a dyad) has E shared unknowns, each of its blocks (a
session) m unknowns of its own, and blocks meet only in what their group shares. So one difference of
gradients gives a column of the Hessian of every block at once, and m + E of them give the whole of it
(Curtis, Powell & Reid 1974, J. Inst. Maths Applics 13, 117-119).

Draws come from the normal at the mode with the mode's curvature, in antithetic pairs (Durbin & Koopman 1997,
Biometrika 84, 669-684). Given the shared unknowns the blocks are independent, so each block's weights are
averaged before the product over blocks is taken, which keeps groups of many blocks tractable. The weights
correct whatever the mode and the curvature are off by; where the density is normal they are all equal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

type Points = tuple[np.ndarray, np.ndarray]
"""B points: shared (B, G, E) and own (B, S, m)."""

_LOG_2PI = float(np.log(2 * np.pi))
_SETTLED = 1e-3  # nats that the last Newton step gained
_MOST_STEPS = 40
_LENGTHS = np.array([1.0, 0.5, 0.2, 0.05])  # of a Newton step, tried side by side
_DIFFERENCE = 1e-3
_LEAST_CURVATURE = 0.05  # the unknowns are on the scale of a standard normal


@dataclass(frozen=True)
class Arrow:
    """Densities of blocks that meet in what their group shares.

    Attributes
    ----------
    group_of
        (S,) the group of each block.
    groups
        Number of groups G.
    own, shared
        m unknowns of each block, E of each group, both at least 1. The shared ones are standard normal.
    value
        From B points, the log density (B, S) of each block; that of the shared unknowns is not part of it.
    slope
        From B points, the gradient of the sum of ``value`` over blocks, in their shape.
    """

    group_of: np.ndarray
    groups: int
    own: int
    shared: int
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray, np.ndarray], Points]

    def by_group(self, values: np.ndarray) -> np.ndarray:
        """Return (B, S, ...) summed over each group's blocks: (B, G, ...)."""
        total = np.zeros((self.groups, values.shape[0], *values.shape[2:]))
        np.add.at(total, self.group_of, np.swapaxes(values, 0, 1))
        return np.swapaxes(total, 0, 1)


@dataclass(frozen=True)
class Integral:
    """Log integrals by group (G,), and what is known of their error.

    ``ess`` is the effective number of the importance weights, ``mcse`` the Monte Carlo standard error of the
    log integral, ``settled`` whether the mode was found; ``mode`` is (G, E) and (S, m).
    """

    value: np.ndarray
    ess: np.ndarray
    mcse: np.ndarray
    settled: np.ndarray
    mode: Points


@dataclass(frozen=True)
class _Curvature:
    """Minus the Hessian, positive definite: roots with ``root root' = inverse``, log determinants.

    ``own`` (S, m, m), ``shared`` (G, E, E), ``cross`` (S, m, E) the regression of a block on what is shared.
    """

    own: np.ndarray
    cross: np.ndarray
    shared: np.ndarray
    own_log_det: np.ndarray
    shared_log_det: np.ndarray


def integrate(arrow: Arrow, start: Points, rng: np.random.Generator, pairs: int) -> Integral:
    """Return the log integral of each group's density over its shared and its blocks' own unknowns.

    Parameters
    ----------
    arrow
        The densities.
    start
        Where to look for the mode: (G, E) and (S, m).
    rng
        Of the importance sampling.
    pairs
        Antithetic pairs of draws of what is shared, at least 2; each draw has one pair of draws of the
        blocks' own, so ``4 pairs`` points are evaluated.
    """
    mode, curvature, settled = _mode(arrow, start)
    half = rng.standard_normal((pairs, 1, *mode[0].shape))
    of_shared = (half * np.array([1.0, -1.0])[:, None, None]).reshape(-1, *mode[0].shape)
    of_own = rng.standard_normal((2 * pairs, *mode[1].shape))
    moved = np.einsum("gef,bgf->bge", curvature.shared, of_shared)
    shared = mode[0] + moved
    centre = mode[1] - np.einsum("sme,bse->bsm", curvature.cross, moved[:, arrow.group_of])
    spread = np.einsum("smn,bsn->bsm", curvature.own, of_own)
    both = np.stack([arrow.value(shared, centre + spread), arrow.value(shared, centre - spread)])
    normal = 0.5 * (curvature.own_log_det - np.sum(of_own**2, axis=2) - arrow.own * _LOG_2PI)
    block = logsumexp(both, axis=0) - np.log(2.0) - normal
    # Standard normal densities of the draws and of the shared unknowns have the same constant.
    of_group = 0.5 * (np.sum(of_shared**2 - shared**2, axis=2) - curvature.shared_log_det)
    value, ess, mcse = average_weights((of_group + arrow.by_group(block)).reshape(pairs, 2, -1))
    return Integral(value, ess, mcse, settled, mode)


def average_weights(log_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log mean, effective number and standard error of the log mean of weights (pairs, 2, G)."""
    highest = log_weight.max(axis=(0, 1))
    weight = np.exp(log_weight - highest)
    mean = weight.mean(axis=(0, 1))
    ess = weight.sum(axis=(0, 1)) ** 2 / np.sum(weight**2, axis=(0, 1))
    # The two of a pair are not independent; pairs are.
    mcse = weight.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(len(weight)) / mean
    return highest + np.log(mean), ess, mcse


def _mode(arrow: Arrow, start: Points) -> tuple[Points, _Curvature, np.ndarray]:
    """Climb in all groups at once by Newton's method; return the mode, the curvature there, what settled."""
    shared, own = start
    height = _height(arrow, shared[None], own[None])[0]
    steps = 0
    while True:
        steps += 1
        (of_shared, of_own), curvature = _curve(arrow, shared, own)
        by_shared, by_own = _newton(arrow, curvature, of_shared, of_own)
        gain = (
            np.sum(of_shared * by_shared, axis=1) + arrow.by_group(np.sum(of_own * by_own, axis=1)[None])[0]
        )
        lengths = _LENGTHS[:, None, None]
        tried = _height(arrow, shared + lengths * by_shared, own + lengths * by_own)
        tried = np.where(np.isfinite(tried), tried, -np.inf)
        best = tried.argmax(axis=0)
        reached = tried[best, np.arange(arrow.groups)]
        # A hair's breadth of rounding is no fall.
        length = np.where(reached >= height - 1e-9 * (1 + np.abs(height)), _LENGTHS[best], 0.0)
        shared = shared + length[:, None] * by_shared
        own = own + length[arrow.group_of][:, None] * by_own
        height = np.where(length > 0, reached, height)
        settled = gain < _SETTLED
        if settled.all() or not length.any() or steps == _MOST_STEPS:
            return (shared, own), curvature, settled


def _height(arrow: Arrow, shared: np.ndarray, own: np.ndarray) -> np.ndarray:
    return arrow.by_group(arrow.value(shared, own)) - 0.5 * np.sum(shared**2, axis=2)


def _curve(arrow: Arrow, shared: np.ndarray, own: np.ndarray) -> tuple[Points, _Curvature]:
    """Return the gradient at a point, and minus the Hessian by central differences of gradients."""
    size, every = arrow.own, arrow.own + arrow.shared
    step = _DIFFERENCE * np.concatenate([np.eye(every), -np.eye(every), np.zeros((1, every))])
    of_shared, of_own = arrow.slope(shared + step[:, None, size:], own + step[:, None, :size])
    of_shared = of_shared - (shared + step[:, None, size:])
    by_own = -np.moveaxis(of_own[:every] - of_own[every:-1], 0, -1) / (2 * _DIFFERENCE)
    by_shared = -np.moveaxis(of_shared[:every] - of_shared[every:-1], 0, -1) / (2 * _DIFFERENCE)
    root, inverse, log_det = _invert(by_own[..., :size])
    cross = inverse @ by_own[..., size:]
    explained = np.swapaxes(by_own[..., size:], 1, 2) @ cross
    shared_root, _, shared_log_det = _invert(by_shared[..., size:] - arrow.by_group(explained[None])[0])
    return (of_shared[-1], of_own[-1]), _Curvature(root, cross, shared_root, log_det, shared_log_det)


def _invert(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a root of the inverse, the inverse and the log determinant of (k, size, size).

    Eigenvalues that are too small or negative, far from a mode, are set to a least curvature.
    """
    values, vectors = np.linalg.eigh((matrix + np.swapaxes(matrix, 1, 2)) / 2)
    values = np.maximum(values, _LEAST_CURVATURE)
    root = vectors / np.sqrt(values)[:, None]
    return root, root @ np.swapaxes(root, 1, 2), np.log(values).sum(axis=1)


def _newton(arrow: Arrow, curvature: _Curvature, of_shared: np.ndarray, of_own: np.ndarray) -> Points:
    """Return the Newton step for a gradient."""
    pulled = np.einsum("sme,sm->se", curvature.cross, of_own)
    rest = of_shared - arrow.by_group(pulled[None])[0]
    by_shared = np.einsum("gef,ghf,gh->ge", curvature.shared, curvature.shared, rest)
    alone = np.einsum("smn,sn->sm", curvature.own, np.einsum("snm,sn->sm", curvature.own, of_own))
    return by_shared, alone - np.einsum("sme,se->sm", curvature.cross, by_shared[arrow.group_of])
