"""Moments of products of scores with error, and the covariance of the errors of such products."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Products of terms with their errors; T terms and then the outcome, C constructs.

    A term is ``k``, a product of what has no error, times at most two noisy factors. With observed factors
    ``w = x + e`` its error is, for one noisy factor, ``k e``, and for two

        k (w1 w2 - x1 x2) = k (x1 e2 + x2 e1 + e1 e2),

    and it is linear in the errors but for the last part. Attributes hold what its covariances need.

    Attributes
    ----------
    column
        (T + 1, 2) which error each noisy factor has: ``C k + c`` that of construct c, k exchanges before; -1
        none.
    product
        (T + 1, 2, T + 1, 2) means of products of what multiplies those errors, as observed.
    clean
        (T + 1, T + 1) means of products of ``k``.
    omega
        (C, C) covariance of the errors of the constructs' scores.
    """

    column: NDArray[np.int64]
    product: Floats
    clean: Floats
    omega: Floats

    def error_cov(self, omega: Floats | None = None) -> Floats:
        """Return the covariance of the errors of the terms and the outcome, shape (T + 1, T + 1).

        For errors that are normal and independent of the true scores, with ``E`` over exchanges,

            cov = sum over factors i of one and j of the other term: E[rest_i rest_j] omega_ij
                  + E[k k'] (omega_11 omega_22 + omega_12 omega_21)        (both with two noisy factors)

        where ``rest`` is the true value of what multiplies the error. For one product ``x r`` this is the
        variance of (x + e)(r + f) - x r, ``E[x^2] s_f + E[r^2] s_e + 2 E[x r] s_ef + s_e s_f + s_ef^2``.

        Parameters
        ----------
        omega
            (C, C) error covariance that the scores are taken to have: true moments are the observed ones less
            it. None: that of these moments.
        """
        full = self._at_lags(self.omega if omega is None else omega)
        a, b = self.column[:, :, None, None], self.column[None, None, :, :]
        true = self.product - self._in_product(full)
        linear = np.einsum("aibj,aibj->ab", true, full[a, b])
        first, second = self.column[:, 0], self.column[:, 1]
        both = full[np.ix_(first, first)] * full[np.ix_(second, second)]
        both += full[np.ix_(first, second)] * full[np.ix_(second, first)]
        return linear + self.clean * both

    def with_errors(self, omega: Floats) -> "Moments":
        """Return the moments of the same true scores with errors of another covariance."""
        change = self._in_product(self._at_lags(omega)) - self._in_product(self._at_lags(self.omega))
        return replace(self, product=self.product + change, omega=omega)

    def _in_product(self, full: Floats) -> Floats:
        """Return the part of ``product`` that is error, shape (T + 1, 2, T + 1, 2)."""
        other = self.column[:, ::-1]
        return self.clean[:, None, :, None] * full[other[:, :, None, None], other[None, None]]

    def _at_lags(self, omega: Floats) -> Floats:
        """Return the error covariance of constructs now and at each lag, and last of what has no error."""
        lags = self.column.max() // len(omega) + 1
        size = lags * len(omega)
        full = np.zeros((size + 1, size + 1))
        full[:size, :size] = np.kron(np.eye(lags), omega)
        return full
