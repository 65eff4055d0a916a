"""Which residuals covary: by ``~~``, and those of the noisy predictors; a block is free as a whole."""

from collections.abc import Sequence

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.spec import BUILT_IN_COVARIATES, ModelSpec


def residual_blocks(spec: ModelSpec, endogenous: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the blocks of constructs, as places in ``endogenous``, whose residuals covary."""
    pairs = _pairs(spec, endogenous)
    blocks: list[set[int]] = []
    for v, name in enumerate(endogenous):
        joined = [block for block in blocks if any({name, endogenous[w]} in pairs for w in block)]
        merged = {v}.union(*joined)
        blocks = [block for block in blocks if block not in joined] + [merged]
    return tuple(tuple(sorted(block)) for block in sorted(blocks, key=min))


def check_blocks(spec: ModelSpec, endogenous: tuple[str, ...], faults: FaultList) -> None:
    """Note pairs that are missing in a block, and residuals of constructs without an equation.

    A zero inside a block of residuals that covary has no conjugate prior, and no engine fits it.

    Parameters
    ----------
    spec
        The model, with the default laws of its noisy predictors.
    endogenous
        The constructs that have a law.
    faults
        Receives each missing pair, where a ``~~`` of its block stands last.
    """
    for name in dict.fromkeys(name for pair in spec.residuals for name in (pair.left, pair.right)):
        if name not in endogenous:
            remedy = f'Write its equation, leave the ~~ of {name} out, or fit with measurement="known"'
            what = f"{name} has a residual covariance, but no equation: its scores are taken as they are"
            faults.add(what, remedy, spec.where(name))
    _tell(spec, _missing(spec, endogenous), faults)


def check_written_blocks(spec: ModelSpec, faults: FaultList) -> None:
    """Note pairs that are missing in a block whatever the measures hold (:func:`check_blocks`).

    Which predictors are constructs and noisy is not known before the measures: where they may complete a
    block, nothing is said.
    """
    residual = [name for pair in spec.residuals for name in (pair.left, pair.right)]
    declared = [name for name, _ in spec.parties]
    least = tuple(dict.fromkeys([*spec.outcomes, *residual]))
    surely = tuple(dict.fromkeys([*least, *declared]))
    every = tuple(name for name in dict.fromkeys([*surely, *spec.names]) if name not in BUILT_IN_COVARIATES)
    told = [_missing(spec, known) for known in (least, surely, every)]
    _tell(spec, [pair for pair in told[0] if all(pair in others for others in told[1:])], faults)


def _pairs(spec: ModelSpec, endogenous: tuple[str, ...]) -> set[frozenset[str]]:
    pairs = {frozenset((pair.left, pair.right)) for pair in spec.residuals}
    predictors = spec.predictors(endogenous)
    return pairs | {frozenset((a, b)) for a in predictors for b in predictors if a != b}


def _missing(spec: ModelSpec, endogenous: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = _pairs(spec, endogenous)
    return [
        (endogenous[a], endogenous[b])
        for block in residual_blocks(spec, endogenous)
        for a in block
        for b in block
        if a < b and {endogenous[a], endogenous[b]} not in pairs
    ]


def _tell(spec: ModelSpec, missing: Sequence[tuple[str, str]], faults: FaultList) -> None:
    for one, other in missing:
        near = [pair for pair in spec.residuals if {pair.left, pair.right} & {one, other}]
        last = max(near, key=lambda pair: (pair.line, pair.column))
        what = f"the residuals of {one} and {other} covary through others, but not with each other"
        faults.add(
            what, f"Add {one} ~~ {other}: residuals that covary are one block, free as a whole", last.where
        )
