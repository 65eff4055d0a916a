"""Who draws: the reference engine or the sweeps, for one problem or for several of one design."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import xarray as xr

from bayesdyn.fitting.run import Settings, drawn, identity
from bayesdyn.structure.problem import Problem

MANY = 5000
"""Exchanges from which on ``auto`` sweeps, and sweeps hold states in single precision."""
_STATES = "3"
"""Another one wherever states or metrics stand otherwise than before: a checkpoint holds both so."""
_AGAIN = 5
"""What part of the warm-up a run of sweeps needs that begins where another one ended."""


class Drawing(Protocol):
    """An engine, ready to draw."""

    def draw(
        self, design: Problem, problems: Iterable[Problem], settings: Sequence[Settings]
    ) -> list[xr.DataTree]:
        """Draw for problems of one design, which differ in scores and standard errors only."""
        ...


@dataclass(frozen=True)
class Reference:
    """PyMC's model, compiled once; see :func:`bayesdyn.fit` for each."""

    backend: str
    progress: bool = False

    def draw(
        self, design: Problem, problems: Iterable[Problem], settings: Sequence[Settings]
    ) -> list[xr.DataTree]:
        """Draw for each problem with a warm-up of its own."""
        from bayesdyn.engines.pymc_engine import compile_problem

        compiled = compile_problem(design, self.backend, settings[0].sampler)
        each = zip(problems, settings, strict=True)
        return [drawn(compiled, problem, own, self.progress) for problem, own in each]


@dataclass(frozen=True)
class Sweeping:
    """Gibbs sweeps; see :func:`bayesdyn.fit` for each.

    With ``afresh`` each of several problems has chains that begin apart and a whole warm-up: where they are
    alternatives, and not draws of one thing.
    """

    measures: xr.Dataset
    until: Mapping[str, float] | None = None
    resume: Path | None = None
    device: str = "auto"
    devices: int = 1
    progress: bool = False
    afresh: bool = False

    def draw(
        self, design: Problem, problems: Iterable[Problem], settings: Sequence[Settings]
    ) -> list[xr.DataTree]:
        """Draw for each problem; each but the first goes on from the last, and warms up shortly, or not.

        ``resume`` holds a folder for each of several problems.
        """
        from bayesdyn.engines.gibbs.asked import Asked
        from bayesdyn.engines.gibbs.checkpoint import Checkpoint
        from bayesdyn.engines.gibbs.convergence import Until
        from bayesdyn.engines.gibbs.draw import draw_each

        every = []
        for number, own in enumerate(settings):
            asked = Asked(
                own.draws,
                own.tune if number == 0 or self.afresh else -(-own.tune // _AGAIN),
                own.chains,
                own.random_seed,
                # Single precision moves no mean (docs/measured.md) and halves what a sweep reads.
                dtype="float32" if len(design.t) >= MANY else "float64",
                latent_draws=own.latent_draws,
                until=Until(**self.until) if self.until is not None else None,
                device=self.device,
                devices=self.devices,
                progress=self.progress,
            )
            if self.resume is not None:
                folder = self.resume / f"imputation-{number:03}" if len(settings) > 1 else self.resume
                # The length of a block goes with draws and latent_draws; blocks of two lengths are two runs.
                of_run = {
                    **identity(design, self.measures, own),
                    "length of a block": str(asked.block),
                    "number of imputations": str(len(settings)),
                    "number of devices": str(self.devices),
                    "layout of the states": _STATES,
                }
                asked = replace(asked, checkpoint=Checkpoint(folder, of_run))
            every.append(asked)
        return draw_each(problems, every, self.afresh)


def chosen(problem: Problem, sampler: str) -> tuple[str, Problem]:
    """Return the engine for a problem, and the problem with a note where it is not the one for its size."""
    from bayesdyn.engines.gibbs.expansion import obstacles

    if len(problem.t) < MANY or sampler != "nutpie":
        return "pymc", problem
    found = obstacles(problem)
    if not found:
        return "jax", problem
    note = (
        f"Fitted by the reference engine, which takes long for {len(problem.t):,} exchanges: the sweeps "
        f"cannot do {' and '.join(found)}."
    )
    return "pymc", replace(problem, notes=(*problem.notes, note))


def refitting(engine: str, measures: xr.Dataset, backend: str, device: str, devices: int) -> Drawing:
    """Return an engine by its name, to refit with."""
    if engine == "jax":
        return Sweeping(measures, device=device, devices=devices, afresh=True)
    return Reference(backend)
