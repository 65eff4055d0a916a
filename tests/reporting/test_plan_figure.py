"""A plan in the report: its curves, its table, and what is refused."""

import re

import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.reporting.plan_figure import plan_figure, plan_table
from bayesdyn.reporting.words import number
from rated import rated_fit

PATH = "disclosure ~ empathy"


@pytest.fixture(scope="module")
def fit():
    return rated_fit()


@pytest.fixture(scope="module")
def plan(fit):
    return bd.plan_ratings(fit, PATH, budget=600.0, cost={"llm_rating": 0.02, "human_coding": 1.0})


def test_the_report_shows_the_plan_and_only_where_there_is_one(fit, plan, tmp_path):
    page = bd.report(fit, plan=plan, out=tmp_path / "with.html").read_text()
    assert 'id="plan"' in page
    assert plan.says in page
    assert "number of exchanges, and size of the errors (" in page
    for note in plan.notes:
        assert note.replace("'", "&#39;") in page
    without = bd.report(fit, out=tmp_path / "without.html").read_text()
    assert 'id="plan"' not in without


def test_the_curves_end_where_the_table_says(plan):
    drawing = plan_figure(plan)
    table = plan_table(plan)
    best = plan.options.iloc[0]
    assert table.groups[0].rows[0] == (best["buys"], number(best["sd"]), number(best["relative"]))
    assert f"LLMs average ones, {number(best['sd'])}" in drawing.alt
    for svg in (drawing.wide, drawing.narrow):
        # Four panels, each with all four curves and the line of now.
        curves = re.findall(r'<path d="([^"]*L[^"]*)"', svg)
        assert sum(len(re.findall(r"[LM]", d)) == 21 for d in curves) >= 16
        titles = [svg.index(name) for name in ("average ones", "stratified", "random coding", "of every LLM")]
        assert titles == sorted(titles)


def test_a_plan_for_another_fit_is_refused(fit, plan, tmp_path):
    other = rated_fit(model=MODEL_WITHOUT)
    with pytest.raises(InputError, match=f"plan: it is for {PATH}, which the fit has not"):
        bd.report(other, plan=plan, out=tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


MODEL_WITHOUT = """
[model]
name = "without"
centering = "none"
paths = '''
disclosure ~ rapport + lag(disclosure)
disclosure ~ (1 | dyad) + (1 | session)
'''
[constructs]
dyad = ["rapport"]
client = ["disclosure"]
"""
