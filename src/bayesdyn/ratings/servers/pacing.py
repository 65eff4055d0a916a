"""How fast a server is asked: its limits, its wishes to wait, and a breaker for one that fails."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from bayesdyn.ratings.answers.parse import Answer
from bayesdyn.ratings.scoring.panel import Rater
from bayesdyn.ratings.servers.client import Asker, Passing, TooLong, Unsupported

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0


class Pace:
    """Requests and tokens per minute: a bucket each, that fills evenly and never holds over a second's worth.

    Waits until a server's own time (Retry-After) hold for every request of the rater.
    """

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._rates = [
            None if rate is None else rate / 60 for rate in (requests_per_minute, tokens_per_minute)
        ]
        self._next = [0.0, 0.0]
        self._held_until = 0.0

    def hold(self, seconds: float) -> None:
        """Let nothing through for some seconds."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    async def turn(self, tokens: int) -> None:
        """Wait for the turn of a request that takes about so many tokens."""
        now = time.monotonic()
        start = max(now, self._held_until)
        for place, amount in enumerate((1, tokens)):
            rate = self._rates[place]
            if rate is not None:
                # Virtual scheduling: each request books the time that its share of the limit takes.
                booked = max(self._next[place], now - 1.0)
                self._next[place] = booked + amount / rate
                start = max(start, booked)
        while (delay := max(start, self._held_until) - time.monotonic()) > 0:
            await asyncio.sleep(delay)


class Breaker:
    """Pauses a rater whose server fails every request, tries one, and gives up when patience ends.

    Parameters
    ----------
    rater
        Its ``patience`` and ``concurrency`` say when.
    tell
        Called with one line when a pause begins.
    """

    def __init__(self, rater: Rater, tell: Callable[[str], None]) -> None:
        self._rater = rater
        self._tell = tell
        self._failures = 0
        self._wait = _FIRST_WAIT
        self._answered_at: float | None = None
        self._closed = asyncio.Event()
        self._closed.set()
        self._trial = asyncio.Lock()

    @property
    def open(self) -> bool:
        """Whether the server is taken for dead just now."""
        return not self._closed.is_set()

    @property
    def alive(self) -> bool:
        """Whether the server has ever answered."""
        return self._answered_at is not None

    def answered(self) -> None:
        """Note an answer, of whatever kind: the server lives."""
        self._failures = 0
        self._wait = _FIRST_WAIT
        self._answered_at = time.monotonic()
        self._closed.set()

    def failed(self, failure: Passing) -> None:
        """Note a failure.

        Raises
        ------
        EndpointError
            If the server has not answered for the rater's patience.
        """
        self._failures += 1
        if self._answered_at is None:
            return
        if time.monotonic() - self._answered_at > self._rater.patience:
            raise failure.error
        if self._failures > max(3, self._rater.concurrency) and not self.open:
            self._closed.clear()
            fault = failure.error.faults[0]
            self._tell(
                f"{fault.where}: {fault.what}. Pausing; it is tried again now and then, for at most "
                f"{self._rater.patience:g} s"
            )

    async def ready(self) -> None:
        """Wait until requests may go out; while the server is taken for dead, one at a time, ever later."""
        while self.open:
            async with self._trial:
                if not self.open:
                    return
                await asyncio.sleep(self._wait)
                self._wait = min(2 * self._wait, _LONGEST_WAIT)
                return


class SetAside(Exception):  # noqa: N818 - the run goes on with the others
    """A request failed as often as its rater allows while others are answered; another run may ask it.

    ``spoiled`` counts the tries that may have been billed.
    """

    def __init__(self, failure: Passing, spoiled: int) -> None:
        super().__init__(str(failure))
        self.error = failure.error
        self.spoiled = spoiled


class Caller:
    """Calls a server until it answers: paced, tried again with growing waits, behind a breaker.

    Parameters
    ----------
    rater
        Its limits, retries and patience.
    asker
        Who answers.
    tell
        Called with one line when the server seems dead.
    """

    def __init__(self, rater: Rater, asker: Asker, tell: Callable[[str], None]) -> None:
        self._rater = rater
        self._asker = asker
        self._pace = Pace(rater.requests_per_minute, rater.tokens_per_minute)
        self._breaker = Breaker(rater, tell)

    async def call(self, body: Mapping[str, object], tokens: int) -> Answer:
        """Return the answer to a request of about so many tokens; it says how many tries were spoiled.

        Raises
        ------
        EndpointError
            If the server cannot be used: see :class:`~bayesdyn.ratings.servers.client.ChatClient`; or never
            answered within the rater's retries, or not for its patience.
        SetAside
            If this request alone fails.
        TooLong, Unsupported
            As the client says.
        """
        attempt = spoiled = 0
        while True:
            await self._breaker.ready()
            await self._pace.turn(tokens)
            try:
                answer = await self._asker.ask(body)
            except Passing as failure:
                spoiled += failure.billed
                if failure.after is not None:
                    self._pace.hold(failure.after)
                self._breaker.failed(failure)
                # A busy or dead server says nothing about this request.
                if not self._breaker.alive or not (self._breaker.open or failure.busy):
                    attempt += 1
                if attempt > self._rater.retries:
                    if not self._breaker.alive:
                        raise failure.error from None
                    raise SetAside(failure, spoiled) from None
                await asyncio.sleep(_backoff(attempt))
            except (TooLong, Unsupported):
                self._breaker.answered()
                raise
            else:
                self._breaker.answered()
                return replace(answer, spoiled=spoiled) if spoiled else answer


def _backoff(attempt: int) -> float:
    """Return seconds to wait before another try: full jitter under a ceiling that doubles."""
    ceiling = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)
    # Jitter keeps many workers from coming back at once; it needs no seed, since no result depends on it.
    return random.uniform(0, ceiling)
