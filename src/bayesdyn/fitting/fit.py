"""Fit a structural model: the settings, checked, and the road that the measurement asks for."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from warnings import warn

import xarray as xr

from bayesdyn.errors import DataWarning, EngineError, FaultList
from bayesdyn.fitting.asked import check_device, check_device_of, check_engine, check_settings
from bayesdyn.fitting.drawing import Drawing, Reference, Sweeping, chosen
from bayesdyn.fitting.fits import posterior_of
from bayesdyn.fitting.propagated import fit_propagated
from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.problem import measurement_of, prepare
from bayesdyn.structure.quantities import undefined_notes

IMPUTATIONS = 20


def fit(
    measures: xr.Dataset,
    spec: ModelSpec,
    *,
    measurement: str | None = None,
    engine: str = "auto",
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    random_seed: int,
    kappa: bool = True,
    backend: str = "jax",
    sampler: str = "nutpie",
    target_accept: float = 0.9,
    latent_draws: int = 0,
    imputations: int = IMPUTATIONS,
    until: Mapping[str, float] | None = None,
    resume: str | Path | None = None,
    device: str = "auto",
    devices: int = 1,
    progress: bool = False,
) -> xr.DataTree:
    """Draw from the posterior of a structural model.

    Parameters
    ----------
    measures
        Scores with standard errors, dims (exchange, construct): from :func:`bayesdyn.measure`,
        :func:`bayesdyn.as_measures` or :func:`bayesdyn.simulate`.
    spec
        From :func:`bayesdyn.load_model`.
    measurement
        ``known``: each exchange's own se, with the uncertainty of the error variance (kappa);
        ``two_stage``: one reliability per construct, for comparison (two-stage path analysis; with
        ``kappa=False`` the reliabilities are taken as known, as there); ``propagated``: everything that is
        not known of the raters, carried forward without feedback (:mod:`bayesdyn.fitting.propagated`); needs
        measures of :func:`bayesdyn.measure`; ``joint``: the ratings' own likelihood in the fit, so that
        raters and structure are learnt together and each informs the other
        (:mod:`bayesdyn.engines.raters`); needs the same; ``none``: scores as they are, the usual
        analysis. Missing scores are latent in all. None: what the model file says, and ``known`` where it
        says nothing.
    engine
        ``pymc``, the reference engine, which fits every model; ``jax``, Gibbs sweeps of our own
        (:mod:`bayesdyn.engines.gibbs`): the same posterior for linear laws whose lags do not decay with
        time, at a cost that large corpora can pay. It refuses what it cannot do. ``auto`` takes the sweeps
        from 5,000 exchanges up, and the reference engine below, and where the sweeps cannot do what the model
        holds: then a note says what that is.
    draws, tune, chains
        Kept draws and warm-up draws of each chain, number of chains.
    random_seed
        Seed of the sampler, 0 to 2^32 - 1.
    kappa
        False takes the standard errors as known exactly.
    backend
        How the model is compiled: ``jax``, or, for nutpie, ``numba``.
    sampler
        Whose NUTS draws, all from the same density: ``nutpie``, ``numpyro`` or ``blackjax`` (an extra,
        ``bayesdyn[blackjax]``). nutpie adapts fastest (docs/measured.md).
    target_accept
        Acceptance rate, between 0 and 1, that the step size is adapted to. Above Stan's .8: on posteriors
        with weakly known variances, as these are, the shorter steps give more effective draws per second
        (docs/measured.md).
    latent_draws
        How many draws of the latent scores to keep in the group ``latent``; 0 keeps none.
    imputations
        With ``propagated``: at how many draws of the rater parameters the model is fitted; each has a warm-up
        of its own, and ``draws`` are dealt among them.
    until
        With sweeps: stop before ``draws`` when all paths, means, covariances, kappa and raters' parameters
        have at least ``ess`` effective draws (bulk; 400 where only ``rhat`` is given) and an R-hat of at most
        ``rhat`` (1.01), and stop warming up before ``tune`` when the chains have met. Not with
        ``propagated``.
    resume
        With ``engine="jax"``: a folder that keeps checkpoints, one every 50 sweeps. If it holds one of the
        same fit, the run goes on from there, and gives the draws of a run that was never interrupted.
    device
        With sweeps: ``cpu``, ``gpu``, or ``auto``: what JAX takes.
    devices
        With ``engine="jax"``: over how many of them the sessions are spread, on this host or on several
        (docs/engines.md). A run goes on from a checkpoint of as many.
    progress
        Show a progress bar on stderr.

    Returns
    -------
    xr.DataTree
        Groups ``posterior``, ``sample_stats``, ``observed_data``, ``constant_data``, when asked for
        ``latent``, and of sweeps ``latent_summary``: ``mean`` and ``sd`` (exchange, construct) of the latent
        scores over all draws. In ``posterior``, all in standardised units: ``path`` (chain, draw, path_name)
        with coordinates ``path_outcome``, ``path_term``, ``path_label``, ``path_origin``; ``defined``
        (quantity);
        ``residual_cov`` (outcome, outcome2); ``predictor_cov`` (predictor, predictor2);
        ``cross_cov`` (outcome, predictor) where ``~~`` joins the two; ``dyad_cov``, ``session_cov``,
        ``start_cov``; ``dyad_effects`` (dyad, dyad_effect); ``session_effects``;
        ``level_mean``; ``kappa``; with ``joint`` also ``severity``, ``discrimination``, ``error_sd``,
        ``shared`` (rater, construct), ``token_weight``. Attributes hold the spec, seed, versions, hashes of
        the inputs and notes, as JSON.

    Warns
    -----
    DataWarning
        Once, with what measures and model make of each other, a sentence a line: levels that are one, dyads
        or groups that are few, sessions and dyads that tell little, gaps, priors that no path has, and how
        text was coded. Once more after the run where a defined quantity is undefined in some draws. The notes
        of the fit have the same sentences.

    Raises
    ------
    InputError
        Faults of the measures or the model: see :func:`bayesdyn.structure.problem.prepare`.
    EngineError
        An unknown engine, a setting that cannot be used, a model that the engine cannot fit, a sampler that
        is not installed, a checkpoint of another fit, a device that is not there, or a study that memory
        cannot hold.
    """
    settings = Settings(draws, tune, chains, random_seed, target_accept, latent_draws, sampler)
    _check_settings(engine, device, devices, settings, backend)
    problem = prepare(measures, spec, measurement_of(spec, measurement), kappa=kappa)
    if engine == "auto":
        engine, problem = chosen(problem, sampler)
    _check_run(engine, sampler, chains, until, resume, device, devices, problem.measurement)
    if problem.notes:
        warn("\n".join(problem.notes), DataWarning, stacklevel=2)
    drawing: Drawing = Reference(backend, progress)
    if engine == "jax":
        settings = replace(settings, engine=engine)
        folder = Path(resume) if resume else None
        drawing = Sweeping(measures, until, folder, device, devices, progress)
    if problem.measurement == "propagated":
        drawn = fit_propagated(measures, spec, settings, drawing, imputations)
    else:
        (tree,) = drawing.draw(problem, [problem], [settings])
        drawn = assemble(tree, problem, measures, replace(settings, draws=tree["posterior"].sizes["draw"]))
    undefined = undefined_notes(posterior_of(drawn))
    if undefined:
        warn("\n".join(undefined), DataWarning, stacklevel=2)
    return drawn


def _check_run(
    engine: str,
    sampler: str,
    chains: int,
    until: Mapping[str, float] | None,
    resume: str | Path | None,
    device: str,
    devices: int,
    measurement: str,
) -> None:
    faults = FaultList()
    if until is not None and measurement == "propagated":
        faults.add(
            'until is not for measurement "propagated", whose draws are dealt among imputations',
            "Leave until out, and ask for draws",
        )
    check_device_of(engine, device, devices, faults)
    if engine == "jax" and sampler != "nutpie":
        faults.add(f"sampler {sampler!r} is not for engine 'jax', which sweeps", 'Use engine="pymc"')
    if until is not None and chains < 2:
        faults.add("until needs an R-hat, which one chain has not", "Use at least two chains")
    for name, given in (("until", until), ("resume", resume)):
        if given is not None and engine != "jax":
            faults.add(f"{name} is not for engine {engine!r}", f'Use engine="jax", or leave {name} out')
    least = {"ess": 1.0, "rhat": 1.0}
    for name, value in (until or {}).items():
        if name not in least:
            faults.add(f"until has {name!r}", "Give ess, rhat or both")
        elif not value > least[name]:
            faults.add(f"until has {name} {value}", f"Give {name} above {least[name]:g}")
    faults.raise_if_any("Cannot fit", EngineError)


def _check_settings(engine: str, device: str, devices: int, settings: Settings, backend: str) -> None:
    faults = FaultList()
    check_device(device, devices, faults)
    check_engine(engine, faults)
    check_settings(settings, backend, faults)
    faults.raise_if_any("Cannot fit", EngineError)
