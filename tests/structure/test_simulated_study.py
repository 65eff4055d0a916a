"""What was asked of a simulated study is what it has: sizes, gaps, spreads, covariates, errors.

Thresholds of statistical tests are four Monte Carlo standard errors: one seed in 16,000 fails by chance.
"""

import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.errors import InputError
from bayesdyn.structure.simulating import Covariate, NegativeBinomial, Observed, Spreads
from truths import whole_residual_cov

MODEL = """
[model]
name = "linear"
centering = "none"
paths = '''
disclosure ~ de*empathy + lag(disclosure) + age + modality[online] + modality[phone] + phase
disclosure ~ (1 + empathy | dyad) + (1 | session)
disclosure ~~ empathy
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""
AGE = Covariate("normal", level="dyad")
MODALITY = Covariate(("in person", "online", "phone"), level="session")
TRUTH = {"disclosure ~ age": 0.5, "disclosure ~ modality[phone]": -0.4}


@pytest.fixture(scope="module")
def spec():
    return bd.load_model(MODEL)


def made(spec, **asked):
    size = {"dyads": 3, "sessions": 2, "exchanges": 4, "random_seed": 1}
    return bd.simulate(spec, **{"covariates": {"age": AGE, "modality": MODALITY}, **size, **asked})


def counts(measures):
    """Return exchanges of each session, and sessions of each dyad."""
    frame = pd.DataFrame({name: measures[name].values for name in ("dyad", "session", "t")})
    by_session = frame.groupby(["dyad", "session"])["t"].agg(["size", "max"])
    assert (by_session["size"] == by_session["max"] + 1).all()
    return by_session["size"].to_numpy(), by_session.groupby("dyad").size().to_numpy()


@pytest.mark.parametrize("zero", ["0*y", "0*mean(y)"])
def test_a_path_fixed_at_0_orders_nothing(zero):
    def latent(written):
        text = f"[model]\npaths = '''\ny ~ mean(x) + x + lag(y)\nx ~ lag(x) + {written}\n'''\n"
        return made(bd.load_model(text + "[constructs]\nclient = ['y', 'x']"), covariates=None)[1]["latent"]

    np.testing.assert_array_equal(latent(zero), latent("0*lag(y)"))


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            "lag(disclosure, 99999999999)",
            "line 3, column 24: lag(disclosure, 99999999999) goes back further than",
        ),
        ("mean(phase)", "line 3, column 24: mean(phase) is the mean of a covariate"),
    ],
)
def test_what_no_fit_could_use_is_not_simulated(paths, message):
    spec = bd.load_model(f"[model]\npaths = '''\ndisclosure ~ empathy + {paths}\n'''\n")
    with pytest.raises(InputError, match="Cannot simulate") as caught:
        made(spec, covariates=None)
    assert message in str(caught.value)


NO_NUMBERS = [
    ({"reliability": "high"}, "reliability is 'high'. Give a number in (0, 1], or a mapping"),
    ({"reliability": [0.5, 0.6]}, "reliability is [0.5, 0.6]. Give a number in (0, 1], or a mapping"),
    ({"reliability": {"empathy": "high"}}, "reliability of empathy is 'high'. Give a number in (0, 1]"),
    ({"missing": None}, "missing is None. Give a number in [0, 1), or a mapping from constructs"),
    ({"missing_exchanges": "few"}, "missing_exchanges is 'few'. Give a number in [0, 1)"),
    (
        {"truth": {"disclosure ~ empathy": "x"}},
        "truth for 'disclosure ~ empathy' is 'x'. Give a finite number",
    ),
    ({"truth": [0.3]}, "truth is [0.3]. Give a mapping from paths or labels to numbers"),
    ({"random_seed": 1.5}, "random_seed is 1.5. Give a whole number from 0 up"),
    ({"random_seed": -1}, "random_seed is -1. Give a whole number from 0 up"),
    (
        {"error_corr": "a"},
        "error_corr, in the order disclosure, empathy, is no array of numbers. Give (2, 2)",
    ),
    ({"error_corr": [[1], [0, 1]]}, "is no array of numbers. Give (2, 2)"),
    ({"spreads": {"residual_sd": 1}}, "spreads is {'residual_sd': 1}. Give Spreads("),
    ({"spreads": Spreads(residual_sd="a")}, "residual_sd of disclosure is 'a'. Give a number above 0"),
    ({"spreads": Spreads(dyad_corr="a")}, "dyad_corr is 'a'. Give a number between -1 and 1"),
    ({"spreads": Spreads(group_sd=3)}, "group_sd is 3. Give a mapping from groups to SDs"),
    ({"groups": ["therapist"]}, "groups is ['therapist']. Give a mapping from groups to numbers"),
    ({"exchanges": NegativeBinomial("a", 2)}, "exchanges: mean 'a', SD 2. Give two numbers"),
    (
        {"covariates": {"age": 3, "modality": MODALITY}},
        "the law 3 of covariate age is unknown. Use normal, binary",
    ),
    ({"covariates": "age"}, "covariates is 'age'. Give a mapping from names to laws"),
    (
        {"covariates": {"age": Covariate(share="half"), "modality": MODALITY}},
        "the share of covariate age is 'half'",
    ),
]


@pytest.mark.parametrize(
    ("asked", "message"), NO_NUMBERS, ids=[str(number) for number in range(len(NO_NUMBERS))]
)
def test_what_is_no_number_is_a_fault_at_the_door(spec, asked, message):
    with pytest.raises(InputError, match="Cannot simulate") as caught:
        made(spec, **asked)
    assert message in str(caught.value)


def test_what_is_no_number_is_told_with_all_else(spec):
    asked = {
        "reliability": "high",
        "truth": {"de": "x"},
        "random_seed": -1,
        "error_corr": "a",
        "missing": None,
    }
    with pytest.raises(InputError) as caught:
        made(spec, spreads={}, **asked)
    assert len(caught.value.faults) == 6


def test_raters_of_another_kind_are_a_fault(spec):
    with pytest.raises(InputError, match=r"raters is 'two'. Give RaterDesign\("):
        bd.simulate_ratings(spec, raters="two", covariates={"age": AGE, "modality": MODALITY}, random_seed=1)


def test_lengths_of_sessions_are_drawn_from_what_was_observed(spec):
    lengths, _ = counts(made(spec, dyads=100, sessions=4, exchanges=Observed(np.array([1, 3, 3, 9])))[0])
    assert set(lengths) == {1, 3, 9}
    share = (lengths == 3).mean()
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / 400)


def test_lengths_of_sessions_are_negative_binomial_with_mean_and_sd_as_asked(spec):
    """The SE of an SD is that of a law of this kurtosis, 3 + 6/n + 1/V with n successes, V the variance."""
    asked = NegativeBinomial(mean=6, sd=4)
    lengths, _ = counts(made(spec, dyads=150, sessions=4, exchanges=asked)[0])
    assert lengths.min() >= 1
    assert abs(lengths.mean() - 6) < 4 * 4 / np.sqrt(600)
    kurtosis = 3 + 6 / asked.shape[0] + 1 / 16
    assert abs(lengths.var(ddof=1) - 16) < 4 * 16 * np.sqrt((kurtosis - 1) / 600)


def test_dyads_have_as_many_sessions_as_asked(spec):
    _, sessions = counts(made(spec, dyads=300, sessions=(1, 4), exchanges=1)[0])
    assert set(sessions) == {1, 2, 3, 4}
    assert abs(sessions.mean() - 2.5) < 4 * np.sqrt(1.25 / 300)


def test_shares_of_missing_scores_by_construct_and_by_exchange(spec):
    measures, _ = made(
        spec, dyads=200, exchanges=10, missing={"empathy": 0.3}, missing_exchanges=0.1, random_seed=3
    )
    lost = np.isnan(measures["score"].sel(construct=["disclosure", "empathy"]).values)
    n = len(lost)
    np.testing.assert_array_equal(lost[:, 1] | ~lost[:, 0], True)
    assert abs(lost[:, 0].mean() - 0.1) < 4 * np.sqrt(0.09 / n)
    share = 1 - 0.9 * 0.7
    assert abs(lost[:, 1].mean() - share) < 4 * np.sqrt(share * (1 - share) / n)


def test_choices_about_errors_and_gaps_move_no_true_score(spec):
    _, one = made(spec)
    corr = np.array([[1, 0.5], [0.5, 1]])
    _, two = made(spec, reliability=0.4, kappa_sd=0.5, missing=0.2, missing_exchanges=0.2, error_corr=corr)
    assert one.drop_vars("kappa").identical(two.drop_vars("kappa"))


def test_residuals_have_the_chosen_covariance_and_covariates_their_coefficients(spec):
    """Innovations are recomputed by hand; their covariance with nothing that came before is left."""
    chosen = Spreads(
        residual_sd={"disclosure": 0.5, "empathy": 1.2}, residual_corr={("empathy", "disclosure"): -0.6}
    )
    measures, truth = made(
        spec, dyads=60, sessions=4, exchanges=15, truth=TRUTH, spreads=chosen, random_seed=2
    )
    cov = whole_residual_cov(truth)
    names = ["disclosure", "empathy"]
    expected = cov.sel(endogenous=names, endogenous2=names).values
    np.testing.assert_allclose(expected, [[0.25, -0.36], [-0.36, 1.44]])

    pairs = zip(measures["dyad"].values, measures["session"].values, strict=True)
    labels = [f"{dyad}:{session}" for dyad, session in pairs]
    dyad = truth["dyad_effects"].sel(dyad=measures["dyad"].values)
    session = truth["session_effects"].sel(session=labels)
    level = {
        name: (dyad.sel(dyad_effect=f"{name} ~ 1").values + session.sel(session_effect=f"{name} ~ 1").values)
        for name in names
    }
    state = {name: truth["latent"].sel(construct=name).values for name in names}
    path = {str(name): float(truth["path"].sel(path_name=name)) for name in truth["path_name"].values}
    later = np.flatnonzero(measures["t"].values > 0)
    before = {name: (state[name] - level[name])[later - 1] for name in names}
    online, phone = (measures["modality"].values == text for text in ("online", "phone"))
    slope = path["disclosure ~ empathy"] + dyad.sel(dyad_effect="disclosure ~ empathy").values
    mean = (
        level["disclosure"]
        + slope * state["empathy"]
        + path["disclosure ~ age"] * measures["age"].values
        + path["disclosure ~ modality[online]"] * online
        + path["disclosure ~ modality[phone]"] * phone
        + path["disclosure ~ phase"] * (measures["t"].values / 14 - 0.5)
    )
    found = np.column_stack(
        [
            (state["disclosure"] - mean)[later] - path["disclosure ~ lag(disclosure)"] * before["disclosure"],
            (state["empathy"] - level["empathy"])[later]
            - path["empathy ~ lag(empathy)"] * before["empathy"]
            - path["empathy ~ lag(disclosure)"] * before["disclosure"],
        ]
    )
    n = len(found)
    # SE of a sample covariance of normals: sqrt((s_aa s_bb + s_ab^2) / n).
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / n)
    assert (np.abs(np.cov(found.T) - expected) < 4 * error).all()
    predictors = np.column_stack([measures["age"].values[later], phone[later], before["disclosure"]])
    corr = np.corrcoef(np.column_stack([found[:, 0], predictors]).T)[0, 1:]
    assert (np.abs(corr) < 4 / np.sqrt(n)).all()


def test_levels_and_starts_have_the_chosen_spreads(spec):
    """Of 1,500 dyads with two sessions of one exchange: effects and starts are independent draws."""
    chosen = Spreads(
        dyad_sd={"disclosure ~ empathy": 0.4},
        dyad_corr={("disclosure ~ empathy", "disclosure ~ 1"): 0.7},
        session_sd=0.6,
        session_corr=-0.3,
        start_sd=2.0,
    )
    _, truth = made(spec, dyads=1500, exchanges=1, spreads=chosen)
    for name, count in (("dyad", 1500), ("session", 3000)):
        cov = truth[f"{name}_cov"].values
        error = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / count)
        assert (np.abs(np.cov(truth[f"{name}_effects"].values.T) - cov) < 4 * error).all()
    at = {"dyad_effect": "disclosure ~ empathy", "dyad_effect2": "disclosure ~ 1"}
    assert float(truth["dyad_cov"].sel(at)) == pytest.approx(0.7 * 0.4 * 0.3)
    np.testing.assert_allclose(np.diag(truth["session_cov"]), 0.36)
    np.testing.assert_allclose(np.diag(truth["start_cov"]), 4.0)
    empathy = truth["latent"].sel(construct="empathy").values
    expected = 4 + 0.09 + 0.36
    assert abs(empathy.var() - expected) < 4 * expected * np.sqrt(2 / 1500)


def test_an_effect_without_spread_is_switched_off(spec):
    _, truth = made(spec, spreads=Spreads(dyad_sd={"disclosure ~ empathy": 0.0}))
    assert (truth["dyad_effects"].sel(dyad_effect="disclosure ~ empathy") == 0).all()
    assert (truth["dyad_effects"].sel(dyad_effect="disclosure ~ 1") != 0).all()


def test_covariates_come_back_with_one_value_for_each_unit(spec):
    binary = Covariate("binary", level="session", share=0.25)
    measures, _ = made(spec, dyads=40, covariates={"age": binary, "modality": MODALITY})
    frame = pd.DataFrame({name: measures[name].values for name in ("dyad", "session", "age", "modality")})
    by_session = frame.groupby(["dyad", "session"]).agg(["nunique", "first"])
    assert (by_session[[("age", "nunique"), ("modality", "nunique")]] == 1).all(axis=None)
    assert by_session["age", "first"].value_counts().to_dict() == {0.0: 60, 1.0: 20}
    assert sorted(by_session["modality", "first"].value_counts()) == [26, 27, 27]
    normal, _ = made(spec, dyads=100, exchanges=10, covariates={"age": "normal", "modality": MODALITY})
    age = normal["age"].values
    assert abs(age.mean()) < 4 / np.sqrt(len(age))
    assert abs(age.var() - 1) < 4 * np.sqrt(2 / len(age))


def test_errors_correlate_as_asked(spec):
    corr = np.array([[1, 0.6], [0.6, 1]])
    measures, truth = made(spec, dyads=100, exchanges=20, error_corr=corr)
    error = (measures["score"].values - 3 - 0.8 * truth["latent"].values) / measures["se"].values
    found = np.corrcoef(error.T)[0, 1]
    assert abs(found - 0.6) < 4 * (1 - 0.36) / np.sqrt(len(error))


def test_standard_errors_are_wrong_by_kappa_where_they_are_to_be(spec):
    measures, truth = made(spec, dyads=100, exchanges=20, kappa_sd={"empathy": 0.5}, random_seed=6)
    names = list(measures["construct"].values)
    kappa = truth["kappa"].values
    assert kappa[names.index("disclosure")] == 0
    assert abs(kappa[names.index("empathy")]) > 0.1
    np.testing.assert_array_equal(measures["kappa_sd"], [0.5 * (name == "empathy") for name in names])
    error = (measures["score"].values - 3 - 0.8 * truth["latent"].values) / measures["se"].values
    expected = np.exp(kappa)
    assert (np.abs(error.var(axis=0) - expected) < 4 * expected * np.sqrt(2 / len(error))).all()


def test_kappa_has_the_spread_that_the_measures_tell():
    """Of 50 small studies with six constructs."""
    spec = bd.load_model("chen2026")
    size = {"dyads": 2, "sessions": 1, "exchanges": 1}
    kappa = np.concatenate(
        [bd.simulate(spec, kappa_sd=0.4, random_seed=seed, **size)[1]["kappa"].values for seed in range(50)]
    )
    assert abs(kappa.std() - 0.4) < 4 * 0.4 / np.sqrt(2 * 300)
    assert abs(kappa.mean()) < 4 * 0.4 / np.sqrt(300)


BAD = {
    "no dyads": ({"dyads": 0}, ("dyads is 0", "whole number")),
    "a list of lengths": ({"exchanges": [15, 25]}, ("[15, 25]", "Observed")),
    "a range upside down": ({"exchanges": (9, 3)}, ("(9, 3)", "low, high")),
    "no observed lengths": ({"sessions": Observed([])}, ("sessions", "observed counts")),
    "an observed length of 0": ({"exchanges": Observed([3, 0])}, ("exchanges", "from 1 up")),
    "too narrow": ({"exchanges": NegativeBinomial(20, 2)}, ("SD 2", "4.36")),
    "a mean below the least": ({"exchanges": NegativeBinomial(1, 2)}, ("not above the least",)),
    "all missing": ({"missing": 1.0}, ("missing of", "[0, 1)")),
    "an unknown construct": ({"missing": {"empaty": 0.1}}, ("empaty", "Did you mean 'empathy'")),
    "no exchange left": ({"missing_exchanges": 1}, ("missing_exchanges is 1",)),
    "a negative kappa_sd": ({"kappa_sd": -1}, ("kappa_sd", "[0, inf)")),
    "errors of another shape": ({"error_corr": np.eye(3)}, ("(3, 3)", "Give (2, 2)")),
    "errors that are no correlations": ({"error_corr": 2 * np.eye(2)}, ("symmetric",)),
    "errors that cannot be": ({"error_corr": np.ones((2, 2))}, ("not positive definite",)),
    "an unknown residual": (
        {"spreads": Spreads(residual_sd={"disclosur": 1})},
        ("disclosur", "Did you mean 'disclosure'"),
    ),
    "an unknown effect": (
        {"spreads": Spreads(dyad_sd={"disclosure ~ empaty": 1})},
        ("dyad_sd", "'disclosure ~ empathy'"),
    ),
    "no residual": ({"spreads": Spreads(residual_sd=0.0)}, ("residual_sd", "above 0")),
    "a negative spread": ({"spreads": Spreads(session_sd=-0.1)}, ("session_sd", "Give 0")),
    "a correlation of 1": ({"spreads": Spreads(dyad_corr=1.0)}, ("dyad_corr is 1", "-1 and 1")),
    "correlations that cannot be": ({"spreads": Spreads(dyad_corr=-0.9)}, ("dyad_corr", "hold together")),
    "no pair": ({"spreads": Spreads(dyad_corr={("a",): 0.2})}, ("Name two different",)),
    "more levels than dyads": (
        {"covariates": {"age": AGE, "modality": Covariate(MODALITY.law, "dyad")}, "dyads": 2},
        ("3 levels", "2 dyads"),
    ),
    "an unknown covariate": (
        {"covariates": {"agee": AGE, "age": AGE, "modality": MODALITY}},
        ("'agee'", "Did you mean 'age'"),
    ),
    "an unknown law": ({"covariates": {"age": "normall", "modality": MODALITY}}, ("normall", "binary")),
    "an unknown level": (
        {"covariates": {"age": Covariate(level="client"), "modality": MODALITY}},
        ("client", "session"),
    ),
    "a share of 1": (
        {"covariates": {"age": Covariate("binary", share=1.0), "modality": MODALITY}},
        ("share of covariate age",),
    ),
    "one level": ({"covariates": {"age": AGE, "modality": Covariate(("online",))}}, ("fewer than two",)),
    "phase": ({"covariates": {"age": AGE, "modality": MODALITY, "phase": "normal"}}, ("built in",)),
    "a contrast that is not described": ({"covariates": {"age": AGE}}, ("modality[online]", "covariates={")),
    "a level that is not in the model's contrasts": (
        {"covariates": {"age": AGE, "modality": Covariate(("in person", "online"))}},
        ("phone",),
    ),
    "a party that is a covariate": (
        {"covariates": {"age": AGE, "modality": MODALITY, "empathy": "normal"}},
        ("'empathy' is a covariate",),
    ),
}


@pytest.mark.parametrize(("asked", "words"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_simulated_is_refused_with_a_remedy(spec, asked, words):
    with pytest.raises(InputError) as caught:
        made(spec, **asked)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_corpus_of_one_exchange_is_refused():
    with pytest.raises(InputError, match="no variance"):
        bd.simulate(bd.load_model("chen2026"), dyads=1, sessions=1, exchanges=1, random_seed=1)


def test_a_residual_correlation_that_the_model_fixes_is_refused():
    chosen = Spreads(residual_corr={("disclosure", "empathy"): 0.3})
    with pytest.raises(InputError, match="Write disclosure ~~ empathy"):
        bd.simulate(bd.load_model("chen2026"), spreads=chosen, random_seed=1)


def test_all_faults_are_told_at_once(spec):
    with pytest.raises(InputError) as caught:
        made(spec, dyads=0, exchanges=0, missing=2, kappa_sd=-1, reliability=0, truth={"x": 1})
    # Two constructs have each of the three numbers by construct.
    assert len(caught.value.faults) == 3 + 2 * 3
