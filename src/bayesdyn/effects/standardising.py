"""Paths in units of what varies within sessions: within-person standardisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from warnings import warn

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.effects.asking import check_at, check_ci_prob, described
from bayesdyn.effects.equations import Equations, equations_of, residual_covariance, transition_of
from bayesdyn.errors import BayesdynWarning, Fault, FaultList, InputError
from bayesdyn.fitting.bands import band, interval_attrs
from bayesdyn.fitting.fits import posterior_of

_DOUBLINGS = 60  # A^(2^60): a spectral radius of 1 - 1e-16 is still summed to the end


def standardised(
    fit: xr.DataTree, *, at: Mapping[str, float] | None = None, ci_prob: float = 0.95
) -> pd.DataFrame:
    """Return every path within sessions in standard deviations within sessions.

    A path b of the term x on y becomes ``b sd(x) / sd(y)``, draw by draw, the SDs being those of the latent
    scores within a session: within-person standardisation, the fixed-effects form of Schuurman, Ferrer,
    Boer-Sonnenschein & Hamaker (2016), Psychological Methods 21, 206. A product has the product of its
    factors' SDs (standardise first, then multiply: Friedrich 1982, American Journal of Political Science
    26, 797). Covariates and means of sessions or dyads keep their units. The SDs are those of
    :func:`within_sd`.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    at
        Values of the moderators at which the SDs are worked out, as in :func:`bayesdyn.effects.effects`;
        their centre where not named.
    ci_prob
        Probability of the equal-tailed credible interval.

    Returns
    -------
    pandas.DataFrame
        ``path, outcome, term, mean, sd, lower, upper, prob_positive``. ``attrs`` hold ``ci_prob``,
        ``ci_kind``, ``units`` ("within-session sd"), ``at``, ``sd_from`` (model or scores) and
        ``unstable_share``, the share of draws without a stationary variance, which are left out. A path of a
        construct that has no SD within sessions is NaN.

    Raises
    ------
    InputError
        An unknown moderator or probability; no draw is stationary.
    """
    equations, at = equations_of(fit), at or {}
    faults = FaultList()
    check_at(at, equations, faults)
    check_ci_prob(ci_prob, faults)
    faults.raise_if_any("Cannot standardise")
    spread = _spread(fit, equations, at)
    sd = dict(zip(equations.constructs, spread.sd.T, strict=True))
    ratios = np.column_stack(
        [
            np.prod([sd[f.name] for f in path.term.factors if f.kind != "mean" and f.name in sd], axis=0)
            / sd[path.outcome]
            for path in equations.paths
        ]
    )
    table = pd.DataFrame(
        {
            "path": [path.name for path in equations.paths],
            "outcome": [path.outcome for path in equations.paths],
            "term": [str(path.term) for path in equations.paths],
            **band((equations.draws * ratios)[spread.stable], ci_prob),
        }
    )
    table.attrs = {
        **interval_attrs(ci_prob),
        "units": "within-session sd",
        "at": described(equations.moderators, equations, at),
        "sd_from": spread.source,
        "unstable_share": float(1 - spread.stable.mean()),
    }
    return table


def within_sd(fit: xr.DataTree, *, at: Mapping[str, float] | None = None) -> xr.DataArray:
    """Return the latent SD of each construct within a session, draw by draw.

    With the moderators at their values the equations are ``z_t = B z_t + L z_{t-1} + e_t``, ``e_t ~ N(0,
    S)``, z being deviations from the session's mean. Their stationary covariance G solves the discrete
    Lyapunov equation ``G = A G A' + U`` with ``A = (I - B)^-1 L`` and ``U = (I - B)^-1 S (I - B)^-T``
    (Hamilton 1994, Time Series Analysis, section 10.2), with longer lags that of the companion matrix; the
    SDs are the roots of its diagonal. It is the variance at the average slopes and residual SDs and given
    the covariates: what varying slopes, products of two deviations and a trend over the session add is not
    in it.

    Where a construct has no equation (scores taken as they are), the scores are the states: the SDs are
    those of the scores, pooled within sessions, the same in every draw.

    Returns
    -------
    xr.DataArray
        (chain, draw, construct), standardised units; NaN in draws whose spectral radius is 1 or more, and for
        a construct whose scores never vary within a session.
        ``attrs["sd_from"]`` is ``model`` or ``scores``.

    Raises
    ------
    InputError
        An unknown moderator; no draw is stationary.

    Warns
    -----
    BayesdynWarning
        If some draws are not stationary.
    """
    equations, at = equations_of(fit), at or {}
    faults = FaultList()
    check_at(at, equations, faults)
    faults.raise_if_any("Cannot tell the variance within sessions")
    spread, path = _spread(fit, equations, at), posterior_of(fit)["path"]
    return xr.DataArray(
        spread.sd.reshape(path.sizes["chain"], path.sizes["draw"], -1),
        dims=("chain", "draw", "construct"),
        coords={"chain": path["chain"], "draw": path["draw"], "construct": list(equations.constructs)},
        name="within_sd",
        attrs={"sd_from": spread.source},
    )


@dataclass(frozen=True)
class _Spread:
    """SDs within sessions (N, C), which draws have them (N,), and what they are from."""

    sd: np.ndarray
    stable: np.ndarray
    source: str


def _spread(fit: xr.DataTree, equations: Equations, at: Mapping[str, float]) -> _Spread:
    size = (len(equations.draws), len(equations.constructs))
    if set(equations.endogenous) != set(equations.constructs):
        return _Spread(np.broadcast_to(_score_sd(fit), size), np.ones(size[0], dtype=bool), "scores")
    transition, innovation = reduced_form(fit, equations, at)
    stable = spectral_radius(transition) < 1
    _tell_unstable(~stable)
    every = np.diagonal(stationary_covariance(transition, innovation), axis1=1, axis2=2)
    return _Spread(np.sqrt(every[:, : size[1]]), stable, "model")


def reduced_form(
    fit: xr.DataTree, equations: Equations, at: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return A = (I - B)^-1 L and U = (I - B)^-1 S (I - B)^-T, every construct endogenous.

    Both are (N, C, C); with lags up to K (N, K C, K C), those of the companion form.
    """
    through, transition = transition_of(equations, at)
    innovation = np.zeros_like(transition)
    size = len(equations.constructs)
    innovation[:, :size, :size] = through @ residual_covariance(fit, equations) @ through.swapaxes(1, 2)
    return transition, innovation


def stationary_covariance(transition: np.ndarray, innovation: np.ndarray) -> np.ndarray:
    """Solve G = A G A' + U for each draw by doubling.

    ``G = sum_k A^k U A'^k``; each step doubles the number of terms that are summed (Smith 1968, SIAM Journal
    on Applied Mathematics 16, 198).

    Parameters
    ----------
    transition, innovation
        A and U, both (N, V, V).

    Returns
    -------
    numpy.ndarray
        (N, V, V); NaN in draws whose spectral radius is 1 or more, where there is no such G.
    """
    stable = spectral_radius(transition) < 1
    power, total = transition[stable], innovation[stable]
    for _ in range(_DOUBLINGS):
        step = power @ total @ power.swapaxes(1, 2)
        total, power = total + step, power @ power
        if not step.any() or np.abs(step).max() <= 1e-15 * np.abs(total).max():
            break
    found = np.full_like(innovation, np.nan)
    found[stable] = total
    return found


def spectral_radius(transition: np.ndarray) -> np.ndarray:
    """Return the largest modulus of the eigenvalues of each (N, V, V)."""
    return np.abs(np.linalg.eigvals(transition)).max(axis=1)


def _tell_unstable(unstable: np.ndarray) -> None:
    if unstable.all():
        remedy = "Look at the lags with bayesdyn.summary; hold moderators nearer to their centre"
        fault = Fault("every draw has a spectral radius of 1 or more", remedy)
        raise InputError("These equations have no stationary variance", [fault])
    if unstable.any():
        share = f"{100 * unstable.mean():.2g} % of the draws"
        warn(f"{share} are not stationary and have no SD within sessions.", BayesdynWarning, stacklevel=4)


def _score_sd(fit: xr.DataTree) -> np.ndarray:
    """Return the SD (C,) of the scores within sessions, n less the number of sessions below; NaN without."""
    score = fit["observed_data"].to_dataset()["score"]
    frame = pd.DataFrame(score.transpose("exchange", "construct").values)
    grouped = frame.groupby(score["session"].values)
    within = frame - grouped.transform("mean")
    freedom = frame.notna().sum() - (grouped.count() > 0).sum()
    squares = (within**2).sum()
    # Nothing to divide by, or nothing that varies: there is no unit to standardise in.
    return np.sqrt(squares.where(squares > 0) / freedom).to_numpy()
