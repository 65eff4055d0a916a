"""The log prior of draws: the terms of the PyMC model, and an LKJ density that is normalised."""

import re

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy.integrate import quad

import bayesdyn as bd
from bayesdyn.engines.pymc_engine import is_of_fit
from bayesdyn.engines.pymc_model import build
from bayesdyn.errors import InputError
from bayesdyn.fitting.log_priors import log_lkj
from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.structure.problem import prepare

MODEL = """
[model]
name = "priors"
time = "minutes"
paths = '''
disclosure ~ e*empathy + rapport + lag(disclosure) + lag(disclosure, 2) + 0.2*phase
self_negative ~ e*empathy + lag(self_negative) + lag(disclosure)
disclosure + self_negative ~ (1 + empathy | dyad)
disclosure ~ (1 | session)
disclosure ~~ self_negative
'''
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
client = ["disclosure", "self_negative"]
[priors]
e = "normal(0.1, 0.3)"
"disclosure ~ rapport" = "normal(-0.1, 0.2)"
correlation = "lkj(3)"
level_sd = "half_normal(0.4)"
"""
DRAWS = 3


@pytest.fixture(scope="module")
def model():
    spec = bd.load_model(MODEL)
    measures, _ = bd.simulate(spec, dyads=4, sessions=2, exchanges=5, reliability=0.8, random_seed=1)
    measures["kappa_sd"] = ("construct", [0.0, 0.2, 0.3, 0.4])
    problem = prepare(measures, spec)
    return measures, problem, build(problem)


@pytest.fixture(scope="module")
def drawn(model):
    """Return a fit of three points of the model's own space, and the log density of its variables there."""
    measures, problem, built = model
    names = [str(one.name) for one in (*built.deterministics, *built.free_RVs) if is_of_fit(str(one.name))]
    expand = built.compile_fn(
        built.replace_rvs_by_values([built[name] for name in names]), inputs=built.value_vars,
        mode="FAST_COMPILE", on_unused_input="ignore",
    )  # fmt: skip
    density = built.compile_logp(vars=built.free_RVs, jacobian=False, sum=False, mode="FAST_COMPILE")
    start, rng = built.initial_point(), np.random.default_rng(5)
    points = [{k: v + 0.3 * rng.standard_normal(np.shape(v)) for k, v in start.items()} for _ in range(DRAWS)]
    values = [dict(zip(names, expand(point), strict=True)) for point in points]
    dims = {name: built.named_vars_to_dims.get(name, ()) for name in names}
    posterior = xr.Dataset(
        {
            name: (("chain", "draw", *dims[name]), np.stack([value[name] for value in values])[None])
            for name in names
        },
        coords={dim: list(built.coords[dim]) for dim in {dim for found in dims.values() for dim in found}},
    ).assign_coords(chain=[0], draw=np.arange(DRAWS))
    tree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": xr.Dataset()})
    fit = assemble(tree, problem, measures, Settings(4, 4, 1, 1))
    terms = [
        dict(zip([str(v.name) for v in built.free_RVs], density(point), strict=True)) for point in points
    ]
    return fit, points, terms


def test_every_class_is_the_sum_of_the_models_own_terms(model, drawn):
    _, problem, built = model
    fit, _, terms = drawn
    found = bd.log_prior(fit).isel(chain=0)
    assert found.sizes == {"draw": DRAWS}
    free = list(built.coords["free_path"])
    own = {"disclosure ~ lag(disclosure)", "self_negative ~ lag(self_negative)", "empathy ~ lag(empathy)",
           "rapport ~ lag(rapport)"}  # fmt: skip
    cross, far = {"self_negative ~ lag(disclosure)"}, {"disclosure ~ lag(disclosure, 2)"}
    of = {"lag_own": own, "lag_cross": cross, "lag_far": far, "path": set(free) - own - cross - far}
    assert "e" in of["path"]
    assert own | cross | far < set(free)
    for k, term in enumerate(terms):
        at = found.isel(draw=k)
        for name, members in of.items():
            expected = sum(term["path_free"][free.index(member)] for member in members)
            assert float(at[name]) == pytest.approx(expected), name
        assert float(at["mean"]) == pytest.approx(term["level_mean"].sum())
        blocks = [value.sum() for name, value in term.items() if re.match(r"residual_factor_\d+_sd", name)]
        assert len(blocks) == 2
        assert float(at["residual_sd"]) == pytest.approx(sum(blocks))
        assert float(at["start_sd"]) == pytest.approx(term["start_factor_sd"].sum())
        levels = term["dyad_factor_sd"].sum() + term["session_factor_sd"].sum()
        assert float(at["level_sd"]) == pytest.approx(levels)
        assert float(at["decay"]) == pytest.approx(float(term["decay"]))
        # kappa = kappa_sd kappa_raw; that of a known error variance is a constant 0.
        uncertain = problem.kappa_sd > 0
        expected = (term["kappa_raw"][uncertain] - np.log(problem.kappa_sd[uncertain])).sum()
        assert float(at["kappa"]) == pytest.approx(expected)
    rest = {"mean", "residual_sd", "start_sd", "level_sd", "correlation", "decay", "kappa"}
    assert set(found.data_vars) == {*of, *rest}


def test_correlations_are_those_of_each_block_start_and_group(drawn):
    fit, points, _ = drawn
    found = bd.log_prior(fit)["correlation"].isel(chain=0).values
    for k, point in enumerate(points):
        total = 0.0
        for name, partial in point.items():
            if name.endswith("_partial"):
                size = round((1 + np.sqrt(1 + 8 * len(partial))) / 2)
                corr = correlation(np.tanh(partial), size)
                total += float(log_lkj(corr, 3.0))
        assert found[k] == pytest.approx(total)


def correlation(partial, size):
    """Return the correlation matrix of canonical partial correlations, written out column by column."""
    factor = np.eye(size)
    for row, column, value in zip(*np.tril_indices(size, -1), partial, strict=True):
        factor[row, column] = value * np.sqrt(1 - np.sum(factor[row, :column] ** 2))
    for row in range(size):
        factor[row, row] = np.sqrt(1 - np.sum(factor[row, :row] ** 2))
    return factor @ factor.T


def test_lkj_is_normalised_and_that_of_pymc():
    def of_two(r):
        return float(np.exp(log_lkj(np.array([[1.0, r], [r, 1.0]]), 2.5)))

    assert quad(of_two, -1, 1)[0] == pytest.approx(1.0)
    corr = correlation(np.array([0.3, -0.4, 0.2, 0.1, 0.5, -0.2]), 4)
    # PyMC's value is the Cholesky factor: its density has the Jacobian, L_ii to the n - i, i from 1.
    factor = np.linalg.cholesky(corr)
    theirs = float(pm.logp(pm.LKJCorr.dist(n=4, eta=2.0), factor).eval(mode="FAST_COMPILE"))
    jacobian = np.sum(np.arange(3, -1, -1) * np.log(np.diag(factor)))
    assert float(log_lkj(corr, 2.0)) == pytest.approx(theirs - jacobian)


@pytest.mark.parametrize(
    ("measurement", "words"), [("joint", "kept in another form"), ("propagated", "no prior times likelihood")]
)
def test_a_fit_without_a_prior_to_scale_is_refused(drawn, measurement, words):
    fit = drawn[0].copy()
    fit.attrs["measurement"] = measurement
    with pytest.raises(InputError, match=f'{words}.*Ask a fit with measurement="known"'):
        bd.log_prior(fit)


@pytest.mark.slow
def test_the_example_of_the_docs_tells_prior_sensitivity(root, capsys):
    page = (root / "docs" / "checking.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "psense" in block]
    code, count = re.subn("draws=400", "draws=100", code)
    assert count == 1
    exec(compile(code, "checking.md", "exec"), found := {})
    table = found["table"]
    assert np.isfinite(table[["prior", "likelihood"]].to_numpy()).all()
    assert "path[disclosure ~ empathy]" in capsys.readouterr().out
    assert (table["likelihood"] > 0).all()
