"""Terms written out in raw columns, so that cross-products of raw columns per session say all.

A term is a product of factors such as (x_t - m): a state less its centre. Multiplied out, it is a sum of
monomials of raw states, lags and covariates, with products of latent means as coefficients. The innovation of
outcome v in session s is then w_sv' c_t: coefficients that only the session knows, times columns that only
the exchange knows. Of these is also whether a session has an exchange so far before: where it has none, a lag
of more than one exchange is the session's mean.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bayesdyn.structure.free_paths import free_paths
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.language.terms import lagged
from bayesdyn.structure.problem import Problem

type Primitive = tuple[str, int]
"""Kind (:func:`state_before`, :func:`covariate_before`, :func:`begun_before`) and index of a raw column."""
type Mean = tuple[str, int]
"""A latent mean: ``session``, ``dyad`` or ``grand``, the mean over dyads, and the construct."""


def state_before(steps: int) -> str:
    """Return the kind of column that holds states so many exchanges before; indices are of constructs."""
    return f"state {steps} before"


def covariate_before(steps: int) -> str:
    """Return the kind of column that holds covariates so many exchanges before."""
    return f"covariate {steps} before"


def begun_before(steps: int) -> str:
    """Return the kind of column that is 1 where a session has an exchange so far before; its index is 0."""
    return f"begun {steps} before"


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
    """Write out every term of a problem."""
    factors = _factors(problem)
    index: dict[tuple[Primitive, ...], int] = {(): 0}
    own = [
        index.setdefault(((state_before(0), problem.constructs.index(name)),), len(index))
        for name in problem.endogenous
    ]
    entries = []
    for term, columns in enumerate(problem.terms.columns):
        for parts in product(*(factors[column] for column in columns)):
            every = sorted(one for primitives, _, _ in parts for one in primitives)
            # Whether a session has begun is 1 or 0, and so is its square.
            primitives = tuple(
                one for i, one in enumerate(every) if not (_is_begun(one) and one in every[:i])
            )
            sign = float(np.prod([sign for _, sign, _ in parts]))
            means = tuple(mean for _, _, mean in parts if mean is not None)
            entries.append(Entry(term, index.setdefault(primitives, len(index)), sign, means))
    return Expansion(tuple(index), tuple(entries), np.array(own))


def _is_begun(primitive: Primitive) -> bool:
    return primitive[0].startswith("begun")


type _Parts = list[tuple[tuple[Primitive, ...], float, Mean | None]]


def _factors(problem: Problem) -> dict[int, _Parts]:
    """Return each column of the factor matrix as a sum of (primitives, sign, mean)."""
    start, lags = problem.blocks, range(1, problem.spec.order + 1)
    found: dict[int, _Parts] = {start["one"]: [((), 1.0, None)]}
    for c in range(len(problem.constructs)):
        found[start["now"] + c] = _state_before(0, c, problem.spec.centring)
        for k in lags:
            found[start[lagged("lag", k)] + c] = _state_before(k, c, problem.spec.centring)
            found[start[lagged("deviation", k)] + c] = _state_before(k, c, "session")
        for level in ("session", "dyad"):
            found[start[level] + c] = [((), 1.0, (level, c))]
    for q in range(len(problem.covariates)):
        found[start["covariate"] + q] = [(((covariate_before(0), q),), 1.0, None)]
        for k in lags:
            found[start[lagged("covariate_lag", k)] + q] = [(((covariate_before(k), q),), 1.0, None)]
    return found


def _state_before(k: int, c: int, centring: str) -> _Parts:
    """Return a state so far before, centred."""
    centre: _Parts = [] if centring == "none" else [((), -1.0, (centring, c))]
    if k <= 1:
        return [(((state_before(k), c),), 1.0, None), *centre]
    # Equations hold from a session's second exchange on, so that one before is always there.
    begun, mean = (begun_before(k), 0), ("session", c)
    away: _Parts = [(((state_before(k), c), begun), 1.0, None), ((begun,), -1.0, mean)]
    return away if centring == "session" else [*away, ((), 1.0, mean), *centre]


def obstacles(problem: Problem) -> list[str]:
    """Return what this engine cannot do for a problem, in words; empty if it can fit it."""
    spec = problem.spec
    found = []
    if spec.time:
        found.append("lags that decay with time")
    if any(item.spread for item in spec.varying):
        found.append("residual SDs that vary (sigma)")
    if found:
        return found
    names, of_states = problem.constructs, {state_before(k) for k in range(spec.order + 1)}
    expansion = expand(problem)
    for monomial in expansion.monomials:
        states = [c for kind, c in monomial if kind in of_states and names[c] in problem.endogenous]
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
