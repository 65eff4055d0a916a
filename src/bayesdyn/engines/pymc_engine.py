"""Draw from the reference engine: compile once, draw for any data of the same shape.

nutpie runs the sampler. On its JAX backend a model with measurement error has its states integrated out,
which is what makes it mix (docs/measured.md); on numba the sampler moves the states too, for comparison.
"""

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import xarray as xr
from pytensor.graph.traversal import ancestors

from bayesdyn.engines.jax_sampler import compile_for_nutpie, on_device
from bayesdyn.engines.pymc_collapsed import build_collapsed, draw_latent, multipliers
from bayesdyn.engines.pymc_model import build, coordinates, refit_data
from bayesdyn.structure.problem import Problem

if TYPE_CHECKING:
    from nutpie.compile_pymc import CompiledPyMCModel
    from nutpie.compiled_pyfunc import PyFuncModel

BAR_EVERY_MS, TELL_EVERY_MS = 200, 10_000
BACKENDS = ("numba", "jax")
STATS = ("diverging", "depth", "maxdepth_reached", "energy", "n_steps", "step_size", "tree_depth")
_RAW = ("path_free", "latent")
_RAW_ENDINGS = ("_raw", "_factor", "_factor_sd", "_noise")


@dataclass(frozen=True)
class Compiled:
    """A compiled model, the problem it was compiled for, and the names of the data that it takes."""

    model: "CompiledPyMCModel | PyFuncModel"
    problem: Problem
    backend: str
    data_names: tuple[str, ...]


_COMPILED: deque[Compiled] = deque(maxlen=4)


def compile_problem(problem: Problem, backend: str = "numba") -> Compiled:
    """Compile the PyMC model of a problem with nutpie, or return it if it was compiled before.

    The last few compiled models of the process are kept: a fit and its sweep share one.

    Parameters
    ----------
    problem
        See :func:`bayesdyn.structure.problem.prepare`.
    backend
        ``numba`` or ``jax``.
    """
    for kept in _COMPILED:
        if kept.backend == backend and same_shape(kept.problem, problem):
            return kept
    _COMPILED.append(_compile(problem, backend))
    return _COMPILED[-1]


def _compile(problem: Problem, backend: str) -> Compiled:
    if backend == "jax":
        model = build_collapsed(problem) if collapses(problem, backend) else build(problem)
        return Compiled(compile_for_nutpie(model), problem, backend, tuple(refit_data(problem)))
    import warnings

    import nutpie

    with warnings.catch_warnings():
        # Numba tells of its own fallbacks while it compiles; none of them changes a result.
        warnings.simplefilter("ignore")
        model = build(problem)
        compiled = nutpie.compile_pymc_model(model, backend="numba", freeze_model=False)
    used = set(ancestors([model.logp(), *model.deterministics]))
    names = tuple(str(variable.name) for variable in model.data_vars if variable in used)
    return Compiled(compiled, problem, backend, names)  # type: ignore[arg-type]


def collapses(problem: Problem, backend: str) -> bool:
    """Return whether the states are integrated out: on JAX, where any are linear given the others."""
    linear = len(multipliers(problem)) < len(problem.endogenous)
    return backend == "jax" and problem.measurement != "none" and linear


def draw(
    compiled: Compiled,
    problem: Problem,
    *,
    draws: int,
    tune: int,
    chains: int,
    random_seed: int,
    target_accept: float = 0.9,
    latent_draws: int = 0,
    progress: bool = False,
    cores: int | None = None,
) -> xr.DataTree:
    """Draw from the posterior of a problem of the same shape as the compiled one.

    Returns
    -------
    xr.DataTree
        Groups ``posterior`` and ``sample_stats``, dims (chain, draw, ...), on the standardised scale; with
        ``latent_draws`` the group ``latent``: that many draws (sample, exchange, construct) of the states.
    """
    import nutpie

    if not same_shape(compiled.problem, problem):
        raise ValueError("the problem differs in shape from the compiled one: compile it anew")
    data = refit_data(problem)
    used = {name: data[name] for name in compiled.data_names}
    model = compiled.model.with_data(**(on_device(used) if compiled.backend == "jax" else used))
    bar = sys.stderr.isatty() or "ipykernel" in sys.modules
    trace: xr.DataTree = nutpie.sample(
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        seed=random_seed,
        save_warmup=False,
        target_accept=target_accept,
        # A bar where one can be drawn, elsewhere a line now and then.
        progress_bar=progress and bar,
        progress_callback=_tell if progress and not bar else None,
        progress_rate=BAR_EVERY_MS if bar else TELL_EVERY_MS,
    )
    posterior = trace["posterior"].to_dataset()
    keep = [
        name
        for name in map(str, posterior.data_vars)
        if name not in _RAW and not name.endswith(_RAW_ENDINGS) and "factor_" not in name
    ]
    stats = trace["sample_stats"].to_dataset()
    stats = stats[[name for name in map(str, stats.data_vars) if name in STATS]]
    posterior = posterior[keep].assign_coords(
        {name: list(values) for name, values in coordinates(problem).items() if name in posterior.dims}  # type: ignore[call-overload]
    )
    groups = {"posterior": posterior, "sample_stats": stats}
    if latent_draws:
        groups["latent"] = _latent(
            compiled, problem, trace["posterior"].to_dataset(), latent_draws, random_seed
        )
    return xr.DataTree.from_dict(groups)


class _ChainProgress(Protocol):
    """What nutpie tells of a running chain."""

    finished_draws: int
    total_draws: int
    divergences: int


def _tell(chains: Sequence[_ChainProgress]) -> None:
    done, every = sum(one.finished_draws for one in chains), sum(one.total_draws for one in chains)
    diverged = sum(one.divergences for one in chains)
    sys.stderr.write(f"{done} of {every} draws, {diverged} diverged\n")
    sys.stderr.flush()


def _latent(
    compiled: Compiled, problem: Problem, sampled: xr.Dataset, count: int, random_seed: int
) -> xr.Dataset:
    """Return evenly spaced draws of the states; where there are none, the scores are taken as they are."""
    stacked = sampled.stack(sample=("chain", "draw")).transpose("sample", ...)
    total = stacked.sizes["sample"]
    picked = stacked.isel(sample=np.linspace(0, total - 1, min(count, total)).astype(int))
    if collapses(problem, compiled.backend):
        # A seed of its own: the sampler has used the first.
        seed = int(np.random.SeedSequence(random_seed).spawn(1)[0].generate_state(1)[0])
        values = draw_latent(problem, {str(name): picked[name].values for name in picked.data_vars}, seed)
    elif "latent" in picked:
        values = picked["latent"].values
    else:
        values = np.broadcast_to(problem.score, (picked.sizes["sample"], *problem.score.shape))
    return xr.Dataset({"latent": (("sample", "exchange", "construct"), values)})


def same_shape(one: Problem, other: Problem) -> bool:
    """Return whether one compiled model serves both problems: same spec, rows and pattern of ratings.

    What is rated is data like another, except where it says which states are latent (scores as they are) or
    how errors are whitened (correlated ones).
    """
    masked = one.measurement != "none" and np.array_equal(one.error_corr, np.eye(len(one.constructs)))
    return (
        one.spec == other.spec
        and one.measurement == other.measurement
        and one.constructs == other.constructs
        and one.covariates == other.covariates
        and np.array_equal(one.dyad_of, other.dyad_of)
        and np.array_equal(one.session_of, other.session_of)
        and (masked or np.array_equal(one.rated, other.rated))
        and np.array_equal(one.error_corr, other.error_corr)
        and all(
            a.labels == b.labels and np.array_equal(a.of, b.of)
            for a, b in zip(one.groupings, other.groupings, strict=True)
        )
    )
