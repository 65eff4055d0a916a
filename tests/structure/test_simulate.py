"""Simulation: the truth it reports is the truth it used."""

import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError


@pytest.fixture(scope="module")
def spec():
    return bd.load_model("chen2026")


@pytest.fixture(scope="module")
def made(spec):
    return bd.simulate(spec, dyads=200, sessions=3, exchanges=(10, 30), random_seed=4)


def test_same_seed_same_study_other_seed_other(spec):
    one, _ = bd.simulate(spec, dyads=2, sessions=1, exchanges=4, random_seed=1)
    two, _ = bd.simulate(spec, dyads=2, sessions=1, exchanges=4, random_seed=1)
    other, _ = bd.simulate(spec, dyads=2, sessions=1, exchanges=4, random_seed=2)
    assert one.identical(two)
    assert not np.allclose(one["score"], other["score"])


def test_reliability_is_what_was_asked(spec):
    asked = {"empathy": 0.5, "rapport": 0.9}
    measures, truth = bd.simulate(spec, dyads=200, sessions=2, exchanges=20, reliability=asked, random_seed=4)
    score, latent = measures["score"].values, truth["latent"].values
    found = [np.corrcoef(score[:, c], latent[:, c])[0, 1] ** 2 for c in range(score.shape[1])]
    expected = [asked.get(str(name), 0.7) for name in measures["construct"].values]
    # 8,000 exchanges: the squared correlation's SD is below .01.
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_standard_errors_are_calibrated(made):
    measures, truth = made
    z = (measures["score"].values - 3.0 - 0.8 * truth["latent"].values) / measures["se"].values
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert z.var() == pytest.approx(1.0, abs=4 * np.sqrt(2 / z.size))


def test_innovations_have_the_reported_covariance(spec, made):
    """Recompute one outcome's residuals from latent and truth by hand."""
    measures, truth = made
    names = list(measures["construct"].values)
    latent = truth["latent"].values
    dyads, labels = truth["dyad"].values, truth["session"].values
    d = np.searchsorted(dyads, measures["dyad"].values)
    pairs = zip(measures["dyad"].values, measures["session"].values, strict=True)
    s = np.searchsorted(labels, [f"{dyad}:{session}" for dyad, session in pairs])
    later = np.flatnonzero(measures["t"].values > 0)
    path = truth["path"]
    effect = truth["dyad_effects"]

    def level(name):
        dyad = effect.sel(dyad_effect=f"{name} ~ 1").values[d]
        return dyad + truth["session_effects"].sel(session_effect=f"{name} ~ 1").values[s]

    phase = np.concatenate([np.linspace(-0.5, 0.5, n) for n in np.bincount(s)])
    y = "self_negative"
    value = latent[:, names.index(y)] - level(y)
    for term in ("empathy", "exploration"):
        slope = float(path.sel(path_name=f"{y} ~ {term}")) + effect.sel(dyad_effect=f"{y} ~ {term}").values[d]
        value = value - slope * latent[:, names.index(term)]
        product = latent[:, names.index(term)] * latent[:, names.index("rapport")]
        value = value - float(path.sel(path_name=f"{y} ~ {term}:rapport")) * product
    value = value - float(path.sel(path_name=f"{y} ~ rapport")) * latent[:, names.index("rapport")]
    value = value - float(path.sel(path_name=f"{y} ~ phase")) * phase
    residual = value[later]
    for source in ("disclosure", "self_negative", "outward_negative"):
        before = (latent[:, names.index(source)] - level(source))[later - 1]
        residual = residual - float(path.sel(path_name=f"{y} ~ lag({source})")) * before
    expected = float(truth["residual_cov"].sel(outcome=y, outcome2=y))
    assert residual.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / residual.size))
    assert abs(residual.mean()) < 4 * np.sqrt(expected / residual.size)


def test_truth_can_be_chosen_by_label_or_name(spec):
    _, truth = bd.simulate(
        spec, dyads=2, sessions=1, exchanges=3, truth={"der": -0.2, "disclosure ~ phase": 0.4}, random_seed=1
    )
    assert float(truth["path"].sel(path_name="disclosure ~ empathy:rapport")) == -0.2
    assert float(truth["path"].sel(path_name="disclosure ~ phase")) == 0.4


def test_unrated_scores_have_no_se(spec):
    measures, _ = bd.simulate(spec, dyads=20, sessions=2, exchanges=20, missing=0.3, random_seed=1)
    missing = np.isnan(measures["score"].values)
    np.testing.assert_array_equal(missing, np.isnan(measures["se"].values))
    assert missing.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / missing.size))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"reliability": {"warmth": 0.5}}, "warmth"),
        ({"reliability": 1.2}, "1.2"),
        ({"truth": {"zz": 1.0}}, "zz"),
        ({"truth": {"disclosure ~ lag(disclosure)": 1.6}, "exchanges": 60}, "explodes"),
    ],
)
def test_bad_truth_is_refused(spec, arguments, word):
    with pytest.raises(InputError, match=word):
        bd.simulate(spec, **{"dyads": 2, "sessions": 1, "exchanges": 5, "random_seed": 1, **arguments})
