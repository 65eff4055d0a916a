"""Terms as products of columns of one factor matrix, so that engines multiply instead of interpreting.

For an exchange with one before it, the factor matrix F has these blocks of columns:

=============  =====  ===================================================================
block          width  column
=============  =====  ===================================================================
one            1      1
now            C      state now, centred as the model says
session        C      the session's latent mean
dyad           C      the dyad's latent mean
covariate      Q      covariates now
lag k          C      state k exchanges before, centred as the model says
deviation k    C      state k exchanges before, less its session's latent mean
covariate k    Q      covariates k exchanges before
=============  =====  ===================================================================

with the last three for each k from 1 to the model's order, its longest lag. Where a session has no exchange
k before, k > 1, a state is taken to have been at its session's latent mean, a covariate as at the first.
"""

from dataclasses import dataclass
from graphlib import TopologicalSorter

import numpy as np

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import Factor, ModelSpec, Term, is_idle

LAGGED = ("lag", "deviation", "covariate_lag")


@dataclass(frozen=True)
class TermTable:
    """All terms of a spec, resolved; M distinct terms within sessions, at most W factors each.

    Attributes
    ----------
    names
        (M,) the distinct terms that vary within sessions, as written.
    columns
        (M, W) columns of the factor matrix whose product the term is.
    path_term, path_outcome
        For each path of the spec: index of its term, -1 for a path between sessions; index of its outcome
        among the endogenous constructs.
    between
        Columns (into F, session and dyad blocks) of each path between sessions; empty for the others.
    slope_term, slope_outcome, slope_effect, slope_group
        For each varying slope: its term, its outcome, its place among its group's effects, its group.
    """

    names: tuple[str, ...]
    columns: np.ndarray
    path_term: np.ndarray
    path_outcome: np.ndarray
    between: tuple[tuple[int, ...], ...]
    slope_term: np.ndarray
    slope_outcome: np.ndarray
    slope_effect: np.ndarray
    slope_group: tuple[str, ...]

    def in_group(self, group: str) -> np.ndarray:
        """Return which of the varying slopes vary by a group, as indices."""
        return np.flatnonzero([name == group for name in self.slope_group])


def lagged(block: str, lag: int) -> str:
    """Return the name of one of the blocks :data:`LAGGED` at a lag."""
    return f"{block} {lag}"


def offsets(constructs: int, covariates: int, order: int = 1) -> dict[str, int]:
    """Return the first column of each block of the factor matrix, and its ``width``.

    Parameters
    ----------
    constructs, covariates, order
        C, Q and the longest lag.
    """
    sizes = {"one": 1, "now": constructs, "session": constructs, "dyad": constructs, "covariate": covariates}
    widths = dict(zip(LAGGED, (constructs, constructs, covariates), strict=True))
    sizes |= {lagged(block, k): widths[block] for k in range(1, order + 1) for block in LAGGED}
    starts, at = {}, 0
    for block, size in sizes.items():
        starts[block] = at
        at += size
    return {**starts, "width": at}


def is_dynamic(spec: ModelSpec, outcome: str, term: Term) -> bool:
    """Return whether a lag is part of the dynamics, and so in deviations from the latent session mean.

    Dynamics are lags of client constructs anywhere (Phi, Theta), and lags within one party (Psi, phi). Any
    other lag is a predictor like another and follows the model's centring.
    """
    factor = term.factors[0]
    if len(term.factors) != 1 or factor.kind != "lag":
        return False
    return spec.party(factor.name) == "client" or spec.party(factor.name) == spec.party(outcome)


def check_terms(spec: ModelSpec, covariates: tuple[str, ...], faults: FaultList) -> None:
    """Note what no factor matrix holds: means of covariates, and slopes that vary over a mean."""
    for path in spec.paths:
        for factor in path.term.factors:
            if factor.kind == "mean" and factor.name in covariates:
                remedy = "Give the mean as a covariate of its own"
                faults.add(f"{factor} is the mean of a covariate", remedy, path.where)
    for item in spec.varying:
        for slope in item.slopes:
            if slope.is_between:
                what = f"({slope} | {item.group}) varies over a mean"
                faults.add(what, "Let a term within sessions vary", item.where)


def tabulate(
    spec: ModelSpec, constructs: tuple[str, ...], covariates: tuple[str, ...], endogenous: tuple[str, ...]
) -> TermTable:
    """Resolve every term of a spec to columns of the factor matrix; :func:`check_terms` found them sound."""
    start = offsets(len(constructs), len(covariates), spec.order)

    def column(factor: Factor, dynamic: bool) -> int:
        if factor.name in covariates:
            block = lagged("covariate_lag", factor.lag) if factor.kind == "lag" else "covariate"
            return start[block] + covariates.index(factor.name)
        past = lagged("deviation" if dynamic else "lag", factor.lag)
        block = {"now": "now", "lag": past, "mean": factor.level or "session"}[factor.kind]
        return start[block] + constructs.index(factor.name)

    table: dict[tuple[int, ...], str] = {}

    def place(outcome: str, term: Term) -> int:
        dynamic = is_dynamic(spec, outcome, term)
        columns = tuple(sorted(column(factor, dynamic) for factor in term.factors))
        table.setdefault(columns, str(term))
        return list(table).index(columns)

    path_term, between = [], []
    for path in spec.paths:
        if path.term.is_between:
            path_term.append(-1)
            between.append(tuple(column(factor, False) for factor in path.term.factors))
        else:
            path_term.append(place(path.outcome, path.term))
            between.append(())
    slopes = []
    for group in spec.groups:
        effect = 0
        for item in spec.varying:
            if item.group != group:
                continue
            effect += item.intercept or item.spread
            for slope in item.slopes:
                slopes.append((place(item.outcome, slope), endogenous.index(item.outcome), effect, group))
                effect += 1
    widest = max((len(columns) for columns in table), default=1)
    padded = [[*columns, *[start["one"]] * (widest - len(columns))] for columns in table]
    return TermTable(
        names=tuple(table.values()),
        columns=np.array(padded, dtype=int).reshape(len(table), widest),
        path_term=np.array(path_term, dtype=int),
        path_outcome=np.array([endogenous.index(path.outcome) for path in spec.paths], dtype=int),
        between=tuple(between),
        slope_term=np.array([slope[0] for slope in slopes], dtype=int),
        slope_outcome=np.array([slope[1] for slope in slopes], dtype=int),
        slope_effect=np.array([slope[2] for slope in slopes], dtype=int),
        slope_group=tuple(slope[3] for slope in slopes),
    )


def effect_names(spec: ModelSpec, group: str) -> tuple[str, ...]:
    """Return the coordinates of a group's effects, e.g. ``disclosure ~ 1``, ``disclosure ~ empathy``."""
    return tuple(name for item in spec.varying if item.group == group for name in item.names)


def intercept_places(
    spec: ModelSpec, group: str, endogenous: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for a group's intercepts, their places among its effects and their outcomes' indices."""
    names = effect_names(spec, group)
    places = [(names.index(f"{name} ~ 1"), v) for v, name in enumerate(endogenous) if f"{name} ~ 1" in names]
    return np.array([p for p, _ in places], dtype=int), np.array([v for _, v in places], dtype=int)


def spread_places(spec: ModelSpec, group: str, endogenous: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return, for a group's residual SDs, their places among its effects and their outcomes' indices."""
    names = effect_names(spec, group)
    wanted = [(f"sigma({name}) ~ 1", v) for v, name in enumerate(endogenous)]
    places = [(names.index(name), v) for name, v in wanted if name in names]
    return np.array([p for p, _ in places], dtype=int), np.array([v for _, v in places], dtype=int)


def between_order(spec: ModelSpec, table: TermTable) -> list[int]:
    """Return the paths between sessions so that a mean is complete before it predicts."""
    paths = [p for p, columns in enumerate(table.between) if columns]
    order: TopologicalSorter[str] = TopologicalSorter()
    for p in paths:
        sources = () if is_idle(spec.paths[p], spec.varying) else spec.paths[p].term.names
        order.add(spec.paths[p].outcome, *sources)
    ranked = {name: rank for rank, name in enumerate(order.static_order())}
    return sorted(paths, key=lambda p: ranked[spec.paths[p].outcome])
