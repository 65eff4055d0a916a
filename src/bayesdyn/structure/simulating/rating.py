"""Ratings of true scores by the raters of a design: the form of :mod:`bayesdyn.measures.rater.density`.

A rating of exchange i, session s, dyad d by rater r, the k-th time, of one construct:

    y_irk = m + severity_r + g_r (theta_i - m) + h_r z_i + e_irsd + noise_irk

with m the mean true score, z the error that LLMs share (h_r = 0 for humans), of the same parts of dyad,
session and exchange as the true score, and e the rater's own error in three such parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesdyn.structure.simulating.design import Panel
from bayesdyn.structure.simulating.index import Streams
from bayesdyn.structure.simulating.study import Study


@dataclass(frozen=True)
class Rated:
    """What the raters said.

    Attributes
    ----------
    values
        For each rater, (N, C, replicates) values, NaN where unrated.
    asked
        (N, R) who was to rate what.
    moved
        (C,) by how much the scale's shift was moved for the floor, in scale points.
    """

    values: tuple[np.ndarray, ...]
    asked: np.ndarray
    moved: np.ndarray


def rate_study(
    study: Study,
    panel: Panel,
    corr: np.ndarray,
    missing: np.ndarray,
    missing_exchanges: float,
    rng: Streams,
) -> Rated:
    """Return ratings of a study.

    Parameters
    ----------
    study, panel
        True scores of N exchanges, C constructs; R raters.
    corr
        (C, C) correlation of errors across constructs, the same at each level and in the shared error.
    missing, missing_exchanges
        (C,) shares of ratings, and share of exchanges, that are unrated at random.
    rng
        ``rater`` gives the errors, ``coder`` what is coded, ``mask`` and ``gap`` what is unrated.
    """
    raters, root = panel.design.raters, np.linalg.cholesky(corr)
    units = _units(study.index)
    theta = study.shift + study.scale * study.latent
    mean, sd = theta.mean(axis=0), theta.std(axis=0)
    n, size = theta.shape

    def errors(parts: np.ndarray) -> np.ndarray:
        """Return (N, C) errors of variance 1; ``parts`` are those of exchange, session, dyad, (3, C)."""
        draws = [rng.rater.standard_normal((unit.max() + 1, size)) @ root.T for unit in units.values()]
        pairs = zip(np.sqrt(parts), draws, units.values(), strict=True)
        return np.sum([part * draw[unit] for part, draw, unit in pairs], axis=0)

    shared = sd * np.sqrt(panel.shared_error / (1 - panel.shared_error)) * errors(_level_shares(theta, units))
    own = np.repeat(np.array(panel.design.error_levels)[:, None], size, axis=1)
    gap = rng.gap.random((n, 1)) < missing_exchanges
    asked = _asked(panel, units, rng.coder)
    values = []
    for r, rater in enumerate(raters):
        loaded = panel.discrimination[r] * (theta - mean + (0.0 if rater.kind == "human" else shared))
        value = mean + panel.severity[r] + loaded + panel.error_sd[r] * errors(own)
        noise = panel.replicate_sd[r][:, None] * rng.rater.standard_normal((n, size, rater.replicates))
        unrated = gap | (rng.mask.random((n, size)) < missing) | ~asked[:, [r]]
        values.append(np.where(unrated[:, :, None], np.nan, value[:, :, None] + noise))
    return _on_points(values, asked, panel)


def ratings_frame(
    study: Study,
    panel: Panel,
    constructs: tuple[str, ...],
    rated: Rated,
    covariates: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Return long ratings, as :func:`bayesdyn.tables.check_ratings` takes them, with the covariates.

    What humans were not to code has no row, unless nobody else could keep the exchange in the table.
    """
    points = panel.design.points or (np.nan, np.nan)
    keep = rated.asked | panel.human.all()
    frames = []
    for r, (rater, values) in enumerate(zip(panel.design.raters, rated.values, strict=True)):
        row, construct, replicate = (axis.ravel() for axis in np.indices(values.shape))
        frame = pd.DataFrame(
            {
                **{name: study.index[name].to_numpy()[row] for name in ("dyad", "session", "t")},
                "construct": np.array(constructs, dtype=object)[construct],
                "rater": rater.name,
                "replicate": replicate,
                "value": values.ravel(),
                "scale_min": float(points[0]),
                "scale_max": float(points[1]),
                "rater_kind": rater.kind,
                "method": "simulated",
                **{name: value[row] for name, value in covariates.items()},
            }
        )
        frames.append(frame[keep[row, r]])
    return pd.concat(frames, ignore_index=True)


def _on_points(values: list[np.ndarray], asked: np.ndarray, panel: Panel) -> Rated:
    """Move each construct to its floor, round, and hold within the scale."""
    moved = np.zeros(len(panel.floor))
    if panel.design.points is None:
        return Rated(tuple(values), asked, moved)
    low, high = panel.design.points
    for c in np.flatnonzero(panel.floor):
        every = np.concatenate([value[:, c].ravel() for value in values])
        # What lies below half a point above the lowest is rounded to it, or held at it.
        moved[c] = low + 0.5 - np.nanquantile(every, panel.floor[c])
    on_points = [np.clip(np.rint(value + moved[:, None]), low, high) for value in values]
    return Rated(tuple(on_points), asked, moved)


def _asked(panel: Panel, units: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return (N, R) who is to rate what: LLMs all, humans what is chosen, some of it together."""
    unit = units[panel.design.coded_by]
    count, coders = unit.max() + 1, np.flatnonzero(panel.human)
    chosen = rng.permutation(count)[: max(round(panel.design.coded * count), 1)]
    alone = chosen[round(panel.design.overlap * len(chosen)) :]
    coded = np.zeros((count, len(panel.human)), dtype=bool)
    coded[np.ix_(chosen, coders)] = True
    if len(coders):
        coded[np.ix_(alone, coders)] = False
        coded[alone, coders[np.arange(len(alone)) % len(coders)]] = True
    return np.where(panel.human, coded[unit], True)


def _units(index: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return (N,) codes of exchange, session and dyad."""
    return {
        "exchange": np.arange(len(index)),
        "session": pd.factorize(index["label"])[0],
        "dyad": pd.factorize(index["dyad"])[0],
    }


def _level_shares(theta: np.ndarray, units: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (3, C) parts of exchange, session and dyad in the variance of true scores, sum 1.

    Nested analysis of variance (Searle, Casella & McCulloch 1992, Variance Components, section 3.6), with
    the mean sizes of unbalanced groups; a negative part is 0.
    """
    session, dyad = units["session"], units["dyad"]
    n, sessions, dyads = len(theta), session.max() + 1, dyad.max() + 1
    by_session, by_dyad = _means(theta, session), _means(theta, dyad)
    within = np.square(theta - by_session).sum(axis=0) / max(n - sessions, 1)
    of_sessions = np.square(by_session - by_dyad).sum(axis=0) / max(sessions - dyads, 1)
    of_dyads = np.square(by_dyad - theta.mean(axis=0)).sum(axis=0) / max(dyads - 1, 1)
    # A level whose units are those of the one below has no part of its own.
    part_session = (of_sessions - within) * sessions / n if dyads < sessions else 0 * within
    below = of_sessions if dyads < sessions else within
    part_dyad = (of_dyads - below) * dyads / n if dyads > 1 else 0 * within
    parts = np.maximum(np.stack([within, part_session, part_dyad]), 0)
    return parts / parts.sum(axis=0)


def _means(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the mean of each row's unit, in the shape of the values."""
    total = np.zeros((unit.max() + 1, values.shape[1]))
    np.add.at(total, unit, values)
    return (total / np.bincount(unit)[:, None])[unit]
