"""The one file that talks to an LLM server, by the official client of the OpenAI protocol."""

import io
import os
import time
from collections.abc import Awaitable, Mapping
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import httpx2
import openai

from bayesdyn.errors import EndpointError, Fault, InputError
from bayesdyn.ratings.answers.parse import Answer, UnreadableError, answer_of
from bayesdyn.ratings.scoring.panel import Rater, is_loopback

_NO_KEY = "none"
_PATH = "/chat/completions"
_OWNER = "bayesdyn"


class Asker(Protocol):
    """What rates: anything that answers the body of a chat completion request."""

    async def ask(self, body: Mapping[str, object]) -> Answer:
        """Return the answer to a request."""
        ...


class TooLong(Exception):  # noqa: N818 - an outcome for one passage, not a fault of the user's
    """The passage does not fit the model's context."""


class Passing(Exception):  # noqa: N818 - the runner decides whether it becomes an error
    """A failure that another try may not meet.

    Attributes
    ----------
    error
        What to tell if it does not pass.
    after
        Seconds that the server asks to wait; None where it does not say.
    busy
        The server answers, and asks for fewer requests (HTTP 429).
    billed
        The server may have answered and will bill it, though no answer arrived whole.
    """

    def __init__(
        self,
        error: EndpointError,
        after: float | None = None,
        *,
        busy: bool = False,
        billed: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after
        self.busy = busy
        self.billed = billed


class Unsupported(Exception):  # noqa: N818 - the probe goes on with the rater's next method
    """The server refuses a request because of what its method asks for."""


class ChatClient:
    """A rater's connection to its server; an async context manager. It tries once: the runner retries.

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
        From every method, where another try cannot help (401, 403, 404, a redirect, a used-up quota, and
        400 that is not about the passage's length).
    Passing
        From every method, where it may (no connection, time-out, 408, 429, 5xx, an unreadable answer).
    """

    def __init__(self, rater: Rater, base_url: str, api_key: str | None = None) -> None:
        self._rater = rater
        self._base_url = base_url
        # Neither a proxy from the environment nor a redirect may carry a passage from a server on this
        # machine to another one. On aiohttp the client does far more requests (benchmarks/rating.py).
        self._http = openai.DefaultAioHttpClient(
            trust_env=not is_loopback(base_url),
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=rater.concurrency),
        )
        self._client = openai.AsyncOpenAI(
            api_key=api_key or _NO_KEY, base_url=base_url, timeout=rater.time_out, max_retries=0,
            http_client=self._http,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, body: Mapping[str, object]) -> Answer:
        """Return the answer to one chat completion request.

        Raises
        ------
        EndpointError, Passing
            See the class.
        TooLong
            The server says that the messages do not fit the model's context.
        Unsupported
            The server refuses log probabilities or structured output.
        """
        start = time.perf_counter()
        # The raw response: the client's own models of an answer cost four times the rest of a request.
        response = await self._told(self._client.post(_PATH, cast_to=httpx2.Response, body=dict(body)))
        try:
            return answer_of(response.json(), time.perf_counter() - start)
        except (UnreadableError, ValueError) as error:
            what = str(error) if isinstance(error, UnreadableError) else "the answer is no JSON"
            raise Passing(
                self._fault(what, "Is base_url that of an OpenAI-compatible server, with /v1?"), billed=True
            ) from None

    async def submit(self, lines: bytes, owner: str) -> str:
        """Hand in a batch of requests, one JSON object a line, under its owner's name; return its id.

        Raises
        ------
        EndpointError, Passing
            See the class.
        """

        async def create() -> str:
            file = await self._client.files.create(
                file=("requests.jsonl", io.BytesIO(lines)), purpose="batch"
            )
            batch = await self._client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_OWNER: owner},
            )
            return batch.id

        return await self._told(create())

    async def find_batch(self, owner: str) -> str | None:
        """Return the id of the batch that was handed in under a name; None where there is none.

        Raises
        ------
        EndpointError, Passing
            See the class.
        """

        async def find() -> str | None:
            async for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get(_OWNER) == owner:
                    return batch.id
            return None

        return await self._told(find())

    async def batch(self, identity: str) -> tuple[str, tuple[str, ...]]:
        """Return the status of a batch, and the files of its results and errors as far as there are any.

        Raises
        ------
        EndpointError, Passing
            See the class.
        """
        found = await self._told(self._client.batches.retrieve(identity))
        files = (found.output_file_id, found.error_file_id)
        return found.status, tuple(file for file in files if file)

    async def results(self, file: str) -> bytes:
        """Return the content of a file of results.

        Raises
        ------
        EndpointError, Passing
            See the class.
        """
        return (await self._told(self._client.files.content(file))).content

    async def _told[T](self, call: Awaitable[T]) -> T:
        """Return what a call gives; its failure is raised as the class says."""
        try:
            return await call
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APIError as error:
            raise self._failed(error) from None

    def _failed(self, error: openai.APIError) -> Passing:
        # On aiohttp a refused connection arrives as a time-out of the connection, and so does a closed one.
        cause = error.__cause__
        closed = isinstance(cause and cause.__cause__, aiohttp.ServerDisconnectedError)
        unreached = isinstance(cause, httpx2.ConnectTimeout | httpx2.ConnectError)
        if closed or isinstance(cause, httpx2.ReadError):
            told = self._fault("the server closed the connection without an answer", "Look at its log")
            return Passing(told, billed=True)
        if isinstance(error, openai.APITimeoutError) and not unreached:
            what = f"no answer within {self._rater.time_out:g} s"
            told = self._fault(what, "Raise the rater's time_out, or lower its concurrency")
            return Passing(told, billed=True)
        if isinstance(error, openai.APIConnectionError):
            told = self._fault("the server cannot be reached", "Start it, or correct base_url in the panel")
            return Passing(told, billed=not unreached)
        what = f"the answer cannot be read ({type(error).__name__})"
        return Passing(self._fault(what, "Is it an OpenAI-compatible server?"), billed=True)

    def _refused(self, error: openai.APIStatusError) -> Exception:
        code, said = error.status_code, str(error).casefold()
        if code in (400, 413) and _about_length(said):
            return TooLong()
        if code in (400, 422) and any(sign in said for sign in ("logprob", "response_format", "json_schema")):
            return Unsupported()
        if 300 <= code < 400:
            return self._fault("the server redirects elsewhere", "Give the final address as base_url")
        remedies = {
            401: "Set the API key: api_key_env in the panel names the environment variable",
            403: "Check what the API key may do",
            404: "Check base_url (it usually ends in /v1) and the rater's model",
            429: "Lower the rater's concurrency or its requests_per_minute, or wait; what was rated is kept",
        }
        remedy = remedies.get(code, "Look at the server's log; what was rated is kept")
        told = self._fault(f"the server answers with HTTP {code}", remedy)
        if code == 429 and "insufficient_quota" in said:
            return self._fault("the account's quota is used up", "Pay the bill; what was rated is kept")
        if code in (408, 409, 425, 429) or code >= 500:
            return Passing(told, _retry_after(error), busy=code == 429)
        return told

    def _fault(self, what: str, remedy: str) -> EndpointError:
        return EndpointError(
            "The LLM server cannot be used",
            [Fault(what, remedy, f"rater {self._rater.name} at {self._base_url}")],
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


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Return the seconds that a server asks to wait, in whichever of its two headers."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(error.response.headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    return None


def _about_length(said: str) -> bool:
    return any(sign in said for sign in ("context", "too long", "too large", "exceed", "maximum length"))
