"""Agreement between raters, LLM and human: intraclass correlations and Pearson's r with intervals."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.measures.icc import Coefficient, intraclass, pearson
from bayesdyn.tables import KEY, check_ratings

COLUMNS = [
    "construct", "panel", "kind", "raters", "statistic", "estimate", "lower", "upper", "ci_prob",
    "F", "df1", "df2", "p", "n", "k", "dropped", "note",
]  # fmt: skip
_LABEL = {"llm": "LLM", "human": "human"}
_FEWEST = 3


@dataclass(frozen=True)
class Panel:
    """A set of columns to compare: its name, its kind (who is in it), its columns (exchange, rater)."""

    name: str
    kind: str
    raters: tuple[str, ...]
    values: NDArray[np.float64]


def agreement(
    ratings: pd.DataFrame, human: pd.DataFrame | None = None, *, ci_prob: float = 0.95
) -> pd.DataFrame:
    """Return how far raters agree, per construct and per set of raters.

    Parameters
    ----------
    ratings
        Ratings of LLMs (or of anyone), as :func:`~bayesdyn.tables.check_ratings` takes them.
    human
        Ratings of human coders of (some of) the same exchanges. Rows of ``ratings`` whose ``rater_kind`` is
        ``human`` count as human too.
    ci_prob
        Probability of the equal-tailed intervals, between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        One row per construct, panel and statistic. ``panel`` is ``all LLM``, ``all human``, ``all raters``,
        ``mean of humans, mean of LLMs``, or a pair of raters; ``kind`` is ``LLM - LLM``, ``human - human``
        or ``human - LLM``. ``statistic`` is one of McGraw & Wong's ``ICC(1)``, ``ICC(A,1)``, ``ICC(C,1)``,
        ``ICC(1,k)``, ``ICC(A,k)``, ``ICC(C,k)``, or ``pearson`` (pairs only; interval by Fisher's z).
        ``n`` exchanges, ``k`` raters, ``dropped``: exchanges that some but not all raters of the panel rated,
        which a complete two-way table cannot use. Undefined values are NaN and ``note`` says why.

    Raises
    ------
    InputError
        Faults of the tables; ``ci_prob`` outside (0, 1); a rater in both tables; fewer than two raters; no
        exchange in common.

    Notes
    -----
    An LLM-human coefficient is not the LLM's reliability: the coder errs too. The formulae are our own
    (:mod:`bayesdyn.measures.icc`), checked in the tests against R psych 2.2.9 to six digits. Exchanges are
    taken as independent: within sessions they are not, so the intervals are somewhat too narrow.
    """
    table, kinds = _one_table(ratings, human, ci_prob)
    rows: list[dict[str, object]] = []
    for construct, part in table.groupby("construct", sort=True):
        wide = part.pivot_table(index=KEY, columns="rater", values="value", aggfunc="mean")
        for panel in _panels(wide, kinds):
            rows.extend(_rows(str(construct), panel, ci_prob))
    return pd.DataFrame(rows, columns=COLUMNS)


def _one_table(
    ratings: pd.DataFrame, human: pd.DataFrame | None, ci_prob: float
) -> tuple[pd.DataFrame, dict[str, str]]:
    title = "Agreement cannot be computed"
    faults = FaultList()
    if not 0 < ci_prob < 1:
        faults.add(f"ci_prob is {ci_prob}", "Give a probability between 0 and 1, such as 0.95")
    table = check_ratings(ratings)
    if human is not None:
        coders = check_ratings(human).assign(rater_kind="human")
        both = sorted(set(table["rater"]) & set(coders["rater"]))
        if both:
            faults.add(f"rater {', '.join(both)} stands in both tables", "Give each rater a name of its own")
        keys = [*KEY, "construct"]
        if not coders[keys].merge(table[keys].drop_duplicates(), on=keys, how="inner").shape[0]:
            faults.add(
                "no exchange and construct of the human ratings is among the ratings",
                "Check that dyad, session, t and construct are spelled alike in both tables",
            )
        table = pd.concat([table, coders], ignore_index=True)
    table = table[table["value"].notna()]
    kinds = dict(zip(table["rater"], table["rater_kind"], strict=True))
    if len(kinds) < 2:
        found = ", ".join(kinds) or "none"
        faults.add(f"agreement needs two raters (found: {found})", "Rate with a second LLM, or give human=")
    faults.raise_if_any(title)
    return table, kinds


def _panels(wide: pd.DataFrame, kinds: dict[str, str]) -> list[Panel]:
    raters = [str(name) for name in wide.columns]
    groups = {kind: [name for name in raters if kinds[name] == kind] for kind in ("llm", "human")}

    def panel(name: str, members: list[str]) -> Panel:
        return Panel(name, _kind(members, kinds), tuple(members), wide[members].to_numpy(dtype=float))

    panels = [panel(f"all {_LABEL[kind]}", members) for kind, members in groups.items() if len(members) > 2]
    if groups["llm"] and groups["human"] and len(raters) > 2:
        panels.append(panel("all raters", raters))
        means = np.column_stack([wide[groups[kind]].mean(axis=1).to_numpy() for kind in ("human", "llm")])
        panels.append(Panel("mean of humans, mean of LLMs", "human - LLM", ("humans", "LLMs"), means))
    return panels + [panel(", ".join(pair), list(pair)) for pair in combinations(raters, 2)]


def _kind(members: list[str], kinds: dict[str, str]) -> str:
    found = {kinds[name] for name in members}
    return "human - LLM" if len(found) > 1 else " - ".join([_LABEL[found.pop()]] * 2)


def _rows(construct: str, panel: Panel, ci_prob: float) -> list[dict[str, object]]:
    rated = np.isfinite(panel.values)
    complete = panel.values[rated.all(axis=1)]
    n, k = complete.shape
    note = ""
    coefficients: list[Coefficient] = []
    if n < _FEWEST:
        note = f"fewer than {_FEWEST} exchanges rated by all"
    else:
        coefficients = intraclass(complete, ci_prob)
        if k == 2:
            coefficients.append(pearson(complete, ci_prob))
        if any(np.isnan(c.estimate) for c in coefficients):
            note = "no variance, or no disagreement at all: undefined"
    if not coefficients:
        nan = float("nan")
        coefficients = [Coefficient("ICC(A,1)", nan, nan, nan, nan, nan, nan, nan)]
    return [
        {
            "construct": construct, "panel": panel.name, "kind": panel.kind,
            "raters": ", ".join(panel.raters),
            "statistic": c.statistic, "estimate": c.estimate, "lower": c.lower, "upper": c.upper,
            "ci_prob": ci_prob, "F": c.F, "df1": c.df1, "df2": c.df2, "p": c.p, "n": n, "k": k,
            "dropped": int(rated.any(axis=1).sum()) - n, "note": note if np.isnan(c.estimate) else "",
        }
        for c in coefficients
    ]  # fmt: skip
