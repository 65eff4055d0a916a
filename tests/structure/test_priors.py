"""Priors by class and by path."""

import re

import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.structure.language.laws import with_default_laws
from bayesdyn.structure.language.priors import DEFAULTS, parse_prior, path_class, resolve_priors

CONSTRUCTS = ("disclosure", "self_negative", "outward_negative", "empathy", "exploration", "rapport")


def test_classes_of_lags_and_paths():
    spec = with_default_laws(bd.load_model("chen2026"), CONSTRUCTS)
    priors = resolve_priors(spec)
    found = {path.name: str(priors.of_path(spec, path)) for path in spec.paths}
    assert found["disclosure ~ empathy"] == "normal(0, 0.5)"
    assert found["disclosure ~ lag(disclosure)"] == "normal(0.3, 0.2)"
    assert found["disclosure ~ lag(self_negative)"] == "normal(0, 0.1)"
    assert found["empathy ~ lag(exploration)"] == "normal(0, 0.1)"
    assert found["empathy ~ lag(disclosure)"] == "normal(0, 0.5)"
    assert found["rapport ~ lag(rapport)"] == "normal(0.3, 0.2)"


@pytest.mark.parametrize(
    "name", ["chen2026", "chen2026_within", "chen2026_naive", "chen2026_dynamic", "mediation"]
)
def test_models_that_write_their_priors_out_write_the_defaults(name):
    written = dict(bd.load_model(name).priors)
    # Every class but lags of several exchanges and time, which these models have not.
    assert written == {of: prior for of, prior in DEFAULTS.items() if of not in ("lag_far", "decay")}


def test_the_table_of_the_docs_has_the_defaults(root):
    page = (root / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| `(\w+\([^`]*\))` \|", page, re.MULTILINE)
    told = {name.strip("`"): prior for names, prior in rows for name in names.split(", ")}
    assert told == dict(DEFAULTS)


@pytest.mark.parametrize(
    "text",
    [
        "normal(0)",
        "norml(0, 1)",
        "normal(0, -1)",
        "lkj(x)",
        "normal 0 1",
        "half_normal(0)",
        "normal(0, nan)",
        "normal(nan, 1)",
        "normal(inf, inf)",
        "half_normal(inf)",
        "lkj(nan)",
    ],
)
def test_malformed_priors_say_what_is_wanted(text):
    with pytest.raises(ValueError, match=r"write normal|number|above|finite"):
        parse_prior(text)


def test_a_number_of_a_prior_is_finite():
    for text in ("normal(0, nan)", "normal(-inf, 1)", "half_normal(inf)", "lkj(nan)"):
        with pytest.raises(ValueError, match="holds a number that is not finite"):
            parse_prior(text)


def test_a_covariate_has_no_lag_of_a_party():
    spec = bd.load_model("""
[model]
paths = '''
disclosure ~ empathy + age
empathy ~ lag(age) + lag(warmth) + lag(age, 2) + lag(warmth, 2) + lag(phase) + lag(site[b])
'''
[constructs]
therapist = ["empathy"]
""")
    full = with_default_laws(spec, ("disclosure", "empathy", "warmth"))
    found = {str(path.term): path_class(full, path) for path in full.paths if path.outcome == "empathy"}
    assert found == {
        "lag(age)": "path",
        "lag(warmth)": "lag_cross",
        "lag(age, 2)": "path",
        "lag(warmth, 2)": "lag_far",
        "lag(phase)": "path",
        "lag(site[b])": "path",
        "lag(empathy)": "lag_own",
        "lag(disclosure)": "path",
    }


def test_a_label_of_lags_that_measures_will_tell_apart_is_no_fault_before_them():
    text = """
[model]
paths = '''
disclosure ~ k*warmth + empathy
empathy ~ k*lag(age)
'''
[constructs]
therapist = ["empathy"]
"""
    spec = bd.load_model(text)
    resolve_priors(with_default_laws(spec, ("disclosure", "empathy", "warmth")))
    with pytest.raises(InputError, match="the label 'k' has two priors"):
        resolve_priors(with_default_laws(spec, ("disclosure", "empathy", "warmth", "age")))


def test_overrides_by_class_label_and_path():
    text = bd.load_model("chen2026_disclosure").text  # it leaves [priors] out
    lines = ['path = "normal(0, 1)"', 'de = "normal(0.2, 0.1)"', 'residual_sd = "half_normal(2)"']
    priors = "\n".join(["[priors]", *lines, "", "[constructs]"])
    spec = bd.load_model(text.replace("[constructs]", priors))
    resolved = resolve_priors(spec)
    by_name = {path.name: path for path in spec.paths}
    assert str(resolved.of_path(spec, by_name["disclosure ~ empathy"])) == "normal(0.2, 0.1)"
    assert str(resolved.of_path(spec, by_name["disclosure ~ rapport"])) == "normal(0, 1)"
    assert resolved["residual_sd"].numbers == (2.0,)


def test_faults_of_priors_are_gathered():
    text = bd.load_model("chen2026_disclosure").text  # it leaves [priors] out
    bad = '[priors]\npaht = "normal(0, 1)"\nde = "lkj(2)"\n\n[constructs]'
    with pytest.raises(InputError) as caught:
        resolve_priors(bd.load_model(text.replace("[constructs]", bad)))
    assert "paht" in str(caught.value)
    assert "path" in str(caught.value)
    assert "de" in str(caught.value)
