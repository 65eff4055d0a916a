"""Exchanges as the rating stage reads them: session by session, from a table or straight from a file.

A corpus is gone through several times (to count, to ask, to collect), and never held whole when it comes
from a file: memory stays the same whatever its size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bayesdyn.artefacts import check_table
from bayesdyn.errors import Fault, InputError
from bayesdyn.streams import read_pieces
from bayesdyn.tables import EXCHANGE_COLUMNS, check_exchanges

type Deidentify = Callable[[str, str], str]
"""Takes a turn's text and its dyad, returns the text without what identifies anyone."""


class Row(NamedTuple):
    """One exchange."""

    dyad: str
    session: str
    t: int
    therapist_text: str
    client_text: str


@dataclass(frozen=True)
class Session:
    """The exchanges of one session, in order."""

    dyad: str
    session: str
    exchanges: tuple[Row, ...]


class Corpus:
    """Sessions of exchanges, to be read as often as needed.

    Parameters
    ----------
    exchanges
        A table (see :func:`~bayesdyn.tables.check_exchanges`), or the path of an artefact that
        ``bayesdyn read`` wrote.
    deidentify
        Changes every text before anything else sees it. It must give the same for the same text and dyad,
        or what was rated is asked again.
    keep
        Which dyads belong to it; by default all.

    Raises
    ------
    InputError, ArtefactError
        If the table or the file cannot be used.
    """

    def __init__(
        self,
        exchanges: pd.DataFrame | str | Path,
        deidentify: Deidentify | None = None,
        keep: Callable[[str], bool] | None = None,
    ) -> None:
        self._deidentify = deidentify
        self._keep = keep
        self._path = None if isinstance(exchanges, pd.DataFrame) else Path(exchanges)
        self._table = check_exchanges(exchanges) if isinstance(exchanges, pd.DataFrame) else None
        if self._path is not None:
            check_table(self._path, "exchanges")

    def sessions(self) -> Iterator[Session]:
        """Yield each session.

        Raises
        ------
        InputError
            If a file's rows are not in the order of dyad, session, t, or one stands twice.
        """
        for (dyad, session), rows in groupby(self._rows(), key=lambda row: (row.dyad, row.session)):
            if self._keep is not None and not self._keep(dyad):
                continue
            exchanges = tuple(rows)
            if self._path is not None and any(one.t >= other.t for one, other in pairwise(exchanges)):
                raise self._unsorted(dyad, session)
            if self._deidentify is not None:
                exchanges = tuple(self._without_identity(row, self._deidentify) for row in exchanges)
            yield Session(dyad, session, exchanges)

    def _rows(self) -> Iterator[Row]:
        if self._table is not None:
            yield from map(Row._make, self._table[EXCHANGE_COLUMNS].itertuples(index=False))
            return
        assert self._path is not None
        last: tuple[str, str] | None = None
        for piece in read_pieces(self._path, "exchanges", EXCHANGE_COLUMNS):
            for row in map(Row._make, piece.itertuples(index=False)):
                place = (row.dyad, row.session)
                if last is not None and place < last:
                    raise self._unsorted(*place)
                last = place
                yield row

    def _unsorted(self, dyad: str, session: str) -> InputError:
        return InputError(
            f"Cannot use {self._path}",
            [
                Fault(
                    "its rows are not in the order of dyad, session, t, or one stands twice",
                    "Write it with bayesdyn read",
                    f"dyad {dyad}, session {session}",
                )
            ],
        )

    @staticmethod
    def _without_identity(row: Row, change: Deidentify) -> Row:
        return row._replace(
            therapist_text=change(row.therapist_text, row.dyad), client_text=change(row.client_text, row.dyad)
        )
