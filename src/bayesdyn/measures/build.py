"""Measures from ratings: the rater model per construct, the halo, and all that it assumes in the notes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.measures.cells import Cells, gather_cells
from bayesdyn.measures.dataset import RESERVED, Notes, assemble, pick_covariates, sorted_by_key
from bayesdyn.measures.given import as_measures
from bayesdyn.measures.halo import Residuals, error_correlation, of_scores
from bayesdyn.measures.rater_model import sample_raters
from bayesdyn.measures.raters import CHOICES, Choice, Part, prepare, usable_raters
from bayesdyn.measures.summaries import Scale, Summary, fix_scale, summarise
from bayesdyn.measures.warn import say_halo, say_what_is_shared, warn_of_ends, warn_of_fit, warn_of_twins
from bayesdyn.tables import KEY, check_ratings

__all__ = ["as_measures", "measure"]

_TITLE = "These ratings cannot be made into measures"
_STRENGTH = ("prior", "two_raters", "raters", "humans")


def measure(
    ratings: pd.DataFrame,
    human: pd.DataFrame | None = None,
    *,
    exchanges: pd.DataFrame | None = None,
    random_seed: int = 1,
    reliability_prior: tuple[float, float] | Mapping[str, tuple[float, float]] = (6.0, 4.0),
    discrimination: Choice = "auto",
    draws: int = 400,
) -> xr.Dataset:
    """Return what several fallible raters say of each true score, with its standard error.

    Per construct, a Gaussian rater model (:mod:`bayesdyn.measures.rater_model`, priors there): rating =
    severity + discrimination x true score + error, the error variance following token variance as far as
    disagreement between the raters shows that it does.

    Parameters
    ----------
    ratings
        Long ratings (:func:`~bayesdyn.tables.check_ratings`); unrated rows keep their exchange.
    human
        Human coders' ratings of some of these exchanges. For now they enter as further raters, and anchor
        the scale: their mean discrimination is 1, their mean severity 0.
    exchanges
        The exchanges of the study; those without any rating become rows of NaN, and their further columns
        (numeric or short text, never transcript text) become covariates. None: those of ``ratings``.
    random_seed
        Seed of the sampler.
    reliability_prior
        Beta parameters of the reliability of a construct's only rater, or a mapping from construct to
        them. The default Beta(6, 4) has mean .60 and 90 % between .34 and .83: about the range of
        agreement with humans that LLM raters of therapy are reported to reach. Not used with two raters
        or more.
    discrimination
        What is assumed of the raters, where there are two or more:

        - ``"proportional"``: discriminations in proportion to each rater's own spread, that is, raters
          equally reliable. LLMs differ in how much of a scale they use, so this is the default for two.
        - ``"equal"``: equal on the raw scale. A rater whose ratings spread more is then less reliable, and
          if its spread differs much from the other's, the other comes out as free of error.
        - ``"free"``: estimated; needs three raters.
        - ``"auto"``: ``free`` with three raters or more if each took part in at least 50 exchanges
          rated by three, else ``proportional``.
    draws
        Kept draws per chain (two chains).

    Returns
    -------
    xarray.Dataset
        ``score`` and ``se`` (exchange, construct), a likelihood summary in the units of the scale, with no
        prior of the true score in it, NaN where unrated; ``error_corr``; ``reliability`` with
        ``reliability_draws``, ``reliability_lower``, ``reliability_upper`` (90 % equal-tailed);
        ``kappa_sd``; ``severity``, ``discrimination``, ``error_sd`` (rater, construct); ``token_weight``;
        ``floor_share``; ``identified_by``; covariates. ``attrs["notes"]``: see
        :func:`~bayesdyn.measures.dataset.read_notes`.

    Raises
    ------
    InputError
        All faults at once: of the tables, a rater in both tables, human ratings of no exchange of the
        study, ratings of exchanges that are not in ``exchanges``, a construct without three ratings that
        differ, an option that is none.
    """
    notes = Notes()
    table, keys = _tables(ratings, human, exchanges, discrimination, reliability_prior, notes)
    cells = gather_cells(table, keys)
    faults = FaultList()
    covariates = {}
    if exchanges is not None:
        covariates = pick_covariates(keys, cells.constructs, None, notes, faults)
    parts = _parts(cells, discrimination, reliability_prior, notes, faults)
    faults.raise_if_any(_TITLE)
    posteriors = sample_raters([part.problem for part in parts], random_seed=random_seed, draws=draws)
    scales = [fix_scale(found, part.human) for found, part in zip(posteriors, parts, strict=True)]
    summaries = [
        summarise(scale, part.value, part.q, part.noise) for scale, part in zip(scales, parts, strict=True)
    ]
    for part, found in zip(parts, posteriors, strict=True):
        warn_of_fit(part, found, notes)
    warn_of_ends(cells, notes)
    say_what_is_shared(parts, notes)
    corr = _halo(cells, parts, scales, summaries, notes)
    score = np.column_stack([found.score for found in summaries])
    se = np.column_stack([found.se for found in summaries])
    warn_of_twins(cells.constructs, score, se, corr, notes)
    made = assemble(
        keys,
        cells.constructs,
        {"score": score, "se": se},
        _by_construct(cells, summaries, scales),
        corr,
        covariates,
        notes,
        min((_identified(part) for part in parts), key=_STRENGTH.index),
    )
    return _with_raters(made, cells, parts, summaries)


def _tables(
    ratings: pd.DataFrame,
    human: pd.DataFrame | None,
    exchanges: pd.DataFrame | None,
    discrimination: str,
    reliability_prior: tuple[float, float] | Mapping[str, tuple[float, float]],
    notes: Notes,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all ratings in one checked table, and the exchanges in order."""
    faults = FaultList()
    if discrimination not in CHOICES:
        faults.add(f"discrimination is {discrimination!r}", f"Use one of {', '.join(CHOICES)}")
    priors = reliability_prior.values() if isinstance(reliability_prior, Mapping) else [reliability_prior]
    for a, b in priors:
        if not (a > 0 and b > 0):
            faults.add(f"reliability_prior is ({a}, {b})", "Give two numbers above 0, as of a Beta")
    table = check_ratings(ratings)
    keys = table[KEY].drop_duplicates() if exchanges is None else exchanges
    keys = sorted_by_key(keys, faults, _TITLE)
    known = pd.MultiIndex.from_frame(keys[KEY])
    strangers = table.loc[~pd.MultiIndex.from_frame(table[KEY]).isin(known), KEY].drop_duplicates()
    for dyad, session, t in strangers.itertuples(index=False):
        faults.add(f"dyad {dyad}, session {session}, t {t} is rated but is no exchange", "Read both anew")
    if human is not None:
        coders = check_ratings(human).assign(rater_kind="human")
        both = sorted(set(table["rater"]) & set(coders["rater"]))
        if both:
            faults.add(f"rater {', '.join(both)} stands in both tables", "Give each rater a name of its own")
        found = pd.MultiIndex.from_frame(coders[KEY]).isin(known)
        found &= coders["construct"].isin(table["construct"]).to_numpy()
        if not found.any():
            faults.add(
                "no human rating is of an exchange and construct of the ratings",
                "Check that dyad, session, t and construct are spelled alike in both tables",
            )
        elif not found.all():
            notes.add(
                f"{int((~found).sum())} human ratings are of no rated exchange or construct: set aside."
            )
        table = pd.concat([table, coders[found]], ignore_index=True)
    for name in sorted(set(table["construct"]) & set(RESERVED)):
        faults.add(f"construct {name} bears the name of a part of measures", "Rename it")
    faults.raise_if_any(_TITLE)
    return table, keys


def _parts(
    cells: Cells,
    choice: Choice,
    reliability_prior: tuple[float, float] | Mapping[str, tuple[float, float]],
    notes: Notes,
    faults: FaultList,
) -> list[Part]:
    parts = []
    for c, name in enumerate(cells.constructs):
        raters = usable_raters(cells, c, notes)
        if len(raters) == 0:
            faults.add(
                f"construct {name} has no rater with three ratings that differ",
                "Rate it, or leave its rows out",
            )
            continue
        if choice == "free" and len(raters) == 2:
            faults.add(
                f"construct {name} has two raters: their discriminations cannot be estimated",
                'Use discrimination="proportional" or "equal", or add a rater',
            )
            continue
        prior = reliability_prior
        if isinstance(prior, Mapping):
            prior = prior.get(name, (6.0, 4.0))
        parts.append(prepare(cells, c, raters, choice, prior, notes))
    return parts


def _identified(part: Part) -> str:
    if len(part.raters) == 1:
        return "prior"
    if part.human.any() and not part.human.all():
        return "humans"
    return "two_raters" if len(part.raters) == 2 else "raters"


def _halo(
    cells: Cells, parts: list[Part], scales: list[Scale], summaries: list[Summary], notes: Notes
) -> NDArray[np.float64]:
    """Return the error correlation of the scores over constructs."""
    size = (len(cells.constructs), len(cells.raters))
    standard = np.full((len(cells.keys), *size), np.nan)
    error_sd, own = np.full(size, np.nan), np.zeros(size)
    for c, (part, scale, found) in enumerate(zip(parts, scales, summaries, strict=True)):
        loading = found.discrimination * np.sqrt(scale.variance.mean())
        standard[:, c, part.raters] = (part.value - found.severity - scale.mean.mean()) / loading
        error_sd[c, part.raters] = found.error_sd / loading
        pull = found.discrimination / found.error_sd
        own[c, part.raters] = pull / np.linalg.norm(pull)
    corr, seen, shrinkage = error_correlation(Residuals(standard, error_sd))
    say_halo(cells.constructs, seen, shrinkage, notes)
    return of_scores(corr, own)


def _by_construct(
    cells: Cells, summaries: list[Summary], scales: list[Scale]
) -> dict[str, NDArray[np.float64]]:
    reliability = np.column_stack([found.reliability for found in summaries])
    return {
        "reliability": reliability.mean(axis=0),
        "reliability_lower": np.quantile(reliability, 0.05, axis=0),
        "reliability_upper": np.quantile(reliability, 0.95, axis=0),
        "kappa_sd": np.array([found.kappa_sd for found in summaries]),
        "token_weight": np.array([scale.w.mean() for scale in scales]),
        "floor_share": cells.floor_share,
    }


def _with_raters(made: xr.Dataset, cells: Cells, parts: list[Part], summaries: list[Summary]) -> xr.Dataset:
    """Return the measures with the table of raters and the draws of the reliabilities."""
    shape = (len(cells.raters), len(cells.constructs))
    table = {name: np.full(shape, np.nan) for name in ("severity", "discrimination", "error_sd")}
    for c, (part, found) in enumerate(zip(parts, summaries, strict=True)):
        for name, values in table.items():
            values[part.raters, c] = getattr(found, name)
    reliability = np.column_stack([found.reliability for found in summaries])
    return made.assign(
        {
            **{name: (("rater", "construct"), values) for name, values in table.items()},
            "reliability_draws": (("draw", "construct"), reliability),
            "identified_by": (("construct",), np.array([_identified(part) for part in parts], dtype=object)),
        }
    ).assign_coords(rater=np.array(cells.raters, dtype=object))
