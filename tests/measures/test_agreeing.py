"""Coefficients of agreement against scikit-learn, statsmodels, krippendorff, scipy and lme4."""

import json

import krippendorff
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

from bayesdyn.measures.agreeing.categories import (
    ALPHAS,
    FLEISS,
    alphas,
    fleiss,
    kappas,
    points_of,
)
from bayesdyn.measures.agreeing.coefficient import bootstrap, cluster_weights
from bayesdyn.measures.agreeing.components import components, incomplete_icc
from bayesdyn.measures.agreeing.icc import family_of, intraclass
from bayesdyn.measures.agreeing.pairs import bootstrap_spearman, differences, pearson, spearman


def points(seed: int, raters: int, size: int = 5, items: int = 150, highest: int | None = None):
    """Ratings on a scale of ``size`` points, of which the topmost may never occur."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(items, 1))
    made = np.round(size / 2 + true + 0.8 * rng.normal(size=(items, raters)))
    return np.clip(made, 0, (highest or size) - 1).astype(np.int64)


@pytest.mark.parametrize("highest", [5, 4])
def test_kappas_are_scikit_learns_on_the_whole_scale(highest):
    made = points(1, 2, highest=highest)
    (plain, quadratic), _ = kappas(made, 5)
    labels = list(range(5))
    assert plain.estimate == pytest.approx(cohen_kappa_score(*made.T, labels=labels), abs=1e-12)
    expected = cohen_kappa_score(*made.T, labels=labels, weights="quadratic")
    assert quadratic.estimate == pytest.approx(expected, abs=1e-12)


def test_kappas_intervals_are_those_of_statsmodels():
    made = points(2, 2)
    table = np.zeros((5, 5))
    np.add.at(table, tuple(made.T), 1)
    found, _ = kappas(made, 5)
    for one, weights in zip(found, (None, "quadratic"), strict=True):
        expected = cohens_kappa(table, wt=weights)
        assert one.estimate == pytest.approx(expected.kappa, abs=1e-12)
        assert (one.lower, one.upper) == pytest.approx((expected.kappa_low, expected.kappa_upp), abs=1e-9)


def test_a_point_that_never_occurs_changes_no_quadratic_weight(shared_data):
    """The trap: .786 on the real scale, .82 with weights by the index of the labels that occur."""
    table = pd.read_csv(shared_data / "lend_an_ear" / "ratings_long.csv")
    pair = table[(table["dimension"] == "self_oriented") & table["rater"].isin(["expert1", "expert2"])]
    wide = pair.pivot_table(index="item_id", columns="rater", values="value").dropna()
    made = points_of(wide.to_numpy(dtype=float), 1, 5)
    (_, quadratic), _ = kappas(made, 5)
    assert quadratic.estimate == pytest.approx(0.786, abs=5e-4)
    assert cohen_kappa_score(*made.T, weights="quadratic") == pytest.approx(0.82, abs=5e-3)


def test_fleiss_kappa_is_that_of_statsmodels():
    made = points(3, 4)
    counts = np.stack([(made == point).sum(axis=1) for point in range(5)], axis=1)
    assert fleiss(made, 5).whole()[FLEISS] == pytest.approx(fleiss_kappa(counts, method="fleiss"), abs=1e-12)


def test_alphas_are_those_of_krippendorff_with_ratings_missing():
    rng = np.random.default_rng(4)
    values = points(4, 5).astype(float) + 1
    values[rng.random(values.shape) < 0.4] = np.nan
    found = alphas(values, points_of(values, 1, 5), 5).whole()
    for name in ALPHAS:
        level = name.removeprefix("alpha ")
        expected = krippendorff.alpha(values.T, level_of_measurement=level, value_domain=[1, 2, 3, 4, 5])
        assert found[name] == pytest.approx(expected, abs=1e-10), name


def test_the_interval_alpha_takes_fractions_as_they_are():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(40, 1)) + 0.5 * rng.normal(size=(40, 3))
    found = alphas(values, points_of(values, 0, 4), 5).whole()[ALPHAS[2]]
    assert found == pytest.approx(krippendorff.alpha(values.T, level_of_measurement="interval"), abs=1e-10)


def test_correlations_are_scipys():
    made = points(6, 2).astype(float)
    one, _ = pearson(made)
    expected = stats.pearsonr(*made.T)
    assert one.estimate == pytest.approx(expected.statistic, abs=1e-12)
    assert one.p == pytest.approx(expected.pvalue, rel=1e-8)
    assert (one.lower, one.upper) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-9)
    assert spearman(made).estimate == pytest.approx(stats.spearmanr(*made.T).statistic, abs=1e-12)


def test_differences_are_those_of_bland_and_altman():
    """Peak expiratory flow, Wright against mini meter (Bland & Altman 1986, table): bias -2.1, SD 38.8."""
    wright = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
    mini = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
    (bias, lower, upper), _ = differences(np.column_stack([wright, mini]).astype(float))
    assert bias.estimate == pytest.approx(-2.1, abs=0.05)
    # The paper rounds 1.96 to 2: limits -79.7 and 75.5.
    assert (lower.estimate, upper.estimate) == pytest.approx(
        (-2.1 - 1.96 * 38.8, -2.1 + 1.96 * 38.8), abs=0.2
    )
    assert (bias.lower, bias.upper) == pytest.approx((-22.0, 17.8), abs=0.1)


def test_a_complete_table_has_the_components_of_its_analysis_of_variance():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(80, 1)) + 0.5 * rng.normal(size=(1, 4)) + 0.8 * rng.normal(size=(80, 4))
    complete = intraclass(values)
    for one, other in zip(incomplete_icc(values), complete, strict=True):
        assert one.statistic == f"{other.statistic} REML"
        assert one.estimate == pytest.approx(other.estimate, abs=1e-6)


def test_components_of_an_incomplete_table_are_lme4s(root):
    """Numbers by tests/reference/agreement_lme4.R, stored with the table that they are of."""
    stored = json.loads((root / "tests" / "reference" / "agreement_lme4.json").read_text())
    for case in stored["cases"]:
        table = pd.DataFrame(case["data"])
        values = table.pivot_table(index="item", columns="rater", values="value").to_numpy()
        found = components(values)
        for name in ("items", "raters", "residual"):
            assert getattr(found, name) == pytest.approx(case[name], rel=2e-4, abs=2e-5), (case["name"], name)


def test_a_bootstrap_by_sums_is_a_bootstrap_of_the_rows():
    """Each replicate equals the coefficient of the table in which the drawn dyads' rows stand so often."""
    made = points(8, 3, items=60)
    values = made + np.random.default_rng(8).normal(scale=0.2, size=made.shape)
    cluster = np.repeat(np.arange(12), 5)
    weights = cluster_weights(12, 4, np.random.default_rng(9))
    for row in weights:
        drawn = np.concatenate([np.flatnonzero(cluster == c) for c in range(12) for _ in range(int(row[c]))])
        one = np.array([row, row])
        cases = [
            (family_of(values), {c.statistic: c.estimate for c in intraclass(values[drawn])}),
            (fleiss(made, 5), fleiss(made[drawn], 5).whole()),
            (alphas(values, made, 5), alphas(values[drawn], made[drawn], 5).whole()),
            (kappas(made[:, :2], 5)[1], {c.statistic: c.estimate for c in kappas(made[drawn][:, :2], 5)[0]}),
            (pearson(values[:, :2])[1], {"pearson": pearson(values[drawn][:, :2])[0].estimate}),
        ]
        for family, expected in cases:
            for name, (lower, upper) in bootstrap(family, cluster, one, 0.9).items():
                assert lower == pytest.approx(expected[name], abs=1e-9), name
                assert upper == pytest.approx(expected[name], abs=1e-9), name
        lower, _ = bootstrap_spearman(made[:, :2].astype(float), cluster, one, 0.9)
        assert lower == pytest.approx(spearman(made[drawn][:, :2].astype(float)).estimate, abs=1e-9)


@pytest.mark.slow
def test_intervals_by_clusters_cover_where_those_by_items_do_not():
    """400 studies of 40 dyads with 10 exchanges; raters err alike within a dyad. Nominal 90 %.

    Fails if the cluster interval of the ICC covers less than 84 % or more than 96 % (four Monte Carlo
    standard errors and the bootstrap's own small-sample loss), or the other reaches 84 %.
    """
    rng = np.random.default_rng(10)
    cluster = np.repeat(np.arange(40), 10)
    weights = cluster_weights(40, 500, rng)
    # ICC(C,1) of item variance 1 over 1 + 1: items, dyads' own disagreement .5, residual .5.
    hits = np.zeros(2)
    for _ in range(400):
        shared = np.sqrt(0.5) * rng.normal(size=(40, 2))[cluster]
        item = np.sqrt(0.5) * (rng.normal(size=(40, 1))[cluster] + rng.normal(size=(400, 1)))
        values = item + shared + np.sqrt(0.5) * rng.normal(size=(400, 2))
        one = next(c for c in intraclass(values, 0.9) if c.statistic == "ICC(C,1)")
        lower, upper = bootstrap(family_of(values), cluster, weights, 0.9)["ICC(C,1)"]
        hits += [lower < 0.5 < upper, one.lower < 0.5 < one.upper]
    covered = hits / 400
    print(f"covered by clusters {covered[0]:.3f}, by items {covered[1]:.3f}")
    assert 0.84 < covered[0] < 0.96
    assert covered[1] < 0.84
