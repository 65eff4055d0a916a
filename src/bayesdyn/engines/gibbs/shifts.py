"""Moves of what effects share, between the levels that could all hold it: no score sees any change.

Each level is drawn given the others, which mixes slowly; the part that they share is drawn here from its
prior given their sums (generalised Gibbs, Liu & Sabatti 2000, Biometrika 87, 353-369).
"""

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesdyn.engines.gibbs.gaussian import Held, Quadratic, draw, draw_held
from bayesdyn.engines.gibbs.model import Model, Unknowns
from bayesdyn.structure.language.priors import resolve_priors

type Indices = NDArray[np.int64]
type Covariances = dict[str, jax.Array]


@dataclass(frozen=True)
class Shifts:
    """The moves of one model; all methods are traced."""

    model: Model

    @cached_property
    def dyad_means(self) -> bool:
        """Return whether each dyad's mean is used: what is moved between levels then changes it."""
        start = self.model.problem.blocks
        used = {level for entry in self.model.expansion.entries for level, _ in entry.means}
        columns = [column for path in self.model.problem.terms.between for column in path]
        return "dyad" in used or any(column >= start["dyad"] for column in columns)

    def up(self, key: jax.Array, name: str, unknowns: Unknowns, inverse: jax.Array) -> Unknowns:
        """Move what all effects of a group share into grand means and paths."""
        target, place, loc, tau = self._common(name)
        apart = self.model.problem.grouping(name).of_dyad is None
        if not target.size or (apart and (self.dyad_means or self.model.expansion.centres)):
            return unknowns
        effect = unknowns.effects[name]
        now = jnp.concatenate([unknowns.level_mean, unknowns.free])[target]
        total = Quadratic(
            jnp.diag(tau) + len(effect) * inverse[place][:, place],
            jnp.asarray(tau) * (loc - now) + (jnp.sum(effect, axis=0) @ inverse)[place],
        )
        step = draw(key, total)
        every = jnp.concatenate([unknowns.level_mean, unknowns.free]).at[target].add(step)
        means, free = jnp.split(every, [len(unknowns.level_mean)])
        moved = unknowns._replace(
            level_mean=means,
            free=free,
            effects={**unknowns.effects, name: effect.at[:, place].add(-step)},
        )
        taken = self.model.stable(self.model.path(free))
        return jax.tree.map(lambda new, old: jnp.where(taken, new, old), moved, unknowns)

    def _common(self, name: str) -> tuple[Indices, Indices, NDArray[np.float64], NDArray[np.float64]]:
        """Return the grand means and free paths that a group's effects deviate from.

        Their places among means and free coefficients, joined; the effects'; their priors.
        """
        model, table = self.model, self.model.problem.terms
        mean_loc, mean_sd = resolve_priors(model.problem.spec)["mean"].numbers
        found = [
            (int(v), int(place), mean_loc, mean_sd) for place, v in zip(*model.intercepts[name], strict=True)
        ]
        paths, terms, outcomes = model.within
        for slope in table.in_group(name):
            same = (terms == table.slope_term[slope]) & (outcomes == table.slope_outcome[slope])
            for p in paths[same]:
                free = np.flatnonzero(model.paths.pick[p])
                if free.size and model.paths.pick[:, free[0]].sum() == 1:
                    f = int(free[0])
                    at = len(model.own) + f
                    found.append((at, int(table.slope_effect[slope]), model.paths.loc[f], model.paths.sd[f]))
        target, place, loc, sd = (
            (np.array(part) for part in zip(*found, strict=True)) if found else [np.array([], int)] * 4
        )
        return target, place, loc, 1 / np.asarray(sd, dtype=float) ** 2

    def down(self, key: jax.Array, unknowns: Unknowns, inverses: Covariances) -> Unknowns:
        """Move what the sessions of a dyad share into the dyad's effects, and back.

        Where the mean over dyads is a centre, the moves of all dyads are drawn such that it stays.
        """
        if not {"dyad", "session"} <= set(unknowns.effects) or self.dyad_means:
            return unknowns
        effect_of = {name: dict(zip(v, p, strict=True)) for name, (p, v) in self.model.intercepts.items()}
        shared = sorted(set(effect_of["dyad"]) & set(effect_of["session"]))
        if not shared:
            return unknowns
        up, down = (np.array([effect_of[name][v] for v in shared]) for name in ("dyad", "session"))
        # Effects stand in the order of their labels, sessions in that of the devices that hold them.
        facts = self.model.facts
        of = jnp.zeros(len(unknowns.effects["session"]), int).at[facts.group["session"]].set(facts.dyad)
        dyad, session = unknowns.effects["dyad"], unknowns.effects["session"]
        counts = jnp.bincount(of, length=len(dyad)).astype(dyad.dtype)
        total = Quadratic(
            inverses["dyad"][up][:, up] + counts[:, None, None] * inverses["session"][down][:, down],
            jax.ops.segment_sum(session @ inverses["session"], of, len(dyad))[:, down]
            - (dyad @ inverses["dyad"])[:, up],
        )
        inside = self.model.in_centre("dyad", up)
        if inside is None:
            step = draw(key, total)
        else:
            step = draw_held(key, total, Held(*inside, jnp.zeros(len(inside[1]))))
        effects = {
            **unknowns.effects,
            "dyad": dyad.at[:, up].add(step),
            "session": session.at[:, down].add(-step[of]),
        }
        return unknowns._replace(effects=effects)
