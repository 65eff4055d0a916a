"""Simple slopes: what a behaviour does to an outcome at each level of its moderator."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdyn.effects.bands import band, row
from bayesdyn.effects.equations import Equations, equations_of
from bayesdyn.effects.moderation import PLACES, predictor_of
from bayesdyn.structure.spec import Factor

__all__ = ["CI_PROB", "PLACES", "SlopeLine", "SlopePoint", "simple_slopes"]

CI_PROB = 0.95
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
        The same at -1, 0 and +1.
    """

    outcome: str
    behaviour: str
    moderator: str
    grid: np.ndarray
    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    points: tuple[SlopePoint, ...]


def simple_slopes(fit: xr.DataTree) -> list[SlopeLine]:
    """Return one line per product of two factors in the written paths of a fit.

    Which factor is the behaviour is said by :func:`bayesdyn.effects.moderation.predictor_of`; the other one
    is the moderator. The slopes are those of :func:`bayesdyn.effects.simple_slopes`: another moderator of the
    same behaviour is held at its centre.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    """
    equations = equations_of(fit)
    lines = []
    for path in equations.paths:
        factors = path.term.factors
        # A factor that multiplies itself is a curve, and no moderation.
        if len(factors) == 2 and factors[0] != factors[1]:
            behaviour = predictor_of(equations, path.term)
            moderator = factors[1] if behaviour == factors[0] else factors[0]
            lines.append(_line(equations, path.outcome, behaviour, str(moderator)))
    return lines


def _line(equations: Equations, outcome: str, behaviour: Factor, moderator: str) -> SlopeLine:
    def slope(place: float) -> np.ndarray:
        return equations.slope(outcome, behaviour, {moderator: place})

    def point(place: float) -> SlopePoint:
        told = row(slope(place), CI_PROB)
        return SlopePoint(place, told["mean"], told["lower"], told["upper"], told["prob_positive"])

    line = band(np.column_stack([slope(place) for place in _GRID]), CI_PROB)
    return SlopeLine(
        outcome,
        str(behaviour),
        moderator,
        _GRID,
        line["mean"],
        line["lower"],
        line["upper"],
        tuple(point(place) for place in PLACES),
    )
