"""Posterior mean and SD of each true score: its likelihood summary with the prior of its session and dyad."""

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]


def posterior_of(
    score: Floats,
    se: Floats,
    session: NDArray[np.int64],
    dyad: NDArray[np.int64],
    mean: float,
    variances: Floats,
) -> tuple[Floats, Floats]:
    """Return posterior mean and SD of theta = m + dyad + session + exchange, given score = theta + error.

    A Gaussian of three nested levels, solved upwards and downwards in closed form.

    Parameters
    ----------
    score, se
        (exchange,) NaN where unrated; those have what their session tells.
    session, dyad
        (exchange,) numbers from 0; a session belongs to one dyad.
    mean
        m.
    variances
        (3,) of the parts of exchange, session and dyad; 0 where a level is not told apart.

    Returns
    -------
    mean, sd
        (exchange,).
    """
    within, of_session, of_dyad = variances
    rated = np.isfinite(score)
    pull = np.where(rated, 1 / (within + np.square(np.where(rated, se, 1.0))), 0.0)
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
    level = kept * dyad_mean[owner] + of_session * kept * b
    level_variance = np.square(kept) * dyad_variance[owner] + of_session * kept
    shrunk = within * pull
    found = mean + (1 - shrunk) * level[session] + shrunk * y
    variance = np.square(1 - shrunk) * level_variance[session] + within * (1 - shrunk)
    return found, np.sqrt(variance)
