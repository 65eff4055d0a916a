"""Where a rater is reached: the embedded server, a server elsewhere, or a client that the caller gives."""

import platform
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from bayesdyn.artefacts import sha256_file, versions
from bayesdyn.errors import Fault, InputError
from bayesdyn.machine import available_cores
from bayesdyn.ratings.questions.plans import Plan
from bayesdyn.ratings.scoring.codebook import Codebook
from bayesdyn.ratings.scoring.panel import Panel, Rater
from bayesdyn.ratings.servers.client import Asker, ChatClient, api_key_of
from bayesdyn.ratings.servers.local import local_server, runtime_version
from bayesdyn.ratings.servers.weights import require_weights

EMBEDDED = "embedded"


@dataclass(frozen=True)
class Endpoint:
    """How a rater is reached.

    Attributes
    ----------
    name
        What the provenance calls it: ``embedded``, scheme and host, or ``given client``.
    """

    name: str
    rater: Rater
    base_url: str
    api_key: str | None
    asker: Asker | None = None

    async def connect(self, stack: AsyncExitStack) -> Asker:
        """Return what asks; a client belongs to the running event loop, and is closed with the stack."""
        if self.asker is not None:
            return self.asker
        return await stack.enter_async_context(self.client())

    def client(self) -> ChatClient:
        """Return a client for the server."""
        return ChatClient(self.rater, self.base_url, self.api_key)


@contextmanager
def endpoint_of(rater: Rater, digest: str | None, asker: Asker | None = None) -> Iterator[Endpoint]:
    """Yield a rater's endpoint; the embedded server runs while the block does.

    Parameters
    ----------
    rater
        Who is asked.
    digest
        Hash of the weights, where embedded.
    asker
        Asks in place of the server.

    Raises
    ------
    InputError
        If an API key, the weights or the extra ``local`` is missing, or the weights are not the known file.
    """
    if asker is not None:
        yield Endpoint("given client", rater, "", None, asker)
    elif rater.base_url is not None:
        place = urlsplit(rater.base_url)
        yield Endpoint(f"{place.scheme}://{place.hostname}", rater, rater.base_url, api_key_of(rater))
    else:
        weights = require_weights(rater.weights or "")
        if sha256_file(weights) != digest:
            raise InputError(
                f"Weights {rater.weights} cannot be used",
                [Fault(f"{weights} has another sha256 than the known file",
                       f"Run: bayesdyn local fetch {rater.weights}")],
            )  # fmt: skip
        with local_server(weights, name=rater.model, slots=rater.concurrency) as server:
            yield Endpoint(EMBEDDED, rater, server.base_url, server.api_key)


def provenance_of(plan: Plan, codebook: Codebook, panel: Panel, endpoint: Endpoint) -> dict[str, object]:
    """Return where a plan's ratings come from, as the ledger keeps it beside them."""
    rater = plan.rater
    packages = versions()
    kept = {name: packages[name] for name in ("python", "bayesdyn", "openai")}
    record: dict[str, object] = {
        "rater": rater.name, "model": rater.model, "endpoint": endpoint.name, "prompt": rater.prompt,
        "labels": rater.labels, "method": plan.way, "together": rater.together,
        "decoding": rater.decoding.model_dump(mode="json"), "concurrency": rater.concurrency,
        "codebook": codebook.name, "codebook_sha256": codebook.sha256,
        "panel": panel.name, "panel_sha256": panel.sha256, "packages": kept,
    }  # fmt: skip
    if endpoint.name == EMBEDDED:
        record |= {
            "weights": rater.weights, "weights_sha256": plan.weights_sha256,
            "packages": {**kept, "xllamacpp": runtime_version()},
            "machine": {"architecture": platform.machine(), "cores": available_cores()},
        }  # fmt: skip
    return record
