"""Studies drawn from a model's own prior: one design, new truth, new true scores and new errors each time.

With the truth from the prior, a posterior that is right covers at exactly its level, on average over studies.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import xarray as xr

from bayesdyn.fitting.prior_group import prior_of
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.replicates import (
    Draws,
    draws_of,
    replicate_scores,
    replicate_states,
    with_new_groups,
)
from bayesdyn.tables import RATER_PRIORS

TRIES = 50
LARGEST = 10.0
"""SDs of a construct. Scores beyond are of a process that all but explodes."""


def flat_measures(
    dyads, sessions, exchanges, constructs, seed, se=(0.5, 0.9), missing=0.0, kappa_sd=0.2, corr=0.3
):
    """Measures of a design: standardised, scores of 0 to be filled in, every error different.

    The errors of the first two constructs are correlated.
    """
    rng = np.random.default_rng(seed)
    count, width = dyads * sessions * exchanges, len(constructs)
    error_corr = np.eye(width)
    error_corr[0, 1] = error_corr[1, 0] = corr
    mask = rng.random((count, width)) < missing
    both = ("exchange", "construct")
    return xr.Dataset(
        {
            "score": (both, np.where(mask, np.nan, rng.standard_normal((count, width)))),
            "se": (both, np.where(mask, np.nan, rng.uniform(*se, (count, width)))),
            "error_corr": (("construct", "construct2"), error_corr),
            "kappa_sd": ("construct", np.full(width, kappa_sd)),
            "shift": ("construct", np.zeros(width)),
            "scale": ("construct", np.ones(width)),
        },
        coords={
            "construct": list(constructs),
            "construct2": list(constructs),
            "dyad": ("exchange", np.char.mod("d%02d", np.arange(count) // (sessions * exchanges))),
            "session": ("exchange", np.char.mod("%d", np.arange(count) // exchanges % sessions)),
            "t": ("exchange", np.arange(count) % exchanges),
        },
        attrs={"notes": "[]", "identification": "simulated"},
    )


def draw_study(problem: Problem, seed: int, *, errors: bool = True) -> tuple[Problem, xr.Dataset]:
    """Return a problem of the same design with scores of a study drawn from the prior, and its truth.

    A truth whose process explodes is drawn anew, as one with unstable lags is: the prior is that of studies
    that can be observed. ``errors=False`` gives the true scores themselves.
    """
    return next(_studies(problem, seed, errors, lambda draws, _: draws))


def draw_usual_study(problem: Problem, seed: int, *, errors: bool = True) -> tuple[Problem, xr.Dataset]:
    """Return the same with paths and kappa from the prior, and spreads as studies have them.

    Residuals and starts of SD .8, correlated .3; effects of groups of SD .4. Half-normal priors put much of
    their weight at spreads near 0, which scores with such errors could tell of nothing.

    A study with a score beyond ``LARGEST`` is drawn anew: nobody would fit one. Being of the data alone, that
    leaves posteriors as they are, and what their intervals cover over the studies that are kept.
    """
    studies = _studies(problem, seed, errors, _usual)
    return next(study for study in studies if np.abs(study[0].score).max() <= LARGEST)


def _usual(draws: Draws, rng: np.random.Generator) -> Draws:
    residual = _equicorrelated(draws.residual.shape[-1], 0.8, 0.3)[None]
    # Blocks of the residual covariance that the model leaves at 0 stay there.
    residual = np.where(draws.residual != 0, residual, 0.0)
    covs = {name: _equicorrelated(cov.shape[-1], 0.4, 0.0)[None] for name, cov in draws.covs.items()}
    start = _equicorrelated(draws.start.shape[-1], 0.8, 0.3)[None]
    return with_new_groups(replace(draws, residual=residual, start=start, covs=covs), rng)


def _studies(
    problem: Problem, seed: int, errors: bool, change: Callable[[Draws, np.random.Generator], Draws]
) -> Iterator[tuple[Problem, xr.Dataset]]:
    """Yield studies of one seed whose scores are numbers, and their truths."""
    for own in np.random.SeedSequence(seed).spawn(TRIES):
        rng = np.random.default_rng(own)
        truth = prior_of(problem, 1, rng)
        draws = change(draws_of(truth, problem, np.zeros(1, dtype=np.int64)), rng)
        replicate = replicate_scores if errors else replicate_states
        score = replicate(problem, draws, rng)[0]
        if np.isfinite(score[problem.rated]).all():
            yield (
                replace(problem, score=np.where(problem.rated, score, 0.0)),
                truth.isel(chain=0, draw=0),
            )
    raise AssertionError("every truth explodes")


def with_raters(measures: xr.Dataset, raters: int, rho_prior: tuple[float, float]) -> xr.Dataset:
    """Return measures of a design rated by LLMs of unequal discrimination, their ratings to be filled in."""
    names = [f"llm{number}" for number in range(1, raters + 1)]
    rated = np.repeat(measures["score"].notnull().values[:, None], raters, axis=1)
    dims = ("exchange", "rater", "construct")
    assumed = {
        "raters": names, "discrimination": "free", "rho_prior": [list(rho_prior)] * raters,
        "shared_prior": [1.0, 4.0], "tokens": False, "ordinal": False, "weighted": False,
    }  # fmt: skip
    constructs = [str(name) for name in measures["construct"].values]
    return measures.assign(
        rating=(dims, np.where(rated, 0.0, np.nan)),
        rating_q=(dims, np.where(rated, 1.0, np.nan)),
        rating_noise=(dims, np.where(rated, 0.0, np.nan)),
    ).assign_coords(rater=names, rater_kind=("rater", ["llm"] * raters)).assign_attrs(
        {**measures.attrs, RATER_PRIORS: json.dumps(dict.fromkeys(constructs, assumed))}
    )  # fmt: skip


def draw_rated_study(problem: Problem, seed: int) -> tuple[Problem, xr.Dataset]:
    """Return a problem of ``joint`` with ratings drawn from the raters' priors, and the truth.

    Paths, spreads and true scores as in :func:`draw_usual_study`, where the ratings are the data.
    """
    rng, by = np.random.default_rng([seed, 1]), problem.rated_by
    for drawn, truth in _studies(problem, seed, False, _usual):
        at = {name: truth[name].values for name in ("severity", "discrimination", "error_sd", "shared")}
        theta, shape = drawn.score[:, None], by.value.shape
        shared = at["shared"] * rng.standard_normal((shape[0], 1, shape[2]))
        own = at["error_sd"] * rng.standard_normal(shape)
        rating = at["severity"] + at["discrimination"] * theta + shared + own
        value = np.where(by.mask > 0, rating, 0.0)
        if np.abs(value).max() <= LARGEST:
            return replace(problem, rated_by=replace(by, value=value)), truth
    raise AssertionError("every truth is beyond the scale")


def _equicorrelated(size: int, sd: float, corr: float) -> np.ndarray:
    return sd**2 * ((1 - corr) * np.eye(size) + corr)
