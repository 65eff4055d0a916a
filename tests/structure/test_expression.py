"""Expressions of definitions and claims: their value per draw, and what they refuse."""

import numpy as np
import pytest

from bayesdyn.errors import InputError
from bayesdyn.structure.language.evaluating import evaluate
from bayesdyn.structure.language.expression import is_truth, names_in, parse_expression

VALUES = {"a": np.array([1.0, -2.0, 4.0]), "b": np.array([0.5, 2.0, -1.0]), "rope": np.array(1.5)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # By hand, from a = 1, -2, 4 and b = .5, 2, -1.
        ("a - b", [0.5, -4, 5]),
        ("-a + 2*b", [0, 6, -6]),
        ("a / b ** 2", [4, -0.5, 4]),
        ("(a + b) * 2", [3, 0, 6]),
        ("+a", [1, -2, 4]),
        ("abs(a)", [1, 2, 4]),
        ("exp(0 * a)", [1, 1, 1]),
        ("log(abs(a)) / log(2)", [0, 1, 2]),
        ("sqrt(a * a)", [1, 2, 4]),
        ("min(a, b, 0)", [0, -2, -1]),
        ("max(a, b)", [1, 2, 4]),
        ("a > b", [True, False, True]),
        ("0 < a <= 1", [True, False, False]),
        ("a == 1 or b >= 2", [True, True, False]),
        ("abs(a) < rope and not b < 0", [True, False, False]),
        ("a != 1", [False, True, True]),
        ("(a > 0) * 1 + (b > 0)", [2, 1, 1]),
        ("2", [2, 2, 2]),
    ],
)
def test_values_per_draw(text, expected):
    result = evaluate(text, VALUES)
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert (result.dtype == bool) == isinstance(expected[0], bool)


def test_draws_keep_their_shape():
    draws = {"a": np.ones((4, 100)), "b": np.zeros((4, 100))}
    assert evaluate("a > b", draws).shape == (4, 100)
    assert evaluate("a > b", draws).dtype == bool


def test_names_come_once_and_in_order_and_without_functions():
    assert names_in("max(z, abs(y)) - z * x") == ("z", "y", "x")


@pytest.mark.parametrize(
    ("text", "truths", "expected"),
    [
        ("a > 0", (), True),
        ("not p", ("p",), True),
        ("p", ("p",), True),
        ("p", (), False),
        ("a + 1", (), False),
    ],
)
def test_is_truth(text, truths, expected):
    assert is_truth(text, truths) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a +", "column 3: the expression breaks off"),
        ("", "the expression is empty"),
        ("a = b", "column 3: the expression breaks off"),
        ("a + abz(b)", "column 5: unknown function 'abz'. Did you mean 'abs'?"),
        ("a ^ 2", "Write ** for a power"),
        ("(a > 0) & (b > 0)", "Write and"),
        ("(a > 0) | (b > 0)", "Write or"),
        ("~a", "Write not"),
        ("a % 2", "column 1: 'a % 2' is not allowed"),
        ("a.real", "'a.real' is not allowed"),
        ("a[0]", "'a[0]' is not allowed"),
        ("__import__('os').system('x')", "is not allowed"),
        ("(lambda: 1)()", "is not allowed"),
        ("[a]", "'[a]' is not allowed"),
        ("a if b > 0 else b", "is not allowed"),
        ("a in b", "'a in b' is not allowed"),
        ("'a'", "unexpected 'a'. A constant is a number"),
        ("True", "unexpected True"),
        ("2j", "unexpected 2j"),
        ("abs(a, b)", "abs takes one value, here it has 2"),
        ("min(a)", "min takes two or more values, here it has 1"),
        ("min(a, key=b)", "is not allowed"),
        ("abs(*a)", "is not allowed"),
        ("a > 0 and b + 1", "column 11: 'b + 1' is a number, neither true nor false"),
        ("not 1", "'1' is a number"),
        ("1e999", "unexpected infinite number"),
        ("9" * 400, "unexpected infinite number"),
        ("-" * 300 + "a", "nests too deep. Define parts of it first"),
        ("-" * 9000 + "a", "nests too deep"),
    ],
)
def test_what_is_refused_and_why(text, message):
    with pytest.raises(InputError) as caught:
        parse_expression(text)
    assert message in str(caught.value)


def test_all_faults_are_gathered_with_columns_counted_in_characters():
    with pytest.raises(InputError) as caught:
        parse_expression("  ä + abz(ä) + sqr(ä)")
    assert [fault.where for fault in caught.value.faults] == ["column 7", "column 16"]


def test_an_unknown_name_has_its_nearest():
    with pytest.raises(InputError, match=r"unknown name 'der2'. Did you mean 'der'\?"):
        evaluate("der2 > 0", {"der": np.ones(3)})


def test_a_number_is_no_truth_value():
    with pytest.raises(InputError, match="'a' is a number, neither true nor false"):
        evaluate("a and b > 0", VALUES)


@pytest.mark.parametrize("text", ["log(a)", "sqrt(b)", "(a - a) / (b - b)", "a ** 0.5", "1 / (a - a)"])
def test_an_undefined_draw_is_an_error_and_no_evidence(text):
    with pytest.raises(InputError, match=r"is undefined in \d of 3 draws"):
        evaluate(f"{text} > 0", VALUES)


def test_undefined_draws_can_be_missing_whatever_is_made_of_them():
    """By hand, from a = 1, -2, 4: the root of the second is undefined."""

    def found(text, **more):
        return evaluate(text, {**VALUES, **more}, undefined_is_missing=True)

    np.testing.assert_array_equal(found("sqrt(a)"), [1, np.nan, 2])
    np.testing.assert_array_equal(found("sqrt(a) > 1"), [0, np.nan, 1])
    np.testing.assert_array_equal(found("not sqrt(a) > 1 and b > 0"), [1, np.nan, 0])
    np.testing.assert_array_equal(found("2 + (sqrt(a) > 1)"), [2, np.nan, 3])
    truth = found("sqrt(a) > 1")
    np.testing.assert_array_equal(found("p and a > 0", p=truth), [0, np.nan, 1])
    assert found("abs(a) > 1").dtype == bool
    with pytest.raises(InputError, match="'p and a > 0' is undefined in 1 of 3 draws"):
        evaluate("p and a > 0", {**VALUES, "p": truth})
    with pytest.raises(InputError, match="'q > 0' is undefined in 1 of 3 draws"):
        evaluate("q > 0", {"q": np.array([1.0, np.nan, 2.0])})
    with pytest.raises(InputError, match="'a' is a number, neither true nor false"):
        found("a and b > 0")


def test_a_missing_draw_stays_missing():
    assert np.isnan(evaluate("a + 1", {"a": np.array([np.nan])})).all()
