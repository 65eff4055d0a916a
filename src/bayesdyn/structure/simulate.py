"""Simulate measures from a model with chosen truth: the generative form of design section 6.

Written exchange by exchange from the equations, sharing only the term table with the engines, so that a
fit of simulated measures is a check of the engine and not of itself.
"""

from collections.abc import Mapping

import numpy as np
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
from bayesdyn.structure.simulating.index import Size
from bayesdyn.structure.simulating.lengths import Lengths
from bayesdyn.structure.simulating.spreads import Spreads
from bayesdyn.structure.simulating.study import TITLE, draw_study, plan_study, streams

DEFAULT_RELIABILITY = 0.7


def simulate(
    spec: ModelSpec,
    *,
    dyads: int = 40,
    sessions: Lengths = 3,
    exchanges: Lengths = (15, 25),
    reliability: ByConstruct = DEFAULT_RELIABILITY,
    truth: Mapping[str, float] | None = None,
    spreads: Spreads | None = None,
    covariates: Mapping[str, str | Covariate] | None = None,
    error_corr: np.ndarray | None = None,
    kappa_sd: ByConstruct = 0.0,
    missing: ByConstruct = 0.0,
    missing_exchanges: float = 0.0,
    groups: Mapping[str, int] | None = None,
    random_seed: int,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Simulate measures and return them with the truth, in the names of a fit.

    Parameters
    ----------
    spec
        The model; every predictor gets its default law (design section 6).
    dyads
        Number of dyads.
    sessions, exchanges
        Sessions of a dyad and exchanges of a session: one number for all; a tuple, the lowest and highest of
        a uniform draw; ``NegativeBinomial(mean, sd)``; or ``Observed(counts)``, drawn with replacement.
    reliability
        Share of a score's variance within the corpus that is the true score's: one number, or by construct
        (0.7 where unnamed). Each exchange's se varies by a factor of about 1.5 around its construct's.
    truth
        Coefficients by path name or label, standardised. Unnamed: 0.15 for a main effect, -0.10 for a
        product, 0.3 for an own lag, 0.05 for another lag or a covariate.
    spreads
        Standard deviations and correlations of residuals, starts and levels; see there for the defaults.
    covariates
        What else the model names beside constructs and ``phase``: ``"normal"`` or ``"binary"``, one value
        for each exchange, or a :class:`~bayesdyn.structure.simulating.covariates.Covariate`.
    error_corr
        (C, C) correlation of errors across constructs, in the order of the model's constructs; default none.
    kappa_sd
        How wrong the standard errors are: the true ones are ``se exp(kappa / 2)`` with kappa drawn from
        N(0, kappa_sd^2) once per construct. One number, or by construct (0 where unnamed).
    missing
        Share of scores that are unrated, at random: one number, or by construct (0 where unnamed).
    missing_exchanges
        Share of exchanges that nobody rated at all, at random and independently of ``missing``.
    groups
        Number of groups of each kind that the model names besides dyads and sessions, such as
        ``{"therapist": 10}``; one for every four dyads where unnamed. Dyads are dealt to them evenly.
    random_seed
        Seed; split into independent streams, so that a choice about errors moves no true score.

    Returns
    -------
    measures : xr.Dataset
        Measures with dims (exchange, construct), with the fixed ``shift`` and ``scale`` (the model's, else 3
        and 0.8) and the covariates.
    truth : xr.Dataset
        What a fit's posterior has, without chain and draw: ``path``, ``defined``, ``residual_cov``,
        ``predictor_cov``, ``cross_cov``, ``start_cov``, ``dyad_cov``, ``session_cov``, ``dyad_effects``,
        ``session_effects``, ``level_mean``, ``kappa``; ``decay`` where the model has time, ``<group>_cov``
        and ``<group>_effects`` of every other kind of group; and ``latent`` (exchange, construct), in the
        order of the measures. Where every dyad has one session its two levels are one, the dyad's, as in a
        fit.

    Raises
    ------
    InputError
        With everything wrong at once: unknown names (with the nearest), what is no number or out of bounds,
        correlations that cannot hold together; and an unstable process.
    """
    faults = FaultList()
    size = Size(dyads, sessions, exchanges, groups or {})
    plan = plan_study(spec, size, truth, spreads, covariates, faults)
    names = plan.constructs
    reliabilities = by_construct("reliability", reliability, names, DEFAULT_RELIABILITY, "(0, 1]", faults)
    unrated = by_construct("missing", missing, names, 0.0, "[0, 1)", faults)
    wrong = by_construct("kappa_sd", kappa_sd, names, 0.0, "[0, inf)", faults)
    check_share("missing_exchanges", missing_exchanges, "[0, 1)", faults)
    corr = error_correlation(error_corr, names, faults)
    check_seed(random_seed, faults)
    faults.raise_if_any(TITLE)
    rng = streams(random_seed)
    study = draw_study(plan, rng)

    latent, shift, scale = study.latent, study.shift, study.scale
    error_sd = np.sqrt(latent.var(axis=0) * (1 - reliabilities) / reliabilities)
    spread = np.exp(rng.error.normal(0.0, 0.2, latent.shape))
    se = error_sd * spread / np.sqrt(np.mean(spread**2, axis=0))
    noise = rng.error.standard_normal(latent.shape) @ np.linalg.cholesky(corr).T
    kappa = np.where(wrong > 0, wrong * rng.kappa.standard_normal(len(names)), 0.0)
    score = latent + se * np.exp(kappa / 2) * noise
    mask = rng.mask.random(latent.shape) < unrated
    mask |= rng.gap.random((len(latent), 1)) < missing_exchanges
    perfect = reliabilities == 1
    measures = xr.Dataset(
        {
            "score": (("exchange", "construct"), np.where(mask, np.nan, shift + scale * score)),
            "se": (("exchange", "construct"), np.where(mask, np.nan, scale * np.where(perfect, 1e-3, se))),
            "error_corr": (("construct", "construct2"), corr),
            "reliability": ("construct", reliabilities),
            "kappa_sd": ("construct", wrong),
            "shift": ("construct", shift),
            "scale": ("construct", scale),
            **{name: ("exchange", values) for name, values in study.covariates.items()},
        },
        coords={"construct": list(names), "construct2": list(names), **study.coords},
        attrs={"identification": "simulated", "notes": '["These measures are simulated."]'},
    )
    return measures, study.truth.assign(kappa=("construct", kappa))
