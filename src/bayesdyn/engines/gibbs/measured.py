"""How one construct is measured: the unknowns that its errors go with, and the scores that follow from them.

Scores with standard errors have kappa, the log scale of the errors' variance. Ratings (measurement ``joint``)
have their raters' parameters, and given these they are scores, with standard errors, and a rest
(:mod:`bayesdyn.engines.raters`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtr
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.expected import slope_of_errors, slopes_of_scores
from bayesdyn.engines.gibbs.lanes import dot, total
from bayesdyn.engines.gibbs.model import Model, Unknowns
from bayesdyn.engines.gibbs.scalar_chains import Moments
from bayesdyn.engines.gibbs.states import Errors
from bayesdyn.engines.gibbs.sums import Rows, put
from bayesdyn.engines.raters import (
    Raters,
    Ratings,
    Scores,
    beta_priors,
    normal_places,
    raters_at,
    scores_of,
    told,
)
from bayesdyn.structure.data.rated import Rated


class Scored(NamedTuple):
    """A construct's scores at K unknowns of its measurement.

    Attributes
    ----------
    rows
        With these scores.
    beside
        What their log density has beside the squares of the errors: determinants, and the ratings' rest.
    slope
        Gives the slope (K,) of the expected log density, of what the scores say of the states and the states'
        moments.
    """

    rows: Rows
    beside: jax.Array
    slope: Callable[[Errors, Moments], jax.Array]


class Measured(Protocol):
    """How a construct is measured, with K unknowns."""

    @property
    def moves(self) -> NDArray[np.bool_]:
        """Return (K,) which unknowns the scores tell of; the others are held."""
        ...

    def of(self, unknowns: Unknowns) -> jax.Array:
        """Return the measurement's own unknowns (K,)."""
        ...

    def put(self, unknowns: Unknowns, values: jax.Array) -> Unknowns:
        """Return all unknowns with others (K,) of the measurement."""
        ...

    def log_prior(self, values: jax.Array) -> jax.Array:
        """Return their log prior."""
        ...

    def scored(self, values: jax.Array, rows: Rows) -> Scored:
        """Return the scores at the measurement's unknowns (K,)."""
        ...


@dataclass(frozen=True)
class GivenScores:
    """Scores of construct c with standard errors; K is 1, kappa by its prior SD."""

    model: Model
    c: int

    @property
    def moves(self) -> NDArray[np.bool_]:
        """Return whether kappa is not 0 for certain."""
        return self.model.problem.kappa_sd[[self.c]] > 0

    def of(self, unknowns: Unknowns) -> jax.Array:
        """Return kappa by its prior SD."""
        return unknowns.kappa_raw[self.c, None]

    def put(self, unknowns: Unknowns, values: jax.Array) -> Unknowns:
        """Return all unknowns with another kappa."""
        return unknowns._replace(kappa_raw=unknowns.kappa_raw.at[self.c].set(values[0]))

    def log_prior(self, values: jax.Array) -> jax.Array:
        """Return the log prior of kappa."""
        return -0.5 * jnp.sum(values**2)

    def scored(self, values: jax.Array, rows: Rows) -> Scored:
        """Return the scores as they are: what kappa does to their errors is in :class:`.states.Errors`."""
        facts = self.model.facts
        rated, sd = facts.rated[self.c], facts.kappa_sd[self.c]

        def slope(errors: Errors, moments: Moments) -> jax.Array:
            by_kappa = slope_of_errors(errors, rows.score[self.c], moments)
            return (sd * (by_kappa - 0.5 * rated))[None]

        return Scored(rows, -0.5 * rated * sd * values[0], slope)


@dataclass(frozen=True)
class RatedScores:
    """Ratings of construct c; K unconstrained numbers tell its raters' parameters, Betas by their probits.

    ``rated`` holds this construct only. By its logit a share that may be 0 has a long flat tail, in which a
    chain of short moves stays for hundreds of sweeps; by its probit the tail is a normal's.
    """

    rated: Rated
    name: str
    c: int

    @cached_property
    def _sizes(self) -> dict[str, int]:
        normals = {name: place.shape[1] for name, place in normal_places(self.rated).items()}
        return normals | {name: len(prior) for name, prior in beta_priors(self.rated).items()}

    @property
    def moves(self) -> NDArray[np.bool_]:
        """Return True for each."""
        return np.ones(sum(self._sizes.values()), dtype=bool)

    def of(self, unknowns: Unknowns) -> jax.Array:
        """Return the construct's raters' numbers."""
        return unknowns.raters[self.name]

    def put(self, unknowns: Unknowns, values: jax.Array) -> Unknowns:
        """Return all unknowns with other raters of the construct."""
        return unknowns._replace(raters={**unknowns.raters, self.name: values})

    def parts(self, values: jax.Array) -> dict[str, jax.Array]:
        """Return the numbers by the names of :mod:`bayesdyn.engines.raters`, unconstrained."""
        ends = np.cumsum(list(self._sizes.values()))[:-1]
        return dict(zip(self._sizes, jnp.split(values, ends), strict=True))

    def log_prior(self, values: jax.Array) -> jax.Array:
        """Return the log prior, with the Jacobian of the probits."""
        parts, betas = self.parts(values), beta_priors(self.rated)
        value = -0.5 * jnp.sum(values**2)
        for name, (a, b) in ((name, prior.T) for name, prior in betas.items()):
            value = value + (a - 1) @ log_ndtr(parts[name]) + (b - 1) @ log_ndtr(-parts[name])
        return value

    def raters(self, values: jax.Array) -> Raters[jax.Array]:
        """Return the raters' parameters (rater, 1), and the weight of tokens (1,)."""
        parts, betas = self.parts(values), beta_priors(self.rated)
        raw = {name: ndtr(part) if name in betas else part for name, part in parts.items()}
        return raters_at(jnp, self.rated, raw)

    def scored(self, values: jax.Array, rows: Rows) -> Scored:
        """Return the scores that the ratings are at these raters."""
        c, rated = self.c, rows.rated[self.c]

        def scores(values: jax.Array) -> Scores[jax.Array]:
            return self._scores(values, rows)

        found, back = jax.vjp(scores, values)
        score, log_se, rest = found = _kept(found)

        def slope(errors: Errors, moments: Moments) -> jax.Array:
            by_score, by_log_se = slopes_of_scores(errors, score, rated, moments)
            (by_values,) = back(Scores(by_score, by_log_se, jnp.ones_like(rest)))
            return by_values

        precision = _kept(rated * jnp.exp(-log_se))
        laid = rows._replace(score=put(rows.score, c, score), precision=put(rows.precision, c, precision))
        return Scored(laid, total(rest) - dot(rated, log_se), slope)

    def _scores(self, values: jax.Array, rows: Rows) -> Scores[jax.Array]:
        """Return the scores and the rest (T, L)."""
        if rows.ratings is None:
            raise AssertionError("a joint problem has ratings")
        lanes = rows.later.shape[1]

        def in_lanes(value: jax.Array) -> jax.Array:
            # By lane before it is of the states' precision: so slopes are summed over lanes in double.
            return jnp.broadcast_to(value[..., None], (*value.shape, lanes)).astype(rows.later.dtype)

        at = jax.tree.map(in_lanes, self.raters(values))
        # One rater after the other: sums over a short axis are slow on a processor.
        first, *others = np.flatnonzero(self.rated.present[:, 0]).tolist()
        every = told(jnp, *self._of(first, at, rows.ratings))
        for r in others:
            every = jax.tree.map(jnp.add, every, told(jnp, *self._of(r, at, rows.ratings)))
        return scores_of(jnp, every)

    def _of(
        self, r: int, at: Raters[jax.Array], ratings: Ratings[jax.Array]
    ) -> tuple[Ratings[jax.Array], Raters[jax.Array]]:
        """Return ratings and parameters of one rater."""
        severity, discrimination, error_sd, shared, weight = at
        own = Raters(severity[r], discrimination[r], error_sd[r], shared[r], weight)
        return Ratings(*(one[self.c, r] for one in ratings)), own


def measured(model: Model, c: int) -> GivenScores | RatedScores:
    """Return how a construct is measured."""
    rated_by = model.problem.rated_by
    if rated_by is None:
        return GivenScores(model, c)
    return RatedScores(rated_by.of(c), model.problem.constructs[c], c)


_kept = jax.lax.optimization_barrier
