"""Fits of drawn numbers for effects: every quantity varies over draws, and covariances are covariances."""

import numpy as np
import xarray as xr

import bayesdyn as bd
from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.structure.problem import prepare
from truths import whole_residual_cov

MEDIATED = """
[model]
name = "mediated"
centering = "session"
paths = '''
rapport       ~ er*empathy + lag(rapport) + lag(disclosure)
disclosure    ~ de*empathy + dr*rapport + empathy:rapport + empathy:phase + empathy:rapport:phase
                + lag(disclosure) + lag(empathy) + phase + mean(empathy)
self_negative ~ se*empathy + sd*disclosure + rapport:disclosure + lag(self_negative) + lag(rapport):empathy
disclosure + self_negative + rapport ~ (1 + empathy | dyad) + (1 | session)
disclosure ~~ self_negative
gap := de - se
'''
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
client = ["disclosure", "self_negative"]
"""
LINEAR = (
    MEDIATED.replace("+ empathy:rapport + empathy:phase + empathy:rapport:phase", "")
    .replace("+ rapport:disclosure", "")
    .replace("lag(rapport):empathy", "lag(rapport)")
)
"""The same without products."""


def drawn_fit(model=MEDIATED, measurement="known", draws=60, chains=2, seed=11, spread=0.08, truth=None):
    """Return a fit whose draws are independent of each other, about a simulated truth."""
    spec = bd.load_model(model)
    measures, true = bd.simulate(
        spec, dyads=4, sessions=2, exchanges=8, reliability=0.8, truth=truth, random_seed=seed
    )
    problem = prepare(measures, spec, measurement)
    rng = np.random.default_rng(seed)
    shape, own = (chains, draws), list(problem.endogenous)
    paths = [path.name for path in problem.spec.paths]
    centre = true["path"].sel(path_name=paths).values
    free = np.array([path.fixed is None for path in problem.spec.paths])
    path = centre + spread * free * rng.standard_normal((*shape, len(paths)))
    labels = {item.label: paths.index(item.name) for item in reversed(problem.spec.paths) if item.label}
    for place, item in enumerate(problem.spec.paths):
        if item.label:
            path[..., place] = path[..., labels[item.label]]

    def cov(matrix):
        factor = np.linalg.cholesky(matrix)
        noisy = factor * (1 + 0.1 * rng.standard_normal((*shape, *factor.shape)))
        return noisy @ np.swapaxes(noisy, -1, -2)

    # Correlations of the residuals are .2 where the model frees them; the scales differ by construct.
    scales = np.linspace(0.5, 1.0, len(own))
    residual = whole_residual_cov(true).sel(endogenous=own, endogenous2=own).values * np.outer(scales, scales)
    values = {
        "path": (("path_name",), path),
        "residual_cov": (("endogenous", "endogenous2"), cov(residual)),
        "start_cov": (("endogenous", "endogenous2"), cov(residual)),
        "level_mean": (("endogenous",), 0.1 * rng.standard_normal((*shape, len(own)))),
    }
    for group, labels_of in (("dyad", problem.dyads), ("session", problem.sessions)):
        if f"{group}_effects" not in true:
            continue
        names = [str(name) for name in true[f"{group}_effect"].values]
        kept = [name for name in names if name.split(" ~ ")[0] in own]
        if not kept:
            continue
        at = [names.index(name) for name in kept]
        matrix = true[f"{group}_cov"].values[np.ix_(at, at)]
        values[f"{group}_cov"] = ((f"{group}_effect", f"{group}_effect2"), cov(matrix))
        place = 0.15 * rng.standard_normal((len(labels_of), len(kept)))
        noise = 0.1 * rng.standard_normal((*shape, len(labels_of), len(kept)))
        values[f"{group}_effects"] = ((group, f"{group}_effect"), place + noise)
    coords = {
        "path_name": paths,
        "endogenous": own,
        "endogenous2": own,
        "dyad": list(problem.dyads),
        "session": list(problem.sessions),
    }
    for group in ("dyad", "session"):
        if f"{group}_effects" not in true:
            continue
        kept = [str(name) for name in true[f"{group}_effect"].values if str(name).split(" ~ ")[0] in own]
        coords |= {f"{group}_effect": kept, f"{group}_effect2": kept}
    used = {dim for dims, _ in values.values() for dim in dims}
    posterior = xr.Dataset(
        {name: (("chain", "draw", *dims), value) for name, (dims, value) in values.items()},
        coords={"chain": np.arange(chains), "draw": np.arange(draws)}
        | {name: value for name, value in coords.items() if name in used},
    )
    tree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": xr.Dataset()})
    return assemble(tree, problem, measures, Settings(draws, draws, chains, seed))


def draws_of(fit):
    """Return each path's draws by name, (N,)."""
    path = fit["posterior"].to_dataset()["path"]
    return {str(name): path.sel(path_name=name).values.ravel() for name in path["path_name"].values}


def band_of(draws, ci_prob=0.95):
    """Return what a table says of draws."""
    tail = (1 - ci_prob) / 2
    return [draws.mean(), draws.std(ddof=1), *np.quantile(draws, [tail, 1 - tail]), (draws > 0).mean()]


COLUMNS = ["mean", "sd", "lower", "upper", "prob_positive"]
