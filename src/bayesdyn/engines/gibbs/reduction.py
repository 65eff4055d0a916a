"""Scalar Gaussian chains by cyclic reduction: log2(T) steps instead of T, for devices that do many at once.

Every other state is integrated out, which leaves a chain of half the length, until one state is left; then
all are put back (Golub & Van Loan 2013, Matrix Computations, section 4.5.4). It does about twice the
arithmetic of :mod:`.scalar_chains`' walk, in a twentieth of the launches.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bayesdyn.engines.gibbs.lanes import after, before


class Halves(NamedTuple):
    """The even places of a chain, which are integrated out: (K, L) each.

    Attributes
    ----------
    inverse, value
        1 / d, and l.
    before, after
        How much an even place moves against the odd one before it, and the one after it.
    """

    inverse: jax.Array
    value: jax.Array
    before: jax.Array
    after: jax.Array


type _Chain = tuple[jax.Array, jax.Array, jax.Array]


def padded(chain: _Chain) -> _Chain:
    """Return a chain made as long as the next power of two, by states that touch nothing."""
    diagonal, below, linear = chain
    missing = (1 << (len(diagonal) - 1).bit_length()) - len(diagonal)

    def longer(values: jax.Array, fill: float) -> jax.Array:
        return jnp.pad(values, ((0, missing), (0, 0)), constant_values=fill)

    return longer(diagonal, 1.0), longer(below, 0.0), longer(linear, 0.0)


def reduced(chain: _Chain) -> tuple[list[Halves], _Chain]:
    """Return what was integrated out, halving by halving, and the chain of the one state that is left."""
    halvings = []
    while len(chain[0]) > 1:
        halves, chain = _halve(*chain)
        halvings.append(halves)
    return halvings, chain


def _halve(diagonal: jax.Array, below: jax.Array, linear: jax.Array) -> tuple[Halves, _Chain]:
    even, odd = _split(diagonal)
    below_even, below_odd = _split(below)
    value, value_odd = _split(linear)
    inverse = 1 / even
    to_before, to_after = below_even * inverse, below_odd * inverse
    # What the even place after an odd one leaves with it.
    left = after(below_even * to_before), after(value * to_before)
    chain = (
        odd - below_odd * to_after - left[0],
        -below_odd * to_before,
        value_odd - value * to_after - left[1],
    )
    return Halves(inverse, value, to_before, to_after), chain


def log_determinant(halvings: list[Halves], last: _Chain) -> jax.Array:
    """Return the log determinant of each lane's precision (L,)."""
    return jnp.log(last[0][0]) - sum(jnp.sum(jnp.log(one.inverse), axis=0) for one in halvings)


def put_back(halvings: list[Halves], last: jax.Array, noise: list[jax.Array] | None = None) -> jax.Array:
    """Return all states (T, L) from the last one (1, L): their means, or draws where noise is given."""
    states = last
    for number, one in reversed(list(enumerate(halvings))):
        even = one.inverse * one.value - one.before * before(states) - one.after * states
        if noise is not None:
            even = even + noise[number] * jnp.sqrt(one.inverse)
        states = _joined(even, states)
    return states


def covariances(halvings: list[Halves], last: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return variances (T, L), and covariances with the state before, from the last one's variance (1, L)."""
    variance, cross = last, jnp.zeros_like(last)
    for one in reversed(halvings):
        earlier = before(variance)
        even = one.inverse + one.before**2 * earlier + one.after**2 * variance
        even = even + 2 * one.before * one.after * cross
        with_before = -one.before * earlier - one.after * cross
        with_after = -one.before * cross - one.after * variance
        variance, cross = _joined(even, variance), _joined(with_before, with_after)
    return variance, cross


def by_halving(noise: jax.Array) -> tuple[list[jax.Array], jax.Array]:
    """Return noise (T, L), T a power of two, as the halvings take it, and that of the last state."""
    found = []
    while len(noise) > 1:
        even, noise = _split(noise)
        found.append(even)
    return found, noise


def _split(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    pairs = values.reshape(-1, 2, values.shape[-1])
    return pairs[:, 0], pairs[:, 1]


def _joined(even: jax.Array, odd: jax.Array) -> jax.Array:
    return jnp.stack([even, odd], axis=1).reshape(-1, even.shape[-1])
