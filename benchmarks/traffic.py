"""What a compiled program moves, computes and sends, counted in its text; and how fast this machine moves.

An instruction moves what it reads and writes, a loop's as often as it goes round; a part that is read or
written in place counts by the part. Whether it comes from memory or from a cache is not told apart: the share
of the machine's bandwidth that is reached can pass 1 where caches serve.
"""

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

import jax
import jax.numpy as jnp

_BYTES = {
    "pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "f32": 4,
    "s64": 8, "u64": 8, "f64": 8,
}  # fmt: skip
_ARRAY = re.compile(r"\b(pred|[suf]\d+)\[([\d,]*)\]")
_LINE = re.compile(r"^\s*(ROOT )?%([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "iota", "after-all", "opt-barrier"}
_CROSSING = {"all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter"}
_SILENT = {"copy", "broadcast", "slice", "reshape", "transpose", "concatenate", "pad", "gather", "convert"}


@dataclass(frozen=True)
class Instruction:
    """One line of a program: its name, shape, operation, operands, and the rest of the line."""

    name: str
    shape: str
    kind: str
    operands: tuple[str, ...]
    rest: str
    root: bool

    @property
    def elements(self) -> int:
        """Return how many numbers it gives."""
        return sum(prod(int(n) for n in dims.split(",") if n) for _, dims in _ARRAY.findall(self.shape))

    @property
    def size(self) -> int:
        """Return the bytes that it gives."""
        return sum(
            _BYTES[kind] * prod(int(n) for n in dims.split(",") if n)
            for kind, dims in _ARRAY.findall(self.shape)
        )


@dataclass
class Program:
    """The computations of a compiled program by name; ``rounds`` of the loops that do not tell theirs."""

    text: str
    rounds: int
    entry: str = ""
    parts: dict[str, dict[str, Instruction]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the text."""
        inside: dict[str, Instruction] = {}
        for line in self.text.splitlines():
            if head := _HEAD.match(line):
                inside = self.parts.setdefault(head[2], {})
                self.entry = head[2] if head[1] else self.entry
            elif found := _LINE.match(line):
                operands = tuple(re.findall(r"%([\w.\-]+)", found[5].split("), ")[0]))
                inside[found[2]] = Instruction(
                    found[2], found[3], found[4], operands, found[5], bool(found[1])
                )

    def executed(self, name: str = "", times: int = 1) -> Iterator[tuple[str, Instruction, int]]:
        """Yield each instruction that runs by itself, where it stands, and how often it runs."""
        name = name or self.entry
        for one in self.parts[name].values():
            if one.kind == "while":
                told = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', one.rest)
                body = re.search(r"body=%?([\w.\-]+)", one.rest)
                assert body
                yield from self.executed(body[1], times * (int(told[1]) if told else self.rounds))
            elif one.kind in ("call", "conditional"):
                called = re.findall(
                    r"(?:to_apply|branch_computations=\{|true_computation)=?%?([\w.\-]+)", one.rest
                )
                yield from self.executed(called[0], times)
            elif one.kind not in _FREE:
                yield name, one, times

    def bytes_of(self, where: str, one: Instruction) -> int:
        """Return what an instruction reads and writes."""
        around = self.parts[where]
        reads = [around[name] for name in one.operands if name in around]
        called = re.search(r"calls=%?([\w.\-]+)", one.rest)
        if one.kind == "dynamic-update-slice":
            return 2 * reads[1].size
        if one.kind == "dynamic-slice":
            return 2 * one.size
        if one.kind != "fusion" or not called:
            return one.size + sum(read.size for read in reads)
        inside = self.parts[called[1]]
        written = [i for i in inside.values() if i.kind == "dynamic-update-slice"]
        held = {self._origin(inside, i.operands[0]) for i in written}
        moved = sum(inside[i.operands[1]].size for i in written) if written else one.size
        parameters = [i for i in inside.values() if i.kind == "parameter"]
        for parameter in parameters:
            uses = [i for i in inside.values() if parameter.name in i.operands]
            if all(i.kind == "dynamic-slice" for i in uses):
                moved += sum(i.size for i in uses)
            elif parameter.name not in held:
                moved += parameter.size
            else:
                moved += sum(i.size for i in uses if i.kind == "dynamic-slice")
        return moved

    def _origin(self, inside: dict[str, Instruction], name: str) -> str:
        while inside[name].kind == "bitcast":
            name = inside[name].operands[0]
        return name

    def flops_of(self, where: str, one: Instruction) -> int:
        """Return the operations on numbers of an instruction: two for each product that is summed."""
        if called := re.search(r"calls=%?([\w.\-]+)", one.rest):
            return sum(
                self.flops_of(called[1], i) for i in self.parts[called[1]].values() if i.kind not in _FREE
            )
        around = self.parts[where]
        reads = [around[name] for name in one.operands if name in around]
        if one.kind == "dot":
            summed = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", one.rest)
            dims = [int(n) for n in _ARRAY.findall(reads[0].shape)[0][1].split(",") if n]
            return (
                2 * one.elements * prod(dims[int(i)] for i in (summed[1] if summed else "").split(",") if i)
            )
        if one.kind == "reduce":
            return reads[0].elements
        return 0 if one.kind in _SILENT or "slice" in one.kind else one.elements


def counted(text: str, rounds: int) -> Counter[str]:
    """Return ``bytes``, ``flops``, ``instructions`` and what crosses between devices of a compiled program.

    ``crossing`` operations by kind, and the bytes of their results as ``sent``.
    """
    program, found = Program(text, rounds), Counter[str]()
    for where, one, times in program.executed():
        found["instructions"] += times
        found["bytes"] += times * program.bytes_of(where, one)
        found["flops"] += times * program.flops_of(where, one)
        if (kind := one.kind.removesuffix("-start")) in _CROSSING:
            found[f"crossing {kind}"] += times
            found["sent"] += times * one.size
    return found


def bandwidth(size: int) -> float:
    """Return the bytes a second that this machine moves in a + 2 b over arrays of so many bytes."""
    one, other = jnp.ones(size // 4, jnp.float32), jnp.ones(size // 4, jnp.float32)
    rounds = max(5, 1_000_000_000 // size)

    @jax.jit
    def added(a: jax.Array, b: jax.Array) -> jax.Array:
        return a + 2 * b

    jax.block_until_ready(added(one, other))
    times = []
    for _ in range(rounds):
        began = time.monotonic()
        jax.block_until_ready(added(one, other))
        times.append(time.monotonic() - began)
    return 3 * size / sorted(times)[len(times) // 4]
