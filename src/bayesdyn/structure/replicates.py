"""Replicated studies: new states and new errors for the rows of a problem, for many draws at once.

The generative form of :mod:`bayesdyn.structure.states`, for the rows, gaps and groups of a problem and with
the conventions of the fitted model, place after place of all sessions together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.structure.language.terms import between_order, intercept_places, lagged, spread_places
from bayesdyn.structure.problem import Problem, observed_means
from bayesdyn.structure.quantities import join_residual_cov
from bayesdyn.structure.states import causal_order

type Floats = NDArray[np.float64]

_FARTHEST = 1e3  # standardised units: a process that gets there explodes


@dataclass(frozen=True)
class Draws:
    """K draws of the parameters; P paths, V constructs with a law, C constructs.

    Attributes
    ----------
    path, mean
        (K, P) coefficients, (K, V) grand means.
    effects, covs
        By kind of group: (K, group, effect), and the effects' covariance (K, effect, effect).
    residual, start
        (K, V, V) covariances.
    kappa
        (K, C) log scales of the error variances; 0 where scores are taken as they are.
    decay
        (K,) of lags with time; 0 where time does not count.
    """

    path: Floats
    mean: Floats
    effects: Mapping[str, Floats]
    covs: Mapping[str, Floats]
    residual: Floats
    start: Floats
    kappa: Floats
    decay: Floats

    def __len__(self) -> int:
        """Return K."""
        return len(self.path)

    def part(self, low: int, high: int) -> "Draws":
        """Return draws from ``low`` up to ``high``."""
        cut = slice(low, high)
        return Draws(
            self.path[cut], self.mean[cut],
            {name: values[cut] for name, values in self.effects.items()},
            {name: values[cut] for name, values in self.covs.items()},
            self.residual[cut], self.start[cut], self.kappa[cut], self.decay[cut],
        )  # fmt: skip


def draws_of(posterior: xr.Dataset, problem: Problem, picked: NDArray[np.int64]) -> Draws:
    """Return some of a fit's draws as arrays in the order of a problem.

    Parameters
    ----------
    posterior
        With the names and dims of a fit.
    problem
        The one that was fitted.
    picked
        (K,) indices of draws, chains end to end.
    """
    groups, joined = problem.spec.groups, join_residual_cov(posterior, problem.endogenous)

    def values(variable: xr.DataArray) -> Floats:
        ordered = variable.transpose("chain", "draw", ...).values
        return ordered.reshape(-1, *ordered.shape[2:])[picked]

    return Draws(
        path=values(posterior["path"]),
        mean=values(posterior["level_mean"]),
        effects={name: values(posterior[f"{name}_effects"]) for name in groups},
        covs={name: values(posterior[f"{name}_cov"]) for name in groups},
        residual=values(joined),
        start=values(posterior["start_cov"]),
        kappa=values(posterior["kappa"])
        if "kappa" in posterior
        else np.zeros((len(picked), len(problem.constructs))),
        decay=values(posterior["decay"]) if "decay" in posterior else np.zeros(len(picked)),
    )


def with_new_groups(draws: Draws, rng: np.random.Generator) -> Draws:
    """Return draws with the effects of all groups drawn anew from their covariances."""
    drawn = {}
    for name, old in draws.effects.items():
        values, axes = np.linalg.eigh(draws.covs[name])
        # A symmetric root would do as well; eigenvalues of a singular covariance may be -1e-17.
        root = axes * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        drawn[name] = rng.standard_normal(old.shape) @ root.swapaxes(1, 2)
    return replace(draws, effects=drawn)


def replicate_scores(problem: Problem, draws: Draws, rng: np.random.Generator) -> Floats:
    """Return standardised scores (K, N, C) of new studies, NaN where the problem's are unrated.

    Scores of constructs without a law stay as they are. A session whose process explodes is NaN from there
    on.
    """
    score = replicate_states(problem, draws, rng)
    if problem.measurement != "none":
        noise = rng.standard_normal(score.shape) @ np.linalg.cholesky(problem.error_corr).T
        score = score + problem.se * np.exp(draws.kappa / 2)[:, None, :] * noise
    score[:, ~problem.rated] = np.nan
    return score


def replicate_states(problem: Problem, draws: Draws, rng: np.random.Generator) -> Floats:
    """Return latent states (K, N, C) drawn from their law given the draws' group effects."""
    place = _places(problem)
    by_dyad, by_session = _latent_means(problem, draws)
    root, start_root = np.linalg.cholesky(draws.residual), np.linalg.cholesky(draws.start)
    state = np.repeat(problem.score[None], len(draws), axis=0)
    for position in range(int(problem.position.max()) + 1):
        at = np.flatnonzero(problem.position == position)
        mean, of_dyad = by_session[:, problem.session_of[at]], by_dyad[:, problem.dyad_of[at]]
        noise = rng.standard_normal((len(draws), len(at), len(place)))
        noise = (
            noise @ (root if position else start_root).swapaxes(1, 2) * np.exp(_spread(problem, draws, at))
        )
        # What explodes is told by NaN, at the end of this round.
        with np.errstate(over="ignore", invalid="ignore"):
            if position == 0:
                state[:, at[:, None], place] = mean[..., place] + noise
            else:
                grand = by_dyad.mean(axis=1, keepdims=True)
                by_name = {"none": np.zeros((1, 1, 1)), "grand": grand, "session": mean, "dyad": of_dyad}
                centre = np.broadcast_to(by_name[problem.spec.centring], mean.shape)
                factors = _factors(problem, draws, state, at, mean, of_dyad, centre)
                _move(problem, draws, state, at, factors, centre, mean[..., place] + noise)
            state[:, at] = np.where(np.abs(state[:, at]) < _FARTHEST, state[:, at], np.nan)
    return state


def _factors(
    problem: Problem,
    draws: Draws,
    state: Floats,
    at: NDArray[np.int64],
    mean: Floats,
    of_dyad: Floats,
    centre: Floats,
) -> Floats:
    """Return rows ``at`` of the factor matrix (K, rows, width); states now are yet to be filled in."""
    start, position = problem.blocks, int(problem.position[at[0]])
    factors = np.zeros((len(state), len(at), start["width"]))
    factors[..., 0] = 1.0
    blocks: dict[str, Floats] = {
        "session": mean, "dyad": of_dyad, "now": state[:, at] - centre,
        "covariate": np.broadcast_to(problem.covariate[at], (len(state), *problem.covariate[at].shape)),
    }  # fmt: skip
    for lag in range(1, problem.spec.order + 1):
        before = state[:, at - lag] if lag <= position else mean
        if problem.spec.time:
            left = np.exp(-draws.decay[:, None] * problem.excess[at, lag - 1])
            before = mean + left[..., None] * (before - mean)
        blocks |= {lagged("lag", lag): before - centre, lagged("deviation", lag): before - mean}
        covariate = problem.covariate[at - min(lag, position)]
        blocks[lagged("covariate_lag", lag)] = np.broadcast_to(covariate, (len(state), *covariate.shape))
    for block, value in blocks.items():
        factors[..., start[block] : start[block] + value.shape[-1]] = value
    return factors


def _move(
    problem: Problem,
    draws: Draws,
    state: Floats,
    at: NDArray[np.int64],
    factors: Floats,
    centre: Floats,
    value: Floats,
) -> None:
    """Fill in the states of rows ``at``, each construct after what moves it at the same exchange.

    ``value`` (K, rows, V) is the mean and the innovation of each; ``factors`` takes the states as they come.
    """
    table, now = problem.terms, problem.blocks["now"]
    for v in causal_order(problem.spec, problem.endogenous):
        c = problem.constructs.index(problem.endogenous[v])
        own = np.flatnonzero((table.path_outcome == v) & (table.path_term >= 0))
        terms = factors[..., table.columns[table.path_term[own]]].prod(axis=-1)
        found = value[..., v] + np.einsum("knm,km->kn", terms, draws.path[:, own])
        for slope in np.flatnonzero(table.slope_outcome == v):
            group, effect = table.slope_group[slope], table.slope_effect[slope]
            varying = draws.effects[group][:, problem.grouping(group).of[at], effect]
            found = found + varying * factors[..., table.columns[table.slope_term[slope]]].prod(axis=-1)
        state[:, at, c] = found
        factors[..., now + c] = found - centre[..., c]


def _latent_means(problem: Problem, draws: Draws) -> tuple[Floats, Floats]:
    """Return latent means by dyad (K, D, C) and by session (K, S, C); observed ones where there is no law."""
    place, size = _places(problem), len(problem.constructs)
    by_dyad = np.zeros((len(draws), len(problem.dyads), size))
    by_dyad[..., place] = draws.mean[:, None]
    in_session = np.zeros((len(draws), len(problem.sessions), size))
    for name, effects in draws.effects.items():
        grouping = problem.grouping(name)
        effect, v = intercept_places(problem.spec, name, problem.endogenous)
        moved = np.zeros((len(draws), len(grouping.labels), size))
        moved[..., place[v]] = effects[..., effect]
        if grouping.of_dyad is not None:
            by_dyad += moved[:, grouping.of_dyad]
        else:
            in_session += moved[:, grouping.of_session]
    by_session = by_dyad[:, problem.dyad_of_session] + in_session
    lawless = [c for c in range(size) if c not in place]
    by_dyad[..., lawless] = observed_means(problem, problem.dyad_of, len(problem.dyads))[:, lawless]
    by_session[..., lawless] = observed_means(problem, problem.session_of, len(problem.sessions))[:, lawless]
    first = problem.blocks["session"]
    for p in between_order(problem.spec, problem.terms):
        both = np.concatenate([by_session, by_dyad[:, problem.dyad_of_session]], axis=2)
        term = both[..., [column - first for column in problem.terms.between[p]]].prod(axis=-1)
        by_session[..., problem.constructs.index(problem.spec.paths[p].outcome)] += (
            draws.path[:, p, None] * term
        )
    return by_dyad, by_session


def _spread(problem: Problem, draws: Draws, at: NDArray[np.int64]) -> Floats:
    """Return the log of how much wider than usual each residual is (K, rows, V)."""
    wide = np.zeros((len(draws), len(at), len(problem.endogenous)))
    for name, effects in draws.effects.items():
        effect, v = spread_places(problem.spec, name, problem.endogenous)
        wide[..., v] += effects[:, problem.grouping(name).of[at]][..., effect]
    return wide


def _places(problem: Problem) -> NDArray[np.int64]:
    """Return where each construct with a law stands among all constructs."""
    return np.array([problem.constructs.index(name) for name in problem.endogenous], dtype=np.int64)
