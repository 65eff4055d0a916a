"""One variable of a covariance given the others: its regression on them, and what they leave of its variance.

A covariance of which all but one row is held is told by that row's slopes b and the log of the rest v: its
precision is that of the others and u u' / v, u = (1, -b). So a row can move while the others' law stays.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.engines.gibbs.spreads import SpreadPrior


class Others(NamedTuple):
    """What is held: the variable's place, and the others' covariance (B - 1, B - 1) with its inverse."""

    place: int
    covariance: jax.Array
    inverse: jax.Array

    @property
    def places(self) -> np.ndarray:
        """Return the others' places."""
        return np.setdiff1d(np.arange(len(self.covariance) + 1), [self.place])


def split(covariance: jax.Array, place: int) -> tuple[jax.Array, Others]:
    """Return a variable's row as log v and b, (B,), and what is held."""
    places = np.setdiff1d(np.arange(len(covariance)), [place])
    inside = covariance[places][:, places]
    inverse = jnp.linalg.inv(inside) if places.size else inside
    slope = inverse @ covariance[places, place]
    rest = covariance[place, place] - slope @ covariance[places, place]
    return jnp.concatenate([jnp.log(rest)[None], slope]), Others(place, inside, inverse)


def joined(row: jax.Array, others: Others) -> jax.Array:
    """Return the covariance (B, B) of a row and what is held: the inverse of :func:`split`."""
    places, place = others.places, others.place
    shared = others.covariance @ row[1:]
    whole = jnp.zeros((len(row), len(row))).at[np.ix_(places, places)].set(others.covariance)
    whole = whole.at[places, place].set(shared).at[place, places].set(shared)
    return whole.at[place, place].set(jnp.exp(row[0]) + row[1:] @ shared)


def precision(row: jax.Array, others: Others) -> jax.Array:
    """Return the inverse covariance (B, B)."""
    places, place = others.places, others.place
    inside = jnp.zeros((len(row), len(row))).at[np.ix_(places, places)].set(others.inverse)
    seen = jnp.zeros(len(row)).at[place].set(1.0).at[places].set(-row[1:])
    return inside + jnp.outer(seen, seen) * jnp.exp(-row[0])


def log_prior(row: jax.Array, others: Others, prior: SpreadPrior) -> jax.Array:
    """Return the log prior of a row, up to a constant.

    Half-normal SDs s and LKJ correlations R have the density prod_i exp(-s_i^2 / (2 sd^2)) s_i^-B times
    |R|^(eta - 1) in the elements of the covariance; |R| is v times what is held, over prod_i s_i^2; of these
    SDs a row has one.
    """
    size = len(row)
    variance = jnp.exp(row[0]) + row[1:] @ others.covariance @ row[1:]
    value = row[0] + (prior.eta - 1) * (row[0] - jnp.log(variance))
    return value - 0.5 * variance / prior.sd**2 - 0.5 * size * jnp.log(variance)
