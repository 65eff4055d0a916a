"""What the study found, in words: the opening paragraph, the claims, the tipping points."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bayesdyn.reporting.words import counted, listed, probability, stopped

VERDICTS = ("supported", "undecided", "contradicted")
IDENTIFIED = {
    "prior": "One rater identifies no error variance: the reliabilities are an explicit prior, "
    "not a finding.",
    "two_raters": "Two raters: their discriminations are equal by assumption, which these data cannot test.",
    "raters": "Three or more raters: their disagreement identifies the error. What all raters share against "
    "humans stays unseen.",
    "coder": "Human coders anchor the scale; their own error, which no overlap shows, is an explicit prior.",
    "humans": "Human coders on an overlap anchor the scale and the error that the LLMs share.",
    "given": "The standard errors came with the scores; nothing here tests them.",
    "simulated": "The measures are simulated: their errors are known because they were made.",
}
"""How the error variances are known, by ``attrs["identification"]``."""

_WARNING = "Warning:"
_CAVEATS = ("identif", "upper bound", "prior", "assum", "floor", "taken as")


@dataclass(frozen=True)
class ClaimLine:
    """One claim as shown: its words, probabilities (0 to 1, and as printed) and verdicts."""

    name: str
    says: str
    holds: str
    verdict: str
    probability: float
    prior: float
    shown: str
    prior_shown: str
    naive: float | None = None
    naive_shown: str = ""
    naive_verdict: str = ""
    parts: tuple[tuple[str, str], ...] = ()


def claim_lines(
    claims: pd.DataFrame, naive: pd.DataFrame | None, parts: pd.DataFrame | None = None
) -> list[ClaimLine]:
    """Return the claims as lines, with what the naive fit says of each where there is one.

    Parameters
    ----------
    claims, naive
        As :func:`bayesdyn.check_claims` gives.
    parts
        As :func:`bayesdyn.fitting.claims.claim_parts` gives: shown below a claim that joins several.
    """
    own: dict[str, list[tuple[str, str]]] = {}
    for row in () if parts is None else parts.itertuples():
        own.setdefault(str(row.claim), []).append((str(row.part), probability(float(str(row.probability)))))
    others = {} if naive is None else {row.claim: row for row in naive.itertuples()}
    lines = []
    for row in claims.itertuples():
        other = others.get(row.claim)
        holds = str(row.holds)
        if pd.notna(row.rope):
            holds += f", rope = {row.rope:g}"
        lines.append(
            ClaimLine(
                str(row.claim), stopped(str(row.says)), holds, str(row.verdict),
                float(row.probability), float(row.prior_probability),
                probability(row.probability), probability(row.prior_probability),
                None if other is None else float(other.probability),
                "" if other is None else probability(other.probability),
                "" if other is None else str(other.verdict),
                tuple(own.get(str(row.claim), ())),
            )
        )  # fmt: skip
    return lines


def opening(lines: Sequence[ClaimLine], sound: bool, caveat: str) -> list[str]:
    """Return the answer as sentences: how many claims stand, which, and what to hold against it."""
    sentences = []
    if not sound:
        sentences.append(
            "The sampler's diagnostics found problems (see Diagnostics): every number here is provisional."
        )
    if lines:
        found = [(verdict, sum(line.verdict == verdict for line in lines)) for verdict in VERDICTS]
        parts = [f"{many or 'none'} {'are' if many > 1 else 'is'} {verdict}" for verdict, many in found]
        if len(lines) == 1:
            sentences.append(f"The one claim of this model is {lines[0].verdict}.")
        else:
            sentences.append(f"Of the {counted(len(lines), 'claim')} of this model, {listed(parts)}.")
        for verdict in ("supported", "contradicted"):
            said = [line.says.rstrip(".") for line in lines if line.verdict == verdict]
            if said:
                sentences.append(f"{verdict.capitalize()}: {'; '.join(said)}.")
        turned = [line for line in lines if line.naive is not None and line.verdict != line.naive_verdict]
        if turned:
            many = counted(len(turned), "claim")
            sentences.append(f"Taking the scores as free of error would change the verdict on {many}.")
    else:
        sentences.append("This model states no claims; its paths are below.")
    if caveat:
        sentences.append(f"Main caveat: {stopped(caveat)}")
    return sentences


def main_caveat(notes: Sequence[str], identification: str) -> str:
    """Return what bears most on the answer: an error that is assumed, else the first warning, else a note."""
    if identification == "prior":
        return IDENTIFIED["prior"]
    warnings = [note.removeprefix(_WARNING).strip() for note in notes if note.startswith(_WARNING)]
    if warnings:
        more = len(warnings) - 1
        return (
            warnings[0]
            if not more
            else f"{stopped(warnings[0])} {counted(more, 'more warning')} under Measures"
        )
    for word in _CAVEATS:
        for note in notes:
            if word in note.lower():
                return note
    return IDENTIFIED.get(identification, "") or next(iter(notes), "")


@dataclass(frozen=True)
class Tipping:
    """Tipping points in words: ``tips`` (path, sentence), and ``never`` (state, paths) for who has none."""

    tips: tuple[tuple[str, str], ...]
    never: tuple[tuple[str, tuple[str, ...]], ...]


def tipping_words(tipping: pd.DataFrame, shown: Sequence[str]) -> Tipping | None:
    """Return the tipping points of the paths named in ``shown``, or None where there is none of these.

    Parameters
    ----------
    tipping
        Columns ``path_name, tipping_factor, says``.
    shown
        Names of the paths to speak of.
    """
    own = tipping[tipping["path_name"].isin(list(shown))]
    if own.empty:
        return None
    tips = own[own["tipping_factor"].notna()].sort_values("tipping_factor")
    never = own[own["tipping_factor"].isna()].groupby("says", sort=False)["path_name"]
    return Tipping(
        tuple((str(row.path_name), str(row.says)) for row in tips.itertuples()),
        tuple((stopped(str(says)).rstrip("."), tuple(map(str, names))) for says, names in never),
    )
