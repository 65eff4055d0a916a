"""How many exchanges a session has, and sessions a dyad: fixed, uniform, observed, or overdispersed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.numbers import is_number, is_whole, shown


@dataclass(frozen=True)
class Observed:
    """Counts of a study at hand, drawn from with replacement.

    Attributes
    ----------
    counts
        Whole numbers from 1 up, in any order: exchanges of each session, or sessions of each dyad.
    """

    counts: Sequence[int] | np.ndarray | pd.Series


@dataclass(frozen=True)
class NegativeBinomial:
    """Counts from ``least`` up, with long right tails as sessions have them.

    ``count - least`` is negative binomial, so that mean and SD of the counts are exactly as asked.

    Attributes
    ----------
    mean, sd
        Of the counts. The variance exceeds ``mean - least``: at that value the law is Poisson's.
    least
        The lowest count, 1 or more.
    """

    mean: float
    sd: float
    least: int = 1

    @property
    def shape(self) -> tuple[float, float]:
        """Number of successes and probability, as NumPy's negative binomial takes them."""
        above = self.mean - self.least
        return above**2 / (self.sd**2 - above), above / self.sd**2


type Lengths = int | tuple[int, int] | Observed | NegativeBinomial


def check_lengths(argument: str, asked: Lengths, faults: FaultList) -> None:
    """Note what is wrong with an asked length; ``argument`` names it in messages."""
    match asked:
        case Observed():
            counts = np.asarray(asked.counts)
            if counts.ndim != 1 or not counts.size or not all(map(is_count, counts.tolist())):
                faults.add(f"{argument}: the observed counts are no list of whole numbers from 1 up", _FORMS)
        case NegativeBinomial():
            above = asked.mean - asked.least if is_number(asked.mean) and is_count(asked.least) else np.nan
            if not is_count(asked.least):
                faults.add(f"{argument}: least is {asked.least!r}", "Give a whole number from 1 up")
            elif not (is_number(asked.mean) and is_number(asked.sd)):
                faults.add(f"{argument}: mean {shown(asked.mean)}, SD {shown(asked.sd)}",
                           "Give two numbers")  # fmt: skip
            elif not above > 0:
                faults.add(f"{argument}: the mean {asked.mean:g} is not above the least, {asked.least}",
                           "Raise the mean")  # fmt: skip
            elif not asked.sd**2 > above:
                faults.add(f"{argument}: SD {asked.sd:g} is too small for a negative binomial of that mean",
                           f"Give one above {np.sqrt(above):.3g}, or a range (low, high)")  # fmt: skip
        case (low, high) if isinstance(asked, tuple):
            if not (is_count(low) and is_count(high) and low <= high):
                faults.add(f"{argument} is ({low}, {high})", "Give (low, high), whole numbers from 1 up")
        case _:
            if not is_count(asked):
                faults.add(f"{argument} is {asked!r}", _FORMS)


def draw_length(asked: Lengths, rng: np.random.Generator) -> int:
    """Return one count of a law that :func:`check_lengths` found nothing wrong with."""
    match asked:
        case Observed():
            counts = np.asarray(asked.counts)
            return int(counts[rng.integers(len(counts))])
        case NegativeBinomial():
            return asked.least + int(rng.negative_binomial(*asked.shape))
        case (low, high):
            return int(rng.integers(low, high + 1))
        case _:
            return int(asked)


def is_count(value: object) -> bool:
    """Return whether a value is a whole number from 1 up."""
    return is_whole(value) and value >= 1


_FORMS = "Give a whole number from 1 up, a range (low, high), Observed([...]) or NegativeBinomial(mean, sd)"
