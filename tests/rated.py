"""Measures that know their raters, made without rating: an error budget written onto simulated scores."""

import numpy as np

import bayesdyn as bd
from synthetic import fit_around

SOURCES = ("true score", "shared by LLMs", "dyad", "session", "exchange", "replicates")

MODEL = """
[model]
name = "rated"
centering = "none"
paths = '''
disclosure ~ de*empathy + dr*rapport + der*empathy:rapport + lag(disclosure) + phase
disclosure ~ (1 + empathy | dyad) + (1 | session)
'''
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
client = ["disclosure"]
"""


def with_raters(measures, llms=2, shared=0.1, own=0.3, noise=0.1, replicates=2.0, kappa_sd=0.3, coded=0.0):
    """Return measures with LLMs of one error budget, all in units of the true score's variance."""
    constructs = measures.sizes["construct"]
    kinds = ["llm"] * llms + ["human"] * (coded > 0)
    budget = np.zeros((len(SOURCES), len(kinds), constructs))
    budget[:, :llms] = np.array([1, shared, 0, 0, own, noise])[:, None, None]
    budget[:, llms:] = np.array([1, 0, 0, 0, 0.4, 0])[:, None, None]
    rating = np.ones((measures.sizes["exchange"], len(kinds), constructs), dtype=np.float32)
    rating[round(coded * len(rating)) :, llms:] = np.nan
    share = shared / (1 + shared)
    return measures.assign(
        error_budget=(("source", "rater", "construct"), budget / budget.sum(axis=0)),
        replicates=(("rater", "construct"), np.full((len(kinds), constructs), replicates)),
        rating=(("exchange", "rater", "construct"), rating),
        kappa_sd=("construct", np.full(constructs, kappa_sd)),
        shared_error=("construct", np.full(constructs, share)),
        shared_error_lower=("construct", np.full(constructs, share * 0.3)),
        shared_error_upper=("construct", np.full(constructs, share * 1.9)),
    ).assign_coords(
        source=np.array(SOURCES, dtype=object),
        rater=np.array([f"rater{number}" for number in range(len(kinds))], dtype=object),
        rater_kind=("rater", np.array(kinds, dtype=object)),
    )


def rated_fit(reliability=0.65, error_corr=None, model=MODEL, **budget):
    """Return a fit whose measures know their raters; 12 dyads, 2 sessions, 15 exchanges."""
    spec = bd.load_model(model)
    measures, truth = bd.simulate(
        spec,
        dyads=12,
        sessions=2,
        exchanges=15,
        reliability=reliability,
        error_corr=error_corr,
        random_seed=7,
    )
    return fit_around(spec, with_raters(measures, **budget), truth, draws=500)
