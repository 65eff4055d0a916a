"""Run an engine on measures and a spec, and return the fit as a plain ArviZ DataTree."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesdyn.artefacts import sha256_dataset, sha256_text, stamped, versions
from bayesdyn.structure.data.rated import as_measured
from bayesdyn.structure.language.model_text import to_text
from bayesdyn.structure.problem import Problem
from bayesdyn.structure.quantities import UNDEFINED, in_names_of_fit, undefined_notes
from bayesdyn.tables import RATER_PRIORS

if TYPE_CHECKING:
    from bayesdyn.engines.pymc_engine import Compiled

SAMPLERS = MappingProxyType({"nutpie": "nutpie", "numpyro": "NumPyro", "blackjax": "BlackJAX"})
"""Packages whose NUTS can draw: name of the module, and as written."""
RATER_BUDGET = (
    "error_budget", "replicates", "shared_error", "shared_error_lower", "shared_error_upper",
)  # fmt: skip
"""What a fit keeps of what its measures tell of their raters, if they do."""


@dataclass(frozen=True)
class Settings:
    """What a run of the sampler needs beside the problem; see :func:`bayesdyn.fit` for each."""

    draws: int
    tune: int
    chains: int
    random_seed: int
    target_accept: float = 0.9
    latent_draws: int = 0
    sampler: str = "nutpie"
    engine: str = "pymc"


def drawn(compiled: "Compiled", problem: Problem, settings: Settings, progress: bool = False) -> xr.DataTree:
    """Return the draws of the reference engine, as :func:`.pymc_engine.draw` gives them."""
    from bayesdyn.engines.pymc_engine import draw

    return draw(
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


def assemble(tree: xr.DataTree, problem: Problem, measures: xr.Dataset, settings: Settings) -> xr.DataTree:
    """Turn an engine's draws into a fit with the names and dims of the public face."""
    raw = tree["posterior"].to_dataset()
    posterior = in_names_of_fit(raw, problem.spec, problem.constructs, problem.endogenous)
    problem = replace(problem, notes=(*problem.notes, *undefined_notes(posterior)))
    groups = {
        "posterior": posterior,
        "sample_stats": tree["sample_stats"].to_dataset(),
        "observed_data": _observed_data(problem),
        "constant_data": _constant_data(problem).assign(rater_budget(measures, problem.constructs)),
    }
    for name in {"latent", "latent_summary"} & set(tree.children):
        of_exchanges = tree[name].to_dataset().assign_coords(_exchange_coordinates(problem))
        groups[name] = of_exchanges.drop_vars("construct2")
    fitted = xr.DataTree.from_dict(groups)
    fitted.attrs = _attributes(problem, measures, settings)
    return fitted


def identity(problem: Problem, measures: xr.Dataset, settings: Settings) -> dict[str, str]:
    """Return what a run that goes on from a checkpoint must share with the one that began, by name.

    The number of draws is not among it: a run that has ended may go on to more.
    """
    found = versions()
    told = ("chains", "tune", "latent_draws", "random_seed")
    return {
        "measures": sha256_dataset(measures),
        "model": sha256_text(to_text(problem.spec)),
        "measurement": problem.measurement,
        "kappa": json.dumps(bool(problem.kappa_sd.any())),
        **{name: json.dumps(getattr(settings, name)) for name in told},
        **{f"version of {name}": found[name] for name in ("bayesdyn", "jax")},
    }


def _on_exchanges(values: Mapping[str, np.ndarray], problem: Problem) -> xr.Dataset:
    return xr.Dataset(
        {name: (("exchange", "construct"), value) for name, value in values.items()},
        coords=_exchange_coordinates(problem),
    )


def _observed_data(problem: Problem) -> xr.Dataset:
    data = _on_exchanges({"score": np.where(problem.rated, problem.score, np.nan)}, problem)
    if problem.rated_by is not None:
        return data.assign(as_measured(problem.rated_by, problem.shift, problem.scale))
    return data


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


def _sampler(settings: Settings, found: Mapping[str, str]) -> str:
    if settings.engine == "jax":
        return f"bayesdyn {found['bayesdyn']} Gibbs sweeps"
    return f"{SAMPLERS[settings.sampler]} {found[settings.sampler]} NUTS"


def _attributes(problem: Problem, measures: xr.Dataset, settings: Settings) -> dict[str, str]:
    text = to_text(problem.spec)
    # A refit has measures that carry the notes of the first fit.
    earlier = [one for one in json.loads(measures.attrs.get("notes", "[]")) if not one.startswith(UNDEFINED)]
    notes = list(dict.fromkeys([*earlier, *problem.notes]))
    told = ("draws", "tune", "chains", "target_accept")
    found = versions()
    inputs = {"measures": sha256_dataset(measures), "model": sha256_text(text)}
    of_raters = {RATER_PRIORS: measures.attrs[RATER_PRIORS]} if problem.rated_by is not None else {}
    return {
        **of_raters,
        "model": problem.spec.name,
        "spec": json.dumps(text),
        "measurement": problem.measurement,
        "engine": settings.engine,
        "sampler": _sampler(settings, found),
        "random_seed": json.dumps(settings.random_seed),
        "settings": json.dumps({name: getattr(settings, name) for name in told}),
        "versions": json.dumps(found),
        "inputs": json.dumps(inputs),
        "notes": json.dumps(notes),
        "identification": str(measures.attrs.get("identification", "")),
        "interval": json.dumps({"ci_kind": "eti", "ci_prob": 0.95}),
        # So that a plain to_netcdf gives a file that every stage reads.
        **stamped("fit", inputs),
    }
