"""Simulate raw ratings from a model with chosen truth: the same study as measures of the same seed have."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.simulating.asked import (
    ByConstruct,
    by_construct,
    check_seed,
    check_share,
    error_correlation,
)
from bayesdyn.structure.simulating.covariates import Covariate
from bayesdyn.structure.simulating.design import RaterDesign, panel_of
from bayesdyn.structure.simulating.index import Size
from bayesdyn.structure.simulating.lengths import Lengths
from bayesdyn.structure.simulating.rating import rate_study, ratings_frame
from bayesdyn.structure.simulating.spreads import Spreads
from bayesdyn.structure.simulating.study import TITLE, draw_study, plan_study, streams
from bayesdyn.tables import check_ratings


def simulate_ratings(
    spec: ModelSpec,
    *,
    raters: RaterDesign | None = None,
    dyads: int = 40,
    sessions: Lengths = 3,
    exchanges: Lengths = (15, 25),
    truth: Mapping[str, float] | None = None,
    spreads: Spreads | None = None,
    covariates: Mapping[str, str | Covariate] | None = None,
    error_corr: np.ndarray | None = None,
    missing: ByConstruct = 0.0,
    missing_exchanges: float = 0.0,
    groups: Mapping[str, int] | None = None,
    random_seed: int,
) -> tuple[pd.DataFrame, xr.Dataset]:
    """Simulate what several raters say of each exchange, and return it with the truth.

    Parameters
    ----------
    spec, dyads, sessions, exchanges, truth, spreads, covariates, random_seed
        As of :func:`bayesdyn.simulate`; the same seed gives the same true scores.
    raters
        Who rates, and how well; default two LLMs. The generative form is that of the rater model
        (:mod:`bayesdyn.structure.simulating.rating`).
    error_corr
        (C, C) correlation of a rater's errors across constructs (halo), the same at each level and in the
        error that LLMs share.
    missing
        Share of ratings that are unrated, at random: one number, or by construct (0 where unnamed). All
        replicates of a rating are unrated together.
    missing_exchanges
        Share of exchanges that nobody rated.

    Returns
    -------
    ratings : pd.DataFrame
        Long ratings as :func:`bayesdyn.measure` takes them, humans among them, with a column for each
        covariate: ``ratings.drop_duplicates(["dyad", "session", "t"])`` serves as its ``exchanges``.
    truth : xr.Dataset
        As of :func:`bayesdyn.simulate` but for ``kappa``; besides, in the names of Measures, ``severity``,
        ``discrimination``, ``error_sd`` (rater, construct), ``shared_error``, ``shift``, ``scale``
        (construct): a true score in scale points is ``shift + scale * latent``.

    Raises
    ------
    InputError
        With everything wrong at once, as :func:`bayesdyn.simulate`.
    """
    faults = FaultList()
    size = Size(dyads, sessions, exchanges, groups or {})
    plan = plan_study(spec, size, truth, spreads, covariates, faults)
    names = plan.constructs
    if raters is not None and not isinstance(raters, RaterDesign):
        faults.add(f"raters is {raters!r}", "Give RaterDesign(raters=(Rater(...), ...), ...)")
        raters = None
    panel = panel_of(raters or RaterDesign(), names, tuple(name for name, _, _ in spec.scale), faults)
    unrated = by_construct("missing", missing, names, 0.0, "[0, 1)", faults)
    check_share("missing_exchanges", missing_exchanges, "[0, 1)", faults)
    corr = error_correlation(error_corr, names, faults)
    check_seed(random_seed, faults)
    faults.raise_if_any(TITLE)
    rng = streams(random_seed)
    study = draw_study(plan, rng)
    rated = rate_study(study, panel, corr, unrated, missing_exchanges, rng)
    ratings = check_ratings(ratings_frame(study, panel, names, rated, study.covariates))
    table = {name: getattr(panel, name) for name in ("severity", "discrimination", "error_sd")}
    true = study.truth.assign(
        {
            **{name: (("rater", "construct"), values) for name, values in table.items()},
            "shared_error": ("construct", panel.shared_error),
            "shift": ("construct", study.shift + rated.moved),
            "scale": ("construct", study.scale),
        }
    ).assign_coords(
        rater=[rater.name for rater in panel.design.raters],
        rater_kind=("rater", [rater.kind for rater in panel.design.raters]),
    )
    return ratings, true
