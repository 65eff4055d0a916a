"""The structural model as data: frozen, comparable, written back to text by :mod:`.model_file`.

A term is a product of factors; each factor is a construct or covariate now, at an earlier exchange, or
its mean. That one form covers main effects, moderation, lags and between effects, so the engines need
no special cases.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

CENTRINGS = ("none", "session", "dyad", "grand")
PARTIES = ("therapist", "client", "dyad")
LEVELS = ("session", "dyad")
MEASUREMENTS = ("none", "two_stage", "known", "propagated", "joint")
"""Settings of measurement: ``none`` takes scores as they are; ``known`` uses each exchange's own se;
``two_stage`` one reliability per construct, as two-stage path analysis does (Lai & Hsiao 2022, Psychological
Methods 27, 568): the root mean square of a construct's standard errors stands for each of them;
``propagated`` fits at draws of the rater parameters, each with the standard errors that it implies; ``joint``
has the ratings' own likelihood in the fit (:mod:`bayesdyn.engines.pymc_raters`)."""
BUILT_IN_COVARIATES = ("phase",)
"""``phase``: the exchange's place in its session, from -0.5 (first) to 0.5 (last)."""


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
    line
        Line of the model file, for messages; no part of equality.
    """

    outcome: str
    term: Term
    label: str = ""
    fixed: float | None = None
    origin: Literal["written", "default"] = "written"
    line: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """The path's coordinate in a fit, e.g. ``disclosure ~ empathy:rapport``."""
        return f"{self.outcome} ~ {self.term}"


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
    line
        Line of the model file, for messages; no part of equality.
    """

    outcome: str
    group: str
    intercept: bool = True
    slopes: tuple[Term, ...] = ()
    spread: bool = False
    line: int = field(default=0, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Its effects in a fit: ``outcome ~ 1``, ``outcome ~ slope``; ``sigma(outcome) ~ 1``."""
        if self.spread:
            return (f"sigma({self.outcome}) ~ 1",)
        first = (f"{self.outcome} ~ 1",) if self.intercept else ()
        return first + tuple(f"{self.outcome} ~ {slope}" for slope in self.slopes)


@dataclass(frozen=True)
class ResidualPair:
    """``left ~~ right``: a free residual covariance."""

    left: str
    right: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Definition:
    """``name := expression``: a quantity defined from labels, computed per draw."""

    name: str
    expression: str
    line: int = field(default=0, compare=False)


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


@dataclass(frozen=True)
class ModelSpec:
    """A structural model, parsed from a model file.

    Attributes
    ----------
    name
        The model's name.
    time
        The covariate that is the time of an exchange: lags then decay with the time between exchanges. Empty
        where every lag is one exchange, however long.
    parties
        Who shows each construct: pairs (construct, ``therapist`` | ``client`` | ``dyad``). It decides the
        default law of a noisy predictor; an unlisted construct that is no outcome counts as the therapist's.
    paths, varying, residuals, definitions, claims
        The statements, in the order written.
    centring
        ``none``, ``session``, ``dyad`` or ``grand`` (design section 5).
    priors
        Pairs (class or path name, prior in words such as ``normal(0, 0.5)``) that override the defaults.
    scale
        Triples (construct, shift, scale): standardisation fixed by the model, in raw units; empty where it
        is estimated from the measures.
    measurement
        One of :data:`MEASUREMENTS` where the model file says how its scores are taken, else ``""``; what
        :func:`bayesdyn.fit` is told outranks it.
    text
        The model file itself.
    """

    name: str
    paths: tuple[Path, ...]
    varying: tuple[Varying, ...] = ()
    residuals: tuple[ResidualPair, ...] = ()
    definitions: tuple[Definition, ...] = ()
    claims: tuple[Claim, ...] = ()
    centring: str = "session"
    parties: tuple[tuple[str, str], ...] = ()
    priors: tuple[tuple[str, str], ...] = ()
    scale: tuple[tuple[str, float, float], ...] = ()
    measurement: str = ""
    time: str = ""
    text: str = field(default="", compare=False)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Constructs with a written equation, in order of their first path."""
        return _unique(path.outcome for path in self.paths)

    @property
    def names(self) -> tuple[str, ...]:
        """Every construct and covariate that a path names, outcomes first."""
        return _unique([*self.outcomes, *(name for path in self.paths for name in path.term.names)])

    @property
    def groups(self) -> tuple[str, ...]:
        """What effects vary by: dyad and session first, then the covariates that name groups, in order."""
        found = _unique(item.group for item in self.varying)
        return tuple(sorted(found, key=lambda name: LEVELS[::-1].index(name) if name in LEVELS else 2))

    @property
    def crossed(self) -> tuple[str, ...]:
        """The covariates that name groups other than dyads and sessions."""
        return tuple(name for name in self.groups if name not in LEVELS)

    @property
    def order(self) -> int:
        """How many exchanges back the longest lag goes, at least 1."""
        lags = [factor.lag for path in self.paths for factor in path.term.factors]
        return max([1, *lags])

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in order."""
        return _unique(path.label for path in self.paths if path.label)

    def party(self, construct: str) -> str:
        """Return who shows a construct: as declared, else client for an outcome, else therapist."""
        declared = dict(self.parties)
        return declared.get(construct, "client" if construct in self.outcomes else "therapist")

    def predictors(self, constructs: Iterable[str]) -> tuple[str, ...]:
        """Return the therapist's and dyad's constructs that no written path moves at the same exchange.

        Their residuals are jointly normal (design: xi, eta); one that others move at once is a mediator.
        """
        moved = {
            path.outcome
            for path in self.paths
            if path.fixed != 0
            and any(factor.kind == "now" and factor.name in constructs for factor in path.term.factors)
        }
        return tuple(name for name in constructs if self.party(name) != "client" and name not in moved)

    def to_text(self) -> str:
        """Return a model file that reads back as this model (:func:`.model_text.to_text`)."""
        from bayesdyn.structure.language.model_text import to_text  # it imports this module

        return to_text(self)

    def to_latex(self, constructs: Iterable[str] | None = None) -> str:
        """Return the equations as LaTeX (:func:`.latex.latex_of`)."""
        from bayesdyn.structure.language.latex import latex_of  # it imports this module

        return latex_of(self, constructs)

    def diagram(self) -> str:
        """Return the path diagram as Mermaid text (:func:`.diagram.diagram_of`)."""
        from bayesdyn.structure.language.diagram import diagram_of  # it imports this module

        return diagram_of(self)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
