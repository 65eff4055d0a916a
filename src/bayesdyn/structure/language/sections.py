"""The sections of a model file around its paths: who shows what, priors, claims, scale."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.expression import (
    Misfit,
    is_truth,
    names_in,
    numbers_as_truths,
    read_expression,
    truths_among,
)
from bayesdyn.structure.language.laws import with_default_laws
from bayesdyn.structure.language.numbers import is_number
from bayesdyn.structure.language.parts import place
from bayesdyn.structure.language.priors import Prior, check_shared, priors_of, read_prior, without_unsure_lags
from bayesdyn.structure.language.spec import (
    CENTRINGS,
    MEASUREMENTS,
    PARTIES,
    Claim,
    ModelSpec,
)
from bayesdyn.structure.language.statements import Placed, Statements
from bayesdyn.structure.language.syntax import read_name
from bayesdyn.structure.language.toml_lines import place_in_string
from bayesdyn.structure.language.words import did_you_mean, sentence

SECTIONS = ("model", "constructs", "priors", "claims", "scale")
_MODEL_KEYS = ("name", "paths", "centering", "centring", "measurement", "time")
_CLAIM_KEYS = ("says", "holds", "rope")
_WORD = re.compile(r"[^\W\d]\w*")
type Lines = Mapping[tuple[str, ...], int]


def read_sections(
    document: Mapping[str, object],
    statements: Statements,
    lines: Lines,
    faults: FaultList,
    default_name: str,
    text: str,
) -> ModelSpec:
    """Read all but the paths of a model file.

    Parameters
    ----------
    document
        The parsed TOML.
    statements
        What its paths say.
    lines
        Where each key stands (:func:`.toml_lines.key_lines`).
    faults
        Receives every fault; the spec is meaningful only where none was added.
    default_name
        The model's name where the file gives none.
    text
        The model file.
    """
    # A name that an equation with a fault misspells is missing elsewhere for that alone.
    reader = _Sections(statements, lines, faults, statements.complete and not faults.faults, text)
    reader.unknown_keys(document, (), SECTIONS, "section")
    model = reader.table(document, "model")
    reader.unknown_keys(model, ("model",), _MODEL_KEYS, "key")
    if not isinstance(model.get("paths"), str):
        what = "there are no paths" if "paths" not in model else "paths is no text"
        faults.add(what, 'Write paths = """ ... """ below [model]', reader.where("model", "paths"))
    spec = ModelSpec(
        name=reader.text(model, ("model",), "name", default_name),
        paths=_items(statements.paths),
        varying=_items(statements.varying),
        residuals=_items(statements.residuals),
        definitions=_items(statements.definitions),
        claims=reader.claims(reader.table(document, "claims")),
        centring=reader.centring(model),
        measurement=reader.measurement(model),
        time=reader.text(model, ("model",), "time", "") if "time" in model else "",
        text=text,
        words=tuple(statements.words),
    )
    spec = replace(
        spec,
        parties=reader.parties(reader.table(document, "constructs"), spec),
        scale=reader.scale(reader.table(document, "scale"), spec),
    )
    return replace(spec, priors=reader.priors(reader.table(document, "priors"), spec))


def declared_names(document: Mapping[str, object]) -> set[str]:
    """Return the names that a model file gives a party or a scale; their faults are told elsewhere."""
    constructs, scale = document.get("constructs"), document.get("scale")
    found = set(scale) if isinstance(scale, dict) else set()
    for names in constructs.values() if isinstance(constructs, dict) else ():
        found |= {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
    return found


def named_labels(document: Mapping[str, object]) -> set[str]:
    """Return the words by which priors and claims name labels; their faults are told elsewhere."""
    priors, claims = document.get("priors"), document.get("claims")
    found = set(priors) if isinstance(priors, dict) else set()
    for claim in claims.values() if isinstance(claims, dict) else ():
        holds = claim.get("holds") if isinstance(claim, dict) else None
        found |= set(_WORD.findall(holds)) if isinstance(holds, str) else set()
    return found


@dataclass(frozen=True)
class _Sections:
    """Reads sections of one model file; whatever is wrong goes to ``faults``.

    ``sound``: whether its paths have no fault; ``source``: the text of the file.
    """

    statements: Statements
    lines: Lines
    faults: FaultList
    sound: bool
    source: str

    def where(self, *path: str) -> str:
        # An inline table has its keys on the line of the table.
        known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in self.lines), None)
        section = f"[{path[0]}]" if path else ""
        return f"line {self.lines[known]}" if known else section

    def table(self, document: Mapping[str, object], section: str) -> Mapping[str, object]:
        value = document.get(section, {})
        if isinstance(value, dict):
            return value
        self.faults.add(f"{section} is no section", f"Write [{section}]", self.where(section))
        return {}

    def unknown_keys(
        self, table: Mapping[str, object], path: tuple[str, ...], known: tuple[str, ...], noun: str
    ) -> None:
        within = f" in [{'.'.join(path)}]" if path else ""
        for key in table:
            if key not in known:
                remedy = sentence(did_you_mean(key, known), f"Known are {', '.join(known)}")
                self.faults.add(f"unknown {noun} {key!r}{within}", remedy, self.where(*path, key))

    def text(self, table: Mapping[str, object], path: tuple[str, ...], key: str, default: str) -> str:
        value = table.get(key, default)
        if isinstance(value, str) and value.strip():
            return value
        self.faults.add(f"{key} is no text", f'Write {key} = "..."', self.where(*path, key))
        return default

    def centring(self, model: Mapping[str, object]) -> str:
        given = [key for key in ("centring", "centering") if key in model]
        if len(given) == 2:
            remedy = "They are one setting: keep one"
            self.faults.add("both centring and centering", remedy, self.where("model", "centering"))
        return self._setting(model, given[0], "centring", CENTRINGS, "session") if given else "session"

    def measurement(self, model: Mapping[str, object]) -> str:
        if "measurement" not in model:
            return ""
        return self._setting(model, "measurement", "measurement", MEASUREMENTS, "")

    def _setting(
        self, model: Mapping[str, object], key: str, noun: str, known: tuple[str, ...], default: str
    ) -> str:
        value = model[key]
        if not isinstance(value, str) or value not in known:
            remedy = sentence(did_you_mean(str(value), known), f"The settings are {', '.join(known)}")
            self.faults.add(f"unknown {noun} {value!r}", remedy, self.where("model", key))
            return default
        return value

    def parties(self, table: Mapping[str, object], spec: ModelSpec) -> tuple[tuple[str, str], ...]:
        self.unknown_keys(table, ("constructs",), PARTIES, "party")
        found: dict[str, str] = {}
        for party in (key for key in table if key in PARTIES):
            names = table[party]
            where = self.where("constructs", party)
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                self.faults.add(f"{party} is no list of names", f'Write {party} = ["..."]', where)
                continue
            for name in names:
                if name in found:
                    what = f"the construct {name!r} stands under {found[name]} and {party}"
                    self.faults.add(what, "Keep one", where)
                self._named(name, spec, f"the construct {name!r}", where)
                found.setdefault(name, party)
        return tuple(found.items())

    def scale(self, table: Mapping[str, object], spec: ModelSpec) -> tuple[tuple[str, float, float], ...]:
        found: list[tuple[str, float, float]] = []
        for name, pair in table.items():
            where = self.where("scale", name)
            self._named(name, spec, f"the scale of {name!r}", where)
            numbers = [float(part) for part in pair if is_number(part)] if isinstance(pair, list) else []
            if not isinstance(pair, list) or not len(pair) == len(numbers) == 2 or numbers[1] <= 0:
                what = f"the scale of {name!r} is no pair of a shift and a scale above 0"
                self.faults.add(what, f"Write {name} = [2.5, 0.8]", where)
            else:
                found.append((name, numbers[0], numbers[1]))
        return tuple(found)

    def priors(self, table: Mapping[str, object], spec: ModelSpec) -> tuple[tuple[str, str], ...]:
        # The laws of noisy predictors are added later, and their paths can have priors too.
        laws = with_default_laws(spec, spec.names)
        by_key = {(path.outcome, path.term.key): path.name for path in laws.paths}
        found: dict[str, str] = {}
        parsed: dict[str, Prior] = {}
        places: dict[str, str] = {}
        before = len(self.faults.faults)
        for key, value in table.items():
            where = self.where("priors", key)
            path = read_name(key) if "~" in key else None
            name = by_key.get((path[0], path[1].key), key) if path else key
            if name in found:
                self.faults.add(f"the path {name!r} has two priors", "Keep one", where)
            text = value if isinstance(value, str) else repr(value)
            prior = read_prior(name, text, laws, self.faults, where, complete=self.statements.complete)
            if prior is not None:
                found.setdefault(name, str(value))
                parsed.setdefault(name, prior)
                places.setdefault(name, where)
        if self.statements.complete and len(self.faults.faults) == before:
            check_shared(without_unsure_lags(spec), priors_of(parsed), self.faults, places)
        return tuple(found.items())

    def claims(self, table: Mapping[str, object]) -> tuple[Claim, ...]:
        found: list[Claim] = []
        for name, entry in table.items():
            path = ("claims", name)
            if not isinstance(entry, dict):
                remedy = f"Write [claims.{name}] with says and holds below it"
                self.faults.add(f"the claim {name!r} is no section", remedy, self.where(*path))
                continue
            self.unknown_keys(entry, path, _CLAIM_KEYS, "key")
            rope = entry.get("rope", Claim.rope)
            if not is_number(rope) or rope < 0:
                what = f"the rope of claim {name!r} is no number from 0"
                self.faults.add(what, "Write rope = 0.05", self.where(*path, "rope"))
            says = self.text(entry, path, "says", "")
            holds = self.text(entry, path, "holds", "")
            if holds:
                self._holds(name, holds)
            found.append(Claim(name, says, holds, float(rope) if is_number(rope) else Claim.rope))
        return tuple(found)

    def _holds(self, name: str, holds: str) -> None:
        what = f"the claim {name!r}"
        tree, misfits = read_expression(holds)
        for misfit in misfits:
            self.faults.add(
                f"{what}: {misfit.what}", misfit.remedy, self._in_holds(name, holds, misfit.offset)
            )
        if tree is None or misfits or not self.statements.complete:
            return
        labels = [placed.item.label for placed in self.statements.paths if placed.item.label]
        definitions = [(placed.item.name, placed.item.expression) for placed in self.statements.definitions]
        truths = truths_among(definitions)
        known = (*labels, *(defined for defined, _ in definitions), "rope")
        for used in names_in(tree):
            if used not in known:
                remedy = sentence(did_you_mean(used, known), "A claim uses labels, definitions and rope")
                at = next(match.start() for match in _WORD.finditer(holds) if match.group() == used)
                where = self._in_holds(name, holds, at)
                self.faults.add(f"{what} uses an unknown label {used!r}", remedy, where)
        for misfit in numbers_as_truths(holds, set(known) - truths):
            self.faults.add(
                f"{what}: {misfit.what}", misfit.remedy, self._in_holds(name, holds, misfit.offset)
            )
        if not is_truth(tree, truths):
            told = f"{what} holds {holds!r}, a number and neither true nor false"
            self.faults.add(told, "Compare it, e.g. with > 0", self._in_holds(name, holds, 0))

    def _misfit(self, name: str, holds: str, misfit: Misfit) -> None:
        where = self._in_holds(name, holds, misfit.offset)
        self.faults.add(f"the claim {name!r}: {misfit.what}", misfit.remedy, where)

    def _in_holds(self, name: str, holds: str, offset: int) -> str:
        key = ("claims", name, "holds")
        found = place_in_string(self.source, self.lines[key], holds, offset) if key in self.lines else None
        return place(*found) if found else self.where(*key)

    def _named(self, name: str, spec: ModelSpec, what: str, where: str) -> None:
        if name not in spec.names and self.sound:
            remedy = did_you_mean(name, spec.names) or "Remove it"
            self.faults.add(f"{what} is given, but no path names it", remedy, where)


def _items[T](placed: Iterable[Placed[T]]) -> tuple[T, ...]:
    return tuple(one.item for one in placed)
