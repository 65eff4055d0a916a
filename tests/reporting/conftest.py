"""A fit made of numbers drawn here, in the names and shapes of a real one: no sampler runs."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.structure.language.model_file import load_model
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.problem import prepare
from bayesdyn.structure.simulate import simulate
from bayesdyn.sweeps.sensitivity import FACTORS, Sensitivity, tipping_points


@dataclass(frozen=True)
class Study:
    """All that a report can be made of."""

    spec: ModelSpec
    measures: xr.Dataset
    fit: xr.DataTree
    naive: xr.DataTree
    sens: Sensitivity
    agreement: pd.DataFrame
    data_summary: dict[str, object]
    rating_summary: dict[str, object]


def made_fit(
    spec: ModelSpec,
    measures: xr.Dataset,
    truth: xr.Dataset,
    measurement: str,
    *,
    draws: int = 250,
    seed: int = 1,
) -> xr.DataTree:
    """Return a fit whose draws are the truth plus noise, halved products where the measurement is none."""
    rng = np.random.default_rng(seed)
    problem = prepare(measures, spec, measurement)
    names = [path.name for path in problem.spec.paths]
    centre = truth["path"].sel(path_name=names).values
    if measurement == "none":
        centre = centre * np.array([0.45 if ":" in name else 0.7 for name in names])
    shape = (4, draws)
    spread = np.array([0.03 if ":" in name else 0.04 for name in names]) * (
        0.7 if measurement == "none" else 1
    )
    fixed = np.array([path.fixed is not None for path in problem.spec.paths])
    path = centre + np.where(fixed, 0, spread) * rng.standard_normal((*shape, len(names)))

    def cov(members: tuple[str, ...]) -> np.ndarray:
        noise = 0.02 * rng.standard_normal((*shape, len(members), len(members)))
        return 0.4 * np.eye(len(members)) + (noise + np.swapaxes(noise, -1, -2)) / 2

    endogenous = problem.endogenous
    raw = xr.Dataset(
        {
            "path": (("chain", "draw", "path_name"), path),
            "residual_cov": (("chain", "draw", "endogenous", "endogenous2"), cov(endogenous)),
            "start_cov": (("chain", "draw", "construct", "construct2"), cov(problem.constructs)),
            "level_mean": (("chain", "draw", "endogenous"), rng.standard_normal((*shape, len(endogenous)))),
            "kappa": (
                ("chain", "draw", "construct"),
                # As the engine has it: 0 where the error is known exactly, a constant without an R-hat.
                problem.kappa_sd * rng.standard_normal((*shape, len(problem.constructs))),
            ),
        },
        coords={
            "chain": np.arange(4),
            "draw": np.arange(draws),
            "path_name": names,
            "endogenous": list(endogenous),
            "endogenous2": list(endogenous),
            "construct": list(problem.constructs),
            "construct2": list(problem.constructs),
        },
    )
    stats = xr.Dataset(
        {
            "diverging": (("chain", "draw"), np.zeros(shape, dtype=bool)),
            "energy": (("chain", "draw"), rng.standard_normal(shape)),
            "maxdepth_reached": (("chain", "draw"), np.zeros(shape, dtype=bool)),
        },
        coords={"chain": np.arange(4), "draw": np.arange(draws)},
    )
    tree = xr.DataTree.from_dict({"posterior": raw, "sample_stats": stats})
    return assemble(tree, problem, measures, Settings(draws, 500, 4, seed))


def made_sweep(fit: xr.DataTree, naive: xr.DataTree) -> Sensitivity:
    """Return a sweep between the naive fit and beyond the other, with widening intervals."""
    one, none = (tree["posterior"].to_dataset()["path"].mean(("chain", "draw")) for tree in (fit, naive))
    written = [
        str(name)
        for name, origin in zip(none["path_name"].values, none["path_origin"].values, strict=True)
        if origin == "written"
    ]
    rows = []
    for factor in FACTORS:
        for name in written:
            mean = float(
                none.sel(path_name=name) + factor * (one.sel(path_name=name) - none.sel(path_name=name))
            )
            sd = 0.022 * (1 + 0.9 * factor)
            rows.append(
                (f"error variance x {factor:g}", factor, name, mean, sd, mean - 2 * sd, mean + 2 * sd, 0.5)
            )
    columns = ["alternative", "factor", "path_name", "mean", "sd", "lower", "upper", "prob_positive"]
    paths = pd.DataFrame(rows, columns=columns)
    table = pd.DataFrame(
        [
            {"alternative": f"error variance x {f:g}", "factor": f, "measurement": "known", "fit": "ab" * 32,
             "rhat": 1.003, "ess_bulk": 812.0, "divergences": 0}
            for f in FACTORS
        ]
    )  # fmt: skip
    return Sensitivity("reliability", table, paths, tipping_points(paths))


def made_agreement(constructs: list[str]) -> pd.DataFrame:
    """Return a table in the columns of ``agreement``."""
    rows = [
        {"construct": name, "level": level, "panel": "qwen, smollm2", "kind": "LLM - LLM",
         "raters": "qwen, smollm2", "statistic": statistic, "shrout_fleiss": "", "estimate": 0.3 + 0.05 * i,
         "lower": 0.2, "upper": 0.6, "cluster_lower": 0.1, "cluster_upper": 0.7, "ci_prob": 0.95,
         "F": 2.0, "df1": 9.0, "df2": 9.0, "p": 0.01, "n": 240, "k": 2, "dyads": 8, "dropped": 0, "note": ""}
        for i, name in enumerate(constructs)
        for level in ("exchange", "session", "dyad")
        for statistic in ("ICC(A,1)", "ICC(C,1)", "pearson")
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def study() -> Study:
    """Return a study of chen2026 with every part that a report can show."""
    spec = load_model("chen2026")
    truth = {
        "de": 0.28, "dx": 0.17, "dr": 0.01, "der": -0.1, "dxr": -0.04,
        "se": 0.12, "sx": 0.1, "sr": 0.09, "ser": -0.12, "sxr": 0.0,
        "oe": -0.03, "ox": 0.05, "orp": -0.05, "oer": 0.02, "oxr": -0.1,
    }  # fmt: skip
    measures, true = simulate(
        spec, dyads=8, sessions=3, exchanges=14, truth=truth, missing=0.03, random_seed=3
    )
    names = [str(name) for name in measures["construct"].values]
    rng = np.random.default_rng(4)
    reliability = measures["reliability"].values
    measures = measures.assign(
        reliability_lower=("construct", reliability - 0.11),
        reliability_upper=("construct", reliability + 0.08),
        floor_share=("construct", np.array([0.02, 0.31, 0.48, 0.08, 0.05, 0.01])[: len(names)]),
        severity=(("rater", "construct"), rng.normal(0, 0.3, (2, len(names)))),
        discrimination=(("rater", "construct"), np.ones((2, len(names)))),
        identified_by=("construct", np.array(["two raters"] * len(names))),
        error_sd=(("rater", "construct"), rng.uniform(0.3, 0.8, (2, len(names)))),
    ).assign_coords(rater=["qwen2.5-coder-1.5b", "smollm2-135m"])
    measures.attrs["identification"] = "two_raters"
    measures.attrs["notes"] = json.dumps([
        "Two raters identify the error variance only because their discriminations are taken as equal.",
        "48 % of the ratings of outward_negative are at the scale's floor: that can fake moderation.",
    ])  # fmt: skip
    measures.attrs |= {"ci_prob": 0.9, "ci_kind": "equal-tailed"}
    fit = made_fit(spec, measures, true, "known")
    naive = made_fit(spec, measures, true, "none", seed=2)
    data_summary = {
        "rows_in": 5210,
        "rows_used": 5033,
        "set_aside": {"third speaker": 101, "empty text": 76},
        "exchanges": 336,
    }
    rating_summary = {
        "ratings": 3915,
        "unrated": 117,
        "rated_by_rater": {"qwen2.5-coder-1.5b": 2011, "smollm2-135m": 1904},
        "unrated_by_reason": {"smollm2-135m": {"off scale": 112}, "qwen2.5-coder-1.5b": {"timeout": 5}},
    }
    sens, agreement = made_sweep(fit, naive), made_agreement(names)
    return Study(spec, measures, fit, naive, sens, agreement, data_summary, rating_summary)


@pytest.fixture(scope="session")
def full_report(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a report with every section."""
    from bayesdyn.reporting.html import report

    return report(
        study.fit,
        study.sens,
        naive=study.naive,
        out=tmp_path_factory.mktemp("report") / "report.html",
        agreement=study.agreement,
        measures=study.measures,
        data_summary=study.data_summary,
        rating_summary=study.rating_summary,
        reproduce=["bayesdyn init study", "bayesdyn run study/study.toml"],
    )
