"""What a study is beside its exchanges: who belongs where, and how scores are measured.

These are arguments of a program, as the exchanges are, and not its constants: so a compiled program holds
nothing of a study, and serves all studies of one model and one shape.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesdyn.structure.problem import Problem, observed_means


class Facts[T](NamedTuple):
    """A study of S sessions and C constructs.

    Attributes
    ----------
    group
        (S,) group of each session by kind of group, of those that something varies by.
    dyad
        (S,) dyad of each session.
    session_mean, dyad_mean
        (S, C) what was observed of constructs without a law: means of each session, and of its dyad; else 0.
    dyad_share
        (S,) weight of each session in a mean over dyads.
    dyads_in
        (groups,) share of the dyads that is in each group, by kind of group that dyads are in.
    kappa_sd
        (C,) prior SD of kappa.
    inverse_corr
        (patterns, C, C) inverses of the errors' correlation among the constructs that are rated together;
        none where errors do not correlate.
    rated, later
        (C,) how many scores of each construct there are, and how many exchanges have one before them.
    """

    group: dict[str, T]
    dyad: T
    session_mean: T
    dyad_mean: T
    dyad_share: T
    dyads_in: dict[str, T]
    kappa_sd: T
    inverse_corr: T
    rated: T
    later: T


def facts_of(problem: Problem) -> Facts[np.ndarray]:
    """Return the facts of a problem."""
    dyad = problem.dyad_of_session
    lawless = np.array([name not in problem.endogenous for name in problem.constructs])
    by_session = observed_means(problem, problem.session_of, len(problem.sessions))
    by_dyad = observed_means(problem, problem.dyad_of, len(problem.dyads))
    groupings = {name: problem.grouping(name) for name in problem.spec.groups}
    return Facts(
        group={name: one.of_session for name, one in groupings.items()},
        dyad=dyad,
        # Not times 0, which would leave the signs of means, as those of zeros.
        session_mean=np.where(lawless, by_session, 0.0),
        dyad_mean=np.where(lawless, by_dyad, 0.0)[dyad],
        dyad_share=1 / np.bincount(dyad)[dyad] / len(problem.dyads),
        dyads_in={
            name: np.bincount(one.of_dyad, minlength=len(one.labels)) / len(one.of_dyad)
            for name, one in groupings.items()
            if one.of_dyad is not None
        },
        kappa_sd=problem.kappa_sd,
        inverse_corr=rated_patterns(problem)[0] if errors_correlate(problem) else np.zeros((0, 0, 0)),
        rated=problem.rated.sum(axis=0).astype(float),
        later=np.array(len(problem.later), dtype=float),
    )


def errors_correlate(problem: Problem) -> bool:
    """Return whether scores have errors that correlate across constructs."""
    return problem.measurement != "none" and not np.array_equal(
        problem.error_corr, np.eye(len(problem.constructs))
    )


def rated_patterns(problem: Problem) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return inverses (patterns, C, C) of the errors' correlation among the rated, and which (N,).

    The patterns are filled up to a power of two, so that few numbers of them occur.
    """
    patterns, pattern = np.unique(problem.rated, axis=0, return_inverse=True)
    size = len(problem.constructs)
    inverses = np.zeros((1 << (len(patterns) - 1).bit_length(), size, size))
    for inverse, rated in zip(inverses, patterns, strict=False):
        kept = np.ix_(np.flatnonzero(rated), np.flatnonzero(rated))
        inverse[kept] = np.linalg.inv(problem.error_corr[kept])
    return inverses, pattern.ravel()
