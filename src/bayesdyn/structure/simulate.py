"""Simulate measures from a model with chosen truth: the generative form of design section 6.

Written exchange by exchange from the equations, sharing only the term table with the engines, so that a
fit of simulated measures is a check of the engine and not of itself.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.structure.priors import lag_class
from bayesdyn.structure.spec import BUILT_IN_COVARIATES, ModelSpec, Path, with_default_laws
from bayesdyn.structure.terms import (
    TermTable,
    between_order,
    effect_names,
    intercept_places,
    offsets,
    residual_blocks,
    tabulate,
)

DEFAULT_RELIABILITY = 0.7
_OWN_LAG, _CROSS_LAG, _RESIDUAL_CORR, _LEVEL_SD, _SLOPE_SD = 0.3, 0.05, 0.2, 0.3, 0.1
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
        ``path`` (path_name), ``level_mean``, ``residual_cov``, ``dyad_cov``, ``session_cov``, ``dyad_effects``,
        ``session_effects``, ``latent`` (exchange, construct): as in a fit's posterior.

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
    levels = _levels(full, endogenous, index, rng_level)
    residual_cov = _residual_cov(full, endogenous)
    latent = _states(
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


def _levels(
    spec: ModelSpec, endogenous: tuple[str, ...], index: pd.DataFrame, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw group effects; SD 0.3 for intercepts, 0.1 for slopes, all correlations 0.2."""
    found: dict[str, np.ndarray] = {}
    for group, count in (("dyad", index["dyad"].nunique()), ("session", index["label"].nunique())):
        names = effect_names(spec, group)
        sd = np.array([_LEVEL_SD if name.endswith("~ 1") else _SLOPE_SD for name in names])
        corr = np.full((len(names), len(names)), _RESIDUAL_CORR) + (1 - _RESIDUAL_CORR) * np.eye(len(names))
        cov = corr * sd * sd[:, None]
        draws = rng.standard_normal((count, len(names)))
        found[f"{group}_cov"] = cov
        found[group] = draws @ np.linalg.cholesky(cov).T if names else draws
    return found


def _residual_cov(spec: ModelSpec, endogenous: tuple[str, ...]) -> np.ndarray:
    """Return residual covariance: variance 0.8, correlation 0.2 within each block."""
    cov = 0.8 * np.eye(len(endogenous))
    for block in residual_blocks(spec, endogenous):
        for a in block:
            for b in block:
                if a != b:
                    cov[a, b] = 0.8 * _RESIDUAL_CORR
    return cov


def _states(
    spec: ModelSpec,
    table: TermTable,
    constructs: tuple[str, ...],
    endogenous: tuple[str, ...],
    covariates: tuple[str, ...],
    coefficients: np.ndarray,
    levels: dict[str, np.ndarray],
    residual_cov: np.ndarray,
    index: pd.DataFrame,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the latent states (N, C), drawn exchange by exchange in causal order."""
    start = offsets(len(constructs), len(covariates))
    dyad_code, session_code = pd.factorize(index["dyad"])[0], pd.factorize(index["label"])[0]
    place = [constructs.index(name) for name in endogenous]
    dyad_level = np.zeros((dyad_code.max() + 1, len(constructs)))
    session_level = np.zeros((session_code.max() + 1, len(constructs)))
    effect, v = intercept_places(spec, "dyad", endogenous)
    dyad_level[:, np.array(place)[v]] = levels["dyad"][:, effect]
    dyad_of_session = dyad_code[np.flatnonzero(index["t"].to_numpy() == 0)]
    session_level += dyad_level[dyad_of_session]
    effect, v = intercept_places(spec, "session", endogenous)
    session_level[:, np.array(place)[v]] += levels["session"][:, effect]
    both = np.hstack([session_level, dyad_level[dyad_of_session]])
    for p in between_order(spec, table):
        columns = [column - start["session"] for column in table.between[p]]
        outcome = constructs.index(spec.paths[p].outcome)
        both[:, outcome] += coefficients[p] * both[:, columns].prod(axis=1)
    session_level = both[:, : len(constructs)]

    chol = np.linalg.cholesky(residual_cov)
    start_chol = np.linalg.cholesky(residual_cov / 0.8 * 0.9)
    causal = _causal_order(spec, endogenous)
    latent = np.zeros((len(index), len(constructs)))
    t, phase = index["t"].to_numpy(), index["phase"].to_numpy()
    slope_rows = list(
        zip(table.slope_term, table.slope_outcome, table.slope_effect, table.slope_group, strict=True)
    )
    for n in range(len(index)):
        mean, by_dyad = session_level[session_code[n]], dyad_level[dyad_code[n]]
        if t[n] == 0:
            latent[n, place] = mean[place] + start_chol @ rng.standard_normal(len(endogenous))
            continue
        innovation = chol @ rng.standard_normal(len(endogenous))
        centre = {"none": 0.0, "grand": 0.0, "session": mean, "dyad": by_dyad}[spec.centring]
        factors = np.zeros(start["width"])
        factors[0] = 1.0
        blocks = {
            "lag": latent[n - 1] - centre,
            "deviation": latent[n - 1] - mean,
            "session": mean,
            "dyad": by_dyad,
        }
        for block, value in blocks.items():
            factors[start[block] : start[block] + len(constructs)] = value
        for q in range(len(covariates)):
            factors[start["covariate"] + q], factors[start["covariate_lag"] + q] = phase[n], phase[n - 1]
        for v in causal:
            factors[start["now"] : start["now"] + len(constructs)] = latent[n] - centre
            terms = factors[table.columns].prod(axis=1)
            own = (table.path_outcome == v) & (table.path_term >= 0)
            value = mean[place[v]] + coefficients[own] @ terms[table.path_term[own]] + innovation[v]
            for term, outcome, effect_at, group in slope_rows:
                if outcome == v:
                    group_code = dyad_code[n] if group == "dyad" else session_code[n]
                    value += levels[group][group_code, effect_at] * terms[term]
            latent[n, place[v]] = value
        if not np.abs(latent[n]).max() < 1e3:
            faults = FaultList()
            faults.add("the process explodes with these coefficients", "Lower the lags or the products")
            faults.raise_if_any("Cannot simulate")
    return latent


def _causal_order(spec: ModelSpec, endogenous: tuple[str, ...]) -> list[int]:
    """Return endogenous indices so that each comes after what moves it at the same exchange."""
    from graphlib import TopologicalSorter

    order: TopologicalSorter[int] = TopologicalSorter({v: set() for v in range(len(endogenous))})
    for path in spec.paths:
        sources = [f.name for f in path.term.factors if f.kind == "now" and f.name in endogenous]
        order.add(endogenous.index(path.outcome), *(endogenous.index(name) for name in sources))
    return list(order.static_order())
