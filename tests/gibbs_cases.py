"""Problems that the blocks of the Gibbs sweeps are held to the reference engine's density on."""

import numpy as np

import bayesdyn as bd
from bayesdyn.structure.problem import prepare
from joint_measures import rated_measures

MODEL = """
[model]
name = "small"
centering = "{}"
paths = '''
{}
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure", "emotion"]
dyad = ["rapport"]
"""
# Effects of dyads, of groups of dyads, and of groups that parts of dyads are in.
GROUPS = """
disclosure ~ b*empathy + lag(rapport) + empathy:lag(rapport) + empathy:mean(rapport) + age:empathy
disclosure ~ lag(disclosure) + lag(emotion) + mean(empathy) + (1 + empathy + lag(emotion) | dyad)
rapport ~ b*empathy + lag(rapport) + (1 | dyad) + (1 | therapist)
empathy ~ lag(disclosure) + (1 | dyad) + (1 | therapist)
empathy + disclosure ~ (1 | session) + (1 | room)
disclosure ~~ empathy
"""
# Rapport and empathy have no law here: the centre is the mean of what was observed.
OBSERVED = """
disclosure ~ empathy + rapport + empathy:rapport + lag(disclosure) + (1 + empathy | dyad) + (1 | session)
emotion ~ disclosure*rapport + lag(emotion) + (1 + rapport | dyad)
"""
# Where a session has no exchange so far before, states are at its mean, covariates as at the first.
FAR = """
disclosure ~ empathy + lag(empathy, 2) + lag(disclosure) + lag(disclosure, 3) + lag(emotion, 2)
disclosure ~ lag(rapport, 2) + lag(empathy, 3):lag(rapport, 2) + age:lag(empathy, 2) + lag(age, 2)
disclosure ~ (1 + lag(emotion, 2) | dyad) + (1 | session)
emotion ~ lag(disclosure, 2) + lag(emotion) + empathy:lag(rapport, 3)
disclosure ~~ emotion
"""


def known_problem(model, measurement="known", missing=0.1, **study):
    spec = bd.load_model(model)
    size = len(spec.parties)
    measures, _ = bd.simulate(
        spec, dyads=4, sessions=2, exchanges=(5, 9), missing=missing, kappa_sd=0.2,
        error_corr=0.7 * np.eye(size) + 0.3, random_seed=3, **study,
    )  # fmt: skip
    if "room" in measures:
        # Sessions of one dyad are in different rooms, those of one therapist's dyads have one therapist.
        measures["room"] = ("exchange", np.where(measures["session"].values == "1", "front", "back"))
    return prepare(measures, spec, measurement)


def joint_problem():
    """A coder of some exchanges and three LLMs; token variance, replicates; a fifth of all cells unrated."""
    spec, measures = rated_measures()
    corr = np.array([[1.0, 0.4], [0.4, 1.0]])
    return prepare(measures.assign(error_corr=(("construct", "construct2"), corr)), spec, "joint")


MODELS = {
    "chen2026": lambda: known_problem("chen2026"),
    "chen2026_within": lambda: known_problem("chen2026_within"),
    "joint": joint_problem,
    "far": lambda: known_problem(MODEL.format("dyad", FAR), covariates={"age": "normal"}),
    "grand": lambda: known_problem(MODEL.format("grand", GROUPS), covariates={"age": "normal"}),
    "grand, observed": lambda: known_problem(MODEL.format("grand", OBSERVED), "none", 0.0),
}
