"""Ways of asking: what is sent, and how answers become readings, or reasons."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesdyn.errors import EndpointError
from bayesdyn.ratings.answers.methods import body_of, read_answer
from bayesdyn.ratings.answers.parse import Answer, Tops
from bayesdyn.ratings.ledgers.files import open_ledger
from bayesdyn.ratings.rate import rate
from bayesdyn.ratings.scoring.codebook import load_codebook
from bayesdyn.ratings.scoring.panel import Decoding, Panel, Rater
from bayesdyn.ratings.scoring.prompt import Prompt, build_prompt
from bayesdyn.ratings.servers.scripted import Script, ScriptedServer

MakePanel = Callable[..., Panel]
BOOK = load_codebook("chen2026")
WORDS = ("none", "low", "medium", "high", "extreme")
SAYS = (("therapist", "Hello."), ("client", "Hello."))


def rater(**changes: object) -> Rater:
    given = {"name": "r", "model": "m", "base_url": "http://127.0.0.1:1/v1", "prompt": "rubric",
             "labels": "digits", **changes}  # fmt: skip
    return Rater.model_validate(given)


def prompt_of(*constructs: str, way: str = "json", **changes: object) -> Prompt:
    together = {"together": True, "prompt": "together", "methods": ["json"]} if len(constructs) > 1 else {}
    return build_prompt(BOOK, constructs, rater(**{**together, **changes}), way)


def answer(
    text: str, tokens: tuple[tuple[str, Tops], ...] | None = None, finish: str = "stop", refused: bool = False
) -> Answer:
    return Answer(text, tokens, finish, refused, "m", 0.1)


def test_a_json_request_names_every_construct_and_allows_scale_points_only() -> None:
    prompt = prompt_of("empathy", "rapport")
    body = body_of(rater(), "json", prompt, prompt.messages(SAYS), 0)
    schema = body["response_format"]["json_schema"]["schema"]  # type: ignore[index]
    assert list(schema["properties"]) == schema["required"] == ["empathy", "rapport"]
    assert schema["properties"]["empathy"] == {"type": "integer", "enum": [1, 2, 3, 4, 5]}
    assert schema["additionalProperties"] is False
    assert "logprobs" not in body
    words = prompt_of("empathy", labels="words")
    body = body_of(rater(labels="words"), "json+logprobs", words, words.messages(SAYS), 0)
    schema = body["response_format"]["json_schema"]["schema"]  # type: ignore[index]
    assert schema["properties"]["empathy"]["enum"] == list(WORDS)
    assert body["logprobs"] is True
    shown = [json.loads(m["content"]) for m in words.fixed if m["role"] == "assistant"]
    assert {example["empathy"] for example in shown} == set(WORDS)


def test_replicates_have_seeds_of_their_own() -> None:
    prompt = prompt_of("empathy")
    sampling = rater(decoding=Decoding(temperature=0.7, seed=11))
    seeds = [body_of(sampling, "json", prompt, prompt.messages(SAYS), k)["seed"] for k in (0, 1, 2)]
    assert seeds == [11, 12, 13]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"empathy": 7}', "value off the scale"),
        ('{"empathy": "four"}', "value off the scale"),
        ('{"empathy": true}', "value off the scale"),
        ('{"empathy": 3.5}', "value off the scale"),
        ('{"warmth": 4}', "no value for the construct"),
        ('{"empathy": 4} because', "unparseable answer"),
        ('{"empathy": 1, "empathy": 5}', "unparseable answer"),
        ("[4]", "unparseable answer"),
        ("4", "unparseable answer"),
        ("", "empty answer"),
        ("  \n", "empty answer"),
        ("[" * 100_000, "unparseable answer"),
    ],
)
def test_what_is_no_plain_value_is_unrated_and_never_a_number(text: str, reason: str) -> None:
    reading = read_answer(answer(text), "json", prompt_of("empathy"), 0.5)["empathy"]
    assert (reading.value, reading.probabilities, reading.reason) == (None, None, reason)


@pytest.mark.parametrize(
    ("given_answer", "reason"),
    [
        (answer('{"emp', finish="length"), "truncated answer"),
        (answer('{"empathy": 4}', finish="content_filter"), "content filter"),
        (answer('{"empathy": 4}', refused=True), "refusal"),
    ],
)
def test_filtered_refused_and_truncated_answers_are_unrated(given_answer: Answer, reason: str) -> None:
    reading = read_answer(given_answer, "json", prompt_of("empathy"), 0.5)["empathy"]
    assert (reading.value, reading.reason) == (None, reason)


def test_no_answer_by_log_probabilities_is_unrated_with_its_reason() -> None:
    prompt = prompt_of("empathy", way="logprobs")
    for given_answer, reason in [
        (answer("", None, finish="content_filter"), "content filter"),
        (answer("", None, refused=True), "refusal"),
        (answer("", ()), "empty answer"),
    ]:
        reading = read_answer(given_answer, "logprobs", prompt, 0.5)["empathy"]
        assert (reading.value, reading.reason) == (None, reason)


def test_the_value_tokens_alternatives_are_the_distribution() -> None:
    """Masses .6 on 4, .2 on 5, .1 off the scale: value (.6 * 4 + .2 * 5) / .8 = 4.25, off scale .2."""
    tops = (("4", math.log(0.6)), ("5", math.log(0.2)), ("none", math.log(0.1)))
    other = (("2", math.log(0.9)),)
    tokens = (
        ('{"', (("{", 0.0),)), ("empathy", (("e", 0.0),)), ('": ', (('": ', 0.0),)), ("4", tops),
        (', "rapport":', ((",", 0.0),)), (" 2", other), ("}", (("}", 0.0),)),
    )  # fmt: skip
    text = '{"empathy": 4, "rapport": 2}'
    readings = read_answer(answer(text, tokens), "json+logprobs", prompt_of("empathy", "rapport"), 0.5)
    assert readings["empathy"].value == pytest.approx(4.25)
    assert readings["empathy"].off_scale == pytest.approx(0.2)
    assert readings["rapport"].value == pytest.approx(2.0)
    drawn = read_answer(
        answer(text, tokens), "json+logprobs", prompt_of("empathy", "rapport"), 0.5, sampled=True
    )
    assert (drawn["empathy"].value, drawn["empathy"].probabilities) == (4.0, None)


def test_a_word_that_begins_in_a_token_with_its_quote_is_found() -> None:
    tops = (('"high', math.log(0.7)), ('"low', math.log(0.3)))
    tokens = (('{"empathy":', ((":", 0.0),)), (' "high', tops), ('"}', (('"}', 0.0),)))
    prompt = prompt_of("empathy", labels="words")
    reading = read_answer(answer('{"empathy": "high"}', tokens), "json+logprobs", prompt, 0.5)["empathy"]
    assert reading.probabilities == pytest.approx((0, 0.3, 0, 0.7, 0))


@pytest.mark.parametrize(
    ("text", "value"),
    [("4", 4.0), (" I rate this a 4.", 4.0), ("4 4", 4.0), ("4 out of 5", None), ("very high", None),
     ("", None), ("44", None), ("four", None)],
)  # fmt: skip
def test_text_counts_only_where_it_names_one_point(text: str, value: float | None) -> None:
    reading = read_answer(answer(text), "text", prompt_of("empathy", way="text"), 0.5)["empathy"]
    assert reading.value == value
    assert bool(reading.reason) == (value is None)


@given(st.text(), st.sampled_from(["json", "json+logprobs", "text"]))
def test_whatever_a_server_writes_is_a_scale_point_or_unrated(text: str, way: str) -> None:
    reading = read_answer(answer(text), way, prompt_of("empathy", way=way), 0.5)["empathy"]  # type: ignore[arg-type]
    assert (reading.value in (1.0, 2.0, 3.0, 4.0, 5.0)) == (reading.reason == "")


@pytest.mark.parametrize(
    ("script", "methods", "way", "probes"),
    [
        (Script(), ["logprobs", "json"], "logprobs", 1),
        (Script(logprobs=False), ["logprobs", "json"], "json", 3),
        (Script(), ["json", "text"], "json+logprobs", 1),
        (Script(structured=False), ["json", "text"], "text", 3),
        (Script(logprobs=False, structured=False), ["logprobs", "json", "text"], "text", 4),
    ],
)
def test_one_probe_picks_the_way_and_the_ledger_keeps_it(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel, script: Script, methods: list[str],
    way: str, probes: int,
) -> None:  # fmt: skip
    path = tmp_path / "l.sqlite"
    with ScriptedServer(script) as server:
        panel = make_panel(server.base_url, methods=tuple(methods))
        ratings = rate(exchanges, panel=panel, ledger=path, constructs=["empathy"], progress=False)
        assert (server.requests, server.probes) == (len(exchanges), probes)
        assert set(ratings["method"]) == {way}
        assert ratings["value"].notna().all()
        assert ratings["probabilities"].notna().all() == (way in ("logprobs", "json+logprobs"))
        rate(exchanges, panel=panel, ledger=path, constructs=["empathy", "rapport"], progress=False)
        assert (server.requests, server.probes) == (2 * len(exchanges), probes)
    with open_ledger(path, create=False) as ledger:
        assert [record["method"] for record in ledger.provenance()] == [way]


def test_a_server_that_supports_no_listed_method_is_told_with_what_it_lacks(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer(Script(logprobs=False, structured=False)) as server:
        panel = make_panel(server.base_url, methods=("logprobs", "json"))
        with pytest.raises(EndpointError, match=r"no log probabilities.*the server refuses it"):
            rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        assert (server.requests, server.probes) == (0, 3)
    assert not list(tmp_path.iterdir())


def test_all_constructs_in_one_call(tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel) -> None:
    exchanges.loc[0, "client_text"] = ""
    with ScriptedServer(Script(usage=(100, 10))) as server:
        panel = make_panel(server.base_url, methods=("json",), together=True, prompt="together")
        ratings = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite", progress=False)
        assert (server.requests, server.probes) == (len(exchanges), 1)
    assert len(ratings) == len(exchanges) * 6
    unrated = ratings[ratings["value"].isna()]
    # Who says nothing shows nothing: the client's constructs and the dyad's.
    assert set(unrated["construct"]) == {"disclosure", "self_negative", "outward_negative", "rapport"}
    assert set(unrated["t"]) == {0}
    with open_ledger(tmp_path / "l.sqlite", create=False) as ledger:
        # Billed once a call, by calls and not in batches.
        assert ledger.tokens("scripted") == {False: (100 * len(exchanges), 10 * len(exchanges)), True: (0, 0)}


def test_replicates_are_rows_of_their_own(
    tmp_path: Path, exchanges: pd.DataFrame, make_panel: MakePanel
) -> None:
    with ScriptedServer() as server:
        panel = make_panel(
            server.base_url, methods=("json",), replicates=3, decoding=Decoding(temperature=1.0, seed=1)
        )
        ratings = rate(
            exchanges, panel=panel, ledger=tmp_path / "l.sqlite", constructs=["empathy"], progress=False
        )
    assert sorted(ratings["replicate"].unique()) == [0, 1, 2]
    assert len(ratings) == 3 * len(exchanges)
    assert ratings["probabilities"].isna().all()
    assert ratings["value"].isin([1, 2, 3, 4, 5]).all()
