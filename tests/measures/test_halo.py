import numpy as np

from bayesdyn.measures.halo import Residuals, error_correlation, of_scores, shared_correlation


def residuals(seed, correlation, raters=3, n=2000, missing=0.0, sd=(0.5, 0.8, 1.1)):
    """True scores that correlate .8 plus errors with a known correlation and an SD per rater."""
    rng = np.random.default_rng(seed)
    size = len(correlation)
    theta = rng.multivariate_normal(np.zeros(size), np.full((size, size), 0.8) + 0.2 * np.eye(size), n)
    errors = rng.multivariate_normal(np.zeros(size), correlation, (n, raters)).transpose(0, 2, 1)
    error_sd = np.tile(np.array(sd[:raters]), (size, 1))
    value = theta[:, :, None] + errors * error_sd
    value[rng.random(value.shape) < missing] = np.nan
    return Residuals(value, error_sd, np.zeros(size), np.zeros(raters, dtype=bool))


def test_a_known_halo_is_recovered_in_spite_of_correlated_true_scores():
    true = np.array([[1, 0.5, 0.2], [0.5, 1, -0.3], [0.2, -0.3, 1]])
    for seed, raters, missing in ((1, 2, 0.0), (2, 3, 0.0), (3, 3, 0.3)):
        found, seen, shrinkage = error_correlation(residuals(seed, true, raters, missing=missing))
        # One pair of raters at 2,000 exchanges: standard error up to 1 / sqrt(.49 x 2000) = .032; 4 of them.
        np.testing.assert_allclose(found, true, atol=0.13)
        assert shrinkage < 0.02
        assert seen[0, 1] >= 2000 * (1 - missing) ** 4 * 0.8
        np.testing.assert_allclose(found, found.T)


def test_the_estimate_is_within_its_sampling_error_over_replicates():
    # 60 replicates at n = 500: the mean has a standard error of about (1 - .25) / sqrt(500 x 60) = .0043.
    true = np.array([[1, 0.5], [0.5, 1]])
    found = [error_correlation(residuals(seed, true, 2, n=500))[0][0, 1] for seed in range(60)]
    assert abs(np.mean(found) - 0.5) < 0.02


def test_small_samples_are_shrunk_more_and_no_halo_is_shrunk_most():
    true = np.array([[1, 0.5], [0.5, 1]])
    few, many = (error_correlation(residuals(4, true, n=n))[2] for n in (20, 2000))
    assert few > many
    by_raters = [
        np.mean([error_correlation(residuals(seed, true, k, n=60))[2] for seed in range(40)]) for k in (2, 3)
    ]
    assert by_raters[1] < by_raters[0]
    found, _, shrinkage = error_correlation(residuals(5, np.eye(2), n=200))
    assert shrinkage > 0.2
    assert abs(found[0, 1]) < 0.1


def test_one_rater_gives_the_identity():
    found, seen, shrinkage = error_correlation(residuals(6, np.array([[1, 0.5], [0.5, 1]]), raters=1))
    np.testing.assert_array_equal(found, np.eye(2))
    assert seen.sum() == 0
    assert shrinkage == 1


def test_the_result_is_positive_definite_whatever_overlaps():
    # Three constructs whose pairs are rated at different exchanges, with pairwise correlations that no one
    # table could have: .9, .9, -.9.
    rng = np.random.default_rng(7)
    value = np.full((600, 3, 2), np.nan)
    for block, (a, b, sign) in enumerate([(0, 1, 1), (1, 2, 1), (0, 2, -1)]):
        rows = slice(200 * block, 200 * (block + 1))
        shared = rng.normal(size=(200, 2))
        value[rows, a] = shared
        value[rows, b] = sign * 0.95 * shared + 0.3 * rng.normal(size=(200, 2))
    humans = np.zeros(2, dtype=bool)
    found, _, _ = error_correlation(Residuals(value, np.ones((3, 2)), np.zeros(3), humans))
    assert np.linalg.eigvalsh(found).min() > 0.005
    assert found[0, 1] > 0.3
    assert found[0, 2] < -0.3


def test_scores_that_lean_on_different_raters_share_less():
    correlation = np.array([[1, 0.5], [0.5, 1]])
    shared = np.array([[1, 0.9], [0.9, 1]])
    same = of_scores(correlation, shared, np.array([[0.6, 0.8, 0], [0.6, 0.8, 0]]))
    apart = of_scores(correlation, shared, np.array([[1.0, 0.0, 0], [0.0, 1.0, 0]]))
    half = of_scores(correlation, shared, np.sqrt(np.array([[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]])))
    assert same[0, 1] == 0.5
    assert apart[0, 1] == 0.0
    # Half of the error is the rater's own (.5), half what LLMs share (.9).
    np.testing.assert_allclose(half, [[1, 0.7], [0.7, 1]])


def test_the_correlation_of_the_shared_error_is_told_by_differences_from_humans():
    rng = np.random.default_rng(9)
    n, own, common = 3000, np.array([[1, 0.2], [0.2, 1]]), np.array([[1, 0.8], [0.8, 1]])
    human = np.array([False, False, True, True])
    theta = rng.normal(size=(n, 2))
    value = theta[:, :, None] + 0.6 * rng.multivariate_normal([0, 0], own, (n, 4)).transpose(0, 2, 1)
    value[:, :, ~human] += 0.7 * rng.multivariate_normal([0, 0], common, n)[:, :, None]
    made = Residuals(value, np.full((2, 4), 0.6), np.full(2, 0.7), human)
    found, _, _ = error_correlation(made)
    # The LLMs' shared error is in no difference of two LLMs or of two humans.
    assert abs(found[0, 1] - 0.2) < 0.06
    shared = shared_correlation(made, found)
    assert shared is not None
    # By moments .8, and half the way to the raters' own .2; standard error about .03.
    assert abs(shared[0, 1] - 0.5) < 0.06
    assert shared_correlation(Residuals(value, made.error_sd, np.zeros(2), human), found) is None
