"""What further ratings do to the error variance of a construct's scores, and to what is known of it."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList

type Floats = NDArray[np.float64]

SHARED_PRIOR, CODER_PRIOR = (1.0, 4.0), (7.0, 3.0)
"""Defaults of :func:`bayesdyn.measure`: of the share of error in what LLMs have in common, where one LLM
cannot show it; of a coder's reliability."""

_SD_OF_90 = 2 * 1.6448536269514722


@dataclass(frozen=True)
class LlmErrors:
    """The error of one construct's score by its LLMs, in units of the true score's variance.

    Attributes
    ----------
    shared
        Variance that the LLMs share.
    shared_sd
        Posterior SD of it.
    own, noise
        (LLM,) variance of each one's own error without, and of, the sampling of replicates.
    replicates
        (LLM,) how many replicates are behind a rating.
    coded
        Share of the exchanges that humans have coded already.
    """

    shared: float
    shared_sd: float
    own: Floats
    noise: Floats
    replicates: Floats
    coded: float = 0.0

    def private(self, more_replicates: float = 0.0, more_llms: float = 0.0) -> float:
        """Return the part of the score's error variance that is not shared.

        Raters are weighted by their precision. A replicate more divides replicate noise by (k + 1) / k; an
        LLM more is one whose own error is the mean of these. Between whole numbers, that share of the
        exchanges has one more than the others.
        """
        if more_replicates % 1 or more_llms % 1:
            rest = more_replicates % 1 + more_llms % 1
            low = self.private(np.floor(more_replicates), np.floor(more_llms))
            high = self.private(np.ceil(more_replicates), np.ceil(more_llms))
            return (1 - rest) * low + rest * high
        each = self.own + self.noise * self.replicates / (self.replicates + more_replicates)
        if (each <= 0).any():
            return 0.0
        return float(1 / ((1 / each).sum() + more_llms / each.mean()))


def llm_errors(constant: xr.Dataset, construct: str, faults: FaultList) -> LlmErrors | None:
    """Return the LLMs' errors of a construct from what a fit keeps of its raters; note where there is none.

    All LLMs have the same ratio of shared error to true score (:mod:`bayesdyn.measures.rater.model`), so the
    shared part passes whole into the score, whatever the weights. With one LLM it cannot be told from its own
    error: the default prior of the share stands for it, within nine tenths of the error.

    Parameters
    ----------
    constant
        ``constant_data`` of a fit with the variables of :func:`bayesdyn.fitting.run.rater_budget`.
    construct
        Its name.
    faults
        Gathers constructs that no LLM rated.
    """
    own = constant.sel(construct=construct)
    budget = own["error_budget"]
    rated = np.isfinite(budget.sel(source="true score").values)
    llm = rated & (own["rater_kind"].values.astype(str) == "llm")
    if not llm.any():
        faults.add(f"no LLM rated {construct}", "Leave it out with constructs=, or rate it with an LLM")
        return None
    shares = budget.values[:, llm] / budget.sel(source="true score").values[llm]
    sources = [str(name) for name in budget["source"].values]
    noise = shares[sources.index("replicates")]
    shared = float(shares[sources.index("shared by LLMs")].mean())
    private = shares[[sources.index(name) for name in ("dyad", "session", "exchange")]].sum(axis=0)
    if llm.sum() == 1:
        a, b = SHARED_PRIOR
        share, spread = a / (a + b), np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
        error = float((private + noise).sum() + shared)
        shared = min(share / (1 - share), 0.9 * error)
        private = np.maximum(error - shared - noise, 0.0)
        shared_sd = spread / (1 - share) ** 2
    else:
        spread = float(own["shared_error_upper"] - own["shared_error_lower"]) / _SD_OF_90
        shared_sd = spread * (1 + shared) ** 2
    human = rated & ~llm
    return LlmErrors(
        shared=shared,
        shared_sd=float(shared_sd),
        own=private,
        noise=noise,
        replicates=own["replicates"].values[llm],
        coded=float(own["rated_share"].values[human].max()) if human.any() else 0.0,
    )


@dataclass(frozen=True)
class Coding:
    """How humans code.

    Attributes
    ----------
    coders
        Number of coders of the exchanges that are coded more than once.
    overlap
        Share of the coded exchanges that all of them code; the others are coded by one.
    prior
        Beta parameters of a coder's reliability.
    """

    coders: int
    overlap: float
    prior: tuple[float, float]

    @property
    def reliability(self) -> float:
        """The mean of the prior."""
        return self.prior[0] / sum(self.prior)

    @property
    def ratings(self) -> float:
        """Ratings for each coded exchange."""
        return 1 + self.overlap * (self.coders - 1)

    def reliability_variance(self, coded: float) -> float:
        """Return the variance of a coder's reliability once an overlap of ``coded`` exchanges was coded.

        The overlap tells it as an intraclass correlation of J coders does, variance 2 (1 - p)^2 (1 + (J - 1)
        p)^2 / (J (J - 1) m), (1 - p^2)^2 / m for two; precisions of it and of the prior add.
        """
        p, j, m = self.reliability, self.coders, self.overlap * coded
        prior = p * (1 - p) / (sum(self.prior) + 1)
        if m <= 0 or j < 2:
            return prior
        sampled = 2 * (1 - p) ** 2 * (1 + (j - 1) * p) ** 2 / (j * (j - 1) * m)
        return 1 / (1 / prior + 1 / sampled)

    def kappa_variance(self, coded: float, reliability: float, tilt: float) -> float:
        """Return the variance of the log error variance of scores, from ``coded`` exchanges alone.

        The reliability is the squared correlation r^2 of score and coder over the coder's own reliability,
        so ``var(log reliability) = var(log r^2) + var(log coder's)``. With the variance of the scores known
        from all exchanges, log odds of r^2 are 2 log(slope of the coder on the score) less log of the
        residual variance, whence

            var(log r^2) = (1 - r^2)^2 (4 (1 - r^2) / (tilt r^2) + 2) / coded,

        and the log error variance moves by reliability / (1 - reliability) for each unit of log reliability.

        Parameters
        ----------
        coded
            Number of exchanges, above 0.
        reliability
            Of the scores, below 1.
        tilt
            Mean square of the coded exchanges' scores about the mean over their variance in all: 1 for a
            random choice.
        """
        square = reliability * self.reliability
        of_square = (1 - square) ** 2 * (4 * (1 - square) / (tilt * square) + 2) / coded
        of_coder = self.reliability_variance(coded) / self.reliability**2
        return (reliability / (1 - reliability)) ** 2 * (of_square + of_coder)


def learn(kappa_cov: Floats, c: int, variance: float) -> Floats:
    """Return the covariance of log error variances after construct ``c``'s was seen with this variance.

    Precisions add; written as one step of a Kalman filter, so that what is known exactly stays so.
    """
    gain = kappa_cov[:, c] / (kappa_cov[c, c] + variance)
    return kappa_cov - np.outer(gain, kappa_cov[c])
