"""Small models that use every option of the language at least once, for tests of the engines."""

import numpy as np

import bayesdyn as bd
from bayesdyn.structure.problem import Problem, prepare

SMALL = """
[model]
name = "small"
centering = "{centring}"
paths = \"\"\"
disclosure    ~ a*empathy + rapport + empathy:rapport + lag(disclosure) + lag(self_negative) + phase{between}
self_negative ~ a*empathy + 0.2*rapport + lag(self_negative) + lag(rapport){more}
disclosure + self_negative ~ (1 + empathy | dyad) + (1 | session)
{residuals}
empathy ~ 0*lag(disclosure)
\"\"\"
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
client = ["disclosure", "self_negative"]
"""
CASES = {
    "none centred, observed": ("none", "", "", "disclosure ~~ self_negative", "none", 0.0),
    "session means": ("session", " + mean(empathy)", " + mean(rapport, dyad)", "", "known", 0.0),
    "session means, observed": (
        "session",
        " + mean(empathy)",
        "",
        "disclosure ~~ self_negative",
        "none",
        0.0,
    ),
    "dyad centred, unrated": ("dyad", " + empathy:mean(rapport)", "", "", "known", 0.2),
    "grand centred": ("grand", "", " + lag(empathy):rapport", "disclosure ~~ self_negative", "known", 0.0),
    "observed with unrated": ("none", "", "", "", "none", 0.2),
    "two lags": (
        "session",
        " + lag(disclosure, 2) + lag(phase, 2)",
        " + lag(empathy, 2):rapport + lag(self_negative, 2)",
        "",
        "known",
        0.1,
    ),
    "time": ("none", "", " + lag(self_negative, 2)", "", "known", 0.0),
    "groups and spreads": (
        "dyad",
        "",
        "",
        "disclosure ~ (1 + rapport | therapist) + (1 | room)\n"
        "sigma ~ (1 | dyad)\nsigma(rapport) ~ (1 | room)",
        "known",
        0.0,
    ),
    "groups and spreads, observed": (
        "grand",
        "",
        " + lag(disclosure, 3)",
        "self_negative ~ (1 | therapist)\nsigma(disclosure) ~ (1 | session)",
        "none",
        0.0,
    ),
}


def make_problem(case: str) -> Problem:
    """Return simulated data of the case, with a gap and with errors that correlate .3, as a problem."""
    centring, between, more, residuals, measurement, missing = CASES[case]
    text = SMALL.format(centring=centring, between=between, more=more, residuals=residuals)
    spec = bd.load_model(text.replace("paths =", 'time = "minutes"\npaths =') if case == "time" else text)
    size = 4
    corr = 0.7 * np.eye(size) + 0.3
    measures, _ = bd.simulate(
        spec, dyads=3, sessions=2, exchanges=(3, 5), error_corr=corr, missing=missing, random_seed=5
    )
    measures["kappa_sd"] = ("construct", np.full(size, 0.3))
    if "room" in measures:
        # Sessions of one dyad are in different rooms, those of one therapist's dyads have one therapist.
        measures["room"] = (
            "exchange",
            ["front" if label == "1" else "back" for label in measures["session"].values],
        )
    # A gap: the fourth exchange of the first session is not there at all.
    return prepare(
        measures.isel(exchange=[i for i in range(measures.sizes["exchange"]) if i != 1]), spec, measurement
    )
