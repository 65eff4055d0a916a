"""The parts of a structural model: factors, terms, paths, what varies, residual pairs, definitions, claims.

A term is a product of factors; each factor is a construct or covariate now, at an earlier exchange, or
its mean. That one form covers main effects, moderation, lags and between effects, so the engines need
no special cases.

Statements know the line and column of the model file where they stand, both from 1; 0 where they were made in
Python or by default. Places serve messages alone: they are no part of equality, and are not written to text.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal


def place(line: int, column: int) -> str:
    """Return a place as messages name it; an empty text where there is none."""
    return f"line {line}, column {column}" if line else ""


def covariate_of(name: str) -> str:
    """Return the covariate that a contrast ``covariate[level]`` is of; another name as it is."""
    return name.partition("[")[0]


@dataclass(frozen=True)
class Factor:
    """One factor of a term.

    Attributes
    ----------
    name
        Construct or covariate, or a contrast ``covariate[level]`` (``structure.data.categories``).
    kind
        ``now``; ``lag`` (the exchange ``lag`` places earlier in the same session); ``mean`` (the latent
        mean at ``level``).
    """

    name: str
    kind: Literal["now", "lag", "mean"] = "now"
    lag: int = 0
    level: str = ""

    def __str__(self) -> str:
        if self.kind == "lag":
            return f"lag({self.name})" if self.lag == 1 else f"lag({self.name}, {self.lag})"
        if self.kind == "mean":
            return f"mean({self.name})" if self.level == "session" else f"mean({self.name}, {self.level})"
        return self.name


@dataclass(frozen=True)
class Term:
    """A product of factors, in the order written; ``a:b`` and ``b:a`` are the same term to :attr:`key`."""

    factors: tuple[Factor, ...]

    def __str__(self) -> str:
        return ":".join(map(str, self.factors))

    @property
    def key(self) -> tuple[str, ...]:
        """The factors in alphabetical order: equal for terms that mean the same product."""
        return tuple(sorted(map(str, self.factors)))

    @property
    def names(self) -> tuple[str, ...]:
        """The constructs and covariates in it, in order."""
        return tuple(factor.name for factor in self.factors)

    @property
    def is_between(self) -> bool:
        """Whether every factor is a mean, so that the term moves the session's level and not the exchange."""
        return all(factor.kind == "mean" for factor in self.factors)


@dataclass(frozen=True)
class Path:
    """One regression coefficient: outcome, term, and what the model file says of its value.

    Attributes
    ----------
    label
        Paths with one label share one coefficient; ``""`` is none.
    fixed
        The value of ``0*x``, or None where it is estimated.
    origin
        ``written`` in the model file, or ``default``: the law of a noisy predictor (design: Psi, Theta, phi).
    line, column
        Where it begins in the model file, its label or value included.
    """

    outcome: str
    term: Term
    label: str = ""
    fixed: float | None = None
    origin: Literal["written", "default"] = "written"
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """The path's coordinate in a fit, e.g. ``disclosure ~ empathy:rapport``."""
        return f"{self.outcome} ~ {self.term}"

    @property
    def where(self) -> str:
        """Its place, as messages name it."""
        return place(self.line, self.column)


@dataclass(frozen=True)
class Varying:
    """Effects of one outcome that vary by group: ``outcome ~ (1 + slopes | group)``.

    Attributes
    ----------
    outcome
        The construct.
    group
        ``dyad``, ``session``, or the covariate that names the group, such as a therapist with several dyads.
    intercept, slopes
        What varies: the mean; the paths of these terms.
    spread
        Whether it is the residual's log standard deviation that varies, ``sigma(outcome) ~ (1 | group)``.
    line, column
        Where it begins in the model file, its label or value included.
    """

    outcome: str
    group: str
    intercept: bool = True
    slopes: tuple[Term, ...] = ()
    spread: bool = False
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Its effects in a fit: ``outcome ~ 1``, ``outcome ~ slope``; ``sigma(outcome) ~ 1``."""
        if self.spread:
            return (f"sigma({self.outcome}) ~ 1",)
        first = (f"{self.outcome} ~ 1",) if self.intercept else ()
        return first + tuple(f"{self.outcome} ~ {slope}" for slope in self.slopes)

    @property
    def where(self) -> str:
        """Its place, as messages name it."""
        return place(self.line, self.column)


def is_idle(path: Path, varying: Iterable[Varying]) -> bool:
    """Return whether a path moves nothing: it is fixed at 0, in every group."""
    return path.fixed == 0 and not any(
        item.outcome == path.outcome and slope.key == path.term.key
        for item in varying
        for slope in item.slopes
    )


@dataclass(frozen=True)
class ResidualPair:
    """``left ~~ right``: a free residual covariance."""

    left: str
    right: str
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    @property
    def where(self) -> str:
        """Its place, as messages name it."""
        return place(self.line, self.column)


@dataclass(frozen=True)
class Definition:
    """``name := expression``: a quantity defined from labels, computed per draw."""

    name: str
    expression: str
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Claim:
    """A statement of a study in terms of paths.

    Attributes
    ----------
    name, says
        Its short name, and the statement in words.
    holds
        An expression of labels and definitions that is true of a draw where the claim holds; ``rope`` in it
        stands for the half width below.
    rope
        Half width of the region of practical equivalence, in standardised units.
    """

    name: str
    says: str
    holds: str
    rope: float = 0.05
