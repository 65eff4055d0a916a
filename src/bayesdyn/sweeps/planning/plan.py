"""Which further ratings buy most precision for a path: the public function, its checks and its words."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import flat, posterior_of, spec_of
from bayesdyn.fitting.run import RATER_BUDGET
from bayesdyn.structure.language.priors import resolve_priors
from bayesdyn.structure.language.spec import ModelSpec
from bayesdyn.structure.language.words import did_you_mean, sentence
from bayesdyn.sweeps.planning import words
from bayesdyn.sweeps.planning.equation import Equation, equation_of
from bayesdyn.sweeps.planning.errors import CODER_PRIOR, Coding, llm_errors
from bayesdyn.sweeps.planning.options import HUMAN_COST, LLM_COST, OPTIONS, Shop
from bayesdyn.sweeps.planning.precision import Parts, kappa_slopes, sampling_cov
from bayesdyn.sweeps.planning.result import RatingPlan

type Floats = NDArray[np.float64]

_TITLE = "Cannot plan ratings"


def plan_ratings(
    fit: xr.DataTree,
    path: str,
    *,
    budget: float,
    cost: Mapping[str, float],
    options: Sequence[str] = tuple(OPTIONS),
    constructs: Sequence[str] | None = None,
    coders: int = 2,
    overlap: float = 0.2,
    coder_prior: tuple[float, float] = CODER_PRIOR,
    points: int = 20,
    ci_prob: float = 0.95,
) -> RatingPlan:
    """Tell which further ratings would make a path most precise, for a sum of money or time.

    No refit: the posterior SD of the path is scaled by the ratio of two closed-form SDs, that of
    errors-in-variables regression with the errors as they would be over that with the errors as they are
    (:mod:`bayesdyn.sweeps.planning.precision`). What is not known of the error variances, slopes that differ
    between dyads, and the prior are counted. See docs/planning.md.

    Parameters
    ----------
    fit
        Of measures from :func:`bayesdyn.measure`, with measurement error: not ``measurement="none"``.
    path
        Its name, such as ``disclosure ~ empathy``, or its label.
    budget
        What may be spent, in any currency, hours included.
    cost
        In the same currency, of one rating of one construct at one exchange: ``llm_rating``,
        ``human_coding`` (by one coder).
    options
        Of: ``replicate`` (another replicate by every LLM), ``llm`` (another LLM, an average one),
        ``human_random`` and ``human_stratified`` (exchanges coded by humans, drawn at random or from the
        lowest and highest thirds of each construct's scores).
    constructs
        What would be rated. None: the constructs of the path, its outcome too.
    coders, overlap
        That share of the coded exchanges is coded by so many coders, the others by one.
    coder_prior
        Beta parameters of a coder's reliability, as in :func:`bayesdyn.measure`; the overlap adds to it.
    points
        Steps of the curve up to the budget.
    ci_prob
        Of the intervals expected.

    Returns
    -------
    RatingPlan

    Raises
    ------
    InputError
        All faults at once: an unknown, fixed or between-session path, a budget, cost, option, construct or
        share that is none, a fit without measurement error or without the error budget of its raters.
    """
    faults = FaultList()
    spec = spec_of(fit)
    name = _path_name(spec, path, faults)
    _check_fit(fit, faults)
    _check_numbers(budget, cost, options, coders, overlap, coder_prior, points, ci_prob, faults)
    rated = _rated_constructs(fit, spec, name, constructs, faults)
    faults.raise_if_any(_TITLE)
    constant = fit["constant_data"].to_dataset()
    found = {construct: llm_errors(constant, construct, faults) for construct in rated}
    faults.raise_if_any(_TITLE)
    equation = equation_of(fit, name)
    errors = {equation.constructs.index(key): one for key, one in found.items() if one is not None}
    shop = Shop(
        equation, errors, {key: float(value) for key, value in cost.items()},
        Coding(coders, overlap, coder_prior),
    )  # fmt: skip
    prior_sd = _prior_sd(spec, name)
    groups = _group_part(fit, name)
    now = _parts(equation, name, groups, np.ones(len(equation.constructs)), equation.kappa_cov)
    drawn = flat(posterior_of(fit)["path"].sel(path_name=name)).astype(float)
    mean, sd = float(drawn.mean()), float(drawn.std(ddof=1))
    z = NormalDist().inv_cdf((1 + ci_prob) / 2)
    rows = []
    for option in dict.fromkeys(options):
        for spend in np.linspace(0, budget, points + 1):
            bought = OPTIONS[option](shop, float(spend))
            then = _parts(equation, name, groups, bought.error, bought.kappa_cov)
            ratio = np.sqrt(then.variance(prior_sd) / now.variance(prior_sd))
            half = z * sd * ratio
            rows.append(
                (option, spend, bought.spent, bought.units, sd * ratio, ratio, mean - half, mean + half)
            )
    columns = ["option", "spend", "spent", "units", "sd", "relative", "lower", "upper"]
    table = pd.DataFrame(rows, columns=columns)
    chosen = words.at_budget(table, shop)
    return RatingPlan(
        path_name=name,
        budget=float(budget),
        ci_prob=ci_prob,
        table=table,
        options=chosen,
        parts=_shares(now),
        says=words.says(name, budget, ci_prob, table, chosen),
        notes=tuple(words.notes(shop, sd, np.sqrt(now.variance(prior_sd)))),
    )


def _parts(equation: Equation, name: str, groups: float, error: Floats, kappa_cov: Floats) -> Parts:
    """Return the path's variances with each error variance times ``error`` (C,), known as ``kappa_cov``."""
    place = equation.names.index(name)
    then = equation.moments.with_errors(equation.moments.omega * np.sqrt(np.outer(error, error)))
    sampling = sampling_cov(
        equation.true_cov, then.error_cov(), equation.path, equation.residual, equation.exchanges
    )
    slopes = kappa_slopes(then, equation.true_cov, equation.path)[place]
    return Parts(float(sampling[place, place]), float(slopes @ kappa_cov @ slopes), groups)


def _path_name(spec: ModelSpec, path: str, faults: FaultList) -> str:
    """Return the name of a free path within sessions, given by name or label, or note why there is none."""
    known = [item.name for item in spec.paths]
    item = next((item for item in spec.paths if path in (item.name, item.label)), None)
    if item is None:
        remedy = sentence(did_you_mean(path, [*known, *spec.labels]), f"Paths are {', '.join(known)}")
        faults.add(f"there is no path {path!r} in this fit", remedy)
        return ""
    if item.fixed is not None:
        faults.add(f"{item.name} is fixed at {item.fixed:g}", "Name a path that is estimated")
    if item.term.is_between:
        faults.add(
            f"{item.name} is a path between sessions, whose precision hangs on their number",
            "Name a path within sessions",
        )
    return item.name


def _check_fit(fit: xr.DataTree, faults: FaultList) -> None:
    if fit.attrs.get("measurement") not in ("known", "two_stage"):
        has = "error" if fit.attrs.get("measurement") == "none" else "error of its scores alone"
        faults.add(f"the fit has no measurement {has} to lessen", 'Fit with measurement="known" first')
    elif not set(RATER_BUDGET) <= set(map(str, fit["constant_data"].to_dataset().data_vars)):
        faults.add(
            "the fit does not hold the error budget of its raters",
            "Make its measures with bayesdyn.measure of this version, and fit them anew; scores from "
            "elsewhere have no error budget",
        )


def _check_numbers(
    budget: float,
    cost: Mapping[str, float],
    options: Sequence[str],
    coders: int,
    overlap: float,
    coder_prior: tuple[float, float],
    points: int,
    ci_prob: float,
    faults: FaultList,
) -> None:
    if not (budget > 0 and np.isfinite(budget)):
        faults.add(f"budget is {budget:g}", "Give a sum above 0")
    for option in options:
        if option not in OPTIONS:
            remedy = sentence(did_you_mean(option, OPTIONS), f"Use {', '.join(OPTIONS)}")
            faults.add(f"option {option!r} is unknown", remedy)
    if not options:
        faults.add("there is no option", f"Use {', '.join(OPTIONS)}")
    needed = {HUMAN_COST if option.startswith("human") else LLM_COST for option in options}
    for name in sorted(needed | set(cost)):
        if name not in (LLM_COST, HUMAN_COST):
            faults.add(f"cost names {name!r}", f"Name {LLM_COST} and {HUMAN_COST}")
        elif name not in cost:
            faults.add(f"cost of {name} is missing", f'Give cost={{"{name}": ...}}, for one rating')
        elif not (cost[name] > 0 and np.isfinite(cost[name])):
            faults.add(f"cost of {name} is {cost[name]:g}", "Give a sum above 0; time is a cost too")
    if coders < 1 or not 0 <= overlap <= 1:
        faults.add(f"{coders} coders with an overlap of {overlap:g}", "Give 1 or more, and a share of 0 to 1")
    if not all(part > 0 for part in coder_prior):
        faults.add(f"coder_prior is {coder_prior}", "Give two numbers above 0, as of a Beta")
    if points < 1:
        faults.add(f"points is {points}", "Give at least 1")
    if not 0 < ci_prob < 1:
        faults.add(f"ci_prob is {ci_prob:g}", "Give a probability between 0 and 1, such as 0.95")


def _rated_constructs(
    fit: xr.DataTree, spec: ModelSpec, name: str, constructs: Sequence[str] | None, faults: FaultList
) -> list[str]:
    known = [str(label) for label in fit["constant_data"].to_dataset()["construct"].values]
    if constructs is None:
        own = [(item.outcome, *item.term.names) for item in spec.paths if item.name == name]
        return [label for label in known if own and label in own[0]]
    for label in constructs:
        if label not in known:
            remedy = sentence(did_you_mean(label, known), f"Constructs are {', '.join(known)}")
            faults.add(f"there is no construct {label!r} in this fit", remedy)
    if not constructs:
        faults.add("no construct would be rated", f"Name some of {', '.join(known)}")
    return list(dict.fromkeys(constructs))


def _prior_sd(spec: ModelSpec, name: str) -> float:
    item = next(item for item in spec.paths if item.name == name)
    return resolve_priors(spec).of_path(spec, item).numbers[1]


def _group_part(fit: xr.DataTree, name: str) -> float:
    """Return the variance of a path by slopes that vary: their variance over the number of groups."""
    posterior = posterior_of(fit)
    found = 0.0
    for group in ("dyad", "session"):
        effect = f"{group}_effect"
        if f"{group}_cov" in posterior and name in posterior[effect].values:
            cov = posterior[f"{group}_cov"].sel({effect: name, f"{effect}2": name})
            found += float(cov.mean()) / len(np.unique(fit["constant_data"].to_dataset()[group].values))
    return found


def _shares(now: Parts) -> pd.DataFrame:
    rows = [
        ("number of exchanges, and size of the errors", now.sampling),
        ("error variances not known", now.errors),
        ("slopes that differ between groups", now.groups),
    ]
    total = sum(value for _, value in rows)
    return pd.DataFrame([(name, value / total) for name, value in rows], columns=["part", "share"])
