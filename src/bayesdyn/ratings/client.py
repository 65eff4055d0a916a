"""The one file that talks to an LLM server: one chat completion of one token, with log probabilities."""

import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import openai

from bayesdyn.errors import EndpointError, Fault, InputError
from bayesdyn.ratings.panel import Rater, is_loopback
from bayesdyn.ratings.parse import Answer

_NO_KEY = "none"


class Asker(Protocol):
    """What rates: anything that answers chat messages with token probabilities."""

    async def ask(self, messages: Sequence[Mapping[str, str]]) -> Answer:
        """Return the answer to chat messages."""
        ...


class TooLong(Exception):  # noqa: N818 - an outcome for one passage, not a fault of the user's
    """The passage does not fit the model's context."""


class ChatClient:
    """A rater's connection to its server; an async context manager.

    Parameters
    ----------
    rater
        Says what is asked for.
    base_url
        Where: the rater's own address, or that of the embedded server.
    api_key
        Sent as bearer token; servers without keys ignore it.

    Raises
    ------
    EndpointError
        From :meth:`ask`: the server is unreachable or refuses, after the rater's retries; at once where
        another try cannot help (401, 403, 404, and 400 that is not about the passage's length).
    """

    def __init__(self, rater: Rater, base_url: str, api_key: str | None = None) -> None:
        self._rater = rater
        self._base_url = base_url
        # Neither a proxy from the environment nor a redirect may carry a passage from a server on this
        # machine to another one.
        loopback = is_loopback(base_url)
        self._http = openai.DefaultAsyncHttpxClient(trust_env=not loopback, follow_redirects=False)
        self._client = openai.AsyncOpenAI(
            api_key=api_key or _NO_KEY, base_url=base_url, timeout=rater.time_out,
            max_retries=rater.retries, http_client=self._http,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, messages: Sequence[Mapping[str, str]]) -> Answer:
        """Return what the server answers to chat messages.

        Raises
        ------
        EndpointError
            See the class; also where the server gives no log probabilities (the method is not offered).
        TooLong
            The server says that the messages do not fit the model's context.
        """
        decoding = self._rater.decoding
        extra = {} if decoding.cache_prompt is None else {"cache_prompt": decoding.cache_prompt}
        start = time.perf_counter()
        try:
            completion = await self._client.chat.completions.create(
                model=self._rater.model, messages=_as_params(messages), temperature=decoding.temperature,
                max_tokens=decoding.max_tokens, logprobs=True, top_logprobs=decoding.top_logprobs,
                seed=openai.omit if decoding.seed is None else decoding.seed, extra_body=extra or None,
            )  # fmt: skip
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APITimeoutError:
            raise self._fault(
                f"no answer within {self._rater.time_out:g} s",
                "Raise the rater's time_out, or lower its concurrency",
            ) from None
        except openai.APIConnectionError:
            raise self._fault(
                "the server cannot be reached", "Start it, or correct base_url in the panel"
            ) from None
        except openai.APIError as error:
            raise self._fault(
                f"the answer cannot be read ({type(error).__name__})", "Is it an OpenAI-compatible server?"
            ) from None
        return self._answer(completion, time.perf_counter() - start)

    def _answer(self, completion: Any, seconds: float) -> Answer:
        choices = getattr(completion, "choices", None)
        if not choices:
            raise self._fault(
                "the answer holds no choices", "Is base_url that of an OpenAI-compatible server, with /v1?"
            )
        choice = choices[0]
        finish = choice.finish_reason or ""
        refused = bool(getattr(choice.message, "refusal", None))
        model = str(getattr(completion, "model", "") or "")
        if finish == "content_filter" or refused:
            return Answer(None, finish, refused, model, seconds)
        logprobs = choice.logprobs
        content = None if logprobs is None else logprobs.content
        if content is None:
            raise no_method(self._rater, self._base_url)
        first = content[0] if content else None
        if first is not None and not first.top_logprobs:
            raise no_method(self._rater, self._base_url)
        tops = first.top_logprobs if first is not None else []
        return Answer(tuple((top.token, top.logprob) for top in tops), finish, refused, model, seconds)

    def _refused(self, error: openai.APIStatusError) -> EndpointError | TooLong:
        code = error.status_code
        if code in (400, 413) and _about_length(error):
            return TooLong()
        remedies = {
            401: "Set the API key: api_key_env in the panel names the environment variable",
            403: "Check what the API key may do",
            404: "Check base_url (it usually ends in /v1) and the rater's model",
            429: "Lower the rater's concurrency, or wait; what was rated is kept",
        }
        if code == 400 and "logprob" in str(error).casefold():
            return no_method(self._rater, self._base_url)
        if 300 <= code < 400:
            return self._fault("the server redirects elsewhere", "Give the final address as base_url")
        remedy = remedies.get(code, "Look at the server's log; what was rated is kept")
        return self._fault(f"the server answers with HTTP {code}", remedy)

    def _fault(self, what: str, remedy: str) -> EndpointError:
        return EndpointError(
            "The LLM server cannot be used",
            [Fault(what, remedy, f"rater {self._rater.name} at {self._base_url}")],
        )


def no_method(rater: Rater, base_url: str) -> EndpointError:
    """Return the error for a server that offers none of a rater's methods."""
    return EndpointError(
        "The LLM server offers no method that the rater lists",
        [
            Fault(
                f"it returns no log probabilities, and the rater's methods are {', '.join(rater.methods)}",
                "Use a server or model with log probabilities (llama.cpp, vLLM, many hosted models)",
                f"rater {rater.name} at {base_url}",
            )
        ],
    )


def api_key_of(rater: Rater) -> str | None:
    """Return the API key of a rater from the environment variable that its panel names.

    Raises
    ------
    InputError
        If the panel names one that is not set.
    """
    if rater.api_key_env is None:
        return None
    key = os.environ.get(rater.api_key_env)
    if not key:
        raise InputError(
            "The LLM server needs an API key",
            [
                Fault(
                    f"the environment variable {rater.api_key_env} is not set",
                    f"Set it: export {rater.api_key_env}=...",
                    f"rater {rater.name}",
                )
            ],
        )
    return key


def _about_length(error: openai.APIStatusError) -> bool:
    said = str(error).casefold()
    return any(sign in said for sign in ("context", "too long", "too large", "exceed", "maximum length"))


def _as_params(messages: Sequence[Mapping[str, str]]) -> Any:
    return [dict(message) for message in messages]
