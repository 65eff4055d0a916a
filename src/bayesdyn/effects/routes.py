"""Total, direct and indirect effects of one construct on another within one exchange."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.effects.asking import check_at, check_ci_prob, check_name, described
from bayesdyn.effects.averages import Slopes, mean_of_products, slopes_of
from bayesdyn.effects.equations import Equations, equations_of
from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.fitting.bands import COLUMNS, interval_attrs, row
from bayesdyn.fitting.units import check_units
from bayesdyn.structure.language.spec import Factor

OVER = ("typical", "dyads")


def effects(
    fit: xr.DataTree,
    cause: str | None = None,
    outcome: str | None = None,
    *,
    at: Mapping[str, float] | None = None,
    over: str = "typical",
    ci_prob: float = 0.95,
    units: str = "standard",
) -> pd.DataFrame:
    """Return total, direct and indirect effects of constructs on constructs within one exchange.

    With B the slopes of the equations within one exchange, the moderators held at their values, the total
    effects are ``(I - B)^-1 - I`` (Bollen 1987, Sociological Methodology 17, 37), the direct ones B, and
    the indirect ones what is left. A route is the product of the slopes along it; the routes of a pair add
    up to its total effect. Lags have no part in it: see :func:`bayesdyn.effects.impulse_response`. Where a
    product is on a route, the effect is a slope at the moderators' values: conditional process analysis
    (Preacher, Rucker & Hayes 2007, Multivariate Behavioral Research 42, 185).

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    cause, outcome
        Constructs; None stands for every one.
    at
        Values of the moderators, standardised and centred as the model centres them, by their spelling in
        the model (``rapport``, ``lag(rapport)``, ``mean(rapport)``, ``phase``). Those not named are at their
        centre: 0 for a construct, the mean over the exchanges for a covariate. A lag not named follows its
        construct.
    over
        ``typical``: at the paths themselves, the dyad whose slopes are all average; ``dyads``: the mean
        over all dyads and sessions. The two differ on a route of two or more slopes that vary together: the
        mean of a product has their covariance in it (Kenny, Korchmaros & Bolger 2003, Psychological Methods
        8, 115).
    ci_prob
        Probability of the equal-tailed credible interval.
    units
        ``standard``, as the fit is standardised; ``raw``: points of the outcome's rating scale per point of
        the cause's. Moderators (``at``) stay standardised.

    Returns
    -------
    pandas.DataFrame
        One row per effect: ``cause, outcome, kind`` (total, direct, indirect, route), ``route`` (``empathy
        -> rapport -> disclosure``, empty for the sums), ``at`` (values of the moderators it depends on),
        ``mean, sd, lower, upper, prob_positive``. Direct and indirect rows stand where such a route exists.
        ``attrs`` hold ``ci_prob``, ``ci_kind``, ``units`` and ``over``.

    Raises
    ------
    InputError
        An unknown construct, moderator, setting or probability; no route from the cause to the outcome.
    """
    equations, at = equations_of(fit), at or {}
    _check(equations, cause, outcome, at, over, ci_prob, units)
    varying = slopes_of(fit, equations, at) if over == "dyads" else None
    rows = []
    for one in equations.constructs if cause is None else (cause,):
        for other in equations.constructs if outcome is None else (outcome,):
            routes = list(_routes(equations, one, other))
            if routes:
                unit = equations.unit(other, one, units)
                rows += _pair(equations, routes, at, varying, ci_prob, unit)
    if not rows and (cause or outcome):
        what = f"no path leads from {cause or 'any construct'} to {outcome or 'any construct'} at once"
        remedy = "Effects over lags are impulse responses: bayesdyn.effects.impulse_response"
        raise InputError("There is no such effect", [Fault(what, remedy)])
    table = pd.DataFrame(rows, columns=["cause", "outcome", "kind", "route", "at", *COLUMNS])
    table.attrs = {**interval_attrs(ci_prob, units), "over": over}
    return table


def _check(
    equations: Equations,
    cause: str | None,
    outcome: str | None,
    at: Mapping[str, float],
    over: str,
    ci_prob: float,
    units: str,
) -> None:
    faults = FaultList()
    check_units(units, faults)
    for name in (cause, outcome):
        if name is not None:
            check_name(name, equations.constructs, "construct", faults)
    if over not in OVER:
        faults.add(f"over is {over!r}", f"Use one of {', '.join(OVER)}")
    check_at(at, equations, faults)
    check_ci_prob(ci_prob, faults)
    faults.raise_if_any("Cannot tell effects")


def _routes(equations: Equations, start: str, end: str) -> Iterator[tuple[str, ...]]:
    """Yield every directed route within one exchange; a model has no cycle there, so they end."""
    for following in equations.constructs:
        if not equations.has(following, Factor(start)):
            continue
        if following == end:
            yield (start, end)
        for rest in _routes(equations, following, end):
            yield (start, *rest)


def _pair(
    equations: Equations,
    routes: list[tuple[str, ...]],
    at: Mapping[str, float],
    varying: Slopes | None,
    ci_prob: float,
    unit: float,
) -> list[dict[str, object]]:
    """Return the rows of one cause and one outcome, each draw multiplied by the unit."""
    cause, outcome = routes[0][0], routes[0][-1]
    indirect = [route for route in routes if len(route) > 2]
    total = _sum(equations, routes, at, varying)
    kinds: list[tuple[str, str, np.ndarray, list[tuple[str, ...]]]] = [("total", "", total, routes)]
    direct = np.zeros_like(total)
    if (cause, outcome) in routes:
        direct = equations.slope(outcome, Factor(cause), at)
        kinds.append(("direct", "", direct, [(cause, outcome)]))
    if indirect:
        kinds.append(("indirect", "", total - direct, indirect))
    kinds += [
        ("route", " -> ".join(route), _along(equations, route, at, varying), [route]) for route in indirect
    ]
    return [
        {
            "cause": cause,
            "outcome": outcome,
            "kind": kind,
            "route": shown,
            "at": described(_moderators(equations, used), equations, at),
            **row(unit * draws, ci_prob),
        }
        for kind, shown, draws, used in kinds
    ]


def _sum(
    equations: Equations, routes: list[tuple[str, ...]], at: Mapping[str, float], varying: Slopes | None
) -> np.ndarray:
    """Return (N,) the total effect."""
    if varying is not None:
        return np.sum([_along(equations, route, at, varying) for route in routes], axis=0)
    size = len(equations.constructs)
    total = np.linalg.inv(np.eye(size) - equations.matrix(0, at))
    ends = routes[0][-1], routes[0][0]
    return total[:, equations.constructs.index(ends[0]), equations.constructs.index(ends[1])]


def _along(
    equations: Equations, route: tuple[str, ...], at: Mapping[str, float], varying: Slopes | None
) -> np.ndarray:
    """Return (N,) the effect along one route."""
    steps = list(pairwise(route))
    slopes = [equations.slope(outcome, Factor(cause), at) for cause, outcome in steps]
    if varying is None:
        return np.prod(slopes, axis=0)
    return mean_of_products(slopes, varying.covariance(steps))


def _moderators(equations: Equations, routes: list[tuple[str, ...]]) -> dict[str, Factor]:
    found: dict[str, Factor] = {}
    for route in routes:
        for cause, outcome in pairwise(route):
            found |= equations.moderators_of(outcome, Factor(cause))
    return found
