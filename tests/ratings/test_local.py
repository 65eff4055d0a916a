"""The embedded server with real weights: plumbing, label mass and schema, not validity."""

from pathlib import Path

import pandas as pd
import pytest

from bayesdyn.errors import EndpointError, InputError
from bayesdyn.ratings.ledgers.files import open_ledger
from bayesdyn.ratings.rate import rate
from bayesdyn.ratings.scoring.panel import load_panel
from bayesdyn.ratings.servers.local import local_server
from bayesdyn.ratings.servers.weights import fetch_weights
from bayesdyn.tables import check_ratings


@pytest.fixture(scope="module")
def smollm2() -> Path:
    """Return real weights, fetched if they are not here; skip where neither is possible."""
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    try:
        return fetch_weights("smollm2", progress=False)
    except InputError as error:
        pytest.skip(f"no weights: {error.title}")


def test_the_smallest_rater_rates_for_real(smollm2: Path, tmp_path: Path) -> None:
    exchanges = pd.DataFrame({
        "dyad": ["a"] * 4, "session": ["1"] * 4, "t": range(4), "therapist_text": ["Hello."] * 4,
        "client_text": [
            "Yes.", "The bus came at nine.", "I feel a bit low these days.",
            "I have never told anyone, but I am so ashamed of what my father did to me.",
        ],
    })  # fmt: skip
    path = tmp_path / "ratings.sqlite"
    ratings = rate(exchanges, panel="local_small", ledger=path, constructs=["disclosure"], progress=False)
    pd.testing.assert_frame_equal(ratings, check_ratings(ratings))
    assert ratings["value"].between(1, 5).all()
    assert (ratings["off_scale"] < 0.5).all()
    assert ratings["probabilities"].map(len).tolist() == [5] * 4
    assert ratings["value"][3] > ratings["value"][0]
    with open_ledger(path, create=False) as ledger:
        (record,) = ledger.provenance()
    assert record["endpoint"] == "embedded"
    assert "gguf" not in repr(record)  # the server would give the path of the weights as its model


def test_structured_output_of_a_real_server_is_read_with_its_probabilities(
    smollm2: Path, tmp_path: Path
) -> None:
    """All constructs in one call by JSON schema; each value's token has its alternatives."""
    exchanges = pd.DataFrame({
        "dyad": ["a"], "session": ["1"], "t": [0], "therapist_text": ["How was it for you?"],
        "client_text": ["I felt so ashamed."],
    })  # fmt: skip
    panel = load_panel("local_small")
    (small,) = panel.raters
    rater = small.model_copy(
        update={"prompt": "together", "labels": "digits", "together": True, "methods": ("json",)}
    )
    panel = panel.model_copy(update={"raters": (rater,)})
    ratings = rate(exchanges, panel=panel, ledger=tmp_path / "l.sqlite",
                   constructs=["empathy", "disclosure"], progress=False)  # fmt: skip
    assert ratings["method"].tolist() == ["json+logprobs"] * 2
    assert ratings["construct"].tolist() == ["disclosure", "empathy"]
    assert ratings["probabilities"].map(len).tolist() == [5, 5]
    assert ratings["value"].between(1, 5).all()


def test_a_passage_longer_than_the_context_is_unrated(smollm2: Path, tmp_path: Path) -> None:
    exchanges = pd.DataFrame({
        "dyad": ["a"], "session": ["1"], "t": [0], "therapist_text": ["Hello."],
        "client_text": ["and then again " * 6000],
    })  # fmt: skip
    ratings = rate(exchanges, panel="local_small", ledger=tmp_path / "l.sqlite", constructs=["disclosure"],
                   progress=False)  # fmt: skip
    assert ratings["reason"].tolist() == ["passage too long for the model"]


def test_weights_that_are_not_the_known_file_are_not_served(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAYESDYN_CACHE", str(tmp_path))
    changed = tmp_path / "models" / smollm2.name
    changed.parent.mkdir()
    content = bytearray(smollm2.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    exchanges = pd.DataFrame({
        "dyad": ["a"], "session": ["1"], "t": [0], "therapist_text": ["Hello."], "client_text": ["Yes."],
    })  # fmt: skip
    with pytest.raises(InputError, match="another sha256"):
        rate(exchanges, panel="local_small", ledger=tmp_path / "l.sqlite", progress=False)


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    path = tmp_path / "no.gguf"
    path.write_bytes(b"no model")
    with pytest.raises(EndpointError, match=r"no\.gguf"), local_server(path):
        pass
