"""The report's sections on what follows from a fit: indirect effects, slopes, responses, paths of dyads."""

import pandas as pd
import xarray as xr

from bayesdyn.effects import dyad_paths, effects, impulse_response
from bayesdyn.effects.equations import Equations, equations_of
from bayesdyn.fitting.fits import posterior_of
from bayesdyn.reporting import effect_figures
from bayesdyn.reporting.slopes import CI_PROB, SlopeLine, region_words, simple_slopes
from bayesdyn.reporting.tables import Group, Table, slope_table
from bayesdyn.reporting.words import count, counted, interval, number, probability

HORIZON = 10
_MOST_DRAWS = 4_000  # per quantity: more would move no digit that the page shows
_MOST_DYAD_DRAWS = 4_000_000  # dyads times draws of one path: about a second
_LEAST_DRAWS = 400
_ESTIMATE = ("mean", "95 % interval", "Pr(> 0)")


def effect_sections(fit: xr.DataTree, naive: xr.DataTree | None) -> dict[str, object]:
    """Return what the template shows of these sections; None stands where a fit has nothing to tell.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives. Of more than 4,000 draws every second, third ... is used; the captions
        say how many.
    naive
        A fit of the same model to the scores as they are, or None: its slopes are shown beside.
    """
    is_naive = fit.attrs.get("measurement") == "none"
    fit = thinned(fit, _MOST_DRAWS)
    equations = equations_of(fit)
    return {
        "effect_draws": count(len(equations.draws)),
        "mediated": _mediated(fit),
        **_slopes(fit, naive, is_naive),
        **_responses(fit, equations, is_naive),
        **_dyads(fit, equations, is_naive),
    }


def thinned(fit: xr.DataTree, most: int) -> xr.DataTree:
    """Return a fit with at most this many draws: every second, third ... of each chain."""
    posterior = posterior_of(fit)
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    if total <= most:
        return fit
    groups = {name: node.to_dataset() for name, node in fit.children.items()}
    kept = posterior.isel(draw=slice(None, None, -(-total // most)))
    tree = xr.DataTree.from_dict({**groups, "posterior": kept})
    tree.attrs = fit.attrs
    return tree


def _mediated(fit: xr.DataTree) -> Table | None:
    """Return total, direct and indirect effects of the pairs that a mediator joins."""
    table = effects(fit, ci_prob=CI_PROB)
    pairs = table.loc[table["kind"] == "indirect", ["cause", "outcome"]].drop_duplicates()
    if pairs.empty:
        return None
    shown = table.merge(pairs, on=["cause", "outcome"])
    groups = [
        Group(tuple(_effect_row(row) for _, row in part.iterrows()), f"{cause} on {outcome}")
        for (cause, outcome), part in shown.groupby(["cause", "outcome"], sort=False)
    ]
    caption = (
        "Effects within one exchange, in SD of the outcome per SD of the cause: posterior mean, equal-tailed "
        "95 % interval, and probability that the effect is positive, of a dyad whose slopes are average."
    )
    return Table(caption, ("effect", "where", *_ESTIMATE), tuple(groups), text_columns=2)


def _effect_row(row: "pd.Series[object]") -> tuple[str, ...]:
    through = " and ".join(str(row["route"]).split(" -> ")[1:-1])
    name = f"through {through}" if through else str(row["kind"])
    return (name, str(row["at"]) or "everywhere", *_estimate(row))


def _estimate(row: "pd.Series[object]", prefix: str = "") -> tuple[str, str, str]:
    mean, lower, upper, positive = (
        float(str(row[f"{prefix}{name}"])) for name in ("mean", "lower", "upper", "prob_positive")
    )
    return number(mean), interval(lower, upper), probability(positive)


def _slopes(fit: xr.DataTree, naive: xr.DataTree | None, is_naive: bool) -> dict[str, object]:
    lines = simple_slopes(fit)
    others: list[SlopeLine] = [] if naive is None else simple_slopes(naive, regions=False)
    return {
        "slopes": effect_figures.slopes(lines, others, is_naive=is_naive) if lines else None,
        "slopes_naive": bool(others),
        "slope_table": slope_table(lines) if lines else None,
        "region_table": _region_table(lines) if lines else None,
        "moderators": list(dict.fromkeys(line.moderator for line in lines)),
    }


def _region_table(lines: list[SlopeLine]) -> Table:
    groups = [
        Group(
            tuple((line.behaviour, region_words(line)) for line in lines if line.outcome == outcome), outcome
        )
        for outcome in dict.fromkeys(line.outcome for line in lines)
    ]
    caption = (
        "Johnson-Neyman regions: where the equal-tailed 95 % interval of the slope excludes zero, between -2 "
        "and +2 SD of the moderator; stretches less than 0.05 SD apart are told as one. The intervals hold "
        "value by value, not for the whole line at once."
    )
    return Table(caption, ("slope of", "excludes zero"), tuple(groups), text_columns=2)


def _responses(fit: xr.DataTree, equations: Equations, is_naive: bool) -> dict[str, object]:
    table = _response_frame(fit, equations)
    if table.empty:
        return {"responses": None, "response_table": None, "unstable": ""}
    ends = table[table["ahead"].isin([0, 1, HORIZON])]
    groups = []
    for response, part in ends.groupby("response", sort=False):
        rows = []
        for shock, own in part.groupby("shock", sort=False):
            now, following, last = (own[own["ahead"] == ahead].iloc[0] for ahead in (0, 1, HORIZON))
            told = (*_estimate(now)[:2], *_estimate(following)[:2], *_estimate(last, "sum_"))
            rows.append((str(shock), *told))
        groups.append(Group(tuple(rows), str(response)))
    caption = (
        f"Responses to a rise of one SD of the innovation, in SD of the response: at once, in the next "
        f"exchange, and in sum to {HORIZON} exchanges ahead, with equal-tailed 95 % intervals."
    )
    columns = ("rise of", "at once", "95 % interval", "next", "95 % interval", "sum", *_ESTIMATE[1:])
    share = float(table.attrs["unstable_share"])
    return {
        "responses": effect_figures.responses(table, is_naive=is_naive),
        "response_table": Table(caption, columns, tuple(groups)),
        "unstable": f"In {100 * share:.2g} % of the draws they do not die out." if share else "",
    }


def _response_frame(fit: xr.DataTree, equations: Equations) -> pd.DataFrame:
    """Return the responses of written outcomes to rises of the other parties; none without every equation.

    Within a party a response says how its constructs go together; between parties, who follows whom. Pairs
    that nothing joins are left out, and so are parties where the model has one only.
    """
    if set(equations.endogenous) != set(equations.constructs):
        return pd.DataFrame()
    party, outcomes = equations.spec.party, {p.outcome for p in equations.paths if p.origin == "written"}
    apart = len({party(name) for name in equations.constructs}) > 1
    frames, unstable = [], 0.0
    for shock in equations.constructs:
        found = impulse_response(fit, shock, horizon=HORIZON, ci_prob=CI_PROB)
        unstable = found.attrs["unstable_share"]
        kept = [
            name
            for name in equations.constructs
            if name in outcomes and name != shock and (party(name) != party(shock) or not apart)
        ]
        joined = found[found["prob_positive"].notna()]["response"].unique()
        frames.append(found[found["response"].isin([name for name in kept if name in joined])])
    table = pd.concat(frames, ignore_index=True)
    order = {name: place for place, name in enumerate(equations.spec.outcomes)}
    table = table.sort_values("response", key=lambda names: names.map(order), kind="stable")
    table.attrs = {"unstable_share": unstable}
    return table


def _dyads(fit: xr.DataTree, equations: Equations, is_naive: bool) -> dict[str, object]:
    posterior = posterior_of(fit)
    varying = {item.outcome for item in equations.spec.varying if item.group == "dyad" and item.slopes}
    if "dyad_effects" not in posterior or not varying or posterior.sizes["dyad"] < 2:
        return {"dyads": None, "dyad_table": None, "dyad_draws": ""}
    most = max(_LEAST_DRAWS, _MOST_DYAD_DRAWS // posterior.sizes["dyad"])
    fit = thinned(fit, most)
    table = dyad_paths(fit, ci_prob=CI_PROB)
    draws = posterior_of(fit)["path"]
    names = list(dict.fromkeys(table["path"]))
    common = {name: float(draws.sel(path_name=name).mean()) for name in names}
    rows = []
    for name in names:
        own = table[table["path"] == name]
        first, apart = own.iloc[0], ((own["lower"] > 0) | (own["upper"] < 0)).sum()
        means = interval(own["mean"].min(), own["mean"].max())
        rows.append((name, number(common[name]), number(float(first["dyad_sd"])), means, count(apart),
                     number(float(first["pooling"]), 2)))  # fmt: skip
    caption = (
        f"Paths of {counted(posterior.sizes['dyad'], 'dyad')}: the common path, the SD of the paths over "
        "dyads (posterior means), the range of the dyads' posterior means, how many equal-tailed 95 % "
        "intervals exclude zero, and the pooling factor."
    )
    columns = ("path", "common path", "SD over dyads", "dyads' means", "exclude zero", "pooling")
    return {
        "dyads": effect_figures.dyads(table, common, is_naive=is_naive),
        "dyad_table": Table(caption, columns, (Group(tuple(rows)),)),
        "dyad_draws": count(draws.sizes["chain"] * draws.sizes["draw"]),
    }
