"""The plan in words: each option's purchase and assumptions, the best buy, the notes."""

import numpy as np
import pandas as pd

from bayesdyn.sweeps.planning.options import UNITS, Shop

_WORTH = 0.95
"""An expected SD above this share of the SD now is not worth its money, whatever it costs."""
_ALIKE = 2.0
"""Factor between the closed form's SD and the fit's beyond which the plan warns."""
_ONE = {"replicate": "one more replicate of every LLM", "llm": "the exchanges rated by one more LLM"}


def at_budget(table: pd.DataFrame, shop: Shop) -> pd.DataFrame:
    """Return one row per option with all spent: ``option, buys, sd, relative, assumes``, the best first."""
    last = table.groupby("option", sort=False).tail(1)
    rows = [
        (row.option, _buys(str(row.option), float(row.units)), row.sd, row.relative,
         _assumes(str(row.option), shop))
        for row in last.itertuples()
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=["option", "buys", "sd", "relative", "assumes"])
    return found.sort_values("sd", kind="stable", ignore_index=True)


def says(name: str, budget: float, ci_prob: float, table: pd.DataFrame, options: pd.DataFrame) -> str:
    """Return the best buy as a sentence, with the interval now and then, and whether it is worth it."""
    best = options.iloc[0]
    start = table[table["spend"] == 0].iloc[0]
    then = table[(table["option"] == best["option"])].iloc[-1]
    fall = f"from {start['sd']:.3f} to {then['sd']:.3f} ({100 * (1 - then['relative']):.0f} % less)"
    if then["relative"] > _WORTH:
        return (
            f"For {budget:g}, nothing on offer is worth it for {name}: the best, {best['buys']}, would take "
            f"its posterior SD {fall}."
        )
    ends = [f"[{row['lower']:.3f}, {row['upper']:.3f}]" for row in (start, then)]
    return (
        f"For {budget:g}, {name} gains most by {best['buys']}: its posterior SD is expected to fall {fall}. "
        f"If its mean stays, the {100 * ci_prob:g} % interval goes from {ends[0]} to {ends[1]}."
    )


def notes(shop: Shop, sd: float, closed_form: float) -> list[str]:
    """Return what all options assume, and warnings.

    Parameters
    ----------
    shop
        What the options know.
    sd, closed_form
        SD of the path now, by the fit and by the closed form.
    """
    names = ", ".join(shop.equation.constructs[c] for c in shop.errors)
    found = [
        f"Ratings would be of {names}. The SD of the fit is scaled by a ratio of two closed-form SDs of "
        "errors-in-variables regression; no model was refitted.",
        f"The closed form puts the SD now at {closed_form:.3f}, the fit at {sd:.3f}.",
    ]
    if not 1 / _ALIKE <= closed_form / sd <= _ALIKE:
        found.append(
            "Warning: these differ by more than a factor of two: the closed form does not describe this fit "
            "well, so take the ratios as rough."
        )
    if shop.equation.floored:
        found.append(
            "Warning: some combination of the terms has hardly any true variance left once error is taken "
            "off: the raters do not tell its constructs apart. It was given 5 % of what was observed, and "
            "gains may be greater than told."
        )
    return found


def _buys(option: str, units: float) -> str:
    if option.startswith("human"):
        return f"{units:,.0f} {UNITS[option]}"
    whole, share = int(units), int(100 * (units % 1))
    if whole and share:
        return f"{whole} {UNITS[option]}, and one more at {share} % of the exchanges"
    if whole:
        return f"{whole} {UNITS[option]}"
    return f"{share} % of {_ONE[option]}"


def _assumes(option: str, shop: Shop) -> str:
    errors = shop.errors.values()
    if option == "replicate":
        if not any(one.noise.any() for one in errors):
            return (
                "No LLM has replicates that differ, so a further replicate is taken to tell nothing new: "
                "true of ratings without sampling; of sampled ones, rate a few exchanges twice to see."
            )
        return "Replicates have independent sampling noise; all other error of the LLM stays."
    if option == "llm":
        told = "It errs on its own as the others do on average, and shares their shared error."
        if any(len(one.own) == 1 for one in errors):
            return (
                f"{told} With one LLM nothing tells what it would share: a share of .2 of what LLMs have in "
                "common, the mean of the usual prior."
            )
        if not any(one.shared for one in errors):
            return f"{told} The fit takes LLMs to share none, so this is the most that it can bring."
        return told
    coding = shop.coding
    told = (
        f"Coders have reliability {coding.reliability:.2f} (prior SD "
        f"{np.sqrt(coding.reliability_variance(0)):.2f}), err independently of LLMs and of each other, and "
    )
    if coding.coders > 1 and coding.overlap > 0:
        told += f"{coding.coders} of them code {100 * coding.overlap:g} % of the exchanges."
    else:
        told += "no exchange is coded twice, so that their reliability is that prior."
    return told
