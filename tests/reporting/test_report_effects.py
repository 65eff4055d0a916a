"""The report's sections on what follows from a fit: where they stand, and whose numbers they show."""

import numpy as np
import pytest

from bayesdyn import effects as ef
from bayesdyn.fitting.fits import posterior_of
from bayesdyn.reporting.effect_figures import short
from bayesdyn.reporting.effects import effect_sections, thinned
from bayesdyn.reporting.html import report
from bayesdyn.reporting.slopes import joined, region_words, simple_slopes
from bayesdyn.reporting.words import interval, number
from drawn_fits import drawn_fit

MODEL = """
[model]
name = "whole"
paths = '''
rapport    ~ empathy + lag(rapport)
disclosure ~ empathy + rapport + empathy:rapport + empathy:phase + lag(disclosure) + phase
disclosure ~ (1 + empathy | dyad)
'''
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
client = ["disclosure"]
"""


@pytest.fixture(scope="module")
def fit():
    return drawn_fit(MODEL)


@pytest.fixture(scope="module")
def sections(fit):
    return effect_sections(fit, None)


def rows(table):
    return [row for group in table.groups for row in group.rows]


def test_indirect_effects_are_those_of_effects(fit, sections):
    table = ef.effects(fit, "empathy", "disclosure").set_index("kind")
    shown = {row[0]: row for row in rows(sections["mediated"])}
    assert list(shown) == ["total", "direct", "indirect", "through rapport"]
    for name, kind in (("total", "total"), ("through rapport", "route")):
        one = table.loc[kind]
        assert shown[name][2:4] == (number(one["mean"]), interval(one["lower"], one["upper"]))
    assert shown["direct"][1].startswith("rapport = 0, phase = ")


def test_slopes_have_regions_on_the_scale_of_their_moderator(fit):
    lines = {line.moderator: line for line in simple_slopes(fit)}
    # Of rapport too: who moderates whom is symmetric, but one slope is told, the behaviour's.
    assert set(lines) == {"rapport", "phase"}
    phase = fit["constant_data"].to_dataset()["phase"].values
    centre, spread = phase.mean(), phase.std(ddof=1)
    found = ef.simple_slopes(fit, "disclosure ~ empathy", at={"rapport": 0, "phase": centre + spread})
    assert lines["phase"].points[2].mean == pytest.approx(found["mean"].iloc[0])
    exact = ef.johnson_neyman(
        fit, "disclosure ~ empathy", "phase", between=(centre - 2 * spread, centre + 2 * spread)
    ).regions
    for start, stop, sign in lines["phase"].regions:
        assert (exact["start"] <= centre + spread * start + 1e-9).any()
        assert (exact["stop"] >= centre + spread * stop - 1e-9).any()
        assert sign in set(exact["sign"])
    assert simple_slopes(fit, regions=False)[0].regions == ()


def test_regions_that_nearly_touch_are_one():
    apart = [(-2.0, -1.0, "positive"), (-0.97, 0.0, "positive"), (0.02, 1.0, "negative")]
    assert joined(apart) == ((-2.0, 0.0, "positive"), (0.02, 1.0, "negative"))


def test_regions_in_words(fit):
    from dataclasses import replace

    line = replace(simple_slopes(fit, regions=False)[0], moderator="r")
    cases = {
        (): "nowhere along r",
        ((-2.0, 2.0, "positive"),): "r at all of it (positive)",
        ((-2.0, -1.0, "negative"), (0.5, 2.0, "positive")): (
            "r below \u22121.00 SD (negative); r above 0.50 SD (positive)"
        ),
        ((-0.5, 1.0, "positive"),): "r from \u22120.50 to 1.00 SD (positive)",
    }
    for regions, words in cases.items():
        assert region_words(replace(line, regions=regions)) == words


def test_responses_are_of_one_party_to_another(fit, sections):
    shown = [(group.heading, row) for group in sections["response_table"].groups for row in group.rows]
    # What disclosure does to empathy is a default law and no question of this model; to rapport it is by lags
    # and the therapist.
    pairs = {(heading, row[0]) for heading, row in shown}
    assert pairs == {
        ("rapport", "empathy"),
        ("rapport", "disclosure"),
        ("disclosure", "empathy"),
        ("disclosure", "rapport"),
    }
    table = ef.impulse_response(fit, "empathy")
    own = table[table["response"] == "disclosure"].set_index("ahead")
    row = dict(zip(("now", "next"), (own.loc[0], own.loc[1]), strict=True))
    cells = next(row for heading, row in shown if (heading, row[0]) == ("disclosure", "empathy"))
    assert cells[1] == number(row["now"]["mean"])
    assert cells[4] == interval(row["next"]["lower"], row["next"]["upper"])
    assert cells[6] == interval(own.loc[10, "sum_lower"], own.loc[10, "sum_upper"])


def test_dyads_are_summed_up_with_their_pooling(fit, sections):
    table = ef.dyad_paths(fit)
    ((name, common, _, means, apart, pooling),) = rows(sections["dyad_table"])
    assert name == "disclosure ~ empathy"
    draws = posterior_of(fit)["path"].sel(path_name=name)
    assert common == number(float(draws.mean()))
    assert means == interval(table["mean"].min(), table["mean"].max())
    assert apart == str(int(((table["lower"] > 0) | (table["upper"] < 0)).sum()))
    assert pooling == number(table["pooling"].iloc[0], 2)
    assert sections["dyads"].wide.count("pooling") == 1


def test_many_draws_are_thinned_and_the_page_says_so(fit):
    few = thinned(fit, 50)
    draws = posterior_of(few)
    assert draws.sizes["chain"] * draws.sizes["draw"] == 40
    np.testing.assert_array_equal(draws["draw"].values, np.arange(0, 60, 3))
    assert few.attrs == fit.attrs
    assert thinned(fit, 120) is fit


def test_the_page_has_every_section_with_its_interval(fit, tmp_path):
    whole = fit.copy()
    shape = (2, 60)
    stats = {"diverging": np.zeros(shape, bool), "maxdepth_reached": np.zeros(shape, bool),
             "energy": np.random.default_rng(1).standard_normal(shape)}  # fmt: skip
    whole["sample_stats"] = type(fit)(
        posterior_of(fit)[[]].assign({name: (("chain", "draw"), value) for name, value in stats.items()})
    )
    page = report(whole, out=tmp_path / "report.html").read_text(encoding="utf-8")
    for part in ("effects", "slopes", "responses", "dyads"):
        assert f'<section id="{part}">' in page
        assert f'<a href="#{part}">' in page
    assert page.count("from 120 draws") >= 3
    assert page.count("equal-tailed 95 % credible") >= 4
    for name in ("slopes", "responses", "dyads"):
        assert f'id="{name}-wide-' in page
        assert f'id="{name}-narrow-' in page
    for dyad in set(ef.dyad_paths(fit)["dyad"]):
        assert f">{dyad}<" not in page


def test_a_model_without_them_has_no_such_sections():
    model = '[model]\npaths = "disclosure ~ empathy + lag(disclosure)"'
    plain = drawn_fit(model, measurement="none", draws=10)
    sections = effect_sections(plain, None)
    names = ("mediated", "slopes", "region_table", "responses", "dyads")
    assert {name: sections[name] for name in names} == dict.fromkeys(names)


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "> .99"), (0.001, "< .01"), (0.5, ".50"), (0.994, ".99"), (0.006, ".01")]
)
def test_short_probabilities(value, shown):
    assert short(value) == shown
