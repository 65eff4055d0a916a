"""Sessions dealt to several devices: who gets which, and that sweeps on four are those on one."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.engines.gibbs import draw
from bayesdyn.engines.gibbs.block import start
from bayesdyn.engines.gibbs.lanes import lay
from bayesdyn.engines.gibbs.packing import pack
from bayesdyn.engines.gibbs.places import Dealt
from bayesdyn.engines.gibbs.shards import dealt
from bayesdyn.engines.gibbs.shifts import Shifts
from bayesdyn.engines.gibbs.sweep import Sweep
from bayesdyn.errors import EngineError
from bayesdyn.structure.problem import prepare
from gibbs_cases import FAR, MODEL
from on_four_devices import FOUR, LENGTHS, study
from small_models import TINY

pytestmark = pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")
HELPER = Path(__file__).parents[1] / "on_four_devices.py"


@pytest.fixture(scope="module")
def problem():
    measures, spec = study()
    return prepare(measures, spec, "known")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    done = subprocess.run(
        [sys.executable, HELPER, folder / "run"], capture_output=True, text=True, check=False,
        timeout=600, env=os.environ | FOUR | {"BAYESDYN_CACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("shards", [1, 2, 4, 7, 20])
def test_every_session_is_whole_in_one_shard_and_keeps_what_it_is(problem, shards):
    """Twenty shards are more than there are sessions: some stay empty."""
    renumbered, how = dealt(problem, shards)
    assert how == Dealt(shards, -(-len(LENGTHS) // shards))
    lanes, packing = lay(renumbered.session_of, how), pack(renumbered.session_of, how)
    of_exchange = np.array(renumbered.sessions)[renumbered.session_of]
    np.testing.assert_array_equal(of_exchange, np.array(problem.sessions)[problem.session_of])
    of_dyad = renumbered.dyad_of_session[renumbered.session_of]
    np.testing.assert_array_equal(of_dyad, problem.dyad_of)
    for ours, theirs in zip(renumbered.groupings, problem.groupings, strict=True):
        np.testing.assert_array_equal(ours.of_session[renumbered.session_of], theirs.of)
    # Every exchange stands once, at its place, in a lane of its session's shard.
    shard = renumbered.session_of // how.each
    wide = lanes.filled.shape[1] // shards
    np.testing.assert_array_equal(np.sort(lanes.exchange[lanes.filled]), np.arange(len(problem.t)))
    np.testing.assert_array_equal(lanes.exchange.ravel()[lanes.place], np.arange(len(problem.t)))
    np.testing.assert_array_equal(lanes.place % lanes.filled.shape[1] // wide, shard)
    first = lanes.exchange[lanes.first]
    np.testing.assert_array_equal(renumbered.session_of[first], np.arange(len(LENGTHS)))
    assert (problem.previous[first] < 0).all()
    # So it does in the chunks, whose sessions are in order.
    chunks = len(packing.session) // shards
    np.testing.assert_array_equal(np.sort(packing.exchange[packing.filled]), np.arange(len(problem.t)))
    at, _ = np.nonzero(packing.filled)
    np.testing.assert_array_equal(shard[packing.exchange[packing.filled]], at // chunks)
    assert (np.diff(packing.session) >= 0).all()


def by_exchange(sweep):
    """Return what the sweeps know of each exchange, by name, exchanges last."""
    rows, lanes = sweep.rows(), sweep.lanes
    names = ("covariate", "begun", "later", "score", "precision", "rated")
    found = {name: getattr(rows, name) for name in names}
    found["dyad"] = rows.places.spread(rows.facts.dyad)
    found["mean"] = rows.places.spread(rows.facts.session_mean[:, 0])
    found["errors"] = jnp.moveaxis(rows.facts.inverse_corr[rows.places.pattern], (2, 3), (0, 1))
    whole = {
        name: np.broadcast_to(one, (*one.shape[:-2], *lanes.filled.shape)) for name, one in found.items()
    }
    return {name: one.reshape(*one.shape[:-2], -1)[..., lanes.place] for name, one in whole.items()}


def test_what_is_known_of_an_exchange_stays_wherever_its_session_is():
    spec = bd.load_model(MODEL.format("session", FAR))
    given = {"covariates": {"age": "normal"}, "missing": 0.2, "error_corr": 0.7 * np.eye(4) + 0.3}
    measures, _ = bd.simulate(spec, dyads=6, sessions=2, exchanges=(4, 9), random_seed=2, **given)
    problem = prepare(measures, spec, "known")
    with jax.enable_x64(True):
        one = by_exchange(Sweep(problem))
        for shards in (2, 4, 5):
            renumbered, how = dealt(problem, shards)
            np.testing.assert_array_equal(renumbered.position, problem.position)
            for name, values in by_exchange(Sweep(renumbered, "float64", how)).items():
                np.testing.assert_array_equal(values, one[name], err_msg=name)


def test_shifts_leave_latent_means_where_sessions_are_renumbered():
    """Effects of sessions stand in the order of their labels, sessions in that of the shards."""
    spec = bd.load_model(TINY.replace("lag(disclosure)", "lag(disclosure) + (1 | dyad) + (1 | session)"))
    measures, _ = bd.simulate(spec, dyads=5, sessions=3, exchanges=4, random_seed=2)
    jax.config.update("jax_enable_x64", True)
    renumbered, how = dealt(prepare(measures, spec, "known"), 4)
    sweep = Sweep(renumbered, "float64", how)
    unknowns, model = start(sweep, 3, 0).unknowns, sweep.model
    rng = np.random.default_rng(1)
    effects = {name: jnp.asarray(rng.standard_normal(one.shape)) for name, one in unknowns.effects.items()}
    unknowns = unknowns._replace(effects=effects)
    inverses = {name: jnp.eye(one.shape[1]) for name, one in effects.items()}
    moved = Shifts(model).down(jax.random.key(0), unknowns, inverses)
    before, after = (
        model.levels(model.path(at.free), at.level_mean, at.effects)["session"] for at in (unknowns, moved)
    )
    assert np.any(np.diff(model.facts.group["session"]) < 0)
    assert not np.allclose(moved.effects["dyad"], unknowns.effects["dyad"])
    np.testing.assert_allclose(after, before, atol=1e-12)


def test_shards_are_nearly_even(problem):
    rng = np.random.default_rng(1)
    length = rng.integers(2, 60, 1000)
    many = replace(
        problem,
        session_of=np.repeat(np.arange(1000), length),
        sessions=tuple(map(str, range(1000))),
        dyad_of_session=np.zeros(1000, dtype=int),
        groupings=(),
    )
    renumbered, how = dealt(many, 8)
    load = np.bincount(renumbered.session_of // how.each)
    assert len(load) == 8
    assert load.max() - load.min() < 60


def test_sweeps_on_four_devices_are_those_on_one(found):
    far = {name: far for name, far in found["far"].items() if not far < 1e-8}
    assert not far
    assert len(found["far"]) > 20


def test_where_no_state_is_drawn_four_devices_draw_as_one_in_its_own_layout(found):
    """Covariates, lags of two, effects of dyads and sessions: numbers of sessions differ between the two."""
    assert {"path", "dyad_effects", "session_effects"} <= set(found["unlike"])
    far = {name: far for name, far in found["unlike"].items() if not far < 1e-6}
    assert not far


def test_no_device_holds_the_lanes_of_another(found):
    chains, constructs, steps, lanes = found["states"]
    assert lanes % 4 == 0
    assert found["by_device"] == [[chains, constructs, steps, lanes // 4]] * 4


def test_nothing_as_long_as_the_exchanges_crosses_between_devices(found):
    """What crosses is by group or less: none of its dimensions is as long as steps."""
    assert {name for name, _ in found["crossing"]} <= {"all-reduce", "all-gather"}
    groups = -(-len(LENGTHS) // 4) * 4
    assert max(size for _, shape in found["crossing"] for size in shape) <= groups < max(LENGTHS)


def test_a_fit_on_four_devices_goes_on_and_refuses_more(found):
    assert found["same"]
    first, again = found["compiled"]
    assert again < 0.01 < first, "what is done is not done again"
    # Latent scores come back in the order of the exchanges.
    assert found["correlation"] > 0.5
    assert "JAX sees 4 of kind cpu here" in found["refused"]["5"]
    assert "another number of devices" in found["refused"]["2"]


def test_draws_are_kept_by_the_host_and_states_by_the_device(monkeypatch):
    measures, spec = study()
    monkeypatch.setattr(draw, "device_in_use", lambda: SimpleNamespace(platform="another"))
    for memory in ("free_memory", "free_on_host"):
        monkeypatch.setattr(draw, memory, lambda: 1000.0)
    with pytest.raises(
        EngineError, match=r"GiB of the device's memory, and 0\.0.*\n.*GiB of memory, and 0\.0"
    ):
        bd.fit(measures, spec, measurement="none", engine="jax", draws=4, tune=4, chains=1, random_seed=1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": "pymc", "devices": 2}, "devices 2 is not for engine 'pymc'"),
        ({"engine": "jax", "devices": 0}, "devices is 0"),
    ],
)
def test_what_is_refused(given, said):
    measures, spec = study()
    with pytest.raises(EngineError, match=said):
        bd.fit(measures, spec, random_seed=1, **given)
