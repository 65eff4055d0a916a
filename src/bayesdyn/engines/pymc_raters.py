"""Raters in PyMC: the random variables of measurement ``joint`` (:mod:`bayesdyn.engines.raters`)."""

from typing import cast

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayesdyn.engines.arrays import ArrayModule
from bayesdyn.engines.raters import (
    Raters,
    Ratings,
    Scores,
    Told,
    beta_priors,
    normal_places,
    raters_at,
    scores_of,
    told,
)
from bayesdyn.structure.data.rated import Rated

_XP = cast("ArrayModule[TensorVariable]", pt)


def add_raters(rated: Rated, data: dict[str, TensorVariable]) -> Scores[TensorVariable]:
    """Add the raters' parameters to the model in context, and return the scores that they make of ratings.

    Deterministics ``severity``, ``discrimination``, ``error_sd``, ``shared`` (rater, construct) and
    ``token_weight`` (construct); a rater without a part in a construct has 0, 1, 0 and 0 there.
    """
    raw: dict[str, TensorVariable] = {
        name: pm.Normal(name, 0.0, 1.0, shape=place.shape[1]) for name, place in normal_places(rated).items()
    }
    for name, prior in beta_priors(rated).items():
        raw[name] = pm.Beta(name, *prior.T, shape=len(prior))
    at = raters_at(_XP, rated, raw)
    by_construct = {"token_weight": "construct"}
    named = {
        name: pm.Deterministic(name, value, dims=by_construct.get(name, ("rater", "construct")))
        for name, value in at._asdict().items()
    }
    return rated_scores(data, *Raters(**named))


def rated_scores(
    data: dict[str, TensorVariable],
    severity: TensorVariable,
    discrimination: TensorVariable,
    error_sd: TensorVariable,
    shared: TensorVariable,
    weight: TensorVariable,
) -> Scores[TensorVariable]:
    """Return the scores (N, C) of the data's ratings at the raters' parameters, and their rest (N,)."""
    ratings = Ratings(*(data[name] for name in ("rating", "rating_q", "rating_noise", "rating_mask")))
    each = told(_XP, ratings, Raters(severity, discrimination, error_sd, shared, weight))
    found = scores_of(_XP, Told(*(pt.sum(values, axis=1) for values in each)))
    return found._replace(rest=pt.sum(found.rest, axis=1))


def rated_data(rated: Rated) -> dict[str, np.ndarray]:
    """Return the data that :func:`add_raters` takes, by name."""
    return {
        "rating": rated.value,
        "rating_q": rated.q,
        "rating_noise": rated.noise,
        "rating_mask": rated.mask,
    }
