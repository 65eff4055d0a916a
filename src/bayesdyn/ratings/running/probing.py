"""Which way a server answers: one probe before the first rating, and the choice stays."""

from bayesdyn.errors import EndpointError, Fault
from bayesdyn.ratings.answers.methods import Way, body_of, supports, ways_of
from bayesdyn.ratings.running.costs import tokens_of
from bayesdyn.ratings.scoring.codebook import Codebook
from bayesdyn.ratings.scoring.panel import Rater
from bayesdyn.ratings.scoring.passages import PROBE
from bayesdyn.ratings.scoring.prompt import build_prompt
from bayesdyn.ratings.servers.client import Unsupported
from bayesdyn.ratings.servers.pacing import Caller, SetAside


async def choose_way(rater: Rater, codebook: Codebook, constructs: tuple[str, ...], caller: Caller) -> Way:
    """Return the first of a rater's ways that its server supports, by asking about a made-up passage.

    Raises
    ------
    EndpointError
        If the server cannot be used, or supports none, with what it lacks for each.
    """
    lacking = []
    for way in ways_of(rater):
        group = constructs if rater.together else constructs[:1]
        prompt = build_prompt(codebook, group, rater, way)
        body = body_of(rater, way, prompt, prompt.messages(PROBE), 0)
        try:
            answer = await caller.call(body, sum(tokens_of(body)))
        except Unsupported:
            lacking.append(f"{way}: the server refuses it")
            continue
        except SetAside as failure:
            raise failure.error from None
        reason = supports(answer, way, prompt)
        if not reason:
            return way
        lacking.append(f"{way}: {reason}")
    raise no_method(rater, "; ".join(lacking))


def no_method(rater: Rater, why: str = "it returns no log probabilities") -> EndpointError:
    """Return the error for a server that offers none of a rater's methods."""
    place = "the embedded server" if rater.base_url is None else rater.base_url
    return EndpointError(
        "The LLM server offers no method that the rater lists",
        [
            Fault(
                f"{why}; the rater's methods are {', '.join(rater.methods)}",
                "Add json or text to methods in the panel, or use a server with log probabilities "
                "(llama.cpp, vLLM, many hosted models)",
                f"rater {rater.name} at {place}",
            )
        ],
    )
