"""What both engines share: names of dims, bounds of covariances."""

import numpy as np

from bayesdyn.structure.free_paths import free_names
from bayesdyn.structure.language.blocks import residual_blocks
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.problem import Problem

LEAST_SD, LEAST_REST = 1e-4, 1e-8
"""SDs (standardised scale), and 1 - r^2 of partial correlations, that are excluded below.

No score could tell them from 0, and a precision of more than 1e8 leaves too few digits of a chain of states:
further down a wrong density is higher than any right one, and a chain that gets there in its warm-up stays
(docs/measured.md). The priors have about 1e-4 of their mass there.
"""


def coordinates(problem: Problem) -> dict[str, object]:
    """Return the coordinates of every named dimension of a fit."""
    endogenous = list(problem.endogenous)
    groups: dict[str, object] = {}
    for grouping in problem.groupings:
        effects = list(effect_names(problem.spec, grouping.name))
        groups[grouping.name] = list(grouping.labels)
        groups[f"{grouping.name}_effect"] = groups[f"{grouping.name}_effect2"] = effects
    blocks = enumerate(residual_blocks(problem.spec, problem.endogenous))
    return {
        **groups,
        **{f"residual_block_{number}": [endogenous[v] for v in block] for number, block in blocks},
        "free_path": free_names(problem.spec),
        "path_name": [path.name for path in problem.spec.paths],
        **({"rater": list(problem.rated_by.raters)} if problem.rated_by is not None else {}),
        "construct": list(problem.constructs),
        "endogenous": endogenous,
        "endogenous2": endogenous,
        "exchange": np.arange(len(problem.t)),
    }
