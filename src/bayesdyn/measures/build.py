"""Measures from ratings: the rater model per construct, the halo, and all that it assumes in the notes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.measures.dataset import Notes, assemble, pick_covariates
from bayesdyn.measures.differing.contrasts import contrasts_of
from bayesdyn.measures.differing.differential import find_differential
from bayesdyn.measures.gathering.cells import Cells, reduce_cells
from bayesdyn.measures.gathering.labelling import labelling_probabilities
from bayesdyn.measures.gathering.sources import Source
from bayesdyn.measures.given import as_measures
from bayesdyn.measures.graded.answers import Answers, gather_answers
from bayesdyn.measures.halo import (
    Residuals,
    error_correlation,
    observed_share,
    of_scores,
    shared_correlation,
)
from bayesdyn.measures.inputs import TITLE, find_sources
from bayesdyn.measures.modelled import (
    Likelihood,
    Modelled,
    chosen_likelihoods,
    model_raters,
)
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
from bayesdyn.measures.raters import with_raters
from bayesdyn.measures.variables import by_construct, fixed_scale, posteriors
from bayesdyn.measures.warn import (
    say_halo,
    say_shared_halo,
    say_what_is_shared,
    warn_of_ends,
    warn_of_fit,
    warn_of_twins,
)
from bayesdyn.tables import LABELLING

__all__ = ["as_measures", "measure"]

_STRENGTH = ("prior", "two_raters", "raters", "coder", "humans")


def measure(
    ratings: pd.DataFrame | str | Path,
    human: pd.DataFrame | None = None,
    *,
    exchanges: pd.DataFrame | None = None,
    likelihood: Likelihood | Mapping[str, Likelihood] = "gaussian",
    random_seed: int = 1,
    reliability_prior: tuple[float, float] | Mapping[str, tuple[float, float]] = (6.0, 4.0),
    coder_prior: tuple[float, float] = CODER_PRIOR,
    shared_prior: tuple[float, float] | None = SHARED_PRIOR,
    discrimination: Choice = "auto",
    levels: bool = True,
    most_sessions: int = 320,
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
        Long ratings (:func:`~bayesdyn.tables.check_ratings`); unrated rows keep their exchange. A path to a
        Parquet file that the rating stage wrote is read in pieces, so that it need not fit into memory.
    human
        Human coders' ratings of some of these exchanges. They anchor the scale (their mean discrimination is
        1, their mean severity 0), and tell how much of what LLMs agree on is error. Which exchanges were
        coded may depend on the LLMs' ratings; on more, where a column ``labelling_probability`` tells the
        probability in (0, 1] with which each exchange was chosen. What humans say then has weight 1 /
        probability in the rater model (:mod:`bayesdyn.measures.gathering.labelling`).
    exchanges
        The exchanges of the study; those without any rating become rows of NaN, and their further columns
        (numeric or short text, never transcript text) become covariates. None: those of ``ratings``.
    likelihood
        ``"gaussian"``: of values and expected scores. ``"ordinal"``: graded responses on the points of the
        scale, or on whole distributions over them (:mod:`bayesdyn.measures.graded.density`); for constructs
        whose ratings pile up at an end, where a Gaussian summary can fake moderation. One for all, or a
        mapping from construct, Gaussian where not named.
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
        prior of its session and dyad; ``location_sd``: how well the scale itself is known at that score, an
        error that all exchanges share (it has a part in an interval of one score, and none in a fit);
        ``error_corr`` (construct, construct2); ``kappa_sd``.

        ``reliability``, with ``reliability_lower``, ``reliability_upper``, ``reliability_draws``;
        ``level_reliability`` (bound, level, construct): of exchanges within sessions, of the means of
        sessions within dyads, of the means of dyads; ``shared_error``, with ``_lower`` and ``_upper``: the
        share of error in what LLMs have in common; ``effective_raters``: how many LLMs without shared error
        would tell as much. Intervals are 90 % equal-tailed.

        ``severity``, ``discrimination``, ``error_sd`` (rater, construct); ``error_budget`` (source, rater,
        construct), the shares of one rating's variance; ``replicates`` (rater, construct), how many are
        behind a rating on average; ``token_weight``; ``floor_share`` and ``ceiling_share``, and what the
        rater model predicts of them, ``floor_predicted`` and ``ceiling_predicted``; ``identified_by``;
        ``differential_bias`` (covariate, rater, construct), with ``_lower`` and ``_upper``: how far a
        rater's error goes with a covariate (:mod:`bayesdyn.measures.differing.differential`). With an ordinal
        likelihood ``shift`` and ``scale``: mean and SD of the true score, which fits standardise by.

        For fits that carry the raters' uncertainty: draws of the rater parameters (``severity_draws`` and
        others, first axis ``draw``), and ``rating``, ``rating_q``, ``rating_noise`` (exchange, rater,
        construct) in single precision: mean over replicates, relative token variance, variance of that mean.
        Covariates. ``attrs["notes"]``: see :func:`~bayesdyn.measures.dataset.read_notes`.

    Raises
    ------
    InputError
        All faults at once: of the tables, a rater in both tables, human ratings of no exchange of the
        study, ratings of exchanges that are not in ``exchanges``, a construct without three ratings that
        differ, an option that is none; with an ordinal likelihood, values between the points of the scale
        without a distribution, and a scale that is not known.
    """
    notes = Notes()
    assumed = Assumed(discrimination, reliability_prior, coder_prior, shared_prior, levels)
    faults = FaultList()
    sources, keys = find_sources(ratings, human, exchanges, assumed, most_sessions, notes, faults)
    cells = reduce_cells(sources, keys, faults)
    faults.raise_if_any(TITLE)
    covariates = {}
    if exchanges is not None:
        covariates = pick_covariates(keys, cells.constructs, None, notes, faults)
    places = find_places(cells, most_sessions, notes)
    labelling = None
    if human is not None and LABELLING in human.columns:
        labelling = labelling_probabilities(_loaded(sources, "rater_kind", "human"), keys, faults)
    parts = _parts(cells, places, assumed, labelling, notes, faults)
    answers = _answers(sources, cells, parts, likelihood, assumed, faults)
    faults.raise_if_any(TITLE)
    bounds = list(zip(cells.lowest, cells.highest, strict=True))
    modelled = model_raters(parts, answers, places, bounds, random_seed=random_seed, draws=draws)
    for one in modelled:
        warn_of_fit(one, notes)
    warn_of_ends(cells, modelled, notes)
    say_what_is_shared(parts, assumed, notes)
    corr = _halo(cells, modelled, notes)
    score = np.column_stack([one.summary.score for one in modelled])
    se = np.column_stack([one.summary.se for one in modelled])
    warn_of_twins(cells.constructs, score, se, corr, notes)
    contrasts = contrasts_of(keys, covariates, notes)
    differential = find_differential(cells, modelled, contrasts, places.dyad, notes)
    made = assemble(
        keys,
        cells.constructs,
        {"score": score, "se": se, **posteriors(places, modelled)},
        {**by_construct(cells, modelled), **fixed_scale(modelled)},
        corr,
        covariates,
        notes,
        min((part.identified for part in parts), key=_STRENGTH.index),
    )
    return differential.added_to(with_raters(made, cells, modelled))


def _parts(
    cells: Cells,
    places: Places,
    assumed: Assumed,
    labelling: NDArray[np.float64] | None,
    notes: Notes,
    faults: FaultList,
) -> list[Part]:
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
            parts.append(prepare(cells, places, c, raters, assumed, notes, labelling))
    return parts


def _answers(
    sources: Sequence[Source],
    cells: Cells,
    parts: list[Part],
    likelihood: Likelihood | Mapping[str, Likelihood],
    assumed: Assumed,
    faults: FaultList,
) -> dict[str, Answers]:
    """Return the answers of the constructs with an ordinal likelihood."""
    chosen = chosen_likelihoods(likelihood, cells.constructs, faults)
    if "ordinal" not in chosen.values():
        return {}
    found = {}
    for part in parts:
        if chosen[part.construct] != "ordinal":
            continue
        if assumed.choice == "equal":
            faults.add(
                'discrimination="equal" is on the raw scale, which an ordinal likelihood has not',
                'Use discrimination="proportional"',
            )
        names = tuple(cells.raters[r] for r in part.raters)
        table = _loaded(sources, "construct", part.construct)
        answers = gather_answers(table, cells.keys, part.construct, names, faults)
        if answers is not None:
            found[part.construct] = answers
    return found


def _loaded(sources: Sequence[Source], column: str, value: str) -> pd.DataFrame:
    return pd.concat([source.load(column, value) for source in sources], ignore_index=True)


def _halo(cells: Cells, modelled: list[Modelled], notes: Notes) -> NDArray[np.float64]:
    """Return the error correlation of the scores over constructs."""
    size = (len(cells.constructs), len(cells.raters))
    standard = np.full((len(cells.keys), *size), np.nan)
    error_sd, shared_sd = np.full(size, np.nan), np.zeros(size[0])
    shares = np.zeros((size[0], size[1] + 1))
    parts = [one.part for one in modelled]
    for c, one in enumerate(modelled):
        part, at = one.part, one.scale.at(None)
        loading = at.discrimination * np.sqrt(at.variance)
        standard[:, c, part.raters] = (part.value - at.severity - at.mean) / loading
        error_sd[c, part.raters] = at.sigma / loading
        if one.ordinal:
            # Ends of the scale squeeze the raw differences: the model's errors are then too large for them.
            error_sd[c] *= observed_share(standard[:, c], error_sd[c], cells.human)
        shared_sd[c] = (at.shared / loading).max()
        shares[c, [*part.raters, -1]] = one.summary.parts
    residuals = Residuals(standard, error_sd, shared_sd, cells.human)
    corr, seen, shrinkage = error_correlation(residuals)
    common = shared_correlation(residuals, corr) if any(p.identified == "humans" for p in parts) else None
    say_halo(cells.constructs, seen, shrinkage, notes)
    if len(parts) > 1 and (shared_sd > 0).any():
        say_shared_halo(estimated=common is not None, notes=notes)
    return of_scores(corr, corr if common is None else common, shares)
