"""The study file: every fault at once, each with its line and the nearest name."""

import pytest

from bayesdyn.errors import InputError
from bayesdyn.study.file import load_study
from bayesdyn.study.parts import load_parts

GOOD = """[study]
name = "s"
random_seed = 7
[transcripts]
path = "t"
"""


def write(folder, text):
    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8")
    return file


def faults(folder, text):
    with pytest.raises(InputError) as caught:
        load_study(write(folder, text))
    return [str(fault) for fault in caught.value.faults]


def test_defaults_are_those_of_the_functions(tmp_path):
    import inspect

    from bayesdyn.fitting.fit import fit
    from bayesdyn.measures.build import measure
    from bayesdyn.sweeps.sensitivity import sensitivity

    file = load_study(write(tmp_path, GOOD))
    for section, function in ((file.fit, fit), (file.measures, measure), (file.sensitivity, sensitivity)):
        expected = {name: p.default for name, p in inspect.signature(function).parameters.items()}
        for name in set(type(section).model_fields) & set(expected):
            assert getattr(section, name) == expected[name], name


def test_a_folder_stands_for_its_study_file(tmp_path):
    write(tmp_path, GOOD)
    assert load_study(tmp_path).study.random_seed == 7


def test_every_fault_is_told_with_its_line_and_the_nearest_name(tmp_path):
    text = """[study]
name = "a b"
[transcripts]
pth = "x"
[fit]
measurement = "knwon"
draws = 1
[measures]
reliability_prior = [1]
[humn]
"""
    told = faults(tmp_path, text)
    assert len(told) == 8
    expected = [
        ("line 1, [study] random_seed", "'random_seed' is missing"),
        ("line 2, [study] name", "a b"),
        ("line 3, [transcripts] path", "'path' is missing"),
        ("line 4, [transcripts] pth", "Did you mean 'path'?"),
        ("line 6, [fit] measurement", "Did you mean 'known'?"),
        ("line 7, [fit] draws", "(found 1)"),
        ("line 9, [measures] reliability_prior", "Give two numbers above 0"),
        ("line 10, [humn]", "Did you mean 'human'?"),
    ]
    for line, (where, what) in zip(told, expected, strict=True):
        assert line.startswith(where)
        assert what in line


@pytest.mark.parametrize("prior", ["[6, 4]", "{empathy = [3, 1], rapport = [2, 2]}"])
def test_a_reliability_prior_for_all_or_by_construct(tmp_path, prior):
    file = load_study(write(tmp_path, f"{GOOD}[measures]\nreliability_prior = {prior}\n"))
    assert file.measures.reliability_prior in ((6, 4), {"empathy": (3, 1), "rapport": (2, 2)})


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"[study\n", "this is not TOML"), (b"\xff\xfe[study]", "it is not UTF-8 text")],
)
def test_a_file_that_is_no_toml(tmp_path, content, what):
    file = tmp_path / "study.toml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=what):
        load_study(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="bayesdyn init"):
        load_study(tmp_path / "study.toml")


def test_all_that_a_study_names_is_checked_before_any_work(tmp_path):
    file = load_study(
        write(tmp_path, GOOD + '[ratings]\ncodebook = "chen2027"\npanel = "lokal"\n[human]\npath = "c.csv"\n')
    )
    with pytest.raises(InputError) as caught:
        load_parts(file, tmp_path)
    told = [str(fault) for fault in caught.value.faults]
    assert [line.split(":")[0] for line in told] == [
        "[ratings] codebook",
        "[ratings] panel",
        "[transcripts] path",
        "[human] path",
    ]
    assert "Did you mean 'chen2026'?" in told[0]


def test_a_study_uses_its_own_model_and_prompts_where_it_has_them(tmp_path, root):
    (tmp_path / "t").mkdir()
    (tmp_path / "models").mkdir()
    text = (root / "models" / "chen2026.toml").read_text(encoding="utf-8")
    (tmp_path / "models" / "chen2026.toml").write_text(text.replace('name = "chen2026"', 'name = "mine"', 1))
    prompts = tmp_path / "scoring" / "prompts"
    prompts.mkdir(parents=True)
    rubric = (root / "scoring" / "prompts" / "rubric.j2").read_bytes()
    plain = (root / "scoring" / "prompts" / "plain.j2").read_bytes()
    (prompts / "rubric.j2").write_bytes(rubric + b"\n{# edited #}")
    (prompts / "plain.j2").write_bytes(plain)
    parts = load_parts(load_study(write(tmp_path, GOOD)), tmp_path)
    assert parts.spec.name == "mine"
    by_name = {rater.prompt for rater in parts.raters}
    assert by_name == {str(prompts / "rubric.j2"), "plain"}


def test_the_model_says_how_scores_are_taken_where_the_study_does_not():
    from types import SimpleNamespace

    from bayesdyn.structure.language.model_file import load_model
    from bayesdyn.study.file import FitBy
    from bayesdyn.study.steps import Run

    def taken(model, measurement):
        file = SimpleNamespace(fit=FitBy(model=model, measurement=measurement))
        parts = SimpleNamespace(file=file, spec=load_model(model))
        return Run(parts, None, print, False, False).measurement

    asked = [("chen2026", None), ("chen2026_naive", None), ("chen2026_naive", "known")]
    assert [taken(*one) for one in asked] == ["known", "none", "known"]
