"""The log-likelihood of a fit by dyad and by session, with the latent states and the effects integrated out.

A pointwise likelihood given the latent states says how well the states were fitted to the very scores that
they are to predict; importance sampling from it fails (Merkle, Furr & Rabe-Hesketh 2019, Psychometrika 84,
802-829). What is left out here is a dyad, or a session, as a whole.
"""

import json

import numpy as np
import xarray as xr

from bayesdyn.artefacts import sha256_dataset
from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import measures_of, notes_of, posterior_of, spec_of
from bayesdyn.structure.data.rated import RATER_NAMES
from bayesdyn.structure.problem import Problem, prepare
from bayesdyn.structure.quantities import join_residual_cov

UNITS = ("dyad", "session")
LEAST_ESS, MOST_MCSE = 10.0, 0.2
"""A log-likelihood is told to be poor where its importance weights count for fewer than ten of 64, or where
its Monte Carlo standard error is above .2: a fifth of a nat, small beside what tells models apart."""


def log_likelihood(
    fit: xr.DataTree,
    measures: xr.Dataset | None = None,
    *,
    by: str = "dyad",
    draws: int = 200,
    random_seed: int,
) -> xr.Dataset:
    """Return the log-likelihood of each dyad, or of each session, in draws of a fit.

    Of a dyad it is ``log p(its scores | hyperparameters)``: its effects, its sessions' effects and its latent
    states are integrated out. Of a session it is ``log p(its scores | hyperparameters, its dyad's effects)``.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    measures
        What it was fitted to, to make sure that it was: a fit carries what is needed of its measures.
    by
        ``dyad`` or ``session``.
    draws
        How many draws to evaluate at, evenly spaced within each chain.
    random_seed
        Seed of the importance sampling.

    Returns
    -------
    xr.Dataset
        Dims (chain, draw, dyad) or (chain, draw, session): ``log_likelihood``, log density of the scores in
        raw units; ``ess``, the effective number of 64 importance weights; ``mcse``, the Monte Carlo standard
        error of ``log_likelihood``. Where a model has no product of unknowns all weights are equal and it is
        exact. Attributes: ``model``, ``measures`` (hash), ``scores`` (the constructs whose scores it tells,
        as JSON), ``by``, ``random_seed`` and ``notes`` (JSON).

    Raises
    ------
    InputError
        Other measures than the fit's, an unknown ``by``, fewer than one draw of each chain; a ``propagated``
        fit, whose posterior is no prior times one likelihood.
    EngineError
        A model whose likelihood cannot be told.
    """
    from bayesdyn.engines.likelihood import build_likelihood

    posterior, faults = posterior_of(fit), FaultList()
    chains = posterior.sizes["chain"]
    if by not in UNITS:
        faults.add(f"by is {by!r}", f"Use one of {', '.join(UNITS)}")
    if draws < chains:
        faults.add(f"draws is {draws}", f"Use at least {chains}, one of each chain")
    if measures is not None:
        check_measures(fit, measures, faults)
    check_whole(fit, 'Ask a fit with measurement="known" or "joint"', faults)
    faults.raise_if_any("Cannot tell the log-likelihood")
    problem = problem_of(fit)
    kept = posterior.sizes["draw"]
    picked = posterior.isel(draw=np.linspace(0, kept - 1, min(draws // chains, kept)).astype(int))
    found = build_likelihood(problem, by).evaluate(hyperparameter_draws(picked, problem), random_seed)
    shape = (chains, picked.sizes["draw"], -1)
    notes = likelihood_notes(problem, found.ess, found.mcse, found.settled, by)
    return xr.Dataset(
        {
            name: (("chain", "draw", by), value.reshape(shape))
            for name, value in (("log_likelihood", found.value), ("ess", found.ess), ("mcse", found.mcse))
        },
        coords={
            "chain": picked["chain"].values,
            "draw": picked["draw"].values,
            by: list(problem.dyads if by == "dyad" else problem.sessions),
        },
        attrs={
            "model": str(fit.attrs["model"]),
            "measures": measures_hash(fit),
            "scores": json.dumps(scores_told(problem)),
            "by": by,
            "random_seed": random_seed,
            "notes": json.dumps([*notes_of(fit), *notes]),
        },
    )


def check_whole(fit: xr.DataTree, remedy: str, faults: FaultList) -> None:
    """Note a cut posterior: it was never weighed by the likelihood of one set of scores."""
    if fit.attrs["measurement"] == "propagated":
        faults.add("a propagated fit is a cut posterior and no prior times likelihood", remedy)


def measures_hash(fit: xr.DataTree) -> str:
    """Return the hash of the measures that a fit was made from."""
    return str(json.loads(fit.attrs["inputs"])["measures"])


def check_measures(fit: xr.DataTree, measures: xr.Dataset, faults: FaultList) -> None:
    """Note measures that are not those of a fit."""
    if sha256_dataset(measures) != measures_hash(fit):
        faults.add("these measures are not those that the fit was made from", "Give the measures of the fit")


def problem_of(fit: xr.DataTree) -> Problem:
    """Return the problem that a fit solved, from what the fit keeps."""
    return prepare(measures_of(fit), spec_of(fit), str(fit.attrs["measurement"]))


def scores_told(problem: Problem) -> list[str]:
    """Return the constructs whose scores a likelihood is the density of, sorted.

    Where scores are taken as they are, those without an equation are given, like covariates. The density of
    a construct's ratings is another than that of its scores, and is told so.
    """
    if problem.rated_by is not None:
        return sorted(f"{name} (each rating)" for name in problem.constructs)
    return sorted(problem.endogenous if problem.measurement == "none" else problem.constructs)


def hyperparameter_draws(
    posterior: xr.Dataset, problem: Problem, fitted: Problem | None = None
) -> dict[str, np.ndarray]:
    """Return a posterior's draws (K, ...) in the names and the order of the engine.

    Parameters
    ----------
    posterior
        Draws of a fit.
    problem
        The problem whose likelihood is asked for.
    fitted
        The problem of the fit where it is another, of other dyads.
    """
    from bayesdyn.engines.integrand import grand_centre

    stacked = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
    names = (
        "path", "level_mean", "kappa", "decay", "start_cov", "dyad_cov", "session_cov", "dyad_effects",
        *RATER_NAMES, "token_weight",
    )  # fmt: skip
    # A fit may have been stored in single precision, as the sample study is; densities are in double.
    values = {name: stacked[name].values.astype(np.float64) for name in names if name in stacked}
    values["residual_cov"] = join_residual_cov(stacked, problem.endogenous).values
    if problem.spec.centring == "grand":
        values["grand_centre"] = grand_centre(
            fitted or problem, values["level_mean"], values.get("dyad_effects")
        )
    return values


def likelihood_notes(
    problem: Problem, ess: np.ndarray, mcse: np.ndarray, settled: np.ndarray, by: str
) -> list[str]:
    """Return what must be said of log-likelihoods (K, U): a large Monte Carlo error, a grand centre."""
    notes = []
    poor = (ess < LEAST_ESS) | (mcse > MOST_MCSE) | ~settled
    if poor.any():
        units = int(poor.any(axis=0).sum())
        notes.append(
            f"The log-likelihoods of {units} of {poor.shape[1]} {by}s are poorly known in some draws "
            f"({poor.mean():.1%} of all values; worst standard error {mcse.max():.2f}): long sessions with "
            "many noisy products are hard to integrate over."
        )
    if problem.spec.centring == "grand":
        notes.append(
            "Constructs are centred at the grand mean of the dyads that were fitted, known in each draw."
        )
    return notes
