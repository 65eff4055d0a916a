"""What rating costs: before anything is sent, while it runs, and a budget that is never passed."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bayesdyn.ratings.ledgers.ledger import Ledger
from bayesdyn.ratings.questions.corpus import Corpus
from bayesdyn.ratings.questions.plans import Plan, missing
from bayesdyn.ratings.scoring.codebook import Codebook
from bayesdyn.ratings.scoring.panel import Price, Rater

_SIGNS_A_TOKEN = 3.5
_TOKENS_A_MESSAGE = 5
_MILLION = 1e6
_FIRST_RATIO = 2.0


def tokens_of(body: Mapping[str, object]) -> tuple[int, int]:
    """Return about how many input tokens a request has, and how many output tokens at most.

    Vocabularies differ: English text has 3.5 to 4.5 signs a token, so that this errs on the dear side.
    """
    messages = body.get("messages")
    texts = [str(message["content"]) for message in messages] if isinstance(messages, list) else []
    given = sum(len(text) / _SIGNS_A_TOKEN + _TOKENS_A_MESSAGE for text in texts)
    most = body.get("max_tokens", body.get("max_completion_tokens", 0))
    return round(given), most if isinstance(most, int) else 0


def cost_of(price: Price, input_tokens: float, output_tokens: float) -> float:
    """Return the cost of some tokens, in the currency of the panel's prices."""
    return (price.input * input_tokens + price.output * output_tokens) / _MILLION


class Budget:
    """What may still be spent on a rater; requests in flight are booked at their most.

    Estimates are booked twofold until the first answer tells how far off they are, and from then on by the
    worst ratio seen: only a server that bills more than that can pass the limit, by what is in flight.

    Parameters
    ----------
    price
        The rater's.
    most
        What all its answers in the ledger may cost together; None: no limit.
    spent
        What those that are there have cost.
    """

    def __init__(self, price: Price, most: float | None, spent: float) -> None:
        self._price = price
        self._most = most
        self.spent = spent
        self._booked = 0.0
        self._ratio: float | None = None

    def book(self, tokens: tuple[int, int]) -> bool:
        """Book a request by its estimated tokens; False, and nothing booked, if it might pass the limit."""
        cost = cost_of(self._price, *tokens)
        if self._most is not None:
            ratio = _FIRST_RATIO if self._ratio is None else self._ratio
            if self.spent + ratio * (self._booked + cost) > self._most:
                return False
        self._booked += cost
        return True

    def settle(self, tokens: tuple[int, int], used: tuple[int, int], spoiled: int = 0) -> None:
        """Replace what was booked for a request by what was used; nothing, where there was no answer.

        Spoiled tries, which may have been billed though no answer arrived whole, count as estimated.
        """
        booked, cost = cost_of(self._price, *tokens), cost_of(self._price, *used)
        self._booked -= booked
        self.spent += cost + spoiled * booked
        if booked > 0 and cost > 0:
            self._ratio = max(self._ratio or 0.0, cost / booked)


def spent_on(ledger: Ledger, rater: Rater) -> float:
    """Return what the answers of a rater in a ledger have cost, at the panel's prices."""
    tokens = ledger.tokens(rater.name)
    return cost_of(rater.price, *tokens[False]) + rater.price.batch * cost_of(rater.price, *tokens[True])


def estimate(
    corpus: Corpus, codebook: Codebook, plans: Sequence[Plan], ledger: Ledger | None
) -> pd.DataFrame:
    """Return what rating a corpus would take; nothing is sent.

    Returns
    -------
    pandas.DataFrame
        One row for each rater: ``requests`` that the ledger lacks, their ``input_tokens`` and
        ``output_tokens`` (estimates, see :func:`tokens_of`), ``cost`` at the panel's prices, ``spent`` on
        what the ledger has, ``longest`` request in tokens.
    """
    rows = []
    for plan in plans:
        count, given, got, longest = 0, 0, 0, 0
        for request in missing(corpus, codebook, plan, ledger):
            tokens = tokens_of(request.body())
            count, given, got = count + 1, given + tokens[0], got + tokens[1]
            longest = max(longest, tokens[0])
        rows.append(
            {
                "rater": plan.rater.name,
                "requests": count,
                "input_tokens": given,
                "output_tokens": got,
                "cost": cost_of(plan.rater.price, given, got),
                "spent": 0.0 if ledger is None else spent_on(ledger, plan.rater),
                "longest": longest,
            }
        )
    return pd.DataFrame(rows)
