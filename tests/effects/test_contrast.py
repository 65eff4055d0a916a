"""Contrasts by hand, with labels, definitions, and paths by name."""

import numpy as np
import pytest

from bayesdyn.effects import contrast
from bayesdyn.errors import InputError
from drawn_fits import COLUMNS, band_of, drawn_fit, draws_of


@pytest.fixture(scope="module")
def fit():
    return drawn_fit()


def test_expressions_are_computed_draw_by_draw(fit):
    b = draws_of(fit)
    de, se, er = b["disclosure ~ empathy"], b["self_negative ~ empathy"], b["rapport ~ empathy"]
    own, product = b["disclosure ~ lag(disclosure)"], b["disclosure ~ empathy:rapport"]
    expected = {
        "se - de": se - de,
        "2 * gap": 2 * (de - se),
        "abs(er) / (1 - `disclosure ~ lag(disclosure)`)": np.abs(er) / (1 - own),
        "`disclosure ~ rapport:empathy` - ` disclosure~lag( disclosure ) `": product - own,
        "`empathy ~ lag(empathy)`": b["empathy ~ lag(empathy)"],
        "`disclosure ~ mean(empathy)` ** 2": b["disclosure ~ mean(empathy)"] ** 2,
    }
    table = contrast(fit, *expected, ci_prob=0.9)
    assert table["expression"].tolist() == list(expected)
    np.testing.assert_allclose(table[COLUMNS], [band_of(draws, 0.9) for draws in expected.values()])


def test_a_comparison_has_a_probability(fit):
    row = contrast(fit, "de > 0 and se > de").iloc[0]
    b = draws_of(fit)
    share = (
        (b["disclosure ~ empathy"] > 0) & (b["self_negative ~ empathy"] > b["disclosure ~ empathy"])
    ).mean()
    assert row["mean"] == row["prob_positive"] == share
    assert row[["sd", "lower", "upper"]].isna().all()


def test_names_that_differ_in_signs_only_are_kept_apart(fit):
    table = contrast(fit, "`disclosure ~ lag(empathy)` - `disclosure ~ empathy`", "1 + 1")
    b = draws_of(fit)
    assert table["mean"][0] == pytest.approx(
        (b["disclosure ~ lag(empathy)"] - b["disclosure ~ empathy"]).mean()
    )
    assert table["mean"][1] == 2


@pytest.mark.parametrize(
    ("expressions", "words"),
    [
        ((), ["no expression"]),
        (("se - gp",), ["unknown name 'gp'", "Did you mean 'gap'?", "er, de, dr, se, sd, gap"]),
        (("empathy - se",), ["unknown name 'empathy'", "backticks, e.g. `rapport ~ empathy`"]),
        (("`disclosure ~ empathie` - se",), ["no path", "Did you mean 'disclosure ~ empathy'?"]),
        (("se -", "de & se"), ["breaks off", "Write and"]),
        (("`disclosure ~ empathy - se",), ["in '`disclosure"]),
        (("log(de - 10)",), ["undefined in 120 of 120 draws"]),
        (("1 / (de - de)",), ["undefined in 120 of 120 draws", "no finite number"]),
    ],
)
def test_what_cannot_be_asked(fit, expressions, words):
    with pytest.raises(InputError) as caught:
        contrast(fit, *expressions)
    for word in words:
        assert word in str(caught.value)
