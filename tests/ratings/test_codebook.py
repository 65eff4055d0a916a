"""Codebooks and panels: presets load, and every fault of a file is told with its line."""

from pathlib import Path

import pytest
import yaml

from bayesdyn import presets
from bayesdyn.errors import InputError
from bayesdyn.ratings.scoring.codebook import load_codebook
from bayesdyn.ratings.scoring.panel import check_remote, is_loopback, load_panel, pick_raters

CONSTRUCTS = ["empathy", "exploration", "rapport", "disclosure", "self_negative", "outward_negative"]


def test_the_shipped_codebook_is_whole() -> None:
    book = load_codebook("chen2026")
    assert list(book.constructs) == CONSTRUCTS
    assert book.scale.points == (1, 2, 3, 4, 5)
    for construct in book.constructs.values():
        assert {example.value for example in construct.examples} == {1, 2, 3, 4, 5}
        for example in construct.examples:
            assert {who for who, _ in example.passage} == set(construct.shows)


def test_hash_is_of_the_content_not_the_layout(tmp_path: Path) -> None:
    path = presets.resolve("chen2026", "scoring", ".yaml", "codebook")
    content = yaml.safe_load(path.read_text())
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump(content, sort_keys=False))
    assert load_codebook(copy).sha256 == load_codebook("chen2026").sha256
    content["constructs"]["empathy"]["anchors"][1] = "Something else."
    copy.write_text(yaml.safe_dump(content, sort_keys=False))
    assert load_codebook(copy).sha256 != load_codebook("chen2026").sha256


def test_all_faults_of_a_codebook_are_told_with_line_and_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: bad\n"
        "scale: {min: 1, max: 3, words: [none, some, much]}\n"
        "constructs:\n"
        "  empathy:\n"
        "    who: terapist\n"
        "    shows: [therapist]\n"
        "    context: 0\n"
        "    phrase: empathy\n"
        "    definiton: x\n"
        "    question: y\n"
        "    anchors: {1: a, 2: b}\n"
        "    examples:\n"
        "      - turns: [{therapist: hm}]\n"
        "        value: 7\n"
    )
    with pytest.raises(InputError) as caught:
        load_codebook(path)
    told = str(caught.value)
    assert len(caught.value.faults) == 5
    assert "line 5" in told
    assert "Did you mean 'therapist'?" in told
    assert "line 9" in told
    assert "Did you mean 'definition'?" in told
    assert "'definition' is missing" in told
    assert "differ at 3" in told
    assert "value 7, off the scale" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: x\nname: y\n", "stands twice"),
        ("name: [x\n", "line 2"),
        ("just words", "holds no keys"),
        ("name: x\nscale: {min: 1, max: 2, words: [lo, low]}\nconstructs: {}\n", "begins another word"),
    ],
)
def test_a_faulty_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        load_codebook(path)


def test_an_unknown_codebook_names_the_nearest() -> None:
    with pytest.raises(InputError, match="chen2026"):
        load_codebook("chen2025")


@pytest.mark.parametrize("name", ["local", "local_small", "openai"])
def test_shipped_panels_load_and_only_the_hosted_one_is_remote(name: str) -> None:
    panel = load_panel(name)
    assert panel.allow_remote == (name == "openai")
    assert {rater.remote for rater in panel.raters} == {name == "openai"}
    assert all(rater.decoding.top_logprobs == 20 for rater in panel.raters)


def test_faults_of_a_panel_are_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: bad\nraters:\n"
        "  - {name: a, model: m, prompt: plain, labels: word, weights: smollm2}\n"
        "  - {name: b, model: m, prompt: plain, labels: words, base_url: 127.0.0.1/v1}\n"
        "  - {name: c, model: m, prompt: plain, labels: words}\n"
    )
    with pytest.raises(InputError) as caught:
        load_panel(path)
    told = str(caught.value)
    assert "Did you mean 'words'?" in told
    assert "no http address" in told
    assert "either weights or base_url" in told


def test_raters_that_lack_something_are_not_said_to_be_too_few(tmp_path: Path) -> None:
    path = tmp_path / "panel.yaml"
    path.write_text('name: p\nraters:\n  - {name: a, model: m, base_url: "http://127.0.0.1:9/v1"}\n')
    with pytest.raises(InputError) as caught:
        load_panel(path)
    assert [fault.what for fault in caught.value.faults] == ["'prompt' is missing", "'labels' is missing"]
    path.write_text("name: p\nraters: []\n")
    with pytest.raises(InputError, match="line 2, raters: tuple should have at least 1 item"):
        load_panel(path)


def test_an_unknown_rater_is_told() -> None:
    with pytest.raises(InputError, match="unknown rater 'smollm'"):
        pick_raters(load_panel("local"), ["smollm"])


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080/v1", True), ("http://localhost/v1", True), ("http://[::1]:80/v1", True),
        ("http://127.0.0.1.example.org/v1", False), ("https://localhost.example.org", False),
        ("http://192.168.0.2/v1", False), ("http://0.0.0.0/v1", False),
    ],
)  # fmt: skip
def test_loopback(url: str, here: bool) -> None:
    assert is_loopback(url) is here


def test_remote_needs_both_consents() -> None:
    panel = load_panel("openai")
    silent = panel.model_copy(update={"allow_remote": False})
    check_remote(panel, panel.raters, True)
    for board, allowed, lacking in [(panel, False, "--allow-remote"), (silent, True, "allow_remote: true")]:
        with pytest.raises(InputError, match=lacking):
            check_remote(board, board.raters, allowed)
