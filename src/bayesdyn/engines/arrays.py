"""What formulas that both engines compute with ask of their arrays: PyTensor's or JAX's."""

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

type Other[A] = A | NDArray[np.float64] | float


class Array(Protocol):
    """What is asked of an array of either engine."""

    def __add__(self, other: Other[Self], /) -> Self: ...
    def __sub__(self, other: Other[Self], /) -> Self: ...
    def __rsub__(self, other: Other[Self], /) -> Self: ...
    def __mul__(self, other: Other[Self], /) -> Self: ...
    def __rmul__(self, other: float, /) -> Self: ...
    def __truediv__(self, other: Other[Self], /) -> Self: ...
    def __rtruediv__(self, other: float, /) -> Self: ...
    def __pow__(self, other: float, /) -> Self: ...
    def __neg__(self) -> Self: ...
    def reshape(self, shape: tuple[int, ...], /) -> Self:
        """Return the same numbers in another shape."""
        ...


class ArrayModule[A](Protocol):
    """What is asked of an array module: functions as NumPy has them."""

    def zeros(self, shape: tuple[int, ...], /) -> A:
        """Return zeros."""
        ...

    def dot(self, one: NDArray[np.float64], other: A, /) -> A:
        """Return a matrix product."""
        ...

    def sum(self, values: A, /, *, axis: int) -> A:
        """Return sums along an axis."""
        ...

    def minimum(self, values: A, bound: float, /) -> A:
        """Return values no larger than a bound."""
        ...

    def maximum(self, values: A, bound: float, /) -> A:
        """Return values no smaller than a bound."""
        ...

    def exp(self, values: A, /) -> A:
        """Return exponentials."""
        ...

    def log(self, values: A, /) -> A:
        """Return logs."""
        ...

    def log1p(self, values: A, /) -> A:
        """Return logs of 1 and what is given."""
        ...

    def sqrt(self, values: A, /) -> A:
        """Return roots."""
        ...
