"""Agreement between raters, LLM and human: coefficients with intervals, at three levels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.measures.agreeing.categories import alphas, fleiss, kappas, points_of
from bayesdyn.measures.agreeing.coefficient import (
    FEWEST_CLUSTERS,
    NAN,
    Coefficient,
    Family,
    Floats,
    bootstrap,
    cluster_weights,
)
from bayesdyn.measures.agreeing.components import incomplete_icc
from bayesdyn.measures.agreeing.icc import SHROUT_FLEISS, family_of, intraclass
from bayesdyn.measures.agreeing.pairs import bootstrap_spearman, differences, pearson, spearman
from bayesdyn.measures.agreeing.panels import LEVELS, Level, Panel, one_table, panels_of, scale_of
from bayesdyn.tables import KEY

COLUMNS = [
    "construct", "level", "panel", "kind", "raters", "statistic", "shrout_fleiss", "estimate", "lower",
    "upper", "cluster_lower", "cluster_upper", "ci_prob", "F", "df1", "df2", "p", "n", "k", "dyads",
    "dropped", "note",
]  # fmt: skip

_FEWEST, _ENOUGH = 3, 20


@dataclass(frozen=True)
class _How:
    """How intervals are made."""

    ci_prob: float
    replicates: int
    random_seed: int

    def weights(self, clusters: int) -> Floats:
        # The same clusters get the same draws, whatever else is in the table.
        rng = np.random.default_rng([self.random_seed, clusters])
        return cluster_weights(clusters, self.replicates, rng)


def agreement(
    ratings: pd.DataFrame,
    human: pd.DataFrame | None = None,
    *,
    ci_prob: float = 0.95,
    levels: Sequence[Level] = LEVELS,
    pairs: bool = True,
    bootstrap: int = 1000,
    random_seed: int = 1,
) -> pd.DataFrame:
    """Return how far raters agree, per construct, level and set of raters.

    Parameters
    ----------
    ratings
        Ratings of LLMs (or of anyone), as :func:`~bayesdyn.tables.check_ratings` takes them.
    human
        Ratings of human coders of (some of) the same exchanges. Rows of ``ratings`` whose ``rater_kind`` is
        ``human`` count as human too.
    ci_prob
        Probability of the intervals, between 0 and 1.
    levels
        Some of ``exchange``, ``session``, ``dyad``: single exchanges, or the means of those exchanges of a
        session or dyad that all raters of the panel rated.
    pairs
        Compare each pair of raters too. Their number grows with the square of the raters.
    bootstrap
        Replicates of the cluster bootstrap, which draws whole dyads with replacement; 0: none.
    random_seed
        Seed of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        One row per construct, level, panel and statistic. ``panel`` is ``all LLM``, ``all human``,
        ``all raters``, ``mean of humans, mean of LLMs``, or a pair of raters; ``kind`` is ``LLM - LLM``,
        ``human - human`` or ``human - LLM``. ``statistic`` is one of

        - McGraw & Wong's ``ICC(1)``, ``ICC(A,1)``, ``ICC(C,1)``, ``ICC(1,k)``, ``ICC(A,k)``, ``ICC(C,k)``,
          with Shrout & Fleiss's name in ``shrout_fleiss``, on the exchanges that all rated; and the same
          with `` REML`` behind, on all ratings, where some are missing (exchange level);
        - ``alpha nominal``, ``alpha ordinal``, ``alpha interval``: Krippendorff's, on all ratings;
        - ``kappa Fleiss``; for a pair ``kappa`` (Cohen's), ``kappa quadratic``;
        - for a pair ``pearson``, ``spearman``, and Bland & Altman's ``bias`` (first minus second),
          ``limit lower``, ``limit upper`` in the scale's units.

        Kappas and the nominal and ordinal alpha are on all points of the scale, each rating at the nearest,
        at exchange level, and need ``scale_min`` and ``scale_max``. ``lower`` and ``upper`` take exchanges
        as independent; ``cluster_lower`` and ``cluster_upper`` (percentiles, equal-tailed) do not, and are
        the ones to report for exchanges nested in dyads. ``n`` items, ``k`` raters, ``dyads`` they are of,
        ``dropped``: exchanges that only some raters of the panel rated. Undefined values are NaN and
        ``note`` says why.

    Raises
    ------
    InputError
        Faults of the tables; options that cannot be; a rater in both tables; fewer than two raters; no
        exchange in common.

    Notes
    -----
    An LLM-human coefficient is not the LLM's reliability: the coder errs too. The bootstrap takes the raters
    as given, while ICC(A, .)'s own interval takes them as a sample of raters. The formulae are our own, so
    that whole dyads can be bootstrapped by sums (:mod:`bayesdyn.measures.agreeing`); the tests check them
    against R psych and lme4, scikit-learn, statsmodels and krippendorff.
    """
    how = _How(ci_prob, bootstrap, random_seed)
    faults = FaultList()
    if not 0 < ci_prob < 1:
        faults.add(f"ci_prob is {ci_prob}", "Give a probability between 0 and 1, such as 0.95")
    if bootstrap < 0:
        faults.add(f"bootstrap is {bootstrap}", "Give a number of replicates, or 0 for none")
    for level in levels:
        if level not in LEVELS:
            faults.add(f"level {level!r} is not known", f"Use some of {', '.join(LEVELS)}")
    table, kinds = one_table(ratings, human, faults)
    rows: list[dict[str, object]] = []
    for construct, part in table.groupby("construct", sort=True):
        wide = part.pivot_table(index=KEY, columns="rater", values="value", aggfunc="mean")
        scale = scale_of(part)
        for panel in panels_of(wide, kinds, scale, levels, pairs=pairs):
            rows.extend(_rows(str(construct), panel, how))
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(construct: str, panel: Panel, how: _How) -> list[dict[str, object]]:
    rated = np.isfinite(panel.values)
    whole = rated.all(axis=1)
    complete, dyad = panel.values[whole], panel.dyad[whole]
    dyads = len(np.unique(dyad))
    found: list[tuple[Coefficient, tuple[float, float], int]] = []
    if len(complete) >= _FEWEST:
        found += _of_complete(panel, complete, dyad, how)
    if panel.level == "exchange" or not found:
        found += _of_all(panel, rated, how)
    return [
        {
            "construct": construct, "level": panel.level, "panel": panel.name, "kind": panel.kind,
            "raters": ", ".join(panel.raters), "statistic": c.statistic,
            "shrout_fleiss": SHROUT_FLEISS.get(c.statistic.removesuffix(" REML"), ""),
            "estimate": c.estimate, "lower": c.lower, "upper": c.upper,
            "cluster_lower": cluster[0], "cluster_upper": cluster[1], "ci_prob": how.ci_prob,
            "F": c.F, "df1": c.df1, "df2": c.df2, "p": c.p, "n": n, "k": len(panel.raters), "dyads": dyads,
            "dropped": panel.dropped, "note": _note(c, len(complete), dyads if how.replicates else _ENOUGH),
        }
        for c, cluster, n in found
    ]  # fmt: skip


def _note(found: Coefficient, complete: int, dyads: int) -> str:
    if np.isnan(found.estimate):
        if complete < _FEWEST:
            return f"fewer than {_FEWEST} items rated by all"
        return "no variance, or no disagreement at all: undefined"
    if dyads < FEWEST_CLUSTERS:
        return f"fewer than {FEWEST_CLUSTERS} dyads: no cluster bootstrap"
    return f"fewer than {_ENOUGH} dyads: cluster intervals are narrow" if dyads < _ENOUGH else ""


def _of_complete(
    panel: Panel, values: Floats, dyad: NDArray[np.int64], how: _How
) -> list[tuple[Coefficient, tuple[float, float], int]]:
    """Return the coefficients of the items that all raters rated."""
    clusters = np.unique(dyad, return_inverse=True)[1].astype(np.int64)
    weights = _weights(clusters, how)
    several: list[tuple[list[Coefficient], Family]] = [(intraclass(values, how.ci_prob), family_of(values))]
    if panel.level == "exchange" and panel.scale is not None:
        points, size = points_of(values, *panel.scale), _points(panel.scale)
        several.append(_without_interval(fleiss(points, size)))
        if len(panel.raters) == 2:
            several.append(kappas(points, size, how.ci_prob))
    spearmans: list[Coefficient] = []
    if len(panel.raters) == 2:
        one, family = pearson(values, how.ci_prob)
        several += [([one], family), differences(values, how.ci_prob)]
        spearmans = [spearman(values, how.ci_prob)]
    found = [item for one in several for item in _with_bootstrap(one, clusters, weights, len(values), how)]
    for one in spearmans:
        drawn = (NAN, NAN)
        if weights is not None and not np.isnan(one.estimate):
            drawn = bootstrap_spearman(values, clusters, weights, how.ci_prob)
        found.append((one, drawn, len(values)))
    return found


def _of_all(
    panel: Panel, rated: NDArray[np.bool_], how: _How
) -> list[tuple[Coefficient, tuple[float, float], int]]:
    """Return the coefficients that missing ratings do not stop."""
    twice = rated.sum(axis=1) >= 2
    if twice.sum() < _FEWEST:
        return [(Coefficient("ICC(A,1)", NAN), (NAN, NAN), int(twice.sum()))]
    values, dyad = panel.values[twice], panel.dyad[twice]
    clusters = np.unique(dyad, return_inverse=True)[1].astype(np.int64)
    low, high = panel.scale or (0.0, 1.0)
    family = alphas(values, points_of(values, low, high), _points((low, high)))
    coefficients, _ = _without_interval(family)
    if panel.scale is None:
        coefficients = [one for one in coefficients if one.statistic == "alpha interval"]
    weights = _weights(clusters, how)
    found = _with_bootstrap((coefficients, family), clusters, weights, len(values), how)
    if not rated.all():
        every = incomplete_icc(panel.values, how.ci_prob)
        found += [(one, (NAN, NAN), len(panel.values)) for one in every]
    return found


def _with_bootstrap(
    several: tuple[list[Coefficient], Family],
    clusters: NDArray[np.int64],
    weights: Floats | None,
    n: int,
    how: _How,
) -> list[tuple[Coefficient, tuple[float, float], int]]:
    coefficients, family = several
    drawn = {} if weights is None else bootstrap(family, clusters, weights, how.ci_prob)
    nothing = (NAN, NAN)
    return [
        (one, nothing if np.isnan(one.estimate) else drawn.get(one.statistic, nothing), n)
        for one in coefficients
    ]


def _without_interval(family: Family) -> tuple[list[Coefficient], Family]:
    return [Coefficient(name, value) for name, value in family.whole().items()], family


def _weights(clusters: NDArray[np.int64], how: _How) -> Floats | None:
    count = int(clusters.max()) + 1
    return how.weights(count) if how.replicates and count >= FEWEST_CLUSTERS else None


def _points(scale: tuple[float, float]) -> int:
    return round(scale[1] - scale[0]) + 1
