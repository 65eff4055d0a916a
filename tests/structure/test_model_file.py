"""Model files: sections, presets, faults with their line, and the way back to text."""

import re
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesdyn.errors import InputError
from bayesdyn.presets import preset_names
from bayesdyn.structure.language.laws import with_default_laws
from bayesdyn.structure.language.model_file import check_names, load_model, to_text
from bayesdyn.structure.language.spec import (
    BUILT_IN_COVARIATES,
    CENTRINGS,
    MEASUREMENTS,
    Claim,
    Definition,
    Factor,
    ModelSpec,
    Path,
    ResidualPair,
    Term,
    Varying,
)

CLIENT = ("disclosure", "self_negative", "outward_negative")
CONSTRUCTS = ("empathy", "exploration", "rapport", *CLIENT)
SMALL = '''[model]
name = "small"
paths = """
disclosure ~ de*empathy + dr*rapport + lag(disclosure)
more := de > dr
"""
'''


def faults_of(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_model(text)
    return [str(fault) for fault in caught.value.faults]


def test_chen2026_is_the_papers_model():
    spec = load_model("chen2026")
    assert (spec.name, spec.centring, spec.outcomes) == ("chen2026", "none", CLIENT)
    # Three outcomes, each on 2 behaviours, rapport, 2 moderations, 3 lags and the phase: 9.
    assert len(spec.paths) == 27
    terms = [
        *("empathy", "exploration", "rapport", "empathy:rapport", "exploration:rapport"),
        *(f"lag({name})" for name in CLIENT),
        "phase",
    ]
    assert [path.name for path in spec.paths] == [f"{y} ~ {x}" for y, x in product(CLIENT, terms)]
    assert spec.labels == (
        *("de", "dx", "dr", "der", "dxr"),
        *("se", "sx", "sr", "ser", "sxr"),
        *("oe", "ox", "orp", "oer", "oxr"),
    )
    slopes = ["empathy", "exploration"]
    assert [(item.outcome, item.group, [str(s) for s in item.slopes]) for item in spec.varying] == [
        (outcome, group, slopes if group == "dyad" else [])
        for outcome, group in product(CLIENT, ("dyad", "session"))
    ]
    assert {frozenset((pair.left, pair.right)) for pair in spec.residuals} == {
        frozenset(CLIENT[:2]),
        frozenset(CLIENT[1:]),
        frozenset((CLIENT[0], CLIENT[2])),
    }
    assert spec.definitions == (Definition("empathy_contrast", "se - oe"),)
    assert [spec.party(name) for name in CONSTRUCTS] == ["therapist", "therapist", "dyad", *["client"] * 3]
    assert len(spec.claims) == 6
    assert all(claim.says for claim in spec.claims)


def test_chen2026_within_separates_the_levels():
    paper, within = load_model("chen2026"), load_model("chen2026_within")
    between = [path for path in within.paths if path.term.is_between]
    assert within.centring == "session"
    assert len(between) == 9
    assert tuple(path for path in within.paths if path not in between) == paper.paths
    assert within.claims == paper.claims


@pytest.mark.parametrize("name", preset_names("models", ".toml"))
def test_every_preset_loads_names_its_lines_and_comes_back_from_text(name):
    spec = load_model(name)
    lines = spec.text.split("\n")
    assert spec.paths
    assert all(str(path.term) in lines[path.line - 1] for path in spec.paths)
    assert load_model(spec.to_text()) == spec
    check_names(spec, CONSTRUCTS)


def test_the_example_of_the_docs_loads_and_comes_back_from_text(root):
    page = (root / "docs" / "models.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    spec = load_model(example)
    assert load_model(to_text(spec)) == spec
    assert [path.name for path in spec.paths if path.label == "de"] == ["disclosure ~ empathy"]
    assert "disclosure ~ empathy:rapport" in [path.name for path in spec.paths]


def test_a_path_and_a_text_give_the_same(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(SMALL.replace('name = "small"\n', ""), encoding="utf-8")
    assert load_model(file).name == "mine"
    assert load_model(str(file)) == replace(load_model(SMALL), name="mine")


def test_windows_line_ends_and_a_byte_order_mark_are_no_matter():
    assert load_model("\ufeff" + SMALL.replace("\n", "\r\n")) == load_model(SMALL)


def test_defaults():
    spec = load_model('[model]\npaths = "y ~ x"')
    assert (spec.name, spec.centring, spec.parties, spec.scale) == ("model", "session", (), ())


def test_sections():
    spec = load_model(
        SMALL
        + """centering = "grand"
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
dyad = ["rapport"]
[priors]
path = "normal(0, 0.3)"
de = "normal(0.1, 0.2)"
"disclosure ~ lag( disclosure )" = "normal(0.4, 0.1)"
"empathy ~ lag(disclosure)" = "normal(0, 0.1)"
level_sd = "half_normal(0.3)"
[scale]
empathy = [2.5, 0.8]
[claims.one]
says = "More"
holds = "more"
[claims.two]
says = "Negligible"
holds = "abs(de) < rope"
rope = 0.1
"""
    )
    assert spec.centring == "grand"
    assert spec.parties == (("empathy", "therapist"), ("disclosure", "client"), ("rapport", "dyad"))
    assert spec.priors == (
        ("path", "normal(0, 0.3)"),
        ("de", "normal(0.1, 0.2)"),
        ("disclosure ~ lag(disclosure)", "normal(0.4, 0.1)"),
        ("empathy ~ lag(disclosure)", "normal(0, 0.1)"),
        ("level_sd", "half_normal(0.3)"),
    )
    assert spec.scale == (("empathy", 2.5, 0.8),)
    assert spec.claims == (Claim("one", "More", "more"), Claim("two", "Negligible", "abs(de) < rope", 0.1))


FAULTS = [
    ("[claim.x]\nsays = 'a'", "line 7: unknown section 'claim'. Did you mean 'claims'?"),
    ("centreing = 'none'", "line 7: unknown key 'centreing' in [model]. Did you mean 'centring'?"),
    ("centring = 'sesion'", "line 7: unknown centring 'sesion'. Did you mean 'session'?"),
    ("centring = 'none'\ncentering = 'none'", "line 8: both centring and centering"),
    (
        "[constructs]\ntherapists = ['empathy']",
        "line 8: unknown party 'therapists' in [constructs]. Did you mean 'therapist'?",
    ),
    (
        "[constructs]\ntherapist = [\n 'empaty',\n]\nclient = 3",
        "line 8: the construct 'empaty' is given, but no path names it. Did you mean 'empathy'?",
    ),
    ("[constructs]\ntherapist = [\n 'empathy',\n]\nclient = 3", "line 11: client is no list of names"),
    (
        "[constructs]\ntherapist = ['empathy']\ndyad = ['empathy']",
        "line 9: the construct 'empathy' stands under therapist and dyad",
    ),
    (
        "[priors]\npaht = 'normal(0, 1)'",
        "line 8: the prior of 'paht': no such path, label or class. Did you mean",
    ),
    (
        "[priors]\n'disclosure ~ empaty' = 'normal(0, 1)'",
        "line 8: the prior of 'disclosure ~ empaty': no such path, label or class. "
        "Did you mean 'disclosure ~ empathy'?",
    ),
    (
        "[priors]\npath = 'normal(0, nan)'",
        "line 8: the prior of 'path': 'normal(0, nan)' holds a number",
    ),
    ("[priors]\npath = 'norml(0, 1)'", "line 8: the prior of 'path': 'norml(0, 1)' is no prior"),
    (
        "[priors]\nlevel_sd = 'normal(0, 1)'",
        "line 8: the prior of 'level_sd': normal does not fit. Write half_normal",
    ),
    (
        "[priors]\n'disclosure ~ empathy' = 'normal(0, 1)'\n'disclosure~empathy' = 'normal(0, 1)'",
        "line 9: the path 'disclosure ~ empathy' has two priors",
    ),
    ("[scale]\nempathy = [1, 0]", "line 8: the scale of 'empathy' is no pair of a shift and a scale above 0"),
    (
        "[scale]\nempaty = [1, 1]",
        "line 8: the scale of 'empaty' is given, but no path names it. Did you mean",
    ),
    (
        "[claims.x]\nsays = 'a'\nhold = 'de > 0'",
        "line 9: unknown key 'hold' in [claims.x]. Did you mean 'holds'?",
    ),
    ("[claims.x]\nsays = 'a'", "line 7: holds is no text"),
    ("[claims.x]\nholds = 'de > 0'", "line 7: says is no text"),
    ("[claims]\nx = 'de > 0'", "line 8: the claim 'x' is no section. Write [claims.x]"),
    (
        "[claims.x]\nsays = 'a'\nholds = 'dee > 0'",
        "line 9, column 10: the claim 'x' uses an unknown label 'dee'. Did you mean 'de'?",
    ),
    (
        "[claims.x]\nsays = 'a'\nholds = 'de'",
        "line 9, column 10: the claim 'x' holds 'de', a number and neither true nor false",
    ),
    ("[claims.x]\nsays = 'a'\nholds = 'de >'", "line 9, column 13: the claim 'x': the expression breaks off"),
    (
        "[claims.x]\nsays = 'a'\nholds = 'more and de'",
        "line 9, column 19: the claim 'x': 'de' is a number, neither true nor false. and, or and not join",
    ),
    (
        '[claims.x]\nsays = \'a\'\nholds = """de > 0\n  and not dee > 0"""',
        "line 10, column 11: the claim 'x' uses an unknown label 'dee'",
    ),
    (
        "[claims.x]\nsays = 'a'\nholds = \"\\u0064e > 0 and dr\"",
        "line 9: the claim 'x': 'dr' is a number, neither true nor false",
    ),
    ("[claims]\nx = { says = 'a', holds = 'dee > 0' }", "line 8: the claim 'x' uses an unknown label 'dee'"),
    (
        "[claims.x]\nsays = 'a'\nholds = 'de > 0'\nrope = -1",
        "line 10: the rope of claim 'x' is no number from 0",
    ),
]


@pytest.mark.parametrize(
    ("added", "message"), FAULTS, ids=[added.replace("\n", " / ") for added, _ in FAULTS]
)
def test_a_fault_names_its_line_and_the_nearest_word(added, message):
    faults = faults_of(SMALL + added)
    assert [fault for fault in faults if fault.startswith(message)], faults


def test_faults_of_all_sections_come_together_in_the_order_of_the_file():
    text = SMALL.replace("lag(", "lagg(").replace("de > dr", "abz(de)") + "[modle]\nx = 1\n"
    assert [fault.split(". ")[0] for fault in faults_of(text)] == [
        "line 4, column 40: unknown function 'lagg'",
        "line 5, column 9: unknown function 'abz'",
        "line 7: unknown section 'modle'",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[model]\nname = "x', "line 2"),
        ('[model]\npaths = """\ny ~ x\n', "this is not TOML"),
        ("[model]\nname = 'x'\nname = 'y'\n", "line 3"),
        ("[model]\nname = 'x'\n", "there are no paths"),
        ("[model]\npaths = 3\n", "line 2: paths is no text"),
        ("[model]\npaths = ''\n", "line 2: there is no path"),
        ("[constructs]\n", "there are no paths"),
        ("model = 3\n", "line 1: model is no section"),
    ],
)
def test_a_file_that_is_no_model(text, message):
    assert any(message in fault for fault in faults_of(text))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[model]\npaths = "y ~ a + a"', "line 2, column 18"),
        ("[model]\npaths = '''y ~ a\n + a'''", "line 3, column 4"),
        ("model.paths = '''\ny ~ a + a'''", "line 2, column 9"),
        (
            '[claims.c]\nsays = """\n[model]\npaths = 1"""\nholds = "k > 0"\n[model]\npaths = "y ~ k*a + a"',
            "line 7, column 20",
        ),
        ('model = { paths = "y ~ a + a" }\n[claims]', "line 1, column 9"),
    ],
)
def test_places_hold_however_the_string_is_quoted(text, where):
    assert [fault.split(":")[0] for fault in faults_of(text) if "stands twice" in fault] == [where]


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'chen2026'"):
        load_model("chen2062")


@pytest.mark.parametrize("value", ["0", "0.5"])
def test_a_fixed_path_has_no_prior(value):
    added = "[priors]\n'disclosure ~ phase' = 'normal(0, 1)'"
    faults = faults_of(SMALL.replace("+ lag", f"+ {value}*phase + lag") + added)
    told = f"line 8: the prior of 'disclosure ~ phase': the path is fixed at {value}. Leave it out, or write "
    assert faults == [f"{told}the path without {value}*"]


@pytest.mark.parametrize("made", [None, 3, ["y ~ x"]])
def test_what_is_neither_text_nor_path_is_no_model(made):
    with pytest.raises(InputError, match=f"a model is given as {type(made).__name__}. Give a preset, a path"):
        load_model(made)


def test_a_long_text_on_one_line_is_a_text_and_no_name_of_a_file():
    text = f'model = {{ name = "long", paths = "{" + ".join(["y ~ a", *(f"x{n}[b]" for n in range(99))])}" }}'
    assert len(load_model(text).paths) == 100
    with pytest.raises(InputError, match="There is no model 'y ~ a"):
        load_model("y ~ a + " + " + ".join(f"x{n}" for n in range(99)))


def test_a_file_in_another_encoding(tmp_path):
    file = tmp_path / "latin.toml"
    file.write_bytes(SMALL.replace("small", "Größe").encode("latin-1"))
    with pytest.raises(InputError, match="Save it as UTF-8"):
        load_model(file)


def test_check_names_gathers_all_that_the_measures_lack():
    spec = load_model('[model]\npaths = """\ny ~ empathy + age + phase\nz ~ empathy + a:b\nx ~ age"""')
    check_names(spec, ["y", "z", "x", "empathy", "a", "b"], ["age"])
    with pytest.raises(InputError) as caught:
        check_names(spec, ["y", "z", "empaty", "a"], ["age", "x"])
    assert [str(fault).split(" The measures hold")[0] for fault in caught.value.faults] == [
        "line 3, column 5, and line 4: unknown name 'empathy'. Did you mean 'empaty'?",
        "line 4, column 17: unknown name 'b'.",
        "line 5, column 1: the outcome 'x' is a covariate. An outcome is a rated construct",
    ]


def test_an_unknown_name_is_told_where_the_word_itself_stands():
    text = """[model]
paths = '''
disclosre ~ k*empathy:raport
    + lag(sad, 2) + (1 | therapst)
empathy ~~ sadd
empathy + sadd ~ age[old]
'''"""
    spec = load_model(text)
    with pytest.raises(InputError) as caught:
        check_names(spec, ["disclosure", "empathy", "rapport", "sad"], ["therapist"])
    assert [str(fault).split(".")[0] for fault in caught.value.faults] == [
        "line 4, column 26: unknown group 'therapst'",
        "line 3, column 1: unknown name 'disclosre'",
        "line 3, column 23: unknown name 'raport'",
        "line 5, column 12, and line 6: unknown name 'sadd'",
        "line 6, column 18: unknown name 'age[old]'",
    ]
    assert "words" not in to_text(spec)
    assert load_model(to_text(spec)) == spec


def test_places_are_no_part_of_a_model():
    spec = load_model(SMALL)
    moved = load_model(SMALL.replace("disclosure ~ ", "\n   disclosure   ~   "))
    assert moved == spec
    assert [path.column for path in moved.paths] != [path.column for path in spec.paths]
    [path, *_] = spec.paths
    assert (path.where, Path("y", Term((Factor("a"),))).where) == ("line 4, column 14", "")


def test_a_product_comes_back_from_its_text_term_by_term():
    paths = "disclosure ~ empathy*rapport*phase + de*empathy + (1 + empathy*rapport | dyad)"
    spec = load_model(f'[model]\npaths = "{paths}"\n[constructs]\ntherapist = ["empathy"]')
    assert len(spec.paths) == 7
    assert spec.labels == ("de",)
    assert load_model(to_text(spec)) == spec


def test_a_label_that_the_measures_know_as_a_construct_is_refused():
    lone = load_model('[model]\npaths = "disclosure ~ empathy*rapport"')
    assert lone.labels == ("empathy",)
    with pytest.raises(InputError, match=r"a product is empathy \+ rapport \+ empathy:rapport"):
        check_names(lone, ["disclosure", "empathy", "rapport"])
    declared = load_model(lone.text + '\n[constructs]\ntherapist = ["empathy"]')
    check_names(declared, ["disclosure", "empathy", "rapport"])
    assert [path.name for path in declared.paths][-1] == "disclosure ~ empathy:rapport"


def test_check_names_knows_a_covariate_among_the_constructs():
    spec = load_model('[model]\npaths = "y ~ age"\n[constructs]\nclient = ["y"]\ntherapist = ["age"]')
    with pytest.raises(InputError, match="line 5: 'age' is a covariate"):
        check_names(spec, ["y"], ["age"])


def test_laws_added_by_default_are_left_out_of_the_text():
    spec = load_model("chen2026")
    full = with_default_laws(spec, CONSTRUCTS)
    assert len(full.paths) > len(spec.paths)
    again = load_model(to_text(full))
    assert again.paths == spec.paths
    assert with_default_laws(again, CONSTRUCTS).paths == full.paths


NAMES = ("a", "b", "c", *BUILT_IN_COVARIATES)
FACTORS = st.one_of(
    st.builds(Factor, st.sampled_from(NAMES)),
    st.builds(
        lambda name, lag: Factor(name, "lag", lag), st.sampled_from(("y", "z", "a")), st.integers(1, 3)
    ),
    st.builds(
        lambda name, level: Factor(name, "mean", level=level),
        st.sampled_from(("a", "b")),
        st.sampled_from(("session", "dyad")),
    ),
)
TERMS = st.lists(FACTORS, min_size=1, max_size=3).map(lambda factors: Term(tuple(factors)))
VALUES = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def specs(draw) -> ModelSpec:
    paths: list[Path] = []
    varying: list[Varying] = []
    for outcome in ("y", "z"):
        terms = draw(st.lists(TERMS, min_size=1, max_size=4, unique_by=lambda term: term.key))
        for term in terms:
            fixed = draw(st.none() | VALUES)
            label = draw(st.sampled_from(("", "k", "l", "or_"))) if fixed is None else ""
            paths.append(Path(outcome, term, label, fixed))
        for group in draw(st.permutations(("dyad", "session", "therapist"))):
            slopes = tuple(draw(st.lists(st.sampled_from(terms), max_size=2, unique=True)))
            varying.append(Varying(outcome, group, draw(st.booleans()) or not slopes, slopes))
        if draw(st.booleans()):
            varying.append(Varying(outcome, "dyad", spread=True))
    labels = [path.label for path in paths if path.label]
    # One coefficient has one prior: a label's own, where none of its paths has one.
    free = next((path for path in paths if path.fixed is None), None)
    shared = {label: "normal(0, 2)" for label in labels if free is not None and label != free.label}
    own = ((free.name, "normal(1, 2)"),) if free is not None else ()
    definition = Definition("q", f"{labels[0]} * 2 > -.5") if labels else Definition("q", "1 < 2")
    words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip)
    claims = {
        name: Claim(name, draw(words), "q", draw(st.floats(0, 9)))
        for name in draw(st.sets(words, max_size=2))
    }
    return ModelSpec(
        name=draw(words),
        paths=tuple(draw(st.permutations(paths))),
        varying=tuple(varying),
        residuals=draw(st.sampled_from(((), (ResidualPair("y", "z"),), (ResidualPair("z", "y"),)))),
        definitions=(definition,),
        claims=tuple(claims.values()),
        centring=draw(st.sampled_from(CENTRINGS)),
        measurement=draw(st.sampled_from(("", *MEASUREMENTS))),
        parties=(("y", "client"), ("z", "dyad")),
        priors=(("path", "normal(0, 0.5)"), *own, *shared.items()),
        scale=(("y", draw(VALUES), draw(st.floats(1e-6, 1e6))),),
    )


@settings(max_examples=150, deadline=None)
@given(specs())
def test_a_model_comes_back_from_its_text(spec):
    assert load_model(to_text(spec)) == spec
