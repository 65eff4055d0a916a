"""The variance of an errors-in-variables path in closed form, by what it is made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesdyn.sweeps.planning.moments import Moments

type Floats = NDArray[np.float64]

_STEP = 1e-3


@dataclass(frozen=True)
class Parts:
    """Variances of a path, by what makes them, before its prior.

    Attributes
    ----------
    sampling
        As many exchanges with as much error leave, were the error variances known.
    errors
        By not knowing the error variances.
    groups
        By slopes that differ between dyads or sessions, of which there are only so many.
    """

    sampling: float
    errors: float
    groups: float

    def variance(self, prior_sd: float) -> float:
        """Return the variance with the path's normal prior in it: precisions add."""
        total = self.sampling + self.errors + self.groups
        return total / (1 + total / prior_sd**2)


def sampling_cov(true_cov: Floats, error: Floats, path: Floats, residual: float, exchanges: int) -> Floats:
    """Return the covariance of errors-in-variables coefficients whose error covariance is known.

    Fuller (1987, Measurement Error Models, theorem 2.2.1), with predictors x, their errors u of covariance
    S, the outcome's error w, and v = residual + w - u' b:

        n cov(b) = M^-1 s_vv + M^-1 (S s_vv + S_uv S_uv') M^-1,
        s_vv = residual variance + s_ww - 2 b' S_uw + b' S b,    S_uv = S_uw - S b.

    Parameters
    ----------
    true_cov
        (T, T) M, of the true predictors.
    error
        (T + 1, T + 1) of the errors of the predictors and, last, of the outcome.
    path
        (T,) b.
    residual
        Residual variance of the outcome.
    exchanges
        n.
    """
    own, with_outcome = error[:-1, :-1], error[:-1, -1]
    uv = with_outcome - own @ path
    vv = residual + error[-1, -1] - path @ (with_outcome + uv)
    inner = vv * (true_cov + own) + np.outer(uv, uv)
    half = np.linalg.solve(true_cov, inner)
    return np.linalg.solve(true_cov, half.T) / exchanges


def kappa_slopes(moments: Moments, true_cov: Floats, path: Floats) -> Floats:
    """Return the derivatives of the coefficients by each construct's log error variance, shape (T, C).

    The coefficients are ``(O - S)^-1 (o - S_uw)`` with O, o the observed moments, so that with the errors
    taken as greater by a little they are ``M^-1 (dS b - dS_uw)`` further.
    """
    size = len(moments.omega)
    found = np.empty((len(path), size))
    for c in range(size):
        ends = []
        for step in (_STEP, -_STEP):
            factor = np.ones(size)
            factor[c] = np.exp(step / 2)
            ends.append(moments.error_cov(moments.omega * np.outer(factor, factor)))
        change = (ends[0] - ends[1]) / (2 * _STEP)
        found[:, c] = np.linalg.solve(true_cov, change[:-1, :-1] @ path - change[:-1, -1])
    return found
