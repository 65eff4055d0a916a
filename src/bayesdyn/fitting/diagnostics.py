"""One verdict on a run of the sampler, with advice in plain words.

Thresholds follow Vehtari et al. (2021, Bayesian Analysis 16, 667-718): rank-normalised split R-hat below
1.01, bulk and tail ESS of at least 100 per chain; and Betancourt (2016, arXiv 1604.00695): BFMI of at least
0.3.
"""

from dataclasses import dataclass

import arviz as az
import numpy as np
import xarray as xr

from bayesdyn.fitting.fits import posterior_of
from bayesdyn.structure.data.rated import RATER_NAMES

RHAT, ESS_PER_CHAIN, BFMI, ACCEPTED = 1.01, 100, 0.3, 0.5
_PARAMETERS = (
    "path", "defined", "level_mean", "residual_cov", "predictor_cov", "cross_cov", "dyad_cov", "session_cov",
    "start_cov", "decay", "kappa", *RATER_NAMES, "token_weight",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What the diagnostics say of a fit.

    Attributes
    ----------
    ok
        Whether nothing below is a problem.
    problems, advice
        One sentence each; advice answers the problem at the same place.
    rhat, ess_bulk, ess_tail
        The worst over all paths and covariance components, and the quantity ``worst`` that has the worst
        R-hat.
    divergences, max_depth_hits
        Counts over all kept draws.
    bfmi
        The lowest over chains; NaN of ``engine="jax"``, whose sweeps have no energy.
    """

    ok: bool
    problems: tuple[str, ...]
    advice: tuple[str, ...]
    rhat: float
    ess_bulk: float
    ess_tail: float
    divergences: int
    max_depth_hits: int
    bfmi: float
    worst: str


def diagnose(fit: xr.DataTree) -> Verdict:
    """Gather R-hat, ESS, divergences, tree depth and BFMI of a fit into one verdict.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives. Constant quantities, such as fixed paths, have no R-hat and are passed
        over.
    """
    posterior, stats = posterior_of(fit), fit["sample_stats"].to_dataset()
    names = [name for name in _PARAMETERS if name in posterior]
    parameters = xr.Dataset({name: posterior[name].reset_coords(drop=True) for name in names})
    chains, draws = parameters.sizes["chain"], parameters.sizes["draw"]
    # A constant (a fixed path, kappa of an error known exactly) divides 0 by 0, which _flat passes over.
    with np.errstate(invalid="ignore", divide="ignore"):
        rhats = _flat(az.rhat(parameters)) if chains > 1 else {}
        bulk = _flat(az.ess(parameters, method="bulk"))
        tail = _flat(az.ess(parameters, method="tail", prob=0.9))
    worst = max(rhats, key=lambda name: rhats[name]) if rhats else ""
    rhat = rhats[worst] if worst else float("nan")
    divergences = int(stats["diverging"].sum())
    hits = int(stats["maxdepth_reached"].sum()) if "maxdepth_reached" in stats else 0
    # Gibbs sweeps have no energy of their own; their Hamiltonian moves tell how often each was accepted.
    bfmi = _bfmi(stats["energy"].transpose("chain", "draw").values) if "energy" in stats else float("nan")

    problems: list[tuple[str, str]] = []
    if chains == 1:
        problems.append(
            ("One chain only: convergence cannot be judged.", "Run at least two chains, better four.")
        )
    if worst and not rhat < RHAT:
        problems.append((f"R-hat is {rhat:.3f} for {worst} (want < {RHAT}).", "Double tune and draws."))
    least = min(min(bulk.values()), min(tail.values()))
    if not least >= ESS_PER_CHAIN * chains:
        problems.append(
            (
                f"The least ESS is {least:.0f} (want {ESS_PER_CHAIN * chains}).",
                "Raise draws by what is missing.",
            )
        )
    if divergences:
        problems.append(
            (
                f"{divergences} of {chains * draws} draws diverged.",
                "Raise target_accept to 0.95, or tighten priors."
                if "energy" in stats
                else "Raise tune, or tighten the priors of the SDs.",
            )
        )
    if hits > 0.01 * chains * draws:
        problems.append((f"{hits} draws reached the tree depth's limit.", "Slow, not wrong: raise tune."))
    if "acceptance" in stats:
        for move, rate in stats["acceptance"].mean(("chain", "draw")).to_series().items():
            if not rate >= ACCEPTED:
                problems.append(
                    (f"The moves of {move} are accepted at {rate:.2f} (want {ACCEPTED}).", "Raise tune.")
                )
    if bfmi < BFMI:
        problems.append(
            (f"BFMI is {bfmi:.2f} (want {BFMI}).", "Level SDs may be weakly identified: tighten level_sd.")
        )
    return Verdict(
        ok=not problems,
        problems=tuple(problem for problem, _ in problems),
        advice=tuple(advice for _, advice in problems),
        rhat=rhat,
        ess_bulk=min(bulk.values()),
        ess_tail=min(tail.values()),
        divergences=divergences,
        max_depth_hits=hits,
        bfmi=bfmi,
        worst=worst,
    )


def _flat(found: xr.Dataset) -> dict[str, float]:
    """Return every finite component by name; symmetric components stand once."""
    values: dict[str, float] = {}
    for name in map(str, found.data_vars):
        array = found[name]
        axes = [[str(label) for label in array[dim].values] for dim in array.dims]
        for place in np.ndindex(array.shape):
            value = float(array.values[place])
            repeated = name.endswith("_cov") and len(place) == 2 and place[0] > place[1]
            if np.isfinite(value) and not repeated:
                label = ", ".join(axis[i] for axis, i in zip(axes, place, strict=True))
                values[f"{name}[{label}]" if label else name] = value
    return values


def _bfmi(energy: np.ndarray) -> float:
    """Return the lowest energy Bayesian fraction of missing information over chains (Betancourt 2016)."""
    moves = np.square(np.diff(energy, axis=1)).mean(axis=1)
    return float(np.min(moves / energy.var(axis=1)))
