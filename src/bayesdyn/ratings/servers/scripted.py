"""A scripted stand-in for an LLM server: speaks the chat protocol over HTTP, and answers by a rule.

For tests, and for a dry run of a study (``base_url`` of a panel set to its address): the whole path from
transcripts to ratings without a model. Its answers depend on the words of the last message only, mean
nothing, and carry the model name ``scripted``, so that they cannot pass for ratings.
"""

import hashlib
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from bayesdyn.ratings.scoring.passages import PROBE

MODEL = "scripted"
CLOSE, TRUNCATE = -1, -2


@dataclass(frozen=True)
class Script:
    """How the server behaves.

    Attributes
    ----------
    labels
        The scale labels that its answers spread their probability over.
    off_scale
        Probability mass that it puts on a token off the scale.
    logprobs
        False: it answers without log probabilities, as some servers do.
    structured
        False: it refuses structured output with HTTP 400.
    says
        Text of every answer, in place of a label or JSON.
    delay
        Seconds before each answer.
    fail
        HTTP status by question number (from 1; a probe is none); other requests succeed. ``CLOSE`` closes
        the connection without an answer, ``TRUNCATE`` sends half of one.
    always
        HTTP status of every request; None: they succeed.
    retry_after
        Seconds that failures ask to wait; None: they do not say.
    finish
        Reason for stopping that answers carry.
    refusal
        Text of a refusal, in place of an answer.
    api_key
        The bearer token that it asks for; None: any.
    usage
        Input and output tokens that each answer bills.
    batch_looks
        A batch is finished when it was looked at so often.
    """

    labels: Sequence[str] = ("none", "low", "medium", "high", "extreme")
    off_scale: float = 0.05
    logprobs: bool = True
    structured: bool = True
    says: str | None = None
    delay: float = 0.0
    fail: Mapping[int, int] = field(default_factory=dict)
    always: int | None = None
    retry_after: float | None = None
    finish: str = "length"
    refusal: str | None = None
    api_key: str | None = None
    usage: tuple[int, int] = (0, 0)
    batch_looks: int = 2


class BatchDesk:
    """The Batch endpoints of a scripted server: answers are made when a batch is finished.

    A request whose number is in the script's ``fail`` gets a line with that status, as hosts do.
    """

    def __init__(self, server: "ScriptedServer") -> None:
        self._server = server
        self._files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}

    def post(self, path: str, sent: bytes) -> bytes:
        """Take a file of requests, or make a batch of one."""
        if path.endswith("/files"):
            name = f"file-{len(self._files)}"
            kept = [line for line in sent.splitlines() if line.startswith(b'{"custom_id"')]
            self._files[name] = b"\n".join(kept)
            made: dict[str, Any] = {
                "id": name, "object": "file", "bytes": len(sent), "created_at": 0, "filename": "r.jsonl",
                "purpose": "batch", "status": "processed",
            }  # fmt: skip
            return json.dumps(made).encode()
        asked = json.loads(sent)
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "id": name, "object": "batch", "endpoint": asked["endpoint"], "status": "in_progress",
            "input_file_id": asked["input_file_id"], "completion_window": "24h", "created_at": 0,
            "metadata": asked.get("metadata"), "looks": 0,
        }  # fmt: skip
        return json.dumps(self.batches[name]).encode()

    def get(self, path: str) -> bytes:
        """Tell of a batch or of all, or give a file's content."""
        parts = path.partition("?")[0].strip("/").split("/")
        if parts[-1] == "content":
            return self._files[parts[-2]]
        if parts[-1] == "batches":
            listed = {"object": "list", "data": list(self.batches.values()), "has_more": False}
            return json.dumps(listed).encode()
        batch = self.batches[parts[-1]]
        batch["looks"] += 1
        if batch["looks"] >= self._server.script.batch_looks and batch["status"] == "in_progress":
            self._finish(batch)
        return json.dumps(batch).encode()

    def _finish(self, batch: dict[str, Any]) -> None:
        lines = []
        for line in self._files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            key = f"Bearer {self._server.script.api_key}"
            status, body = self._server.reply(asked["body"], key)
            response = {"status_code": status, "request_id": "r", "body": body}
            answered = {"id": "l", "custom_id": asked["custom_id"], "response": response, "error": None}
            lines.append(json.dumps(answered))
        name = f"file-{len(self._files)}"
        self._files[name] = "\n".join(lines).encode()
        batch |= {"status": "completed", "output_file_id": name}


class ScriptedServer:
    """A scripted server on a free loopback port, while the ``with`` block runs.

    Attributes
    ----------
    requests
        How many questions came.
    probes
        How many requests came about the made-up passage of a probe.
    asked
        How often each last message came, by its sha256: two is a question asked twice.
    """

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        self.script = script or Script()
        self.requests = self.probes = 0
        self.asked: Counter[str] = Counter()
        self.desk = BatchDesk(self)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def base_url(self) -> str:
        """Address for a panel, with ``/v1``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def reply(self, body: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of one request, and count it."""
        text = json.dumps(body["messages"], sort_keys=True)
        probe = all(words in text for _, words in PROBE)
        with self._lock:
            self.probes += probe
            self.requests += not probe
            number = 0 if probe else self.requests
            if not probe:
                self.asked[hashlib.sha256(text.encode()).hexdigest()] += 1
        script = self.script
        time.sleep(script.delay)
        if script.api_key is not None and key != f"Bearer {script.api_key}":
            return 401, {"error": {"message": "invalid api key"}}
        status = script.always or script.fail.get(number)
        if status is not None and status not in (CLOSE, TRUNCATE):
            return status, {"error": {"message": f"scripted failure {status}"}}
        if "response_format" in body and not script.structured:
            return 400, {"error": {"message": "response_format is not supported"}}
        return status or 200, completion(script, body, text)


def completion(script: Script, body: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return the protocol's answer to a request; the same text always gets the same answer."""
    probabilities = scripted_probabilities(script, text)
    tops = [
        {"token": label, "bytes": list(label.encode()), "logprob": math.log(p)}
        for label, p in zip(script.labels, probabilities, strict=True)
    ]
    if script.off_scale > 0:
        tops.append({"token": "the", "bytes": list(b"the"), "logprob": math.log(script.off_scale)})
    tops.sort(key=lambda top: -top["logprob"])
    label = tops[0]["token"]
    content = [{**tops[0], "top_logprobs": tops}]
    said = label
    if "response_format" in body:
        said, content = _written(body, label, tops)
    message = {"role": "assistant", "content": script.says or said, "refusal": script.refusal}
    with_logprobs = script.logprobs and body.get("logprobs")
    choice = {
        "index": 0, "finish_reason": script.finish, "message": message,
        "logprobs": {"content": content, "refusal": None} if with_logprobs else None,
    }  # fmt: skip
    given, got = script.usage
    return {
        "id": "scripted", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice],
        "usage": {"prompt_tokens": given, "completion_tokens": got, "total_tokens": given + got},
    }  # fmt: skip


def _written(
    body: Mapping[str, Any], label: str, tops: list[dict[str, Any]]
) -> tuple[str, list[dict[str, Any]]]:
    """Return the label as JSON under every key of the schema, and its tokens."""
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    tokens: list[dict[str, Any]] = []
    for number, (key, schema) in enumerate(properties.items()):
        quote = '"' if schema["type"] == "string" else ""
        opening = "{" if number == 0 else ", "
        tokens += [_token(f'{opening}"{key}":'), _token(f" {quote}"), {**tops[0], "top_logprobs": tops}]
        tokens += [_token(quote)] if quote else []
    tokens.append(_token("}"))
    return "".join(token["token"] for token in tokens), tokens


def _token(text: str) -> dict[str, Any]:
    alone = {"token": text, "bytes": list(text.encode()), "logprob": 0.0}
    return {**alone, "top_logprobs": [alone]}


def scripted_probabilities(script: Script, text: str) -> list[float]:
    """Return the probabilities on the labels (their sum is 1 - off_scale), drawn from the text's hash."""
    digest = hashlib.sha256(text.encode()).digest()
    weights = [1 + digest[index] for index in range(len(script.labels))]
    return [(1 - script.off_scale) * weight / sum(weights) for weight in weights]


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement of its headers

        def do_GET(self) -> None:
            self._send(200, server.desk.get(self.path))

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith(("/files", "/batches")):
                self._send(200, server.desk.post(self.path, sent))
                return
            status, answer = server.reply(json.loads(sent), self.headers.get("Authorization", ""))
            self._send(status, json.dumps(answer).encode())

        def _send(self, status: int, payload: bytes) -> None:
            try:
                if status == CLOSE:
                    self.close_connection = True
                    return
                self.send_response(200 if status == TRUNCATE else status)
                self.send_header("Content-Type", "application/json")
                if status == TRUNCATE:
                    payload = payload[: len(payload) // 2]
                if status >= 400 and server.script.retry_after is not None:
                    self.send_header("Retry-After", str(server.script.retry_after))
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Keep the terminal quiet."""

    return Handler
