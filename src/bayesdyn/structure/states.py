"""Draw levels and latent states exchange by exchange: the generative form of design section 6."""

from collections.abc import Mapping
from graphlib import TopologicalSorter

import numpy as np
import pandas as pd

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import ModelSpec, is_idle
from bayesdyn.structure.language.terms import (
    TermTable,
    between_order,
    effect_names,
    intercept_places,
    lagged,
    offsets,
    spread_places,
)


def draw_levels(
    spec: ModelSpec, index: pd.DataFrame, covs: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw the effects of each group (group, effect), normal with the group's covariance.

    ``index`` has a column for every kind of group; that of sessions is ``label``.
    """
    found: dict[str, np.ndarray] = {}
    for group, cov in covs.items():
        count = index["label" if group == "session" else group].nunique()
        draws = rng.standard_normal((count, len(effect_names(spec, group))))
        found[group] = draws @ covariance_root(cov).T
    return found


def covariance_root(cov: np.ndarray) -> np.ndarray:
    """Return a lower triangular root of a covariance; rows and columns without variance are 0."""
    root = np.zeros_like(cov)
    kept = np.ix_(np.diag(cov) > 0, np.diag(cov) > 0)
    if root[kept].size:
        root[kept] = np.linalg.cholesky(cov[kept])
    return root


def draw_states(
    spec: ModelSpec,
    table: TermTable,
    constructs: tuple[str, ...],
    endogenous: tuple[str, ...],
    covariate: np.ndarray,
    coefficients: np.ndarray,
    levels: dict[str, np.ndarray],
    residual_cov: np.ndarray,
    start_cov: np.ndarray,
    index: pd.DataFrame,
    rng: np.random.Generator,
    left: np.ndarray | None = None,
) -> np.ndarray:
    """Return the latent states (N, C), drawn exchange by exchange in causal order, all sessions side by side.

    ``left`` (N, K) is what is left of each lag's effect for the time that passed; None: all of it.
    """
    start = offsets(len(constructs), covariate.shape[1], spec.order)
    dyad_code, session_code = pd.factorize(index["dyad"])[0], pd.factorize(index["label"])[0]
    code = {"dyad": dyad_code, "session": session_code}
    code |= {group: pd.factorize(index[group], sort=True)[0] for group in spec.crossed}
    place = [constructs.index(name) for name in endogenous]
    at = (spec, table, constructs, endogenous)
    session_level, dyad_level = _latent_means(*at, coefficients, levels, code, index)
    # Of these dyads and not of the population, as in a fit.
    grand = dyad_level.mean(axis=0)
    latent = np.zeros((len(index), len(constructs)))
    t = index["t"].to_numpy()
    # A row of numbers for each exchange, in order, so that the numbers are those of a walk through the study.
    noise = rng.standard_normal((len(index), len(endogenous)))
    wide = np.ones(noise.shape)
    for group in spec.groups:
        effect, v = spread_places(spec, group, endogenous)
        wide[:, v] *= np.exp(levels[group][code[group]][:, effect])
    innovation = wide * (noise @ np.linalg.cholesky(residual_cov).T)
    at_start = wide * (noise @ np.linalg.cholesky(start_cov).T)
    causal = causal_order(spec, endogenous)
    slope_rows = list(
        zip(table.slope_term, table.slope_outcome, table.slope_effect, table.slope_group, strict=True)
    )
    in_order = np.argsort(t, kind="stable")
    for step, n in enumerate(np.split(in_order, np.cumsum(np.bincount(t))[:-1])):
        mean, by_dyad = session_level[session_code[n]], dyad_level[dyad_code[n]]
        if step == 0:
            latent[np.ix_(n, place)] = mean[:, place] + at_start[n]
            continue
        centre = {"session": mean, "dyad": by_dyad, "grand": grand}.get(spec.centring, 0.0)
        factors = np.zeros((len(n), start["width"]))
        factors[:, 0] = 1.0
        blocks = {"session": mean, "dyad": by_dyad}
        for lag in range(1, spec.order + 1):
            before = latent[n - lag] if lag <= step else mean
            if left is not None:
                before = mean + left[n, lag - 1, None] * (before - mean)
            blocks |= {lagged("lag", lag): before - centre, lagged("deviation", lag): before - mean}
        for block, value in blocks.items():
            factors[:, start[block] : start[block] + len(constructs)] = value
        for q in range(covariate.shape[1]):
            factors[:, start["covariate"] + q] = covariate[n, q]
            for lag in range(1, spec.order + 1):
                factors[:, start[lagged("covariate_lag", lag)] + q] = covariate[n - min(lag, step), q]
        for v in causal:
            factors[:, start["now"] : start["now"] + len(constructs)] = latent[n] - centre
            terms = factors[:, table.columns].prod(axis=-1)
            own = (table.path_outcome == v) & (table.path_term >= 0)
            value = mean[:, place[v]] + terms[:, table.path_term[own]] @ coefficients[own] + innovation[n, v]
            for term, outcome, effect_at, group in slope_rows:
                if outcome == v:
                    value += levels[group][code[group][n], effect_at] * terms[:, term]
            latent[n, place[v]] = value
        if not np.abs(latent[n]).max() < 1e3:
            faults = FaultList()
            faults.add("the process explodes with these coefficients", "Lower the lags or the products")
            faults.raise_if_any("Cannot simulate")
    return latent


def _latent_means(
    spec: ModelSpec,
    table: TermTable,
    constructs: tuple[str, ...],
    endogenous: tuple[str, ...],
    coefficients: np.ndarray,
    levels: dict[str, np.ndarray],
    code: Mapping[str, np.ndarray],
    index: pd.DataFrame,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the latent means of sessions (S, C), paths between them included, and of dyads (D, C)."""
    start = offsets(len(constructs), 0, spec.order)
    place = [constructs.index(name) for name in endogenous]
    dyad_level = np.zeros((code["dyad"].max() + 1, len(constructs)))
    session_level = np.zeros((code["session"].max() + 1, len(constructs)))
    effect, v = intercept_places(spec, "dyad", endogenous)
    dyad_level[:, np.array(place)[v]] = levels["dyad"][:, effect]
    first = np.flatnonzero(index["t"].to_numpy() == 0)
    dyad_of_session = code["dyad"][first]
    for group in spec.crossed:
        effect, v = intercept_places(spec, group, endogenous)
        moved = np.zeros((len(first), len(constructs)))
        moved[:, np.array(place)[v]] = levels[group][code[group][first]][:, effect]
        nested = len(set(zip(dyad_of_session, code[group][first], strict=True))) == dyad_of_session.max() + 1
        if nested:
            dyad_level[dyad_of_session] += moved
        else:
            session_level += moved
    session_level += dyad_level[dyad_of_session]
    effect, v = intercept_places(spec, "session", endogenous)
    session_level[:, np.array(place)[v]] += levels["session"][:, effect]
    both = np.hstack([session_level, dyad_level[dyad_of_session]])
    for p in between_order(spec, table):
        columns = [column - start["session"] for column in table.between[p]]
        outcome = constructs.index(spec.paths[p].outcome)
        both[:, outcome] += coefficients[p] * both[:, columns].prod(axis=1)
    return both[:, : len(constructs)], dyad_level


def causal_order(spec: ModelSpec, endogenous: tuple[str, ...]) -> list[int]:
    """Return endogenous indices so that each comes after what moves it at the same exchange."""
    order: TopologicalSorter[int] = TopologicalSorter({v: set() for v in range(len(endogenous))})
    for path in spec.paths:
        if is_idle(path, spec.varying):
            continue
        sources = [f.name for f in path.term.factors if f.kind == "now" and f.name in endogenous]
        order.add(endogenous.index(path.outcome), *(endogenous.index(name) for name in sources))
    return list(order.static_order())
