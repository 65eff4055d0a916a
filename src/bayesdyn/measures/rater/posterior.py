"""Posterior mean and SD of each true score: its likelihood summary with the prior of its session and dyad."""

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

_LEAST_OWN = 0.01
"""The exchange's part of an exchange's error variance is no less: the levels' parts are averages."""


def posterior_of(
    score: Floats,
    se: Floats,
    session: NDArray[np.int64],
    dyad: NDArray[np.int64],
    mean: float,
    variances: Floats,
    errors: Floats,
) -> tuple[Floats, Floats]:
    """Return posterior mean and SD of theta = m + dyad + session + exchange, given score = theta + error.

    A Gaussian of three nested levels, solved upwards and downwards in closed form. The error has parts of
    session and dyad too: what the scores tell of a level is first told of true score and error together,
    and then divided in proportion to their variances.

    Parameters
    ----------
    score, se
        (exchange,) NaN where unrated; those have what their session tells.
    session, dyad
        (exchange,) numbers from 0; a session belongs to one dyad.
    mean
        m.
    variances
        (3,) of theta's parts of exchange, session and dyad; 0 where a level is not told apart.
    errors
        (2,) of the error's parts of session and dyad; the rest of ``se`` squared is the exchange's.

    Returns
    -------
    mean, sd
        (exchange,).
    """
    within = variances[0]
    of_session, of_dyad = variances[1:] + errors
    session_true, dyad_true = _ratios(variances[1:], errors)
    rated = np.isfinite(score)
    squared = np.square(np.where(rated, se, 1.0))
    own_error = np.maximum(squared - errors.sum(), _LEAST_OWN * squared)
    pull = np.where(rated, 1 / (within + own_error), 0.0)
    y = np.where(rated, score - mean, 0.0)
    owner = np.zeros(int(session.max()) + 1, dtype=np.int64)
    owner[session] = dyad
    a = np.bincount(session, pull)
    b = np.bincount(session, pull * y)
    # A session's ratings tell its level with precision a; its dyad sees that level through the session's
    # part.
    seen = a / (1 + a * of_session)
    told = b / (1 + a * of_session)
    of_owner = np.bincount(owner, seen)
    dyad_variance = of_dyad / (1 + of_owner * of_dyad)
    dyad_mean = dyad_variance * np.bincount(owner, told)
    kept = 1 / (1 + a * of_session)
    session_mean = of_session * kept * (b - a * dyad_mean[owner])
    # theta is these shares of what each level holds, true score and error, and what they leave over.
    exchange_true = within * pull
    from_dyad, from_session = dyad_true - exchange_true, session_true - exchange_true
    found = mean + exchange_true * y + from_dyad * dyad_mean[dyad] + from_session * session_mean[session]
    left = variances[1] * (1 - session_true) + variances[2] * (1 - dyad_true) + within * (1 - exchange_true)
    of_both = from_dyad - from_session * (1 - kept[session])
    variance = np.square(of_both) * dyad_variance[dyad]
    variance += np.square(from_session) * (of_session * kept)[session] + left
    return found, np.sqrt(variance)


def _ratios(true: Floats, error: Floats) -> Floats:
    """Return the true score's share of each level; 1 where a level has no variance at all."""
    total = true + error
    return np.divide(true, total, out=np.ones_like(true), where=total > 0)
