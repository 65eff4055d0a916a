"""The density of design section 6, exchange by exchange, from the text of the terms: slow and obvious.

It shares no code with the engines beyond the spec and the arrays of the problem: factors are looked up by
name, products are multiplied one by one, and covariances go to scipy.
"""

import numpy as np
from scipy.stats import multivariate_normal


def log_density(problem, values) -> float:
    """Return log p(scores, latent states | everything else), all constants included.

    ``values`` maps the names of the PyMC model's deterministics to arrays (no chain, no draw).
    """
    spec, names, endogenous = problem.spec, list(problem.constructs), list(problem.endogenous)
    latent = values.get("latent", problem.score)
    by_dyad, by_session = levels(problem, values)
    coefficient = values["path"]
    # Given where exchanges are some of a larger problem: its usual time between exchanges counts.
    excess = values.get("excess")
    left = np.exp(-values.get("decay", 0.0) * (problem.excess if excess is None else excess))
    own = [names.index(name) for name in endogenous]
    total = 0.0
    for n in range(len(problem.t)):
        s = problem.session_of[n]
        deviation = latent[n, own] - by_session[s, own]
        wide = np.ones(len(own))
        for item in spec.varying:
            if item.spread:
                place = group_of(problem, item.group)[n]
                effect = values[f"{item.group}_effects"][
                    place, columns_of(spec, item.group).index(item.names[0])
                ]
                wide[endogenous.index(item.outcome)] *= np.exp(effect)
        scaled = np.outer(wide, wide)
        if problem.previous[n] < 0:
            total += multivariate_normal.logpdf(deviation, np.zeros(len(own)), scaled * values["start_cov"])
        else:
            predicted = np.zeros(len(own))
            for p, path in enumerate(spec.paths):
                if not path.term.is_between:
                    predicted[endogenous.index(path.outcome)] += coefficient[p] * product(
                        problem,
                        path.outcome,
                        path.term,
                        latent,
                        by_dyad,
                        by_session,
                        n,
                        left,
                    )
            for group in spec.groups:
                columns, place = columns_of(spec, group), group_of(problem, group)[n]
                for item in spec.varying:
                    for slope in item.slopes if item.group == group else ():
                        effect = values[f"{group}_effects"][place, columns.index(f"{item.outcome} ~ {slope}")]
                        term = product(
                            problem,
                            item.outcome,
                            slope,
                            latent,
                            by_dyad,
                            by_session,
                            n,
                            left,
                        )
                        predicted[endogenous.index(item.outcome)] += effect * term
            total += multivariate_normal.logpdf(
                deviation - predicted, np.zeros(len(own)), scaled * values["residual_cov"]
            )
        if problem.measurement != "none" and problem.rated[n].any():
            rated = np.flatnonzero(problem.rated[n])
            sd = problem.se[n, rated] * np.exp(values["kappa"][rated] / 2)
            error_cov = np.outer(sd, sd) * problem.error_corr[np.ix_(rated, rated)]
            total += multivariate_normal.logpdf(problem.score[n, rated], latent[n, rated], error_cov)
    return total


def group_of(problem, group):
    """Return each exchange's group as an index."""
    of = {"dyad": problem.dyad_of, "session": problem.session_of}
    return of[group] if group in of else problem.grouping(group).of


def columns_of(spec, group):
    """Return the names of a group's effects, in order."""
    return [name for item in spec.varying if item.group == group for name in item.names]


def levels(problem, values):
    """Return latent means by dyad and by session, with the paths between sessions added in written order."""
    spec, names, endogenous = problem.spec, list(problem.constructs), list(problem.endogenous)
    by_dyad = np.zeros((len(problem.dyads), len(names)))
    by_session = np.zeros((len(problem.sessions), len(names)))
    for c, name in enumerate(names):
        if name not in endogenous:
            for s in range(len(problem.sessions)):
                by_session[s, c] = problem.score[problem.session_of == s, c].mean()
            for d in range(len(problem.dyads)):
                by_dyad[d, c] = problem.score[problem.dyad_of == d, c].mean()
            continue
        by_dyad[:, c] = values["level_mean"][endogenous.index(name)]
        by_session[:, c] = values["level_mean"][endogenous.index(name)]
        for group in spec.groups:
            columns = columns_of(spec, group)
            if f"{name} ~ 1" not in columns:
                continue
            effect = values[f"{group}_effects"][:, columns.index(f"{name} ~ 1")]
            for s, n in zip(*np.unique(problem.session_of, return_index=True), strict=True):
                by_session[s, c] += effect[group_of(problem, group)[n]]
            for d in range(len(problem.dyads)):
                # A dyad's mean has what all its exchanges share.
                shared = np.unique(group_of(problem, group)[problem.dyad_of == d])
                if shared.size and all_nested(problem, group):
                    by_dyad[d, c] += effect[shared[0]]
    for p, path in enumerate(spec.paths):
        if path.term.is_between:
            for s, d in enumerate(problem.dyad_of_session):
                term = 1.0
                for factor in path.term.factors:
                    c = names.index(factor.name)
                    term *= by_dyad[d, c] if factor.level == "dyad" else by_session[s, c]
                by_session[s, names.index(path.outcome)] += values["path"][p] * term
    return by_dyad, by_session


def all_nested(problem, group):
    """Return whether every dyad is within one group; sessions never hold dyads."""
    of = group_of(problem, group)
    return group != "session" and all(
        len(np.unique(of[problem.dyad_of == d])) == 1 for d in np.unique(problem.dyad_of)
    )


def product(problem, outcome, term, latent, by_dyad, by_session, n, left):
    """Return one term at one exchange: the product of its factors, each centred as design section 5 says."""
    names, spec = list(problem.constructs), problem.spec
    s, d = problem.session_of[n], problem.dyad_of[n]
    value = 1.0
    for factor in term.factors:
        back = factor.lag if factor.kind == "lag" else 0
        first = int(np.flatnonzero(problem.session_of == s)[0])
        begun = first <= n - back
        if factor.name in problem.covariates:
            at = max(n - back, first)
            value *= problem.covariate[at, problem.covariates.index(factor.name)]
            continue
        c = names.index(factor.name)
        if factor.kind == "mean":
            value *= by_dyad[d, c] if factor.level == "dyad" else by_session[s, c]
            continue
        party = spec.party(factor.name)
        dynamic = factor.kind == "lag" and len(term.factors) == 1 and party in ("client", spec.party(outcome))
        centre = {
            "none": 0.0,
            "grand": by_dyad[:, c].mean(),
            "dyad": by_dyad[d, c],
            "session": by_session[s, c],
        }["session" if dynamic else spec.centring]
        state = latent[n - back, c] if begun else by_session[s, c]
        if back and problem.spec.time:
            state = by_session[s, c] + left[n, back - 1] * (state - by_session[s, c])
        value *= state - centre
    return value
