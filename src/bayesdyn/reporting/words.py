"""Numbers and sentences as the report prints them: a true minus sign, no false precision, plain words."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

ABSENT = "–"
MEASUREMENT_SAID: Mapping[str, str] = MappingProxyType(
    {
        "none": "This fit takes the scores as free of error",
        "two_stage": "Every construct has one standard error for all its scores",
        "known": "Each score enters with its own standard error",
        "propagated": "The fit is repeated at draws of the rater parameters, each with its own scores",
        "joint": "The ratings' own likelihood is in the fit: raters and structure are learnt together",
    }
)
"""How a fit takes the scores, by its setting of ``measurement``."""
_MINUS = "\u2212"


def number(value: float, digits: int = 3) -> str:
    """Return a number with a true minus sign; a dash where it is missing, never ``−0.000``."""
    if not math.isfinite(value):
        return ABSENT
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", _MINUS)


def interval(lower: float, upper: float, digits: int = 3) -> str:
    """Return ``lower to upper``: a dash between would read as a minus."""
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return ABSENT
    return f"{number(lower, digits)} to {number(upper, digits)}"


def probability(value: float) -> str:
    """Return a probability with three decimals; draws cannot show 0 or 1, so the ends are bounds."""
    if not math.isfinite(value):
        return ABSENT
    if value > 0.9995:
        return "> 0.999"
    if value < 0.0005:
        return "< 0.001"
    return f"{value:.3f}"


def percent(share: float) -> str:
    """Return a share in per cent, with one decimal below 10 %."""
    if not math.isfinite(share):
        return ABSENT
    value = 100 * share
    return f"{value:.1f} %" if 0 < value < 10 else f"{value:.0f} %"


def level(prob: float) -> str:
    """Return an interval's probability in words of the trade, ``95 %``."""
    return f"{100 * prob:g} %"


def count(value: float) -> str:
    """Return a count with thousands apart; a dash where it is missing."""
    if not math.isfinite(value):
        return ABSENT
    return f"{value:,.0f}"


def counted(value: int, singular: str, plural: str = "") -> str:
    """Return ``1 claim``, ``2 claims``."""
    return f"{count(value)} {singular if value == 1 else plural or singular + 's'}"


def listed(items: Sequence[str]) -> str:
    """Join items as ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def stopped(sentence: str) -> str:
    """Return a sentence with its first letter raised and a full stop at its end."""
    text = sentence.strip()
    if text and text[-1] not in ".!?":
        text += "."
    return text[:1].upper() + text[1:]
