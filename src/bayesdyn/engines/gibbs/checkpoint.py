"""Checkpoints of a run: where every chain stands, and the draws so far, in a folder.

Each block of draws is a file of its own, written once; ``state.npz`` is written last, whole or not at all,
and says how many of them count. A run that is killed at any moment loses the block it was in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np

from bayesdyn.artefacts import whole_file
from bayesdyn.engines.gibbs.devices import on_host
from bayesdyn.errors import EngineError, FaultList

_STATE = "state.npz"


@dataclass(frozen=True)
class Standing:
    """Where a run stands after some blocks.

    Attributes
    ----------
    leaves
        Of the chains' states: arrays in the order of the tree, keys of random numbers as their data.
    warmed, drawn
        Blocks of the warm-up and of kept draws that are done.
    totals
        Sums over all kept draws of the states, and of their squares.
    """

    leaves: list[np.ndarray]
    warmed: int
    drawn: int
    totals: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Checkpoint:
    """A folder of checkpoints of one run.

    Attributes
    ----------
    folder
        Made when the first block ends.
    identity
        What a run that goes on must share with the one that began, by name: hashes, settings, versions.
    """

    folder: Path
    identity: Mapping[str, str]

    def load(self) -> Standing | None:
        """Return where the run stands, None where none was begun.

        Raises
        ------
        EngineError
            If the folder holds a run of another model, of other data or settings, or a damaged file.
        """
        faults = FaultList()
        if self.folder.exists() and not self.folder.is_dir():
            faults.add("it is no folder", "Name a folder, which need not exist")
            faults.raise_if_any(self._title, EngineError)
        if not (self.folder / _STATE).exists():
            return None
        arrays = self._read(_STATE)
        told = json.loads(str(arrays.pop("told")))
        for name, value in self.identity.items():
            if told["identity"].get(name) != value:
                faults.add(
                    f"it is of a run with another {name}", "Name another folder, or fit as it was begun"
                )
        faults.raise_if_any(self._title, EngineError)
        totals = (arrays.pop("total"), arrays.pop("total_of_squares"))
        return Standing(_in_order(arrays), told["warmed"], told["drawn"], totals)

    def save(self, standing: Standing) -> None:
        """Write where the run stands, whole or not at all."""
        told = {"identity": dict(self.identity), "warmed": standing.warmed, "drawn": standing.drawn}
        first, second = standing.totals
        arrays = {"total": first, "total_of_squares": second, **_numbered(standing.leaves)}
        self._write(_STATE, {"told": np.array(json.dumps(told)), **arrays})

    def save_block(self, number: int, leaves: list[np.ndarray], kind: str = "draws") -> None:
        """Write the draws of a block; ``kind`` is ``draws`` or ``warm-up``."""
        self._write(_block(number, kind), _numbered(leaves))

    def load_block(self, number: int, kind: str = "draws") -> list[np.ndarray]:
        """Return the draws of a block.

        Raises
        ------
        EngineError
            If its file is gone or damaged.
        """
        return _in_order(self._read(_block(number, kind)))

    @property
    def _title(self) -> str:
        return f"Cannot go on from checkpoint {self.folder}"

    def _read(self, name: str) -> dict[str, np.ndarray]:
        try:
            # Opened here: NumPy leaves a file that is no archive open.
            with (self.folder / name).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            faults = FaultList()
            faults.add(f"{name} is damaged ({type(error).__name__})", "Delete the folder and start anew")
            faults.raise_if_any(self._title, EngineError)
            raise AssertionError("a fault was added") from error

    def _write(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        with whole_file(self.folder / name) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


def leaves_of(tree: object) -> list[np.ndarray]:
    """Return the arrays of a tree, keys of random numbers as their data."""
    return [on_host(_plain(leaf)) for leaf in jax.tree.leaves(tree)]


def filled_as[T](like: T, leaves: list[np.ndarray]) -> T:
    """Return a tree of the same build as ``like`` with these arrays."""
    old, build = jax.tree.flatten(like)
    new = [
        jax.random.wrap_key_data(jnp.asarray(leaf)) if _is_key(one) else jnp.asarray(leaf)
        for one, leaf in zip(old, leaves, strict=True)
    ]
    return jax.tree.unflatten(build, new)


def _plain(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _numbered(leaves: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"leaf{number}": leaf for number, leaf in enumerate(leaves)}


def _in_order(arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [arrays[f"leaf{number}"] for number in range(len(arrays))]


def _block(number: int, kind: str) -> str:
    return f"{kind}-{number:06}.npz"
