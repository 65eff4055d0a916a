"""Simulated ratings with known truth, for the tests of the measures stage."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest


@dataclass(frozen=True)
class World:
    """Ratings and what they were made of.

    theta (exchange, construct); error_sd (rater,), in raw units at the average token variance.
    """

    ratings: pd.DataFrame
    theta: np.ndarray
    error: np.ndarray
    severity: np.ndarray
    discrimination: np.ndarray
    error_sd: np.ndarray


def simulate_world(
    seed,
    *,
    sessions=20,
    length=50,
    constructs=("empathy", "rapport"),
    severity=(-0.3, 0.3),
    discrimination=(1.0, 1.0),
    error_sd=(0.5, 0.5),
    halo=0.0,
    theta_sd=0.7,
    theta_corr=0.4,
    missing=0.0,
    kinds=None,
):
    """Ratings y = severity + discrimination theta + e, theta ~ N(3, theta_sd^2), e with correlation halo."""
    rng = np.random.default_rng(seed)
    n, size, raters = sessions * length, len(constructs), len(severity)
    spread = np.full((size, size), theta_corr) + (1 - theta_corr) * np.eye(size)
    theta = 3 + theta_sd * rng.multivariate_normal(np.zeros(size), spread, n)
    together = np.full((size, size), halo) + (1 - halo) * np.eye(size)
    error = rng.multivariate_normal(np.zeros(size), together, (n, raters)).transpose(0, 2, 1) * np.array(
        error_sd
    )
    value = np.array(severity) + np.array(discrimination) * theta[:, :, None] + error
    value[rng.random(value.shape) < missing] = np.nan
    names = [f"r{r}" for r in range(raters)]
    row, column, rater = (axis.ravel() for axis in np.indices(value.shape))
    ratings = pd.DataFrame(
        {
            "dyad": "d" + pd.Series(row // (2 * length)).astype(str).str.zfill(2),
            "session": (row // length % 2).astype(str), "t": row % length,
            "construct": np.array(constructs)[column], "rater": np.array(names)[rater],
            "value": value.ravel(), "rater_kind": np.array(kinds or ["llm"] * raters)[rater],
        }
    )  # fmt: skip
    return World(ratings, theta, error, np.array(severity), np.array(discrimination), np.array(error_sd))


@pytest.fixture(scope="session")
def make_world():
    return simulate_world
