"""Impulse responses: what a rise of one construct now does to all constructs over the next exchanges."""

from collections.abc import Mapping
from warnings import warn

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.effects.asking import check_at, check_ci_prob, check_name, described
from bayesdyn.effects.equations import Equations, equations_of, residual_covariance, transition_of
from bayesdyn.effects.standardising import spectral_radius
from bayesdyn.errors import BayesdynWarning, FaultList
from bayesdyn.fitting.bands import COLUMNS, band, interval_attrs
from bayesdyn.fitting.fits import posterior_of, scale_of
from bayesdyn.fitting.units import check_units

KINDS = ("plain", "generalised")


def impulse_response(
    fit: xr.DataTree,
    shock: str,
    *,
    horizon: int = 10,
    kind: str = "plain",
    at: Mapping[str, float] | None = None,
    ci_prob: float = 0.95,
    units: str = "standard",
) -> pd.DataFrame:
    """Return how every construct responds to a rise of one SD in the innovation of one, with bands.

    The draws are those of :func:`impulse_draws`, where the formula is.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    shock
        The construct that rises.
    horizon
        The last exchange told; 0 is the exchange of the rise.
    kind
        ``plain``: the other innovations stay at zero; ``generalised``: they rise with it as their residual
        covariance says. Neither is orthogonalised, so no order of the constructs enters.
    at
        Values at which the moderators are held all the while, as in :func:`bayesdyn.effects.effects`; their
        centre where not named.
    ci_prob
        Probability of the equal-tailed credible interval, exchange by exchange.
    units
        ``standard``: SDs as the fit is standardised; ``raw``: points of the response's rating scale. The rise
        is one SD of the innovation in both, and moderators (``at``) stay standardised.

    Returns
    -------
    pandas.DataFrame
        One row per response and exchange ahead: ``shock, response, ahead, mean, sd, lower, upper,
        prob_positive`` and the same of the sum up to that exchange, ``sum_mean`` to ``sum_prob_positive``.
        ``attrs`` hold ``ci_prob``, ``ci_kind``, ``units``, ``kind``,
        ``at`` and ``unstable_share``, the share of draws whose responses do not die out.

    Warns
    -----
    BayesdynWarning
        If there are such draws: the mean and the SD of what grows without bound say little.

    Raises
    ------
    InputError
        An unknown construct, moderator, kind or probability, a horizon that is no whole number or below 0, a
        construct without an equation in this fit.
    """
    faults = FaultList()
    check_ci_prob(ci_prob, faults)
    check_units(units, faults)
    faults.raise_if_any("Cannot tell impulse responses")
    draws = impulse_draws(fit, shock, horizon=horizon, kind=kind, at=at)
    share = draws.attrs["unstable_share"]
    if share:
        told = f"In {100 * share:.2g} % of the draws impulse responses do not die out."
        warn(told, BayesdynWarning, stacklevel=2)
    values = draws.values.reshape(-1, *draws.shape[2:])
    if units == "raw":
        scale = scale_of(fit)
        values = values * np.array([[scale[str(name)]] for name in draws["response"].values])
    now, summed = band(values, ci_prob), band(values.cumsum(axis=-1), ci_prob)
    names = list(map(str, draws["response"].values))
    table = pd.DataFrame(
        {
            "shock": shock,
            "response": np.repeat(names, horizon + 1),
            "ahead": np.tile(np.arange(horizon + 1), len(names)),
            **{name: now[name].ravel() for name in COLUMNS},
            **{f"sum_{name}": summed[name].ravel() for name in COLUMNS},
        }
    )
    told = {name: draws.attrs[name] for name in ("kind", "at", "unstable_share")}
    table.attrs = {**interval_attrs(ci_prob, units), **told}
    return table


def impulse_draws(
    fit: xr.DataTree,
    shock: str,
    *,
    horizon: int = 10,
    kind: str = "plain",
    at: Mapping[str, float] | None = None,
) -> xr.DataArray:
    """Return the draws of the responses to a rise of one SD in the innovation of a construct.

    With the moderators at their values the equations are ``z_t = B z_t + L z_{t-1} + e_t``, ``e_t ~ N(0,
    S)``. The response h exchanges ahead is ``A^h (I - B)^-1 d`` with ``A = (I - B)^-1 L``, with longer lags
    the companion matrix. Plain: ``d =
    sqrt(S_jj) u_j``, u_j the j-th unit vector. Generalised: ``d = S u_j / sqrt(S_jj)``, what all residuals
    are expected to be where the j-th is one SD up (Pesaran & Shin 1998, Economics Letters 58, 17, equation
    10). The residuals are those of the model's own equations: a mediator that follows from the shock within
    the exchange moves by its path, in both kinds, and the shock does not tell of what comes before it. The
    two kinds are one where the residual covariances are zero.

    Parameters
    ----------
    fit, shock, horizon, kind, at
        As in :func:`impulse_response`.

    Returns
    -------
    xr.DataArray
        (chain, draw, response, ahead), standardised units; ``attrs`` hold ``shock``, ``kind``, ``at`` and
        ``unstable_share``.

    Raises
    ------
    InputError
        As :func:`impulse_response`.
    """
    equations, at = equations_of(fit), at or {}
    _check(equations, shock, horizon, kind, at)
    residual = residual_covariance(fit, equations)
    j = equations.constructs.index(shock)
    sd = np.sqrt(residual[:, j, j])
    rise = residual[:, :, j] / sd[:, None]
    if kind == "plain":
        rise = sd[:, None] * np.eye(len(equations.constructs))[j]
    through, transition = transition_of(equations, at)
    state = np.zeros((len(transition), transition.shape[1], 1))
    size = len(equations.constructs)
    state[:, :size] = through @ rise[:, :, None]
    states = [state[:, :size]]
    for _ in range(horizon):
        state = transition @ state
        states.append(state[:, :size])
    path = posterior_of(fit)["path"]
    return xr.DataArray(
        np.concatenate(states, axis=2).reshape(path.sizes["chain"], path.sizes["draw"], -1, horizon + 1),
        dims=("chain", "draw", "response", "ahead"),
        coords={
            "chain": path["chain"],
            "draw": path["draw"],
            "response": list(equations.constructs),
            "ahead": np.arange(horizon + 1),
        },
        name="impulse_response",
        attrs={
            "shock": shock,
            "kind": kind,
            "at": described(equations.moderators, equations, at),
            "unstable_share": float((spectral_radius(transition) >= 1).mean()),
        },
    )


def _check(equations: Equations, shock: str, horizon: int, kind: str, at: Mapping[str, float]) -> None:
    faults = FaultList()
    check_name(shock, equations.constructs, "construct", faults)
    if not isinstance(horizon, int | np.integer) or horizon < 0:
        faults.add(f"horizon is {horizon}", "Give a whole number of exchanges, 0 or more")
    if kind not in KINDS:
        faults.add(f"kind is {kind!r}", f"Use one of {', '.join(KINDS)}")
    check_at(at, equations, faults)
    faults.raise_if_any("Cannot tell impulse responses")
