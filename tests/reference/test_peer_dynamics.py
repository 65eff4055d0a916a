"""Lags, start, gaps and errors of measurement: at lavaan's ML estimate our integrated likelihood is flat.

lavaan fits the same law to one row per person: a random intercept per variable, a latent deviation per wave,
the first wave's covariance free, paths from wave to wave (a random intercept cross-lagged panel model).
Estimates by tests/reference/peers.R. If every slope is below .01 per SE, the estimates that maximise ours are
within .01 x 6 = .06 SE of lavaan's, whatever the correlations of six coefficients; lavaan's optimiser stops
at about .001 SE.
"""

import json

import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.structure.problem import prepare
from peer_modes import FLAT, slope_of_integral
from peer_panel import CASES, model, persons, their_names


def covariance(estimate, kind, size):
    """Return a covariance (size, size) from its labelled elements."""
    each = range(1, size + 1)
    return np.array([[estimate[f"{kind}{min(i, j)}{max(i, j)}"] for j in each] for i in each])


@pytest.mark.parametrize(
    "case", [*list(CASES)[:3], pytest.param("two_equations_error", marks=pytest.mark.slow)]
)
def test_our_likelihood_is_flat_at_their_estimate(case, shared_data, root):
    size, times = CASES[case]
    peer = json.loads((root / "tests" / "reference" / "peers.json").read_text())[case]
    names = [f"y{v}" for v in range(1, size + 1)]
    error = dict(zip(names, peer.get("error_variance", [0.1, 0.1]), strict=False))
    measures = bd.as_measures(
        persons(shared_data, size, times), {name: name for name in names},
        se={name: variance**0.5 for name, variance in error.items() if name in names},
    ).assign(shift=("construct", [0.0] * size), scale=("construct", [1.0] * size))  # fmt: skip
    spec = bd.load_model(model(size, f'{FLAT}lag_own = "normal(0, 1e6)"\nlag_cross = "normal(0, 1e6)"\n'))
    known = "error_variance" in peer
    problem = prepare(measures, spec, "known" if known else "none", kappa=False)
    theirs = their_names(size)
    slopes = slope_of_integral(
        problem,
        {
            "dyad_factor": covariance(peer["estimate"], "level", size),
            "residual_factor_0": covariance(peer["estimate"], "residual", size),
            "start_factor": covariance(peer["estimate"], "start", size),
        },
        {ours: peer["estimate"][name] for ours, name in theirs.items()},
        {ours: peer["se"][name] for ours, name in theirs.items()},
        collapsed=known,
    )
    assert slopes == pytest.approx(dict.fromkeys(slopes, 0.0), abs=0.01)
