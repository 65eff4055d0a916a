"""Recovery of the rater parameters. Threshold: posterior mean within 4 posterior SDs of the truth."""

import numpy as np
import pytest

from bayesdyn.measures.rater.model import Problem
from bayesdyn.measures.rater.patterns import gather_statistics
from bayesdyn.measures.rater.sampler import sample_raters
from bayesdyn.measures.rater.tokens import binned, relative_variance

N = 1500
SESSION = np.arange(N) // 25
DYAD = SESSION // 3


def levels(rng, size, shares):
    """Standard normals made of parts of exchange, session and dyad with these shares, shape (N, size)."""
    parts = (np.arange(N), SESSION, DYAD)
    return sum(
        np.sqrt(share) * rng.normal(size=(place.max() + 1, size))[place]
        for share, place in zip(shares, parts, strict=True)
    )


def ratings(
    seed, discrimination, sigma, w, missing=0.0, true=(1, 0, 0), error=(1, 0, 0), shared=0.0, humans=0
):
    """y = 3 + severity + discrimination (theta + shared z) + e, theta sd .7; token variance q."""
    rng = np.random.default_rng(seed)
    raters = len(discrimination)
    q = rng.gamma(2, 0.5, (N, raters))
    own = np.concatenate([levels(rng, raters, (0, *error[1:]))], axis=1)
    own = own + np.sqrt(error[0] * (1 - w + w * q)) * rng.normal(size=(N, raters))
    mean = 3 + np.linspace(-0.3, 0.3, raters)
    theta, common = 0.7 * levels(rng, 1, true), 0.7 * levels(rng, 1, true)
    llm = np.arange(raters) < raters - humans
    # Of what LLMs have in common a share is error: loadings as in the model.
    signal = np.where(llm, np.sqrt(1 - shared) * theta + np.sqrt(shared) * common, theta)
    value = mean + np.array(discrimination) * signal + np.array(sigma) * own
    value[rng.random(value.shape) < missing] = np.nan
    return value, q


def problem_of(
    value, q, discrimination, tokens=True, prior=(2.0, 2.0), humans=0, shared_prior=None, nested=False
):
    raters = value.shape[1]
    bins = {1: 1, 2: 2}.get(raters, 4)
    coarse = np.column_stack([binned(column / column.mean(), bins) for column in q.T])
    statistics = gather_statistics(
        value, coarse if tokens else np.ones_like(value), np.zeros_like(value), SESSION, DYAD,
        np.nanmean(value, axis=0),
    )  # fmt: skip
    return Problem(
        statistics, np.nanstd(value, axis=0, ddof=1), np.arange(raters) < raters - humans, tokens,
        np.tile(prior, (raters, 1)), shared_prior, discrimination, nested, nested,
    )  # fmt: skip


def sampled(*problems):
    """Return the draws of two constructs or more; problems of one size share one compiled sampler."""
    return sample_raters(problems, random_seed=11)


def assert_recovered(draws, g, sigma, w=None, **others):
    found = {"g": draws.g - np.array(g), "sigma": draws.sigma - np.array(sigma)}
    found["mu"] = draws.mu - (3 + np.linspace(-0.3, 0.3, len(g)))
    if w is not None:
        found["w"] = (draws.w - w)[:, None]
    for name, value in others.items():
        own = getattr(draws, name)
        found[name] = (own - np.asarray(value)).reshape(len(own), -1)
    for name, away in found.items():
        z = away.mean(axis=0) / away.std(axis=0)
        assert np.abs(z).max() < 4, (name, z)
    assert draws.rhat < 1.03
    assert draws.ess > 150
    assert draws.divergences == 0


def test_two_raters_of_different_spread_and_the_token_share():
    # The second rater uses a third of the scale; equally reliable: .49 / (.49 + .25) = .66.
    told, q_told = ratings(1, (1.0, 0.3), (0.5, 0.15), 0.6)
    blind, q_blind = ratings(2, (1.0, 1.0), (0.5, 0.5), 0.0)
    first, second = sampled(
        problem_of(told, q_told, "proportional"), problem_of(blind, q_blind, "proportional")
    )
    assert_recovered(first, (0.7, 0.21), (0.5, 0.15), 0.6)
    assert_recovered(second, (0.7, 0.7), (0.5, 0.5))
    assert second.w.mean() < 0.12
    assert first.w.std() < 0.1
    assert not first.s.any()
    assert not first.error_share[:, 1:].any()


def test_three_raters_with_missing_ratings_and_two_with_equal_discriminations():
    free, q_free = ratings(3, (0.8, 1.0, 1.25), (0.4, 0.6, 0.8), 0.5, missing=0.2)
    equal, q_equal = ratings(4, (1.0, 1.0), (0.35, 0.7), 0.0)
    first, second = sampled(
        problem_of(free, q_free, "free"), problem_of(equal, q_equal, "equal", tokens=False)
    )
    assert_recovered(first, (0.56, 0.7, 0.875), (0.4, 0.6, 0.8), 0.5)
    assert_recovered(second, (0.7, 0.7), (0.35, 0.7))
    assert not second.w.any()


def test_parts_of_sessions_and_dyads_are_told_apart():
    true, error = (0.6, 0.25, 0.15), (0.7, 0.2, 0.1)
    value, q = ratings(7, (0.8, 1.0, 1.25), (0.4, 0.6, 0.8), 0.4, missing=0.1, true=true, error=error)
    (found,) = sampled(problem_of(value, q, "free", nested=True))
    # Means and spreads are those of 20 dyads, not of 1,500 exchanges: told by the z-scores, not by a bound.
    assert_recovered(found, (0.56, 0.7, 0.875), (0.4, 0.6, 0.8), 0.4, true_share=true, error_share=error)
    assert found.true_share[:, 0].std() < 0.1
    flat = problem_of(value, q, "free")
    (ignored,) = sampled(flat)
    # The same ratings as if exchanges were independent: the means are then far too certain.
    assert (ignored.mu.std(axis=0) < 0.6 * found.mu.std(axis=0)).all()


def test_error_that_llms_share_is_its_prior_without_humans_and_is_recovered_with_two_coders():
    value, q = ratings(8, (0.8, 1.0, 1.2, 1.0, 1.0), (0.5, 0.5, 0.6, 0.5, 0.6), 0.0, shared=0.3, humans=2)
    value[400:, 3] = np.nan  # the coders rate 400 and 300 exchanges, 300 of them both
    value[300:, 4] = np.nan
    alone, with_humans = (
        problem_of(part, q[:, : part.shape[1]], "free", tokens=False, humans=humans, shared_prior=(1.0, 4.0))
        for part, humans in ((value[:, :3], 0), (value, 2))
    )
    (first,), (second,) = sampled(alone), sampled(with_humans)
    # Beta(1, 4): mean .2, SD .163; Monte Carlo error at 150 effective draws: four of it.
    assert abs(first.s.mean() - 0.2) < 4 * 0.163 / np.sqrt(150)
    assert abs(first.s.std() / 0.163 - 1) < 0.25
    loading = 0.7 * np.array([0.8, 1.0, 1.2])
    g, sigma = (*(loading * np.sqrt(0.7)), 0.7, 0.7), (0.5, 0.5, 0.6, 0.5, 0.6)
    assert_recovered(second, g, sigma, s=0.3, common=(*loading, 0.7, 0.7))
    assert second.s.std() < 0.1
    assert not second.h[:, 3:].any()


def test_300_coded_exchanges_with_an_overlap_of_100_tell_the_shared_error():
    """Shared error .3; the interval also has to be narrower than the prior Beta(1, 4), whose SD is .163."""
    value, q = ratings(12, (0.8, 1.0, 1.2, 1.0, 1.0), (0.5, 0.5, 0.6, 0.5, 0.6), 0.0, shared=0.3, humans=2)
    value[200:, 3] = np.nan
    value[:100, 4], value[300:, 4] = np.nan, np.nan
    problem = problem_of(value, q, "free", tokens=False, humans=2, shared_prior=(1.0, 4.0))
    (found,) = sampled(problem)
    print("shared error", found.s.mean(), found.s.std())
    assert abs(found.s.mean() - 0.3) < 4 * found.s.std()
    assert found.s.std() < 0.163
    low, high = np.quantile(found.s, [0.025, 0.975])
    assert low < 0.3 < high
    assert_recovered(
        found,
        (0.8 * loading_of(0.3), loading_of(0.3), 1.2 * loading_of(0.3), 0.7, 0.7),
        (0.5, 0.5, 0.6, 0.5, 0.6),
        s=0.3,
    )


def loading_of(shared):
    """The loading on the true score of an LLM of discrimination 1."""
    return 0.7 * np.sqrt(1 - shared)


def test_one_rater_has_the_prior_as_its_posterior():
    value, q = ratings(5, (1.0,), (0.5,), 0.0)
    first, second = sampled(
        problem_of(value, q, "single", prior=(6.0, 4.0)), problem_of(value, q, "single", prior=(2.0, 8.0))
    )
    for draws, (a, b) in ((first, (6, 4)), (second, (2, 8))):
        rho = (draws.g**2 / (draws.g**2 + draws.sigma**2)).ravel()
        sd = np.sqrt(a * b / (a + b) ** 2 / (a + b + 1))
        # Monte Carlo error of the mean at 200 effective draws: sd / 14; 4 of them.
        assert abs(rho.mean() - a / (a + b)) < 4 * sd / np.sqrt(200)
        assert abs(rho.std() / sd - 1) < 0.25
        assert not draws.w.any()


def test_dependence_of_token_variance_on_the_score_is_removed():
    value, q = ratings(6, (1.0, 1.0), (0.5, 0.5), 0.0)
    value = np.clip(value, 1.02, 4.98)
    hump = (value[:, 0] - 1) * (5 - value[:, 0]) / 4
    relative = relative_variance(value[:, 0], q[:, 0] * hump)
    assert relative.mean() == pytest.approx(1)
    assert relative.max() < 5.5
    assert abs(np.corrcoef(relative, np.square(value[:, 0] - 3))[0, 1]) < 0.08
    assert np.corrcoef(relative, q[:, 0])[0, 1] > 0.9
    # Ratings without a distribution have the average error variance.
    token = np.where(np.arange(N) < 100, np.nan, q[:, 0])
    np.testing.assert_array_equal(relative_variance(value[:, 0], token)[:100], 1.0)
    assert len(np.unique(binned(relative, 2))) == 16


def test_statistics_keep_counts_sums_and_cross_products_by_session():
    value = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, np.nan], [np.nan, np.nan], [2.0, 3.0]])
    places = np.array([7, 7, 7, 7, 9])
    found = gather_statistics(
        value, np.ones((5, 2)), np.zeros((5, 2)), places, np.zeros(5, int), np.array([1.0, 2.0])
    )
    np.testing.assert_array_equal(found.mask, [[1, 0], [1, 1]])
    np.testing.assert_array_equal(found.count, [[1, 2], [0, 1]])
    np.testing.assert_array_equal(found.total, [[[3, 0], [2, 3]], [[0, 0], [1, 1]]])
    # Deviations (0, 0), (2, 3) and (1, 1).
    np.testing.assert_array_equal(found.cross[1], [[5, 7], [7, 10]])
    np.testing.assert_array_equal(found.member, [[1, 1]])
    assert found.exchanges == 4
