"""Differential error: does a rater's error go with a covariate? Then a path may be that error and no effect.

On the scale of the true score, rating minus what others say of the same exchange holds no true score in
expectation, whatever the covariate; its slope on the covariate is the rater's bias against theirs. LLMs are
compared with human coders where those rated enough exchanges: that tells the bias itself. Without them a
rater is compared with the other raters, and a bias that all share is not seen.

The true score cancels at true discriminations. At estimated ones some is left and goes with whatever the true
score goes with, so the variance of the slope over posterior draws of discriminations and means is added to
that of the regression (:mod:`bayesdyn.measures.differing.clustered`). Where all come from the same exchanges
the sum is somewhat too large: tests keep below their level. A rater's bias that goes with the true score as
well (their covariate correlates r) is in part read as discrimination, and the slope is smaller than the bias
by up to r^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from bayesdyn.measures.dataset import Notes
from bayesdyn.measures.differing.clustered import FEWEST_CLUSTERS, FEWEST_ROWS, clustered_slopes
from bayesdyn.measures.differing.contrasts import Contrast
from bayesdyn.measures.gathering.cells import Cells
from bayesdyn.measures.modelled import Modelled
from bayesdyn.measures.rater.parts import Part
from bayesdyn.measures.rater.scale import Scale, kept_draws

type Floats = NDArray[np.float64]

LEVEL, SIZE = 0.05, 0.1
"""Family-wise level of the warnings (Holm 1979), and size in SDs of the true score per SD of a covariate."""

_MANY = "the other raters"
_HUMANS = "the human coders"


@dataclass(frozen=True)
class Panel:
    """The raters of one construct and what the rater model says of them.

    Attributes
    ----------
    construct, raters
        Labels.
    human
        (rater,) who is human.
    value
        (exchange, rater) ratings, NaN where unrated.
    weight
        (exchange,) of comparisons with humans: 1 over the probability of being coded, up to a factor.
    mean, discrimination
        (rater,) mean rating where the true score is at its mean, and loading on the true score.
    precision
        (rater,) squared discrimination over own error variance: how much a rater counts among others.
    mean_draws, discrimination_draws
        (draw, rater) the same of posterior draws.
    true_sd
        SD of the true score.
    """

    construct: str
    raters: tuple[str, ...]
    human: NDArray[np.bool_]
    value: Floats
    weight: Floats
    mean: Floats
    discrimination: Floats
    precision: Floats
    mean_draws: Floats
    discrimination_draws: Floats
    true_sd: float


@dataclass(frozen=True)
class Slopes:
    """Slopes of a construct's raters, (covariate, rater), NaN where nothing tells them.

    ``bias`` in scale points of the true score, ``se`` and ``df`` of a t distribution; ``against`` says for
    each rater whom it is compared with, empty where with nobody, and ``tested`` whether it counts as a test
    of its own: of a pair, only one does.
    """

    bias: Floats
    se: Floats
    df: Floats
    against: tuple[str, ...]
    tested: tuple[bool, ...]

    @property
    def p(self) -> Floats:
        """Two-sided p of no bias."""
        return 2 * stats.t.sf(np.abs(self.bias / self.se), self.df)

    def bound(self, probability: float) -> Floats:
        """Return a quantile of each bias."""
        return self.bias + self.se * stats.t.ppf(probability, self.df)


def panel_of(cells: Cells, part: Part, scale: Scale) -> Panel:
    """Return a construct's panel from its fitted rater model."""
    at, kept = scale.at(None), kept_draws(scale)
    return Panel(
        construct=part.construct,
        raters=tuple(cells.raters[r] for r in part.raters),
        human=part.human,
        value=part.value,
        weight=np.ones(len(part.value)) if part.weight is None else part.weight,
        mean=at.mean + at.severity,
        discrimination=at.discrimination,
        precision=np.square(at.discrimination / at.sigma),
        mean_draws=scale.mean[kept, None] + scale.severity[kept],
        discrimination_draws=scale.discrimination[kept],
        true_sd=float(np.sqrt(at.variance)),
    )


def differential_slopes(panel: Panel, contrasts: Sequence[Contrast], dyad: NDArray[np.int64]) -> Slopes:
    """Return the slope of each rater's error on each covariate, each covariate on its own.

    Parameters
    ----------
    panel, contrasts
        One construct's raters; the covariates.
    dyad
        (exchange,) labels, exchanges of one dyad together: their errors may be alike.
    """
    size = (len(contrasts), len(panel.raters))
    bias, se, df = (np.full(size, np.nan) for _ in range(3))
    if not contrasts:
        return Slopes(bias, se, df, ("",) * size[1], (False,) * size[1])
    others = [_others(panel, r, dyad) for r in range(size[1])]
    x = np.column_stack([contrast.value for contrast in contrasts])
    standard = (panel.value - panel.mean) / panel.discrimination
    rated = np.isfinite(standard)
    standard = np.where(rated, standard, 0.0)
    stretch = panel.discrimination / panel.discrimination_draws
    shift = (panel.mean_draws - panel.mean) / panel.discrimination_draws
    for r, whom in enumerate(others):
        rows = np.flatnonzero(rated[:, r] & rated[:, whom].any(axis=1)) if whom.any() else np.arange(0)
        if len(rows) < FEWEST_ROWS:
            continue
        share = rated[rows] * np.where(whom, panel.precision, 0.0)
        share /= -share.sum(axis=1, keepdims=True)
        share[:, r] = 1.0
        pieces = share * standard[rows]
        weight = panel.weight[rows] if _named(panel, r, whom) == _HUMANS else np.ones(len(rows))
        found = clustered_slopes(pieces.sum(axis=1), x[rows], weight, dyad[rows], np.hstack([pieces, share]))
        # The difference is linear in 1 / discrimination and mean / discrimination, so the slope at every draw
        # follows from slopes of its pieces.
        ratings, shares = np.split(found.parts, 2, axis=1)
        leak = np.var(ratings @ stretch.T - shares @ shift.T, axis=1, ddof=1)
        bias[:, r], se[:, r] = found.slope, np.sqrt(found.variance + leak)
        df[:, r] = found.df * np.square((found.variance + leak) / found.variance)
    against = tuple(_named(panel, r, whom) for r, whom in enumerate(others))
    return Slopes(bias, se, df, against, tuple(not _mirrored(others, r) for r in range(size[1])))


def _others(panel: Panel, r: int, dyad: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whom a rater is compared with: the coders, if enough exchanges, else raters of its own kind."""
    mine = np.isfinite(panel.value[:, r])
    if not panel.human[r] and panel.human.any():
        coded = mine & np.isfinite(panel.value[:, panel.human]).any(axis=1)
        if coded.sum() >= FEWEST_ROWS and len(np.unique(dyad[coded])) >= FEWEST_CLUSTERS:
            return panel.human.copy()
    found = panel.human == panel.human[r]
    found[r] = False
    return found


def _mirrored(others: Sequence[NDArray[np.bool_]], r: int) -> bool:
    """Return whether a rater's only other is an earlier rater whose only other it is itself."""
    first = int(np.argmax(others[r]))
    return bool(others[r].sum() == 1 == others[first].sum() and others[first][r] and first < r)


def _named(panel: Panel, r: int, whom: NDArray[np.bool_]) -> str:
    if not whom.any():
        return ""
    if not panel.human[r] and panel.human[whom].all():
        return _HUMANS
    return panel.raters[int(np.argmax(whom))] if whom.sum() == 1 else _MANY


def warn_of_slopes(
    panels: Sequence[Panel], contrasts: Sequence[Contrast], slopes: Sequence[Slopes], notes: Notes
) -> None:
    """Warn of biases that are beyond chance, by Holm over the whole study, and of a size that matters."""
    if not contrasts:
        return
    for panel, found in zip(panels, slopes, strict=True):
        head = f"{panel.construct}: whether a rater's error goes with a covariate is"
        if len(panel.raters) == 1:
            notes.add(f"{head} not told: there is one rater.")
        elif np.isnan(found.bias).all():
            notes.add(
                f"{head} not told: fewer than {FEWEST_ROWS} exchanges of {FEWEST_CLUSTERS} dyads have two "
                "raters."
            )
        elif _HUMANS not in found.against:
            notes.add(
                f"{head} told by differences between raters only: a bias that all of them share is not seen."
            )
    family = [
        (float(found.p[j, r]), panel, found, contrast, r, j)
        for panel, found in zip(panels, slopes, strict=True)
        for r in np.flatnonzero(found.tested)
        for j, contrast in enumerate(contrasts)
        if np.isfinite(found.bias[j, r])
    ]
    # Holm: the smallest p against level / m, the next against level / (m - 1), up to the first that fails.
    for place, (p, panel, found, contrast, r, j) in enumerate(sorted(family, key=lambda one: one[0])):
        if p > LEVEL / (len(family) - place):
            return
        size = found.bias[j, r]
        if abs(size) * contrast.sd <= SIZE * panel.true_sd:
            continue
        low, high = found.bound(0.05)[j, r], found.bound(0.95)[j, r]
        notes.add(
            f"Warning: {panel.construct}: rater {panel.raters[r]} rates {'higher' if size > 0 else 'lower'} "
            f"than {found.against[r]} where {contrast.where}: {size:+.2f} scale points {contrast.unit} (90 % "
            f"{low:.2f} to {high:.2f}). A path of {panel.construct} with anything that goes with "
            f"{contrast.name.split(':')[0]} may be this bias."
        )


@dataclass(frozen=True)
class Differential:
    """Slopes of all constructs, (covariate, rater, construct), NaN where nothing tells them."""

    covariates: tuple[str, ...]
    bias: Floats
    lower: Floats
    upper: Floats

    def added_to(self, measures: xr.Dataset) -> xr.Dataset:
        """Return measures with the slopes and their 90 % intervals."""
        dims = ("covariate", "rater", "construct")
        return measures.assign(
            differential_bias=(dims, self.bias),
            differential_bias_lower=(dims, self.lower),
            differential_bias_upper=(dims, self.upper),
        ).assign_coords(covariate=np.array(self.covariates, dtype=object))


def find_differential(
    cells: Cells,
    modelled: Sequence[Modelled],
    contrasts: Sequence[Contrast],
    dyad: NDArray[np.int64],
    notes: Notes,
) -> Differential:
    """Return what is told of differential error in all constructs; what matters goes into the notes."""
    parts = [one.part for one in modelled]
    panels = [panel_of(cells, one.part, one.scale) for one in modelled]
    slopes = [differential_slopes(panel, contrasts, dyad) for panel in panels]
    warn_of_slopes(panels, contrasts, slopes, notes)
    size = (len(contrasts), len(cells.raters), len(parts))
    bias, lower, upper = (np.full(size, np.nan) for _ in range(3))
    for c, (part, found) in enumerate(zip(parts, slopes, strict=True)):
        bias[:, part.raters, c] = found.bias
        lower[:, part.raters, c], upper[:, part.raters, c] = found.bound(0.05), found.bound(0.95)
    return Differential(tuple(one.name for one in contrasts), bias, lower, upper)
