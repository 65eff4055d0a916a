"""The report as one HTML file that needs nothing else: no script, no network, no transcript."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bayesdyn.artefacts import write_text
from bayesdyn.fitting.claims import check_claims, claim_parts
from bayesdyn.fitting.diagnostics import diagnose
from bayesdyn.fitting.fits import notes_of, posterior_of
from bayesdyn.fitting.summaries import summary
from bayesdyn.reporting import answer, figures, study_tables, tables
from bayesdyn.reporting.agreement_figure import agreement_figure
from bayesdyn.reporting.checks import check_inputs
from bayesdyn.reporting.effects import effect_sections
from bayesdyn.reporting.plan_figure import parts_in_words, plan_figure, plan_notes, plan_table
from bayesdyn.reporting.words import MEASUREMENT_SAID, count, level, probability
from bayesdyn.sweeps.planning.result import RatingPlan
from bayesdyn.sweeps.sensitivity import Sensitivity

CI_PROB = 0.95
_PATH_COORDINATES = ("path_outcome", "path_term", "path_label", "path_origin")
_UNITS = "standard deviations of the latent scores"


def report(
    fit: xr.DataTree,
    sens: Sensitivity | None = None,
    *,
    naive: xr.DataTree | None = None,
    out: str | Path = "report.html",
    agreement: pd.DataFrame | None = None,
    measures: xr.Dataset | None = None,
    data_summary: Mapping[str, object] | None = None,
    rating_summary: Mapping[str, object] | None = None,
    reproduce: Sequence[str] | None = None,
    plan: RatingPlan | None = None,
) -> Path:
    """Write the report of a fit as one self-contained HTML file.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    sens
        As :func:`bayesdyn.sensitivity` gives; without it the report has no reliability sweep.
    naive
        A fit of the same model with ``measurement="none"``, shown beside ``fit``. Without it, the factor 0
        of ``sens`` serves for the forest plot and the path table.
    out
        The file to write; its folder is made if need be.
    agreement
        As :func:`bayesdyn.agreement` gives.
    measures
        The measures that the fit was made from, for reliabilities with their intervals and the raters.
    data_summary
        Counts of the reading, ``exchanges.attrs["summary"]``: numbers, or mappings from a name to a number
        (``set_aside``, by reason). Never text: a report holds no transcript.
    rating_summary
        Counts of the rating, numbers or mappings (of mappings) to numbers: ratings per rater, unrated by
        reason; :func:`bayesdyn.reporting.counts.count_ratings` makes it.
    reproduce
        The commands that made this, one a line; None shows the call of :func:`bayesdyn.fit`.
    plan
        As :func:`bayesdyn.plan_ratings` gives, for one of the fit's paths: what further ratings would buy.

    Returns
    -------
    pathlib.Path
        ``out``.

    Raises
    ------
    InputError
        With all faults: something that is no fit, a naive fit of another model, an agreement table without
        its columns, a summary that holds anything but counts, a plan for a path that the fit has not, a
        file that cannot be written.
    """
    check_inputs(
        fit, naive, agreement, data_summary, rating_summary, None if plan is None else plan.path_name
    )
    inputs = _Inputs(
        fit, sens, naive, agreement, measures, data_summary or {}, rating_summary or {}, reproduce, plan
    )
    environment = Environment(
        loader=PackageLoader("bayesdyn.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = Markup
    page = environment.get_template("template.html.j2").render(_context(inputs))
    write_text(out, page)
    return Path(out)


@dataclass(frozen=True)
class _Inputs:
    """What a report is made of, checked."""

    fit: xr.DataTree
    sens: Sensitivity | None
    naive: xr.DataTree | None
    agreement: pd.DataFrame | None
    measures: xr.Dataset | None
    data_summary: Mapping[str, object]
    rating_summary: Mapping[str, object]
    reproduce: Sequence[str] | None
    plan: RatingPlan | None


def _context(inputs: _Inputs) -> dict[str, object]:
    """Return what the template shows."""
    fit, naive, sens = inputs.fit, inputs.naive, inputs.sens
    verdict = diagnose(fit)
    verdicts = {"this fit": (verdict, _chains(fit))}
    if naive is not None:
        verdicts["naive fit"] = (diagnose(naive), _chains(naive))
    claims = check_claims(fit)
    lines = answer.claim_lines(claims, None if naive is None else check_claims(naive), claim_parts(fit))
    notes = _all_notes(inputs)
    identification = fit.attrs.get("identification", "")
    threshold = claims.attrs["threshold"]
    return {
        "model": fit.attrs.get("model", "model"),
        "measurement": fit.attrs["measurement"],
        "measurement_said": MEASUREMENT_SAID,
        "answer": answer.opening(lines, verdict.ok, answer.main_caveat(notes, identification)),
        "facts": _facts(fit),
        "claims": lines,
        "threshold": threshold,
        "threshold_shown": (probability(threshold), probability(1 - threshold)),
        "level": level(CI_PROB),
        "units": _UNITS,
        **_paths(fit, naive, sens),
        **effect_sections(fit, naive),
        **_sweep(fit, sens),
        **_plan(inputs.plan),
        "reliability": study_tables.reliability_table(inputs.measures, fit),
        "identified": answer.IDENTIFIED.get(identification, ""),
        "raters": study_tables.rater_table(inputs.measures),
        "levels": study_tables.level_table(inputs.measures),
        "budget": study_tables.budget_table(inputs.measures),
        "notes": notes,
        "agreement": study_tables.agreement_tables(inputs.agreement),
        "agreement_figure": agreement_figure(inputs.agreement),
        "verdict": verdict,
        "verdicts": list(verdicts.items()),
        "diagnostics": tables.diagnostics_table(verdicts),
        "data": study_tables.count_tables(
            inputs.data_summary, "Rows of the transcripts, and what became of them."
        ),
        "rated": study_tables.count_tables(inputs.rating_summary, "Ratings."),
        **_provenance(inputs),
    }


def _paths(fit: xr.DataTree, naive: xr.DataTree | None, sens: Sensitivity | None) -> dict[str, object]:
    every = path_frame(fit)
    written, default = every[every["origin"] == "written"], every[every["origin"] == "default"]
    other = None
    if naive is not None:
        other = path_frame(naive)
    elif sens is not None and fit.attrs.get("measurement") != "none":
        zero = sens.paths[sens.paths["factor"] == 0]
        if not zero.empty:
            other = zero.merge(every[["path_name", "outcome", "term"]], on="path_name")
    if other is not None:
        other = other[other["path_name"].isin(written["path_name"])]
    is_naive = fit.attrs.get("measurement") == "none"
    raw = path_frame(fit, units="raw")
    interval = "equal-tailed 95 % credible intervals"
    return {
        "has_naive": other is not None,
        "is_naive": is_naive,
        "forest": figures.forest(written, other, is_naive=is_naive),
        "path_table": tables.path_table(
            written, other, f"Written paths: posterior mean and SD with {interval}, in {_UNITS}."
        ),
        "default_table": None
        if default.empty
        else tables.path_table(default, None, f"Paths added by default, with {interval}, in {_UNITS}."),
        "raw_table": tables.path_table(
            raw[raw["origin"] == "written"],
            None,
            f"Written paths in raw units, with {interval}: points of the outcome per point of each factor.",
        ),
        "defined_table": tables.plain_table(
            summary(fit, ci_prob=CI_PROB, variables=("defined",)), f"Defined quantities, with {interval}."
        )
        if "defined" in posterior_of(fit)
        else None,
    }


def path_frame(fit: xr.DataTree, units: str = "standard") -> pd.DataFrame:
    """Return the summary of a fit's paths with ``path_name, outcome, term, label, origin`` as columns."""
    path = posterior_of(fit)["path"]
    found = summary(fit, ci_prob=CI_PROB, variables=("path",), units=units)
    frame = found.rename_axis("path_name").reset_index()
    for name in _PATH_COORDINATES:
        frame[name.removeprefix("path_")] = path[name].values.astype(str)
    return frame


def _sweep(fit: xr.DataTree, sens: Sensitivity | None) -> dict[str, object]:
    if sens is None:
        return {"sweep": None, "tipping": None, "tipping_rest": None, "refits": None}
    frame = path_frame(fit)[["path_name", "outcome", "term"]]
    paths = sens.paths.merge(frame, on="path_name", how="inner")
    constructs = set(map(str, fit["constant_data"].to_dataset()["construct"].values))
    shown = paths[[all(part in constructs for part in term.split(":")) for term in paths["term"]]]
    shown = shown if not shown.empty else paths
    names = list(dict.fromkeys(shown["path_name"]))
    rest = [name for name in dict.fromkeys(paths["path_name"]) if name not in names]
    tipping = dict(zip(sens.tipping["path_name"], sens.tipping["tipping_factor"].astype(float), strict=True))
    return {
        "sweep": figures.sweep(shown, tipping),
        "tipping": answer.tipping_words(sens.tipping, names),
        "tipping_rest": answer.tipping_words(sens.tipping, rest),
        "refits": tables.refit_table(sens.table),
    }


def _plan(plan: RatingPlan | None) -> dict[str, object]:
    if plan is None:
        return {"plan": None}
    return {
        "plan": plan,
        "plan_figure": plan_figure(plan),
        "plan_table": plan_table(plan),
        "plan_parts": parts_in_words(plan.parts),
        "plan_notes": plan_notes(plan),
    }


def _facts(fit: xr.DataTree) -> list[tuple[str, str]]:
    score = fit["observed_data"].to_dataset()["score"]
    sessions = pd.DataFrame({"dyad": score["dyad"].values, "session": score["session"].values})
    return [
        ("dyads", count(sessions["dyad"].nunique())),
        ("sessions", count(len(sessions.drop_duplicates()))),
        ("exchanges", count(score.sizes["exchange"])),
        ("constructs", count(score.sizes["construct"])),
        ("posterior draws", count(_chains(fit) * posterior_of(fit).sizes["draw"])),
    ]


def _all_notes(inputs: _Inputs) -> list[str]:
    """Return every note, once: the fit's, then those of the measures and the naive fit that it lacks."""
    notes = notes_of(inputs.fit)
    if inputs.measures is not None:
        notes += json.loads(inputs.measures.attrs.get("notes", "[]"))
    if inputs.naive is not None:
        notes += [f"Naive fit: {note}" for note in notes_of(inputs.naive) if note not in notes]
    return list(dict.fromkeys(notes))


def _provenance(inputs: _Inputs) -> dict[str, object]:
    attrs = inputs.fit.attrs
    settings = json.loads(attrs.get("settings", "{}"))
    seed = json.loads(attrs.get("random_seed", "null"))
    call = ", ".join(
        ["measures", "spec", f"measurement={attrs.get('measurement', '')!r}"]
        + [f"{name}={value}" for name, value in settings.items()]
        + [f"random_seed={seed}"]
    )
    return {
        "commands": list(inputs.reproduce) if inputs.reproduce is not None else [f"fit = bd.fit({call})"],
        "seed": seed,
        "settings": settings,
        "sampler": " · ".join(str(attrs[name]) for name in ("engine", "sampler") if name in attrs),
        "versions": json.loads(attrs.get("versions", "{}")),
        "hashes": json.loads(attrs.get("inputs", "{}")),
        "model_text": json.loads(attrs.get("spec", '""')),
    }


def _chains(fit: xr.DataTree) -> int:
    return posterior_of(fit).sizes["chain"]
