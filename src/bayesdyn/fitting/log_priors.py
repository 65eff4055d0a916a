"""The log prior density of a fit's draws by class of priors, for power-scaling (ArviZ ``psense``)."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import betaln
from scipy.stats import halfnorm, norm

from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import posterior_of
from bayesdyn.fitting.likelihood import check_whole, problem_of
from bayesdyn.structure.free_paths import free_names
from bayesdyn.structure.language.blocks import residual_blocks
from bayesdyn.structure.language.priors import Priors, path_class, resolve_priors
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.quantities import join_residual_cov

type Floats = NDArray[np.float64]

_REMEDY = 'Ask a fit with measurement="known"'


def log_prior(fit: xr.DataTree) -> xr.Dataset:
    """Return the log prior density of every draw of a fit, by class of priors.

    It is that of the hyperparameters. Effects of dyads and sessions, and latent states, have laws and not
    priors: :func:`bayesdyn.log_likelihood` integrates them out, so that prior times likelihood is the
    posterior of what is drawn.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.

    Returns
    -------
    xr.Dataset
        Dims (chain, draw), joint over the parameters of a class, on the standardised scale: ``path``,
        ``lag_own``, ``lag_cross``, ``lag_far``, ``mean``, ``residual_sd``, ``start_sd``, ``level_sd``,
        ``correlation`` (density of the correlation matrices), ``decay``, as in ``[priors]``, and ``kappa``;
        classes that the model has not are absent. Paths of one label count once. What truncation to stable
        dynamics adds is a constant, and left out.

    Raises
    ------
    InputError
        A ``joint`` fit, whose raters have priors of parameters that a fit does not keep; a ``propagated``
        fit, whose posterior is no prior times one likelihood.
    """
    faults = FaultList()
    if fit.attrs["measurement"] == "joint":
        faults.add(
            "the raters' parameters of a joint fit are kept in another form than their priors",
            _REMEDY,
        )
    check_whole(fit, _REMEDY, faults)
    faults.raise_if_any("Cannot tell the log prior")
    problem = problem_of(fit)
    posterior, priors = posterior_of(fit).transpose("chain", "draw", ...), resolve_priors(problem.spec)
    found = _of_paths(posterior, problem, priors)
    found["mean"] = norm.logpdf(posterior["level_mean"].values, *priors["mean"].numbers).sum(axis=-1)
    (eta,) = priors["correlation"].numbers
    for of, cov in _covariances(posterior, problem):
        sd = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
        found[of] = found.get(of, 0.0) + halfnorm.logpdf(sd, scale=priors[of].numbers[0]).sum(axis=-1)
        if cov.shape[-1] > 1:
            density = log_lkj(cov / (sd[..., :, None] * sd[..., None, :]), eta)
            found["correlation"] = found.get("correlation", 0.0) + density
    if problem.spec.time:
        found["decay"] = halfnorm.logpdf(posterior["decay"].values, scale=priors["decay"].numbers[0])
    uncertain = problem.kappa_sd > 0
    if problem.measurement != "none" and uncertain.any():
        kappa = posterior["kappa"].sel(construct=list(problem.constructs)).values[..., uncertain]
        found["kappa"] = norm.logpdf(kappa, 0.0, problem.kappa_sd[uncertain]).sum(axis=-1)
    return xr.Dataset(
        {name: (("chain", "draw"), value) for name, value in found.items()},
        coords={"chain": posterior["chain"].values, "draw": posterior["draw"].values},
        attrs={"model": str(fit.attrs["model"]), "inputs": str(fit.attrs["inputs"])},
    )


def log_lkj(corr: Floats, eta: float) -> Floats:
    """Return the log density (...) of correlation matrices (..., size, size) under LKJ(eta).

    Normalised over the elements below the diagonal (Lewandowski, Kurowicka & Joe 2009, J. Multivariate
    Analysis 100, 1989-2001, equations 16 and 17).
    """
    size = corr.shape[-1]
    below = np.arange(size - 1, 0, -1)
    shape = eta + (below - 1) / 2
    constant = np.sum(below * ((2 * eta - 2 + below) * np.log(2.0) + betaln(shape, shape)))
    return (eta - 1) * np.linalg.slogdet(corr)[1] - constant


def _of_paths(posterior: xr.Dataset, problem: Problem, priors: Priors) -> dict[str, Floats]:
    """Return the log prior density of the free coefficients (chain, draw) by class."""
    spec, found = problem.spec, dict[str, Floats]()
    first = {path.label or path.name: path for path in reversed(spec.paths)}
    for name in free_names(spec):
        path = first[name]
        of = path_class(spec, path)
        density = norm.logpdf(
            posterior["path"].sel(path_name=path.name).values, *priors.of_path(spec, path).numbers
        )
        found[of] = found.get(of, 0.0) + density
    return found


def _covariances(posterior: xr.Dataset, problem: Problem) -> list[tuple[str, Floats]]:
    """Return each covariance that has a prior (chain, draw, size, size), with the class of its SDs."""
    residual = join_residual_cov(posterior, problem.endogenous).transpose("chain", "draw", ...).values
    found = [
        ("residual_sd", residual[..., np.array(block)[:, None], np.array(block)])
        for block in residual_blocks(problem.spec, problem.endogenous)
    ]
    found.append(("start_sd", posterior["start_cov"].values))
    return found + [("level_sd", posterior[f"{name}_cov"].values) for name in problem.spec.groups]
