"""What would have to be true of the errors for a conclusion to change: refits along one assumption."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.artefacts import check_stamp, sha256_json, stamp, write_text
from bayesdyn.errors import ArtefactError, Fault, FaultList
from bayesdyn.fitting.asked import check_device, check_device_of, check_settings
from bayesdyn.fitting.diagnostics import diagnose
from bayesdyn.fitting.drawing import Drawing, refitting
from bayesdyn.fitting.fits import measures_of, spec_of
from bayesdyn.fitting.run import Settings, assemble
from bayesdyn.fitting.summaries import summary
from bayesdyn.structure.problem import Problem, prepare

KINDS = ("reliability",)
FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0)
CI_PROB = 0.95
_TABLES = ("table", "paths", "tipping")


@dataclass(frozen=True)
class Sensitivity:
    """Refits along one assumption.

    Attributes
    ----------
    kind
        What was varied.
    table
        One row per alternative: ``alternative, factor, measurement, fit`` (sha256 of its spec, inputs and
        settings), ``rhat, ess_bulk, divergences``.
    paths
        One row per alternative and path: ``alternative, factor, path_name, mean, sd, lower, upper,
        prob_positive``; equal-tailed 95 % intervals.
    tipping
        One row per path: ``path_name, tipping_factor`` (where the interval starts or stops excluding zero,
        interpolated; missing where it does neither), ``says``.
    """

    kind: str
    table: pd.DataFrame
    paths: pd.DataFrame
    tipping: pd.DataFrame

    def save(self, path: str | Path) -> None:
        """Write it as one JSON file, whole or not at all."""
        tables = {
            name: json.loads(getattr(self, name).to_json(orient="table", index=False)) for name in _TABLES
        }
        write_text(path, json.dumps({"stamp": stamp("sensitivity"), "kind": self.kind, **tables}, indent=1))

    @staticmethod
    def load(path: str | Path) -> "Sensitivity":
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArtefactError
            If it is missing, damaged, or of another kind or version.
        """
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            check_stamp(stored.get("stamp"), path, "sensitivity")
            tables = {name: pd.DataFrame(stored[name]["data"]) for name in _TABLES}
        except (OSError, ValueError, KeyError, AttributeError) as error:
            fault = Fault(
                f"it is missing, damaged or no sensitivity ({type(error).__name__})", "Make it again"
            )
            raise ArtefactError(f"Cannot read {path}", [fault]) from None
        return Sensitivity(stored["kind"], **tables)


def sensitivity(
    fit: xr.DataTree,
    kind: str = "reliability",
    *,
    factors: Sequence[float] = FACTORS,
    draws: int = 500,
    tune: int = 500,
    chains: int = 2,
    random_seed: int | None = None,
    backend: str = "jax",
    device: str = "auto",
    devices: int = 1,
    naive: xr.DataTree | None = None,
    progress: Callable[[str], None] | None = None,
) -> Sensitivity:
    """Refit a model along one assumption and find where its conclusions tip.

    Parameters
    ----------
    fit
        The fit whose model is refitted, with measurement error: not ``measurement="none"``. The engine that
        drew it draws the refits.
    kind
        ``reliability``: every error variance times each factor; 0 is the usual analysis, scores as they
        are. The standardisation stays that of the fit, so paths are comparable.
    factors
        Multiples of the error variances; 1 is the fit itself, which is not run again.
    draws, tune, chains
        As in :func:`bayesdyn.fit`; an interval needs fewer draws than a published figure. The acceptance
        rate that steps are adapted to is the fit's.
    random_seed
        Default: the fit's own.
    backend
        As in :func:`bayesdyn.fit`, of the reference engine.
    device, devices
        As in :func:`bayesdyn.fit`, of the sweeps.
    naive
        The same model fitted to the same measures with ``measurement="none"``: it is then factor 0, and is
        not run again.
    progress
        Called with one line before each refit.

    Returns
    -------
    Sensitivity

    Raises
    ------
    InputError
        An unknown kind, a setting that :func:`bayesdyn.fit` refuses, a factor below 0, a fit without
        measurement error, or a naive fit of something else.
    """
    faults = FaultList()
    if kind not in KINDS:
        faults.add(f"kind {kind!r} is unknown", f"Use one of {', '.join(KINDS)}")
    if any(factor < 0 for factor in factors) or len(set(factors)) < 2:
        faults.add(
            "factors must be at least two different numbers, none below 0", "Use for example 0, 0.5, 1, 2"
        )
    if fit.attrs.get("measurement") not in ("known", "two_stage"):
        has = "error" if fit.attrs.get("measurement") == "none" else "error of its scores alone"
        faults.add(f"the fit has no measurement {has} to vary", 'Fit with measurement="known" first')
    if naive is not None and not _same_study(fit, naive):
        faults.add(
            "naive is no fit of the same model to the same measures", 'Fit them with measurement="none"'
        )
    seed = json.loads(fit.attrs["random_seed"]) if random_seed is None else random_seed
    rate = json.loads(fit.attrs["settings"])["target_accept"]
    settings = Settings(draws, tune, chains, seed, rate, engine=fit.attrs["engine"])
    check_settings(settings, backend, faults)
    check_device(device, devices, faults)
    check_device_of(settings.engine, device, devices, faults)
    faults.raise_if_any("Cannot sweep")
    fits = {1.0: fit} | ({} if naive is None else {0.0: naive})
    drawing = refitting(settings.engine, measures_of(fit), backend, device, devices)
    fits |= _refits(fit, sorted(set(factors) - set(fits)), settings, drawing, progress)
    rows, paths = [], []
    for factor in sorted(set(factors)):
        rows.append(_row(_alternative(factor), factor, fits[factor]))
        paths.append(_paths(_alternative(factor), factor, fits[factor]))
    every = pd.concat(paths, ignore_index=True)
    return Sensitivity(kind, pd.DataFrame(rows), every, tipping_points(every))


def _refits(
    fit: xr.DataTree,
    factors: Sequence[float],
    settings: Settings,
    drawing: Drawing,
    progress: Callable[[str], None] | None,
) -> dict[float, xr.DataTree]:
    """Return refits by factor; all with error are of one design, and are drawn by one compiled program."""
    spec, measures, found = spec_of(fit), measures_of(fit), dict[float, xr.DataTree]()

    def problem_of(factor: float) -> Problem:
        if not factor:
            return prepare(measures, spec, "none")
        return prepare(measures, spec, fit.attrs["measurement"], error_factor=factor)

    def told(group: Sequence[float]) -> Iterator[Problem]:
        # One by one: a corpus would stand in memory as often.
        for factor in group:
            if progress:
                progress(_alternative(factor))
            yield problem_of(factor)

    for group in ([factor for factor in factors if not factor], [factor for factor in factors if factor]):
        if group:
            trees = drawing.draw(problem_of(group[0]), told(group), [settings] * len(group))
            both = zip(group, trees, strict=True)
            found |= {factor: assemble(tree, problem_of(factor), measures, settings) for factor, tree in both}
    return found


def _alternative(factor: float) -> str:
    return f"error variance x {factor:g}" if factor else "no error (scores as they are)"


def _same_study(fit: xr.DataTree, naive: xr.DataTree) -> bool:
    # By the model's name: with error in the scores, default laws of the predictors are written into its text.
    one, other = (
        (json.loads(tree.attrs["inputs"])["measures"], tree.attrs["model"]) for tree in (fit, naive)
    )
    return one == other and naive.attrs["measurement"] == "none"


def _row(name: str, factor: float, refit: xr.DataTree) -> dict[str, object]:
    found = diagnose(refit)
    identity = {key: refit.attrs[key] for key in ("spec", "inputs", "settings", "random_seed", "measurement")}
    return {
        "alternative": name,
        "factor": factor,
        "measurement": refit.attrs["measurement"],
        "fit": sha256_json({**identity, "factor": factor}),
        "rhat": found.rhat,
        "ess_bulk": found.ess_bulk,
        "divergences": found.divergences,
    }


def _paths(name: str, factor: float, refit: xr.DataTree) -> pd.DataFrame:
    written = refit["posterior"].to_dataset()["path"]
    names = written["path_name"].values[written["path_origin"].values == "written"]
    table = summary(refit, ci_prob=CI_PROB, variables=("path",)).loc[list(names)]
    kept = table[["mean", "sd", "lower", "upper", "prob_positive"]].rename_axis("path_name").reset_index()
    kept.insert(0, "factor", factor)
    kept.insert(0, "alternative", name)
    return kept


def _times(point: float) -> str:
    return "less than 0.01 times" if point < 0.005 else f"{point:.2f} times"


def tipping_points(paths: pd.DataFrame) -> pd.DataFrame:
    """Return, for each path, the factor at which its interval starts or stops excluding zero.

    Parameters
    ----------
    paths
        Columns ``factor, path_name, lower, upper``; the interval's nearer bound is interpolated linearly
        between neighbouring factors. The crossing nearest to factor 1 is told.
    """
    rows = []
    for name, group in paths.groupby("path_name", sort=False):
        ordered = group.sort_values("factor")
        factor = ordered["factor"].to_numpy(dtype=float)
        # Above zero when the interval excludes it: the distance of the nearer bound, signed.
        margin = np.maximum(ordered["lower"].to_numpy(), -ordered["upper"].to_numpy())
        crossings = [
            factor[i] + (factor[i + 1] - factor[i]) * margin[i] / (margin[i] - margin[i + 1])
            for i in range(len(factor) - 1)
            if (margin[i] > 0) != (margin[i + 1] > 0)
        ]
        if not crossings:
            state = "excludes" if (margin > 0).all() else "includes"
            rows.append((name, float("nan"), f"its interval {state} zero at every factor tried"))
            continue
        point = min(crossings, key=lambda value: abs(value - 1.0))
        before = margin[np.flatnonzero(factor <= point)[-1]] > 0
        verb = "stops" if before else "starts"
        rows.append(
            (name, point, f"its interval {verb} excluding zero at {_times(point)} the error variance")
        )
    return pd.DataFrame(rows, columns=["path_name", "tipping_factor", "says"])
