"""Standard errors by clusters against statsmodels, and against their definition with whole matrices."""

import numpy as np
import pytest
import statsmodels.api as sm

from bayesdyn.measures.differing.clustered import clustered_slopes


def world(seed, clusters, size=12):
    """Unequal clusters with errors and covariates that are alike; a dyad attribute; unequal weights."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), rng.integers(2, 2 * size, clusters))
    rows = len(cluster)
    own = rng.normal(size=rows) + rng.normal(size=clusters)[cluster]
    attribute = np.append([0, 0, 1, 1], rng.integers(0, 2, clusters))[:clusters][cluster].astype(float)
    y = 0.3 * own + rng.normal(size=rows) + 0.7 * rng.normal(size=clusters)[cluster]
    return y, np.column_stack([own, attribute]), rng.uniform(0.3, 3, rows), cluster


def by_whole_matrices(y, x, weight, cluster):
    """CR2 and its degrees of freedom as Bell & McCaffrey define them, rows times the root of their weight."""
    design = np.column_stack([np.ones(len(x)), x]) * np.sqrt(weight)[:, None]
    inverse = np.linalg.inv(design.T @ design)
    hat = design @ inverse @ design.T
    residual = np.sqrt(weight) * y - hat @ (np.sqrt(weight) * y)
    variance, columns = 0.0, []
    for one in np.unique(cluster):
        rows = np.flatnonzero(cluster == one)
        own, basis = np.linalg.eigh(np.eye(len(rows)) - hat[np.ix_(rows, rows)])
        pull = (basis / np.sqrt(own)) @ basis.T @ design[rows] @ inverse[:, 1]
        variance += float(pull @ residual[rows]) ** 2
        whole = np.zeros(len(x))
        whole[rows] = pull
        columns.append(whole - hat @ whole)
    omega = np.array(columns) @ np.array(columns).T
    return variance, np.trace(omega) ** 2 / np.square(omega).sum()


@pytest.mark.parametrize("weighted", [False, True])
def test_variance_and_degrees_of_freedom_are_those_of_the_definition(weighted):
    y, x, weight, cluster = world(1, 9)
    weight = weight if weighted else np.ones(len(y))
    found = clustered_slopes(y, x, weight, cluster, np.column_stack([y, 2 * y]))
    for j in range(2):
        expected = by_whole_matrices(y, x[:, j], weight, cluster)
        assert (found.variance[j], found.df[j]) == pytest.approx(expected, rel=1e-9)
        fit = sm.WLS(y, sm.add_constant(x[:, j]), weights=weight).fit()
        assert found.slope[j] == pytest.approx(fit.params[1], rel=1e-9)
    np.testing.assert_allclose(found.parts, found.slope[:, None] * [1, 2])


def test_clusters_of_one_row_have_statsmodels_hc2():
    y, x, _, _ = world(2, 12)
    found = clustered_slopes(y, x, np.ones(len(y)), np.arange(len(y)), np.zeros((len(y), 0)))
    for j in range(2):
        fit = sm.OLS(y, sm.add_constant(x[:, j])).fit(cov_type="HC2")
        assert np.sqrt(found.variance[j]) == pytest.approx(fit.bse[1], rel=1e-9)


def test_many_clusters_have_statsmodels_cr1():
    y, x, _, cluster = world(3, 400)
    found = clustered_slopes(y, x, np.ones(len(y)), cluster, np.zeros((len(y), 0)))
    for j in range(2):
        fit = sm.OLS(y, sm.add_constant(x[:, j])).fit(cov_type="cluster", cov_kwds={"groups": cluster})
        # The corrections differ by terms of one over the clusters.
        assert np.sqrt(found.variance[j]) == pytest.approx(fit.bse[1], rel=0.01)
        naive = sm.OLS(y, sm.add_constant(x[:, j])).fit().bse[1]
        assert fit.bse[1] > 1.3 * naive


def test_two_groups_of_equal_dyads_have_two_degrees_of_freedom_less_than_dyads():
    cluster = np.repeat(np.arange(10), 6)
    y = np.random.default_rng(4).normal(size=60)
    x = (cluster % 2).astype(float)[:, None]
    found = clustered_slopes(y, x, np.ones(60), cluster, np.zeros((60, 0)))
    assert found.df[0] == pytest.approx(8)


def test_what_rests_on_too_little_is_not_told():
    y, x, weight, cluster = world(5, 9)
    one_dyad = (cluster == 3).astype(float)
    missing = np.where(cluster < 5, np.nan, x[:, 0])
    few = np.where(np.arange(len(y)) < 29, x[:, 0], np.nan)
    some = np.where(cluster < 2, np.nan, x[:, 0])
    made = np.column_stack([one_dyad, np.ones(len(y)), missing, few, some])
    found = clustered_slopes(y, made, weight, cluster, np.zeros((len(y), 0)))
    np.testing.assert_array_equal(np.isfinite(found.slope), [False, False, False, False, True])
    kept = cluster >= 2
    alone = clustered_slopes(y[kept], x[kept, :1], weight[kept], cluster[kept], np.zeros((kept.sum(), 0)))
    assert found.slope[4] == pytest.approx(alone.slope[0])
    assert found.variance[4] == pytest.approx(alone.variance[0])
    assert found.df[4] == pytest.approx(alone.df[0])
