"""The panel: which raters there are, where each is served, and how each is asked."""

import ipaddress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bayesdyn import presets
from bayesdyn.artefacts import sha256_json
from bayesdyn.errors import FaultList, InputError
from bayesdyn.ratings.scoring.yaml_file import Frozen, read_yaml, validated

Method = Literal["logprobs", "json", "text"]


class Decoding(Frozen):
    """What is sent with every request; all of it changes the answer, so all of it is hashed.

    ``cache_prompt`` is a field of llama.cpp's server: reuse the evaluated prefix of the request before.
    It is up to six times as fast and moves an expected score by a few hundredths. None: it is not sent;
    ``temperature: null`` is for reasoning models that take none.
    """

    temperature: float | None = Field(default=0.0, ge=0, le=2)
    seed: int | None = None
    max_tokens: int = Field(default=1, ge=1, le=16)
    top_logprobs: int = Field(default=20, ge=5, le=20)
    cache_prompt: bool | None = None


class Price(Frozen):
    """What a million of a rater's tokens cost, in the bill's currency; ``batch`` times that in batches."""

    input: float = Field(default=0.0, ge=0)
    output: float = Field(default=0.0, ge=0)
    batch: float = Field(default=0.5, ge=0)


class Rater(Frozen):
    """One LLM under one prompt and one decoding.

    Exactly one of ``weights`` (a model of the embedded server, by name or GGUF file) and ``base_url`` (any
    server that speaks the OpenAI chat protocol) says where it is served. ``methods`` are tried in order, see
    :mod:`bayesdyn.ratings.answers.methods`. ``together`` asks for all constructs in one call, which needs the
    method json and a template for it. ``min_mass`` is the least probability on the scale points at which
    an answer counts as a rating. ``replicates`` repeats every question, which says something only at a
    temperature above 0.

    ``concurrency`` are requests in flight; ``requests_per_minute`` and ``tokens_per_minute`` are the
    server's limits; ``patience`` is how many seconds a server that answered before may fail without a
    single answer until the run gives up.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.:-]+$")
    model: str = Field(min_length=1)
    weights: str | None = None
    base_url: str | None = None
    prompt: str = Field(min_length=1)
    labels: Literal["words", "digits"]
    methods: tuple[Method, ...] = Field(default=("logprobs",), min_length=1)
    decoding: Decoding = Decoding()
    together: bool = False
    replicates: int = Field(default=1, ge=1, le=100)
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    min_mass: float = Field(default=0.5, gt=0, le=1)
    concurrency: int = Field(default=4, ge=1, le=1024)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    time_out: float = Field(default=120.0, gt=0)
    retries: int = Field(default=4, ge=0, le=10)
    patience: float = Field(default=600.0, ge=0)
    api_key_env: str | None = None
    price: Price = Price()

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError(f"{url!r} is no http address; Give one such as http://127.0.0.1:8080/v1")
        return url

    @model_validator(mode="after")
    def _one_endpoint(self) -> "Rater":
        if (self.weights is None) == (self.base_url is None):
            raise ValueError("a rater has either weights or base_url; Give exactly one of them")
        return self

    @model_validator(mode="after")
    def _methods_fit(self) -> "Rater":
        if len(set(self.methods)) < len(self.methods):
            raise ValueError("a method stands twice; List each once, the best first")
        if self.together and self.methods != ("json",):
            raise ValueError("together asks for several values in one answer; Use methods: [json]")
        if self.replicates > 1 and not self.decoding.temperature:
            raise ValueError("replicates at temperature 0 repeat one answer; Raise decoding.temperature")
        if self.replicates > 1 and "logprobs" in self.methods:
            raise ValueError(
                "replicates of log probabilities repeat one answer; Use methods: [json] or [text]"
            )
        return self

    @property
    def remote(self) -> bool:
        """Whether passages leave this machine."""
        return self.base_url is not None and not is_loopback(self.base_url)


class Panel(Frozen):
    """The raters of a study."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    title: str = ""
    allow_remote: bool = False
    raters: tuple[Rater, ...] = Field(min_length=1)

    @field_validator("raters")
    @classmethod
    def _distinct(cls, raters: tuple[Rater, ...]) -> tuple[Rater, ...]:
        names = [rater.name for rater in raters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rater {', '.join(twice)} stands twice; Give each rater a name of its own")
        return raters

    @property
    def sha256(self) -> str:
        """Hash of the content, whatever the layout of the file."""
        return sha256_json(self.model_dump(mode="json"))


def load_panel(name_or_path: str | Path | Panel) -> Panel:
    """Return a panel: a preset by name (``local``), a YAML file, or a panel as it is.

    Raises
    ------
    InputError
        If there is no such panel, or with every fault of the file, each with its line.
    """
    if isinstance(name_or_path, Panel):
        return name_or_path
    path = presets.resolve(name_or_path, "scoring/panels", ".yaml", "panel")
    value, node = read_yaml(path, "panel")
    return validated(Panel, value, node, f"This panel cannot be used: {path.name}")


def pick_raters(panel: Panel, names: list[str] | None) -> tuple[Rater, ...]:
    """Return the raters asked for, in the panel's order; all of them where ``names`` is None.

    Raises
    ------
    InputError
        If a name is not in the panel.
    """
    faults = FaultList()
    for name in names or ():
        if name not in [rater.name for rater in panel.raters]:
            faults.add(f"unknown rater {name!r}", f"It has {', '.join(rater.name for rater in panel.raters)}")
    faults.raise_if_any(f"Panel {panel.name} cannot rate this")
    return tuple(rater for rater in panel.raters if names is None or rater.name in names)


def check_remote(panel: Panel, raters: tuple[Rater, ...], allowed: bool) -> None:
    """Refuse a remote endpoint unless both the panel and the caller allow it.

    Transcripts are health data: neither a file from a colleague nor a slip of the hand alone sends them.

    Raises
    ------
    InputError
        Naming every rater that is remote, and what is lacking.
    """
    faults = FaultList()
    for rater in raters:
        if rater.remote and not (panel.allow_remote and allowed):
            lacking = [] if panel.allow_remote else ["allow_remote: true in the panel"]
            lacking += [] if allowed else ["allow_remote=True (command line: --allow-remote)"]
            faults.add(
                f"its server {urlsplit(rater.base_url or '').hostname} is not this machine",
                f"If these transcripts may go there, give {' and '.join(lacking)}",
                f"rater {rater.name}",
            )
    faults.raise_if_any("Nothing was sent: a remote server needs two consents", InputError)


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine (localhost or a loopback address)."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
