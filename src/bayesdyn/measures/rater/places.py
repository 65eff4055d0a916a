"""Where exchanges stand, and which sessions the rater parameters are learnt from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bayesdyn.measures.dataset import Notes
from bayesdyn.measures.gathering.cells import Cells


@dataclass(frozen=True)
class Places:
    """Where the exchanges stand, and which of them the rater parameters are learnt from.

    Attributes
    ----------
    session, dyad
        (exchange,) number of its session, and of its dyad.
    learnt
        (exchange,) whether the rater parameters are learnt from it.
    """

    session: NDArray[np.int64]
    dyad: NDArray[np.int64]
    learnt: NDArray[np.bool_]

    @property
    def sizes(self) -> tuple[float, float]:
        """Harmonic means of the exchanges in a session, and of the sessions in a dyad."""
        per_session = np.bincount(self.session)
        owner = np.unique(np.column_stack([self.dyad, self.session]), axis=0)[:, 0]
        return float(stats.hmean(per_session)), float(stats.hmean(np.bincount(owner)))


def find_places(cells: Cells, most_sessions: int, notes: Notes) -> Places:
    """Return where the exchanges stand; of very many sessions, an even share is chosen to learn from.

    Sessions with human ratings come first, all of them where they are no more than ``most_sessions``; the
    others are taken at even steps in the order of dyads, so that every dyad has its share.
    """
    keys = cells.keys
    dyad = pd.factorize(keys["dyad"])[0].astype(np.int64)
    session = keys.groupby(["dyad", "session"], sort=False).ngroup().to_numpy(dtype=np.int64)
    rated = np.isfinite(cells.value).any(axis=(1, 2))
    count = int(session.max()) + 1
    learnt = np.bincount(session[rated], minlength=count) > 0
    if learnt.sum() > most_sessions:
        coded = np.isfinite(cells.value[:, :, cells.human]).any(axis=(1, 2))
        first = np.bincount(session[coded], minlength=count) > 0
        chosen = _evenly(np.flatnonzero(learnt & first), most_sessions)
        others = _evenly(np.flatnonzero(learnt & ~first), most_sessions - len(chosen))
        notes.add(
            f"The rater model is learnt from {most_sessions} of {int(learnt.sum())} sessions, at even steps"
            + (" after those with human ratings" if first.any() else "")
            + "; the scores are of all."
        )
        learnt = np.zeros(count, dtype=bool)
        learnt[chosen] = learnt[others] = True
    return Places(session, dyad, learnt[session])


def _evenly(numbers: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    if len(numbers) <= most:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, most).round().astype(np.intp)] if most else numbers[:0]
