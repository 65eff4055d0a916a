"""Draw from the reference engine: compile once, draw for any data of the same shape.

nutpie runs the sampler, or NumPyro or BlackJAX on the same density. On JAX a model with measurement error has
its states integrated out, which is what makes it mix (docs/measured.md); on numba, for nutpie only, the
sampler moves the states too, for comparison.
"""

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import jax
import numpy as np
import xarray as xr
from pytensor.graph.traversal import ancestors

from bayesdyn.engines.common import coordinates
from bayesdyn.engines.jax_chains import Asked, sample_chains
from bayesdyn.engines.jax_density import JaxDensity, jax_density, on_device
from bayesdyn.engines.nutpie_on_jax import compile_for_nutpie
from bayesdyn.engines.pymc_collapsed import build_collapsed, draw_latent, multipliers
from bayesdyn.engines.pymc_model import build, refit_data
from bayesdyn.structure.problem import Problem

if TYPE_CHECKING:
    from nutpie.compile_pymc import CompiledPyMCModel
    from nutpie.compiled_pyfunc import PyFuncModel

BAR_EVERY_MS, TELL_EVERY_MS = 200, 10_000
STATS = ("diverging", "depth", "maxdepth_reached", "energy", "n_steps", "step_size", "tree_depth")
_RAW = ("path_free", "latent")
_RAW_ENDINGS = ("_raw", "_factor", "_factor_sd", "_noise")


@dataclass(frozen=True)
class Compiled:
    """A compiled model, the problem it was compiled for, and the names of the data that it takes.

    nutpie compiles a model whole; for the other samplers ``model`` is the density, and they compile what they
    make of it.
    """

    model: "CompiledPyMCModel | PyFuncModel | JaxDensity"
    problem: Problem
    backend: str
    sampler: str
    data_names: tuple[str, ...]


_COMPILED: deque[Compiled] = deque(maxlen=4)


def compile_problem(problem: Problem, backend: str = "numba", sampler: str = "nutpie") -> Compiled:
    """Compile the PyMC model of a problem, or return it if it was compiled before.

    The last few compiled models of the process are kept: a fit and its sweep share one.

    Parameters
    ----------
    problem
        See :func:`bayesdyn.structure.problem.prepare`.
    backend
        ``numba`` (nutpie only) or ``jax``.
    sampler
        ``nutpie``, ``numpyro`` or ``blackjax``.
    """
    for kept in _COMPILED:
        if (kept.backend, kept.sampler) == (backend, sampler) and same_shape(kept.problem, problem):
            return kept
    _COMPILED.append(_compile(problem, backend, sampler))
    return _COMPILED[-1]


def _compile(problem: Problem, backend: str, sampler: str) -> Compiled:
    if backend == "jax":
        density = jax_density(build_collapsed(problem) if collapses(problem, backend) else build(problem))
        model = compile_for_nutpie(density) if sampler == "nutpie" else density
        return Compiled(model, problem, backend, sampler, tuple(refit_data(problem)))
    import warnings

    import nutpie

    with warnings.catch_warnings():
        # Numba tells of its own fallbacks while it compiles; none of them changes a result.
        warnings.simplefilter("ignore")
        model = build(problem)
        compiled = nutpie.compile_pymc_model(model, backend="numba", freeze_model=False)
    used = set(ancestors([model.logp(), *model.deterministics]))
    names = tuple(str(variable.name) for variable in model.data_vars if variable in used)
    return Compiled(compiled, problem, backend, sampler, names)  # type: ignore[arg-type]


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
    if not same_shape(compiled.problem, problem):
        raise ValueError("the problem differs in shape from the compiled one: compile it anew")
    data = refit_data(problem)
    used = {name: data[name] for name in compiled.data_names}
    given = on_device(used) if compiled.backend == "jax" else used
    every = TELL_EVERY_MS / 1000 if progress else 0.0
    asked = Asked(draws, tune, chains, random_seed, target_accept, every, cores)
    if isinstance(compiled.model, JaxDensity):
        posterior, stats = _ON_CHAINS[compiled.sampler](compiled.model, on_device(used), asked)
    else:
        posterior, stats = _by_nutpie(compiled.model, given, asked)
    keep = [name for name in map(str, posterior.data_vars) if is_of_fit(name)]
    stats = stats[[name for name in map(str, stats.data_vars) if name in STATS]]
    named = posterior[keep]
    named = named.assign_coords(
        {name: list(values) for name, values in coordinates(problem).items() if name in named.dims}  # type: ignore[call-overload]
    )
    groups = {"posterior": named, "sample_stats": stats}
    if latent_draws:
        groups["latent"] = _latent(compiled, problem, posterior, latent_draws, random_seed)
    return xr.DataTree.from_dict(groups)


def is_of_fit(name: str) -> bool:
    """Return whether a fit keeps a variable; what others are made of stays in the sampler."""
    return name not in _RAW and not name.endswith(_RAW_ENDINGS) and "factor_" not in name


def _by_nutpie(
    model: "CompiledPyMCModel | PyFuncModel", data: Mapping[str, np.ndarray | jax.Array], asked: Asked
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the draws of every variable and the sampler's statistics."""
    import nutpie

    bar = sys.stderr.isatty() or "ipykernel" in sys.modules
    progress = asked.tell_every > 0
    trace: xr.DataTree = nutpie.sample(
        model.with_data(**data),
        draws=asked.draws,
        tune=asked.tune,
        chains=asked.chains,
        cores=asked.cores,
        seed=asked.random_seed,
        save_warmup=False,
        target_accept=asked.target_accept,
        # A bar where one can be drawn, elsewhere a line now and then.
        progress_bar=progress and bar,
        progress_callback=_tell if progress and not bar else None,
        progress_rate=BAR_EVERY_MS if bar else TELL_EVERY_MS,
    )
    return trace["posterior"].to_dataset(), trace["sample_stats"].to_dataset()


type _Drawn = tuple[xr.Dataset, xr.Dataset]


def _by_numpyro(density: JaxDensity, data: Mapping[str, jax.Array], asked: Asked) -> _Drawn:
    from bayesdyn.engines.numpyro_nuts import NumpyroNuts

    return sample_chains(NumpyroNuts(density, asked), density, data, asked)


def _by_blackjax(density: JaxDensity, data: Mapping[str, jax.Array], asked: Asked) -> _Drawn:
    from bayesdyn.engines.blackjax_nuts import BlackjaxNuts

    return sample_chains(BlackjaxNuts(density, asked), density, data, asked)


_ON_CHAINS: Mapping[str, Callable[[JaxDensity, Mapping[str, jax.Array], Asked], _Drawn]] = MappingProxyType(
    {"numpyro": _by_numpyro, "blackjax": _by_blackjax}
)
"""Samplers that move chains of ours, each imported when it is asked for."""


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
        and (one.rated_by is None or one.rated_by.same_raters(other.rated_by))
        and all(
            a.labels == b.labels and np.array_equal(a.of, b.of)
            for a, b in zip(one.groupings, other.groupings, strict=True)
        )
    )
