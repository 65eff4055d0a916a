"""Replicated studies from a fit: what scores would be if the model were true, beside what they are."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import posterior_of
from bayesdyn.fitting.likelihood import check_measures, problem_of
from bayesdyn.fitting.prior_group import prior_of
from bayesdyn.fitting.score_statistics import STATISTICS, score_statistics
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.replicates import Draws, draws_of, replicate_scores, with_new_groups

type Floats = NDArray[np.float64]

KINDS, NEW = ("posterior", "prior"), ("exchanges", "dyads")
CI_PROB = 0.95
MOST_EXCHANGES = 5000
"""In a larger study no replicated score is kept, only the statistics of each replicate."""
_AT_ONCE = 4_000_000  # scores in memory


def predictive(
    fit: xr.DataTree,
    measures: xr.Dataset,
    *,
    draws: int = 200,
    kind: str = "posterior",
    new: str = "exchanges",
    random_seed: int,
) -> xr.DataTree:
    """Replicate the study that a fit was made from: its rows, ratings and errors, with new states and scores.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    measures
        Those that it was made from.
    draws
        Number of replicates: one for each of evenly spaced draws of the posterior, or for each prior draw.
    kind
        ``posterior`` or ``prior``.
    new
        ``exchanges``: new exchanges of the same dyads and sessions, given each draw's effects; ``dyads``: the
        effects are drawn anew too, from ``dyad_cov``, ``session_cov`` and those of other groups. Under the
        prior both are the same, as nothing is known of any dyad.
    random_seed
        Seed of the replicates.

    Returns
    -------
    xr.DataTree
        Group ``posterior_predictive`` (or ``prior_predictive``) with ``statistics`` (sample, construct,
        statistic), those of :data:`~bayesdyn.fitting.score_statistics.STATISTICS`, and, up to 5,000
        exchanges, ``score`` (sample, exchange, construct), standardised like ``observed_data``, NaN where
        unrated. Attribute ``exploded`` of the group counts replicates in which a process left the range of a
        thousand standard deviations; what followed is NaN.

    Raises
    ------
    InputError
        Unknown settings, more draws than the fit has, or measures that are not those of the fit.
    """
    problem, every, rng = _prepared(fit, measures, draws, kind, new, random_seed)
    small, scores, found = len(problem.t) <= MOST_EXCHANGES, [], []
    for score in _replicates(problem, every, new, rng):
        found.append(score_statistics(problem, score))
        if small:
            scores.append(score)
    statistics = np.concatenate(found)
    variables: dict[str, tuple[tuple[str, ...], Floats]] = {
        "statistics": (("sample", "construct", "statistic"), statistics)
    }
    coords = {"construct": list(problem.constructs), "statistic": list(STATISTICS)}
    group = xr.Dataset(variables, coords=coords)
    if small:
        observed = fit["observed_data"].to_dataset().drop_dims("construct2", errors="ignore")
        own = {name: observed[name] for name in ("dyad", "session", "t")}
        group["score"] = (("sample", "exchange", "construct"), np.concatenate(scores))
        group = group.assign_coords(own)
    group.attrs = {"new": new, "exploded": int(np.isnan(statistics[..., 0]).any(axis=1).sum())}
    return xr.DataTree.from_dict({f"{kind}_predictive": group})


def predictive_checks(
    fit: xr.DataTree,
    measures: xr.Dataset,
    *,
    draws: int = 200,
    kind: str = "posterior",
    new: str = "exchanges",
    random_seed: int,
) -> pd.DataFrame:
    """Set statistics of the scores beside those of replicated studies.

    Parameters
    ----------
    fit, measures, draws, kind, new, random_seed
        See :func:`predictive`.

    Returns
    -------
    pandas.DataFrame
        One row per construct with a law and statistic: ``construct, statistic, observed, replicated`` (mean),
        ``lower, upper`` (equal-tailed 95 % interval) and ``p``, the share of replicates whose statistic is at
        least the observed one (half of those that equal it); near 0 or 1 the model does not reproduce it.
        These p are not uniform under a true model but drawn to .5 (Gelman, Meng & Stern 1996, Statistica
        Sinica 6, 733-807): an extreme one says more than it would as a test's. Exploded replicates are left
        out; their number is in ``attrs["exploded"]``. ``attrs`` hold ``ci_prob`` and ``ci_kind`` too.

    Raises
    ------
    InputError
        As :func:`predictive`; and where every replicate exploded.
    """
    problem, every, rng = _prepared(fit, measures, draws, kind, new, random_seed)
    found = np.concatenate(
        [score_statistics(problem, score) for score in _replicates(problem, every, new, rng)]
    )
    whole = ~np.isnan(found[..., 0]).any(axis=1)
    faults = FaultList()
    if not whole.any():
        faults.add(
            "every replicate exploded", "Look at products and lags: their posterior or prior is too wide"
        )
    faults.raise_if_any("Cannot check predictions")
    observed = score_statistics(problem, problem.score[None])[0]
    rows = []
    for name in problem.endogenous:
        c = problem.constructs.index(name)
        for s, statistic in enumerate(STATISTICS):
            own, seen = found[whole, c, s], observed[c, s]
            lower, upper = np.quantile(own, [(1 - CI_PROB) / 2, (1 + CI_PROB) / 2])
            p = np.mean(own > seen) + np.mean(own == seen) / 2 if np.isfinite(seen) else np.nan
            rows.append((name, statistic, seen, own.mean(), lower, upper, p))
    table = pd.DataFrame(
        rows, columns=["construct", "statistic", "observed", "replicated", "lower", "upper", "p"]
    )
    table.attrs = {
        "kind": kind,
        "new": new,
        "draws": len(found),
        "exploded": int((~whole).sum()),
        "ci_prob": CI_PROB,
        "ci_kind": "eti",
    }
    return table


def _replicates(problem: Problem, every: Draws, new: str, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield scores (k, N, C) of the replicates, as many at once as memory is meant to hold."""
    size = max(1, _AT_ONCE // problem.score.size)
    for low in range(0, len(every), size):
        part = every.part(low, low + size)
        yield replicate_scores(problem, with_new_groups(part, rng) if new == "dyads" else part, rng)


def _prepared(
    fit: xr.DataTree, measures: xr.Dataset, draws: int, kind: str, new: str, random_seed: int
) -> tuple[Problem, Draws, np.random.Generator]:
    """Return the problem of a fit, its draws, and the source of what is new."""
    faults, posterior = FaultList(), posterior_of(fit)
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    if kind not in KINDS:
        faults.add(f"kind {kind!r} is unknown", f"Use one of {', '.join(KINDS)}")
    if new not in NEW:
        faults.add(f"new {new!r} is unknown", f"Use one of {', '.join(NEW)}")
    if draws < 1 or (kind != "prior" and draws > total):
        faults.add(f"draws is {draws}", f"The fit has {total}: use 1 to {total}")
    if fit.attrs["measurement"] == "joint":
        faults.add(
            "this fit is of ratings, and what is replicated are scores", 'Check one with measurement="known"'
        )
    check_measures(fit, measures, faults)
    faults.raise_if_any("Cannot predict")
    problem, rng = problem_of(fit), np.random.default_rng(random_seed)
    if kind == "prior":
        return problem, draws_of(prior_of(problem, draws, rng), problem, np.arange(draws)), rng
    return problem, draws_of(posterior, problem, np.linspace(0, total - 1, draws).astype(np.int64)), rng
