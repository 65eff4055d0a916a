"""One construct through its rater model, Gaussian or ordinal: draws, scale, and summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from bayesdyn.errors import FaultList
from bayesdyn.measures.ends import Ends, ends_of_answers, ends_of_normals
from bayesdyn.measures.graded.answers import Answers
from bayesdyn.measures.graded.density import Form
from bayesdyn.measures.graded.prepare import prepare_graded
from bayesdyn.measures.graded.sampler import GradedDraws, sample_graded
from bayesdyn.measures.graded.scores import linear, noise_of, score_answers, with_shared
from bayesdyn.measures.rater.parts import Part
from bayesdyn.measures.rater.places import Places
from bayesdyn.measures.rater.sampler import Draws, sample_raters
from bayesdyn.measures.rater.scale import Scale, fix_scale
from bayesdyn.measures.rater.summaries import Summary, describe, summarise

Likelihood = Literal["gaussian", "ordinal"]
LIKELIHOODS: tuple[str, ...] = get_args(Likelihood)


@dataclass(frozen=True)
class Modelled:
    """One construct, modelled.

    Attributes
    ----------
    part
        What went in; with an ordinal likelihood, ``noise`` is the replicate noise that was estimated.
    draws, scale, summary
        What came out.
    ends
        Shares of ratings at the ends of the scale that the model predicts.
    ordinal
        Which likelihood.
    """

    part: Part
    draws: Draws
    scale: Scale
    summary: Summary
    ends: Ends
    ordinal: bool


def chosen_likelihoods(
    given: Likelihood | Mapping[str, Likelihood], constructs: Sequence[str], faults: FaultList
) -> dict[str, str]:
    """Return the likelihood of each construct: one for all, or by name, Gaussian where not named."""
    if isinstance(given, str):
        chosen = dict.fromkeys(constructs, given)
    else:
        chosen = {name: given.get(name, "gaussian") for name in constructs}
        for name in sorted(set(given) - set(constructs)):
            faults.add(
                f"likelihood names construct {name}, which nobody rated",
                f"Choose from {', '.join(constructs)}",
            )
    for value in sorted(set(chosen.values()) - set(LIKELIHOODS)):
        faults.add(f"likelihood is {value!r}", f"Use one of {', '.join(LIKELIHOODS)}")
    return chosen


def model_raters(
    parts: Sequence[Part],
    answers: Mapping[str, Answers],
    places: Places,
    bounds: Sequence[tuple[float, float]],
    *,
    random_seed: int,
    draws: int,
) -> list[Modelled]:
    """Return all constructs through their rater models, in order.

    Parameters
    ----------
    parts
        The constructs.
    answers
        Answers by the names of those with an ordinal likelihood.
    places
        Where the exchanges stand.
    bounds
        Lowest and highest point of each construct's scale, NaN where not known.
    random_seed, draws
        Of both samplers.
    """
    smooth = [part for part in parts if part.construct not in answers]
    graded = [part for part in parts if part.construct in answers]
    normal = sample_raters([part.problem for part in smooth], random_seed=random_seed, draws=draws)
    problems = [prepare_graded(part, answers[part.construct], places) for part in graded]
    told = sample_graded(problems, random_seed=random_seed, draws=draws)
    found: dict[str, Modelled] = {}
    by_name = dict(zip((part.construct for part in parts), bounds, strict=True))
    for part, one in zip(smooth, normal, strict=True):
        scale = fix_scale(one, part.human)
        summary = summarise(scale, part.value, part.q, part.noise, part.human, places.sizes)
        ends = ends_of_normals(scale.at(None), part.value, part.noise, by_name[part.construct])
        found[part.construct] = Modelled(part, one, scale, summary, ends, ordinal=False)
    for part, problem, one in zip(graded, problems, told, strict=True):
        found[part.construct] = _graded(part, answers[part.construct], one, problem.form, places)
    return [found[part.construct] for part in parts]


def _graded(part: Part, answers: Answers, found: GradedDraws, form: Form, places: Places) -> Modelled:
    line = linear(found, answers)
    noise = noise_of(found, line, answers)
    rated = answers.pattern > 0
    part = replace(part, q=np.ones_like(part.q), noise=np.where(rated, noise, 0.0))
    draws = with_shared(line, ~part.human)
    scale = fix_scale(draws, part.human)
    scores = score_answers(found, scale, answers, form)
    at = scale.at(None)
    unit = np.sqrt(at.variance)
    summary = describe(
        scale, rated, part.q, part.noise, part.human, places.sizes,
        score=at.mean + unit * scores.score, se=unit * scores.se, kappa_sd=scores.kappa_sd,
        reliability=scores.reliability, location_sd=scores.location_sd,
    )  # fmt: skip
    return Modelled(part, draws, scale, summary, ends_of_answers(found, answers), ordinal=True)
