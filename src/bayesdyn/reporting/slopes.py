"""Simple slopes: what a behaviour does to an outcome at each level of its moderator."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdyn.effects.equations import Equations, equations_of
from bayesdyn.effects.moderation import PLACES
from bayesdyn.effects.neyman import johnson_neyman, moderated_slopes
from bayesdyn.fitting.bands import band, row
from bayesdyn.reporting.words import number

__all__ = ["CI_PROB", "PLACES", "SlopeLine", "SlopePoint", "region_words", "simple_slopes"]

CI_PROB = 0.95
_APART = 0.05
_GRID = np.linspace(-2, 2, 41)


@dataclass(frozen=True)
class SlopePoint:
    """The slope at one level of the moderator: posterior mean, interval, Pr(slope > 0)."""

    at: float
    mean: float
    lower: float
    upper: float
    prob_positive: float


@dataclass(frozen=True)
class SlopeLine:
    """The slope of ``behaviour`` on ``outcome`` over ``moderator``.

    Attributes
    ----------
    outcome, behaviour, moderator
        As the model file spells them.
    grid
        (G,) levels of the moderator, in standard deviations of its latent score.
    mean, lower, upper
        (G,) posterior mean and equal-tailed 95 % band, in standard deviations of the outcome per standard
        deviation of the behaviour.
    points
        The same at -1, 0 and +1, with the probability of a positive slope.
    regions
        ``start, stop, sign`` of each stretch of the grid where the interval excludes zero (Johnson-Neyman).
    """

    outcome: str
    behaviour: str
    moderator: str
    grid: np.ndarray
    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    points: tuple[SlopePoint, ...]
    regions: tuple[tuple[float, float, str], ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What the line is of: outcome, behaviour, moderator."""
        return self.outcome, self.behaviour, self.moderator


def simple_slopes(fit: xr.DataTree, *, regions: bool = True) -> list[SlopeLine]:
    """Return one line per slope that a product moderates and each of its moderators.

    Which factor is the behaviour is said by :func:`bayesdyn.effects.moderation.predictor_of`; the slopes are
    those of :func:`bayesdyn.effects.simple_slopes`: another moderator of the same behaviour is held at its
    centre.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    regions
        Whether to look for the regions, which takes ten times as long as the band.
    """
    equations = equations_of(fit)
    return [_line(fit, equations, path, name, regions) for path, name in moderated_slopes(equations)]


def region_words(line: SlopeLine) -> str:
    """Return where a line's interval excludes zero: ``rapport above 0.31 SD (positive)``."""
    found = []
    for start, stop, sign in line.regions:
        from_end, to_end = start <= _GRID[0], stop >= _GRID[-1]
        if from_end and to_end:
            where = "at all of it"
        elif from_end or to_end:
            where = f"below {number(stop, 2)} SD" if from_end else f"above {number(start, 2)} SD"
        else:
            where = f"from {number(start, 2)} to {number(stop, 2)} SD"
        found.append(f"{line.moderator} {where} ({sign})")
    return "; ".join(found) or f"nowhere along {line.moderator}"


def joined(regions: Iterable[tuple[float, float, str]]) -> tuple[tuple[float, float, str], ...]:
    """Return regions with those of one sign that are less than 0.05 apart as one.

    Where a bound runs along zero, the quantiles of a finite number of draws cross it several times.
    """
    found: list[tuple[float, float, str]] = []
    for start, stop, sign in regions:
        if found and found[-1][2] == sign and start - found[-1][1] < _APART:
            found[-1] = (found[-1][0], stop, sign)
        else:
            found.append((start, stop, sign))
    return tuple(found)


def _line(fit: xr.DataTree, equations: Equations, path: str, moderator: str, regions: bool) -> SlopeLine:
    outcome, _, behaviour = path.partition(" ~ ")
    factors = {str(factor): factor for one in equations.paths for factor in one.term.factors}
    name = factors[moderator].name
    # A construct's SD is 1 and its centre 0; a covariate has its own.
    centre, spread = equations.centre.get(name, 0.0), equations.spread.get(name, 1.0)

    held = equations.held(outcome, factors[behaviour], moderator, {})

    def slope(place: float) -> np.ndarray:
        return equations.slope(outcome, factors[behaviour], {**held, moderator: centre + spread * place})

    def point(place: float) -> SlopePoint:
        told = row(slope(place), CI_PROB)
        return SlopePoint(place, told["mean"], told["lower"], told["upper"], told["prob_positive"])

    line = band(np.column_stack([slope(place) for place in _GRID]), CI_PROB)
    found: tuple[tuple[float, float, str], ...] = ()
    if regions:
        ends = (centre + spread * _GRID[0], centre + spread * _GRID[-1])
        looked = johnson_neyman(fit, path, moderator, between=ends, ci_prob=CI_PROB).regions
        found = joined(
            ((float(start) - centre) / spread, (float(stop) - centre) / spread, str(sign))
            for start, stop, sign in looked.itertuples(index=False)
        )
    return SlopeLine(
        outcome,
        behaviour,
        moderator,
        _GRID,
        line["mean"],
        line["lower"],
        line["upper"],
        tuple(point(place) for place in PLACES),
        found,
    )
