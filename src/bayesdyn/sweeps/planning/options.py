"""What can be bought: each option as a function from spend to errors that are smaller or better known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesdyn.sweeps.planning.equation import Equation
from bayesdyn.sweeps.planning.errors import Coding, LlmErrors, learn

type Floats = NDArray[np.float64]

LLM_COST, HUMAN_COST = "llm_rating", "human_coding"


@dataclass(frozen=True)
class Bought:
    """What some money bought.

    Attributes
    ----------
    units
        Replicates, LLMs, or coded exchanges of each construct.
    spent
        At most what was there to spend.
    error
        (C,) error variance of each construct's score, over that of now.
    kappa_cov
        (C, C) covariance of the log error variances.
    """

    units: float
    spent: float
    error: Floats
    kappa_cov: Floats


@dataclass(frozen=True)
class Shop:
    """What every option needs to know.

    Attributes
    ----------
    equation
        Of the path.
    errors
        By construct to be rated: its place among the equation's constructs, and its LLMs' errors.
    cost
        Price of one rating of one construct at one exchange, by kind.
    coding
        How humans code.
    """

    equation: Equation
    errors: dict[int, LlmErrors]
    cost: dict[str, float]
    coding: Coding

    @property
    def exchanges(self) -> int:
        """Number of exchanges with a score."""
        return int(self.equation.rated[list(self.errors)].max())

    @property
    def uncoded(self) -> float:
        """Number of exchanges that no human has coded yet."""
        return min(float(self.equation.rated[c]) * (1 - one.coded) for c, one in self.errors.items())


def replicate(shop: Shop, spend: float) -> Bought:
    """Return what further replicates by every LLM buy: less replicate noise, nothing else."""
    calls = sum(len(one.own) for one in shop.errors.values()) * shop.exchanges
    units = spend / (calls * shop.cost[LLM_COST])
    after = {c: one.private(more_replicates=units) for c, one in shop.errors.items()}
    return _rated(shop, units, spend, after)


def llm(shop: Shop, spend: float) -> Bought:
    """Return what further LLMs buy: less error that is not shared, and that error better known."""
    units = spend / (len(shop.errors) * shop.exchanges * shop.cost[LLM_COST])
    after = {c: one.private(more_llms=units) for c, one in shop.errors.items()}
    return _rated(shop, units, spend, after, more_llms=units)


def human_random(shop: Shop, spend: float) -> Bought:
    """Return what human coding of exchanges drawn at random buys."""
    return _coded(shop, spend, lambda c, coded: 1.0)


def human_stratified(shop: Shop, spend: float) -> Bought:
    """Return what human coding of the lowest and highest thirds of each construct's scores buys."""

    def tilt(c: int, coded: float) -> float:
        # Once both outer thirds are coded, what comes further is from the middle.
        outer, middle = shop.equation.tilt[c]
        share = min(1.0, 2 / 3 * shop.uncoded / coded)
        return share * outer + (1 - share) * middle

    return _coded(shop, spend, tilt)


OPTIONS: dict[str, Callable[[Shop, float], Bought]] = {
    "replicate": replicate,
    "llm": llm,
    "human_random": human_random,
    "human_stratified": human_stratified,
}
UNITS = {
    "replicate": "replicates of every LLM",
    "llm": "more LLMs",
    "human_random": "exchanges coded by humans, drawn at random",
    "human_stratified": "exchanges coded by humans, from the lowest and highest thirds of the scores",
}


def _rated(
    shop: Shop, units: float, spend: float, private: dict[int, float], more_llms: float = 0.0
) -> Bought:
    """Return what ratings by LLMs bought, given each construct's private error variance after it.

    What is not known of the error variance is split as the error budget says: the shared part's stays as it
    is in absolute terms, the private part's stays in relative terms, and shrinks with each further LLM, whose
    differences from the others tell it (log variance with variance 2 over the number of exchanges).
    """
    error, scale = np.ones(len(shop.equation.constructs)), np.ones(len(shop.equation.constructs))
    for c, after in private.items():
        one, before = shop.errors[c], shop.errors[c].private()
        total = one.shared + before
        variance = shop.equation.kappa_cov[c, c]
        if total == 0:
            continue
        error[c] = (one.shared + after) / total
        if variance == 0 or error[c] == 0:
            continue
        of_shared = min(variance, (one.shared_sd / total) ** 2)
        of_private = variance - of_shared
        if before > 0 and of_private > 0:
            relative = of_private * (total / before) ** 2
            relative = 1 / (1 / relative + more_llms * shop.equation.rated[c] / 2)
            of_private = relative * (after / total) ** 2
        scale[c] = np.sqrt((of_shared + of_private) / variance) / error[c]
    return Bought(units, spend, error, shop.equation.kappa_cov * np.outer(scale, scale))


def _coded(shop: Shop, spend: float, tilt: Callable[[int, float], float]) -> Bought:
    """Return what human coding bought: error variances better known, and the coded scores more exact."""
    equation, coding = shop.equation, shop.coding
    price = len(shop.errors) * coding.ratings * shop.cost[HUMAN_COST]
    coded = min(spend / price, shop.uncoded)
    error, kappa_cov = np.ones(len(equation.constructs)), equation.kappa_cov
    if coded <= 0:
        return Bought(0.0, 0.0, error, kappa_cov)
    rho = coding.reliability
    for c in shop.errors:
        total, now = equation.score_variance[c], equation.error_variance[c]
        reliability = max(1 - now / total, 0.01)
        if now <= 0:
            continue
        kappa_cov = learn(kappa_cov, c, coding.kappa_variance(coded, reliability, tilt(c, coded)))
        single = reliability * total * (1 - rho) / rho
        after = sum(
            share / (1 / now + raters / single)
            for share, raters in ((1 - coding.overlap, 1), (coding.overlap, coding.coders))
        )
        error[c] = 1 - coded / equation.rated[c] * (1 - after / now)
    return Bought(coded, coded * price, error, kappa_cov)
