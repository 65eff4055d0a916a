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
from bayesdyn.measures.halo import Residuals, error_correlation, of_scores, shared_correlation
from bayesdyn.measures.rater.model import SHARED_PRIOR
from bayesdyn.measures.rater.parts import (
    CODER_PRIOR,
    Assumed,
    Choice,
    Part,
    prepare,
    usable_raters,
)
from bayesdyn.measures.rater.places import Places, find_places
from bayesdyn.measures.rater.posterior import posterior_of
from bayesdyn.measures.rater.sampler import Draws, sample_raters
from bayesdyn.measures.rater.summaries import Scale, Summary, fix_scale, summarise
from bayesdyn.measures.rater.tables import with_raters
from bayesdyn.measures.warn import (
    say_halo,
    say_shared_halo,
    say_what_is_shared,
    warn_of_ends,
    warn_of_fit,
    warn_of_twins,
)
from bayesdyn.tables import KEY, check_ratings

__all__ = ["as_measures", "measure"]

_TITLE = "These ratings cannot be made into measures"
_STRENGTH = ("prior", "two_raters", "raters", "coder", "humans")


def measure(
    ratings: pd.DataFrame,
    human: pd.DataFrame | None = None,
    *,
    exchanges: pd.DataFrame | None = None,
    random_seed: int = 1,
    reliability_prior: tuple[float, float] | Mapping[str, tuple[float, float]] = (6.0, 4.0),
    coder_prior: tuple[float, float] = CODER_PRIOR,
    shared_prior: tuple[float, float] | None = SHARED_PRIOR,
    discrimination: Choice = "auto",
    levels: bool = True,
    most_sessions: int = 400,
    draws: int = 400,
) -> xr.Dataset:
    """Return what several fallible raters say of each true score, with its standard error.

    Per construct, a Gaussian rater model (:mod:`bayesdyn.measures.rater.model`, priors there): rating =
    severity + discrimination x true score + error. The error has a part that all LLMs share and a part of the
    rater's own, in turn of dyad, session and exchange, whose variance follows token variance as far as
    disagreement between the raters shows that it does, and the sampling of replicates.

    Parameters
    ----------
    ratings
        Long ratings (:func:`~bayesdyn.tables.check_ratings`); unrated rows keep their exchange.
    human
        Human coders' ratings of some of these exchanges. They anchor the scale (their mean discrimination is
        1, their mean severity 0), and tell how much of what LLMs agree on is error. Which exchanges were
        coded may depend on the LLMs' ratings; nothing else is assumed of it.
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
    coder_prior
        The same of a human coder beside LLMs, where no two coders rated the same ten exchanges: nothing
        else tells the coder's own error from the error that LLMs share. Beta(7, 3) has mean .70.
    shared_prior
        Beta parameters of the share of error in what several LLMs have in common. Beta(1, 4) has its highest
        density at 0, mean .20, and 5 % above .53. Without humans it is all that is known of it. None: they
        share no error.
    discrimination
        What is assumed of the raters, where there are two or more:

        - ``"proportional"``: discriminations in proportion to each rater's own spread, that is, raters
          equally reliable. LLMs differ in how much of a scale they use, so this is the default for two.
        - ``"equal"``: equal on the raw scale. A rater whose ratings spread more is then less reliable, and
          if its spread differs much from the other's, the other comes out as free of error.
        - ``"free"``: estimated; needs three raters.
        - ``"auto"``: ``free`` with three raters or more if each took part in at least 50 exchanges
          rated by three, else ``proportional``.
    levels
        Whether true scores and errors have parts of sessions and dyads. With one rater nothing tells those of
        the error from those of the true score, and there are none.
    most_sessions
        The rater model is learnt from at most so many sessions, those with human ratings first; the scores
        are of all.
    draws
        Kept draws per chain (two chains).

    Returns
    -------
    xarray.Dataset
        ``score`` and ``se`` (exchange, construct), a likelihood summary in the units of the scale, with no
        prior of the true score in it, NaN where unrated; ``posterior_mean`` and ``posterior_sd``, with the
        prior of its session and dyad; ``error_corr`` (construct, construct2); ``kappa_sd``.

        ``reliability``, with ``reliability_lower``, ``reliability_upper``, ``reliability_draws``;
        ``level_reliability`` (bound, level, construct): of exchanges within sessions, of the means of
        sessions within dyads, of the means of dyads; ``shared_error``, with ``_lower`` and ``_upper``: the
        share of error in what LLMs have in common; ``effective_raters``: how many LLMs without shared error
        would tell as much. Intervals are 90 % equal-tailed.

        ``severity``, ``discrimination``, ``error_sd`` (rater, construct); ``error_budget`` (source, rater,
        construct), the shares of one rating's variance; ``replicates`` (rater, construct), how many are
        behind a rating on average; ``token_weight``; ``floor_share``; ``identified_by``.

        For fits that carry the raters' uncertainty: draws of the rater parameters (``severity_draws`` and
        others, first axis ``draw``), and ``rating``, ``rating_q``, ``rating_noise`` (exchange, rater,
        construct) in single precision: mean over replicates, relative token variance, variance of that mean.
        Covariates. ``attrs["notes"]``: see :func:`~bayesdyn.measures.dataset.read_notes`.

    Raises
    ------
    InputError
        All faults at once: of the tables, a rater in both tables, human ratings of no exchange of the
        study, ratings of exchanges that are not in ``exchanges``, a construct without three ratings that
        differ, an option that is none.
    """
    notes = Notes()
    assumed = Assumed(discrimination, reliability_prior, coder_prior, shared_prior, levels)
    table, keys = _tables(ratings, human, exchanges, assumed, most_sessions, notes)
    cells = gather_cells(table, keys)
    faults = FaultList()
    covariates = {}
    if exchanges is not None:
        covariates = pick_covariates(keys, cells.constructs, None, notes, faults)
    places = find_places(cells, most_sessions, notes)
    parts = _parts(cells, places, assumed, notes, faults)
    faults.raise_if_any(_TITLE)
    posteriors = sample_raters([part.problem for part in parts], random_seed=random_seed, draws=draws)
    scales = [fix_scale(found, part.human) for found, part in zip(posteriors, parts, strict=True)]
    summaries = [
        summarise(scale, part.value, part.q, part.noise, part.human, places.sizes)
        for scale, part in zip(scales, parts, strict=True)
    ]
    for part, found in zip(parts, posteriors, strict=True):
        warn_of_fit(part, found, notes)
    warn_of_ends(cells, notes)
    say_what_is_shared(parts, assumed, notes)
    corr = _halo(cells, parts, scales, summaries, notes)
    score = np.column_stack([found.score for found in summaries])
    se = np.column_stack([found.se for found in summaries])
    warn_of_twins(cells.constructs, score, se, corr, notes)
    made = assemble(
        keys,
        cells.constructs,
        {"score": score, "se": se, **_posteriors(places, scales, summaries)},
        _by_construct(cells, posteriors, summaries, scales),
        corr,
        covariates,
        notes,
        min((part.identified for part in parts), key=_STRENGTH.index),
    )
    return with_raters(made, cells, parts, scales, summaries)


def _tables(
    ratings: pd.DataFrame,
    human: pd.DataFrame | None,
    exchanges: pd.DataFrame | None,
    assumed: Assumed,
    most_sessions: int,
    notes: Notes,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all ratings in one checked table, and the exchanges in order."""
    faults = FaultList()
    assumed.check(faults)
    if most_sessions < 1:
        faults.add(f"most_sessions is {most_sessions}", "Give a number of sessions to learn the raters from")
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


def _parts(cells: Cells, places: Places, assumed: Assumed, notes: Notes, faults: FaultList) -> list[Part]:
    parts = []
    for c, name in enumerate(cells.constructs):
        raters = usable_raters(cells, c, notes)
        kinds = set(cells.human[raters].tolist())
        if len(raters) == 0:
            faults.add(
                f"construct {name} has no rater with three ratings that differ",
                "Rate it, or leave its rows out",
            )
        elif assumed.choice == "free" and len(raters) == 2 and len(kinds) == 1:
            faults.add(
                f"construct {name} has two raters: their discriminations cannot be estimated",
                'Use discrimination="proportional" or "equal", or add a rater',
            )
        else:
            parts.append(prepare(cells, places, c, raters, assumed, notes))
    return parts


def _halo(
    cells: Cells, parts: list[Part], scales: list[Scale], summaries: list[Summary], notes: Notes
) -> NDArray[np.float64]:
    """Return the error correlation of the scores over constructs."""
    size = (len(cells.constructs), len(cells.raters))
    standard = np.full((len(cells.keys), *size), np.nan)
    error_sd, shared_sd = np.full(size, np.nan), np.zeros(size[0])
    shares = np.zeros((size[0], size[1] + 1))
    for c, (part, scale, found) in enumerate(zip(parts, scales, summaries, strict=True)):
        at = scale.at(None)
        loading = at.discrimination * np.sqrt(at.variance)
        standard[:, c, part.raters] = (part.value - at.severity - at.mean) / loading
        error_sd[c, part.raters] = at.sigma / loading
        shared_sd[c] = (at.shared / loading).max()
        shares[c, [*part.raters, -1]] = found.parts
    residuals = Residuals(standard, error_sd, shared_sd, cells.human)
    corr, seen, shrinkage = error_correlation(residuals)
    common = shared_correlation(residuals, corr) if any(p.identified == "humans" for p in parts) else None
    say_halo(cells.constructs, seen, shrinkage, notes)
    if len(parts) > 1 and (shared_sd > 0).any():
        say_shared_halo(estimated=common is not None, notes=notes)
    return of_scores(corr, corr if common is None else common, shares)


def _posteriors(
    places: Places, scales: list[Scale], summaries: list[Summary]
) -> dict[str, NDArray[np.float64]]:
    found = [
        posterior_of(
            one.score, one.se, places.session, places.dyad, at.mean, at.variance * at.true_share
        )
        for one, at in zip(summaries, (scale.at(None) for scale in scales), strict=True)
    ]  # fmt: skip
    return {
        name: np.column_stack([pair[place] for pair in found])
        for place, name in enumerate(("posterior_mean", "posterior_sd"))
    }


def _by_construct(
    cells: Cells, posteriors: list[Draws], summaries: list[Summary], scales: list[Scale]
) -> dict[str, NDArray[np.float64]]:
    reliability = np.column_stack([found.reliability for found in summaries])
    shared = np.column_stack([draws.s for draws in posteriors])
    effective = np.column_stack([found.effective_raters for found in summaries])
    return {
        "reliability": reliability.mean(axis=0),
        "reliability_lower": np.quantile(reliability, 0.05, axis=0),
        "reliability_upper": np.quantile(reliability, 0.95, axis=0),
        "shared_error": shared.mean(axis=0),
        "shared_error_lower": np.quantile(shared, 0.05, axis=0),
        "shared_error_upper": np.quantile(shared, 0.95, axis=0),
        "effective_raters": effective.mean(axis=0),
        "kappa_sd": np.array([found.kappa_sd for found in summaries]),
        "token_weight": np.array([scale.w.mean() for scale in scales]),
        "floor_share": cells.floor_share,
    }
