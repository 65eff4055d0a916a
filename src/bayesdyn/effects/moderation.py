"""Simple slopes: what a construct does to an outcome at chosen values of its moderators."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.effects.asking import check_at, check_ci_prob, described, find_factor, is_finite
from bayesdyn.effects.equations import Equations, equations_of
from bayesdyn.errors import FaultList
from bayesdyn.fitting.bands import COLUMNS, interval_attrs, row
from bayesdyn.fitting.units import check_units
from bayesdyn.structure.language.spec import Factor, Term

PLACES = (-1.0, 0.0, 1.0)


def simple_slopes(
    fit: xr.DataTree,
    path: str | None = None,
    *,
    at: Mapping[str, float | Sequence[float]] | None = None,
    ci_prob: float = 0.95,
    units: str = "standard",
) -> pd.DataFrame:
    """Return the slope of an outcome on a predictor at chosen values of its moderators.

    The slope is the derivative of the equation by the predictor, draw by draw: its own path plus each
    product's path times the values of the other factors (Aiken & West 1991, Multiple Regression, chapters 2
    and 4). With x:r and x:r:p in the model that is ``b_x + b_xr r + b_xp p + b_xrp r p``.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    path
        ``outcome ~ predictor``, e.g. ``disclosure ~ empathy``; None gives every slope that a
        product moderates, the predictor chosen by :func:`predictor_of`.
    at
        For each moderator a value or several, standardised and centred as the model centres them; all
        combinations are told. A construct not named is taken at -1, 0 and 1, a covariate at its mean and one
        SD about it.
    ci_prob
        Probability of the equal-tailed credible interval.
    units
        ``standard``, as the fit is standardised; ``raw``: points of the outcome's rating scale per point of
        the predictor's. Moderators (``at``) stay standardised.

    Returns
    -------
    pandas.DataFrame
        One row per slope and combination: ``path, at`` (in words), one column per moderator (NaN where
        it does not moderate that slope), ``mean, sd, lower, upper, prob_positive``. ``attrs``
        hold ``ci_prob``, ``ci_kind`` and ``units``.

    Raises
    ------
    InputError
        An unknown slope, moderator or probability; a slope that nothing moderates.
    """
    equations, asked = equations_of(fit), {name: _several(value) for name, value in (at or {}).items()}
    faults = FaultList()
    for name, values in asked.items():
        # One fault for each moderator. No value at all is a fault too, and NaN stands for it.
        wrong = [value for value in values if not is_finite(value)]
        check_at({name: [*wrong, *values, float("nan")][0]}, equations, faults)
    check_ci_prob(ci_prob, faults)
    check_units(units, faults)
    chosen = moderated(equations) if path is None else [find_factor(path, equations, faults)]
    chosen = [slope for slope in chosen if slope is not None]
    for outcome, factor in chosen:
        require_moderators(equations, outcome, factor, faults)
    faults.raise_if_any("Cannot tell simple slopes")
    given = {name: tuple(map(float, values)) for name, values in asked.items()}
    rows: list[dict[str, object]] = []
    columns: dict[str, None] = {}
    for outcome, factor in chosen:
        moderators = equations.moderators_of(outcome, factor)
        columns |= dict.fromkeys(moderators)
        places = [_places(equations, name, one, given) for name, one in moderators.items()]
        for values in product(*places):
            held = dict(zip(moderators, values, strict=True))
            unit = equations.unit(outcome, factor.name, units)
            slope = row(unit * equations.slope(outcome, factor, held), ci_prob)
            words = described(moderators, equations, held)
            rows.append({"path": f"{outcome} ~ {factor}", "at": words, **held, **slope})
    table = pd.DataFrame(rows, columns=["path", "at", *columns, *COLUMNS])
    table.attrs = interval_attrs(ci_prob, units)
    return table


def require_moderators(equations: Equations, outcome: str, factor: Factor, faults: FaultList) -> None:
    """Note a slope that nothing moderates."""
    if not equations.moderators_of(outcome, factor):
        remedy = f"Its one value is in bayesdyn.summary; a moderation is written {factor}:moderator"
        faults.add(f"nothing moderates {outcome} ~ {factor}", remedy)


def predictor_of(equations: Equations, term: Term) -> Factor:
    """Return the factor of a product whose slope is told where nobody says which.

    It is the first construct that the therapist or the client shows, else the first construct, else the
    first factor; a mean has no slope within sessions, so it is never one.
    """

    def rank(factor: Factor) -> tuple[bool, bool]:
        return factor.name not in equations.constructs, equations.spec.party(factor.name) == "dyad"

    return min((factor for factor in term.factors if factor.kind != "mean"), key=rank)


def moderated(equations: Equations) -> list[tuple[str, Factor]]:
    """Return the outcome and the predictor of every product, each pair once, in the order of the model."""
    products = [path for path in equations.paths if len(path.term.factors) > 1]
    return list(dict.fromkeys((path.outcome, predictor_of(equations, path.term)) for path in products))


def _places(
    equations: Equations, name: str, factor: Factor, given: Mapping[str, Sequence[float]]
) -> Sequence[float]:
    if name in given:
        return given[name]
    if factor.kind == "lag" and factor.name in given:
        return given[factor.name]
    if factor.name in equations.constructs:
        return PLACES
    return [equations.centre[factor.name] + place * equations.spread[factor.name] for place in PLACES]


def _several(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(np.atleast_1d(np.asarray(value, dtype=object)).ravel())
