"""Simple slopes: what a behaviour does to an outcome at each level of its moderator."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdyn.fitting.fits import flat, posterior_of, spec_of
from bayesdyn.structure.spec import Factor, ModelSpec, Term

CI_PROB = 0.95
PLACES = (-1.0, 0.0, 1.0)
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

    The moderator is the factor that the dyad shows (rapport), else the second one. The slope at level m is
    the behaviour's own path plus m times the product's path, draw by draw; another moderator of the same
    behaviour is held at 0, its centre.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    """
    spec, path = spec_of(fit), posterior_of(fit)["path"]
    draws = dict(zip(map(str, path["path_name"].values), flat(path).T, strict=True))
    lines = []
    for written in spec.paths:
        if len(written.term.factors) != 2:
            continue
        behaviour, moderator = _roles(spec, written.term)
        if not behaviour:
            continue
        product = draws[written.name]
        own = draws.get(f"{written.outcome} ~ {behaviour}", np.zeros_like(product))
        lines.append(_line(written.outcome, behaviour, moderator, own, product))
    return lines


def _roles(spec: ModelSpec, term: Term) -> tuple[str, str]:
    """Return behaviour and moderator as written; empty where a factor multiplies itself (a curve)."""
    first, second = term.factors
    if first == second:
        return "", ""
    if _is_dyad(spec, first) and not _is_dyad(spec, second):
        first, second = second, first
    return str(first), str(second)


def _is_dyad(spec: ModelSpec, factor: Factor) -> bool:
    return spec.party(factor.name) == "dyad"


def _line(outcome: str, behaviour: str, moderator: str, own: np.ndarray, product: np.ndarray) -> SlopeLine:
    mean, lower, upper = _band(own[:, None] + product[:, None] * _GRID)
    points = []
    for place in PLACES:
        slope = own + place * product
        centre, low, high = _band(slope[:, None])
        points.append(
            SlopePoint(place, float(centre[0]), float(low[0]), float(high[0]), float((slope > 0).mean()))
        )
    return SlopeLine(outcome, behaviour, moderator, _GRID, mean, lower, upper, tuple(points))


def _band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tail = (1 - CI_PROB) / 2
    lower, upper = np.quantile(values, [tail, 1 - tail], axis=0)
    return values.mean(axis=0), lower, upper
