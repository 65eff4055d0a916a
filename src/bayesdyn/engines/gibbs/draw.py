"""Chains of sweeps, block by block side by side: starts, warm-up, draws, checkpoints, when to stop."""

import operator
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayesdyn.engines.gibbs.asked import Asked
from bayesdyn.engines.gibbs.block import Totals, run_block, stacked, start
from bayesdyn.engines.gibbs.checkpoint import Standing, filled_as, leaves_of
from bayesdyn.engines.gibbs.convergence import Reached, reached_by, settled
from bayesdyn.engines.gibbs.devices import (
    check_memory,
    device_in_use,
    free_memory,
    free_on_host,
    needed_by,
    on_device,
    on_host,
)
from bayesdyn.engines.gibbs.expansion import obstacles
from bayesdyn.engines.gibbs.layout import ONE_DEVICE
from bayesdyn.engines.gibbs.named import posterior_of, stats_of
from bayesdyn.engines.gibbs.shards import Shards, sweep_on
from bayesdyn.engines.gibbs.steps import frozen
from bayesdyn.engines.gibbs.sweep import Kept, State, Sweep
from bayesdyn.errors import EngineError, FaultList
from bayesdyn.machine import available_cores
from bayesdyn.measures.compiled import kept_on_disk
from bayesdyn.structure.problem import Problem

_TELL_EVERY_S = 10.0


def draw_gibbs(problem: Problem, asked: Asked) -> xr.DataTree:
    """Draw from the posterior of a problem: :func:`draw_each` of one."""
    return draw_each([problem], [asked])[0]


def draw_each(problems: Iterable[Problem], asked: Sequence[Asked], afresh: bool = False) -> list[xr.DataTree]:
    """Draw from the posteriors of problems of one design, which differ in their scores and errors only.

    Groups and names as :func:`.pymc_engine.draw` gives them. Each run begins where the one before ended, or
    ``afresh``; one program draws all whose blocks are of one length.

    The attributes of ``sample_stats`` say how long this process compiled and sampled, in seconds, and on what
    kind and number of devices, in what precision: the draws of a seed go with these.

    Raises
    ------
    EngineError
        If the problem holds what the sweeps cannot do, the checkpoint is of another run, the device is not
        there, or the run would not fit into memory.
    """
    jax.config.update("jax_enable_x64", True)
    trees, before = [], None
    for problem, own in zip(problems, asked, strict=True):
        faults = FaultList()
        for obstacle in obstacles(problem):
            faults.add(f"it has {obstacle}", 'Use engine="pymc"')
        faults.raise_if_any(f'engine="jax" cannot fit model {problem.spec.name!r}', EngineError)
        sweep, shards = sweep_on(own.device, own.devices, problem, own.dtype)
        with on_device(own.device), kept_on_disk():
            run = _Run(sweep, own, shards, before, afresh)
            run.run()
            trees.append(run.tree())
        before = run
    return trees


class _Run:
    """A run of chains: each of them does a block, then all are looked at together."""

    def __init__(
        self,
        sweep: Sweep,
        asked: Asked,
        shards: Shards | None = None,
        before: "_Run | None" = None,
        afresh: bool = False,
    ) -> None:
        """Stand where chains begin: where those of the run before ended, if there was one, or afresh."""
        self.sweep, self.asked, self.block, self.shards = sweep, asked, asked.block, shards
        # A processor takes chains on cores of their own; other devices take one program of them all.
        self.together = device_in_use().platform != "cpu" or shards is not None
        bring = ONE_DEVICE if shards is None else shards
        self.rows = sweep.rows(bring)
        self.states = [start(sweep, asked.random_seed, chain, bring) for chain in range(asked.chains)]
        self.program: Block | None = None
        if before is not None:
            self.program = before.program if before.block == self.block else None
        if before is not None and not afresh:
            ends = zip(self.states, before.states, strict=True)
            self.states = [end._replace(key=begin.key) for begin, end in ends]
        whole = None if shards is None else shards.held_by_all
        # Compiled as a whole: of several hosts none may look at what others hold parts of.
        of = jax.jit(lambda x, rows: sweep.at(rows).sums(sweep.columns(x), rows), out_shardings=whole)
        self.given = None if sweep.states.moved else of(self.states[0].states, self.rows)
        self.warmed, self.kept, self.latent = 0, [], []
        self.totals = (np.zeros(()), np.zeros(()))
        # By block: of the warm-up, and of what is kept. Blocks have one shape, so one compilation serves all.
        self.warm_parameters: list[xr.Dataset] = []
        self.parameters: list[xr.Dataset] = []
        self.found: Reached | None = None
        self.began = self.told = time.monotonic()
        self.compiling = self.sampling = 0.0

    def run(self) -> None:
        """Draw all: what is missing beside those of a checkpoint."""
        asked = self.asked
        self._take_up()
        blocks = -(-asked.draws // self.block)
        began = time.monotonic()
        if len(self.kept) < blocks and self.program is None:
            self.program = self._compiled()
        compiled = self.program if len(self.kept) < blocks else None
        self.compiling = time.monotonic() - began
        with ThreadPoolExecutor(min(available_cores(), asked.chains)) as pool:
            while compiled and not self._warm():
                self._warm_up(self._advance(pool, partial(compiled, jnp.array(True)))[0])
            self.states = [one._replace(steps=frozen(one.steps)) for one in self.states]
            while compiled and len(self.kept) < blocks and not self._enough():
                kept, totals = self._advance(pool, partial(compiled, jnp.array(False)))
                self.kept.append(kept)
                self.totals = (self.totals[0] + totals.first, self.totals[1] + totals.second)
                self.parameters.append(self._parameters_of(kept))
                if asked.latent_draws:
                    states = [on_host(one.states).astype(np.float32) for one in self.states]
                    self.latent.append(np.stack([self._by_exchange(one) for one in states]))
                self._save()
        self.sampling = time.monotonic() - began - self.compiling

    def _warm(self) -> bool:
        """Return whether the warm-up is over: done, or with ``until`` the chains have met."""
        if self.kept or self.warmed * self.block >= self.asked.tune:
            return True
        return self.asked.until is not None and settled(self.warm_parameters)

    def _warm_up(self, kept: Kept) -> None:
        """Go on from a block of the warm-up."""
        self.warm_parameters.append(self._parameters_of(kept))
        if self.asked.checkpoint is not None:
            self.asked.checkpoint.save_block(self.warmed, leaves_of(kept), "warm-up")
        self.warmed += 1
        self._save()
        self._tell(f"warm-up: {self.warmed * self.block} of {self.asked.tune} sweeps")

    def _parameters_of(self, kept: Kept) -> xr.Dataset:
        return posterior_of(self.sweep, kept.unknowns, effects=False)

    def _compiled(self) -> "Block":
        found = None if self.shards is None else self.shards.of_block
        block = jax.jit(
            partial(run_block, self.sweep, self.block, together=self.together), out_shardings=found
        )
        begin = self._stacked() if self.together else self.states[0]
        compiled = block.lower(jnp.array(True), begin, self.rows, self.given).compile()
        self._check_memory(needed_by(compiled))
        return compiled

    def _check_memory(self, by_program: float) -> None:
        """Refuse a run that would not fit: ``by_program`` bytes while a program does a block."""
        asked = self.asked
        of_draw = sum(leaf.nbytes for leaf in jax.tree.leaves(Kept(self.states[0].unknowns, jnp.zeros(9))))
        # Draws are joined at the end: they stand there twice.
        draws = 2 * of_draw * asked.draws * asked.chains
        # The parts of a program over several devices of a processor stand side by side in one memory.
        programs = asked.devices if self.together else min(available_cores(), asked.chains)
        needs = {"memory": (by_program * programs + draws, free_memory())}
        if device_in_use().platform != "cpu":
            needs = {"the device's memory": (by_program, free_memory()), "memory": (draws, free_on_host())}
        check_memory(needs, f"Cannot fit model {self.sweep.problem.spec.name!r}")

    def _advance(self, pool: ThreadPoolExecutor, block: "Block") -> tuple[Kept, Totals]:
        """Move every chain by a block; the chains stay where they were if that is interrupted.

        Totals are of all chains together, in double precision.
        """
        if self.together:
            moved, every, totals = block(self._stacked(), self.rows, self.given)
            places = range(len(self.states))
            self.states = [jax.tree.map(operator.itemgetter(i), moved) for i in places]
            kept = jax.tree.map(lambda values: np.swapaxes(np.asarray(values), 0, 1), every)
            # Summed before they leave their devices: states of many exchanges are long to fetch.
            return kept, jax.tree.map(lambda values: on_host(jnp.sum(values, axis=0, dtype=float)), totals)
        done = list(pool.map(lambda state: block(state, self.rows, self.given), self.states))
        self.states, kept, totals = (list(part) for part in zip(*done, strict=True))
        return (
            jax.tree.map(lambda *chains: np.stack(chains), *kept),
            jax.tree.map(lambda *chains: np.sum(chains, axis=0, dtype=float), *totals),
        )

    def _stacked(self) -> State:
        """Return the states of all chains as one."""
        return stacked(self.states) if self.shards is None else self.shards.stacked(self.states)

    def _by_exchange(self, laid: np.ndarray) -> np.ndarray:
        """Return values (C, T, L) as (N, C)."""
        return laid.reshape(len(laid), -1)[:, self.sweep.lanes.place].T

    def _take_up(self) -> None:
        """Go on from the checkpoint, if there is one."""
        point = self.asked.checkpoint
        standing = point.load() if point else None
        if point is None or standing is None:
            return
        self.states, self.warmed = filled_as(self.states, standing.leaves), standing.warmed
        self.totals = standing.totals
        like = Kept(self.states[0].unknowns, jnp.zeros(len(self.sweep.moves)))
        for number in range(standing.warmed):
            warm = filled_as(like, point.load_block(number, "warm-up"))
            self.warm_parameters.append(self._parameters_of(warm))
        for number in range(standing.drawn):
            leaves = point.load_block(number)
            if self.asked.latent_draws:
                self.latent.append(leaves.pop())
            self.kept.append(jax.tree.map(np.asarray, filled_as(like, leaves)))
            self.parameters.append(self._parameters_of(self.kept[-1]))
        self._tell(f"goes on from {point.folder}", now=True)

    def _save(self) -> None:
        point, drawn = self.asked.checkpoint, len(self.kept)
        if point is None:
            return
        if drawn:
            latent = self.latent[-1:]
            point.save_block(drawn - 1, [*leaves_of(self.kept[-1]), *latent])
        point.save(Standing(leaves_of(self.states), self.warmed, drawn, self.totals))

    def _enough(self) -> bool:
        """Look how far the chains have come, now and then, and return whether that is what was asked for."""
        blocks, until = len(self.kept), self.asked.until
        if _is_look(blocks) and (until or self.asked.progress):
            self.found = found = reached_by(self.parameters)
            if until is not None and found.meets(until):
                return True
        if self.found is not None:
            self._tell(
                f"{blocks * self.block} of {self.asked.draws} draws, R-hat {self.found.rhat:.3f}, "
                f"ESS {self.found.ess:.0f} ({self.found.slowest})"
            )
        return False

    def _tell(self, text: str, now: bool = False) -> None:
        moment = time.monotonic()
        if self.asked.progress and (now or moment - self.told > _TELL_EVERY_S):
            sys.stderr.write(f"{text}, {moment - self.began:.0f} s\n")
            sys.stderr.flush()
            self.told = moment

    def _joined(self) -> Kept:
        most = self.asked.draws
        return jax.tree.map(lambda *blocks: np.concatenate(blocks, axis=1)[:, :most], *self.kept)

    def tree(self) -> xr.DataTree:
        """Return all draws, by group."""
        kept = self._joined()
        groups = {
            "posterior": posterior_of(self.sweep, kept.unknowns),
            "sample_stats": stats_of(self.sweep, kept).assign_attrs(
                compiling_time=self.compiling,
                sampling_time=self.sampling,
                device=device_in_use().platform,
                devices=self.asked.devices,
                dtype=self.sweep.dtype,
            ),
        }
        if self.sweep.states.moved:
            first, second = (
                self._by_exchange(total) / (len(self.kept) * self.block * self.asked.chains)
                for total in self.totals
            )
            dims, sd = ("exchange", "construct"), np.sqrt(np.maximum(second - first**2, 0.0))
            groups["latent_summary"] = xr.Dataset({"mean": (dims, first), "sd": (dims, sd)})
        if self.asked.latent_draws:
            every = np.concatenate([states for block in self.latent for states in block[:, None]])
            picked = np.linspace(0, len(every) - 1, min(self.asked.latent_draws, len(every))).astype(int)
            groups["latent"] = xr.Dataset({"latent": (("sample", "exchange", "construct"), every[picked])})
        return xr.DataTree.from_dict(groups)


type Block = Callable[..., tuple[State, Kept, Totals]]
"""A compiled block of sweeps."""


def _is_look(blocks: int) -> bool:
    """Return whether a run may stop after so many blocks: 1, 2, 4, 6, 8, then 10 % apart.

    Nothing but the number counts, so that a run that was interrupted stops where it would have.
    """
    if blocks <= 8:
        return blocks in (1, 2, 4, 6, 8)
    return int(np.log(blocks) / np.log(1.1)) > int(np.log(blocks - 1) / np.log(1.1))
