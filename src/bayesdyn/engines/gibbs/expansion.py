"""Terms written out in raw columns, so that cross-products of raw columns per session say all.

A term is a product of factors such as (x_t - m): a state less its centre. Multiplied out, it is a sum of
monomials of raw states, lags and covariates, with products of latent means as coefficients. The innovation of
outcome v in session s is then w_sv' c_t: coefficients that only the session knows, times columns that only
the exchange knows.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bayesdyn.structure.free_paths import free_paths
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.language.terms import lagged
from bayesdyn.structure.problem import Problem

ONE = ("one", 0)

type Primitive = tuple[str, int]
"""A raw column and its index: ``now``, ``lag`` (constructs), ``covariate``, ``covariate_lag``."""
type Mean = tuple[str, int]
"""A latent mean: ``session``, ``dyad`` or ``grand``, the mean over dyads, and the construct."""


@dataclass(frozen=True)
class Entry:
    """One summand of a term: ``sign`` times means times a monomial."""

    term: int
    monomial: int
    sign: float
    means: tuple[Mean, ...]

    def moving(self, centre_held: bool) -> tuple[Mean, ...]:
        """Return the means, without those over dyads if these are held."""
        return tuple(mean for mean in self.means if not (centre_held and mean[0] == "grand"))


@dataclass(frozen=True)
class Expansion:
    """All terms in U monomials.

    Attributes
    ----------
    monomials
        (U) products of primitives; the first is the empty product, 1.
    entries
        Summands of every term of the problem's term table.
    own
        (V,) the monomial that is each outcome's own state.
    """

    monomials: tuple[tuple[Primitive, ...], ...]
    entries: tuple[Entry, ...]
    own: NDArray[np.int64]

    @property
    def centres(self) -> set[int]:
        """Return the constructs whose mean over dyads enters a term."""
        return {c for entry in self.entries for level, c in entry.means if level == "grand"}

    def containing(self, primitive: Primitive) -> list[tuple[int, tuple[Primitive, ...]]]:
        """Return each monomial with a primitive, and what is left of it without."""
        return [
            (j, tuple(other for other in monomial if other != primitive))
            for j, monomial in enumerate(self.monomials)
            if primitive in monomial
        ]


def expand(problem: Problem) -> Expansion:
    """Write out every term of a problem whose longest lag is one exchange."""
    factors = _factors(problem)
    index: dict[tuple[Primitive, ...], int] = {(): 0}
    own = [
        index.setdefault((("now", problem.constructs.index(name)),), len(index))
        for name in problem.endogenous
    ]
    entries = []
    for term, columns in enumerate(problem.terms.columns):
        for parts in product(*(factors[column] for column in columns)):
            primitives = tuple(sorted(one for one, _, _ in parts if one != ONE))
            sign = float(np.prod([sign for _, sign, _ in parts]))
            means = tuple(mean for _, _, mean in parts if mean is not None)
            entries.append(Entry(term, index.setdefault(primitives, len(index)), sign, means))
    return Expansion(tuple(index), tuple(entries), np.array(own))


type _Parts = list[tuple[Primitive, float, Mean | None]]


def _factors(problem: Problem) -> dict[int, _Parts]:
    """Return each column of the factor matrix as a sum of (primitive, sign, mean)."""
    start, centring = problem.blocks, problem.spec.centring
    found: dict[int, _Parts] = {start["one"]: [(ONE, 1.0, None)]}
    for c in range(len(problem.constructs)):
        centre: _Parts = [] if centring == "none" else [(ONE, -1.0, (centring, c))]
        found[start["now"] + c] = [(("now", c), 1.0, None), *centre]
        found[start[lagged("lag", 1)] + c] = [(("lag", c), 1.0, None), *centre]
        found[start[lagged("deviation", 1)] + c] = [
            (("lag", c), 1.0, None),
            (ONE, -1.0, ("session", c)),
        ]
        for level in ("session", "dyad"):
            found[start[level] + c] = [(ONE, 1.0, (level, c))]
    for q in range(len(problem.covariates)):
        found[start["covariate"] + q] = [(("covariate", q), 1.0, None)]
        found[start[lagged("covariate_lag", 1)] + q] = [(("covariate_lag", q), 1.0, None)]
    return found


def obstacles(problem: Problem) -> list[str]:
    """Return what this engine cannot do for a problem, in words; empty if it can fit it."""
    spec = problem.spec
    found = []
    if spec.order > 1:
        found.append("a lag of more than one exchange")
    if spec.time:
        found.append("lags that decay with time")
    if any(item.spread for item in spec.varying):
        found.append("residual SDs that vary (sigma)")
    if found:
        return found
    names = problem.constructs
    expansion = expand(problem)
    for monomial in expansion.monomials:
        states = [c for kind, c in monomial if kind in ("now", "lag") and names[c] in problem.endogenous]
        found += [f"a product of {names[c]} with itself" for c in set(states) if states.count(c) > 1]
    products = [entry.means for entry in expansion.entries]
    products += [_means_between(problem, p) for p in range(len(problem.terms.between))]
    for means in products:
        parts = [c for mean in means for c in _part_of(problem, mean) if names[c] in problem.endogenous]
        found += [f"a product of {names[c]}'s means" for c in sorted(set(parts)) if parts.count(c) > 1]
    if _shared_along_a_chain(problem):
        found.append("one coefficient for paths between sessions that follow each other")
    return list(dict.fromkeys(found))


def _means_between(problem: Problem, path: int) -> tuple[Mean, ...]:
    """Return the means that a path between sessions multiplies; none if it is within."""
    blocks, size = problem.blocks, len(problem.constructs)
    found = []
    for column in problem.terms.between[path]:
        level = "session" if column < blocks["session"] + size else "dyad"
        found.append((level, column - blocks[level]))
    return tuple(found)


def _made_by(problem: Problem, mean: Mean) -> set[int]:
    """Return the paths between sessions that make a session's mean, directly or through other means."""
    level, c = mean
    found: set[int] = set()
    for p, outcome in enumerate(problem.terms.path_outcome if level == "session" else ()):
        through = _means_between(problem, p)
        if through and problem.endogenous[outcome] == problem.constructs[c]:
            found |= {p}.union(*(_made_by(problem, one) for one in through))
    return found


def _part_of(problem: Problem, mean: Mean) -> set[int]:
    """Return the constructs whose means a latent mean is made of, a session's by paths between them too."""
    return {mean[1]} | {c for p in _made_by(problem, mean) for _, c in _means_between(problem, p)}


def _shared_along_a_chain(problem: Problem) -> bool:
    """Return whether paths between sessions share a coefficient, and one makes what another holds."""
    for picked in free_paths(problem.spec, resolve_priors(problem.spec)).pick.T:
        same = set(np.flatnonzero(picked).tolist())
        if any(same & _made_by(problem, one) for p in same for one in _means_between(problem, p)):
            return True
    return False
