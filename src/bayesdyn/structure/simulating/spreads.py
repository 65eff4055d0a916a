"""Covariances of a simulated study: of residuals, of first exchanges, of dyads, sessions and other groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bayesdyn.errors import FaultList
from bayesdyn.structure.language.blocks import residual_blocks
from bayesdyn.structure.language.numbers import is_number, shown
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.language.terms import effect_names
from bayesdyn.structure.language.words import did_you_mean, sentence
from bayesdyn.structure.simulating.asked import mapping_of

type Numbers = float | Mapping[str, float]
type Pairs = float | Mapping[tuple[str, str], float]

_RESIDUAL_VARIANCE, _START_VARIANCE, _CORR, _LEVEL_SD, _SLOPE_SD = 0.8, 0.9, 0.2, 0.3, 0.1


@dataclass(frozen=True)
class Spreads:
    """Standard deviations and correlations of a study, in standardised units.

    Each is one number for all, or a mapping from the coordinate that a fit's covariance has: constructs for
    residuals and starts, ``disclosure ~ 1`` or ``disclosure ~ empathy`` for levels; for correlations a tuple
    of two, in either order. What is not named has the default.

    Attributes
    ----------
    residual_sd, residual_corr
        Of the residuals; default .894 (variance .8) and .2. Those of the predictors are meant too. Only
        pairs that the model frees can correlate.
    start_sd
        Of first exchanges around their session's mean; default 1.061 times the residual SD (variance .9).
        Their correlations are those of the residuals.
    dyad_sd, dyad_corr, session_sd, session_corr
        Of what varies by dyad and by session; default .3 for means and for logs of residual SDs, .1 for
        slopes, correlations .2. An SD of 0 switches an effect off.
    group_sd, group_corr
        The same of other groups, by the covariate that names them.
    """

    residual_sd: Numbers | None = None
    residual_corr: Pairs = _CORR
    start_sd: Numbers | None = None
    dyad_sd: Numbers | None = None
    dyad_corr: Pairs = _CORR
    session_sd: Numbers | None = None
    session_corr: Pairs = _CORR
    group_sd: Mapping[str, Numbers] = field(default_factory=dict[str, Numbers])
    group_corr: Mapping[str, Pairs] = field(default_factory=dict[str, Pairs])


@dataclass(frozen=True)
class Covariances:
    """Covariance matrices of a study.

    Attributes
    ----------
    residual, start
        (V, V) over the constructs with a law.
    levels
        For each kind of group, ``dyad`` and ``session`` first, the matrix over the effects that vary by it.
    """

    residual: np.ndarray
    start: np.ndarray
    levels: Mapping[str, np.ndarray]


def covariances(
    spec: ModelSpec, endogenous: tuple[str, ...], spreads: Spreads, faults: FaultList
) -> Covariances:
    """Return the covariances that were asked for; note unknown names and matrices that are none."""
    residual, start = _residuals(spec, endogenous, spreads, faults)
    levels = {}
    group_sd = mapping_of("group_sd", spreads.group_sd, "groups to SDs", faults)
    group_corr = mapping_of("group_corr", spreads.group_corr, "groups to correlations", faults)
    for argument, given in (("group_sd", group_sd), ("group_corr", group_corr)):
        for name in given:
            if name not in spec.crossed:
                _unknown(argument, name, spec.crossed, faults)
    asked: list[tuple[str, Numbers | None, Pairs]] = [
        ("dyad", spreads.dyad_sd, spreads.dyad_corr),
        ("session", spreads.session_sd, spreads.session_corr),
        *((name, group_sd.get(name), group_corr.get(name, _CORR)) for name in spec.crossed),
    ]
    for group, sds, corrs in asked:
        names = effect_names(spec, group)
        usual = np.array([_LEVEL_SD if name.endswith("~ 1") else _SLOPE_SD for name in names])
        sd = _sds(f"{group}_sd", sds, names, usual, 0.0, faults)
        levels[group] = _correlations(f"{group}_corr", corrs, names, faults) * sd * sd[:, None]
    return Covariances(residual, start, levels)


def _residuals(
    spec: ModelSpec, endogenous: tuple[str, ...], spreads: Spreads, faults: FaultList
) -> tuple[np.ndarray, np.ndarray]:
    unset = np.full(len(endogenous), np.nan)
    sd = _sds("residual_sd", spreads.residual_sd, endogenous, unset, _LEAST, faults)
    # The variance .8 itself, and not the square of its root: the default is exact.
    variance = np.where(np.isnan(sd), _RESIDUAL_VARIANCE, sd**2)
    freed = np.eye(len(endogenous), dtype=bool)
    for block in residual_blocks(spec, endogenous):
        freed[np.ix_(block, block)] = True
    corr = _correlations("residual_corr", spreads.residual_corr, endogenous, faults, freed)
    residual = np.sqrt(np.outer(variance, variance)) * corr
    scaled = residual * _START_VARIANCE / _RESIDUAL_VARIANCE
    if spreads.start_sd is None:
        return residual, scaled
    start_sd = _sds("start_sd", spreads.start_sd, endogenous, np.sqrt(np.diag(scaled)), _LEAST, faults)
    return residual, corr * np.outer(start_sd, start_sd)


def _sds(
    argument: str,
    asked: Numbers | None,
    names: Sequence[str],
    usual: np.ndarray,
    least: float,
    faults: FaultList,
) -> np.ndarray:
    """Return (names,) standard deviations; ``usual`` are the defaults."""
    given = _by_name(asked, names)
    sd = np.array(
        [
            given[name] if is_number(given.get(name)) else value
            for name, value in zip(names, usual, strict=True)
        ]
    )
    for name, value in given.items():
        if name not in names:
            _unknown(argument, name, names, faults)
        elif not is_number(value) or value < least:
            remedy = "Give a number above 0" if least else "Give 0 or a number above it"
            faults.add(f"{argument} of {name} is {shown(value)}", remedy)
    return sd


def _correlations(
    argument: str,
    asked: Pairs,
    names: Sequence[str],
    faults: FaultList,
    freed: np.ndarray | None = None,
) -> np.ndarray:
    """Return the (names, names) correlation matrix, 0 where ``freed`` says that the model has none."""
    free = np.ones((len(names), len(names)), dtype=bool) if freed is None else freed
    usual = _CORR if isinstance(asked, Mapping) else asked
    if not is_number(usual) or not -1 < usual < 1:
        faults.add(f"{argument} is {shown(usual)}", "Give a number between -1 and 1")
        return np.eye(len(names))
    corr = np.where(free, usual, 0.0) * (1 - np.eye(len(names))) + np.eye(len(names))
    for pair, value in asked.items() if isinstance(asked, Mapping) else ():
        if not (isinstance(pair, tuple) and len(pair) == 2) or pair[0] == pair[1]:
            faults.add(f"{argument} of {pair!r}", "Name two different effects in a tuple")
            continue
        strangers = [name for name in pair if name not in names]
        for name in strangers:
            _unknown(argument, name, names, faults)
        if strangers:
            continue
        a, b = (names.index(name) for name in pair)
        if not free[a, b]:
            faults.add(f"{argument} of {pair[0]} and {pair[1]}: the model fixes it at 0",
                       f"Write {pair[0]} ~~ {pair[1]} in the model")  # fmt: skip
        elif not is_number(value) or not -1 < value < 1:
            faults.add(f"{argument} of {pair[0]} and {pair[1]} is {shown(value)}",
                       "Give a number between -1 and 1")  # fmt: skip
        else:
            corr[a, b] = corr[b, a] = value
    if not faults.faults and len(names) and np.linalg.eigvalsh(corr)[0] <= _LEAST:
        faults.add(f"{argument}: no such correlations can hold together", "Move them towards 0")
    return corr


def _by_name(asked: Numbers | None, names: Sequence[str]) -> Mapping[str, float]:
    if asked is None:
        return {}
    return asked if isinstance(asked, Mapping) else dict.fromkeys(names, asked)


def _unknown(argument: str, name: str, names: Sequence[str], faults: FaultList) -> None:
    remedy = sentence(did_you_mean(name, names), f"A fit has {', '.join(names) or 'none'}")
    faults.add(f"{argument} of {name!r}: no such name", remedy)


_LEAST = 1e-9  # of a variance or an eigenvalue: below it a covariance has no Cholesky factor
