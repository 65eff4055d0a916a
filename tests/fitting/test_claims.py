"""The claims of the models that come with the package, on draws for which every verdict is known."""

import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.effects import contrast
from bayesdyn.errors import InputError
from bayesdyn.fitting.claims import claim_parts, conjuncts
from bayesdyn.fitting.fits import notes_of
from bayesdyn.fitting.units import raw_paths
from drawn_fits import drawn_fit, draws_of

PAPER = ("chen2026", "chen2026_within", "chen2026_disclosure", "chen2026_naive")
SPREAD = 0.01
# Draws are normal about the truth, SD .01, so .15 and -.15 lie 15 SD from zero, .2 lies 15 SD beyond the rope
# of .05, and 0 lies 5 SD inside it (Pr(|z| > 5) is 6e-7): 120 draws leave no doubt of a verdict.
UP, DOWN, NOTHING, MUCH = 0.15, -0.15, 0.0, 0.2
TRUE = {
    "de": UP, "dx": UP, "dr": NOTHING, "der": MUCH, "dxr": -MUCH,
    "se": 2 * UP, "sx": UP, "sr": NOTHING, "ser": MUCH, "sxr": -MUCH,
    "oe": UP, "ox": UP, "orp": NOTHING, "oer": NOTHING, "oxr": NOTHING,
}  # fmt: skip
FALSE = {
    "de": UP, "dx": DOWN, "dr": MUCH, "der": NOTHING, "dxr": NOTHING,
    "se": DOWN, "sx": DOWN, "sr": NOTHING, "ser": NOTHING, "sxr": NOTHING,
    "oe": UP, "ox": UP, "orp": NOTHING, "oer": MUCH, "oxr": MUCH,
}  # fmt: skip
# At the border each draw holds or not with even odds.
OPEN = {
    "de": UP, "dx": 0.0, "dr": NOTHING, "der": 0.05, "dxr": -0.05,
    "se": UP, "sx": 0.0, "sr": 0.05, "ser": 0.05, "sxr": -0.05, "oe": UP, "ox": UP, "orp": NOTHING,
}  # fmt: skip


def made(model, truth, **more):
    spec = bd.load_model(model)
    own = {name: value for name, value in truth.items() if name in spec.labels}
    measurement = spec.measurement or "known"
    return drawn_fit(model, measurement=measurement, spread=SPREAD, truth=own, **more)


@pytest.mark.parametrize("model", PAPER)
def test_every_claim_can_be_supported_and_contradicted(model):
    for truth, verdict in ((TRUE, "supported"), (FALSE, "contradicted")):
        table = bd.check_claims(made(model, truth)).set_index("claim")
        assert len(table) == (4 if model == "chen2026_disclosure" else 6)
        if model == "chen2026_disclosure" and verdict == "contradicted":
            assert table.loc["rapport_itself_negligible", "probability"] == 0
        assert set(table["verdict"]) == {verdict}, table[["holds", "probability"]]


def test_what_lies_at_the_border_is_undecided():
    table = bd.check_claims(made("chen2026", OPEN, draws=200)).set_index("claim")
    # Of 400 draws with odds of a half the share has SD .025: .05 and .95 are 18 SD away.
    assert set(table["verdict"]) == {"undecided"}


def test_the_five_findings_of_the_paper_are_claims():
    for model in ("chen2026", "chen2026_within"):
        claims = {claim.name: claim.holds for claim in bd.load_model(model).claims}
        assert claims == {
            "behaviour_raises_disclosure": "de > 0 and dx > 0",
            "empathy_turns_inward": "empathy_contrast > 0",
            "exploration_raises_emotion": "sx > 0 and ox > 0",
            "rapport_itself_negligible": "abs(dr) < rope and abs(sr) < rope and abs(orp) < rope",
            "rapport_moderates_empathy": "abs(ser) > rope",
            "rapport_moderates_exploration": "abs(sxr) > rope",
        }


def test_parts_of_a_conjunction_have_their_own_probability():
    fit = made("chen2026", OPEN)
    parts = claim_parts(fit).set_index(["claim", "part"])["probability"]
    b = draws_of(fit)
    assert parts["behaviour_raises_disclosure", "de > 0"] == 1
    assert parts["behaviour_raises_disclosure", "dx > 0"] == (b["disclosure ~ exploration"] > 0).mean()
    near = (np.abs(b["self_negative ~ rapport"]) < 0.05).mean()
    assert parts["rapport_itself_negligible", "abs(sr) < rope"] == near
    assert "empathy_turns_inward" not in parts.index.get_level_values("claim")
    table = bd.check_claims(fit).set_index("claim")["parts"]
    assert table["behaviour_raises_disclosure"].startswith("de > 0: 1.000; dx > 0: 0.")
    assert table["rapport_moderates_empathy"] == ""


def test_a_joint_probability_is_none_of_its_parts():
    """Three parts, each likely, need not hold at once."""
    fit = made("chen2026", TRUE | {"dr": 0.037, "sr": 0.037, "orp": 0.037}, draws=400)
    own = claim_parts(fit).query("claim == 'rapport_itself_negligible'")["probability"]
    joint = bd.check_claims(fit).set_index("claim").loc["rapport_itself_negligible", "probability"]
    assert own.sum() - 2 <= joint <= own.min()
    assert joint < own.min()


def test_a_rope_is_standardised_whatever_the_scale_of_the_ratings():
    text = bd.load_model("chen2026_disclosure").text
    wide = text + "\n[scale]\ndisclosure = [50.0, 20.0]\nempathy = [2.0, 0.1]\n"
    tables = [bd.check_claims(made(model, TRUE)) for model in (text, wide)]
    assert tables[0]["probability"].tolist() == tables[1]["probability"].tolist()
    fit = made(wide, TRUE)
    raw = raw_paths(fit).sel(path_name="disclosure ~ empathy").mean()
    # In raw points the path is 20 / 0.1 times as large: no claim is to be asked of it there.
    assert float(raw) == pytest.approx(200 * draws_of(fit)["disclosure ~ empathy"].mean())


UNSURE = (
    """[model]
paths = """
    + '"""'
    + """
y ~ k*x + m*z + lag(y)
p := k > 0
q := not p or m > 0
root := sqrt(m)
r := root > 0.1
"""
    + '"""'
    + """
[claims.truths]
says = "Truths join"
holds = "p and q"
[claims.undefined]
says = "A root"
holds = "r and k > -9"
[claims.defined]
says = "A root of what is positive"
holds = "sqrt(k) > 0"
"""
)


def test_truths_join_in_definitions_and_claims_and_undefined_draws_cost_no_fit():
    # k = .15 and m = 0 with SD .01: every root of k exists, and that of m in about half the draws.
    fit = drawn_fit(UNSURE, truth={"k": 0.15, "m": 0.0}, spread=SPREAD, draws=100)
    k, m = (draws_of(fit)[name] for name in ("y ~ x", "y ~ z"))
    defined = fit["posterior"]["defined"]
    values = {name: defined.sel(quantity=name).values.ravel() for name in ("p", "q", "root", "r")}
    np.testing.assert_array_equal(values["p"], k.ravel() > 0)
    np.testing.assert_array_equal(values["q"], (k.ravel() <= 0) | (m.ravel() > 0))
    np.testing.assert_array_equal(np.isnan(values["root"]), m.ravel() < 0)
    np.testing.assert_array_equal(np.isnan(values["r"]), m.ravel() < 0)

    lost = int((m < 0).sum())
    assert 0 < lost < 200
    told = [note for note in notes_of(fit) if note.startswith("Undefined draws:")]
    assert [note.split(" and missing")[0] for note in told] == [
        f"Undefined draws: {name} is undefined in {lost} of 200 draws" for name in ("root", "r")
    ]
    table = bd.summary(fit, variables=("defined",))
    assert table.loc[["root", "r"], ["mean", "lower", "prob_positive", "rhat"]].isna().all(axis=None)
    assert table.loc["q", "mean"] == pytest.approx(values["q"].mean())
    raw = bd.summary(fit, variables=("defined",), units="raw")
    assert raw.loc["q", "mean"] == pytest.approx(values["q"].mean())

    claims = bd.check_claims(fit).set_index("claim")
    assert claims.loc["truths", "probability"] == pytest.approx((m > 0).mean())
    assert np.isnan(claims.loc["undefined", "probability"])
    assert claims.loc["undefined", "verdict"] == "undecided"
    # Of its prior, normal(0, 0.5), half has no root.
    assert claims.loc["defined", "probability"] == 1
    assert np.isnan(claims.loc["defined", "prior_probability"])
    assert contrast(fit, "root")["prob_positive"].isna().all()
    with pytest.raises(InputError, match="'root > 0' is undefined in"):
        contrast(fit, "root > 0")


def test_a_label_that_only_resembles_rope_is_no_rope():
    model = """[model]
paths = "y ~ europe*x + lag(y)"
[claims.a]
says = "It rises"
holds = "europe > 0"
"""
    assert bd.check_claims(drawn_fit(model, draws=10))["rope"].isna().all()


@pytest.mark.parametrize(
    ("holds", "parts"),
    [
        ("a > 0 and b > 0", ["a > 0", "b > 0"]),
        ("a > 0 and (b > 0 or c > 0)", ["a > 0", "b > 0 or c > 0"]),
        ("a > 0 or b > 0", []),
        ("0 < a < 1", []),
    ],
)
def test_conjuncts(holds, parts):
    assert conjuncts(holds) == parts
