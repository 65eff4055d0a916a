"""Raters in a fit: from what is drawn of them to their parameters, and from their ratings to scores.

The model of measurement ``joint``, where raters and structure are learnt together. A rating of exchange t by
rater r, standardised as the true score theta is:

    y_tr = severity_r + discrimination_r theta_t + shared_r z_t + e_tr,
    var(e_tr) = error_sd_r^2 (1 - w + w q_tr) + noise_tr

with z_t ~ N(0, 1) the error that all LLMs share, q the relative token variance and ``noise`` that of the
replicates' mean: the rater model of :mod:`bayesdyn.measures.rater.density`, whose normal true score the
structural model replaces. Given the raters' parameters all ratings of an exchange are one score and what is
left: p(y | theta) = N(score; theta, se^2) c(y), score and se by generalised least squares (sufficiency). So
the structural model takes them as it takes any score with its error, and c is added. Errors of different
exchanges are independent, as in every setting of ``measurement``.

Priors, in units of ``scale``, the moment estimate of the true score's SD:

==============  ====================================================================================
severity        Normal(0, 1) each, less the anchors' mean
discrimination  exp of Normal(0, 1) each, over the anchors' mean (humans) or geometric mean (LLMs);
                c = 1 where they are assumed equal
rho             that of :mod:`bayesdyn.measures.rater.model`: share of a rating's variance that raters of
                its kind have in common, for a true score of SD 1
s               the same: the share of error in what LLMs have in common
w               Beta(1, 2) where there are token variances, else 0
==============  ====================================================================================

so that, with c the loading on what is common, discrimination = c sqrt(1 - s) and shared = c sqrt(s) for an
LLM, and error_sd = c sqrt(1 / rho - 1).

Both engines compute with these functions: ``xp`` is the module of their arrays, PyTensor's or JAX's.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.arrays import Array, ArrayModule
from bayesdyn.structure.data.rated import TOKEN_PRIOR, Rated


class Ratings[A](NamedTuple):
    """Ratings, relative token variance, variance of the replicates' mean, and 1 where rated: one shape."""

    value: A
    q: A
    noise: A
    mask: A


class Raters[A](NamedTuple):
    """Parameters of the raters (rater, construct), and of constructs; fields as a joint fit names them.

    A rater without a part in a construct has 0, 1, 0 and 0 there.
    """

    severity: A
    discrimination: A
    error_sd: A
    shared: A
    token_weight: A


class Told[A](NamedTuple):
    """What ratings tell of a true score and of the error that LLMs share, by each rating's own variance.

    Attributes
    ----------
    rated, log_own
        1 where rated, and the log of that variance.
    loadings, both, shared
        Squares and product of discrimination and of the share in what LLMs have in common, over the variance.
    pulled, dragged, away
        The rating less the severity, times discrimination, the share, and itself, over the variance.
    """

    rated: A
    loadings: A
    both: A
    shared: A
    pulled: A
    dragged: A
    away: A
    log_own: A


class Scores[A](NamedTuple):
    """What ratings say of the true scores: a score, its error, and the rest.

    Attributes
    ----------
    score, log_se
        0 where nobody rated.
    rest
        Log of what the ratings' density has beside that of the scores.
    """

    score: A
    log_se: A
    rest: A


def normal_places(rated: Rated) -> dict[str, NDArray[np.float64]]:
    """Return the standard normals that are drawn: by name, (rater x construct, K) where they go."""
    every = {
        "severity_raw": _less_their_mean(rated, rated.present),
        "discrimination_raw": _less_their_mean(rated, rated.present & rated.free),
    }
    return {name: place for name, place in every.items() if place.shape[1]}


def beta_priors(rated: Rated) -> dict[str, NDArray[np.float64]]:
    """Return the Betas that are drawn: by name, (K, 2) parameters."""
    every = {name: prior[prior[..., 0] > 0] for name, prior in _betas(rated).items()}
    return {name: prior for name, prior in every.items() if len(prior)}


def raters_at[A: Array](xp: ArrayModule[A], rated: Rated, raw: Mapping[str, A]) -> Raters[A]:
    """Return the raters' parameters.

    Parameters
    ----------
    xp
        The module of the arrays.
    rated
        The ratings, which tell who the raters are.
    raw
        (K,) values of what :func:`normal_places` and :func:`beta_priors` name, Betas between 0 and 1.
    """
    present, llm = rated.present.astype(float), 1.0 - rated.human[:, None].astype(float)
    anchors = rated.anchor / rated.anchor.sum(axis=0)
    places, shape = normal_places(rated), rated.present.shape

    def spread(name: str) -> A:
        return xp.dot(places[name], raw[name]).reshape(shape) if name in places else xp.zeros(shape)

    def filled(name: str, values: Mapping[str, A] = raw) -> A:
        """Return Betas where they are drawn, 0 elsewhere."""
        prior = _betas(rated)[name]
        at = np.flatnonzero(prior[..., 0] > 0)
        if not at.size:
            return xp.zeros(prior.shape[:-1])
        place = np.zeros((prior[..., 0].size, at.size))
        place[at, np.arange(at.size)] = 1.0
        return xp.dot(place, values[name]).reshape(prior.shape[:-1])

    # Roots are taken where there are Betas: they have no derivative at the 0 elsewhere.
    roots = {name: xp.sqrt(values) for name, values in raw.items() if name == _SHARE}
    log_ratio, share, rho = spread("discrimination_raw"), filled(_SHARE), filled("reliability_raw")
    unit = xp.log(xp.sum(xp.exp(log_ratio) * anchors, axis=0)) * rated.by_humans.astype(float)
    alike = xp.log1p(-share) * rated.equal_common.astype(float) / 2
    discrimination = xp.exp((log_ratio - unit) * present + alike)
    of_all = xp.sum(rho * rated.first.astype(float), axis=0)
    rho = rho * rated.own_rho.astype(float) + of_all * (~rated.own_rho).astype(float)
    common = discrimination / xp.sqrt(1 - share * llm)
    # Sums, not switches: with a Python number in it PyTensor's switch was seen to be single precision in JAX.
    odds = 1 / (rho * present + (1 - present) / 2) - 1
    return Raters(
        severity=spread("severity_raw"),
        discrimination=discrimination,
        error_sd=common * present * xp.sqrt(odds),
        shared=common * (present * llm) * filled(_SHARE, roots),
        token_weight=filled("token_weight_raw"),
    )


def told[A: Array](xp: ArrayModule[A], ratings: Ratings[A], raters: Raters[A]) -> Told[A]:
    """Return what each rating tells: of all raters of an exchange it is to be summed.

    Ratings and raters are of shapes that go together.
    """
    mask, weight, loading, shared = ratings.mask, raters.token_weight, raters.discrimination, raters.shared
    own = raters.error_sd**2 * (1 - weight + weight * ratings.q) + ratings.noise
    own = mask * own + (1 - mask)
    away = mask * (ratings.value - raters.severity)
    inverse = mask / own
    return Told(
        rated=mask,
        loadings=inverse * loading**2,
        both=inverse * shared * loading,
        shared=inverse * shared**2,
        pulled=inverse * loading * away,
        dragged=inverse * shared * away,
        away=inverse * away**2,
        log_own=xp.log(own),
    )


def scores_of[A: Array](xp: ArrayModule[A], told: Told[A]) -> Scores[A]:
    """Return score, log standard error and the rest of the ratings' log density.

    The errors' covariance is diagonal plus the rank one that LLMs share (Sherman & Morrison).

    Parameters
    ----------
    xp
        The module of the arrays.
    told
        Summed over the raters.
    """
    drag, any_rated = told.shared + 1, xp.minimum(told.rated, 1)
    precision = told.loadings - told.both**2 / drag + (1 - any_rated)
    linear = told.pulled - told.both * told.dragged / drag
    score = linear / precision
    left = told.away - told.dragged**2 / drag - linear * score
    log_det = told.log_own + xp.log(drag) + xp.log(precision)
    rest = -0.5 * (xp.maximum(told.rated - 1, 0) * math.log(2 * math.pi) + log_det + left)
    return Scores(score, -0.5 * xp.log(precision), any_rated * rest)


_SHARE = "shared_share_raw"


def _betas(rated: Rated) -> dict[str, NDArray[np.float64]]:
    """Return parameters (..., 2) of Beta priors by name and place, 0 where none is drawn."""
    return {
        _SHARE: rated.shared_prior,
        "reliability_raw": rated.rho_priors,
        "token_weight_raw": np.outer(rated.tokens, TOKEN_PRIOR),
    }


def _less_their_mean(rated: Rated, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what makes of standard normals (K,) those of raters and constructs, 0 where unused.

    They are normals less the mean of their construct's anchors. Their one redundant direction, of prior width
    where many ratings make the others narrow, is left out: it is correlated with all of them and lengthens
    trajectories.
    """
    raters, constructs = used.shape
    columns: list[np.ndarray] = [np.zeros((raters * constructs, 0))]
    for c in range(constructs):
        who = np.flatnonzero(used[:, c])
        if who.size < 2:
            continue
        weight = rated.anchor[who, c] / rated.anchor[who, c].sum()
        centred = np.eye(who.size) - weight[None, :]
        variance, axes = np.linalg.eigh(centred @ centred.T)
        kept = variance > 1e-9  # all but one
        column = np.zeros((raters * constructs, int(kept.sum())))
        column[who * constructs + c] = axes[:, kept] * np.sqrt(variance[kept])
        columns.append(column)
    return np.concatenate(columns, axis=1)
