"""Whose NUTS draws does not matter: nutpie, NumPyro and BlackJAX agree, in what they find and in its form."""

import importlib.util
import re

import arviz as az
import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.engines.jax_chains import Asked, Record, sample_chains
from bayesdyn.engines.jax_density import JaxDensity
from bayesdyn.errors import EngineError
from bayesdyn.fitting.diagnostics import diagnose

# Few dyads keep these fits quick; that a fit warns of them is tested in tests/fitting.
pytestmark = pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")

MODEL = """
[model]
name = "one outcome"
centering = "none"
paths = '''
disclosure ~ phase + lag(disclosure)
disclosure ~ (1 | dyad)
'''
[constructs]
client = ["disclosure"]
"""
ASKED = {"draws": 500, "tune": 300, "chains": 2, "random_seed": 4}
HAS_BLACKJAX = importlib.util.find_spec("blackjax") is not None
OTHERS = [
    "numpyro",
    pytest.param(
        "blackjax", marks=pytest.mark.skipif(not HAS_BLACKJAX, reason="the extra blackjax is not installed")
    ),
]


@pytest.fixture(scope="module")
def studied():
    spec = bd.load_model(MODEL)
    return spec, bd.simulate(spec, dyads=8, sessions=1, exchanges=4, reliability=0.7, random_seed=3)[0]


@pytest.fixture(scope="module")
def by_nutpie(studied):
    return bd.fit(studied[1], studied[0], **ASKED)


@pytest.mark.parametrize("sampler", OTHERS)
def test_samplers_agree(studied, by_nutpie, sampler):
    """Means and SDs of every parameter within 4 combined Monte Carlo standard errors, in the same form.

    About 20 numbers are compared for each sampler: were the errors normal, one test in 800 would fail by
    chance at 4, and at the fixed seed it does not.
    """
    fit = bd.fit(studied[1], studied[0], sampler=sampler, latent_draws=5, **ASKED)
    one, other = (tree["posterior"].to_dataset() for tree in (by_nutpie, fit))
    assert set(one.data_vars) == set(other.data_vars)
    assert set(one.coords) == set(other.coords)
    for name in one.data_vars:
        assert one[name].dims == other[name].dims
        assert one[name].shape == other[name].shape
        assert other[name].dtype == np.float64
    for name in ("path", "level_mean", "residual_cov", "start_cov", "dyad_cov"):
        for method, of in (("mean", np.mean), ("sd", np.std)):
            errors = [az.mcse(draws[name], method=method) for draws in (one, other)]
            gap = of(one[name].values, axis=(0, 1)) - of(other[name].values, axis=(0, 1))
            bound = 4 * np.sqrt(np.square(errors[0].values) + np.square(errors[1].values))
            assert (np.abs(gap) <= bound).all(), (name, method, gap, bound)
    written = {"numpyro": "NumPyro", "blackjax": "BlackJAX"}[sampler]
    assert re.fullmatch(rf"{written} \d+\.\d+\S* NUTS", fit.attrs["sampler"])
    assert fit["latent"]["latent"].sizes["sample"] == 5
    assert np.isfinite(diagnose(fit).bfmi)
    stats = fit["sample_stats"].to_dataset()
    assert set(stats.data_vars) == set(by_nutpie["sample_stats"].data_vars)
    # A trajectory of depth d has between 2^(d - 1) and 2^d - 1 steps.
    assert (stats["n_steps"] < 2 ** stats["depth"]).all()
    assert (2 * stats["n_steps"] >= 2 ** stats["depth"]).all()


def nuts_of(sampler, density, asked):
    if sampler == "numpyro":
        from bayesdyn.engines.numpyro_nuts import NumpyroNuts

        return NumpyroNuts(density, asked)
    from bayesdyn.engines.blackjax_nuts import BlackjaxNuts

    return BlackjaxNuts(density, asked)


@pytest.mark.parametrize("sampler", OTHERS)
def test_a_seed_gives_its_draws_and_the_draws_their_density(sampler):
    """N(3, 1/2) from data that are not those the density was built with; bounds of 4 standard errors."""
    density, shift = line(dead=False), {"shift": np.full(1, 3.0)}

    def drawn(seed):
        asked = Asked(draws=800, tune=200, chains=2, random_seed=seed, target_accept=0.8)
        return sample_chains(nuts_of(sampler, density, asked), density, shift, asked)[0]

    x = drawn(1)["x"]
    assert abs(float(x.mean()) - 3) < 4 * float(az.mcse(x))
    assert abs(float(x.std()) - np.sqrt(0.5)) < 4 * float(az.mcse(x, method="sd"))
    np.testing.assert_array_equal(drawn(1)["x"].values, x.values)
    assert not np.isclose(x.values[0], x.values[1]).all()


def test_a_sampler_that_is_absent_is_told_before_anything_is_compiled(studied, monkeypatch):
    monkeypatch.setattr("bayesdyn.fitting.asked.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=re.escape('Run pip install "bayesdyn[blackjax]"')):
        bd.fit(studied[1], studied[0], sampler="blackjax", **ASKED)


def test_settings_that_cannot_be_are_told_together(studied):
    with pytest.raises(EngineError) as told:
        bd.fit(studied[1], studied[0], sampler="stan", engine="brms", **ASKED)
    assert "sampler 'stan' is unknown. Use one of nutpie, numpyro, blackjax" in str(told.value)
    assert "engine 'brms' is unknown" in str(told.value)
    with pytest.raises(EngineError, match="NumPyro draws on JAX, not on numba"):
        bd.fit(studied[1], studied[0], sampler="numpyro", backend="numba", **ASKED)


class Counting:
    """A sampler that moves one to the right at every step, and diverges at every tenth."""

    steps_of_warmup = 30

    def begin(self, key, point, *data):
        return point, 0

    def step(self, state, *data):
        point, at = state
        record = Record(point + 1, (at + 1) % 10 == 0, point[0], 1 + 0 * at, 0.5 + 0 * point[0])
        return (point + 1, at + 1), record


def line(dead: bool) -> JaxDensity:
    """A density over one value x and one datum; ``dead`` is 0 everywhere."""
    import jax.numpy as jnp

    return JaxDensity(
        log_density=lambda point, shift: jnp.where(dead, -jnp.inf, -jnp.sum((point - shift) ** 2)),
        expansion=lambda point: (point[0], jnp.stack([point[0], -point[0]])),
        density_data=("shift",),
        expansion_data=(),
        start=np.zeros(1),
        names=("x", "both"),
        shapes=((), (2,)),
        dims={"both": ("side",)},
        coords={"side": ("left", "right")},
        data={},
    )


def test_chains_keep_every_step_after_the_warm_up(capfd):
    """130 steps are three blocks, of which the last is not full; the first 30 are warm-up."""
    asked = Asked(draws=100, tune=30, chains=3, random_seed=1, target_accept=0.9, tell_every=1e-9, cores=1)
    posterior, stats = sample_chains(Counting(), line(dead=False), {"shift": np.zeros(1)}, asked)
    x = posterior["x"].values
    assert posterior["both"].dims == ("chain", "draw", "side")
    np.testing.assert_array_equal(posterior["both"].values, np.stack([x, -x], axis=-1))
    np.testing.assert_allclose(np.diff(x, axis=1), 1.0)
    # The first kept draw is 31 steps from a start within 1 of 0, another for each chain.
    assert (np.abs(x[:, 0] - 31) < 1).all()
    assert len(set(x[:, 0])) == 3
    assert stats["diverging"].values.sum() == 3 * 10
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "50 of 390 draws, 2 diverged"
    assert lines[-1] == "390 of 390 draws, 30 diverged"


def test_a_density_that_is_nought_everywhere_is_told():
    asked = Asked(draws=1, tune=1, chains=1, random_seed=1, target_accept=0.9)
    with pytest.raises(EngineError, match="the density is 0 at 100 starting points"):
        sample_chains(Counting(), line(dead=True), {"shift": np.zeros(1)}, asked)
