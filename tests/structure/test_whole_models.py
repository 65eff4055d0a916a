"""What only a whole model can be asked: priors of one label, blocks of residuals, labels near a name."""

from dataclasses import replace

import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.structure.free_paths import free_paths
from bayesdyn.structure.language.blocks import residual_blocks
from bayesdyn.structure.language.model_file import load_model
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.problem import prepare


def model(paths: str, more: str = "") -> str:
    return f"[model]\npaths = '''\n{paths}\n'''\n{more}\n"


def faults_of(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_model(text)
    return [str(fault) for fault in caught.value.faults]


SHARED = "disclosure ~ de*empathy + rapport + dl*lag(disclosure)\nsad ~ de*empathy + dl*lag(sad)"


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        (
            'de = "normal(0, 0.1)"\n"sad ~ empathy" = "normal(0, 0.9)"',
            "line 8: the label 'de' has two priors, normal(0, 0.1) of 'de' and normal(0, 0.9) of "
            "'sad ~ empathy'. Paths with one label have one coefficient: keep one",
        ),
        (
            '"sad ~ empathy" = "normal(0, 0.9)"\n"disclosure ~ empathy" = "normal(0, 0.2)"',
            "line 7: the label 'de' has two priors, normal(0, 0.2) of 'disclosure ~ empathy' and "
            "normal(0, 0.9) of 'sad ~ empathy'",
        ),
    ],
)
def test_two_priors_under_one_label_are_refused_by_name(priors, message):
    [fault] = faults_of(model(SHARED, f"[priors]\n{priors}"))
    assert fault.startswith(message)


def test_classes_with_two_priors_under_one_label_are_refused():
    text = model("disclosure ~ de*empathy + de*lag(disclosure)")
    assert faults_of(text) == [
        "line 3, column 27: the label 'de' has two priors, normal(0, 0.5) of 'disclosure ~ empathy' (path) "
        "and normal(0.3, 0.2) of 'disclosure ~ lag(disclosure)' (lag_own). Give it one under [priors], e.g. "
        'de = "normal(0, 0.5)"'
    ]
    for one in (
        'de = "normal(0, 1)"',
        'lag_own = "normal(0, 0.5)"',
        '"disclosure ~ empathy" = "normal(0, 1)"',
    ):
        assert load_model(f"{text}[priors]\n{one}\n").priors


def test_a_prior_of_any_path_is_that_of_its_label():
    """Whichever of the paths comes first in the model."""
    spec = load_model(model(SHARED, '[priors]\n"sad ~ empathy" = "normal(0, 0.9)"'))
    free = free_paths(spec, resolve_priors(spec))
    assert free.sd[free.pick[0].argmax()] == 0.9
    assert (free.pick[0] == free.pick[3]).all()


def test_a_model_made_in_python_has_one_prior_for_a_label_too():
    spec = load_model(model(SHARED, '[priors]\n"sad ~ empathy" = "normal(0, 0.9)"'))
    clash = replace(spec, priors=(*spec.priors, ("de", "normal(0, 1)")))
    with pytest.raises(InputError, match=r"line 7: the label 'de' has two priors"):
        resolve_priors(clash)


@pytest.mark.parametrize(
    ("covarying", "message"),
    [
        (
            "y ~~ z\nz ~~ w",
            "line 5, column 6: the residuals of y and w covary through others, but not with each other. "
            "Add y ~~ w: residuals that covary are one block, free as a whole",
        ),
        ("y ~~ z + a", "line 4, column 10: the residuals of z and a covary through others"),
        ("y ~~ z + w", "line 4, column 10: the residuals of z and w covary through others"),
        (
            "y ~~ z\nz ~~ w\nw ~~ v\ny ~~ w + v",
            "line 7, column 10: the residuals of z and v covary through others",
        ),
    ],
)
def test_residuals_that_covary_in_part_are_refused_with_their_line(covarying, message):
    [fault] = faults_of(model(f"y + z + w + v ~ a\n{covarying}"))
    assert fault.startswith(message)


def test_residuals_that_predictors_complete_are_whole_where_they_are_noisy():
    """Those of noisy predictors covary by default, so that two ~~ make one block of three."""
    paths = "disclosure ~ empathy + rapport\ndisclosure ~~ empathy + rapport"
    spec = load_model(model(paths, '[constructs]\ntherapist = ["empathy"]\ndyad = ["rapport"]'))
    asked = {"dyads": 2, "sessions": 2, "exchanges": 4, "random_seed": 1}
    measures, _ = bd.simulate(spec, **asked)
    problem = prepare(measures, spec)
    assert [len(block) for block in residual_blocks(problem.spec, problem.endogenous)] == [3]
    with pytest.raises(InputError, match=r"empathy has a residual covariance, but no equation"):
        prepare(measures, spec, "none")


def test_residuals_that_measures_show_to_covary_in_part_are_refused():
    """Whether exploration has a law and a residual, the measures tell: scores without error have none."""
    paths = "disclosure ~ empathy + exploration\ndisclosure ~~ empathy"
    therapist = '[constructs]\ntherapist = ["empathy", "exploration"]'
    spec, whole = load_model(model(paths, therapist)), load_model(model(paths.partition("\n")[0], therapist))
    measures, _ = bd.simulate(whole, dyads=2, sessions=2, exchanges=4, random_seed=1)
    told = r"line 4, column 15: the residuals of exploration and disclosure covary through others"
    with pytest.raises(InputError, match=told):
        prepare(measures, spec)
    with pytest.raises(InputError, match=told):
        bd.simulate(spec, dyads=2, sessions=2, exchanges=4, random_seed=1)


@pytest.mark.parametrize("declared", [True, False])
def test_a_label_that_is_a_name_misspelt_is_told_and_not_buried(declared):
    paths = "disclosure + sad ~ empaty*rapport"
    text = (
        model(paths, '[constructs]\ntherapist = ["empathy"]') if declared else model(f"{paths} + empathy:sad")
    )
    text = text if declared else model(f"{paths}\nrapport ~ lag(empathy)")
    assert faults_of(text) == [
        "line 3, column 20: the label 'empaty' of 'rapport' is nearly the name 'empathy'. Write "
        "empathy*rapport for a product; else name the label otherwise"
    ]


@pytest.mark.parametrize(
    ("path", "more", "sections"),
    [
        ("de*empathy", "", ""),
        ("empathy_d*rapport", "", ""),
        ("b_empathy*rapport", "", ""),
        ("empathy2*rapport", "", ""),
        ("empathi*empathy", "", ""),
        ("empathi*rapport", "twice := 2 * empathi", ""),
        ("empathi*rapport", "", "[priors]\nempathi = 'normal(0, 1)'"),
        ("empathi*rapport", "", "[claims.c]\nsays = 'more'\nholds = 'empathi > 0'"),
    ],
)
def test_labels_on_purpose_are_labels(path, more, sections):
    spec = load_model(model(f"disclosure ~ {path}\nsad ~ empathy\n{more}", sections))
    assert spec.labels == (path.split("*")[0],)


def test_a_construct_that_a_faulty_equation_hides_is_no_fault_of_its_own():
    text = model("disclosure ~ empathy + disclosure", '[constructs]\ntherapist = ["exploration"]')
    [fault] = faults_of(text)
    assert "'disclosure' predicts itself" in fault
