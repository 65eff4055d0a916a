"""Differential error: recovery, calibration, and what cannot be seen."""

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import bayesdyn as bd
from bayesdyn.measures.dataset import Notes, read_notes
from bayesdyn.measures.differing.contrasts import Contrast, contrasts_of
from bayesdyn.measures.differing.differential import Panel, Slopes, differential_slopes, warn_of_slopes

DISCRIMINATION = np.array([0.8, 1.0, 1.25])


def keys_of(dyads, per_dyad, sessions=2):
    rows = np.arange(dyads * per_dyad)
    place = rows % per_dyad
    length = per_dyad // sessions
    return pd.DataFrame(
        {
            "dyad": np.char.mod("d%03d", rows // per_dyad),
            "session": (place // length).astype(str), "t": place % length,
        }
    )  # fmt: skip


def number(name, value):
    return Contrast(name, (value - value.mean()) / value.std(), 1.0, f"{name} is large", "per SD")


def panel_of(
    rng, theta, bias, *, discrimination=DISCRIMINATION, noise=0.0, human=None, sd=0.5, dyad_sd=0.0, dyad=None
):
    """Ratings of these true scores with these errors (exchange, rater), parameters known but for ``noise``.

    Log discriminations and means are off by ``noise``, and their draws say so.
    """
    raters = len(discrimination)
    error = bias + sd * rng.normal(size=(len(theta), raters))
    if dyad is not None:
        error += dyad_sd * rng.normal(size=(dyad.max() + 1, raters))[dyad]
    value = 3 + discrimination * theta[:, None] + error
    known = discrimination * np.exp(noise * rng.normal(size=raters))
    mean = 3 + noise * rng.normal(size=raters)
    return Panel(
        construct="empathy",
        raters=tuple(f"r{r}" for r in range(raters)),
        human=np.zeros(raters, dtype=bool) if human is None else np.array(human),
        value=value,
        weight=np.ones(len(theta)),
        mean=mean,
        discrimination=known,
        precision=np.square(known / sd),
        mean_draws=mean + noise * rng.normal(size=(200, raters)),
        discrimination_draws=known * np.exp(noise * rng.normal(size=(200, raters))),
        true_sd=0.7,
    )


def test_a_covariate_that_goes_with_the_true_score_is_no_bias():
    """600 studies of 60 dyads with 20 exchanges: a covariate that correlates .6 with the true score, no bias.

    Discriminations .8, 1, 1.25, known with a standard error of 3 %; rater errors of dyads. The share of p
    below .05 must be within three Monte Carlo standard errors of .05, .027, for each rater and for a
    covariate that has nothing to do with the true score too. Taking the discriminations as known must fail
    that: otherwise the test would not see what is left of the true score.
    """
    rng = np.random.default_rng(1)
    dyad = np.repeat(np.arange(60), 20)
    hits, naive = np.zeros((2, 3)), np.zeros((2, 3))
    for _ in range(600):
        theta, apart = rng.normal(size=(2, len(dyad)))
        goes_with = 0.6 * theta + 0.8 * rng.normal(size=len(dyad))
        contrasts = [number("words", goes_with), number("apart", apart)]
        panel = panel_of(rng, 0.7 * theta, 0.0, noise=0.03, dyad=dyad, dyad_sd=0.2)
        hits += differential_slopes(panel, contrasts, dyad).p < 0.05
        known = Panel(
            **{
                **vars(panel),
                "mean_draws": np.tile(panel.mean, (2, 1)),
                "discrimination_draws": np.tile(panel.discrimination, (2, 1)),
            }
        )
        naive += differential_slopes(known, contrasts, dyad).p < 0.05
    print("rejected", hits / 600, "with discriminations taken as known", naive / 600)
    np.testing.assert_allclose(hits / 600, 0.05, atol=0.027)
    assert (naive[0] / 600 > 0.077).all()


def test_an_attribute_of_few_dyads_has_intervals_as_wide_as_they_must_be():
    """600 studies of 8 dyads with 40 exchanges, raters' errors alike in a dyad, an attribute of the dyad.

    5 % of p below .05 within three Monte Carlo standard errors (.027); exchanges taken as independent find
    a bias in most studies.
    """
    rng = np.random.default_rng(2)
    dyad = np.repeat(np.arange(8), 40)
    attribute = (dyad % 2).astype(float)
    contrast = Contrast("arm: b", attribute, 0.5, "arm is b", "against a")
    phase = number("phase", np.arange(len(dyad)) % 40.0)
    hits, naive, wider = 0, 0, []
    for _ in range(600):
        panel = panel_of(rng, 0.7 * rng.normal(size=len(dyad)), 0.0, dyad=dyad, dyad_sd=0.4)
        found = differential_slopes(panel, [contrast, phase], dyad)
        hits += found.p[0, 0] < 0.05
        standard = (panel.value - panel.mean) / panel.discrimination
        others = standard[:, 1:] @ panel.precision[1:] / panel.precision[1:].sum()
        fit = sm.OLS(standard[:, 0] - others, sm.add_constant(attribute)).fit()
        assert fit.params[1] == pytest.approx(found.bias[0, 0])
        naive += fit.pvalues[1] < 0.05
        wider.append(found.se[0, 0] / fit.bse[1])
    print(
        f"rejected {hits / 600:.3f}, exchanges as independent {naive / 600:.3f}, SEs {np.median(wider):.1f}"
    )
    assert abs(hits / 600 - 0.05) < 0.027
    assert naive / 600 > 0.5
    assert np.median(wider) > 2


def test_a_bias_that_all_llms_share_is_seen_by_humans_only():
    """Every LLM adds .2 per SD; two coders rate 300 of 1,200 exchanges. Threshold 3.5 standard errors."""
    rng = np.random.default_rng(3)
    dyad = np.repeat(np.arange(60), 20)
    theta = 0.7 * rng.normal(size=len(dyad))
    words = number("client_words", rng.gamma(2, size=len(dyad)))
    llm = np.array([True, True, True, False, False])
    bias = 0.2 * words.value[:, None] * llm
    panel = panel_of(rng, theta, bias, discrimination=np.ones(5), human=~llm, noise=0.01)
    panel.value[:, 3:][np.arange(len(dyad)) % 4 > 0] = np.nan
    found = differential_slopes(panel, [words], dyad)
    assert found.against == ("the human coders",) * 3 + ("r4", "r3")
    assert (np.abs(found.bias[0, :3] - 0.2) < 3.5 * found.se[0, :3]).all()
    assert (found.bound(0.05)[0, :3] > 0.1).all()
    assert (found.p[0, 3:] > 0.05).all()
    notes = Notes()
    warn_of_slopes([panel], [words], [found], notes)
    assert len(notes.sentences) == 3
    assert (
        "rater r0 rates higher than the human coders where client_words is large: +0." in notes.sentences[0]
    )

    alone = Panel(
        **{
            name: value[..., :3] if isinstance(value, np.ndarray) and name != "weight" else value
            for name, value in vars(panel).items()
        }
        | {"raters": panel.raters[:3]}
    )
    unseen = differential_slopes(alone, [words], dyad)
    assert (np.abs(unseen.bias) < 3.5 * unseen.se).all()
    assert (np.abs(unseen.bias) < 0.1).all()
    notes = Notes()
    warn_of_slopes([alone], [words], [unseen], notes)
    assert len(notes.sentences) == 1
    assert "a bias that all of them share is not seen" in notes.sentences[0]


def test_known_probabilities_undo_a_choice_that_makes_a_bias():
    """Coders get the exchanges where the LLM's own error and the covariate are both high or both low."""
    rng = np.random.default_rng(4)
    dyad = np.repeat(np.arange(60), 40)
    words = number("words", rng.normal(size=len(dyad)))
    panel = panel_of(
        rng, 0.7 * rng.normal(size=len(dyad)), 0.0, discrimination=np.ones(2), human=[False, True]
    )
    theta = panel.value.mean(axis=1)
    probability = np.where((panel.value[:, 0] - theta) * words.value > 0, 0.6, 0.15)
    panel.value[rng.random(len(dyad)) > probability, 1] = np.nan
    plain = differential_slopes(panel, [words], dyad)
    weighted = differential_slopes(Panel(**{**vars(panel), "weight": 1 / probability}), [words], dyad)
    assert plain.bias[0, 0] > 5 * plain.se[0, 0]
    assert abs(weighted.bias[0, 0]) < 3.5 * weighted.se[0, 0]
    assert np.isnan(plain.bias[0, 1])


def test_a_pair_is_one_test_and_holm_counts_the_whole_study():
    rng = np.random.default_rng(5)
    dyad = np.repeat(np.arange(30), 20)
    words = number("words", rng.normal(size=len(dyad)))
    bias = 0.3 * words.value[:, None] * np.array([1, 0])
    panel = panel_of(rng, 0.7 * rng.normal(size=len(dyad)), bias, discrimination=np.ones(2))
    found = differential_slopes(panel, [words], dyad)
    assert found.tested == (True, False)
    assert found.bias[0, 1] == pytest.approx(-found.bias[0, 0])
    notes = Notes()
    warn_of_slopes([panel], [words], [found], notes)
    (warning,) = [note for note in notes.sentences if note.startswith("Warning")]
    assert "rater r0 rates higher than r1 where words is large" in warning
    assert "A path of empathy with anything that goes with words may be this bias." in warning

    def warned(p, times, true_sd=0.7):
        # A slope of .3 whose p is this; beside ``times`` - 1 tests with no bias at all.
        se = 0.3 / stats.norm.isf(p / 2)
        one = Slopes(np.full((1, 1), 0.3), np.full((1, 1), se), np.full((1, 1), 1e9), ("r1",), (True,))
        none = Slopes(np.zeros((1, 1)), np.ones((1, 1)), np.full((1, 1), 9.0), ("r1",), (True,))
        told = Notes()
        size = Panel(**{**vars(panel), "true_sd": true_sd})
        warn_of_slopes([size] * times, [words], [one] + [none] * (times - 1), told)
        return any(note.startswith("Warning") for note in told.sentences)

    assert warned(0.009, 5)
    assert not warned(0.011, 5)
    assert warned(0.011, 4)
    # .3 scale points are a tenth of 3: of no size that matters.
    assert not warned(1e-9, 1, true_sd=3.1)


def test_contrasts_of_numbers_levels_words_and_places():
    keys = keys_of(4, 6).assign(client_text=["one two  three", "four", ""] * 8, therapist_text="x")
    notes = Notes()
    covariates = {
        "female": np.tile([0.0, 1.0, np.nan], 8), "arm": np.tile(np.array(["b", "a"], dtype=object), 12),
        "site": np.tile(np.array(["x", "y", "z", ""], dtype=object), 6), "flat": np.ones(24),
        "therapist": np.char.mod("t%d", np.arange(24)).astype(object), "age": np.arange(24.0),
    }  # fmt: skip
    made = {one.name: one for one in contrasts_of(keys, covariates, notes)}
    assert list(made) == ["phase", "client_words", "female", "arm: b", "site: x", "site: y", "site: z", "age"]
    np.testing.assert_allclose(np.unique(np.diff(made["phase"].value[:3])), np.sqrt(1.5))
    words = np.tile([3.0, 1, 0], 8)
    np.testing.assert_allclose(made["client_words"].value, (words - words.mean()) / words.std())
    np.testing.assert_array_equal(made["female"].value[:3], [0, 1, np.nan])
    np.testing.assert_array_equal(made["arm: b"].value[:2], [1, 0])
    assert made["arm: b"].unit == "against a"
    np.testing.assert_array_equal(made["site: y"].value[:4], [0, 1, 0, np.nan])
    assert made["age"].value.std() == pytest.approx(1)
    assert notes.sentences == [
        "Covariate therapist has 24 levels: the raters' errors were not compared over them."
    ]


@pytest.fixture(scope="module")
def measured(make_world):
    """Three LLMs, of whom r0 adds .2 per SD of the client's words to one of two constructs."""
    world = make_world(
        31, sessions=60, length=25, severity=(0, 0.2, -0.2), discrimination=(1, 1, 1),
        error_sd=(0.5, 0.5, 0.5),
    )  # fmt: skip
    exchanges = world.ratings[["dyad", "session", "t"]].drop_duplicates().reset_index(drop=True)
    rng = np.random.default_rng(32)
    words = rng.integers(3, 60, len(exchanges))
    exchanges = exchanges.assign(
        client_text=["secret " * count for count in words], therapist_text="secret", arm="a"
    )
    exchanges.loc[exchanges["dyad"] > "d14", "arm"] = "b"
    place = exchanges.index.repeat(6)
    added = np.where(
        (world.ratings["rater"] == "r0") & (world.ratings["construct"] == "empathy"),
        0.2 * ((words - words.mean()) / words.std())[place], 0.0,
    )  # fmt: skip
    ratings = world.ratings.assign(value=world.ratings["value"] + added)
    return bd.measure(ratings, exchanges=exchanges, random_seed=3)


def test_an_injected_bias_is_recovered_and_warned_of(measured):
    """Threshold: 3.5 standard errors, taken from the 90 % interval, which must cover."""
    found = measured.sel(covariate="client_words", rater="r0", construct="empathy")
    low, high = float(found["differential_bias_lower"]), float(found["differential_bias_upper"])
    assert low < 0.2 < high
    assert abs(float(found["differential_bias"]) - 0.2) < 3.5 * (high - low) / 2 / 1.645
    assert high - low < 0.15
    warned = [note for note in read_notes(measured) if note.startswith("Warning")]
    assert any("rater r0 rates higher than the other raters where client_words" in note for note in warned)
    # The others' differences are from a composite with r0 in it: half its bias each, the other way.
    assert all(note.startswith("Warning: empathy: ") and "client_words is large" in note for note in warned)


def test_where_there_is_no_bias_none_is_told(measured):
    rest = measured["differential_bias"].sel(construct="rapport")
    low = measured["differential_bias_lower"].sel(construct="rapport")
    high = measured["differential_bias_upper"].sel(construct="rapport")
    assert list(rest["covariate"].values) == ["phase", "client_words", "arm: b"]
    se = (high - low) / 2 / 1.7
    assert (np.abs(rest) < 3.5 * se).all()
    assert not any("rapport" in note for note in read_notes(measured) if note.startswith("Warning"))


def test_no_text_is_kept(measured):
    assert not {"client_text", "therapist_text", "client_words"} & set(measured.variables)
    assert not any("secret" in str(measured[name].values) for name in measured.variables)
    assert "secret" not in json.dumps(read_notes(measured))


def test_one_rater_tells_nothing_and_says_so_once(make_world):
    world = make_world(33, severity=(0.0,), discrimination=(1.0,), error_sd=(0.5,))
    measures = bd.measure(world.ratings, random_seed=2)
    assert np.isnan(measures["differential_bias"]).all()
    assert np.isnan(measures["differential_bias_lower"]).all()
    told = [note for note in read_notes(measures) if "goes with a covariate" in note]
    assert told == [
        "empathy, rapport: whether a rater's error goes with a covariate is not told: there is one rater."
    ]
