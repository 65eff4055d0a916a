"""A study's claims as checks on the posterior, set beside what the prior alone would say."""

import ast

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import Fault, InputError
from bayesdyn.fitting.fits import posterior_of, spec_as_fitted, spec_of
from bayesdyn.structure.language.evaluating import evaluate
from bayesdyn.structure.language.expression import names_in, parse_expression
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.prior_draws import draw_paths
from bayesdyn.structure.quantities import label_values

_PRIOR_DRAWS = 20_000
_PRIOR_SEED = 20260212  # any fixed number: the prior probability is a property of the model, not of a run


def check_claims(fit: xr.DataTree, *, threshold: float = 0.95) -> pd.DataFrame:
    """Check the claims of a fit's model against its posterior.

    A claim without a direction, such as "rapport moderates", is likely under the prior already; its
    probability is to be read beside ``prior_probability``. A claim that joins several with ``and`` holds in
    the draws in which all of them hold, so it may be undecided where each part alone is likely, and is
    contradicted as soon as one part is: ``parts`` tells each.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives, of a model with claims.
    threshold
        A claim is ``supported`` at a posterior probability of at least this, ``contradicted`` at most one
        minus this, else ``undecided``.

    Returns
    -------
    pandas.DataFrame
        One row per claim: ``claim, says, holds, rope, probability, prior_probability, verdict, parts``.
        ``rope`` is in standardised units, NaN where the claim does not use it. ``parts`` holds each part of a
        conjunction with its own probability as text (:func:`claim_parts` has the numbers), else nothing. A
        claim that is undefined in any draw has no probability, NaN, and is undecided.

    Raises
    ------
    InputError
        A threshold outside (0.5, 1).
    """
    if not 0.5 < threshold < 1:
        raise InputError(
            "Cannot check claims", [Fault(f"threshold is {threshold:g}", "Give one above 0.5, below 1")]
        )
    spec = spec_of(fit)
    posterior = label_values(posterior_of(fit)["path"], spec)
    prior = prior_values(spec_as_fitted(fit))
    told = claim_parts(fit)
    rows = []
    for claim in spec.claims:
        probability = _probability(claim.holds, posterior, claim.rope)
        own = told[told["claim"] == claim.name]
        rows.append(
            {
                "claim": claim.name,
                "says": claim.says,
                "holds": claim.holds,
                "rope": claim.rope if "rope" in names_in(claim.holds) else float("nan"),
                "probability": probability,
                "prior_probability": _probability(claim.holds, prior, claim.rope),
                "verdict": verdict(probability, threshold),
                "parts": "; ".join(f"{one.part}: {one.probability:.3f}" for one in own.itertuples()),
            }
        )
    columns = ["claim", "says", "holds", "rope", "probability", "prior_probability", "verdict", "parts"]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["threshold"] = threshold
    return table


def claim_parts(fit: xr.DataTree) -> pd.DataFrame:
    """Return what the parts of each conjunction come to by themselves.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.

    Returns
    -------
    pandas.DataFrame
        One row per part of a claim that joins two or more with ``and``: ``claim, part, probability``.
    """
    spec = spec_of(fit)
    posterior = label_values(posterior_of(fit)["path"], spec)
    rows = [
        (claim.name, part, _probability(part, posterior, claim.rope))
        for claim in spec.claims
        for part in conjuncts(claim.holds)
    ]
    return pd.DataFrame(rows, columns=["claim", "part", "probability"])


def conjuncts(holds: str) -> list[str]:
    """Return the parts that an expression joins with ``and``; none where it joins nothing."""
    body = parse_expression(holds).body
    if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And):
        return [ast.unparse(part) for part in body.values]
    return []


def verdict(probability: float, threshold: float) -> str:
    """Return ``supported``, ``contradicted`` or ``undecided``."""
    if probability >= threshold:
        return "supported"
    return "contradicted" if probability <= 1 - threshold else "undecided"


def prior_values(spec: ModelSpec) -> dict[str, np.ndarray]:
    """Return prior draws (1, draw) of each label and definition; the lags' truncation is part of the prior.

    Parameters
    ----------
    spec
        With the laws of noisy predictors.
    """
    drawn = draw_paths(spec, _PRIOR_DRAWS, np.random.default_rng(_PRIOR_SEED))
    path = xr.DataArray(
        drawn[None],
        dims=("chain", "draw", "path_name"),
        coords={"path_name": [item.name for item in spec.paths]},
    )
    return label_values(path, spec)


def _probability(holds: str, values: dict[str, np.ndarray], rope: float) -> float:
    size = next(iter(values.values())).shape if values else ()
    true = evaluate(holds, {**values, "rope": np.full(size, rope)}, undefined_is_missing=True)
    return float(np.mean(true))
