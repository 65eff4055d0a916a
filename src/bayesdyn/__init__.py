"""Hierarchical Bayesian structural models of psychotherapy process, from ratings with their uncertainty.

The public face, in the order of a study: :func:`read_transcripts`, :func:`rate`, :func:`read_ratings`,
:func:`agreement`, :func:`measure` (or :func:`as_measures`), :func:`load_model`, :func:`simulate`,
:func:`simulate_ratings`, :func:`prior`, :func:`fit`, :func:`summary`, :func:`predictive`,
:func:`predictive_checks`, :func:`check_claims`, :func:`log_likelihood`, :func:`log_prior`, :func:`loo_dyads`,
:func:`kfold`, :func:`compare`, :func:`sensitivity`, :func:`plan_ratings`, :func:`report`,
:func:`load_example`, and :func:`build_pymc`, the model to extend by hand; and two rooms: ``effects``, what
follows from a fit, and ``simulating``, what simulated studies are described by. Each is imported when first
used: ``import bayesdyn`` itself is light.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesdyn import effects as effects
    from bayesdyn.engines.by_hand import build_pymc
    from bayesdyn.fitting.claims import check_claims
    from bayesdyn.fitting.comparing import compare, loo_dyads
    from bayesdyn.fitting.fit import fit
    from bayesdyn.fitting.folds import kfold
    from bayesdyn.fitting.likelihood import log_likelihood
    from bayesdyn.fitting.log_priors import log_prior
    from bayesdyn.fitting.predicting import predictive, predictive_checks
    from bayesdyn.fitting.prior_group import prior
    from bayesdyn.fitting.summaries import summary
    from bayesdyn.measures.agreement import agreement
    from bayesdyn.measures.build import as_measures, measure
    from bayesdyn.ratings.rate import rate
    from bayesdyn.ratings.tables import read_ratings
    from bayesdyn.reporting.html import report
    from bayesdyn.structure import simulating as simulating
    from bayesdyn.structure.language.model_file import load_model
    from bayesdyn.structure.simulate import simulate
    from bayesdyn.structure.simulate_ratings import simulate_ratings
    from bayesdyn.study.run import load_example
    from bayesdyn.sweeps.planning.plan import plan_ratings
    from bayesdyn.sweeps.sensitivity import sensitivity
    from bayesdyn.transcripts.read import read_transcripts

_HOMES = {
    "read_transcripts": "bayesdyn.transcripts.read",
    "rate": "bayesdyn.ratings.rate",
    "read_ratings": "bayesdyn.ratings.tables",
    "agreement": "bayesdyn.measures.agreement",
    "measure": "bayesdyn.measures.build",
    "as_measures": "bayesdyn.measures.build",
    "load_model": "bayesdyn.structure.language.model_file",
    "simulate": "bayesdyn.structure.simulate",
    "simulate_ratings": "bayesdyn.structure.simulate_ratings",
    "fit": "bayesdyn.fitting.fit",
    "summary": "bayesdyn.fitting.summaries",
    "prior": "bayesdyn.fitting.prior_group",
    "predictive": "bayesdyn.fitting.predicting",
    "predictive_checks": "bayesdyn.fitting.predicting",
    "check_claims": "bayesdyn.fitting.claims",
    "log_likelihood": "bayesdyn.fitting.likelihood",
    "log_prior": "bayesdyn.fitting.log_priors",
    "build_pymc": "bayesdyn.engines.by_hand",
    "loo_dyads": "bayesdyn.fitting.comparing",
    "kfold": "bayesdyn.fitting.folds",
    "compare": "bayesdyn.fitting.comparing",
    "sensitivity": "bayesdyn.sweeps.sensitivity",
    "plan_ratings": "bayesdyn.sweeps.planning.plan",
    "report": "bayesdyn.reporting.html",
    "load_example": "bayesdyn.study.run",
}
_ROOMS = {"effects": "bayesdyn.effects", "simulating": "bayesdyn.structure.simulating"}
"""Of several names each: ``bd.effects.contrast(fit, "se - oe")``."""

__all__ = [
    "agreement",
    "as_measures",
    "build_pymc",
    "check_claims",
    "compare",
    "fit",
    "kfold",
    "load_example",
    "load_model",
    "log_likelihood",
    "log_prior",
    "loo_dyads",
    "measure",
    "plan_ratings",
    "predictive",
    "predictive_checks",
    "prior",
    "rate",
    "read_ratings",
    "read_transcripts",
    "report",
    "sensitivity",
    "simulate",
    "simulate_ratings",
    "summary",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("bayesdyn")
    if name in _ROOMS:
        return import_module(_ROOMS[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'bayesdyn' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ROOMS, "__version__"})
