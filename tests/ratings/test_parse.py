"""Token probabilities to a distribution over the scale."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesdyn.ratings.answers.parse import read_distribution, scale_masses

DIGITS = ("1", "2", "3", "4", "5")
WORDS = ("none", "low", "medium", "high", "extreme")
POINTS = (1, 2, 3, 4, 5)


def tokens(**masses: float) -> tuple[tuple[str, float], ...]:
    return tuple((token, math.log(mass)) for token, mass in masses.items())


def test_spaces_and_case_are_merged() -> None:
    pairs = (("3", math.log(0.4)), (" 3", math.log(0.2)), ("Ġ4", math.log(0.1)), ("▁4", math.log(0.1)))
    assert scale_masses(pairs, DIGITS) == pytest.approx((0, 0, 0.6, 0.2, 0))
    assert scale_masses((("High", math.log(0.5)), (" high", math.log(0.25))), WORDS)[3] == pytest.approx(0.75)


def test_first_token_of_a_long_word_counts_only_where_it_is_unmistakable() -> None:
    pairs = (("ext", math.log(0.5)), ("m", math.log(0.1)), ("l", math.log(0.1)), ("no", math.log(0.1)))
    assert scale_masses(pairs, WORDS) == pytest.approx((0, 0, 0, 0, 0.5))
    assert scale_masses((("mod", math.log(0.5)),), ("moderate", "modest")) == (0.0, 0.0)
    assert scale_masses((("10", math.log(0.5)),), ("1", "10")) == pytest.approx((0, 0.5))


def test_expected_score_by_hand() -> None:
    # Masses .1, .2, .4, .1, 0 on 1..5, .2 elsewhere: off scale .2; renormalised .125, .25, .5, .125, 0;
    # expected .125 + .5 + 1.5 + .5 = 2.625.
    pairs = (("1", math.log(0.1)), ("2", math.log(0.2)), ("3", math.log(0.4)), ("4", math.log(0.1)),
             ("The", math.log(0.2)))  # fmt: skip
    reading = read_distribution(pairs, POINTS, DIGITS, 0.5)
    assert reading.probabilities == pytest.approx((0.125, 0.25, 0.5, 0.125, 0))
    assert reading.value == pytest.approx(2.625)
    assert reading.off_scale == pytest.approx(0.2)
    assert reading.reason == ""


def test_too_little_mass_is_unrated_and_says_how_much_was_off() -> None:
    reading = read_distribution((("5", math.log(0.3)), ("I", math.log(0.7))), POINTS, DIGITS, 0.5)
    assert reading.value is None
    assert reading.probabilities is None
    assert reading.off_scale == pytest.approx(0.7)
    assert "on the scale" in reading.reason


@given(st.lists(st.floats(-30, 0), min_size=5, max_size=5))
def test_a_reading_is_a_distribution_with_its_mean_on_the_scale(logprobs: list[float]) -> None:
    reading = read_distribution(tuple(zip(DIGITS, logprobs, strict=True)), POINTS, DIGITS, 1e-9)
    if reading.probabilities is None:
        assert reading.off_scale == pytest.approx(1.0)
        return
    assert math.fsum(reading.probabilities) == pytest.approx(1)
    assert 1 <= (reading.value or 0) <= 5
    assert 0 <= (reading.off_scale or 0) <= 1
