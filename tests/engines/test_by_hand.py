"""The PyMC model as it is handed out: that of ``bd.fit``, named, and open to terms of the user's own."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymc.sampling.jax import get_jaxified_logp
from scipy import stats

import bayesdyn as bd
from bayesdyn.errors import InputError

MODEL = """
[model]
name = "small"
paths = '''
disclosure ~ e*empathy + empathy:rapport + lag(disclosure) + 0.2*phase
self_negative ~ e*empathy + lag(self_negative)
disclosure + self_negative ~ (1 + empathy | dyad)
disclosure ~~ self_negative
'''
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
client = ["disclosure", "self_negative"]
"""


@pytest.fixture(scope="module")
def studied():
    spec = bd.load_model(MODEL)
    return bd.simulate(spec, dyads=4, sessions=1, exchanges=4, reliability=0.8, random_seed=1)[0], spec


def test_every_free_variable_with_a_fixed_meaning_has_named_dims(studied):
    model = bd.build_pymc(*studied)
    dims = {variable.name: model.named_vars_to_dims.get(variable.name) for variable in model.free_RVs}
    assert [name for name, found in dims.items() if not found] == []
    start = model.initial_point()
    shapes = {variable.name: np.shape(start[value.name]) for variable, value in model.rvs_to_values.items()}
    for name, found in dims.items():
        assert shapes[name] == tuple(len(model.coords[dim]) for dim in found), name
    assert model.coords["free_path"][:2] == ("e", "disclosure ~ empathy:rapport")
    assert "disclosure ~ phase" not in model.coords["free_path"]
    assert model.coords["residual_block_1"] == ("disclosure", "self_negative")
    assert model.coords["residual_factor_1_pair"] == ("self_negative, disclosure",)


def test_integrated_it_has_the_same_hyperparameters_and_names(studied):
    whole, integrated = bd.build_pymc(*studied), bd.build_pymc(*studied, integrated=True)
    names = [variable.name for variable in whole.free_RVs if variable.name != "latent_raw"]
    found = [variable.name for variable in integrated.free_RVs]
    (noise,) = [name for name in found if name.endswith("_noise")]
    assert [name for name in found if name != noise] == names
    assert integrated.named_vars_to_dims[noise] == ("exchange",)
    assert "latent" not in integrated.named_vars


def test_it_takes_scores_as_the_model_file_says(studied):
    measures, _ = studied
    spec = bd.load_model(MODEL.replace('name = "small"', 'name = "small"\nmeasurement = "none"'))
    assert "kappa" not in bd.build_pymc(measures, spec).named_vars
    assert "kappa" in bd.build_pymc(measures, spec, measurement="known").named_vars


def test_what_cannot_be_one_model_is_refused(studied):
    with pytest.raises(InputError, match=r"'propagated', one model .+ known or joint"):
        bd.build_pymc(*studied, measurement="propagated")
    with pytest.raises(InputError, match="no states to integrate out"):
        bd.build_pymc(*studied, measurement="none", integrated=True)


def log_density(model, point):
    with jax.enable_x64(True):
        found = get_jaxified_logp(model)([jnp.asarray(point[value.name]) for value in model.value_vars])
    return float(found)


def example(root) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "pymc.md").read_text("utf-8"), re.S)
    return code


def test_the_example_of_the_docs_adds_what_it_says_to_the_density(root):
    head, drawing = example(root).split("    drawn = pm.sample(")
    assert 'nuts_sampler="numpyro"' in drawing
    found: dict = {}
    exec(compile(head, "pymc.md", "exec"), found)
    model, own = found["model"], bd.build_pymc(found["measures"], found["spec"], integrated=True)
    dyads = list(model.coords["dyad"])
    raw = np.random.default_rng(4).normal(size=(len(dyads), len(model.coords["dyad_effect"])))
    at = model.initial_point() | {"path_free": np.array([0.4, 0.3, 0.1, 0.2]), "slope": np.array(0.7)}
    at["dyad_raw"], at["sd_log__"] = raw, np.array(np.log(0.8))
    assert at["path_free"].shape == model.initial_point()["path_free"].shape
    assert model.coords["free_path"][0] == "de"
    shared = {name: at[name] for name in own.initial_point()}
    change = log_density(model, at) - log_density(own, shared)
    # The factor at the initial point: SDs as they start there, no correlation.
    sd = np.exp(at["dyad_factor_sd_log__"])
    effect = list(model.coords["dyad_effect"]).index("disclosure ~ 1")
    added = stats.t.logpdf(0.4, 3, scale=0.3) + stats.norm.logpdf(0.7, 0.0, 0.5)
    added += stats.halfnorm.logpdf(0.8) + np.log(0.8)  # and the Jacobian of the log scale
    added += stats.norm.logpdf(found["improved"], 0.7 * sd[effect] * raw[:, effect], 0.8).sum()
    assert change == pytest.approx(added, abs=1e-8)


@pytest.mark.slow
def test_the_example_of_the_docs_draws(root, capsys):
    code, count = re.subn("(draws|tune)=500", r"\1=20", example(root))
    assert count == 2
    exec(compile(code, "pymc.md", "exec"), found := {})
    assert np.isfinite(float(capsys.readouterr().out.split()[-1]))
    assert found["drawn"]["posterior"]["dyad_effects"].dims == ("chain", "draw", "dyad", "dyad_effect")
