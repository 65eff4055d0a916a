"""Ratings as part of a problem: what a fit with the ratings' own likelihood needs of its raters."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.tables import RATER_PRIORS

RATER_NAMES = ("severity", "discrimination", "error_sd", "shared")
"""What a joint fit tells of each rater, (rater, construct)."""
TOKEN_PRIOR = (1.0, 2.0)
"""Beta prior of the share of error variance that follows token variance, where there are token variances."""

_NEEDED = ("rating", "rating_q", "rating_noise")


@dataclass(frozen=True)
class Rated:
    """Ratings of N exchanges by R raters of C constructs, standardised as the scores are.

    Attributes
    ----------
    raters, human
        Names, and (R,) who is human.
    value, q, noise
        (N, R, C) ratings, 0 where unrated; relative token variance, 1 there; variance of the mean of the
        replicates, 0 there.
    mask
        (N, R, C) 1 where rated.
    present
        (R, C) who has a part in which construct.
    anchor
        (R, C) who sets the scale: humans where there are any, else all.
    free
        (C,) whether the raters' discriminations differ.
    own_rho
        (C,) whether each rater has a reliability of its own.
    rho_prior, shared_prior
        (R, C, 2), (C, 2) parameters of the Beta priors; a ``shared_prior`` of 0 is none: no shared error.
    tokens
        (C,) whether the error variance follows token variance.
    """

    raters: tuple[str, ...]
    human: np.ndarray
    value: np.ndarray
    q: np.ndarray
    noise: np.ndarray
    mask: np.ndarray
    present: np.ndarray
    anchor: np.ndarray
    free: np.ndarray
    own_rho: np.ndarray
    rho_prior: np.ndarray
    shared_prior: np.ndarray
    tokens: np.ndarray

    @property
    def rho_priors(self) -> np.ndarray:
        """(R, C, 2) priors of what is drawn: each rater's, or one for all, at the first rater; else 0."""
        wanted = self.present & (self.own_rho | self.first)
        return np.where(wanted[:, :, None], self.rho_prior, 0.0)

    @property
    def first(self) -> np.ndarray:
        """(R, C) the first rater of each construct."""
        return self.present & (np.cumsum(self.present, axis=0) == 1)

    @property
    def by_humans(self) -> np.ndarray:
        """(C,) whether humans set the scale."""
        return (self.anchor & self.human[:, None]).any(axis=0)

    @property
    def equal_common(self) -> np.ndarray:
        """(R, C) LLMs beside humans where all load alike on what raters of their kind have in common.

        A part of that is error in LLMs, so their discrimination is below the humans' 1.
        """
        return self.present & ~self.human[:, None] & (self.by_humans & ~self.free)

    def of(self, c: int) -> "Rated":
        """Return the ratings of one construct, which stay arrays of as many axes."""
        by_exchange = ("value", "q", "noise", "mask")
        by_rater = ("present", "anchor", "rho_prior")
        by_construct = ("free", "own_rho", "shared_prior", "tokens")
        return replace(
            self,
            **{name: getattr(self, name)[:, :, [c]] for name in by_exchange},
            **{name: getattr(self, name)[:, [c]] for name in by_rater},
            **{name: getattr(self, name)[[c]] for name in by_construct},
        )

    def same_raters(self, other: "Rated | None") -> bool:
        """Return whether the two differ in nothing but who rated what how."""
        names = ("human", "present", "anchor", "free", "own_rho", "rho_prior", "shared_prior", "tokens")
        return (
            other is not None
            and self.raters == other.raters
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)
        )


def as_measured(rated: Rated, shift: np.ndarray, scale: np.ndarray) -> xr.Dataset:
    """Return the ratings as Measures hold them, in raw units and double precision."""
    raw = (shift + scale * rated.value, rated.q, scale**2 * rated.noise)
    values = {
        name: (("exchange", "rater", "construct"), np.where(rated.mask > 0, part, np.nan))
        for name, part in zip(_NEEDED, raw, strict=True)
    }
    kind = np.where(rated.human, "human", "llm").astype(object)
    return xr.Dataset(values, coords={"rater": list(rated.raters), "rater_kind": ("rater", kind)})


def check_rated(measures: xr.Dataset, constructs: tuple[str, ...], faults: FaultList) -> None:
    """Note why the likelihood of the ratings cannot be a part of a fit to these measures."""
    assumed = json.loads(measures.attrs.get(RATER_PRIORS, "{}"))
    if not set(_NEEDED) <= set(map(str, measures.data_vars)) or not set(constructs) <= set(assumed):
        faults.add(
            "these measures hold no ratings",
            'Make them with bayesdyn.measure of this version, or fit with measurement="known"',
        )
        return
    known = 'Fit with measurement="known"'
    for kind, why, remedy in (
        ("ordinal", "an ordinal likelihood is integrated over a true score of its own", known),
        (
            "weighted",
            "labelling probabilities of coders weigh in no joint posterior",
            f'{known} or "propagated"',
        ),
    ):
        named = [name for name in constructs if assumed[name][kind]]
        if named:
            faults.add(f"{', '.join(named)}: {why}", remedy)


def read_rated(
    measures: xr.Dataset, constructs: tuple[str, ...], row: np.ndarray, shift: np.ndarray, scale: np.ndarray
) -> Rated:
    """Return the ratings of checked measures.

    Parameters
    ----------
    measures
        From :func:`bayesdyn.measure`, see :func:`check_rated`.
    constructs
        Those of the problem.
    row
        (N,) index into the measures' exchanges, -1 where a gap was filled.
    shift, scale
        (C,) raw = shift + scale * standardised.
    """
    chosen = measures.sel(construct=list(constructs)).transpose("exchange", "rater", "construct", ...)
    # What is kept in single precision is used in double; an exchange that is none has no ratings.
    filled = [
        np.where((row >= 0)[:, None, None], chosen[name].values.astype(float)[row], np.nan)
        for name in _NEEDED
    ]
    mask = np.isfinite(filled[0])
    value, q, noise = (
        np.where(mask, part, absent)
        for part, absent in zip(
            ((filled[0] - shift) / scale, filled[1], filled[2] / scale**2), (0.0, 1.0, 0.0), strict=True
        )
    )
    human = (measures["rater_kind"].values == "human").astype(bool)
    assumed: Mapping[str, Mapping] = json.loads(measures.attrs[RATER_PRIORS])
    raters = tuple(str(name) for name in measures["rater"].values)
    shape = (len(raters), len(constructs))
    present, rho_prior, shared_prior = (
        np.zeros(shape, dtype=bool),
        np.ones((*shape, 2)),
        np.zeros((shape[1], 2)),
    )
    for c, name in enumerate(constructs):
        own = [raters.index(rater) for rater in assumed[name]["raters"]]
        present[own, c] = True
        rho_prior[own, c] = assumed[name]["rho_prior"]
        if assumed[name]["shared_prior"]:
            shared_prior[c] = assumed[name]["shared_prior"]
    kind = np.array([assumed[name]["discrimination"] for name in constructs])
    with_human = (present & human[:, None]).any(axis=0)
    return Rated(
        raters=raters,
        human=human,
        value=value,
        q=q,
        noise=noise,
        mask=mask.astype(float),
        present=present,
        anchor=present & (human[:, None] | ~with_human),
        free=np.isin(kind, ("proportional", "free")),
        own_rho=np.isin(kind, ("free", "equal")),
        rho_prior=rho_prior,
        shared_prior=shared_prior,
        tokens=np.array([bool(assumed[name]["tokens"]) for name in constructs]),
    )
