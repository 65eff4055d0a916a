"""Runs of sweeps behind ``bd.fit``: names, interruption, stopping early, and what is refused."""

import json
import os
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import bayesdyn as bd
from bayesdyn.artefacts import write_dataset
from bayesdyn.engines.gibbs import convergence
from bayesdyn.engines.gibbs import draw as module
from bayesdyn.engines.gibbs.asked import BLOCK, Asked
from bayesdyn.engines.gibbs.block import run_block, start
from bayesdyn.engines.gibbs.sweep import Sweep
from bayesdyn.errors import DataWarning, EngineError
from bayesdyn.fitting import drawing
from bayesdyn.fitting.diagnostics import diagnose
from bayesdyn.fitting.fits import measures_of, spec_of
from bayesdyn.structure.problem import prepare
from gibbs_cases import GROUPS, MODEL
from joint_measures import rated_measures
from small_models import MODERATED, TINY

# Few dyads keep these fits quick; that a fit warns of them is tested in tests/fitting.
pytestmark = pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")

RUN = {"measurement": "known", "engine": "jax", "draws": 100, "tune": 100, "chains": 2, "random_seed": 3}


@pytest.fixture(scope="module")
def measures():
    return bd.simulate(bd.load_model(MODERATED), dyads=6, sessions=1, exchanges=8, random_seed=2)[0]


@pytest.fixture(scope="module")
def whole(measures):
    return bd.fit(measures, bd.load_model(MODERATED), **RUN, latent_draws=6)


def same(one, other):
    for name, values in one["posterior"].data_vars.items():
        np.testing.assert_array_equal(values, other["posterior"][name], err_msg=str(name))


def named_alike(one, other):
    ours, reference = one["posterior"].to_dataset(), other["posterior"].to_dataset()
    assert set(ours.data_vars) == set(reference.data_vars)
    for name, values in reference.data_vars.items():
        assert ours[name].dims == values.dims
        for dim in values.dims[2:]:
            np.testing.assert_array_equal(ours[name][dim], values[dim])


def test_a_fit_of_sweeps_has_the_names_of_the_reference(measures, whole):
    theirs = bd.fit(
        measures, bd.load_model(MODERATED), measurement="known", draws=4, tune=4, chains=2, random_seed=1
    )
    named_alike(whole, theirs)
    assert whole.attrs["engine"] == "jax"
    assert "Gibbs" in whole.attrs["sampler"]
    on = {name: whole["sample_stats"].attrs[name] for name in ("device", "devices", "dtype")}
    assert on == {"device": "cpu", "devices": 1, "dtype": "float64"}
    assert whole["latent"]["latent"].shape == (6, 48, 3)
    # Latent empathy goes with its scores.
    latent = whole["latent"]["latent"].sel(construct="empathy").mean("sample")
    assert np.corrcoef(latent, whole["observed_data"]["score"].sel(construct="empathy"))[0, 1] > 0.5
    stuck = whole["sample_stats"].to_dataset().copy(deep=True)
    stuck["acceptance"].loc[{"move": "start", "chain": 1}] = 0.0
    told = " ".join(diagnose(xr.DataTree.from_dict({**whole.to_dict(), "/sample_stats": stuck})).problems)
    assert "accepts the moves of start at 0.00" in told
    assert "rejects 100% of the moves of start" in told
    verdict = diagnose(whole)
    assert np.isnan(verdict.bfmi)
    assert verdict.ess_bulk > 0
    assert len(bd.summary(whole)) == 4 + 3


def test_a_run_that_is_cut_off_goes_on_to_the_same_draws(measures, whole, tmp_path, monkeypatch):
    spec, folder = bd.load_model(MODERATED), tmp_path / "run"
    advance, calls = module._Run._advance, []

    def killed(self, *given):
        calls.append(1)
        if len(calls) % 4 == 0:
            raise KeyboardInterrupt
        return advance(self, *given)

    monkeypatch.setattr(module._Run, "_advance", killed)
    for _ in range(3):
        try:
            fit = bd.fit(measures, spec, **RUN, latent_draws=6, resume=folder)
            break
        except KeyboardInterrupt:
            continue
    assert len(calls) > 4
    same(whole, fit)
    np.testing.assert_array_equal(whole["latent"]["latent"], fit["latent"]["latent"])
    for name in ("mean", "sd"):
        np.testing.assert_array_equal(whole["latent_summary"][name], fit["latent_summary"][name])
    # What is done is not done again.
    before = len(calls)
    same(whole, bd.fit(measures, spec, **RUN, latent_draws=6, resume=folder))
    assert len(calls) == before
    other = {**RUN, "random_seed": 4}
    with pytest.raises(EngineError, match="another random_seed"):
        bd.fit(measures, spec, **other, latent_draws=6, resume=folder)
    moved = measures.assign(score=measures["score"] + 0.1)
    with pytest.raises(EngineError, match="another measures"):
        bd.fit(moved, spec, **RUN, latent_draws=6, resume=folder)
    with pytest.raises(EngineError, match="another length of a block"):
        bd.fit(measures, spec, **{**RUN, "draws": 30}, latent_draws=6, resume=folder)
    block = folder / "draws-000001.npz"
    kept = block.read_bytes()
    block.write_bytes(kept[:200])
    with pytest.raises(EngineError, match=r"draws-000001\.npz is damaged"):
        bd.fit(measures, spec, **RUN, latent_draws=6, resume=folder)
    block.write_bytes(kept)
    state = folder / "state.npz"
    state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(EngineError, match="damaged"):
        bd.fit(measures, spec, **RUN, latent_draws=6, resume=folder)


def test_latent_scores_are_summed_up_over_every_draw(measures):
    every = {**RUN, "draws": 20, "latent_draws": 40}
    fit = bd.fit(measures, bd.load_model(MODERATED), **every)
    draws, told = fit["latent"]["latent"], fit["latent_summary"]
    assert draws.sizes["sample"] == 40
    np.testing.assert_allclose(told["mean"], draws.mean("sample"), atol=1e-5)
    np.testing.assert_allclose(told["sd"], draws.std("sample"), atol=1e-5)
    assert (told["sd"] > 0).all()


def test_a_fit_of_ratings_has_the_names_of_the_reference_and_goes_on(tmp_path, monkeypatch):
    spec, measures = rated_measures()
    run = RUN | {"measurement": "joint"}
    theirs = bd.fit(measures, spec, measurement="joint", draws=4, tune=4, chains=2, random_seed=1)
    ours = bd.fit(measures, spec, **run)
    named_alike(ours, theirs)
    assert float(np.abs(ours["posterior"]["kappa"]).max()) == 0
    # A rater without a part stays what the reference says of it; the others move.
    coder = {"rater": "coder", "construct": "disclosure"}
    for name, value in (("severity", 0), ("discrimination", 1), ("error_sd", 0), ("shared", 0)):
        assert (ours["posterior"][name].sel(coder) == value).all()
    assert (ours["posterior"]["error_sd"].sel(rater="llm1").std("draw") > 0).all()
    advance, calls = module._Run._advance, []

    def killed(self, *given):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return advance(self, *given)

    monkeypatch.setattr(module._Run, "_advance", killed)
    with pytest.raises(KeyboardInterrupt):
        bd.fit(measures, spec, **run, resume=tmp_path)
    same(ours, bd.fit(measures, spec, **run, resume=tmp_path))
    assert len(calls) == 5
    with pytest.raises(EngineError, match="another measures"):
        bd.fit(measures.assign(rating=measures["rating"] + 0.1), spec, **run, resume=tmp_path)


def program(measures, spec, measurement):
    """Return the program of a block of sweeps, before it is compiled."""
    with jax.enable_x64(True):
        sweep = Sweep(prepare(measures, spec, measurement))
        state, rows = start(sweep, 3, 0), sweep.rows()
        given = None if sweep.states.moved else sweep.sums(sweep.columns(state.states), rows)
        return jax.jit(partial(run_block, sweep, 2)).lower(jnp.array(True), state, rows, given).as_text()


def test_a_compiled_program_holds_no_rating():
    """They are kept on disk: other ratings of the same exchanges give the same program."""
    spec, measures = rated_measures()
    rng = np.random.default_rng(1)
    moved = {
        name: measures[name] + rng.uniform(0.0, 0.5, measures[name].shape)
        for name in ("rating", "rating_q", "rating_noise", "score", "se")
    }
    given = measures.assign(shift=("construct", [3.0, 3.0]), scale=("construct", [0.8, 0.8]))
    assert program(given, spec, "joint") == program(given.assign(moved), spec, "joint")


def test_one_program_serves_whatever_is_correlated_grouped_and_centred():
    """Patterns of what is rated together, covariates, means over dyads, and who is in which group."""
    texts = []
    for seed in (2, 3):
        spec = bd.load_model(
            MODEL.format(
                "grand", GROUPS.replace("lag(emotion) + mean", "lag(emotion) + lag(emotion, 2) + mean")
            )
        )
        measures, _ = bd.simulate(
            spec, dyads=4, sessions=2, exchanges=6, missing=0.3, kappa_sd=0.1 * seed, random_seed=seed,
            error_corr=(1 - 0.1 * seed) * np.eye(4) + 0.1 * seed, covariates={"age": "normal"},
        )  # fmt: skip
        measures["room"] = ("exchange", np.where(measures["session"].values == "1", "front", "back"))
        of_dyad = measures["dyad"].values == np.unique(measures["dyad"].values)[seed]
        measures["therapist"] = ("exchange", np.where(of_dyad, "Ann", "Bea"))
        texts.append(program(measures, spec, "known"))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("measurement", ["known", "none"])
def test_one_program_serves_studies_of_one_shape(measurement):
    """Other scores, other errors, sessions of other lengths, in another order, and the longest is longer.

    Where scores are taken as they are, rapport has no law: what is observed of it is no part of a program.
    """
    spec = bd.load_model(MODERATED.replace("(1 | dyad)", "(1 | dyad) + (1 | session)"))
    whole, _ = bd.simulate(spec, dyads=6, sessions=2, exchanges=90, random_seed=2)
    other, _ = bd.simulate(spec, dyads=6, sessions=2, exchanges=90, kappa_sd=0.3, random_seed=3)
    whole["kappa_sd"] = other["kappa_sd"] * 0.5
    lengths = np.array([89, 31, 60, 31, 85, 40, 31, 50, 70, 31, 31, 66])
    kept = [
        np.concatenate([np.arange(90) < length for length in given])
        for given in (lengths, np.roll(lengths, 5) + (np.roll(lengths, 5) == 89))
    ]
    first, second = (
        study.isel(exchange=np.flatnonzero(at)) for study, at in zip((whole, other), kept, strict=True)
    )
    if measurement == "known":
        second["score"][:9] = np.nan
    assert first.sizes["exchange"] == second.sizes["exchange"] - 1
    assert program(first, spec, measurement) == program(second, spec, measurement)


def test_a_run_stops_when_it_has_what_was_asked(measures):
    many = {**RUN, "draws": 400}
    fit = bd.fit(measures, bd.load_model(MODERATED), **many, until={"ess": 2, "rhat": 5})
    assert fit["posterior"].sizes["draw"] == BLOCK
    assert json.loads(fit.attrs["settings"])["draws"] == BLOCK


def test_a_warm_up_ends_when_the_chains_have_met(measures, tmp_path, monkeypatch):
    spec = bd.load_model(MODERATED)
    run = {**RUN, "tune": 400, "draws": 50}
    one = bd.fit(measures, spec, **run, until={"ess": 2, "rhat": 5}, resume=tmp_path / "one")
    warmed = len(list((tmp_path / "one").glob("warm-up-*.npz")))
    assert 150 // BLOCK <= warmed < 400 // BLOCK
    # Where chains stay apart, all of it is done.
    monkeypatch.setattr(convergence, "_SETTLED", 0.0)
    bd.fit(measures, spec, **run, until={"ess": 2, "rhat": 5}, resume=tmp_path / "two")
    assert len(list((tmp_path / "two").glob("warm-up-*.npz"))) == 400 // BLOCK
    monkeypatch.undo()
    # A run that is cut off in the warm-up ends it where it would have.
    advance, calls = module._Run._advance, []

    def killed(self, *given):
        calls.append(1)
        if len(calls) == warmed:
            raise KeyboardInterrupt
        return advance(self, *given)

    monkeypatch.setattr(module._Run, "_advance", killed)
    again = {"until": {"ess": 2, "rhat": 5}, "resume": tmp_path / "three"}
    with pytest.raises(KeyboardInterrupt):
        bd.fit(measures, spec, **run, **again)
    same(one, bd.fit(measures, spec, **run, **again))
    assert len(list((tmp_path / "three").glob("warm-up-*.npz"))) == warmed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"until": {"ess": 400}}, "until is not for engine 'pymc'"),
        ({"resume": "somewhere"}, "resume is not for engine 'pymc'"),
        ({"device": "gpu"}, "device 'gpu' is not for engine 'pymc'"),
        ({"engine": "jax", "device": "tpu"}, "device 'tpu' is unknown"),
        ({"engine": "jax", "until": {"rhat": 0.9}}, "rhat 0.9"),
        ({"engine": "jax", "until": {"iterations": 5}}, "'iterations'"),
        ({"engine": "jax", "measurement": "propagated", "until": {"ess": 400}}, "dealt among imputations"),
        ({"engine": "jax", "sampler": "numpyro"}, "sampler 'numpyro'"),
        ({"engine": "jax", "chains": 1, "until": {"ess": 400}}, "one chain"),
        ({"engine": "jax", "resume": __file__}, "it is no folder"),
    ],
)
def test_what_is_refused(measures, given, said):
    with pytest.raises(EngineError, match=said):
        bd.fit(measures, bd.load_model(MODERATED), random_seed=1, **given)


def test_a_gpu_that_is_not_there_is_told(measures, tmp_path):
    """In a process that JAX lets see the processor only, so that it holds on a machine with a GPU too."""
    write_dataset(measures, tmp_path / "measures.nc", "measures")
    (tmp_path / "small.toml").write_text(MODERATED)
    asked = [
        "fit",
        "measures.nc",
        "--spec",
        "small.toml",
        "--engine",
        "jax",
        "--device",
        "gpu",
        "--random-seed",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "from bayesdyn.cli.app import main; main()", *asked], cwd=tmp_path, text=True,
        capture_output=True, check=False, env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "JAX sees no gpu here" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "fit.nc").exists()


def test_a_run_that_memory_cannot_hold_is_refused(measures, monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda: 1000.0)
    with pytest.raises(EngineError, match=r"needs about \d+\.\d GiB of memory, and 0\.0 are free"):
        bd.fit(measures, bd.load_model(MODERATED), **RUN)


def test_auto_takes_the_sweeps_for_many_exchanges_and_says_where_it_cannot(measures, monkeypatch):
    monkeypatch.setattr(drawing, "MANY", 40)
    auto = {**RUN, "engine": "auto"}
    assert bd.fit(measures, bd.load_model(MODERATED), **auto).attrs["engine"] == "jax"
    wide = bd.load_model(MODERATED.replace("lag(disclosure)", "lag(disclosure)\nsigma ~ (1 | dyad)"))
    with pytest.warns(DataWarning, match=r"sweeps cannot do residual SDs that vary \(sigma\)"):
        fit = bd.fit(measures, wide, measurement="known", draws=4, tune=4, chains=2, random_seed=1)
    assert fit.attrs["engine"] == "pymc"
    assert any("sweeps cannot do" in note for note in json.loads(fit.attrs["notes"]))


def test_what_sweeps_drew_is_refitted_by_sweeps(whole, monkeypatch):
    """One program for all with error, which draws what a program of each own would."""
    monkeypatch.setattr("bayesdyn.engines.pymc_engine.compile_problem", lambda *_: pytest.fail("not asked"))
    compiled, programs = module._Run._compiled, []
    monkeypatch.setattr(module._Run, "_compiled", lambda self: programs.append(1) or compiled(self))
    told, few = [], {"draws": 60, "tune": 60, "chains": 2}
    found = bd.sensitivity(whole, factors=(0, 0.5, 1, 2), **few, progress=told.append)
    assert told == ["no error (scores as they are)", "error variance x 0.5", "error variance x 2"]
    assert len(programs) == 2
    spec, scores = spec_of(whole), measures_of(whole)
    doubled = prepare(scores, spec, "known", error_factor=2.0)
    own = {
        0.0: bd.fit(scores, spec, **RUN | few | {"measurement": "none"}),
        2.0: module.draw_gibbs(doubled, Asked(**few, random_seed=RUN["random_seed"])),
    }
    for factor, tree in own.items():
        paths = tree["posterior"]["path"].mean(("chain", "draw")).values
        refit = found.paths.loc[found.paths["factor"] == factor, "mean"]
        np.testing.assert_allclose(refit, paths[: len(refit)], rtol=1e-9)


def test_chains_of_one_program_draw_as_chains_on_cores_of_their_own(measures, monkeypatch):
    """What other devices do; a few sweeps, in which rounding does not grow to other choices."""
    few = RUN | {"draws": 4, "tune": 4}
    apart = bd.fit(measures, bd.load_model(MODERATED), **few)
    monkeypatch.setattr(module, "device_in_use", lambda: SimpleNamespace(platform="another"))
    together = bd.fit(measures, bd.load_model(MODERATED), **few)
    for name, values in apart["posterior"].data_vars.items():
        np.testing.assert_allclose(together["posterior"][name], values, rtol=1e-6, atol=1e-8, err_msg=name)


def test_chains_of_one_program_learn_the_metrics_of_chains_apart(measures):
    """Eleven sweeps of warm-up, the last of which looks at the curvature."""
    both_ways_learn_alike(Sweep(prepare(measures, bd.load_model(TINY), "known")))


def test_facts_that_one_program_looks_at_first_serve_another(measures):
    model = Sweep(prepare(measures, bd.load_model(TINY), "known")).model

    def times(count):
        return jax.lax.scan(lambda so_far, _: (so_far + model.facts.rated[0], None), 0.0, None, length=count)[
            0
        ]

    once, twice = (jax.jit(times, static_argnums=0)(count) for count in (1, 2))
    np.testing.assert_array_equal(twice, 2 * once)


def test_covariances_of_many_groups_learn_a_metric():
    """A hundred sessions of fifty exchanges tell of one variance; a session less is too little."""
    spec = bd.load_model("[model]\nname = 'many'\npaths = 'disclosure ~ lag(disclosure) + (1 | session)'\n")
    measures, _ = bd.simulate(spec, dyads=50, sessions=2, exchanges=51, random_seed=2)
    sweep = Sweep(prepare(measures, spec, "known"))
    assert "session scaled" in sweep.begin_metric()
    both_ways_learn_alike(sweep)
    few = measures.isel(exchange=slice(51, None))
    assert len(few["exchange"]) > 5000
    assert "session scaled" not in Sweep(prepare(few, spec, "known")).begin_metric()
    short = measures.isel(exchange=(measures["t"] < 49).values)
    assert "session scaled" not in Sweep(prepare(short, spec, "known")).begin_metric()


def both_ways_learn_alike(sweep):
    jax.config.update("jax_enable_x64", True)
    states, rows = [start(sweep, 3, chain) for chain in range(2)], sweep.rows()
    warm = jnp.array(True)
    both = jax.tree.map(lambda *chains: jnp.stack(chains), *states)
    together, _, _ = jax.jit(partial(run_block, sweep, 11, together=True))(warm, both, rows, None)
    alone = jax.jit(partial(run_block, sweep, 11))
    for chain, state in enumerate(states):
        apart, _, _ = alone(warm, state, rows, None)
        for name, metric in apart.steps.metric.items():
            assert not np.allclose(metric, state.steps.metric[name], rtol=0.1), "there was no look"
            found = together.steps.metric[name][chain]
            np.testing.assert_allclose(found, metric, rtol=1e-6, atol=1e-6 * np.abs(metric).max())
