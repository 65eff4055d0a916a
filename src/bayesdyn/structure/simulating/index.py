"""Who met whom when in a simulated study, and its random streams."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bayesdyn.structure.simulating.lengths import Lengths, draw_length

_DYADS_PER_GROUP = 4
_LEAST_STEP = 0.05


@dataclass(frozen=True)
class Size:
    """Number of dyads, of sessions in each, of exchanges in each of these, and of other groups by name."""

    dyads: int
    sessions: Lengths
    exchanges: Lengths
    groups: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Streams:
    """Independent random streams, one for each purpose, so that a choice about one moves no other.

    The first four are the oldest: what is added comes behind them, and old seeds keep their numbers.
    """

    level: np.random.Generator
    state: np.random.Generator
    error: np.random.Generator
    mask: np.random.Generator
    sessions: np.random.Generator
    covariate: np.random.Generator
    kappa: np.random.Generator
    gap: np.random.Generator
    rater: np.random.Generator
    coder: np.random.Generator
    group: np.random.Generator
    time: np.random.Generator


def draw_index(size: Size, crossed: tuple[str, ...], rng: Streams) -> pd.DataFrame:
    """Return one row per exchange: ``dyad``, ``session``, ``t``, ``phase``, ``label``, other groups."""
    counts = [draw_length(size.sessions, rng.sessions) for _ in range(size.dyads)]
    # Padded, so that the order of the labels is the order of time: fits sort by label.
    width, digits = len(str(max(size.dyads - 1, 1))), len(str(max(counts)))
    rows = [
        (f"d{d:0{width}d}", f"{s + 1:0{digits}d}", t, phase)
        for d, count in enumerate(counts)
        for s in range(count)
        for n in [draw_length(size.exchanges, rng.level)]
        for t, phase in enumerate(np.linspace(-0.5, 0.5, n) if n > 1 else [0.0])
    ]
    frame = pd.DataFrame(rows, columns=["dyad", "session", "t", "phase"])
    frame["label"] = frame["dyad"] + ":" + frame["session"]
    of_dyad = pd.factorize(frame["dyad"])[0]
    for name in crossed:
        count = size.groups.get(name, max(2, size.dyads // _DYADS_PER_GROUP))
        digits = len(str(count - 1))
        # Dealt in turn: every group has as many dyads as another, or one more.
        dealt = rng.group.permutation(np.arange(size.dyads) % count)
        frame[name] = [f"{name[0]}{dealt[d]:0{digits}d}" for d in of_dyad]
    return frame


def draw_times(index: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Return the time of each exchange since its session's first (N,): steps of about 1, many short."""
    steps = rng.gamma(2.0, 0.5, len(index)) + _LEAST_STEP
    return (
        pd.Series(np.where(index["t"] == 0, 0.0, steps))
        .groupby(index["label"].to_numpy())
        .cumsum()
        .to_numpy()
    )
