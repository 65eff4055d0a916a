"""Measures of nested ratings with error that LLMs share: levels, humans, budget, posterior, subsample."""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.measures.dataset import read_notes
from bayesdyn.measures.rater.places import find_places
from bayesdyn.measures.rater.posterior import posterior_of
from bayesdyn.ratings.tables import read_ratings

DYADS, SESSIONS, LENGTH = 40, 3, 20
N = DYADS * SESSIONS * LENGTH
DYAD, SESSION = np.arange(N) // (SESSIONS * LENGTH), np.arange(N) // LENGTH
TRUE, ERROR = np.array([0.6, 0.2, 0.2]), np.array([0.8, 0.15, 0.05])
SHARED, SIGMA = 0.3, 0.5
"""Of what LLMs have in common; SD of a rater's own error. The true score's SD is 1 for humans."""


def nested(rng, shares, columns=1):
    parts = (np.arange(N), SESSION, DYAD)
    return sum(
        np.sqrt(share) * rng.normal(size=(place.max() + 1, columns))[place]
        for share, place in zip(shares, parts, strict=True)
    )


@pytest.fixture(scope="module")
def world():
    """Three LLMs that rate all, two coders who rate the first 400 and 300 exchanges; one construct."""
    rng = np.random.default_rng(21)
    theta = nested(rng, TRUE)[:, 0]
    common = np.sqrt(SHARED / (1 - SHARED)) * nested(rng, TRUE)[:, 0]
    own = SIGMA * nested(rng, ERROR, 5)
    value = theta[:, None] + own
    value[:, :3] += common[:, None]
    rows = [
        {"dyad": f"d{DYAD[i]:02d}", "session": str(SESSION[i] % SESSIONS), "t": i % LENGTH,
         "construct": "empathy", "rater": name, "value": value[i, r], "rater_kind": kind}
        for r, (name, kind, most) in enumerate(
            [("a", "llm", N), ("b", "llm", N), ("c", "llm", N), ("h1", "human", 400), ("h2", "human", 300)]
        )
        for i in range(most)
    ]  # fmt: skip
    table = read_ratings(pd.DataFrame(rows))
    llm = table[table["rater_kind"] == "llm"]
    return theta, llm, table[table["rater_kind"] == "human"]


@pytest.fixture(scope="module")
def anchored(world):
    _, llm, human = world
    return bd.measure(llm, human, random_seed=4)


def test_with_two_coders_the_shared_error_is_in_the_standard_errors(world, anchored):
    theta = world[0]
    assert anchored.attrs["identification"] == "humans"
    low, high = float(anchored["shared_error_lower"][0]), float(anchored["shared_error_upper"][0])
    assert low < SHARED < high
    assert high - low < 0.35
    score, se = anchored["score"].values[:, 0], anchored["se"].values[:, 0]
    # The scale's origin and unit are estimated: each from 40 dyads of which humans rated 7.
    z = (score - np.polyval(np.polyfit(theta, score, 1), theta)) / se
    # One shared error of 2,400 exchanges in 40 dyads: coverage itself varies by about .03.
    assert abs(np.mean(np.abs(z) < 1.96) - 0.95) < 0.04
    assert any("tell how much of what the LLMs agree on is error" in note for note in read_notes(anchored))


def test_without_humans_the_interval_widens_and_the_report_says_why(world, anchored):
    llm = world[1]
    alone, trusting = bd.measure(llm, random_seed=4), bd.measure(llm, random_seed=4, shared_prior=None)
    assert any("no humans tell how much" in note and "Beta(1, 4)" in note for note in read_notes(alone))
    assert float(alone["kappa_sd"][0]) > 2 * float(anchored["kappa_sd"][0])
    width = [float(m["reliability_upper"][0] - m["reliability_lower"][0]) for m in (alone, trusting)]
    assert width[0] > 3 * width[1]
    assert float(trusting["reliability"][0]) > float(trusting["reliability_lower"][0]) > 0.8
    # Without shared error the three would be about three; with it no number of LLMs is worth more than 1 / s.
    assert float(trusting["effective_raters"][0]) == pytest.approx(3, abs=0.1)
    assert float(anchored["effective_raters"][0]) < 1.8


def test_reliability_is_told_by_level_and_the_variance_by_source(anchored):
    level = anchored["level_reliability"].sel(construct="empathy")
    error = SHARED / (1 - SHARED) * TRUE + SIGMA**2 / 3 * ERROR
    at_session = error[1] + error[0] / LENGTH
    at_dyad = error[2] + at_session / SESSIONS
    expected = [
        TRUE[0] / (TRUE[0] + error[0]), TRUE[1] / (TRUE[1] + at_session), TRUE[2] / (TRUE[2] + at_dyad),
    ]  # fmt: skip
    for value, name in zip(expected, ("exchange", "session", "dyad"), strict=True):
        low, _, high = level.sel(level=name).values
        assert low - 0.03 < value < high + 0.03, name
    budget = anchored["error_budget"].sel(construct="empathy")
    np.testing.assert_allclose(budget.sum("source"), 1)
    total = 1 + SHARED / (1 - SHARED) + SIGMA**2
    found = budget.sel(rater="a").values
    np.testing.assert_allclose(found[0], 1 / total, atol=0.12)
    np.testing.assert_allclose(found[1], SHARED / (1 - SHARED) / total, atol=0.12)
    np.testing.assert_allclose(found[2:5], SIGMA**2 * ERROR[::-1] / total, atol=0.04)
    assert budget.sel(rater="h1", source="shared by LLMs") == 0
    assert (budget.sel(source="replicates") == 0).all()
    assert (anchored["replicates"].sel(construct="empathy") == 1).all()


def test_what_later_fits_need_is_kept(world, anchored):
    wide = world[1].pivot_table(index=["dyad", "session", "t"], columns="rater", values="value")
    kept = anchored["rating"].sel(construct="empathy", rater=["a", "b", "c"])
    np.testing.assert_allclose(kept.values, wide.to_numpy(), rtol=1e-6)
    assert anchored["rating"].dtype == np.float32
    assert int(np.isfinite(anchored["rating"].sel(rater="h2")).sum()) == 300
    assert anchored["severity_draws"].dims == ("draw", "rater", "construct")
    assert anchored["true_share_draws"].dims == ("draw", "level", "construct")
    np.testing.assert_allclose(anchored["true_share_draws"].sum("level"), 1)
    np.testing.assert_allclose(anchored["severity_draws"].mean("draw"), anchored["severity"], atol=0.02)


def test_rater_parameters_may_come_from_a_share_of_the_sessions(world, anchored):
    _, llm, human = world
    few = bd.measure(llm, human, random_seed=4, most_sessions=60)
    assert any("learnt from 60 of 120 sessions" in note and "human" in note for note in read_notes(few))
    assert np.isfinite(few["score"]).all()
    # The same ratings and nearly the same weights: scores differ by less than a fifth of their error.
    away = (few["score"] - anchored["score"]).values / anchored["se"].values
    assert np.abs(away - away.mean()).max() < 0.2
    assert float(few["kappa_sd"][0]) > 0


def test_an_even_share_of_sessions_holds_those_with_humans(world):
    from bayesdyn.measures.dataset import Notes
    from bayesdyn.measures.gathering.cells import gather_cells

    table = pd.concat(world[1:])
    cells = gather_cells(table, world[1][["dyad", "session", "t"]].drop_duplicates().reset_index(drop=True))
    places = find_places(cells, 50, Notes())
    chosen = np.unique(places.session[places.learnt])
    assert len(chosen) == 50
    assert set(range(20)) <= set(chosen)  # the first 400 exchanges are of 20 sessions
    assert len(np.unique(places.dyad[places.learnt])) > 30
    assert places.sizes == pytest.approx((LENGTH, SESSIONS))


def test_the_posterior_of_true_scores_is_that_of_the_dense_normal():
    rng = np.random.default_rng(5)
    n = 40
    dyad = np.sort(rng.integers(0, 4, n))
    session = np.unique(dyad * 3 + rng.integers(0, 3, n), return_inverse=True)[1]
    se = rng.uniform(0.5, 1.0, n)
    score = rng.normal(3, 1, n)
    score[rng.random(n) < 0.2] = np.nan
    errors = np.array([0.08, 0.05])
    variances = np.array([0.5, 0.2, 0.3])
    same = np.stack([np.eye(n), session[:, None] == session, dyad[:, None] == dyad]).astype(float)
    prior = np.tensordot(variances, same, axes=1)
    rated = np.isfinite(score)
    error = np.tensordot(errors, same[1:], axes=1) + np.diag(se**2 - errors.sum())
    gain = prior[:, rated] @ np.linalg.inv((prior + error)[np.ix_(rated, rated)])
    mean = 3 + gain @ (score[rated] - 3)
    sd = np.sqrt(np.diag(prior - gain @ prior[rated]))
    given = (score, np.where(rated, se, np.nan), session, dyad, 3.0)
    found = posterior_of(*given, variances, errors)
    np.testing.assert_allclose(found[0], mean, rtol=1e-10)
    np.testing.assert_allclose(found[1], sd, rtol=1e-10)
    flat = posterior_of(*given, np.array([1.0, 0, 0]), np.zeros(2))
    np.testing.assert_allclose(flat[0][rated], (3 + (score - 3) / (1 + se**2))[rated])
