"""The two engines on the same small studies: means of paths within .1 posterior SD, SDs within 10 %.

Each option of the language that the sweeps take stands in at least one of the 15 models; of ratings the
raters' own errors are set side by side too. At an ESS of at
least 4,000 in each, the difference of two means has a Monte Carlo error of .022 SD, that of two SDs of 1.6 %:
the bounds are four and six of it. Larger differences are a wrong density, not chance.
"""

from dataclasses import dataclass, field

import arviz_stats
import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.structure.simulating.covariates import Covariate
from joint_measures import rated_measures
from small_models import MODERATED, TINY

# These studies have few dyads; that a fit warns of them is tested in tests/fitting.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")]

LEAST_ESS = 4000


PARTIES = {"empathy": "therapist", "disclosure": "client", "emotion": "client", "rapport": "dyad"}


def model(paths, centering="none"):
    """Return the text of a model of the constructs that its paths name."""
    named = {party: [name for name, of in PARTIES.items() if of == party and name in paths] for party in
             dict.fromkeys(PARTIES.values())}  # fmt: skip
    declared = "\n".join(f"{party} = {names}" for party, names in named.items() if names)
    return f"""
[model]
name = "small"
centering = "{centering}"
paths = '''
{paths}
'''
[constructs]
{declared}
"""


@dataclass(frozen=True)
class Case:
    """A model, the study that is simulated from it, and how it is fitted; with ``joint`` a rated study."""

    text: str
    study: dict[str, object] = field(default_factory=dict)
    fit: dict[str, object] = field(default_factory=lambda: {"measurement": "known", "kappa": False})


CASES = {
    "one outcome, as it is": Case(TINY, fit={"measurement": "none"}),
    "moderation, as it is": Case(MODERATED, fit={"measurement": "none"}),
    "one outcome, errors known": Case(TINY),
    "moderation, errors known": Case(MODERATED),
    "kappa, correlated errors, scores missing": Case(
        TINY,
        {"kappa_sd": 0.3, "error_corr": np.array([[1.0, 0.4], [0.4, 1.0]]), "missing": 0.15},
        {"measurement": "known"},
    ),
    "one reliability, gaps, sessions of unequal length": Case(
        TINY,
        {"missing_exchanges": 0.1, "exchanges": (5, 20), "dyads": 14},
        {"measurement": "two_stage", "kappa": False},
    ),
    "means of sessions, centred": Case(
        model(
            "disclosure ~ empathy + mean(empathy) + lag(disclosure)\ndisclosure ~ (1 | dyad) + (1 | session)",
            "session",
        ),
        {"sessions": 2, "exchanges": 10},
    ),
    "means of dyads, slopes that vary, centred by dyads": Case(
        model(
            "disclosure ~ empathy + mean(empathy, dyad) + lag(disclosure)\n"
            "disclosure ~ (1 + empathy | dyad)\nempathy ~ (1 | dyad)",
            "dyad",
        ),
        {"dyads": 15},
    ),
    "products of what is centred by grand means": Case(
        model(
            "disclosure ~ empathy + rapport + empathy:rapport + lag(disclosure)\n"
            "disclosure + empathy + rapport ~ (1 | dyad)",
            "grand",
        ),
        {"dyads": 15},
    ),
    "two outcomes that covary, the therapist's answers": Case(
        model(
            "disclosure ~ b*empathy + lag(disclosure) + lag(emotion)\n"
            "emotion ~ b*empathy + 0.2*lag(disclosure) + lag(emotion)\n"
            "empathy ~ lag(empathy) + lag(disclosure)\ndisclosure ~~ emotion"
        )
    ),
    "three-way product, covariates": Case(
        model("disclosure ~ empathy + rapport + empathy:rapport:age + age + place + lag(age)"),
        {"covariates": {"age": "normal", "place": Covariate(("home", "clinic", "online"))}},
    ),
    "rapport before, moderating": Case(
        model("disclosure ~ empathy + lag(empathy) + empathy:lag(rapport) + lag(rapport) + 0*rapport")
    ),
    "what was two exchanges ago": Case(
        model(
            "disclosure ~ empathy + lag(empathy, 2) + lag(disclosure) + lag(disclosure, 2) + lag(age, 2)",
            "session",
        ),
        {"covariates": {"age": "normal"}},
    ),
    "groups across dyads": Case(
        model("disclosure ~ empathy + lag(disclosure)\ndisclosure ~ (1 + empathy | therapist) + (1 | dyad)"),
        {"groups": {"therapist": 5}, "dyads": 15},
    ),
    "ratings of a coder and three LLMs": Case(TINY, fit={"measurement": "joint"}),
}


def rated_study():
    """A coder of a few exchanges and three LLMs, whose errors correlate between constructs."""
    corr = np.array([[1.0, 0.4], [0.4, 1.0]])
    return rated_measures(dyads=10)[1].assign(error_corr=(("construct", "construct2"), corr))


def draws_of(fit):
    posterior = fit["posterior"].to_dataset().transpose("chain", "draw", ...)
    paths = {str(n): posterior["path"].sel(path_name=n).values for n in posterior["path_name"].values}
    if "error_sd" in posterior:
        each = posterior["error_sd"].transpose("rater", "construct", ...)
        for rater in each:
            for one in rater:
                paths[f"error_sd[{one.rater.item()}, {one.construct.item()}]"] = one.values
    # A number that the model fixes is no path to compare; its SD need not be 0 to the last digit.
    return {name: values for name, values in paths.items() if np.ptp(values) > 0}


@pytest.mark.parametrize("case", CASES)
def test_the_engines_agree(case):
    asked, given = CASES[case], CASES[case].fit
    spec = bd.load_model(asked.text)
    study = {"dyads": 10, "sessions": 1, "exchanges": 15, "reliability": 0.8, **asked.study}
    measures = (
        rated_study() if given["measurement"] == "joint" else bd.simulate(spec, **study, random_seed=5)[0]
    )
    theirs = draws_of(bd.fit(measures, spec, **given, draws=3000, tune=700, chains=4, random_seed=6))
    ours = draws_of(
        bd.fit(
            measures, spec, **given, engine="jax", draws=60_000, tune=1000, chains=4, random_seed=7,
            until={"ess": 1.05 * LEAST_ESS, "rhat": 1.01},
        )
    )  # fmt: skip
    rows = {
        name: {
            "apart": (ours[name].mean() - theirs[name].mean()) / theirs[name].std(),
            "ratio": ours[name].std() / theirs[name].std(),
            "ess": float(arviz_stats.ess(ours[name])), "their_ess": float(arviz_stats.ess(theirs[name])),
        }
        for name in theirs
    }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index")
    print(case, next(iter(ours.values())).shape, table.round(3).to_string(), sep="\n")
    assert set(ours) == set(theirs)
    assert (table[["ess", "their_ess"]] >= LEAST_ESS).all(axis=None)
    assert (table["apart"].abs() < 0.1).all()
    assert np.allclose(table["ratio"], 1, atol=0.1)
