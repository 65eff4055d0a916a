"""Levels of the data: dyads of one session, sessions of one exchange, few dyads, and what is said of them."""

import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.structure.data.levels import level_notes
from bayesdyn.structure.data.rows import complete_rows
from bayesdyn.structure.problem import prepare
from bayesdyn.structure.simulating import Spreads


@pytest.fixture(scope="module")
def spec():
    return bd.load_model("chen2026")


@pytest.fixture
def measures(spec):
    return bd.simulate(spec, dyads=3, sessions=2, exchanges=5, random_seed=2)[0]


ONE_SESSION = """
[model]
name = "one"
paths = '''
disclosure ~ empathy + rapport + empathy:rapport + lag(disclosure)
{groups}
'''
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
"""


def one_session(spec, groups, measurement="known"):
    measures, _ = bd.simulate(spec, dyads=40, sessions=1, exchanges=5, random_seed=2)
    problem = prepare(measures, bd.load_model(ONE_SESSION.format(groups=groups)), measurement)
    own = {item.group: item for item in problem.spec.varying if item.outcome == "disclosure"}
    return problem, own, [note for note in problem.notes if "levels are one" in note]


def test_session_slopes_that_dyads_have_too_are_merged_and_said_once(spec):
    groups = "disclosure ~ (1 + empathy + rapport:empathy | dyad) + (1 + empathy:rapport + rapport | session)"
    _, own, notes = one_session(spec, groups)
    assert [str(slope) for slope in own["dyad"].slopes] == ["empathy", "rapport:empathy"]
    # What varies by session alone stays: nothing else says it.
    assert (own["session"].intercept, [str(slope) for slope in own["session"].slopes]) == (False, ["rapport"])
    assert len(notes) == 1
    _, own, notes = one_session(spec, "disclosure ~ (1 + empathy | dyad/session)")
    assert list(own) == ["dyad"]
    assert len(notes) == 1


def test_session_levels_by_default_are_merged_and_said_too(spec):
    problem, own, notes = one_session(spec, "disclosure ~ (1 | dyad)")
    assert list(own) == ["dyad"]
    assert {item.group for item in problem.spec.varying} == {"dyad"}
    assert len(notes) == 1
    # Without error empathy has no law, and disclosure has no session effect that could be dropped.
    assert one_session(spec, "disclosure ~ (1 | dyad)", "none")[2] == []


def test_sigma_by_session_is_merged_with_sigma_by_dyad(spec):
    problem, _, _ = one_session(spec, "sigma(disclosure) ~ (1 | dyad/session)\ndisclosure ~ (1 | session)")
    own = [(item.group, item.spread) for item in problem.spec.varying if item.outcome == "disclosure"]
    assert own == [("dyad", True), ("session", False)]


def test_means_of_two_levels_that_are_one_are_refused(spec, measures):
    paths = "disclosure ~ empathy + mean(empathy):rapport + mean(empathy) + md*mean(empathy, dyad)"
    model = bd.load_model(f"[model]\npaths = '{paths} + rapport:mean(empathy, dyad)'")
    one, _ = bd.simulate(spec, dyads=4, sessions=1, exchanges=5, random_seed=2)
    with pytest.raises(InputError) as caught:
        prepare(one, model)
    first, second = map(str, caught.value.faults)
    assert first == (
        "line 2, column 73: mean(empathy) and mean(empathy, dyad) are the same where every dyad has one "
        "session. Leave one out of the equation of disclosure"
    )
    assert "mean(empathy):rapport and rapport:mean(empathy, dyad) are the same" in second
    assert len(prepare(measures, model).spec.paths) > 4  # where dyads have two sessions the means differ
    # What is fixed is known, and takes nothing from the other.
    fixed = bd.load_model(f"[model]\npaths = '{paths.replace('md', '0.2')}'")
    assert len(prepare(one, fixed).spec.paths) > 4


def test_dyads_of_one_session_among_others_are_noted(spec, measures):
    first = measures.isel(exchange=~((measures["session"] == "2") & (measures["dyad"] == "d0")).values)
    [note] = [note for note in prepare(first, spec).notes if "one session" in note]
    assert note.startswith("1 dyad has one session: its session effects are told from its dyad effects by")
    both = measures.isel(exchange=~((measures["session"] == "2") & (measures["dyad"] != "d0")).values)
    assert "2 dyads have one session: their session effects" in " ".join(prepare(both, spec).notes)
    assert "one session" not in " ".join(prepare(measures, spec).notes)


def test_notes_count_in_the_singular_too(spec, measures):
    one = measures.isel(exchange=(measures["dyad"] == "d0").values)
    short = one.isel(exchange=~((one["session"] == "2") & (one["t"] > 0)).values)
    said = " ".join(prepare(short, spec).notes)
    assert "1 session has one exchange only: it informs the levels, no path." in said
    assert "1 dyad is few for 12 effects that vary by dyad" in said
    shorter = short.isel(exchange=(short["t"] == 0).values)
    assert "2 sessions have one exchange only: they inform" in " ".join(level_notes(complete_rows(shorter)))


def test_a_simulated_study_adds_up_the_slopes_of_levels_that_are_one():
    text = ONE_SESSION.format(
        groups="disclosure ~ (1 + rapport:empathy | dyad) + (1 + empathy:rapport + empathy | session)"
    )
    names = ["disclosure ~ 1", "disclosure ~ rapport:empathy"]
    spreads = Spreads(dyad_sd=0.3, session_sd=0.4, dyad_corr=0.0, session_corr=0.0)
    _, truth = bd.simulate(
        bd.load_model(text), dyads=6, sessions=1, exchanges=4, spreads=spreads, random_seed=1
    )
    assert list(truth["session_effect"].values) == ["disclosure ~ empathy"]
    for name in names:
        effect = {"dyad_effect": name, "dyad_effect2": name}
        assert float(truth["dyad_cov"].sel(effect)) == pytest.approx(0.3**2 + 0.4**2)
