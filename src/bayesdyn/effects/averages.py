"""Means over dyads and sessions of products of slopes that vary together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdyn.effects.equations import Equations
from bayesdyn.fitting.fits import flat, posterior_of
from bayesdyn.structure.language.spec import Factor


@dataclass(frozen=True)
class Slopes:
    """How the slopes within one exchange vary over dyads, sessions and other groups; N draws.

    Attributes
    ----------
    equations
        Their model.
    at
        Values of the moderators.
    groups
        For each kind of group, the names of the effects (E) and their covariance (N, E, E).
    """

    equations: Equations
    at: Mapping[str, float]
    groups: tuple[tuple[tuple[str, ...], np.ndarray], ...]

    def covariance(self, steps: list[tuple[str, str]]) -> np.ndarray:
        """Return the covariance (N, K, K), over all groups, of the slopes of K (cause, outcome)."""
        total = np.zeros((len(self.equations.draws), len(steps), len(steps)))
        for names, covariance in self.groups:
            weights = np.array([self._weights(step, names) for step in steps])
            total += weights @ covariance @ weights.T
        return total

    def _weights(self, step: tuple[str, str], names: tuple[str, ...]) -> list[float]:
        """Return how far each of a group's effects enters a slope: by the values of its term's moderators."""
        cause, outcome = Factor(step[0]), step[1]
        # A group may write a product's factors in another order than its path does.
        terms = {path.term.key: path.term.factors for path in self.equations.paths if path.outcome == outcome}
        found = []
        for name in names:
            own, _, term = name.partition(" ~ ")
            factors = list(terms.get(tuple(sorted(term.split(":"))), ())) if own == outcome else []
            times = factors.count(cause)
            if times:
                factors.remove(cause)
            held = [self.equations.value(factor, self.at) for factor in factors]
            found.append(times * float(np.prod(held)))
        return found


def slopes_of(fit: xr.DataTree, equations: Equations, at: Mapping[str, float]) -> Slopes:
    """Return how a fit's slopes vary; a group without effects has no part in it."""
    posterior, groups = posterior_of(fit), []
    for group in equations.spec.groups:
        if f"{group}_cov" in posterior:
            names = tuple(map(str, posterior[f"{group}_effect"].values))
            groups.append((names, flat(posterior[f"{group}_cov"])))
    return Slopes(equations, at, tuple(groups))


def mean_of_products(means: list[np.ndarray], covariance: np.ndarray) -> np.ndarray:
    """Return E[x_1 ... x_K] of jointly normal x, by Stein's lemma.

    ``E[x_1 r] = m_1 E[r] + sum_j cov(x_1, x_j) E[r / x_j]``, r the product of the others: with two slopes
    a b + cov(a, b) (Kenny, Korchmaros & Bolger 2003, Psychological Methods 8, 115).

    Parameters
    ----------
    means
        K arrays (N,).
    covariance
        (N, K, K).
    """
    if not means:
        return np.ones(len(covariance))
    rest = list(range(1, len(means)))

    def of(kept: list[int]) -> np.ndarray:
        return mean_of_products([means[k] for k in kept], covariance[:, np.array(kept, int)[:, None], kept])

    total = means[0] * of(rest)
    for j in rest:
        total = total + covariance[:, 0, j] * of([k for k in rest if k != j])
    return total
