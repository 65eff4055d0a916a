"""Where ratings come from, a table or a file, and where their rows stand on the axes of the cells."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesdyn.errors import FaultList
from bayesdyn.measures.gathering.sums import Axes, Places, Rows, token_variance
from bayesdyn.tables import KEY


@dataclass(frozen=True)
class Source:
    """Ratings that can be gone through in pieces.

    Attributes
    ----------
    keys
        ``dyad``, ``session``, ``t`` of every row, each once.
    constructs, raters
        Labels of every row, those without a rating too.
    rows
        Yields the pieces, placed on given axes, and notes what is wrong with them. Rows of exchanges,
        constructs or raters that are not on the axes are left out.
    load
        Returns the rows that have a value in a column of text, as one checked table: for what needs more
        than sums.
    """

    keys: pd.DataFrame
    constructs: tuple[str, ...]
    raters: tuple[str, ...]
    rows: Callable[[Axes, FaultList], Iterator[Rows]]
    load: Callable[[str, str], pd.DataFrame]


class Finder:
    """Finds exchanges, by codes of dyad and session, with arrays only: a merge of texts takes far longer.

    Parameters
    ----------
    keys
        The exchanges, one row each.
    """

    def __init__(self, keys: pd.DataFrame) -> None:
        self.dyads, self.sessions = pd.Index(keys["dyad"].unique()), pd.Index(keys["session"].unique())
        dyad, session = self.dyads.get_indexer(keys["dyad"]), self.sessions.get_indexer(keys["session"])
        pair = dyad.astype(np.int64) * len(self.sessions) + session
        self._t, self._pairs = np.unique(keys["t"].to_numpy(dtype=np.int64)), np.unique(pair)
        # Numbers of what is there, not products of what could be: no session id or t can overflow them.
        code = self._code(pair, keys["t"].to_numpy(dtype=np.int64))
        self._order = np.argsort(code, kind="stable")
        self._codes = code[self._order]

    def find(self, dyad: Places, session: Places, t: Places) -> Places:
        """Return the places of exchanges among the keys, -1 where there is none.

        Parameters
        ----------
        dyad, session
            (row,) places on ``dyads`` and ``sessions``, -1 where there is none.
        t
            (row,).
        """
        known = (dyad >= 0) & (session >= 0)
        code = self._code(np.where(known, dyad * len(self.sessions) + session, -1), t)
        found = _places(self._codes, code)
        return np.where(found >= 0, self._order[found], -1)

    def _code(self, pair: Places, t: Places) -> Places:
        which, when = _places(self._pairs, pair), _places(self._t, t)
        return np.where((which >= 0) & (when >= 0), which * len(self._t) + when, -1)


def _places(ordered: Places, wanted: Places) -> Places:
    """Return where numbers stand in an ordered array; -1 where they do not."""
    found = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[found] == wanted, found, -1)


def source_of(table: pd.DataFrame) -> Source:
    """Return a table that :func:`~bayesdyn.tables.check_ratings` gave as a source of one piece."""

    def rows(axes: Axes, faults: FaultList) -> Iterator[Rows]:
        finder = Finder(axes.keys)
        found = Rows(
            exchange=finder.find(
                finder.dyads.get_indexer(table["dyad"]).astype(np.int64),
                finder.sessions.get_indexer(table["session"]).astype(np.int64),
                table["t"].to_numpy(dtype=np.int64),
            ),
            construct=pd.Index(axes.constructs).get_indexer(table["construct"]).astype(np.int64),
            rater=pd.Index(axes.raters).get_indexer(table["rater"]).astype(np.int64),
            human=(table["rater_kind"] == "human").to_numpy(dtype=bool),
            value=table["value"].to_numpy(dtype=np.float64),
            token=token_variance(table),
            low=table["scale_min"].to_numpy(dtype=np.float64),
            high=table["scale_max"].to_numpy(dtype=np.float64),
        )
        yield found.take(placed(found))

    return Source(
        keys=table[KEY].drop_duplicates(),
        constructs=tuple(map(str, table["construct"].unique())),
        raters=tuple(map(str, table["rater"].unique())),
        rows=rows,
        load=lambda column, value: table[table[column] == value],
    )


def placed(rows: Rows) -> np.ndarray:
    """Return which rows stand on all three axes."""
    return (rows.exchange >= 0) & (rows.construct >= 0) & (rows.rater >= 0)
