"""Where along a moderator a slope's credible interval excludes zero."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import brentq

from bayesdyn.effects.asking import check_at, check_ci_prob, check_name, described, find_factor, is_finite
from bayesdyn.effects.equations import Equations, equations_of
from bayesdyn.effects.moderation import moderated, require_moderators
from bayesdyn.errors import FaultList
from bayesdyn.fitting.bands import band, interval_attrs
from bayesdyn.structure.language.spec import Factor

_POINTS = 401


@dataclass(frozen=True)
class JohnsonNeyman:
    """Where along a moderator a slope's credible interval excludes zero.

    Attributes
    ----------
    path, moderator
        The slope, as ``outcome ~ predictor``, and what it is looked at along, spelled as in the model.
    at
        Where the other moderators are held, in words; empty where there are none.
    band
        One row per value of the moderator: ``value, mean, sd, lower, upper, prob_positive``.
    regions
        One row per stretch of values whose interval excludes zero: ``start, stop, sign`` (positive or
        negative). A stretch that begins or stops at an end of what was looked at may go on beyond it.
    ci_prob
        Probability of the equal-tailed interval.
    """

    path: str
    moderator: str
    at: str
    band: pd.DataFrame
    regions: pd.DataFrame
    ci_prob: float


def johnson_neyman(
    fit: xr.DataTree,
    path: str,
    moderator: str | None = None,
    *,
    at: Mapping[str, float] | None = None,
    between: tuple[float, float] = (-3.0, 3.0),
    ci_prob: float = 0.95,
) -> JohnsonNeyman:
    """Return a slope along a moderator, and the values of the moderator where its interval excludes zero.

    The regions of Johnson & Neyman (1936, Statistical Research Memoirs 1, 57; Bauer & Curran 2005,
    Multivariate Behavioral Research 40, 373) with the posterior's interval in the place of a test: the
    bounds are where a quantile of the slope's draws is zero. The intervals hold value by value and not for
    the whole line at once.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    path
        ``outcome ~ predictor``, e.g. ``disclosure ~ empathy``.
    moderator
        Its spelling in the model; needed where there are several.
    at
        Values of the other moderators; their centre where not named. They stay there all along, a lag of the
        moderator too.
    between
        The lowest and highest value to look at. Beyond what was observed the line is an extrapolation.
    ci_prob
        Probability of the equal-tailed credible interval.

    Returns
    -------
    JohnsonNeyman
        The band at 401 values, and the regions. Bounds are exact between two of those values; a region
        narrower than their distance may be missed.

    Raises
    ------
    InputError
        An unknown slope or moderator, several moderators and none named, bounds out of order, a
        probability outside (0, 1).
    """
    equations, at = equations_of(fit), dict(at or {})
    outcome, factor, along = _asked(equations, path, moderator, at, between, ci_prob)
    held = equations.held(outcome, factor, along, at)

    def draws(value: float) -> np.ndarray:
        return equations.slope(outcome, factor, {**held, along: value})

    def lower(value: float) -> float:
        return float(np.quantile(draws(value), (1 - ci_prob) / 2))

    def below(value: float) -> float:
        # The interval is below zero where its upper end, turned round, is positive.
        return -float(np.quantile(draws(value), (1 + ci_prob) / 2))

    grid = np.linspace(*between, _POINTS)
    regions = [(*ends, "positive") for ends in _positive(grid, lower)]
    regions += [(*ends, "negative") for ends in _positive(grid, below)]
    others = {name: one for name, one in equations.moderators_of(outcome, factor).items() if name in held}
    return JohnsonNeyman(
        path=f"{outcome} ~ {factor}",
        moderator=along,
        at=described(others, equations, held),
        band=pd.DataFrame({"value": grid, **band(np.column_stack([draws(v) for v in grid]), ci_prob)}),
        regions=pd.DataFrame(sorted(regions), columns=["start", "stop", "sign"]),
        ci_prob=ci_prob,
    )


def moderated_slopes(equations: Equations) -> list[tuple[str, str]]:
    """Return each slope that a product moderates with each of its moderators, in the order of the model."""
    return [
        (f"{outcome} ~ {factor}", name)
        for outcome, factor in moderated(equations)
        for name, one in equations.moderators_of(outcome, factor).items()
        # A factor that multiplies itself is a curve, and no moderation.
        if one != factor
    ]


def region_table(
    fit: xr.DataTree,
    path: str | None = None,
    moderator: str | None = None,
    *,
    at: Mapping[str, float] | None = None,
    between: tuple[float, float] = (-3.0, 3.0),
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """Return the regions of :func:`johnson_neyman` for every moderated slope, or for those that are named.

    Parameters
    ----------
    fit, path, moderator, at, between, ci_prob
        As in :func:`johnson_neyman`; None stands for every slope, and for each of its moderators.

    Returns
    -------
    pandas.DataFrame
        One row per region: ``path, moderator, at, start, stop, sign``. Where the interval excludes zero
        nowhere there is one row, with the sign ``none``.

    Raises
    ------
    InputError
        As :func:`johnson_neyman`.
    """
    columns = ["path", "moderator", "at", "start", "stop", "sign"]
    rows: list[tuple[object, ...]] = []
    for found in _every(fit, path, moderator, at, between, ci_prob):
        lead = (found.path, found.moderator, found.at)
        rows += [(*lead, *region) for region in found.regions.itertuples(index=False)]
        if found.regions.empty:
            rows.append((*lead, float("nan"), float("nan"), "none"))
    table = pd.DataFrame(rows, columns=columns)
    table.attrs = {**interval_attrs(ci_prob), "between": between}
    return table


def band_table(
    fit: xr.DataTree,
    path: str | None = None,
    moderator: str | None = None,
    *,
    at: Mapping[str, float] | None = None,
    between: tuple[float, float] = (-3.0, 3.0),
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """Return the bands of :func:`johnson_neyman` for every moderated slope, or for those that are named.

    Parameters
    ----------
    fit, path, moderator, at, between, ci_prob
        As in :func:`region_table`.

    Returns
    -------
    pandas.DataFrame
        One row per slope, moderator and value of it: ``path, moderator, at, value, mean, sd, lower, upper,
        prob_positive``, 401 values for each.

    Raises
    ------
    InputError
        As :func:`johnson_neyman`.
    """
    tables = []
    for found in _every(fit, path, moderator, at, between, ci_prob):
        lead = {"path": found.path, "moderator": found.moderator, "at": found.at}
        tables.append(found.band.assign(**lead)[[*lead, *found.band.columns]])
    table = pd.concat(tables, ignore_index=True)
    table.attrs = {**interval_attrs(ci_prob), "between": between}
    return table


def _every(
    fit: xr.DataTree,
    path: str | None,
    moderator: str | None,
    at: Mapping[str, float] | None,
    between: tuple[float, float],
    ci_prob: float,
) -> list[JohnsonNeyman]:
    """Return every moderated slope along each of its moderators, or those that are named."""
    every = moderated_slopes(equations_of(fit))
    faults = FaultList()
    if not every:
        faults.add("no product is in this model", "A moderation is written empathy:rapport")
    elif moderator is not None:
        check_name(moderator, dict.fromkeys(along for _, along in every), "moderator", faults)
    faults.raise_if_any("Cannot look along a moderator")
    asked = [pair for pair in every if path in (None, pair[0]) and moderator in (None, pair[1])]
    # A slope that is not listed is left to johnson_neyman: it takes other predictors, and says what there is.
    asked = asked or [(path or "", moderator or "")]
    told = []
    for slope, along in asked:
        held = {name: value for name, value in (at or {}).items() if name != along or len(asked) == 1}
        told.append(johnson_neyman(fit, slope, along or None, at=held, between=between, ci_prob=ci_prob))
    return told


def _asked(
    equations: Equations,
    path: str,
    moderator: str | None,
    at: Mapping[str, float],
    between: tuple[float, float],
    ci_prob: float,
) -> tuple[str, Factor, str]:
    """Return outcome, predictor and moderator of what was asked for, all faults gathered."""
    faults = FaultList()
    check_at(at, equations, faults)
    check_ci_prob(ci_prob, faults)
    ends = tuple(between)
    if len(ends) != 2 or not all(map(is_finite, ends)) or not ends[0] < ends[1]:
        faults.add(f"between is {between}", "Give two numbers, the lower value first, e.g. (-3, 3)")
    found = find_factor(path, equations, faults)
    moderators = equations.moderators_of(*found) if found else {}
    if found:
        require_moderators(equations, *found, faults)
    if moderators and moderator is not None:
        check_name(moderator, moderators, "moderator of that slope", faults)
    elif len(moderators) > 1:
        faults.add(f"{path!r} has several moderators", f"Name one of {', '.join(moderators)}")
    # Where there is one moderator, it is the one that is meant.
    along = moderator if moderator is not None or len(moderators) != 1 else next(iter(moderators))
    if along in at:
        faults.add(f"{along} is held at a value and looked along", "Leave it out of at")
    faults.raise_if_any("Cannot look along a moderator")
    assert found is not None, "there was a fault else"
    assert along is not None, "and then too"
    return *found, along


def _positive(grid: np.ndarray, height: Callable[[float], float]) -> list[tuple[float, float]]:
    """Return the stretches of a grid where a continuous height is above 0, ends to machine precision."""
    heights = [height(value) for value in grid]
    ends = [grid[0]] if heights[0] > 0 else []
    for left, right, at_left, at_right in zip(grid, grid[1:], heights, heights[1:], strict=False):
        if (at_left > 0) != (at_right > 0):
            ends.append(left if at_left == 0 else right if at_right == 0 else brentq(height, left, right))
    if heights[-1] > 0:
        ends.append(grid[-1])
    return [(float(start), float(stop)) for start, stop in zip(ends[::2], ends[1::2], strict=True)]
