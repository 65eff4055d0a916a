"""Numbers that come from outside: whether they are some, and how messages show what was given."""

from math import isfinite
from typing import TypeIs

import numpy as np


def is_number(value: object) -> TypeIs[float]:
    """Return whether a value is a finite number; true and false are none."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and isfinite(value)


def is_whole(value: object) -> TypeIs[int]:
    """Return whether a value is a whole number; true and false are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def shown(value: object) -> str:
    """Return what was given as messages show it, numbers without the digits that nobody wrote."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return f"{value:g}" if number else repr(value)
