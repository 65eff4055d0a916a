"""Who rates a simulated study, how well, and which exchanges humans code."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesdyn.errors import FaultList
from bayesdyn.structure.simulating.asked import ByConstruct, by_construct, check_share
from bayesdyn.structure.simulating.lengths import is_count
from bayesdyn.tables import RATER_KINDS

UNITS = ("exchange", "session", "dyad")


@dataclass(frozen=True)
class Rater:
    """One rater; numbers are for all constructs, or by construct (the default where not named).

    Attributes
    ----------
    name, kind
        ``kind`` is ``llm`` or ``human``: only LLMs have the error that LLMs share.
    severity
        How much higher it rates an average exchange, in scale points.
    discrimination
        How much its ratings rise with a rise of one point in the true score.
    error_sd
        SD of its own error, in scale points, without the noise of replicates.
    replicates, replicate_sd
        How often it rates the same, and the SD of the noise that each time has of its own.
    """

    name: str
    kind: Literal["llm", "human"] = "llm"
    severity: ByConstruct = 0.0
    discrimination: ByConstruct = 1.0
    error_sd: ByConstruct = 0.5
    replicates: int = 1
    replicate_sd: ByConstruct = 0.0


@dataclass(frozen=True)
class RaterDesign:
    """The raters of a study.

    Attributes
    ----------
    raters
        LLMs rate every exchange; humans those that are chosen for coding.
    shared_error
        Share of error in what LLMs have in common, ``shared_error`` of Measures: of the variance of the true
        score and the error that they share, the latter's part. One number, or by construct.
    error_levels
        Parts of exchange, session and dyad in the variance of each rater's own error; sum 1.
    coded, coded_by
        Share that humans code, and what is chosen, at random: ``exchange``, ``session`` or ``dyad``.
    overlap
        Share of what is coded that every coder codes. The rest goes to one coder each, in turn.
    points
        Lowest and highest point of the scale: ratings are rounded and held within. None: neither.
    floor
        Share of the ratings that stand at the lowest point: the true score is moved along the scale until
        it is so, above 0 only. One number, or by construct; 0 leaves it where it is.
    """

    raters: tuple[Rater, ...] = (Rater("llm1"), Rater("llm2"))
    shared_error: ByConstruct = 0.0
    error_levels: tuple[float, float, float] = (1.0, 0.0, 0.0)
    coded: float = 1.0
    coded_by: Literal["exchange", "session", "dyad"] = "exchange"
    overlap: float = 1.0
    points: tuple[int, int] | None = None
    floor: ByConstruct = 0.0


@dataclass(frozen=True)
class Panel:
    """A design for C constructs and R raters, checked.

    Attributes
    ----------
    design
        As asked.
    severity, discrimination, error_sd, replicate_sd
        (R, C), in scale points.
    shared_error, floor
        (C,) shares.
    """

    design: RaterDesign
    severity: np.ndarray
    discrimination: np.ndarray
    error_sd: np.ndarray
    replicate_sd: np.ndarray
    shared_error: np.ndarray
    floor: np.ndarray

    @property
    def human(self) -> np.ndarray:
        """(R,) who is a human coder."""
        return np.array([rater.kind == "human" for rater in self.design.raters])


def panel_of(
    design: RaterDesign, constructs: tuple[str, ...], fixed_scale: tuple[str, ...], faults: FaultList
) -> Panel:
    """Return the numbers of a design; note all that is wrong with it.

    Parameters
    ----------
    design
        As asked.
    constructs
        Of the model.
    fixed_scale
        Constructs whose shift the model fixes: their true score cannot be moved to a floor.
    faults
        Receives what is wrong.
    """
    _check_raters(design, faults)
    _check_design(design, faults)

    def table(attribute: str, default: float, bounds: str) -> np.ndarray:
        asked = [(rater.name, getattr(rater, attribute)) for rater in design.raters]
        rows = [
            by_construct(f"{attribute} of {name}:", value, constructs, default, bounds, faults)
            for name, value in asked
        ]
        return np.array(rows).reshape(len(rows), len(constructs))

    floor = by_construct("floor", design.floor, constructs, 0.0, "[0, 1)", faults)
    for name, share in zip(constructs, floor, strict=True):
        if share > 0 and design.points is None:
            faults.add(f"floor of {name} without a scale", "Give points=(lowest, highest)")
        elif share > 0 and name in fixed_scale:
            faults.add(f"floor of {name}: the model fixes its scale", "Take it out of [scale]")
    return Panel(
        design,
        table("severity", 0.0, "(-inf, inf)"),
        table("discrimination", 1.0, "(0, inf)"),
        table("error_sd", 0.5, "[0, inf)"),
        table("replicate_sd", 0.0, "[0, inf)"),
        by_construct("shared_error", design.shared_error, constructs, 0.0, "[0, 1)", faults),
        floor,
    )


def _check_raters(design: RaterDesign, faults: FaultList) -> None:
    if not design.raters:
        faults.add("there is no rater", "Give at least one")
    for name, count in Counter(rater.name for rater in design.raters).items():
        if count > 1 or not name:
            what = f"{count} raters are called {name!r}" if name else "a rater has no name"
            faults.add(what, "Give each a name of its own")
    for rater in design.raters:
        if rater.kind not in RATER_KINDS:
            faults.add(f"the kind {rater.kind!r} of rater {rater.name} is unknown",
                       f"Use {' or '.join(RATER_KINDS)}")  # fmt: skip
        if not is_count(rater.replicates):
            faults.add(f"replicates of {rater.name} is {rater.replicates!r}",
                       "Give a whole number from 1 up")  # fmt: skip


def _check_design(design: RaterDesign, faults: FaultList) -> None:
    levels = np.array(design.error_levels, dtype=float)
    if levels.shape != (3,) or not (levels >= 0).all() or abs(levels.sum() - 1) > 1e-9:
        faults.add(f"error_levels are {design.error_levels}",
                   "Give the parts of exchange, session and dyad, sum 1")  # fmt: skip
    check_share("coded", design.coded, "(0, 1]", faults)
    check_share("overlap", design.overlap, "[0, 1]", faults)
    if design.coded_by not in UNITS:
        faults.add(f"coded_by is {design.coded_by!r}", f"Use one of {', '.join(UNITS)}")
    if design.points is not None and not (
        len(design.points) == 2
        and all(isinstance(point, int) for point in design.points)
        and design.points[0] < design.points[1]
    ):
        faults.add(f"points are {design.points}", "Give the lowest and the highest, whole numbers")
