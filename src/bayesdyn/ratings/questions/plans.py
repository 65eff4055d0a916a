"""Which requests a corpus, a codebook and a panel make: made as they are drawn, never all at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched

from bayesdyn.artefacts import sha256_json
from bayesdyn.errors import Fault, FaultList, InputError
from bayesdyn.ratings.answers.methods import Way, body_of, ways_of
from bayesdyn.ratings.ledgers.ledger import Ledger, Question
from bayesdyn.ratings.questions.corpus import Corpus, Session
from bayesdyn.ratings.scoring.codebook import Codebook
from bayesdyn.ratings.scoring.panel import Rater
from bayesdyn.ratings.scoring.passages import Passage, can_rate, passage_sha256, units_of
from bayesdyn.ratings.scoring.prompt import Prompt, build_prompt
from bayesdyn.ratings.servers.weights import weights_sha256

_CHUNK = 512
# What says where and how fast a rater is asked, and not what it answers.
_OPERATIONAL = {
    "name", "base_url", "concurrency", "requests_per_minute", "tokens_per_minute", "time_out", "retries",
    "patience", "api_key_env", "price", "replicates",
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What one rater is to rate: how it is asked, its prompts, and the weights' hash where embedded."""

    rater: Rater
    way: Way
    prompts: tuple[Prompt, ...]
    weights_sha256: str | None


@dataclass(frozen=True)
class Request:
    """One call: a prompt with a passage, and the question that each construct's answer settles."""

    plan: Plan
    prompt: Prompt
    passage: Passage
    replicate: int
    questions: tuple[Question, ...]

    def body(self) -> dict[str, object]:
        """Return the JSON body that is sent."""
        messages = self.prompt.messages(self.passage)
        return body_of(self.plan.rater, self.plan.way, self.prompt, messages, self.replicate)


@dataclass(frozen=True)
class Place:
    """One rating to be: where it belongs, and what settles it (None: there is nothing to read)."""

    dyad: str
    session: str
    t: int
    construct: str
    replicate: int
    prompt_sha256: str
    question: Question | None


def make_plans(
    codebook: Codebook,
    constructs: Sequence[str],
    raters: Sequence[Rater],
    ways: Mapping[str, Way] | None = None,
) -> list[Plan]:
    """Return one plan for each rater, with its prompts built.

    Parameters
    ----------
    codebook, constructs, raters
        What is rated, and by whom.
    ways
        How a rater is asked, by its name; by default the first way that its methods allow.

    Raises
    ------
    InputError
        If weights are unknown, a prompt template cannot be used, or constructs that are rated at different
        units are to be asked about together.
    """
    faults = FaultList()
    for rater in raters:
        if rater.together and len({codebook.constructs[name].exchanges for name in constructs}) > 1:
            faults.add(
                "constructs with different units cannot be asked about together",
                "Give them the same unit in the codebook, or rate them apart (together: false)",
                f"rater {rater.name}",
            )
    faults.raise_if_any(f"Codebook {codebook.name} cannot be rated so")
    plans = []
    for rater in raters:
        digest = None if rater.weights is None else weights_sha256(rater.weights)
        way = (ways or {}).get(rater.name, ways_of(rater)[0])
        groups = [tuple(constructs)] if rater.together else [(name,) for name in constructs]
        prompts = tuple(build_prompt(codebook, group, rater, way, digest) for group in groups)
        plans.append(Plan(rater, way, prompts, digest))
    return plans


def choice_sha256(rater: Rater) -> str:
    """Return the hash of what decides a rater's way of being asked: model, weights, methods, decoding."""
    return sha256_json({**rater.model_dump(mode="json", exclude=_OPERATIONAL), "host": rater.base_url})


def chosen_ways(ledger: Ledger, codebook: Codebook, raters: Sequence[Rater]) -> dict[str, Way]:
    """Return the way of asking that a ledger holds for each rater, where it holds one.

    Raises
    ------
    InputError
        If the ledger is of another codebook: a slip of the path would pay for a corpus anew.
    """
    others = ledger.codebooks() - {codebook.name}
    if others:
        raise InputError(
            f"The ledger {ledger.path} is of another codebook",
            [
                Fault(
                    f"it holds ratings by {', '.join(sorted(others))}, and not by {codebook.name}",
                    "Give the codebook that it was made with, or the path of a new ledger",
                )
            ],
        )
    found: dict[str, Way] = {}
    for rater in raters:
        way = ledger.choice(choice_sha256(rater))
        if way is not None:
            found[rater.name] = way
    return found


def requests_of(
    session: Session, codebook: Codebook, plan: Plan, prompt: Prompt
) -> Iterator[tuple[Request | None, tuple[Place, ...]]]:
    """Yield each request that a session makes of one prompt, with the ratings to be that it settles."""
    entries = [codebook.constructs[name] for name in prompt.constructs]
    for unit in units_of(session.exchanges, entries):
        digest = passage_sha256(unit.passage) if unit.passage else ""
        for replicate in range(plan.rater.replicates):
            questions = {
                name: Question(name, plan.rater.name, replicate, digest, prompt.sha256[name], codebook.name)
                for name, entry in zip(prompt.constructs, entries, strict=True)
                if unit.passage and can_rate(entry, unit.speakers)
            }
            places = tuple(
                Place(session.dyad, session.session, unit.t, name, replicate, prompt.sha256[name],
                      questions.get(name))
                for name in prompt.constructs
            )  # fmt: skip
            asked = tuple(questions.values())
            yield (Request(plan, prompt, unit.passage, replicate, asked) if asked else None), places


def prompt_hashes(plans: Sequence[Plan]) -> dict[str, str]:
    """Return the hash of each rater's prompt for each construct, by ``rater, construct``."""
    return {
        f"{plan.rater.name}, {name}": digest
        for plan in plans
        for prompt in plan.prompts
        for name, digest in prompt.sha256.items()
    }


def missing(corpus: Corpus, codebook: Codebook, plan: Plan, ledger: Ledger | None) -> Iterator[Request]:
    """Yield what the ledger (None: an empty one) does not have; equal passages come more than once.

    All passages of one prompt come in a row, since they share its fixed part, which a server can keep
    evaluated.
    """
    for prompt in plan.prompts:
        every = (
            request
            for session in corpus.sessions()
            for request, _ in requests_of(session, codebook, plan, prompt)
            if request is not None
        )
        for chunk in batched(every, _CHUNK):
            keys = {question: question.key for request in chunk for question in request.questions}
            have = set[str]() if ledger is None else ledger.has(list(keys.values()))
            yield from (
                request for request in chunk if not all(keys[one] in have for one in request.questions)
            )
