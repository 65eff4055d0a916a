r"""A model as LaTeX equations, for a paper: an ``align`` environment (amsmath) and what its symbols mean.

A path's coefficient is its label, the value it is fixed at, or :math:`\beta` with a number; effects that vary
are :math:`u` (by dyad), :math:`v` (by session) and :math:`w` (by another group), numbered as in ``dyad_cov``,
``session_cov`` and so on of a fit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bayesdyn.structure.language.latex_words import expression_latex, label_latex, name_latex
from bayesdyn.structure.language.laws import with_default_laws
from bayesdyn.structure.language.spec import (
    BUILT_IN_COVARIATES,
    Factor,
    ModelSpec,
    Path,
    Term,
    covariate_of,
)
from bayesdyn.structure.language.terms import effect_names, is_dynamic

_TERMS_PER_ROW = 4
_MARKS = {"session": r"\widetilde{%s}", "dyad": r"\breve{%s}", "grand": r"\check{%s}"}
_EFFECTS = {"dyad": "u", "session": "v"}
_SPREAD = "sigma"


def latex_of(spec: ModelSpec, constructs: Iterable[str] | None = None) -> str:
    """Return the equations of a model.

    Parameters
    ----------
    spec
        The model.
    constructs
        Constructs that are measured with error, whose default laws are written too
        (:func:`.with_default_laws`). None: those under ``[constructs]``; an empty list: the equations as the
        model file has them.

    Returns
    -------
    str
        Equations of the client's, the therapist's and the dyad's constructs, each within sessions and of its
        session mean; then the laws of what varies and of the residuals, and the definitions; then one
        sentence on the symbols.
    """
    declared = tuple(name for name, _ in spec.parties)
    noisy = declared if constructs is None else tuple(constructs)
    full = with_default_laws(spec, noisy)
    # Where nothing is declared, a name that is not built in may be either: a construct is the usual case.
    latent = {*declared, *noisy} or set(full.names) - set(BUILT_IN_COVARIATES)
    writer = _Writer(full, frozenset(latent | set(full.outcomes)), _coefficients(full))
    ranked = sorted(full.outcomes, key=lambda name: ("client", "therapist", "dyad").index(full.party(name)))
    rows = [row for name in ranked for row in writer.equations(name)]
    rows += [*writer.laws(), *writer.definitions()]
    body = " \\\\\n".join(rows)
    return f"\\begin{{align}}\n{body}\n\\end{{align}}\n{writer.symbols(body)}\n"


def _coefficients(spec: ModelSpec) -> dict[str, str]:
    """Return the symbol of each path by its name."""
    found: dict[str, str] = {}
    for path in spec.paths:
        if path.fixed is not None:
            found[path.name] = f"{path.fixed:g}"
        else:
            found[path.name] = label_latex(path.label) if path.label else ""
    number = iter(range(1, len(found) + 1))
    return {name: symbol or rf"\beta_{{{next(number)}}}" for name, symbol in found.items()}


@dataclass(frozen=True)
class _Writer:
    """Writes the rows of one model; ``latent`` names the constructs, ``coefficient`` each path's symbol."""

    spec: ModelSpec
    latent: frozenset[str]
    coefficient: dict[str, str]

    def equations(self, outcome: str) -> Iterator[str]:
        own = [path for path in self.spec.paths if path.outcome == outcome]
        name = name_latex(outcome)
        within = [self._summand(path) for path in own if not path.term.is_between]
        mean = rf"\overline{{{name}}}"
        yield from _rows(rf"{name}_{{t}}", [rf"{mean}_{{s}}", *within, rf"\varepsilon_{{{name},t}}"])
        level = [rf"\mu_{{{name}}}", *self._effect(outcome, "1", "dyad")]
        crossed = [effect for group in self.spec.crossed for effect in self._effect(outcome, "1", group)]
        between = [self._summand(path) for path in own if path.term.is_between]
        yield from _rows(
            rf"{mean}_{{s}}", [*level, *crossed, *between, *self._effect(outcome, "1", "session")]
        )
        used = (factor for path in self.spec.paths for factor in path.term.factors)
        named = any(factor.level == "dyad" and factor.name == outcome for factor in used)
        if named or self.spec.centring == "dyad":
            yield from _rows(rf"{mean}_{{d}}", level)

    def laws(self) -> Iterator[str]:
        for group in self.spec.groups:
            count = len(effect_names(self.spec, group))
            all_of = ", ".join(
                _symbol(group, k) if k else r"\dots"
                for k in ([*range(1, count + 1)] if count < 4 else [1, 2, 0, count])
            )
            yield rf"({all_of}) &\sim \mathrm{{N}}(0, T_{{{_subscript(group)}}})"
        joint = [name for name in self.spec.predictors(self.latent) if name in self.spec.outcomes]
        joint = sorted(joint, key=self.spec.outcomes.index)
        if len(joint) > 1:
            residuals = ", ".join(rf"\varepsilon_{{{name_latex(name)},t}}" for name in joint)
            yield rf"({residuals}) &\sim \mathrm{{N}}(0, Q)"
        for name in self.spec.outcomes:
            if name not in joint or len(joint) == 1:
                symbol = name_latex(name)
                yield rf"\varepsilon_{{{symbol},t}} &\sim \mathrm{{N}}(0, \sigma^2_{{{symbol}}})"
        for name in self.spec.outcomes:
            varying = [one for group in self.spec.groups for one in self._effect(name, _SPREAD, group)]
            if varying:
                residual = rf"\varepsilon_{{{name_latex(name)},t}}"
                scaled = rf"\exp({' + '.join(varying)})"
                yield rf"\mathrm{{SD}}({residual}) &\propto {scaled}"
        for pair in self.spec.residuals:
            left, right = name_latex(pair.left), name_latex(pair.right)
            both = rf"\varepsilon_{{{left},t}}, \varepsilon_{{{right},t}}"
            yield rf"\mathrm{{Cov}}({both}) &= \sigma_{{{left},{right}}}"

    def definitions(self) -> Iterator[str]:
        for one in self.spec.definitions:
            yield f"{label_latex(one.name)} &:= {expression_latex(one.expression)}"

    def symbols(self, body: str) -> str:
        """Return a sentence on the symbols that stand in the equations."""
        said = ["$t$ is the exchange, $s$ its session, $d$ its dyad", "a bar is a latent mean"]
        deviation = {"session": "session's latent mean", "dyad": "dyad's latent mean", "grand": "grand mean"}
        said += [
            rf"${mark % 'x'}$ is $x$ less its {deviation[level]}"
            for level, mark in _MARKS.items()
            if mark.partition("%")[0] in body
        ]
        said += [f"${_symbol(group)}$ varies by {group}" for group in self.spec.groups]
        return f"Here {'; '.join(said)}."

    def _summand(self, path: Path) -> str:
        """Return coefficient and term, an empty text where the path is fixed at 0 and does not vary."""
        varying = [
            effect
            for group in self.spec.groups
            for effect in self._effect(path.outcome, path.term.key, group)
        ]
        coefficient = [] if path.fixed == 0 else [self.coefficient[path.name]]
        parts = [*coefficient, *varying]
        if not parts:
            return ""
        term = self._term(path.outcome, path.term)
        return rf"{parts[0]}\,{term}" if len(parts) == 1 else rf"({' + '.join(parts)})\,{term}"

    def _effect(self, outcome: str, key: str | tuple[str, ...], group: str) -> list[str]:
        """Return the symbol of an effect that varies by a group, in a list; none where it does not vary."""
        place = 0
        for item in self.spec.varying:
            if item.group != group:
                continue
            first = [_SPREAD] if item.spread else ["1"] if item.intercept else []
            for effect in [*first, *(slope.key for slope in item.slopes)]:
                place += 1
                if (item.outcome, effect) == (outcome, key):
                    return [_symbol(group, place)]
        return []

    def _term(self, outcome: str, term: Term) -> str:
        dynamic = is_dynamic(self.spec, outcome, term)
        return r"\,".join(self._factor(factor, dynamic) for factor in term.factors)

    def _factor(self, factor: Factor, dynamic: bool) -> str:
        name = name_latex(factor.name)
        if factor.kind == "mean":
            return rf"\overline{{{name}}}_{{{factor.level[0]}}}"
        centred = "session" if dynamic else self.spec.centring
        if centred in _MARKS and covariate_of(factor.name) == factor.name and factor.name in self.latent:
            name = _MARKS[centred] % name
        return rf"{name}_{{t-{factor.lag}}}" if factor.kind == "lag" else rf"{name}_{{t}}"


def _subscript(group: str) -> str:
    return group[0] if group in _EFFECTS else name_latex(group)


def _symbol(group: str, number: int | None = None) -> str:
    """Return the symbol of what varies by a group; with its number, of one effect."""
    letter = _EFFECTS.get(group, "w")
    if number is not None:
        return f"{letter}_{{{number},{_subscript(group)}}}"
    return letter if group in _EFFECTS else f"{letter}_{{{_subscript(group)}}}"


def _rows(left: str, summands: Iterable[str]) -> Iterator[str]:
    """Yield the rows of one equation, at most a few terms in each; only the last has a number."""
    parts = [part for part in summands if part]
    chunks = [parts[at : at + _TERMS_PER_ROW] for at in range(0, len(parts), _TERMS_PER_ROW)]
    for place, chunk in enumerate(chunks):
        joined = " + ".join(chunk).replace("+ -", "- ")
        head = f"{left} &= " if place == 0 else r"&\quad - " if joined.startswith("-") else r"&\quad + "
        joined = joined.removeprefix("-") if place else joined
        yield head + joined + ("" if place == len(chunks) - 1 else r" \notag")
