"""The equations within sessions as a recursion over the text of the terms: slow and obvious."""

import numpy as np


def causal_order(spec, constructs):
    """Return the constructs so that each comes after what moves it at the same exchange."""
    order = []
    while len(order) < len(constructs):
        for name in constructs:
            sources = {
                factor.name
                for path in spec.paths
                if path.outcome == name
                for factor in path.term.factors
                if factor.kind == "now" and factor.name in constructs
            }
            if name not in order and sources <= set(order):
                order.append(name)
    return order


def predicted(spec, path, name, now, past, covariates):
    """Return what the equation of ``name`` predicts; states are arrays by name, ``path`` numbers by name.

    ``past`` holds the states of earlier exchanges, the latest first.
    """
    total = 0.0
    for item in spec.paths:
        if item.outcome == name and not item.term.is_between:
            value = path[item.name]
            for factor in item.term.factors:
                if factor.name in covariates:
                    value = value * covariates[factor.name]
                else:
                    value = value * (past[factor.lag - 1] if factor.kind == "lag" else now)[factor.name]
            total = total + value
    return total


def run(spec, path, start, innovations, covariates):
    """Return the states at each exchange: innovations are one mapping by name for each exchange."""
    order, past, states = causal_order(spec, list(start)), [start] * spec.order, []
    for innovation in innovations:
        now = {}
        for name in order:
            now[name] = predicted(spec, path, name, now, past, covariates) + innovation[name]
        states.append(now)
        past = [now, *past[:-1]]
    return states


def innovations_that_hold(spec, path, state, covariates, count):
    """Return innovations under which the states stay where they are."""
    past = [state] * spec.order
    one = {name: state[name] - predicted(spec, path, name, state, past, covariates) for name in state}
    return [dict(one) for _ in range(count)]


def residual_cov(fit, constructs):
    """Return (N, C, C) the covariance of the residuals, by the names of its parts in a fit."""
    posterior = fit["posterior"].to_dataset()
    count = posterior.sizes["chain"] * posterior.sizes["draw"]
    found = np.zeros((count, len(constructs), len(constructs)))
    for variable, dim in (("residual_cov", "outcome"), ("predictor_cov", "predictor")):
        members = posterior[dim].values if variable in posterior else []
        for a in members:
            for b in members:
                value = posterior[variable].sel({dim: a, f"{dim}2": b}).values.ravel()
                found[:, constructs.index(str(a)), constructs.index(str(b))] = value
    return found
