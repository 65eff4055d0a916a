"""Slopes, words, sentences and tables of the report, each against a value worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from bayesdyn.fitting.fits import flat, posterior_of
from bayesdyn.reporting.answer import ClaimLine, main_caveat, opening, tipping_words
from bayesdyn.reporting.counts import count_ratings
from bayesdyn.reporting.slopes import simple_slopes
from bayesdyn.reporting.study_tables import count_tables
from bayesdyn.reporting.svg import ERROR, Canvas
from bayesdyn.reporting.words import (
    MEASUREMENT_SAID,
    count,
    interval,
    listed,
    number,
    percent,
    probability,
    stopped,
)
from bayesdyn.structure.language.spec import MEASUREMENTS


def test_every_setting_of_measurement_has_its_sentence():
    assert set(MEASUREMENT_SAID) == set(MEASUREMENTS)
    assert len(set(MEASUREMENT_SAID.values())) == len(MEASUREMENTS)


def test_slopes_are_own_path_plus_moderator_times_product(study):
    lines = simple_slopes(study.fit)
    assert [(line.outcome, line.behaviour, line.moderator) for line in lines] == [
        (outcome, behaviour, "rapport")
        for outcome in ("disclosure", "self_negative", "outward_negative")
        for behaviour in ("empathy", "exploration")
    ]
    path = posterior_of(study.fit)["path"]
    own = flat(path.sel(path_name="self_negative ~ empathy"))
    product = flat(path.sel(path_name="self_negative ~ empathy:rapport"))
    line = next(item for item in lines if (item.outcome, item.behaviour) == ("self_negative", "empathy"))
    for point, place in zip(line.points, (-1, 0, 1), strict=True):
        slope = own + place * product
        assert point.at == place
        assert point.mean == pytest.approx(slope.mean())
        assert (point.lower, point.upper) == pytest.approx(np.quantile(slope, [0.025, 0.975]))
        assert point.prob_positive == pytest.approx((slope > 0).mean())
    at_one = int(np.argmin(np.abs(line.grid - 1)))
    assert line.upper[at_one] == pytest.approx(line.points[2].upper)


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.1004, "\u22120.100"), (-0.0001, "0.000"), (np.nan, "–"), (1.25, "1.250")]
)
def test_number(value, shown):
    assert number(value) == shown


def test_words():
    assert interval(-0.2, 0.1, 2) == "\u22120.20 to 0.10"
    assert interval(np.nan, 0.1) == "–"
    assert [probability(p) for p in (0.0, 0.0004, 0.5, 0.9994, 1.0)] == [
        "< 0.001", "< 0.001", "0.500", "0.999", "> 0.999",
    ]  # fmt: skip
    assert [percent(share) for share in (0, 0.024, 0.48, np.nan)] == ["0 %", "2.4 %", "48 %", "–"]
    assert count(240000) == "240,000"
    assert [listed(["a", "b", "c"]), listed(["a"]), listed([])] == ["a, b and c", "a", ""]
    assert stopped("rapport moderates") == "Rapport moderates."


def test_opening_of_one_claim():
    line = ClaimLine("a", "A holds.", "a > 0", "undecided", 0.45, 0.5, "0.450", "0.500")
    assert opening([line], True, "") == ["The one claim of this model is undecided."]


def test_opening_says_what_is_provisional_and_what_is_not_claimed():
    sentences = opening([], False, "one rater only")
    assert sentences[0].startswith("The sampler's diagnostics found problems")
    assert sentences[1:] == [
        "This model states no claims; its paths are below.",
        "Main caveat: One rater only.",
    ]


def test_main_caveat_takes_an_assumed_error_first_then_a_warning():
    notes = [
        "3 gaps were filled",
        "Warning: empathy: at the floor.",
        "Warning: rapport: raters hardly agree.",
    ]
    assert main_caveat(notes, "prior").startswith("One rater identifies no error variance")
    assert main_caveat(notes, "raters") == "Empathy: at the floor. 1 more warning under Measures"
    assert main_caveat(["3 gaps were filled", "Upper bounds only"], "raters") == "Upper bounds only"
    assert main_caveat([], "given").startswith("The standard errors came with the scores")


def test_tipping_words_name_each_that_tips_and_group_the_rest():
    tipping = pd.DataFrame(
        [("y ~ a", 1.4, "its interval stops"), ("y ~ b", np.nan, "always"),
         ("y ~ c", 0.3, "its interval starts"), ("y ~ d", np.nan, "always"), ("y ~ e", np.nan, "never")],
        columns=["path_name", "tipping_factor", "says"],
    )  # fmt: skip
    found = tipping_words(tipping, ["y ~ a", "y ~ b", "y ~ c", "y ~ d"])
    assert found is not None
    assert found.tips == (("y ~ c", "its interval starts"), ("y ~ a", "its interval stops"))
    assert found.never == (("Always", ("y ~ b", "y ~ d")),)
    assert tipping_words(tipping, []) is None


def test_counts_of_ratings():
    ratings = pd.DataFrame(
        {"construct": ["empathy"] * 5, "rater": ["a", "a", "a", "b", "b"],
         "value": [1.0, np.nan, np.nan, 2.0, 3.0], "reason": ["", "timeout", "off scale", "", ""]}
    )  # fmt: skip
    counts = count_ratings(ratings)
    assert counts == {
        "ratings": 3,
        "unrated": 2,
        "rated_by_rater": {"a": 1, "b": 2},
        "unrated_by_reason": {"a": {"timeout": 1, "off scale": 1}},
    }
    tables = count_tables(counts, "Ratings.")
    assert tables[0].groups[0].rows == (("ratings", "3"), ("unrated", "2"))
    assert [table.columns[0] for table in tables] == ["what", "rater", "reason"]
    assert tables[2].groups[0].heading == "a"


def test_a_drawing_uses_the_colours_of_the_page_and_takes_text_as_it_is():
    canvas = Canvas(100, 50)
    axes = canvas.axes(10, 10, 80, 30)
    axes.plot([0, 1], [0, 1], color=ERROR)
    canvas.text(5, 8, "$a_1$ <b> \u6f22")
    drawn = canvas.svg("one")
    assert 'viewBox="0 0 100 50"' in drawn
    assert "var(--error)" in drawn
    assert "$a_1$ &lt;b&gt; \u6f22" in drawn
    assert "#0102" not in drawn
    assert "font-family" not in drawn
    assert "http" not in drawn
    assert drawn == _again()


def _again() -> str:
    canvas = Canvas(100, 50)
    axes = canvas.axes(10, 10, 80, 30)
    axes.plot([0, 1], [0, 1], color=ERROR)
    canvas.text(5, 8, "$a_1$ <b> \u6f22")
    return canvas.svg("one")
