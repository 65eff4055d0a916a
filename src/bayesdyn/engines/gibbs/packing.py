"""Exchanges in chunks of equal length: sessions one after the other, none padded to the longest.

A chunk belongs to one session, so sums over a session are sums within chunks first: products of small
matrices. Idle places fill the last chunk of each session.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.lanes import first_exchanges
from bayesdyn.engines.gibbs.places import Dealt, rounded

_SIZES = (4, 8, 16, 32)
_MOST_IDLE = 0.2  # of all places


@dataclass(frozen=True)
class Packing:
    """Where N exchanges stand in H chunks of B places.

    Attributes
    ----------
    exchange
        (H, B) the exchange at each place; idle places repeat their session's last one.
    filled
        (H, B) whether an exchange stands there.
    session
        (H,) session of each chunk.
    """

    exchange: NDArray[np.int64]
    filled: NDArray[np.bool_]
    session: NDArray[np.int64]


def pack(session_of: NDArray[np.int64], dealt: Dealt | None = None) -> Packing:
    """Pack exchanges, sessions one after the other, into the longest chunks that leave few places idle.

    All shards of ``dealt`` sessions have as many chunks, some of them perhaps idle.
    """
    length = np.bincount(session_of)
    shards, each, _ = dealt or Dealt(1, len(length))
    best = _SIZES[0]
    for size in _SIZES:
        places = size * np.sum(-(-length // size))
        if 1 - len(session_of) / places <= _MOST_IDLE:
            best = size
    chunks = -(-length // best)
    session = np.repeat(np.arange(len(length)), chunks)
    first_chunk, first = np.cumsum(chunks) - chunks, first_exchanges(session_of)
    within = (np.arange(len(session)) - first_chunk[session])[:, None] * best + np.arange(best)
    filled = within < length[session][:, None]
    exchange = first[session][:, None] + np.minimum(within, length[session][:, None] - 1)
    inside = [np.flatnonzero(session // each == k) for k in range(shards)]
    most = max(map(len, inside))
    most = most if shards == 1 and not np.any(length % best) else rounded(most)
    # An idle chunk repeats its shard's last one, or the very last: so sessions stay in order.
    lasts = [at[-1] if at.size else len(session) - 1 for at in inside]
    filled_up = [np.append(at, np.full(most - len(at), last)) for at, last in zip(inside, lasts, strict=True)]
    used = np.concatenate([np.arange(most) < len(at) for at in inside])
    at = np.concatenate(filled_up)
    return Packing(exchange[at], filled[at] & used[:, None], session[at])
