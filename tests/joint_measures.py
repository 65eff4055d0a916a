"""Measures with ratings, for fits that have the ratings' own likelihood in them."""

import json

import numpy as np

import bayesdyn as bd
from bayesdyn.tables import RATER_PRIORS
from small_models import TINY

RATERS = ("coder", "llm1", "llm2", "llm3")


def rated_measures(discrimination="free", seed=3, human=True, dyads=3):
    """Measures with ratings of a coder and three LLMs; the coder rates empathy only, a third of it."""
    spec = bd.load_model(TINY)
    made, truth = bd.simulate(spec, dyads=dyads, sessions=2, exchanges=6, reliability=0.6, random_seed=2)
    rng = np.random.default_rng(seed)
    shape = (made.sizes["exchange"], len(RATERS), 2)
    latent = truth["latent"].transpose("exchange", "construct").values
    rating = 3 + 0.8 * latent[:, None, :] + 0.5 * rng.standard_normal(shape)
    rating[rng.random(shape) < 0.2] = np.nan
    rating[4] = np.nan
    empathy = int(np.flatnonzero(made["construct"].values == "empathy")[0])
    rating[:, 0, 1 - empathy] = np.nan
    rating[12:, 0] = np.nan
    if not human:
        rating[:, 0] = np.nan
    rated = np.isfinite(rating)
    present = rated.any(axis=0)
    dims = ("exchange", "rater", "construct")
    found = made.assign(
        rating=(dims, rating.astype(np.float32)),
        rating_q=(dims, np.where(rated, rng.uniform(0.5, 1.5, shape), np.nan).astype(np.float32)),
        rating_noise=(dims, np.where(rated, rng.uniform(0.0, 0.1, shape), np.nan).astype(np.float32)),
    ).assign_coords(rater=list(RATERS), rater_kind=("rater", ["human", "llm", "llm", "llm"]))
    for name in ("score", "se"):
        found[name] = found[name].where(rated.any(axis=1))
    assumed = {
        str(name): {
            "raters": [RATERS[r] for r in np.flatnonzero(present[:, c])],
            "discrimination": discrimination,
            "rho_prior": [[2.0, 3.0]] * int(present[:, c].sum()),
            "shared_prior": [1.0, 4.0],
            "tokens": True,
            "ordinal": False,
            "weighted": False,
        }
        for c, name in enumerate(found["construct"].values)
    }
    return spec, found.assign_attrs({RATER_PRIORS: json.dumps(assumed)})
