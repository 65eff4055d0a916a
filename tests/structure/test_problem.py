"""Measures and a spec as arrays: gaps, standardisation, masks, merged levels, faults."""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.structure.language.blocks import residual_blocks
from bayesdyn.structure.language.model_text import to_text
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.problem import prepare


@pytest.fixture(scope="module")
def spec():
    return bd.load_model("chen2026")


@pytest.fixture
def measures(spec):
    return bd.simulate(spec, dyads=3, sessions=2, exchanges=5, random_seed=2)[0]


def test_rows_are_sorted_and_a_gap_is_filled(spec, measures):
    shuffled = measures.isel(exchange=np.random.default_rng(1).permutation(measures.sizes["exchange"]))
    gap = shuffled.isel(exchange=~((shuffled["t"] == 2) & (shuffled["dyad"] == "d1")).values)
    problem = prepare(gap, spec)
    assert len(problem.t) == 30
    assert (problem.row < 0).sum() == 2
    assert not problem.rated[problem.row < 0].any()
    np.testing.assert_array_equal(problem.previous[problem.t > 0], np.flatnonzero(problem.t > 0) - 1)
    assert (problem.previous[problem.t == 0] == -1).all()
    assert any("2 gaps" in note for note in problem.notes)


def test_two_stages_know_one_error_per_construct(spec, measures):
    rng = np.random.default_rng(4)
    uneven = measures.assign(se=measures["se"] * rng.uniform(0.5, 1.5, measures["se"].shape))
    uneven = uneven.assign(score=uneven["score"].where(uneven["score"] != uneven["score"][4, 0]))
    known, two = prepare(uneven, spec), prepare(uneven, spec, "two_stage")
    for c in range(len(known.constructs)):
        seen = known.rated[:, c]
        np.testing.assert_allclose(two.se[seen, c], np.sqrt(np.mean(known.se[seen, c] ** 2)))
        assert (two.se[~seen, c] == 1).all()
    np.testing.assert_array_equal(two.score, known.score)
    even = measures.assign(se=0.5 + 0 * measures["se"])
    np.testing.assert_allclose(prepare(even, spec, "two_stage").se, prepare(even, spec).se)


def test_phase_runs_from_minus_half_to_half(spec, measures):
    problem = prepare(measures, spec)
    phase = pd.Series(problem.covariate[:, problem.covariates.index("phase")])
    assert phase.groupby(problem.session_of).min().eq(-0.5).all()
    assert phase.groupby(problem.session_of).max().eq(0.5).all()


def test_the_scale_estimates_the_latent_sd(spec):
    measures, truth = bd.simulate(spec, dyads=150, sessions=2, exchanges=20, reliability=0.6, random_seed=3)
    problem = prepare(measures.drop_vars(["shift", "scale"]), spec)
    true = 0.8 * truth["latent"].std("exchange").values
    # 6,000 exchanges with reliability .6: the moment estimate's relative error has SD about .02.
    np.testing.assert_allclose(problem.scale, true, rtol=0.08)
    naive = measures["score"].std("exchange").values
    assert (naive > 1.2 * true).all()


def test_fixed_scales_win_spec_first(spec, measures):
    given = prepare(measures, spec)
    np.testing.assert_allclose(given.scale, 0.8)
    fixed = bd.load_model(spec.text + "\n[scale]\nempathy = [2.5, 2.0]\n")
    problem = prepare(measures, fixed)
    c = problem.constructs.index("empathy")
    assert (problem.shift[c], problem.scale[c]) == (2.5, 2.0)


def test_noisy_predictors_get_their_law_and_observed_ones_do_not(spec, measures):
    known, none = prepare(measures, spec, "known"), prepare(measures, spec, "none")
    assert set(known.endogenous) == set(known.constructs)
    assert none.endogenous == ("disclosure", "self_negative", "outward_negative")
    assert len(known.spec.paths) - len(none.spec.paths) == 2 * 5 + 1  # Psi and Theta, and rapport's own lag
    unrated = measures.copy(deep=True)
    unrated["score"][0, list(measures["construct"].values).index("rapport")] = np.nan
    assert set(prepare(unrated, spec, "none").endogenous) == set(known.constructs)


def test_one_session_per_dyad_merges_the_levels_and_says_so(spec):
    measures, _ = bd.simulate(spec, dyads=4, sessions=1, exchanges=5, random_seed=2)
    problem = prepare(measures, spec)
    assert not [item for item in problem.spec.varying if item.group == "session"]
    assert any("levels are one" in note for note in problem.notes)


def test_error_factor_scales_variances_and_not_the_standardisation(spec, measures):
    one, two = prepare(measures, spec), prepare(measures, spec, error_factor=2.0)
    np.testing.assert_allclose(two.se, one.se * np.sqrt(2))
    np.testing.assert_array_equal(two.scale, one.scale)


def test_faults_are_gathered_with_their_remedies(spec, measures):
    broken = measures.copy(deep=True)
    names = list(measures["construct"].values)
    broken["score"][:, names.index("empathy")] = np.nan
    broken["score"][:, names.index("rapport")] = 3.0
    broken["se"][0, names.index("disclosure")] = 0.0
    with pytest.raises(InputError) as caught:
        prepare(broken, spec)
    message = str(caught.value)
    assert "empathy has no score at all" in message
    assert "rapport is constant" in message
    assert "disclosure has 1 score without a finite standard error above 0" in message
    assert 'measurement="none"' in message


def test_faults_of_scores_stand_at_the_word_of_the_model(measures):
    spec = bd.load_model("[model]\npaths = '''\ndisclosure ~ empathy + rapport\nrapport ~ empathy\n'''\n")
    broken = measures.copy(deep=True)
    broken["score"].loc[{"construct": "empathy"}] = 3.0
    broken["se"].loc[{"construct": "rapport"}] = np.inf
    with pytest.raises(InputError) as caught:
        prepare(broken, spec)
    rapport, empathy = map(str, caught.value.faults)
    assert empathy.startswith("line 3, column 14, and line 4: construct empathy is constant")
    assert rapport.startswith(
        "line 3, column 24, and line 4: construct rapport has 30 scores without a finite"
    )


def test_an_unknown_time_has_its_line_and_the_nearest_covariate(measures):
    spec = bd.load_model("[model]\ntime = 'minuts'\npaths = 'disclosure ~ empathy'\n")
    given = measures.assign(minutes=("exchange", measures["t"].values * 1.5), place=("exchange", ["a"] * 30))
    with pytest.raises(InputError, match=r"line 2: time = 'minuts' is not among .* Did you mean 'minutes'\?"):
        prepare(given, spec)


def test_a_clock_in_the_place_of_t_is_refused(spec, measures):
    t = measures["t"].values
    far = measures.assign_coords(t=("exchange", np.where(t == 4, 3000, t)))
    with pytest.raises(InputError, match="would make 18,006 exchanges of 30: session d0:1 alone spans 3,001"):
        prepare(far, spec)
    near = measures.assign_coords(t=("exchange", t * 12))  # 49 exchanges of 5 in each session
    assert len(prepare(near, spec).t) == 6 * 49


def test_a_lag_longer_than_every_session_is_refused(measures):
    paths = "disclosure ~ empathy + lag(disclosure, {}) + lag(disclosure)"
    told = "line 3, column 24: lag(disclosure, 99999999999) goes back further than the longest session, of 5"
    assert told in faults_of(measures, paths.format(99999999999))
    assert "lag(disclosure, 5) goes back further" in faults_of(measures, paths.format(5))
    assert prepare(measures, bd.load_model(f"[model]\npaths = '{paths.format(4)}'")).spec.order == 4


def test_terms_that_no_equation_holds_come_with_the_other_faults(measures):
    flat = measures.copy(deep=True)
    flat["score"].loc[{"construct": "empathy"}] = 3.0
    message = faults_of(
        flat, "disclosure ~ empathy + mean(phase) + mean(empathy)\ndisclosure ~ (1 + mean(empathy) | dyad)"
    )
    assert "column 24: mean(phase) is the mean of a covariate. Give the mean as a covariate" in message
    assert "line 4, column 14: (mean(empathy) | dyad) varies over a mean" in message
    assert "construct empathy is constant" in message


@pytest.mark.parametrize("unrated", [False, True])
def test_a_client_construct_without_an_equation_has_a_law_where_scores_are_missing(measures, unrated):
    spec = bd.load_model("""
[model]
paths = "disclosure ~ empathy + self_negative + lag(disclosure)"
[constructs]
therapist = ["empathy"]
client = ["disclosure", "self_negative"]
""")
    given = measures.copy(deep=True)
    if unrated:
        half = given["score"].sel(construct="self_negative").where(np.arange(30) % 2 == 0)
        given["score"].loc[{"construct": "self_negative"}] = half
    problem = prepare(given, spec, "none")
    assert ("self_negative" in problem.endogenous) == unrated
    laws = {path.name for path in problem.spec.paths if path.origin == "default"}
    assert ("self_negative ~ lag(self_negative)" in laws) == unrated


@pytest.mark.parametrize("measurement", ["known", "none"])
def test_a_prior_of_a_default_law_stays_in_the_model_whatever_the_measurement(measures, measurement):
    spec = bd.load_model("""
[model]
paths = "disclosure ~ empathy + lag(disclosure)"
[constructs]
therapist = ["empathy"]
[priors]
"empathy ~ lag(empathy)" = "normal(0.1, 0.2)"
""")
    problem = prepare(measures, spec, measurement)
    told = "The prior of 'empathy ~ lag(empathy)' is not used: this fit has no such path."
    assert (told in problem.notes) == (measurement == "none")
    priors = resolve_priors(problem.spec)
    own = {path.name: str(priors.of_path(problem.spec, path)) for path in problem.spec.paths}
    assert own.get("empathy ~ lag(empathy)") == ("normal(0.1, 0.2)" if measurement == "known" else None)
    assert bd.load_model(to_text(problem.spec)).priors == spec.priors


def test_unknown_names_are_told_with_line_and_nearest(measures):
    spec = bd.load_model('[model]\nname = "m"\npaths = """\ndisclosure ~ empaty + mood\n"""\n')
    with pytest.raises(InputError, match=r"line 4") as caught:
        prepare(measures, spec)
    assert "empathy" in str(caught.value)
    assert "mood" in str(caught.value)


def test_unknown_measurement_is_refused(spec, measures):
    with pytest.raises(InputError, match="measurement 'exact'"):
        prepare(measures, spec, "exact")


def with_covariates(measures, paths, **values):
    spec = bd.load_model(f'[model]\npaths = """\n{paths}\n"""\n')
    return spec, measures.assign({name: ("exchange", np.asarray(value)) for name, value in values.items()})


def faults_of(measures, paths, **values):
    spec, given = with_covariates(measures, paths, **values)
    with pytest.raises(InputError) as caught:
        prepare(given, spec)
    return str(caught.value)


def test_a_covariate_must_be_complete(measures):
    size = measures.sizes["exchange"]
    text = np.array([""] * 2 + ["a", "b"] * (size // 2 - 1), dtype=object)
    message = faults_of(
        measures, "disclosure ~ empathy + dose + site", dose=np.r_[np.nan, np.ones(size - 1)], site=text
    )
    assert "line 3, column 24: covariate dose misses 1 value." in message
    assert "line 3, column 31: covariate site misses 2 values." in message


def test_a_covariate_of_text_is_coded_against_its_first_level(measures):
    modality = np.resize(np.array(["online", "in person", "phone"], dtype=object), measures.sizes["exchange"])
    spec, given = with_covariates(
        measures, "disclosure ~ 0.2*empathy + modality:empathy + k*modality[phone] + modality\n"
        "disclosure ~ (1 + modality | dyad)", modality=modality,
    )  # fmt: skip
    problem = prepare(given, spec, "none")
    own = [(path.name, path.label) for path in problem.spec.paths]
    assert own == [
        ("disclosure ~ empathy", ""),
        ("disclosure ~ modality[online]:empathy", ""),
        ("disclosure ~ modality[phone]:empathy", ""),
        ("disclosure ~ modality[phone]", "k"),
        ("disclosure ~ modality[online]", ""),
    ]
    assert [str(slope) for slope in problem.spec.varying[0].slopes] == ["modality[online]", "modality[phone]"]
    at = problem.covariates.index("modality[online]")
    np.testing.assert_array_equal(problem.covariate[:, at], modality[problem.row] == "online")
    assert any(
        "against its level in person (10 exchanges): online (10), phone (10)" in n for n in problem.notes
    )
    # A fit keeps the coded model and the coded columns, and makes the same problem of them again.
    columns = {name: ("exchange", problem.covariate[:, q]) for q, name in enumerate(problem.covariates)}
    again = prepare(measures.assign(columns), bd.load_model(to_text(problem.spec)), "none")
    assert again.spec == problem.spec
    np.testing.assert_array_equal(again.covariate, problem.covariate)


def test_the_prior_of_a_covariate_of_text_is_that_of_each_contrast(measures):
    spec, given = with_covariates(
        measures, "disclosure ~ empathy + site", site=np.resize(["a", "b", "c"], measures.sizes["exchange"])
    )
    spec = bd.load_model(spec.text + '[priors]\n"disclosure ~ site" = "normal(0, 0.1)"\n')
    assert dict(prepare(given, spec).spec.priors) == {
        "disclosure ~ site[b]": "normal(0, 0.1)",
        "disclosure ~ site[c]": "normal(0, 0.1)",
    }


@pytest.mark.parametrize(
    ("levels", "path", "message"),
    [
        (["a"], "site", "site has one level only. Leave it out"),
        (
            [f"s{i}" for i in range(11)],
            "site",
            "site is text with 11 levels; at most 10 are coded. Put levels",
        ),
        (["a", "b[c]"], "site", "the level 'b[c]' of covariate site cannot be written in a path. Rename it"),
        (
            ["a", "bern", "c"],
            "site[brn]",
            "line 3, column 24: no exchange has the level 'brn' of covariate site. Did you mean",
        ),
        (
            ["a", "b"],
            "site[a]",
            "line 3, column 24: 'site[a]': 'a' is the level that the others are compared with",
        ),
        (
            ["a", "b", "c"],
            "k*site",
            "the label 'k' of 'site' would be of 2 contrasts. Write them out, e.g. k*site[b]",
        ),
    ],
)
def test_a_covariate_of_text_that_cannot_be_coded(measures, levels, path, message):
    site = np.resize(np.array(levels, dtype=object), measures.sizes["exchange"])
    assert message in faults_of(measures, f"disclosure ~ empathy + {path}", site=site)


def test_a_number_has_no_levels(measures):
    dose = np.arange(measures.sizes["exchange"])
    assert "line 3, column 14: 'dose[high]': covariate dose is a number" in faults_of(
        measures, "disclosure ~ dose[high]", dose=dose
    )


def test_collinear_and_constant_covariates_are_named(measures):
    rng = np.random.default_rng(4)
    age, dose = rng.normal(size=(2, measures.sizes["exchange"]))
    message = faults_of(
        measures, "disclosure ~ empathy + age + dose + mixed + one + phase + 0*double",
        age=age, dose=dose, mixed=2 * age - dose + 3, one=np.ones_like(age), double=2 * age,
    )  # fmt: skip
    assert "line 3, column 37: age, dose and mixed are perfectly collinear in the equation of dis" in message
    assert "line 3, column 45: one is the same at every exchange" in message
    assert message.count("\n") == 2  # neither double, which is fixed, nor phase is a fault
    spec, given = with_covariates(
        measures, "disclosure ~ empathy + age + near", age=age, near=age + 1e-3 * dose
    )
    assert prepare(given, spec).covariates == ("age", "near")


def test_collinear_lags_of_covariates_are_found_at_any_lag(measures):
    rng = np.random.default_rng(4)
    dose = rng.normal(size=measures.sizes["exchange"])
    # Sessions are of 5 exchanges, in order: two exchanges before the second one is their start.
    at = np.arange(len(dose))
    two, three = (dose[at - np.minimum(lag, at % 5)] for lag in (2, 3))
    message = faults_of(
        measures, "disclosure ~ empathy + lag(dose, 2) + two + lag(dose, 3) + mixed",
        dose=dose, two=2 * two, mixed=three - two,
    )  # fmt: skip
    assert "column 39: lag(dose, 2) and two are perfectly collinear" in message
    assert "lag(dose, 2), lag(dose, 3) and mixed are perfectly collinear" in message
    unlike = two + (at % 5 == 1)  # it differs where the lag reaches over the start alone
    spec, given = with_covariates(
        measures, "disclosure ~ empathy + lag(dose, 2) + two + lag(dose)", dose=dose, two=unlike
    )
    assert "two" in prepare(given, spec).covariates
    short = measures.isel(exchange=(measures["t"] < 2).values)
    assert "lag(dose) and lag(dose, 2) are perfectly collinear" in faults_of(
        short, "disclosure ~ empathy + lag(dose) + lag(dose, 2)", dose=dose[: short.sizes["exchange"]]
    )


def test_few_dyads_for_their_covariance_are_noted(spec, measures):
    # Three outcomes with two slopes each, and the mean of three predictors: 12 effects for 3 dyads.
    assert any("3 dyads are few for 12 effects that vary" in note for note in prepare(measures, spec).notes)
    many, _ = bd.simulate(spec, dyads=60, sessions=1, exchanges=3, random_seed=2)
    assert not [note for note in prepare(many, spec).notes if "are few" in note]


def test_a_client_construct_that_only_predicts_gets_a_law_too(measures):
    text = """
[model]
name = "m"
centering = "none"
paths = \"\"\"
disclosure ~ self_negative + empathy
\"\"\"
[constructs]
therapist = ["empathy"]
client = ["disclosure", "self_negative"]
"""
    problem = prepare(measures, bd.load_model(text))
    assert set(problem.endogenous) == {"disclosure", "self_negative", "empathy"}
    names = [path.name for path in problem.spec.paths]
    assert "self_negative ~ lag(self_negative)" in names


def test_scores_as_they_are_need_no_standard_errors(spec, measures):
    bare = measures.copy(deep=True)
    bare["se"][:] = np.nan
    problem = prepare(bare, spec, "none")
    assert np.isfinite(problem.se).all()
    with pytest.raises(InputError, match="without a finite standard error above 0"):
        prepare(bare, spec, "known")


GROUPED = """
[model]
name = "grouped"
paths = '''
disclosure ~ empathy + lag(disclosure, 2)
disclosure ~ (1 + empathy | therapist) + (1 | dyad)
sigma ~ (1 | dyad)
'''
"""


@pytest.fixture
def grouped():
    spec = bd.load_model(GROUPED)
    measures, _ = bd.simulate(spec, dyads=8, sessions=2, exchanges=4, random_seed=3)
    return spec, measures


def test_a_covariate_can_name_the_groups_that_effects_vary_by(grouped):
    spec, measures = grouped
    problem = prepare(measures, spec)
    therapist = problem.grouping("therapist")
    assert problem.spec.groups == ("dyad", "session", "therapist")
    assert set(therapist.labels) == set(measures["therapist"].values)
    labels = np.array(therapist.labels)[therapist.of]
    assert (labels == measures["therapist"].values[problem.row]).all()
    assert therapist.of_dyad is not None
    assert (therapist.of_dyad[problem.dyad_of] == therapist.of).all()
    assert "2 groups of therapist are few for 2 effects that vary by therapist" in " ".join(problem.notes)
    assert problem.blocks["lag 2"] > problem.blocks["lag 1"]


def test_a_group_that_crosses_dyads_is_of_sessions_only(grouped):
    spec, measures = grouped
    measures["therapist"] = ("exchange", np.where(measures["session"].values == "1", 1.0, 2.0))
    therapist = prepare(measures, spec).grouping("therapist")
    assert therapist.labels == ("1", "2")
    assert therapist.of_dyad is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda label, dyad, t: "one", "group therapist has one label only. Leave out (... | therapist)"),
        (lambda label, dyad, t: dyad, "every dyad is a group of therapist of its own"),
        (lambda label, dyad, t: "" if t == 1 else label, "group therapist misses 16 values"),
        (
            lambda label, dyad, t: "other" if (dyad, t) == ("d0", 3) else label,
            "group therapist changes within 2 sessions (such as d0:1, d0:2)",
        ),
    ],
)
def test_groups_that_cannot_be_told_apart_are_refused(grouped, change, message):
    spec, measures = grouped
    old = zip(*(measures[name].values for name in ("therapist", "dyad", "t")), strict=True)
    measures["therapist"] = ("exchange", [change(*one) for one in old])
    with pytest.raises(InputError) as error:
        prepare(measures, spec)
    assert message in str(error.value)


def test_an_unknown_group_is_told_with_the_nearest(grouped):
    spec, measures = grouped
    with pytest.raises(InputError) as error:
        prepare(measures.rename({"therapist": "therapists"}), spec)
    assert "line 6, column 29: unknown group 'therapist'. Did you mean 'therapists'?" in str(error.value)


TIMED = """
[model]
name = "timed"
time = "minutes"
paths = '''
disclosure ~ empathy + lag(disclosure) + lag(disclosure, 2)
'''
"""


def test_excess_time_is_what_passes_beyond_the_usual(measures):
    """Gaps of 2, 1, 1 and 5 minutes, the last over an exchange that is missing: it lies in the middle."""
    spec = bd.load_model(TIMED)
    measures, _ = bd.simulate(spec, dyads=1, sessions=1, exchanges=6, random_seed=1)
    measures["minutes"] = ("exchange", [0.0, 2.0, 3.0, 4.0, 9.0, 10.0])
    measures = measures.assign_coords(t=("exchange", [0, 1, 2, 3, 5, 6]))
    problem = prepare(measures, spec)
    steps = np.array([2.0, 1.0, 1.0, 2.5, 2.5, 1.0])
    usual = np.median(steps)
    np.testing.assert_allclose(problem.excess[1:, 0], steps / usual - 1)
    np.testing.assert_allclose(problem.excess[2:, 1], (steps[1:] + steps[:-1]) / usual - 2)
    assert (problem.excess[0] == 0).all()
    assert problem.excess[1, 1] == 0


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, 1.0, 1.0], "time minutes does not grow within sessions (d0:1)"),
        ([0.0, np.nan, 1.0], "time minutes misses 1 value. Say the time of every exchange"),
        (["0", "1", "2"], "time = 'minutes' is no number. Name a covariate that is a number"),
        (None, "line 4: time = 'minutes' is not among the measures"),
    ],
)
def test_times_that_do_not_grow_are_refused(times, message):
    spec = bd.load_model(TIMED)
    measures, _ = bd.simulate(spec, dyads=1, sessions=1, exchanges=3, random_seed=1)
    measures = measures.drop_vars("minutes")
    if times is not None:
        measures["minutes"] = ("exchange", times)
    with pytest.raises(InputError) as error:
        prepare(measures, spec)
    assert message in str(error.value)


def test_predictors_that_nobody_declared_covary_as_declared_ones_do():
    written = "[model]\nname = 's'\npaths = 'disclosure ~ empathy + empathy:rapport + lag(disclosure)'\n"
    for text in (written, written + "[constructs]\ntherapist = ['empathy', 'rapport']\n"):
        spec = bd.load_model(text)
        measures, _ = bd.simulate(spec, dyads=6, random_seed=1)
        problem = prepare(measures, spec, "known")
        assert problem.endogenous == ("empathy", "rapport", "disclosure")
        assert residual_blocks(problem.spec, problem.endogenous) == ((0, 1), (2,))
