"""Simulate measures from a model with chosen truth: the generative form of design section 6.

Written exchange by exchange from the equations, sharing only the term table with the engines, so that a
fit of simulated measures is a check of the engine and not of itself.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.structure.laws import with_default_laws
from bayesdyn.structure.priors import lag_class
from bayesdyn.structure.spec import BUILT_IN_COVARIATES, ModelSpec, Path
from bayesdyn.structure.states import draw_levels, draw_states, residual_covariance
from bayesdyn.structure.terms import effect_names, tabulate

DEFAULT_RELIABILITY = 0.7
_OWN_LAG, _CROSS_LAG = 0.3, 0.05
_SCALE = (3.0, 0.8)  # raw = 3 + 0.8 standardised: the middle and a usual spread of a 1 to 5 scale


def simulate(
    spec: ModelSpec,
    *,
    dyads: int = 40,
    sessions: int = 3,
    exchanges: int | tuple[int, int] = (15, 25),
    reliability: Mapping[str, float] | float = DEFAULT_RELIABILITY,
    truth: Mapping[str, float] | None = None,
    error_corr: np.ndarray | None = None,
    missing: float = 0.0,
    random_seed: int,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Simulate measures and return them with the truth, in the names of a fit.

    Parameters
    ----------
    spec
        The model; every predictor gets its default law (design section 6).
    dyads, sessions
        Number of dyads, and of sessions in each.
    exchanges
        Exchanges of a session: one number, or the lowest and highest of a uniform draw.
    reliability
        Share of a score's variance within the corpus that is the true score's: one number, or by construct
        (0.7 where unnamed). Each exchange's se varies by a factor of about 1.5 around its construct's.
    truth
        Coefficients by path name or label, standardised. Unnamed: 0.15 for a main effect, -0.10 for a
        product, 0.3 for an own lag, 0.05 for another lag or a covariate.
    error_corr
        (C, C) correlation of errors across constructs, in the order of the model's constructs; default none.
    missing
        Share of scores that are unrated, at random.
    random_seed
        Seed; split into independent streams for levels, states, errors and masks.

    Returns
    -------
    measures : xr.Dataset
        Measures with dims (exchange, construct), with the fixed ``shift`` and ``scale``.
    truth : xr.Dataset
        ``path`` (path_name), ``level_mean``, ``residual_cov``, ``dyad_cov``, ``session_cov``,
        ``dyad_effects``, ``session_effects``, ``latent`` (exchange, construct): as in a fit's posterior.

    Raises
    ------
    InputError
        A reliability outside (0, 1], a truth for an unknown path, covariates other than ``phase``, an
        unstable process.
    """
    rng_level, rng_state, rng_error, rng_mask = (
        np.random.default_rng(seed) for seed in np.random.SeedSequence(random_seed).spawn(4)
    )
    covariates = tuple(name for name in spec.names if name in BUILT_IN_COVARIATES)
    constructs = tuple(name for name in spec.names if name not in covariates)
    full = with_default_laws(spec, constructs)
    has_law = {path.outcome for path in full.paths}
    endogenous = tuple(
        sorted((name for name in constructs if name in has_law), key=lambda n: full.party(n) == "client")
    )
    reliabilities = _reliabilities(constructs, reliability)
    coefficients = _coefficients(full, covariates, truth or {})
    table = tabulate(full, constructs, covariates, endogenous)

    index = _index(dyads, sessions, exchanges, rng_level)
    for group in spec.crossed:
        index[group] = [f"{group}{int(label[1:]) % _groups(dyads)}" for label in index["dyad"]]
    levels = draw_levels(full, endogenous, index, rng_level)
    residual_cov = residual_covariance(full, endogenous)
    latent = draw_states(
        full, table, constructs, endogenous, covariates, coefficients, levels, residual_cov, index, rng_state
    )

    shift, scale = _SCALE
    error_sd = np.sqrt(latent.var(axis=0) * (1 - reliabilities) / reliabilities)
    spread = np.exp(rng_error.normal(0.0, 0.2, latent.shape))
    se = error_sd * spread / np.sqrt(np.mean(spread**2, axis=0))
    corr = np.eye(len(constructs)) if error_corr is None else np.asarray(error_corr, dtype=float)
    noise = rng_error.standard_normal(latent.shape) @ np.linalg.cholesky(corr).T
    score = latent + se * noise
    mask = rng_mask.random(latent.shape) < missing
    coords = {
        "construct": list(constructs),
        "construct2": list(constructs),
        "dyad": ("exchange", index["dyad"].to_numpy()),
        "session": ("exchange", index["session"].to_numpy()),
        "t": ("exchange", index["t"].to_numpy()),
    }
    perfect = reliabilities == 1
    measures = xr.Dataset(
        {
            "score": (("exchange", "construct"), np.where(mask, np.nan, shift + scale * score)),
            "se": (("exchange", "construct"), np.where(mask, np.nan, scale * np.where(perfect, 1e-3, se))),
            "error_corr": (("construct", "construct2"), corr),
            "reliability": ("construct", reliabilities),
            "kappa_sd": ("construct", np.zeros(len(constructs))),
            **{group: ("exchange", index[group].to_numpy()) for group in spec.crossed},
            "shift": ("construct", np.full(len(constructs), shift)),
            "scale": ("construct", np.full(len(constructs), scale)),
        },
        coords=coords,
        attrs={"identification": "simulated", "notes": '["These measures are simulated."]'},
    )
    names = [path.name for path in full.paths]
    true = xr.Dataset(
        {
            "path": ("path_name", coefficients),
            "level_mean": ("endogenous", np.zeros(len(endogenous))),
            "residual_cov": (("endogenous", "endogenous2"), residual_cov),
            "dyad_cov": (("dyad_effect", "dyad_effect2"), levels["dyad_cov"]),
            "session_cov": (("session_effect", "session_effect2"), levels["session_cov"]),
            "dyad_effects": (("dyad", "dyad_effect"), levels["dyad"]),
            "session_effects": (("session_label", "session_effect"), levels["session"]),
            "latent": (("exchange", "construct"), latent),
        },
        coords={
            "path_name": names,
            "endogenous": list(endogenous),
            "endogenous2": list(endogenous),
            "dyad": index["dyad"].drop_duplicates().to_numpy(),
            "session_label": index["label"].drop_duplicates().to_numpy(),
            "dyad_effect": list(effect_names(full, "dyad")),
            "session_effect": list(effect_names(full, "session")),
            "construct": list(constructs),
        },
    )
    return measures, true


def _reliabilities(constructs: tuple[str, ...], reliability: Mapping[str, float] | float) -> np.ndarray:
    faults = FaultList()
    given = (
        dict.fromkeys(constructs, reliability) if isinstance(reliability, (int, float)) else dict(reliability)
    )
    for name, value in given.items():
        if name not in constructs:
            faults.add(f"reliability of {name}: no such construct", f"The model has {', '.join(constructs)}")
        elif not 0 < value <= 1:
            faults.add(f"reliability of {name} is {value:g}", "Give a number above 0 and at most 1")
    faults.raise_if_any("Cannot simulate")
    return np.array([given.get(name, DEFAULT_RELIABILITY) for name in constructs], dtype=float)


def _coefficients(spec: ModelSpec, covariates: tuple[str, ...], truth: Mapping[str, float]) -> np.ndarray:
    faults = FaultList()
    known = {path.name for path in spec.paths} | set(spec.labels)
    for name in truth:
        if name not in known:
            faults.add(f"truth for {name!r}: no such path or label", "Spell it as in the model file")
    for name in spec.names:
        if any(name == path.outcome for path in spec.paths) and name in covariates:
            faults.add(f"{name} is a covariate and cannot be an outcome")
    faults.raise_if_any("Cannot simulate")

    def value(path: Path) -> float:
        if path.fixed is not None:
            return path.fixed
        if path.name in truth or path.label in truth:
            return float(truth[path.name] if path.name in truth else truth[path.label])
        factors = path.term.factors
        if len(factors) == 1 and factors[0].kind == "lag":
            return _OWN_LAG if lag_class(spec, path.outcome, factors[0]) == "lag_own" else _CROSS_LAG
        if any(name in covariates for name in path.term.names):
            return _CROSS_LAG
        return 0.15 if len(factors) == 1 else -0.10

    return np.array([value(path) for path in spec.paths])


def _groups(dyads: int) -> int:
    return max(2, dyads // 4)


def _index(
    dyads: int, sessions: int, exchanges: int | tuple[int, int], rng: np.random.Generator
) -> pd.DataFrame:
    low, high = (exchanges, exchanges) if isinstance(exchanges, int) else exchanges
    width = len(str(max(dyads - 1, 1)))
    rows = [
        (f"d{d:0{width}d}", str(s + 1), t, phase)
        for d in range(dyads)
        for s in range(sessions)
        for n in [int(rng.integers(low, high + 1))]
        for t, phase in enumerate(np.linspace(-0.5, 0.5, n) if n > 1 else [0.0])
    ]
    frame = pd.DataFrame(rows, columns=["dyad", "session", "t", "phase"])
    frame["label"] = frame["dyad"] + ":" + frame["session"]
    return frame
