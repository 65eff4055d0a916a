"""Paths of dyads by hand, and the pooling factor where theory gives it."""

import numpy as np
import pytest

from bayesdyn.effects import dyad_paths
from bayesdyn.effects.groups import pooling_factor
from bayesdyn.errors import InputError
from drawn_fits import COLUMNS, MEDIATED, band_of, drawn_fit, draws_of


@pytest.fixture(scope="module")
def fit():
    return drawn_fit()


def test_pooling_of_two_dyads_by_hand():
    """Draws (0, 2) and (1, -1): means .5 and .5 vary by 0; the draws vary by 2 and 2: all is pooled.

    Draws (0, 2) and (2, 4): means 1 and 3 vary by 2, draws by 2 and 2: nothing is. Draws (0, 1) and (0, 3):
    means 0 and 2 vary by 2; draws by .5 and 4.5, 2.5 on the mean: 1 - 2 / 2.5 = .2.
    """
    assert pooling_factor(np.array([[0.0, 2.0], [1.0, -1.0]])) == 1.0
    assert pooling_factor(np.array([[0.0, 2.0], [2.0, 4.0]])) == 0.0
    assert pooling_factor(np.array([[0.0, 1.0], [0.0, 3.0]])) == pytest.approx(0.2)


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_pooling_is_the_weight_of_the_common_mean(noise):
    """Effects N(0, 1), one estimate each with variance v: the posterior shrinks by v / (1 + v): lambda.

    Over D dyads the sample variance of the means is off by a factor with SD sqrt(2 / D), and lambda by no
    more than (1 - lambda) of that.
    """
    rng, dyads, draws = np.random.default_rng(2), 2000, 400
    weight = noise / (1 + noise)
    estimate = rng.standard_normal(dyads) * np.sqrt(1 + noise)
    effects = (1 - weight) * estimate + np.sqrt(weight) * rng.standard_normal((draws, dyads))
    assert pooling_factor(effects) == pytest.approx(weight, abs=4 * (1 - weight) * np.sqrt(2 / dyads))


def test_a_dyads_path_is_the_common_path_plus_its_effect(fit):
    table = dyad_paths(fit, "disclosure ~ empathy", ci_prob=0.8).set_index("dyad")
    posterior = fit["posterior"].to_dataset()
    effect = posterior["dyad_effects"].sel(dyad_effect="disclosure ~ empathy")
    for dyad in posterior["dyad"].values:
        own = draws_of(fit)["disclosure ~ empathy"] + effect.sel(dyad=dyad).values.ravel()
        np.testing.assert_allclose(table.loc[dyad, COLUMNS].astype(float), band_of(own, 0.8))
    assert table["pooling"].nunique() == 1
    assert table["pooling"].iloc[0] == pytest.approx(pooling_factor(effect.values.reshape(120, -1)))
    cov = posterior["dyad_cov"].sel(dyad_effect="disclosure ~ empathy", dyad_effect2="disclosure ~ empathy")
    assert table["dyad_sd"].iloc[0] == pytest.approx(np.sqrt(cov.values).mean())


def test_all_varying_slopes_are_told_and_products_in_either_order():
    fit = drawn_fit(MEDIATED.replace("(1 + empathy | dyad)", "(1 + rapport:empathy | dyad)").replace(
        "disclosure + self_negative + rapport ~", "disclosure ~"
    ))  # fmt: skip
    table = dyad_paths(fit)
    assert set(table["path"]) == {"disclosure ~ empathy:rapport"}
    assert len(table) == 4
    assert dyad_paths(fit, "disclosure ~ rapport : empathy").equals(table)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("disclosure ~ lag(disclosure)", ["does not vary by dyad", "disclosure ~ empathy"]),
        ("disclosure ~ empathie", ["is no path", "Did you mean 'disclosure ~ empathy'?"]),
    ],
)
def test_what_cannot_be_asked(fit, path, words):
    with pytest.raises(InputError) as caught:
        dyad_paths(fit, path)
    for word in words:
        assert word in str(caught.value)


def test_a_model_whose_slopes_do_not_vary_says_so():
    model = MEDIATED.replace("(1 + empathy | dyad)", "(1 | dyad)")
    with pytest.raises(InputError, match="no slope of this model varies by dyad"):
        dyad_paths(drawn_fit(model))
