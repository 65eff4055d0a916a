"""The structural model as data: frozen, comparable, written back to text by :mod:`.model_file`.

What it consists of is in :mod:`.parts`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bayesdyn.structure.language.parts import (
    Claim,
    Definition,
    Factor,
    Path,
    ResidualPair,
    Term,
    Varying,
    covariate_of,
    is_idle,
    place,
)
from bayesdyn.structure.language.toml_lines import key_lines

__all__ = [
    "Claim", "Definition", "Factor", "ModelSpec", "Path", "ResidualPair", "Term", "Varying", "covariate_of",
    "is_idle",
]  # fmt: skip

CENTRINGS = ("none", "session", "dyad", "grand")
PARTIES = ("therapist", "client", "dyad")
LEVELS = ("session", "dyad")
MEASUREMENTS = ("none", "two_stage", "known", "propagated", "joint")
"""Settings of measurement: ``none`` takes scores as they are; ``known`` uses each exchange's own se;
``two_stage`` one reliability per construct, as two-stage path analysis does (Lai & Hsiao 2022, Psychological
Methods 27, 568): the root mean square of a construct's standard errors stands for each of them;
``propagated`` fits at draws of the rater parameters, each with the standard errors that it implies; ``joint``
has the ratings' own likelihood in the fit (:mod:`bayesdyn.engines.raters`)."""
BUILT_IN_COVARIATES = ("phase",)
"""``phase``: the exchange's place in its session, from -0.5 (first) to 0.5 (last)."""


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
    words
        Every name in ``paths`` with its line and column, in the order written; for messages alone.
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
    words: tuple[tuple[str, int, int], ...] = field(default=(), compare=False, repr=False)

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

    def where(self, name: str) -> str:
        """Return where a name first stands in the model file and on which other lines, as messages say it.

        A contrast ``covariate[level]`` that is not written stands where its covariate does, and the reverse.
        """
        places = [(line, column) for word, line, column in self.words if word == name]
        base = covariate_of(name)
        places = places or [(line, column) for word, line, column in self.words if covariate_of(word) == base]
        if not places:
            return ""
        others = [str(line) for line in dict.fromkeys(line for line, _ in places)][1:]
        listed = " and ".join([", ".join(others[:-1]), others[-1]] if len(others) > 1 else others)
        noun = "line" if len(others) == 1 else "lines"
        return place(*places[0]) + (f", and {noun} {listed}" if others else "")

    def line_of(self, section: str, key: str) -> str:
        """Return the line of the model file that a key stands on, as messages say it; else its section."""
        lines = key_lines(self.text) if self.text else {}
        return f"line {lines[section, key]}" if (section, key) in lines else f"[{section}] {key}"

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

    def diagram(self, constructs: Iterable[str] | None = None) -> str:
        """Return the path diagram as Mermaid text (:func:`.diagram.diagram_of`)."""
        from bayesdyn.structure.language.diagram import diagram_of  # it imports this module

        return diagram_of(self, constructs)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
