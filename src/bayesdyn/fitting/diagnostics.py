"""One verdict on a run of the sampler, with advice in plain words.

Thresholds follow Vehtari et al. (2021, Bayesian Analysis 16, 667-718): rank-normalised split R-hat below
1.01, bulk and tail ESS of at least 100 per chain; and Betancourt (2016, arXiv 1604.00695): BFMI of at least
0.3.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdyn.fitting.fits import posterior_of, spec_of
from bayesdyn.fitting.mixing import constant, imputations_of, mixing
from bayesdyn.structure.components import components
from bayesdyn.structure.data.rated import RATER_NAMES

RHAT, ESS_PER_CHAIN, BFMI = 1.01, 100, 0.3
ACCEPTED, HOPELESS = 0.5, 0.05
_PARAMETERS = (
    "path", "defined", "level_mean", "residual_cov", "predictor_cov", "cross_cov", "start_cov", "decay",
    "kappa", *RATER_NAMES, "token_weight",
)  # fmt: skip
"""What is judged beside the covariance of each group's effects."""


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
        R-hat. Of a propagated fit, R-hat is that of the worst imputation, and the effective draws are summed
        over imputations.
    divergences, max_depth_hits
        Counts over all kept draws; 0 of ``engine="jax"``, whose moves are judged by their acceptance.
    bfmi
        The lowest over chains; NaN of ``engine="jax"``, whose sweeps have no energy.
    imputations
        How many draws of the raters' parameters a propagated fit pools; 0 of other fits.
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
    imputations: int = 0

    @property
    def line(self) -> str:
        """The verdict in one line."""
        found = f"{len(self.problems)} problem{'s' if len(self.problems) > 1 else ''}"
        rhat = f"R-hat {self.rhat:.3f}" if np.isfinite(self.rhat) else "no R-hat"
        ess = min(self.ess_bulk, self.ess_tail)
        told = f"least ESS {ess:.0f}" if np.isfinite(ess) else "no ESS"
        return f"Diagnostics: {'ok' if self.ok else found}, {rhat}, {told}."

    @property
    def pooled(self) -> str:
        """What pooling means for precision, in a sentence; empty where nothing is pooled."""
        if not self.imputations:
            return ""
        return (
            f"It pools {self.imputations} imputations: what is not known of the raters is told as exactly as "
            f"by {self.imputations} draws of their parameters, however many effective draws there are."
        )


def diagnose(fit: xr.DataTree) -> Verdict:
    """Gather R-hat, ESS, divergences, tree depth and BFMI of a fit into one verdict.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives. Constant quantities, such as fixed paths, have no R-hat and are passed
        over; one that varies and has none is a problem.
    """
    posterior, stats = posterior_of(fit), fit["sample_stats"].to_dataset()
    judged = (*_PARAMETERS, *(f"{group}_cov" for group in spec_of(fit).groups))
    names = [name for name in judged if name in posterior]
    parameters = xr.Dataset({name: posterior[name].reset_coords(drop=True) for name in names})
    chains, draws = parameters.sizes["chain"], parameters.sizes["draw"]
    imputation = imputations_of(fit)
    pooled = 0 if imputation is None else len(np.unique(imputation))
    found, still = mixing(parameters, imputation), components(constant(parameters))
    rhats, bulk, tail = (
        {name: value for name, value in components(part).items() if not still[name]}
        for part in (found.rhat, found.ess_bulk, found.ess_tail)
    )
    asked = (rhats, bulk, tail) if chains > 1 else (bulk, tail)
    unjudged = [name for name in bulk if not all(np.isfinite(part[name]) for part in asked)]
    rhats, bulk, tail = (
        {name: value for name, value in part.items() if np.isfinite(value)} for part in (rhats, bulk, tail)
    )
    worst = max(rhats, key=lambda name: rhats[name]) if rhats else ""
    rhat = rhats[worst] if worst else float("nan")
    ess_bulk, ess_tail = (min(part.values(), default=float("nan")) for part in (bulk, tail))
    divergences = int(stats["diverging"].sum()) if "diverging" in stats else 0
    hits = int(stats["maxdepth_reached"].sum()) if "maxdepth_reached" in stats else 0
    # Gibbs sweeps have no energy of their own; their Hamiltonian moves tell how often each was accepted.
    bfmi = _bfmi(stats["energy"].transpose("chain", "draw").values) if "energy" in stats else float("nan")

    problems: list[tuple[str, str]] = []
    if chains == 1:
        problems.append(
            ("One chain only: convergence cannot be judged.", "Run at least two chains, better four.")
        )
    if unjudged:
        problems.append(_of_unjudged(unjudged))
    if worst and not rhat < RHAT:
        each = f": each of {pooled} imputations has {draws // pooled} draws of a chain" if pooled else ""
        problems.append(
            (f"R-hat is {rhat:.3f} for {worst} (want < {RHAT}).", f"Double tune and draws{each}.")
        )
    least = min(ess_bulk, ess_tail)
    if least < ESS_PER_CHAIN * chains:
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
                "Raise target_accept to 0.95, or tighten priors.",
            )
        )
    if hits > 0.01 * chains * draws:
        problems.append((f"{hits} draws reached the tree depth's limit.", "Slow, not wrong: raise tune."))
    if "acceptance" in stats:
        problems += _of_moves(stats["acceptance"])
    if bfmi < BFMI:
        problems.append(
            (f"BFMI is {bfmi:.2f} (want {BFMI}).", "Level SDs may be weakly identified: tighten level_sd.")
        )
    return Verdict(
        ok=not problems,
        problems=tuple(problem for problem, _ in problems),
        advice=tuple(advice for _, advice in problems),
        rhat=rhat,
        ess_bulk=ess_bulk,
        ess_tail=ess_tail,
        divergences=divergences,
        max_depth_hits=hits,
        bfmi=bfmi,
        worst=worst,
        imputations=pooled,
    )


def _of_unjudged(names: list[str]) -> tuple[str, str]:
    """Return the problem of quantities that vary and whose R-hat or ESS is no number."""
    shown = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
    return (
        f"R-hat or ESS is no number, although draws vary, of {len(names)}: {shown}.",
        "Draws that are no numbers, chains that stand still or fewer than 4 draws of a chain do that: "
        "look at them, raise tune and draws.",
    )


def _of_moves(acceptance: xr.DataArray) -> list[tuple[str, str]]:
    """Return problems of Gibbs sweeps' Hamiltonian moves (chain, draw, move), each in its worst chain.

    A proposal of probability 0 missed by an energy of more than 700: such moves stand still where a spread
    is next to 0, and a chain that meets many has not seen the rest of the posterior.
    """
    problems = []
    by_chain = acceptance.mean("draw").min("chain").to_series()
    hopeless = (acceptance == 0).mean("draw").max("chain").to_series()
    for move, rate in by_chain.items():
        if not rate >= ACCEPTED:
            problems.append(
                (f"A chain accepts the moves of {move} at {rate:.2f} (want {ACCEPTED}).", "Raise tune.")
            )
        if hopeless[move] > HOPELESS:
            problems.append(
                (
                    f"A chain rejects {hopeless[move]:.0%} of the moves of {move} for certain.",
                    "A spread may be next to 0: raise draws, or leave out what does not vary.",
                )
            )
    return problems


def _bfmi(energy: np.ndarray) -> float:
    """Return the lowest energy Bayesian fraction of missing information over chains (Betancourt 2016)."""
    moves = np.square(np.diff(energy, axis=1)).mean(axis=1)
    return float(np.min(moves / energy.var(axis=1)))
