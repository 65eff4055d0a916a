"""Models compared by how well they predict dyads that they have not seen."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDData
from scipy.special import logsumexp

from bayesdyn.errors import FaultList
from bayesdyn.fitting.likelihood import log_likelihood

LEAST_DRAWS = 25
"""PSIS fits the tail of the importance weights, a fifth of few draws, and needs five in it."""

_ROUNDS, _ENOUGH = 10_000, 1e-10


@dataclass(frozen=True)
class Predicted:
    """How well a model predicts each dyad from the others.

    Attributes
    ----------
    kind
        ``loo`` or ``kfold``.
    model
        The model's name.
    by_dyad
        One row per dyad: ``dyad, elpd``; of ``loo`` also ``p`` (log density with the dyad less without it)
        and ``pareto_k``; of ``kfold`` also ``fold``.
    good_k
        What ``pareto_k`` should stay below; missing for ``kfold``.
    measures
        Hash of the measures.
    scores
        The constructs whose scores are predicted.
    notes
        Sentences that must reach the reader.
    """

    kind: str
    model: str
    by_dyad: pd.DataFrame
    good_k: float
    measures: str
    scores: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def elpd(self) -> float:
        """Expected log predictive density of all dyads, in nats, of raw scores."""
        return float(self.by_dyad["elpd"].sum())

    @property
    def se(self) -> float:
        """Its standard error over dyads: sqrt(D) times the SD of the dyads' own."""
        return _se(self.by_dyad["elpd"].to_numpy())

    @property
    def bad_k(self) -> int:
        """How many dyads have a Pareto k above ``good_k``."""
        return int((self.by_dyad["pareto_k"] > self.good_k).sum()) if self.kind == "loo" else 0


def loo_dyads(
    fit: xr.DataTree, measures: xr.Dataset | None = None, *, draws: int = 400, random_seed: int | None = None
) -> Predicted:
    """Leave out each dyad in turn by Pareto-smoothed importance sampling (Vehtari, Gelman & Gabry 2017).

    Parameters
    ----------
    fit, measures, draws
        As in :func:`log_likelihood`.
    random_seed
        Of the likelihood's importance sampling; default: the fit's own.

    Raises
    ------
    InputError
        See :func:`log_likelihood`; fewer than 25 draws in all.
    """
    _check_draws(fit, draws)
    seed = json.loads(fit.attrs["random_seed"]) if random_seed is None else random_seed
    found = log_likelihood(fit, measures, by="dyad", draws=draws, random_seed=seed)
    return leave_out(found)


def leave_out(found: xr.Dataset) -> Predicted:
    """Return what leaving out each dyad gives for log-likelihoods (chain, draw, dyad)."""
    value = found["log_likelihood"]
    sample = value.sizes["chain"] * value.sizes["draw"]
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        # ArviZ warns of high k; here each dyad's is told, and in the notes.
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        ess = az.ess(value.to_dataset(name="value"), method="mean")["value"].values
        finite = ess[np.isfinite(ess)]
        efficiency = min(1.0, float(finite.mean()) / sample) if finite.size else 1.0
        tree = xr.DataTree.from_dict({"log_likelihood": value.to_dataset(name="scores")})
        loo: ELPDData = az.loo(tree, pointwise=True, reff=efficiency)  # type: ignore[assignment]
    elpd, pareto_k, good_k = loo.elpd_i.values, loo.pareto_k.values, float(loo.good_k)
    each = value.transpose("chain", "draw", "dyad").values.reshape(sample, -1)
    whole = logsumexp(each, axis=0) - np.log(sample)
    table = pd.DataFrame(
        {"dyad": value["dyad"].values, "elpd": elpd, "p": whole - elpd, "pareto_k": pareto_k}
    )
    notes = list(json.loads(found.attrs["notes"]))
    bad = table.loc[table["pareto_k"] > good_k, "dyad"]
    if len(bad):
        notes.append(
            f"Pareto k is above {good_k:.2f} for {len(bad)} of {len(table)} dyads ({', '.join(bad[:5])}"
            f"{', ...' if len(bad) > 5 else ''}): without them the posterior is another, which importance "
            "sampling cannot reach. Use kfold."
        )
    scores = tuple(json.loads(found.attrs["scores"]))
    return Predicted(
        "loo", found.attrs["model"], table, good_k, found.attrs["measures"], scores, tuple(notes)
    )


def compare(models: Mapping[str, xr.DataTree | Predicted], *, draws: int = 400) -> pd.DataFrame:
    """Compare models by how well they predict dyads that they have not seen.

    Parameters
    ----------
    models
        By name: fits, which go through :func:`loo_dyads` with their own seeds, or what :func:`loo_dyads` and
        :func:`kfold` give.
    draws
        For fits, see :func:`log_likelihood`.

    Returns
    -------
    pandas.DataFrame
        Best first, indexed by ``model``: ``elpd`` and its ``se`` over dyads; ``difference`` from the best and
        ``difference_se``, paired over dyads; ``weight``, by stacking (Yao et al. 2018, Bayesian Analysis 13,
        917-1007); ``kind``; ``bad_k``. ``attrs["notes"]`` holds what must be said.

    Raises
    ------
    InputError
        Fewer than two models, models of different measures, dyads or scores, and as :func:`log_likelihood`.
    """
    faults = FaultList()
    if len(models) < 2:
        faults.add(f"{len(models)} model is nothing to compare", "Give two or more by name")
    faults.raise_if_any("Cannot compare")
    found = {
        name: item if isinstance(item, Predicted) else loo_dyads(item, draws=draws)
        for name, item in models.items()
    }
    (first, one), *rest = found.items()
    for name, other in rest:
        if other.measures != one.measures:
            faults.add(f"{first} and {name} are of different measures", "Fit both to the same measures")
        elif other.scores != one.scores:
            faults.add(
                f"{first} predicts the scores of {', '.join(one.scores)}, {name} those of "
                f"{', '.join(other.scores)}",
                "Let both have the same constructs, for example by a path fixed at 0, and take scores alike",
            )
        elif list(other.by_dyad["dyad"]) != list(one.by_dyad["dyad"]):
            faults.add(f"{first} and {name} predict different dyads", "Fit both to the same measures")
    faults.raise_if_any("Cannot compare")
    every = np.column_stack([item.by_dyad["elpd"].to_numpy() for item in found.values()])
    best = int(every.sum(axis=0).argmax())
    table = pd.DataFrame(
        {
            "elpd": every.sum(axis=0),
            "se": [_se(column) for column in every.T],
            "difference": every.sum(axis=0) - every[:, best].sum(),
            "difference_se": [_se(column - every[:, best]) for column in every.T],
            "weight": stacking_weights(every),
            "kind": [item.kind for item in found.values()],
            "bad_k": [item.bad_k for item in found.values()],
        },
        index=pd.Index(list(found), name="model"),
    )
    notes = [f"{name}: {note}" for name, item in found.items() for note in item.notes]
    if len({item.kind for item in found.values()}) > 1:
        notes.append(
            "Some models were compared by loo, others by kfold, which fits to fewer dyads at a time."
        )
    table.attrs["notes"] = notes
    return table.sort_values("elpd", ascending=False, kind="stable")


def stacking_weights(elpd: np.ndarray) -> np.ndarray:
    """Return the weights (M,) whose mixture of models predicts best, for log densities (D, M) by dyad.

    The log score of a mixture is concave in its weights; each round of expectation maximisation raises it.
    Densities are taken relative to each dyad's best model: those of long dyads are beyond what a float holds.
    """
    density = np.exp(elpd - elpd.max(axis=1, keepdims=True))
    weight = np.full(elpd.shape[1], 1.0 / elpd.shape[1])
    for _ in range(_ROUNDS):
        part = weight * density
        before, weight = weight, (part / part.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(weight - before).max() < _ENOUGH:
            break
    return weight


def _check_draws(fit: xr.DataTree, draws: int) -> None:
    chains, kept = (int(fit["posterior"].sizes[name]) for name in ("chain", "draw"))
    least, faults = -(-LEAST_DRAWS // chains), FaultList()
    if kept < least:
        faults.add(
            f"the fit keeps {kept} draws of each of {chains} chains", f"Fit with draws={least} or more"
        )
    elif draws // chains < least:
        faults.add(f"draws is {draws}", f"Use at least {chains * least}, {least} of each of {chains} chains")
    faults.raise_if_any("Cannot leave out dyads")


def _se(values: np.ndarray) -> float:
    return float(np.sqrt(len(values)) * values.std(ddof=1))
