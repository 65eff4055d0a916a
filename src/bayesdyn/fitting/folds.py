"""Dyad K-fold: fit without a share of the dyads, ask how well the fit predicts them, in turn."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from bayesdyn.artefacts import sha256_dataset
from bayesdyn.errors import FaultList
from bayesdyn.fitting.asked import check_device, check_device_of, check_engine, check_settings
from bayesdyn.fitting.comparing import Predicted
from bayesdyn.fitting.diagnostics import diagnose
from bayesdyn.fitting.drawing import chosen, refitting
from bayesdyn.fitting.fits import posterior_of
from bayesdyn.fitting.likelihood import hyperparameter_draws, likelihood_notes, scores_told
from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.problem import Problem, measurement_of, prepare


def kfold(
    measures: xr.Dataset,
    spec: ModelSpec,
    *,
    folds: int = 10,
    measurement: str | None = None,
    kappa: bool = True,
    engine: str = "auto",
    draws: int = 500,
    tune: int = 500,
    chains: int = 2,
    likelihood_draws: int = 200,
    target_accept: float = 0.9,
    backend: str = "jax",
    device: str = "auto",
    devices: int = 1,
    random_seed: int,
    progress: bool = False,
) -> Predicted:
    """Predict each dyad from fits to the dyads of the other folds.

    Dyads are dealt to folds at random. All fits have the standardisation of all dyads, and the densities are
    those of raw scores, so they can be compared across folds and models. What
    :func:`~bayesdyn.fitting.diagnostics.diagnose` finds wrong with the fit of a fold is among the notes.

    Parameters
    ----------
    measures, spec, measurement, kappa, engine, draws, tune, chains, target_accept, backend, device, devices
        As in :func:`bayesdyn.fit`.
    folds
        Number of folds; as many as there are dyads leave out one at a time.
    likelihood_draws
        How many draws of each fit to evaluate the likelihood at.
    random_seed
        Of the folds, the samplers and the likelihoods.
    progress
        Tell each fold on stderr.

    Raises
    ------
    InputError
        Fewer than two folds or more than dyads, settings that :func:`bayesdyn.fit` refuses, and the faults of
        measures and model that it finds.
    EngineError
        A model that cannot be fitted, or whose likelihood cannot be told.
    """
    from bayesdyn.engines.likelihood import build_likelihood

    problem = prepare(measures, spec, measurement_of(spec, measurement), kappa=kappa)
    faults = FaultList()
    if not 2 <= folds <= len(problem.dyads):
        faults.add(f"folds is {folds}", f"Use 2 to {len(problem.dyads)}, the number of dyads")
    if problem.measurement in ("propagated", "joint"):
        faults.add(
            f"measurement is {problem.measurement!r}",
            "Use known, two_stage or none: folds leave out scores, not ratings",
        )
    if likelihood_draws < chains:
        faults.add(f"likelihood_draws is {likelihood_draws}", f"Use at least {chains}, one of each chain")
    asked = Settings(draws, tune, chains, random_seed, target_accept)
    check_engine(engine, faults)
    check_device(device, devices, faults)
    if engine == "auto":
        engine, problem = chosen(problem, asked.sampler)
    check_device_of(engine, device, devices, faults)
    check_settings(asked, backend, faults)
    faults.raise_if_any("Cannot predict dyads by folds")
    dealing, *seeds = np.random.SeedSequence(random_seed).spawn(1 + 2 * folds)
    fold_of = deal(len(problem.dyads), folds, np.random.default_rng(dealing))
    every = measures_from(problem)
    likelihood, elpd, notes = build_likelihood(problem), np.empty(len(problem.dyads)), list[str]()
    for fold in range(folds):
        if progress:
            sys.stderr.write(f"fold {fold + 1} of {folds}\n")
            sys.stderr.flush()
        left_out = {problem.dyads[d] for d in np.flatnonzero(fold_of == fold)}
        rest = without(every, left_out, problem.measurement)
        # By the problem's own spec: laws that all dyads together call for stay where a fold has no gap.
        training = prepare(rest, problem.spec, problem.measurement)
        sampling, evaluating = (int(seed.generate_state(1)[0]) for seed in seeds[2 * fold : 2 * fold + 2])
        settings = replace(asked, random_seed=sampling, engine=engine)
        drawing = refitting(engine, rest, backend, device, devices)
        (tree,) = drawing.draw(training, [training], [settings])
        fitted = assemble(tree, training, rest, settings)
        verdict = diagnose(fitted)
        posterior = posterior_of(fitted)
        picked = posterior.isel(
            draw=np.linspace(0, draws - 1, min(likelihood_draws // chains, draws)).astype(int)
        )
        found = likelihood.evaluate(hyperparameter_draws(picked, problem, training), evaluating)
        members = np.flatnonzero(fold_of == fold)
        elpd[members] = logsumexp(found.value[:, members], axis=0) - np.log(len(found.value))
        ess, mcse, settled = (part[:, members] for part in (found.ess, found.mcse, found.settled))
        said = likelihood_notes(problem, ess, mcse, settled, "dyad")
        unsound = [" ".join(pair) for pair in zip(verdict.problems, verdict.advice, strict=True)]
        notes += [f"fold {fold + 1}: {note}" for note in (*unsound, *said)]
    table = pd.DataFrame({"dyad": problem.dyads, "elpd": elpd, "fold": fold_of + 1})
    return Predicted(
        kind="kfold",
        model=problem.spec.name,
        by_dyad=table,
        good_k=float("nan"),
        measures=sha256_dataset(measures),
        scores=tuple(scores_told(problem)),
        notes=(*problem.notes, *notes),
    )


def deal(dyads: int, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return each dyad's fold (D,), at random, folds as even as can be."""
    return rng.permutation(np.arange(dyads) % folds)


def without(measures: xr.Dataset, dyads: set[str], measurement: str) -> xr.Dataset:
    """Return measures without some dyads' scores.

    With measurement error their scores are set to unrated: what is unrated tells nothing of the
    hyperparameters, and the rows stay, so one compiled model serves all folds. Scores as they are lose their
    rows, since an unrated predictor would be a latent state.
    """
    held = np.isin(measures["dyad"].values.astype(str), sorted(dyads))
    if measurement == "none":
        return measures.isel(exchange=np.flatnonzero(~held))
    kept = xr.DataArray(~held, dims="exchange")
    return measures.assign({name: measures[name].where(kept) for name in ("score", "se")})


def measures_from(problem: Problem) -> xr.Dataset:
    """Return a problem as measures: filled gaps, coded covariates, units stay.

    Units are those of the scores, and with ``time`` the usual time between two exchanges.
    """
    rated = problem.rated
    labels = [problem.sessions[s] for s in problem.session_of]
    dyads = [problem.dyads[d] for d in problem.dyad_of]
    score = np.where(rated, problem.shift + problem.scale * problem.score, np.nan)
    covariates = {name: ("exchange", problem.covariate[:, q]) for q, name in enumerate(problem.covariates)}
    timed = {}
    if problem.spec.time:
        timed = {problem.spec.time: ("exchange", problem.times), "usual_time": problem.usual_time}
    return xr.Dataset(
        {
            "score": (("exchange", "construct"), score),
            "se": (("exchange", "construct"), np.where(rated, problem.scale * problem.se, np.nan)),
            "shift": ("construct", problem.shift),
            "scale": ("construct", problem.scale),
            "kappa_sd": ("construct", problem.kappa_sd),
            "error_corr": (("construct", "construct2"), problem.error_corr),
            **covariates,
            **timed,
        },
        coords={
            "construct": list(problem.constructs),
            "construct2": list(problem.constructs),
            "dyad": ("exchange", dyads),
            # A session's label is dyad:session; its own id is what follows.
            "session": ("exchange", [one[len(of) + 1 :] for one, of in zip(labels, dyads, strict=True)]),
            "t": ("exchange", problem.t),
        },
        attrs={"notes": "[]", "identification": ""},
    )
