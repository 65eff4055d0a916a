"""The models that come with the package: what each says, and that each can be prepared and built."""

from dataclasses import replace

import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.engines.pymc_model import build
from bayesdyn.errors import DataWarning, InputError
from bayesdyn.presets import preset_names
from bayesdyn.structure.language.model_file import to_text
from bayesdyn.structure.problem import measurement_of, prepare
from bayesdyn.structure.quantities import label_values

NEW = ("chen2026_dynamic", "chen2026_naive", "mediation")
CLIENT = ("disclosure", "self_negative", "outward_negative")


def test_these_models_come_with_the_package():
    assert {"chen2026", "chen2026_disclosure", "chen2026_within", *NEW} == set(
        preset_names("models", ".toml")
    )


def test_naive_is_the_papers_model_but_for_its_measurement():
    paper, naive = bd.load_model("chen2026"), bd.load_model("chen2026_naive")
    assert (paper.measurement, naive.measurement) == ("", "none")
    assert replace(naive, name="chen2026", measurement="") == paper


def test_dynamic_has_every_lag_of_the_therapist_under_a_label():
    spec = bd.load_model("chen2026_dynamic")
    for outcome in ("empathy", "exploration"):
        own = {str(path.term): path.label for path in spec.paths if path.outcome == outcome}
        assert set(own) == {f"lag({name})" for name in ("empathy", "exploration", *CLIENT)}
        assert all(own.values())
    assert [str(path.term) for path in spec.paths if path.outcome == "rapport"] == ["lag(rapport)"]
    measures, _ = bd.simulate(spec, dyads=3, sessions=2, exchanges=5, random_seed=1)
    # All is written: the laws of noisy predictors have nothing to add.
    assert prepare(measures, spec).spec.paths == spec.paths
    assert {claim.name for claim in spec.claims}.isdisjoint(
        claim.name for claim in bd.load_model("chen2026").claims
    )


def test_mediation_defines_what_effects_works_out():
    spec = bd.load_model("mediation")
    values = {"a_e": 0.4, "a_x": -0.2, "b": 0.5, "c_e": 0.1, "c_x": 0.3}
    _, truth = bd.simulate(spec, dyads=2, sessions=1, exchanges=4, truth=values, random_seed=1)
    path = truth["path"].expand_dims(chain=1, draw=1)
    found = {name: float(value.item()) for name, value in label_values(path, spec).items()}
    by_hand = {"indirect_empathy": 0.2, "indirect_exploration": -0.1}
    by_hand |= {"total_empathy": 0.3, "total_exploration": 0.2}
    assert {name: found[name] for name in by_hand} == pytest.approx(by_hand)


@pytest.mark.parametrize("name", NEW)
def test_new_models_are_prepared_and_built_from_simulated_measures(name):
    spec = bd.load_model(name)
    assert spec.claims
    measures, _ = bd.simulate(spec, dyads=3, sessions=2, exchanges=5, random_seed=2)
    problem = prepare(measures, spec, measurement_of(spec))
    assert problem.measurement == ("none" if name == "chen2026_naive" else "known")
    model = build(problem)
    assert {"path", "residual_cov"} <= {variable.name for variable in model.deterministics}
    if name == "mediation":
        density = model.compile_logp(mode="FAST_COMPILE")
        start = model.initial_point()
        moved = {point: value + 0.1 for point, value in start.items()}
        found = np.array([density(start), density(moved)])
        assert np.isfinite(found).all()
        assert found[0] != found[1]


def test_measurement_is_read_written_and_outranked(monkeypatch):
    spec = bd.load_model("chen2026_naive")
    assert 'measurement = "none"' in to_text(spec)
    assert "measurement" not in to_text(bd.load_model("chen2026"))
    asked = [(spec, None), (spec, "known"), (bd.load_model("chen2026"), None)]
    assert [measurement_of(model, given) for model, given in asked] == ["none", "known", "known"]

    class Caught(Exception):  # noqa: N818
        pass

    def caught(problem, backend, sampler):
        raise Caught(problem.measurement)

    monkeypatch.setattr("bayesdyn.engines.pymc_engine.compile_problem", caught)
    measures, _ = bd.simulate(spec, dyads=3, sessions=1, exchanges=5, random_seed=1)
    for measurement, expected in ((None, "none"), ("two_stage", "two_stage")):
        told = pytest.warns(DataWarning, match="3 dyads are few")
        with told, pytest.raises(Caught, match=f"^{expected}$"):
            bd.fit(measures, spec, measurement=measurement, random_seed=1)


def test_an_unknown_measurement_is_told_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown measurement 'knwon'\. Did you mean 'known'"):
        bd.load_model('[model]\nmeasurement = "knwon"\npaths = "y ~ x"\n')
