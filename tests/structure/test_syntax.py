"""The language of paths: what each statement means, and what each fault says."""

import pytest

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.checks import check_statements
from bayesdyn.structure.language.spec import Factor, Path, ResidualPair, Term, Varying
from bayesdyn.structure.language.syntax import read_name, read_statements


def read(text: str, first_line: int = 1):
    faults = FaultList()
    statements = read_statements(text, faults, first_line)
    check_statements(statements, faults)
    return statements, [str(fault) for fault in faults.faults]


def items(text: str, kind: str = "paths"):
    statements, faults = read(text)
    assert faults == []
    return [placed.item for placed in getattr(statements, kind)]


def term(*factors: Factor) -> Term:
    return Term(factors)


A, B = Factor("a"), Factor("b")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a", Path("y", term(A))),
        ("label*a", Path("y", term(A), "label")),
        ("label * a", Path("y", term(A), "label")),
        ("0*a", Path("y", term(A), fixed=0.0)),
        ("0.3*a", Path("y", term(A), fixed=0.3)),
        ("-.5e-1*a", Path("y", term(A), fixed=-0.05)),
        ("a:b", Path("y", term(A, B))),
        ("k*a:b:c", Path("y", term(A, B, Factor("c")), "k")),
        ("lag(y)", Path("y", term(Factor("y", "lag", 1)))),
        ("lag(a, 2)", Path("y", term(Factor("a", "lag", 2)))),
        ("lag (a)", Path("y", term(Factor("a", "lag", 1)))),
        ("mean(a)", Path("y", term(Factor("a", "mean", level="session")))),
        ("mean(a, session)", Path("y", term(Factor("a", "mean", level="session")))),
        ("mean(a, dyad)", Path("y", term(Factor("a", "mean", level="dyad")))),
        ("a:lag(b):mean(c)", Path("y", term(A, Factor("b", "lag", 1), Factor("c", "mean", level="session")))),
        ("lag", Path("y", term(Factor("lag")))),
        ("zuwendung_ä", Path("y", term(Factor("zuwendung_ä")))),
    ],
)
def test_a_term_means_what_it_says(written, meant):
    assert items(f"y ~ {written}") == [meant]


def test_several_outcomes_share_the_right_hand_side():
    assert items("y + z ~ a + k*b") == [
        Path("y", term(A)),
        Path("y", term(B), "k"),
        Path("z", term(A)),
        Path("z", term(B), "k"),
    ]


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        ("(1 | dyad)", [Varying("y", "dyad")]),
        ("(1 | session)", [Varying("y", "session")]),
        ("(1 | dyad:session)", [Varying("y", "session")]),
        ("(1 | dyad/session)", [Varying("y", "dyad"), Varying("y", "session")]),
        ("(1 + a + b | dyad)", [Varying("y", "dyad", slopes=(term(A), term(B)))]),
        ("(a | dyad)", [Varying("y", "dyad", slopes=(term(A),))]),
        ("(0 + a | dyad)", [Varying("y", "dyad", intercept=False, slopes=(term(A),))]),
        ("(1 + b:a | session)", [Varying("y", "session", slopes=(term(B, A),))]),
    ],
)
def test_groups(group, meant):
    assert items(f"y ~ a + b + a:b + {group}", "varying") == meant


def test_residual_pairs_and_definitions():
    text = "y + z + w ~ k*a\ny ~~ z + w\nd := k * 2\np := d >\n   k"
    assert items(text, "residuals") == [ResidualPair("y", "z"), ResidualPair("y", "w")]
    assert [(one.name, one.expression) for one in items(text, "definitions")] == [
        ("d", "k * 2"),
        ("p", "d > k"),
    ]


@pytest.mark.parametrize(
    ("written", "terms"),
    [
        ("a*b + a", ["b", "a:b", "a"]),
        ("a*b*c + a", ["b", "c", "a:b", "a:c", "b:c", "a:b:c", "a"]),
        ("lag(a)*b", ["lag(a)", "b", "lag(a):b"]),
        ("mean(a)*b", ["mean(a)", "b", "mean(a):b"]),
        ("phase*b", ["phase", "b", "phase:b"]),
        ("a:b*c", ["a:b", "c", "a:b:c"]),
        ("c*b + a*c", ["b", "c:b", "c"]),  # c is a factor, for it stands behind a; a is a label
        ("a*lag(a) + k*b", ["a", "lag(a)", "a:lag(a)", "b"]),
    ],
)
def test_a_star_behind_a_construct_makes_a_product(written, terms):
    text = f"y ~ {written}"
    assert [str(path.term) for path in items(text)] == terms


@pytest.mark.parametrize(
    "elsewhere",
    [
        "z ~ a", "a ~ b", "z ~ lag(a)", "z ~ mean(a, dyad)", "z ~ b:a", "z ~ k*a:b", "z ~ b*a",
        "z ~ b\nz ~~ a", "z ~ b\na ~ (1 | dyad)",
    ],
)  # fmt: skip
def test_a_name_that_stands_elsewhere_is_a_factor(elsewhere):
    paths = items(f"y ~ a*b\n{elsewhere}")
    assert [str(path) for path in [p.term for p in paths if p.outcome == "y"]] == ["a", "b", "a:b"]


def test_a_name_that_stands_nowhere_else_is_a_label():
    assert items("y ~ a*b\nz ~ a*b") == [Path("y", term(B), "a"), Path("z", term(B), "a")]
    faults = FaultList()
    declared = read_statements("y ~ a*b", faults, declared=["a"])
    assert [placed.item.name for placed in declared.paths] == ["y ~ a", "y ~ b", "y ~ a:b"]


def test_what_is_written_out_wins_over_what_a_product_stands_for():
    assert items("y ~ a*b + k*a + 0*b:a") == [
        Path("y", term(B)),
        Path("y", term(A), "k"),
        Path("y", term(B, A), fixed=0.0),
    ]
    assert [path.name for path in items("y ~ a + b + a*b + a*c")] == [
        *("y ~ a", "y ~ b", "y ~ a:b", "y ~ c", "y ~ a:c")
    ]


def test_products_in_groups():
    [varying] = items("y ~ a*b + (1 + a*b + a | dyad)", "varying")
    assert [str(slope) for slope in varying.slopes] == ["b", "a:b", "a"]


@pytest.mark.parametrize(
    "text",
    [
        "y ~ a\n  + b",
        "y ~ a +\nb",
        "y ~\n  a + b",
        "y\n ~ a + b",
        "# before\ny ~ a # why\n  # between\n\n  + b # after\n",
        "y ~ a + (1 +\n a | dyad)\n + b",
        "y ~ a\ny ~ b",
    ],
)
def test_lines_go_on_where_something_waits_for_its_other_side(text):
    assert items(text) == [Path("y", term(A)), Path("y", term(B))]


def test_lines_are_those_of_the_model_file():
    statements, _ = read("\ny ~ a\n  + b\nz ~ a\n", first_line=5)
    assert [(placed.item.name, placed.item.line, placed.column) for placed in statements.paths] == [
        ("y ~ a", 6, 5),
        ("y ~ b", 7, 5),
        ("z ~ a", 8, 5),
    ]


FAULTS = [
    ("y ~ a\nz = b", "line 2, column 3: unexpected '='. A path is written ~, a residual covariance ~~"),
    (
        "y ~ a +\nz ~ b",
        "line 1, column 7: the statement ends after '+'. Here can stand (, a name or a number",
    ),
    ("y ~ a b", "line 1, column 7: unexpected 'b'. Here can stand *, +, : or the end of the statement"),
    ("y ~ (a | dyad\nz ~ b", "line 1, column 10: the statement ends after 'dyad'. Here can stand ), / or :"),
    ("y ~ a - b", "line 1, column 7: unexpected '-'. A path is left out by 0*x"),
    ("y ~ a + ...", "line 1, column 9: unexpected '...'. Write every term out"),
    ("y =~ a", "line 1, column 3: unexpected '=~'. Latent factors are not written here"),
    ("y ~ a + (1 || dyad)", "line 1, column 12: unexpected '||'. Write a single |"),
    ("y ~ a + 1", "line 1, column 9: unexpected constant '1'. Leave it out: every outcome has a mean"),
    ("y ~ lagg(a)", "line 1, column 5: unknown function 'lagg'. Did you mean 'lag'?"),
    (
        "y ~ a + lag(a, 0)",
        "line 1, column 16: lag of '0': not a whole number of exchanges from 1. Write lag(a)",
    ),
    ("y ~ lag(a, 1.5)", "line 1, column 12: lag of '1.5': not a whole number"),
    ("y ~ mean(a, dyd)", "line 1, column 13: unknown level 'dyd' of a mean. Did you mean 'dyad'?"),
    ("y ~ a + (1 | sesion)", "line 1, column 14: unknown group 'sesion'. Did you mean 'session'?"),
    ("y ~ a + (1 | dyad/sesion)", "line 1, column 19: unknown group 'sesion'. Did you mean 'session'?"),
    ("y ~ a + (1 | session/dyad)", "line 1, column 14: unknown nesting from 'session'"),
    ("y ~ a + (1 | dyad/dyad)", "line 1, column 14: unknown nesting from 'dyad'"),
    ("y ~ a\nsigma(y) ~ a", "line 2, column 12: a path on the residual SD of 'y'. Write groups only"),
    ("y ~ a\nsigma(y) ~ (1 + a | dyad)", "line 2, column 12: a slope of a residual SD"),
    ("y ~ a\nsigmar(y) ~ (1 | dyad)", "line 2, column 1: unknown function 'sigmar'. Did you mean 'sigma'?"),
    ("y ~ a\ny ~~ sigma(a)", "line 2, column 12: a residual SD, of 'a', in ~~"),
    ("y ~ a\nsigma ~ (1 | dyad)\nsigma(y) ~ (1 | dyad)", "the residual SD of 'y' varies by dyad twice"),
    ("y ~ a + (0 | dyad)", "line 1, column 9: nothing varies in this group. Write (1 | dyad)"),
    ("y ~ a + (2 | dyad)", "line 1, column 10: unexpected number '2' in a group"),
    (
        "y ~ a\n + b + a",
        "line 2, column 8: the term 'a' stands twice in the equation of 'y'. Remove one; the first",
    ),
    ("y ~ a:b\ny ~ b:a", "line 2, column 5: the term 'b:a' stands twice in the equation of 'y'"),
    ("y ~ a + k*a", "Remove one; the first is on line 1. For a product, give 'k' a term of its own"),
    ("y ~ a*c + b*c", "Keep one; the first is on line 1. For a product, give 'b' a term of its own"),
    ("y ~ k*a + l*a", "line 1, column 11: the path 'y ~ a' has two labels, 'k' and 'l'. Keep one; the first"),
    ("y ~ a + y", "line 1, column 9: 'y' predicts itself in 'y'. Write lag(y)"),
    ("y ~ mean(y)", "line 1, column 5: 'y' predicts itself in 'mean(y)'"),
    ("phase ~ a", "line 1, column 9: 'phase' is built in and cannot be an outcome"),
    ("y ~ z\nz ~ y", "line 2, column 5: a cycle without lag: y ~ z ~ y. Put lag( ) around one"),
    ("y ~ z:a\nz ~ w\nw ~ y", "line 3, column 5: a cycle without lag: y ~ z ~ w ~ y"),
    ("y ~ mean(z)\nz ~ mean(y)", "line 2, column 5: a cycle without lag: y ~ z ~ y"),
    (
        "y ~ b + k*a*b",
        "line 1, column 9: the label 'k' stands before a product. A label or value is of one path",
    ),
    (
        "y ~ empathy + empaty*a*b",
        "line 1, column 15: the label 'empaty' stands before a product. Did you mean 'em",
    ),
    ("y ~ a + 0*a*b", "line 1, column 9: the value '0' stands before a product"),
    (
        "y ~ a + a*a",
        "line 1, column 9: 'a' stands twice in one product. Write the terms out; a square is a:a",
    ),
    ("y ~ a + a:b*b", "line 1, column 9: 'b' stands twice in one product"),
    ("y ~ a*b + k*a + l*a", "line 1, column 17: the path 'y ~ a' has two labels, 'k' and 'l'"),
    ("y ~ a*b + b + a + a", "line 1, column 19: the term 'a' stands twice"),
    ("y ~ k*a\nk ~ a\nd := 2*k", "uses an unknown label 'k'. Give the path a label, e.g. b*k"),
    ("y ~ a + b + a*y", "line 1, column 13: 'y' predicts itself in 'a:y'"),
    ("y ~ a + (1 + k*a | dyad)", "line 1, column 9: the slope 'k' varies by dyad, but is no path of 'y'"),
    ("y ~ or*a", "line 1, column 5: the label 'or' is a word of expressions. Name it otherwise, e.g. or_"),
    ("y ~ path*a", "line 1, column 5: the label 'path' is the name of a class of priors. Name it otherwise"),
    ("y ~ 1e999*a", "line 1, column 5: the value 1e999 is infinite. Fix a path at a finite number"),
    ("y ~ a + -1e999*b", "line 1, column 9: the value -1e999 is infinite"),
    (
        "y ~ z\nz ~ 0*y + (0 + y | dyad)",
        "line 2, column 5: a cycle without lag: y ~ z ~ y. Put lag( ) around one",
    ),
    ("y ~ rope*a", "line 1, column 5: the label 'rope' is a word of expressions"),
    (
        "y ~ empathy + (1 + empaty | dyad)",
        "line 1, column 15: the slope 'empaty' varies by dyad, but is no path of 'y'. Did you mean 'empathy'",
    ),
    ("y ~ a + (1 + a + a | dyad)", "line 1, column 9: the slope 'a' stands twice in one group"),
    (
        "y ~ a + (1 | dyad)\ny ~ (a | dyad)",
        "line 2, column 5: 'y' varies by dyad twice. Put both into one group",
    ),
    (
        "disclosure ~ a\ndisclosur ~ (1 | dyad)",
        "line 2, column 13: 'disclosur' varies by group, but no path names it. Did you mean 'disclosure'?",
    ),
    ("y ~ a\ny ~~ y", "line 2, column 6: 'y' stands on both sides of ~~"),
    (
        "yes ~ a\nzed ~ a\nyes ~~ zet",
        "line 3, column 8: 'zet' has a residual covariance, but no path names it as",
    ),
    ("yes ~ a\nzed ~ a\nyes ~~ zet", "Did you mean 'zed'?"),
    ("y + z ~ a\ny ~~ z\nz ~~ y", "line 3, column 6: the residual covariance of 'z' and 'y' stands twice"),
    (
        "y ~ der*a\nd := 2 * dre",
        "line 2, column 1: the definition 'd' uses an unknown label 'dre'. Did you mean 'der'?",
    ),
    (
        "y ~ k*a\np := k > 0\nq := p and not k",
        "line 3, column 1: the definition 'q': 'k' is a number, neither true nor false. and, or and not join",
    ),
    ("y ~ k*a\ne := 2*k\nq := e or k > 0", "line 3, column 1: the definition 'q': 'e' is a number"),
    ("y ~ k*a\nd := 2 * a", "the definition 'd' uses an unknown label 'a'. Give the path a label, e.g. b*a"),
    (
        "y ~ k*a\nd := e + k\ne := k",
        "line 2, column 1: the definition 'd' uses 'e', which is not yet defined there",
    ),
    ("y ~ k*a\nd := k\nd := 2*k", "line 3, column 1: 'd' is defined twice. The first is on line 2"),
    ("y ~ k*a\nk := 2", "line 2, column 1: the definition 'k' is also a label"),
    ("y ~ k*a\na := 2", "line 2, column 1: the definition 'a' is also the name of a construct"),
    ("y ~ k*a\nabs := 2", "line 2, column 1: the definition 'abs' is a word of expressions"),
    ("y ~ k*a\nd := k +\n  abz(k)", "line 3, column 3: unknown function 'abz'. Did you mean 'abs'?"),
    ("y ~ k*a\nd := k ^ 2", "line 2, column 6: unexpected operator in 'k ^ 2'. Write ** for a power"),
    ("y ~ k*a\nd :=", "line 2, column 3: the statement ends after ':='. Here can stand an expression"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=[text.replace("\n", " / ") for text, _ in FAULTS])
def test_a_fault_names_its_place_its_word_and_its_remedy(text, message):
    _, faults = read(text)
    assert [fault for fault in faults if message in fault], faults


def test_a_bad_statement_does_not_hide_the_others_nor_raise_false_alarms():
    _, faults = read("y + z ~ lagg(a) + b\nz ! b\nw ~ b + b\nz ~~ y\nd := k")
    # z and y have no readable equation and k may be a label of one, so nothing is said of them.
    assert [fault.split(":")[0] for fault in faults] == [
        "line 1, column 9",
        "line 2, column 3",
        "line 3, column 9",
    ]


def test_a_fixed_zero_closes_no_cycle_and_lags_do_neither():
    assert read("y ~ z + lag(z)\nz ~ 0*y + lag(y)")[1] == []


def test_one_cycle_is_told_once():
    assert len(read("y ~ z\nz ~ w\nw ~ y")[1]) == 1


def test_equal_labels_are_allowed_across_paths():
    assert items("y + z ~ k*a") == [Path("y", term(A), "k"), Path("z", term(A), "k")]


def test_read_name():
    assert read_name("y ~ lag(a)") == ("y", term(Factor("a", "lag", 1)))
    assert read_name("y ~ k*a") is None
    assert read_name("y ~ a + b") is None
    assert read_name("y ~") is None


def test_sigma_is_of_every_outcome_or_of_those_named():
    found, faults = read("y + z ~ a\nsigma ~ (1 | dyad)\nsigma(y) + sigma(a) ~ (1 | therapist/session)")
    assert not faults
    shown = [(placed.item.names, placed.item.group) for placed in found.varying]
    assert shown == [
        (("sigma(y) ~ 1",), "dyad"),
        (("sigma(z) ~ 1",), "dyad"),
        (("sigma(y) ~ 1",), "therapist"),
        (("sigma(y) ~ 1",), "session"),
        (("sigma(a) ~ 1",), "therapist"),
        (("sigma(a) ~ 1",), "session"),
    ]


def test_a_construct_called_sigma_is_one():
    found, faults = read("sigma ~ a + (1 | dyad)")
    assert not faults
    assert found.varying[0].item.names == ("sigma ~ 1",)
