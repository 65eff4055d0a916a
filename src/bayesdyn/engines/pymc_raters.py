"""The ratings' own likelihood in PyMC: measurement ``joint``, where raters and structure are learnt together.

A rating of exchange t by rater r, standardised as the true score theta is:

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
"""

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayesdyn.structure.data.rated import TOKEN_PRIOR, Rated


@dataclass(frozen=True)
class Scores:
    """What the ratings say of the true scores at the raters' parameters.

    Attributes
    ----------
    score, log_se
        (N, C); 0 where nobody rated.
    rest
        (N,) log of what the ratings' density has beside that of the scores.
    """

    score: TensorVariable
    log_se: TensorVariable
    rest: TensorVariable


def add_raters(rated: Rated, data: dict[str, TensorVariable]) -> Scores:
    """Add the raters' parameters to the model in context, and return the scores that they make of ratings.

    Deterministics ``severity``, ``discrimination``, ``error_sd``, ``shared`` (rater, construct) and
    ``token_weight`` (construct); a rater without a part in a construct has 0, 1, 0 and 0 there.
    """
    present, llm = rated.present.astype(float), 1.0 - rated.human[:, None].astype(float)
    anchors = rated.anchor / rated.anchor.sum(axis=0)
    severity = pm.Deterministic(
        "severity", _less_their_mean("severity_raw", rated, rated.present), dims=("rater", "construct")
    )
    log_ratio = _less_their_mean("discrimination_raw", rated, rated.present & rated.free)
    unit = rated.by_humans.astype(float) * pt.log(pt.sum(anchors * pt.exp(log_ratio), axis=0))
    share, its_root = _filled_beta("shared_share_raw", rated.shared_prior)
    alike = rated.equal_common.astype(float) * pt.log1p(-share) / 2
    discrimination = pm.Deterministic(
        "discrimination", pt.exp(present * (log_ratio - unit) + alike), dims=("rater", "construct")
    )
    rho, _ = _filled_beta("reliability_raw", rated.rho_priors)
    of_all = pt.sum(rho * rated.first.astype(float), axis=0)
    rho = rated.own_rho.astype(float) * rho + (~rated.own_rho).astype(float) * of_all
    common = discrimination / pt.sqrt(1 - llm * share)
    shared = pm.Deterministic("shared", present * common * llm * its_root, dims=("rater", "construct"))
    # Sums, not switches: with a Python number in it PyTensor's switch was seen to be single precision in JAX.
    odds = 1 / (present * rho + (1 - present) / 2) - 1
    error_sd = pm.Deterministic("error_sd", present * common * pt.sqrt(odds), dims=("rater", "construct"))
    weight = pm.Deterministic(
        "token_weight",
        _filled_beta("token_weight_raw", np.outer(rated.tokens, TOKEN_PRIOR))[0],
        dims="construct",
    )
    return rated_scores(data, severity, discrimination, error_sd, shared, weight)


def rated_scores(
    data: dict[str, TensorVariable],
    severity: TensorVariable,
    discrimination: TensorVariable,
    error_sd: TensorVariable,
    shared: TensorVariable,
    weight: TensorVariable,
) -> Scores:
    """Return score, log standard error and the rest of the ratings' log density at the raters' parameters.

    The errors' covariance is diagonal plus the rank one that LLMs share (Sherman & Morrison).
    """
    mask, q = data["rating_mask"], data["rating_q"]
    own = error_sd**2 * (1 - weight + weight * q) + data["rating_noise"]
    own = mask * own + (1 - mask)
    away = mask * (data["rating"] - severity)
    inverse = mask / own
    both = pt.sum(inverse * shared * discrimination, axis=1)
    drag = 1 + pt.sum(inverse * shared**2, axis=1)
    pulled, dragged = pt.sum(inverse * discrimination * away, axis=1), pt.sum(inverse * shared * away, axis=1)
    count = pt.sum(mask, axis=1)
    any_rated = pt.minimum(count, 1)
    precision = pt.sum(inverse * discrimination**2, axis=1) - both**2 / drag
    precision = precision + (1 - any_rated)
    linear = pulled - both * dragged / drag
    score = linear / precision
    left = pt.sum(inverse * away**2, axis=1) - dragged**2 / drag - linear * score
    log_det = pt.sum(pt.log(own), axis=1) + pt.log(drag) + pt.log(precision)
    rest = -0.5 * (pt.maximum(count - 1, 0) * np.log(2 * np.pi) + log_det + left)
    return Scores(score, -0.5 * pt.log(precision), pt.sum(any_rated * rest, axis=1))


def rated_data(rated: Rated) -> dict[str, np.ndarray]:
    """Return the data that :func:`add_raters` takes, by name."""
    return {
        "rating": rated.value,
        "rating_q": rated.q,
        "rating_noise": rated.noise,
        "rating_mask": rated.mask,
    }


def _less_their_mean(name: str, rated: Rated, used: np.ndarray) -> TensorVariable:
    """Return standard normals (rater, construct) less the mean of their construct's anchors; 0 where unused.

    Their one redundant direction, of prior width where many ratings make the others narrow, is left out:
    it is correlated with all of them and lengthens trajectories.
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
    place = np.concatenate(columns, axis=1)
    if not place.shape[1]:
        return pt.zeros(used.shape)
    drawn = pm.Normal(name, 0.0, 1.0, shape=place.shape[1])
    return pt.dot(place, drawn).reshape(used.shape)


def _filled_beta(name: str, prior: np.ndarray) -> tuple[TensorVariable, TensorVariable]:
    """Return Beta variables where their parameters, last in ``prior``, are above 0, and their roots.

    Elsewhere both are 0; the root is not taken there, where it has no derivative.
    """
    shape = prior.shape[:-1]
    at = np.flatnonzero(prior[..., 0] > 0)
    if not at.size:
        return pt.zeros(shape), pt.zeros(shape)
    a, b = prior.reshape(-1, 2)[at].T
    drawn = pm.Beta(name, a, b, shape=at.size)
    return _at(drawn, at, shape), _at(pt.sqrt(drawn), at, shape)


def _at(values: TensorVariable, at: np.ndarray, shape: tuple[int, ...]) -> TensorVariable:
    place = np.zeros((int(np.prod(shape)), at.size))
    place[at, np.arange(at.size)] = 1.0
    return pt.dot(place, values).reshape(shape)
