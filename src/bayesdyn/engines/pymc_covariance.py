"""Covariances in PyMC: a Cholesky factor with an LKJ prior, and the density of rows of normals."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayesdyn.engines.common import LEAST_REST, LEAST_SD


def covariance_factor(name: str, size: int, sd: float, eta: float, dim: str | None = None) -> TensorVariable:
    """Return the Cholesky factor (size, size) of a covariance: half-normal SDs, LKJ correlations.

    The correlation's factor is built from canonical partial correlations, which are independent under an
    LKJ prior: 2 Beta(b, b) - 1 with b = eta + (size - 2 - column) / 2 (Lewandowski, Kurowicka & Joe 2009,
    J. Multivariate Analysis 100, 1989-2001). PyMC's own LKJCholeskyCov has the same density
    (tests/engines) by a graph five times the size, and this model holds five of them. The factor bears
    ``name``, so that a graph can be evaluated at a given one.

    With ``dim``, a dimension of the model in context with ``size`` labels, its SDs have that dimension, and
    its partial correlations have ``<name>_pair``, labelled ``row, column``.
    """
    # A shape beside the dimension: one that PyMC takes from a dimension is unknown to JAX.
    scale = pm.HalfNormal(f"{name}_sd", sd, shape=size, dims=dim)
    # One potential for all of a factor: PyTensor's Python mode adds up 32 terms of a density at most.
    inside = [pt.switch(scale < LEAST_SD, -np.inf, pt.zeros_like(scale))]
    factor = scale[:, None] if size == 1 else _correlated(name, scale, size, eta, inside, dim)
    pm.Potential(f"{name}_lkj", pt.sum(pt.concatenate(inside)))
    factor.name = name
    return factor


def _correlated(
    name: str,
    scale: TensorVariable,
    size: int,
    eta: float,
    density: list[TensorVariable],
    dim: str | None,
) -> TensorVariable:
    """Return the factor of correlated rows; ``density`` receives the terms (pairs,) of its log density."""
    rows, columns = np.tril_indices(size, -1)
    # The sampler's space is atanh of the partial correlation; its Jacobian adds 1 to each exponent.
    pair = _pairs(name, dim, rows, columns)
    raw = pm.Flat(f"{name}_partial", shape=len(rows), initval=np.zeros(len(rows)), dims=pair)
    # log(1 - tanh(x)^2), stable for large x.
    log_rest = 2 * (np.log(2.0) - pt.abs(raw) - pt.log1p(pt.exp(-2 * pt.abs(raw))))
    kept = pt.switch(log_rest < np.log(LEAST_REST), -np.inf, log_rest)
    density.append((eta + (size - 2 - columns) / 2) * kept)
    place = np.zeros((size * size, len(rows)))
    place[rows * size + columns, np.arange(len(rows))] = 1.0
    partial = pt.dot(place, pt.tanh(raw)).reshape((size, size)) + np.eye(size)
    # What the columns before leave of each row's unit length.
    before = np.triu(np.ones((size, size)), 1)
    rest = pt.exp(0.5 * pt.dot(pt.dot(place, log_rest).reshape((size, size)), before))
    return scale[:, None] * partial * rest * np.tril(np.ones((size, size)))


def _pairs(name: str, dim: str | None, rows: np.ndarray, columns: np.ndarray) -> str | None:
    """Name the pairs of a dimension in the model in context, and return the name of theirs."""
    if dim is None:
        return None
    model = pm.modelcontext(None)
    labels = model.coords[dim]
    pairs = [f"{labels[row]}, {labels[column]}" for row, column in zip(rows, columns, strict=True)]
    model.add_coord(f"{name}_pair", pairs)
    return f"{name}_pair"


def normal_potential(name: str, value: TensorVariable, factor: TensorVariable, kept: np.ndarray) -> None:
    """Add to the model the density of the kept rows of ``value`` (N, k) ~ N(0, factor factor')."""
    whitened = pt.dot(value, inverse_factor(factor, value.type.shape[1]).T)
    quadratic = pt.sum(whitened**2 * kept[:, None].astype(float))
    pm.Potential(name, -0.5 * quadratic - float(kept.sum()) * pt.sum(pt.log(pt.diag(factor))))


def inverse_factor(factor: TensorVariable, size: int) -> TensorVariable:
    """Return the inverse of a lower factor (size, size), row by row.

    Written out because a triangular solve of all rows at once goes to a BLAS with threads of its own, which
    took more time than the rest of a gradient (docs/measured.md).
    """
    rows: list[TensorVariable] = []
    for i in range(size):
        unit = np.eye(size)[i]
        known = unit - pt.dot(factor[i, :i], pt.stack(rows)) if rows else unit
        rows.append(known / factor[i, i])
    return pt.stack(rows)
