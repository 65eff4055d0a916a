"""Effects of one kind of group: their covariance where they do not hold it fast, then the effects."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs import spreads
from bayesdyn.engines.gibbs.coefficients import Coefficients
from bayesdyn.engines.gibbs.covariances import Move, inverse_of, log_law, solved, with_effects_out
from bayesdyn.engines.gibbs.gaussian import Precisions
from bayesdyn.engines.gibbs.hamiltonian import SlopeAt
from bayesdyn.engines.gibbs.model import Unknowns
from bayesdyn.engines.gibbs.places import Dealt, apart
from bayesdyn.engines.gibbs.spreads import SpreadPrior
from bayesdyn.engines.gibbs.sums import Sums

_MANY, _FOR_EACH = 100, 8
"""Groups, in all and for each number of a covariance, from which on what they tell of it is near a normal."""


@dataclass(frozen=True)
class GroupEffects:
    """The update of the effects of one kind of group; methods are traced.

    Attributes
    ----------
    size, prior
        Effects of each group, and the prior of their covariance.
    dealt
        How sessions are dealt to devices; None: to one.
    """

    coefficients: Coefficients
    name: str
    size: int
    prior: SpreadPrior
    dealt: Dealt | None = None

    def __call__(
        self, keys: Iterator[jax.Array], unknowns: Unknowns, given: Sums, precisions: Precisions, move: Move
    ) -> tuple[Unknowns, jax.Array]:
        """Return the unknowns with other effects and another covariance, and the latter's inverse (E, E).

        Where all effects of a group are drawn together, they are integrated out of the covariance's density,
        and redrawn at once. What is kept of what they were is their noise, which is independent of the
        covariance (:func:`.gaussian.draw_across`), and nothing where they hold a sum. Else the noise is held:
        the other of the two in an interweaving (Yu & Meng 2011, J. Comput. Graph. Stat. 20, 531-570).
        """
        blocks = self._blocks
        if len(blocks) > 1:
            # It moves all effects: what sessions say of one block given the others is looked at after it.
            unknowns = self._noise_held(unknowns, given, precisions, move)
        inverse = self._inverse(unknowns)
        for block in blocks:
            seen = self.coefficients.of_effects(self.name, block, unknowns, given, precisions)
            seen = apart(seen, self.dealt)
            now = known = self.coefficients.known(self.name, block, seen, unknowns, inverse)
            if len(blocks) == 1:
                held = self.coefficients.held(self.name, block, unknowns)
                slope_at = partial(with_effects_out, size=self.size, prior=self.prior, seen=seen, held=held)
                unknowns = self._moved(unknowns, slope_at, move)
                inverse = self._inverse(unknowns)
                known = self.coefficients.known(self.name, block, seen, unknowns, inverse)
            unknowns = self.coefficients.draw_effects(next(keys), self.name, block, now, unknowns, known)
        return unknowns, inverse

    @property
    def begin_metric(self) -> dict[str, jax.Array]:
        """Return the metric that its move begins with, by the move's name, where one is learnt."""
        return {self.named: self._groups * jnp.eye(spreads.length(self.size))} if self.learns else {}

    @property
    def learns(self) -> bool:
        """Return whether the move learns a metric.

        It does where effects are integrated out of the density and much is known of it: it is near a normal
        then, which one long step crosses.
        """
        many = self._groups >= max(_MANY, _FOR_EACH * spreads.length(self.size))
        return many and self.coefficients.model.many_exchanges and len(self._blocks) == 1

    @property
    def _groups(self) -> int:
        return self.coefficients.model.effect_counts[self.name][0]

    @property
    def _blocks(self) -> list[NDArray[np.int64]]:
        return self.coefficients.effect_blocks(self.name)

    @property
    def named(self) -> str:
        """Return the name of the move of its covariance."""
        return f"{self.name} scaled"

    def _moved(self, unknowns: Unknowns, slope_at: SlopeAt, move: Move) -> Unknowns:
        point, count = unknowns.factors[self.name], len(unknowns.effects[self.name])
        moved = move(self.named, slope_at, point, count)
        return unknowns._replace(factors={**unknowns.factors, self.name: moved})

    def _noise_held(self, unknowns: Unknowns, given: Sums, precisions: Precisions, move: Move) -> Unknowns:
        model, effect = self.coefficients.model, unknowns.effects[self.name]
        noise = solved(self._factor(unknowns.factors[self.name]), effect.T).T

        def scaled(point: jax.Array) -> dict[str, jax.Array]:
            return {**unknowns.effects, self.name: noise @ self._factor(point).T}

        def log_density(point: jax.Array) -> jax.Array:
            law = model.law(model.path(unknowns.free), unknowns.level_mean, scaled(point))
            return spreads.log_prior(point, self.size, self.prior) + log_law(law, given, precisions)

        moved = self._moved(unknowns, jax.value_and_grad(log_density), move)
        return moved._replace(effects=scaled(moved.factors[self.name]))

    def _factor(self, point: jax.Array) -> jax.Array:
        return spreads.factor_of(point, self.size)

    def _inverse(self, unknowns: Unknowns) -> jax.Array:
        return inverse_of(self._factor(unknowns.factors[self.name]))
