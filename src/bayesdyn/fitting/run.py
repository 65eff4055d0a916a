"""Run an engine on measures and a spec, and return the fit as a plain ArviZ DataTree."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesdyn.artefacts import sha256_dataset, sha256_text, versions
from bayesdyn.errors import EngineError, FaultList
from bayesdyn.structure.model_text import to_text
from bayesdyn.structure.problem import Problem, measurement_of, prepare
from bayesdyn.structure.quantities import in_names_of_fit
from bayesdyn.structure.spec import ModelSpec

if TYPE_CHECKING:
    from bayesdyn.engines.pymc_engine import Compiled

ENGINES = ("auto", "pymc")
IMPUTATIONS = 20
SAMPLERS = MappingProxyType({"nutpie": "nutpie", "numpyro": "NumPyro", "blackjax": "BlackJAX"})
"""Packages whose NUTS can draw: name of the module, and as written."""
RATER_BUDGET = (
    "error_budget", "replicates", "shared_error", "shared_error_lower", "shared_error_upper",
)  # fmt: skip
"""What a fit keeps of what its measures tell of their raters, if they do."""


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
        measures of :func:`bayesdyn.measure`; ``none``: scores as they are, the usual analysis. Missing scores
        are latent in all. None: what the model file says, and ``known``
        where it says nothing.
    engine
        ``pymc``, the reference engine; ``auto`` chooses.
    draws, tune, chains
        Kept draws and warm-up draws of each chain, number of chains.
    random_seed
        Seed of the sampler.
    kappa
        False takes the standard errors as known exactly.
    backend
        How the model is compiled: ``jax``, or, for nutpie, ``numba``.
    sampler
        Whose NUTS draws, all from the same density: ``nutpie``, ``numpyro`` or ``blackjax`` (an extra,
        ``bayesdyn[blackjax]``). nutpie adapts fastest (docs/measured.md).
    target_accept
        Acceptance rate that the step size is adapted to. Above Stan's .8: on posteriors with weakly known
        variances, as these are, the shorter steps give more effective draws per second (docs/measured.md).
    latent_draws
        How many draws of the latent scores to keep in the group ``latent``; 0 keeps none.
    imputations
        With ``propagated``: at how many draws of the rater parameters the model is fitted; each has a warm-up
        of its own, and ``draws`` are dealt among them.
    progress
        Show a progress bar on stderr.

    Returns
    -------
    xr.DataTree
        Groups ``posterior``, ``sample_stats``, ``observed_data``, ``constant_data`` and, when asked for,
        ``latent``. In ``posterior``, all in standardised units: ``path`` (chain, draw, path_name) with
        coordinates ``path_outcome``, ``path_term``, ``path_label``, ``path_origin``; ``defined`` (quantity);
        ``residual_cov`` (outcome, outcome2); ``predictor_cov`` (predictor, predictor2);
        ``cross_cov`` (outcome, predictor) where ``~~`` joins the two; ``dyad_cov``, ``session_cov``,
        ``start_cov``; ``dyad_effects`` (dyad, dyad_effect); ``session_effects``;
        ``level_mean``; ``kappa``. Attributes hold the spec, seed, versions, hashes of the inputs and notes,
        as JSON.

    Raises
    ------
    InputError
        Faults of the measures or the model: see :func:`bayesdyn.structure.problem.prepare`.
    EngineError
        An unknown engine, a model that it cannot fit, or a sampler that is not installed.
    """
    from bayesdyn.engines.pymc_engine import compile_problem

    _check_settings(engine, backend, sampler, draws, tune, chains)
    problem = prepare(measures, spec, measurement_of(spec, measurement), kappa=kappa)
    settings = Settings(draws, tune, chains, random_seed, target_accept, latent_draws, sampler)
    if problem.measurement == "propagated":
        from bayesdyn.fitting.propagated import fit_propagated  # it imports this module

        return fit_propagated(
            measures, spec, settings, backend=backend, imputations=imputations, progress=progress
        )
    compiled = compile_problem(problem, backend, sampler)
    return run(compiled, problem, measures, settings, progress=progress)


@dataclass(frozen=True)
class Settings:
    """What a run of the sampler needs beside the problem; see :func:`fit` for each."""

    draws: int
    tune: int
    chains: int
    random_seed: int
    target_accept: float = 0.9
    latent_draws: int = 0
    sampler: str = "nutpie"


def run(
    compiled: "Compiled",
    problem: Problem,
    measures: xr.Dataset,
    settings: Settings,
    *,
    progress: bool = False,
) -> xr.DataTree:
    """Draw for a problem with an engine compiled for its shape, and assemble the fit."""
    from bayesdyn.engines.pymc_engine import draw

    tree = draw(
        compiled,
        problem,
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        random_seed=settings.random_seed,
        target_accept=settings.target_accept,
        latent_draws=settings.latent_draws,
        progress=progress,
    )
    return assemble(tree, problem, measures, settings)


def assemble(tree: xr.DataTree, problem: Problem, measures: xr.Dataset, settings: Settings) -> xr.DataTree:
    """Turn an engine's draws into a fit with the names and dims of the public face."""
    raw = tree["posterior"].to_dataset()
    posterior = in_names_of_fit(raw, problem.spec, problem.constructs, problem.endogenous)
    groups = {
        "posterior": posterior,
        "sample_stats": tree["sample_stats"].to_dataset(),
        "observed_data": _on_exchanges({"score": np.where(problem.rated, problem.score, np.nan)}, problem),
        "constant_data": _constant_data(problem).assign(rater_budget(measures, problem.constructs)),
    }
    if "latent" in tree.children:
        latent = tree["latent"].to_dataset()
        groups["latent"] = latent.assign_coords(_exchange_coordinates(problem)).drop_vars("construct2")
    fitted = xr.DataTree.from_dict(groups)
    fitted.attrs = _attributes(problem, measures, settings)
    return fitted


def _on_exchanges(values: Mapping[str, np.ndarray], problem: Problem) -> xr.Dataset:
    return xr.Dataset(
        {name: (("exchange", "construct"), value) for name, value in values.items()},
        coords=_exchange_coordinates(problem),
    )


def _exchange_coordinates(problem: Problem) -> dict[str, object]:
    labels = [problem.sessions[s] for s in problem.session_of]
    return {
        "construct": list(problem.constructs),
        "construct2": list(problem.constructs),
        "dyad": ("exchange", [problem.dyads[d] for d in problem.dyad_of]),
        "session": ("exchange", labels),
        "t": ("exchange", problem.t),
    }


def _constant_data(problem: Problem) -> xr.Dataset:
    data = _on_exchanges({"se": np.where(problem.rated, problem.se, np.nan)}, problem)
    data["shift"] = ("construct", problem.shift)
    data["scale"] = ("construct", problem.scale)
    data["kappa_sd"] = ("construct", problem.kappa_sd)
    data["error_corr"] = (("construct", "construct2"), problem.error_corr)
    for q, name in enumerate(problem.covariates):
        data[name] = ("exchange", problem.covariate[:, q])
    if problem.spec.time:
        data[problem.spec.time] = ("exchange", problem.times)
    for name in problem.spec.crossed:
        grouping = problem.grouping(name)
        data[name] = ("exchange", [grouping.labels[of] for of in grouping.of])
    return data


def rater_budget(measures: xr.Dataset, constructs: Sequence[str]) -> xr.Dataset:
    """Return what measures tell of their raters that planning further ratings needs; empty where they do not.

    Parameters
    ----------
    measures
        From :func:`bayesdyn.measure`; scores from elsewhere have no raters.
    constructs
        Those of the model.

    Returns
    -------
    xr.Dataset
        ``error_budget`` (source, rater, construct), shares of one rating's variance; ``replicates`` and
        ``rated_share`` (rater, construct), mean number behind a rating, and share of the exchanges that
        this rater rated; ``shared_error`` with ``_lower`` and ``_upper`` (construct), a 90 % interval.
    """
    if not {*RATER_BUDGET, "rating"} <= set(map(str, measures.data_vars)):
        return xr.Dataset()
    chosen = measures.sel(construct=list(constructs))
    kept = chosen[list(RATER_BUDGET)]
    return kept.assign(rated_share=chosen["rating"].notnull().mean("exchange"))


def _attributes(problem: Problem, measures: xr.Dataset, settings: Settings) -> dict[str, str]:
    text = to_text(problem.spec)
    notes = [*json.loads(measures.attrs.get("notes", "[]")), *problem.notes]
    told = ("draws", "tune", "chains", "target_accept")
    found = versions()
    return {
        "model": problem.spec.name,
        "spec": json.dumps(text),
        "measurement": problem.measurement,
        "engine": "pymc",
        "sampler": f"{SAMPLERS[settings.sampler]} {found[settings.sampler]} NUTS",
        "random_seed": json.dumps(settings.random_seed),
        "settings": json.dumps({name: getattr(settings, name) for name in told}),
        "versions": json.dumps(found),
        "inputs": json.dumps({"measures": sha256_dataset(measures), "model": sha256_text(text)}),
        "notes": json.dumps(notes),
        "identification": str(measures.attrs.get("identification", "")),
        "interval": json.dumps({"ci_kind": "eti", "ci_prob": 0.95}),
    }


def _check_settings(engine: str, backend: str, sampler: str, draws: int, tune: int, chains: int) -> None:
    faults = FaultList()
    if engine not in ENGINES:
        faults.add(f"engine {engine!r} is unknown", f"Use one of {', '.join(ENGINES)}")
    if backend not in ("jax", "numba"):
        faults.add(f"backend {backend!r} is unknown", "Use jax or numba")
    if sampler not in SAMPLERS:
        faults.add(f"sampler {sampler!r} is unknown", f"Use one of {', '.join(SAMPLERS)}")
    elif backend == "numba" and sampler != "nutpie":
        faults.add(f"{SAMPLERS[sampler]} draws on JAX, not on numba", 'Use backend="jax"')
    elif find_spec(sampler) is None:
        faults.add(f"{SAMPLERS[sampler]} is not installed", f'Run pip install "bayesdyn[{sampler}]"')
    for name, value, least in (("draws", draws, 4), ("tune", tune, 1), ("chains", chains, 1)):
        if value < least:
            faults.add(f"{name} is {value}", f"Use at least {least}")
    faults.raise_if_any("Cannot fit", EngineError)
