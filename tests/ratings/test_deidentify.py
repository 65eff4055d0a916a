"""De-identification: consistent within a dyad, unlinkable across, and never a call to the network."""

import re
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from bayesdyn.errors import InputError
from bayesdyn.ratings.questions.deidentify import KEY_VARIABLE, Span, hook_of, presidio, pseudonymise


def names(text: str) -> Iterable[Span]:
    return [Span(found.start(), found.end(), "PERSON") for found in re.finditer(r"Anna|Ben|ANNA", text)]


def test_the_same_name_in_a_dyad_has_one_pseudonym_and_another_elsewhere() -> None:
    change = pseudonymise(names, "secret")
    said = change("Anna met Ben. ANNA left.", "d1")
    first, second, third = re.findall(r"PERSON-[A-Z2-7]{4}", said)
    assert said == f"{first} met {second}. {third} left."
    assert first == third != second
    assert change("Anna", "d1") == first
    assert change("Anna", "d2") != first
    assert pseudonymise(names, "other")("Anna", "d1") != first


def test_of_overlapping_finds_the_surest_and_then_the_longest_counts() -> None:
    def find(text: str) -> list[Span]:
        return [Span(0, 4, "A", 0.5), Span(2, 9, "B", 0.9), Span(2, 6, "C", 0.9), Span(10, 12, "D", 0.1)]

    said = pseudonymise(find, "k")("0123456789ab", "d")
    assert re.fullmatch(r"01B-\w{4}9D-\w{4}", said)


def test_presidio_finds_patterns_and_calls_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise AssertionError("a call to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    change = presidio("secret", None)
    said = change(
        "Write to ann.lee@example.org or call 212-555-1234, card 4111 1111 1111 1111. I feel low.", "d"
    )
    assert re.fullmatch(
        r"Write to EMAILADDRESS-\w{4} or call PHONENUMBER-\w{4}, card CREDITCARD-\w{4}. I feel low.", said
    )
    assert change("I feel a bit better today.", "d") == "I feel a bit better today."


def test_a_model_that_is_not_installed_is_told_with_what_patterns_do_not_find() -> None:
    with pytest.raises(InputError, match=r"no_such_model is not installed.*finds no names"):
        presidio("secret", "no_such_model")


def test_the_command_lines_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(InputError, match=KEY_VARIABLE):
        hook_of("presidio-patterns")
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    assert "PHONENUMBER" in hook_of("presidio-patterns")("call 212-555-1234", "d")
    (tmp_path / "my_hiding.py").write_text(
        "def hide(text, dyad):\n    return text.replace('Anna', dyad)\nx = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert hook_of("my_hiding:hide")("Anna", "d7") == "d7"
    for name in ("my_hiding:seek", "my_hiding:x", "no_such_module:hide", "hide"):
        with pytest.raises(InputError, match="no such de-identification"):
            hook_of(name)
