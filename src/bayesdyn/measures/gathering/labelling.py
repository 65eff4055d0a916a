"""Human ratings of exchanges that were chosen with known probabilities, and the weights that undo the choice.

A coded exchange i with weight w_i counts with ``w_i log p(human_i | LLMs_i)``, that is, ``w_i log p(human_i,
LLMs_i) + (1 - w_i) log p(LLMs_i)``: a pseudo-likelihood whose expectation over the choice is that of coding
all exchanges. The weights are 1 / probability, normalised so that they sum to Kish's effective number of
coded exchanges (Kish 1965, Survey Sampling, 11.7; Savitsky & Toth 2016, Electronic Journal of Statistics 10,
1677, for pseudo-posteriors): weights that sum to the coded number claim more than unequal weights can tell.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesdyn.errors import FaultList
from bayesdyn.measures.dataset import Notes
from bayesdyn.tables import KEY, LABELLING

type Floats = NDArray[np.float64]


def labelling_probabilities(table: pd.DataFrame, keys: pd.DataFrame, faults: FaultList) -> Floats | None:
    """Return the probability with which each exchange was chosen, NaN where not known; None without any.

    Parameters
    ----------
    table
        All ratings after :func:`~bayesdyn.tables.check_ratings`, so that an exchange has one probability.
    keys
        The exchanges.
    faults
        Gathers exchanges that a human rated and that lack a probability, where others have one.
    """
    if LABELLING not in table.columns or table[LABELLING].isna().all():
        return None
    human = table[(table["rater_kind"] == "human") & table["value"].notna()]
    of_exchange = human.groupby(KEY)[LABELLING].max()
    for dyad, session, t in of_exchange.index[of_exchange.isna()]:
        faults.add(
            f"dyad {dyad}, session {session}, t {t} was coded but has no {LABELLING}, and others have one",
            "Give every coded exchange its own in the human table, or none",
        )
    places = pd.MultiIndex.from_frame(keys[KEY])
    return of_exchange.reindex(places).to_numpy(dtype=np.float64)


def labelling_weights(probability: Floats, coded: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Return the weight of every exchange, 1 where it has no probability, and Kish's effective number.

    Parameters
    ----------
    probability
        (exchange,) NaN where not known.
    coded
        (exchange,) over which the weights sum to their effective number, ``(sum w)^2 / sum w^2``: those that
        the rater model is learnt from.
    """
    known = np.isfinite(probability)
    weight = np.ones(len(probability))
    if not (coded & known).any():
        return weight, 0.0
    given = 1 / probability[coded & known]
    # Equal probabilities give weights of 1 to the last bit, as without any.
    if np.ptp(given) == 0 and np.ptp(probability[known]) == 0:
        return weight, float(len(given))
    effective = float(given.sum() ** 2 / np.square(given).sum())
    weight[known] = effective / given.sum() / probability[known]
    return weight, effective


def say_labelling(
    construct: str, probability: Floats, coded: NDArray[np.bool_], effective: float, notes: Notes
) -> None:
    """Say how the coded exchanges were weighted."""
    chosen = probability[coded & np.isfinite(probability)]
    if len(chosen) == 0:
        return
    low, high = chosen.min(), chosen.max()
    if low == high:
        notes.add(
            f"{construct}: the {len(chosen)} coded exchanges were chosen with one probability, {low:.3g}: "
            "they need no weights."
        )
        return
    notes.add(
        f"{construct}: the {len(chosen)} coded exchanges are weighted by 1 / {LABELLING} ({low:.3g} to "
        f"{high:.3g}), and count as {effective:.1f} (Kish's effective sample size)."
    )
