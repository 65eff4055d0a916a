"""The paths of each dyad, and how far they are drawn to their common mean."""

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.effects.asking import check_ci_prob, find_path
from bayesdyn.effects.equations import Equations, equations_of
from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.fitting.bands import COLUMNS, band, interval_attrs
from bayesdyn.fitting.fits import flat, posterior_of
from bayesdyn.structure.language.spec import Path


def dyad_paths(fit: xr.DataTree, path: str | None = None, *, ci_prob: float = 0.95) -> pd.DataFrame:
    """Return the path of each dyad where a slope varies by dyad: the common path plus the dyad's effect.

    How far the dyads' effects are drawn to zero is told by the pooling factor of Gelman & Pardoe (2006,
    Technometrics 48, 241): ``1 - V_d(E(b_d)) / E(V_d(b_d))``, b_d the dyad's effect, E over the draws, V_d
    the variance over the D dyads with D - 1 below. Near 0, each dyad is told by its own exchanges; near 1,
    the dyads hardly tell themselves apart and their means all lie near the common path. Above .5 there is
    more pooling than not. The variance of the posterior means then understates how much dyads differ: that
    is ``dyad_sd``, the SD of the slopes over dyads in the model.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    path
        A path whose slope varies, e.g. ``disclosure ~ empathy``; None gives every one.
    ci_prob
        Probability of the equal-tailed credible interval.

    Returns
    -------
    pandas.DataFrame
        One row per path and dyad: ``path, dyad, mean, sd, lower, upper, prob_positive, pooling, dyad_sd``;
        ``pooling`` and ``dyad_sd`` (posterior mean) are the same for all dyads of a path. A path with
        products is the slope where its moderators are 0. ``attrs`` hold ``ci_prob``, ``ci_kind``, ``units``.

    Raises
    ------
    InputError
        A path that does not vary by dyad, a fit of one dyad, an unknown path or probability.
    """
    equations, posterior = equations_of(fit), posterior_of(fit)
    varying = {_key(item.outcome, slope.key) for item in equations.spec.varying if item.group == "dyad"
               for slope in item.slopes}  # fmt: skip
    chosen = [one for one in equations.paths if _key(one.outcome, one.term.key) in varying]
    chosen = _asked(equations, chosen, path, ci_prob)
    effects = posterior["dyad_effects"]
    if effects.sizes["dyad"] < 2:
        fault = Fault("there is one dyad in it", "Pooling is between dyads: fit two or more")
        raise InputError("This fit has no paths of dyads", [fault])
    places = {_key(*_parts(str(name))): e for e, name in enumerate(effects["dyad_effect"].values)}
    every, spread = flat(effects), np.diagonal(flat(posterior["dyad_cov"]), axis1=1, axis2=2)
    tables = []
    for one in chosen:
        place = places[_key(one.outcome, one.term.key)]
        own = every[:, :, place]
        common = equations.draws[:, equations.paths.index(one)]
        found = pd.DataFrame({"dyad": effects["dyad"].values.astype(str)})
        found.insert(0, "path", one.name)
        columns = band(common[:, None] + own, ci_prob)
        deviation = float(np.sqrt(spread[:, place]).mean())
        tables.append(found.assign(**columns, pooling=pooling_factor(own), dyad_sd=deviation))
    table = pd.concat(tables, ignore_index=True)[["path", "dyad", *COLUMNS, "pooling", "dyad_sd"]]
    table.attrs = interval_attrs(ci_prob)
    return table


def pooling_factor(effects: np.ndarray) -> float:
    """Return 1 - V_d(E(b_d)) / E(V_d(b_d)) of effects (N, D) (Gelman & Pardoe 2006)."""
    between = effects.mean(axis=0).var(ddof=1)
    return float(1 - between / effects.var(axis=1, ddof=1).mean())


def _asked(equations: Equations, varying: list[Path], path: str | None, ci_prob: float) -> list[Path]:
    """Return the paths that were asked for, all faults gathered."""
    faults = FaultList()
    check_ci_prob(ci_prob, faults)
    if not varying:
        faults.add("no slope of this model varies by dyad", "Write for instance y ~ (1 + x | dyad)")
    elif path is not None:
        found = find_path(path, equations.paths, faults)
        if found is not None and found not in varying:
            named = ", ".join(one.name for one in varying)
            faults.add(f"{found.name!r} does not vary by dyad", f"These do: {named}")
        varying = [one for one in varying if one == found]
    faults.raise_if_any("Cannot tell the paths of dyads")
    return varying


def _key(outcome: str, term: tuple[str, ...]) -> tuple[str, ...]:
    return (outcome, *term)


def _parts(name: str) -> tuple[str, tuple[str, ...]]:
    outcome, _, term = name.partition(" ~ ")
    return outcome, tuple(sorted(term.split(":")))
