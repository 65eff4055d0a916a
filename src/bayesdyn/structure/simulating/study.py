"""A simulated study before anybody measured it: who met how often, covariates, true scores, the truth."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.structure.data.levels import merge_levels
from bayesdyn.structure.data.rows import check_lags
from bayesdyn.structure.data.timing import excess_time, usual_time
from bayesdyn.structure.language.blocks import check_blocks
from bayesdyn.structure.language.laws import endogenous_of, with_default_laws
from bayesdyn.structure.language.model_file import check_names
from bayesdyn.structure.language.numbers import is_number, shown
from bayesdyn.structure.language.spec import BUILT_IN_COVARIATES, ModelSpec
from bayesdyn.structure.language.terms import check_terms, effect_names, tabulate
from bayesdyn.structure.language.words import did_you_mean
from bayesdyn.structure.simulating.asked import mapping_of
from bayesdyn.structure.simulating.covariates import (
    Covariate,
    check_covariates,
    described,
    draw_covariates,
    numeric,
    with_contrasts,
)
from bayesdyn.structure.simulating.index import Size, Streams, draw_index, draw_times
from bayesdyn.structure.simulating.lengths import check_lengths, is_count
from bayesdyn.structure.simulating.spreads import Covariances, Spreads, covariances
from bayesdyn.structure.simulating.truth import coefficients, in_names_of_fit
from bayesdyn.structure.states import draw_levels, draw_states

TITLE = "Cannot simulate"
_LEAST_DYADS, _DECAY = 3, 0.5
_SCALE = (3.0, 0.8)  # raw = 3 + 0.8 standardised: the middle and a usual spread of a 1 to 5 scale


@dataclass(frozen=True)
class Plan:
    """A model made ready to be simulated, all of it checked.

    Attributes
    ----------
    spec
        With contrasts and default laws written out.
    constructs, endogenous
        Names of the constructs, and of those with a law.
    covariates
        Names in terms that are no constructs; contrasts stand for their covariate.
    described
        What is drawn for them.
    path
        (path_name,) coefficients.
    decay
        Of lags with time; 0 where the model has no time.
    covs
        Covariances of residuals, starts and levels.
    size
        How large a study.
    """

    spec: ModelSpec
    constructs: tuple[str, ...]
    endogenous: tuple[str, ...]
    covariates: tuple[str, ...]
    described: Mapping[str, Covariate]
    path: np.ndarray
    decay: float
    covs: Covariances
    size: Size


@dataclass(frozen=True)
class Study:
    """True scores of N exchanges, C constructs.

    Attributes
    ----------
    index
        One row per exchange: ``dyad``, ``session``, ``t``, ``phase``, ``label`` (of the session), and the
        label of each other kind of group.
    covariates
        (N,) values by name, as measures hold them.
    latent
        (N, C) standardised true scores.
    shift, scale
        (C,) raw = shift + scale * standardised.
    truth
        In the names of a fit.
    """

    index: pd.DataFrame
    covariates: Mapping[str, np.ndarray]
    latent: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    truth: xr.Dataset

    @property
    def coords(self) -> dict[str, tuple[str, np.ndarray]]:
        """Who, when: the coordinates of measures along ``exchange``."""
        return {name: ("exchange", self.index[name].to_numpy()) for name in ("dyad", "session", "t")}


def streams(random_seed: int) -> Streams:
    """Return the streams of a seed."""
    spawned = np.random.SeedSequence(random_seed).spawn(len(Streams.__dataclass_fields__))
    return Streams(*(np.random.default_rng(seed) for seed in spawned))


def plan_study(
    spec: ModelSpec,
    size: Size,
    truth: Mapping[str, float] | None,
    spreads: Spreads | None,
    covariates: Mapping[str, str | Covariate] | None,
    faults: FaultList,
) -> Plan:
    """Return a model made ready to be simulated; note what is wrong with what was asked.

    Raises
    ------
    InputError
        At once where the covariates leave unclear what is a construct.
    """
    if not is_count(size.dyads):
        faults.add(f"dyads is {size.dyads!r}", "Give a whole number from 1 up")
    check_lengths("sessions", size.sessions, faults)
    check_lengths("exchanges", size.exchanges, faults)
    _check_groups(spec, size, faults)
    given = described(mapping_of("covariates", covariates, "names to laws", faults))
    before = len(faults.faults)
    check_covariates(spec, given, faults)
    coded = with_contrasts(spec, given, faults) if len(faults.faults) == before else spec
    if len(faults.faults) > before:
        faults.raise_if_any(TITLE)
    contrasts = {name for name in coded.names if name not in spec.names}
    outside = {*BUILT_IN_COVARIATES, *given, *contrasts, *(name for name in spec.names if "[" in name)}
    constructs = tuple(name for name in coded.names if name not in outside)
    check_names(spec, constructs, (*given, *spec.crossed, *([spec.time] if spec.time else [])))
    full = with_default_laws(coded, constructs)
    endogenous = endogenous_of(full, constructs)
    used = tuple(name for name in coded.names if name in outside)
    asked = dict(mapping_of("truth", truth, "paths or labels to numbers", faults))
    decay = _decay(full, asked, faults)
    path = coefficients(full, used, asked, faults)
    check_blocks(full, endogenous, faults)
    check_terms(full, used, faults)
    if spreads is not None and not isinstance(spreads, Spreads):
        faults.add(f"spreads is {spreads!r}", "Give Spreads(residual_sd=..., ...)")
        spreads = None
    covs = covariances(full, endogenous, spreads or Spreads(), faults)
    return Plan(full, constructs, endogenous, used, given, path, decay, covs, size)


def draw_study(plan: Plan, rng: Streams) -> Study:
    """Draw a study.

    Raises
    ------
    InputError
        An unstable process, more levels of a covariate than units, a corpus of one exchange, a lag longer
        than every session.
    """
    faults = FaultList()
    index = draw_index(plan.size, plan.spec.crossed, rng)
    if len(index) < 2:
        faults.add("a corpus of one exchange has no variance", "Simulate more dyads, sessions or exchanges")
    check_lags(plan.spec, int(index["t"].max()) + 1, faults)
    drawn = draw_covariates(plan.described, index, rng.covariate, faults)
    faults.raise_if_any(TITLE)
    left = None
    if plan.spec.time:
        drawn[plan.spec.time] = draw_times(index, rng.time)
        times, position = drawn[plan.spec.time], index["t"].to_numpy()
        excess = excess_time(times, position, plan.spec.order, usual_time(times, position > 0))
        left = np.exp(-plan.decay * excess)
    levels = draw_levels(plan.spec, index, plan.covs.levels, rng.level)
    spec, levels, covs = _one_level(plan, index, levels)
    latent = draw_states(
        spec,
        tabulate(spec, plan.constructs, plan.covariates, plan.endogenous),
        plan.constructs,
        plan.endogenous,
        np.column_stack(
            [numeric(name, drawn, index) for name in plan.covariates] or [np.empty((len(index), 0))]
        ),
        plan.path,
        levels,
        covs.residual,
        covs.start,
        index,
        rng.state,
        left,
    )
    units = {name: (shift, scale) for name, shift, scale in spec.scale}
    shift, scale = np.array([units.get(name, _SCALE) for name in plan.constructs]).T
    truth = in_names_of_fit(spec, plan.constructs, plan.endogenous, plan.path, covs, levels, latent, index)
    if spec.time:
        truth["decay"] = plan.decay
    drawn = {**drawn, **{name: index[name].to_numpy() for name in plan.spec.crossed}}
    return Study(index, drawn, latent, shift, scale, truth)


def _one_level(
    plan: Plan, index: pd.DataFrame, levels: dict[str, np.ndarray]
) -> tuple[ModelSpec, dict[str, np.ndarray], Covariances]:
    """Return model, effects and covariances as a fit has them: one level where each dyad has one session.

    What was drawn for the two levels of a mean or path is then added up.
    """
    spec = merge_levels(plan.spec, index).spec
    before, dyad = effect_names(plan.spec, "session"), [*map(_effect_key, effect_names(spec, "dyad"))]
    gone = [name for name in before if name not in effect_names(spec, "session")]
    if not gone:
        return plan.spec, levels, plan.covs
    session, at = [before.index(name) for name in gone], [dyad.index(_effect_key(name)) for name in gone]
    stays = [place for place, name in enumerate(before) if name not in gone]
    whole, own = levels["dyad"].copy(), plan.covs.levels["dyad"].copy()
    # One session in each dyad, both in order: the rows of the two are the same.
    whole[:, at] += levels["session"][:, session]
    own[np.ix_(at, at)] += plan.covs.levels["session"][np.ix_(session, session)]
    left = {**plan.covs.levels, "dyad": own, "session": plan.covs.levels["session"][np.ix_(stays, stays)]}
    effects = {**levels, "dyad": whole, "session": levels["session"][:, stays]}
    return spec, effects, replace(plan.covs, levels=left)


def _effect_key(name: str) -> tuple[str, ...]:
    """Return what is equal for effects that mean the same: the factors of a product stand in any order."""
    outcome, _, term = name.partition(" ~ ")
    return (outcome, *sorted(term.split(":")))


def _decay(spec: ModelSpec, truth: dict[str, float], faults: FaultList) -> float:
    """Take the decay of lags out of the truth that was asked for."""
    if not spec.time:
        return 0.0
    decay = truth.pop("decay", _DECAY)
    if not is_number(decay) or decay < 0:
        faults.add(f"truth for 'decay' is {shown(decay)}", "Give 0 or a number above it")
        return _DECAY
    return decay


def _check_groups(spec: ModelSpec, size: Size, faults: FaultList) -> None:
    groups = mapping_of("groups", size.groups, "groups to numbers of them", faults)
    for name, count in groups.items() if is_count(size.dyads) else ():
        if name not in spec.crossed:
            near = did_you_mean(name, spec.crossed)
            faults.add(f"groups names {name!r}, by which nothing varies", near or f"Write (1 | {name})")
        elif not is_count(count) or not 1 < count < size.dyads:
            remedy = f"Give a whole number from 2 to {size.dyads - 1}: dyads are dealt to them"
            faults.add(f"groups of {name} is {count!r}", remedy)
    if spec.crossed and is_count(size.dyads) and size.dyads < _LEAST_DYADS:
        faults.add(
            f"dyads is {size.dyads}: too few to deal to {' and '.join(spec.crossed)}", "Give 3 or more"
        )
