"""The shipped ledger belongs to the shipped transcripts, codebook and prompts."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesdyn.ratings.ledgers.files import open_ledger
from bayesdyn.ratings.questions.corpus import Corpus
from bayesdyn.ratings.questions.plans import make_plans, requests_of
from bayesdyn.ratings.rate import rate
from bayesdyn.ratings.results import read_ledger
from bayesdyn.ratings.scoring.codebook import load_codebook
from bayesdyn.ratings.scoring.panel import load_panel
from bayesdyn.ratings.servers.weights import WEIGHTS
from bayesdyn.transcripts.read import read_transcripts

BOOK, PANEL = load_codebook("chen2026"), load_panel("local")
RATERS = {rater.name for rater in PANEL.raters}


@pytest.fixture(scope="module")
def sample(root: Path) -> Path:
    return root / "reports" / "sample"


@pytest.fixture(scope="module")
def exchanges(sample: Path) -> pd.DataFrame:
    return read_transcripts(
        sample / "transcripts", ids="{dyad}_{session}", speakers={"T": "therapist", "C": "client"}
    )


@pytest.fixture(scope="module")
def ratings(sample: Path, exchanges: pd.DataFrame) -> pd.DataFrame:
    return read_ledger(sample / "ratings.sqlite", exchanges, BOOK, PANEL)


def test_every_shipped_rating_is_of_a_prompt_and_passage_of_today(
    sample: Path, exchanges: pd.DataFrame
) -> None:
    """Fails when a codebook, template, panel or transcript was changed and the ledger was not made again."""
    keys = {
        question.key
        for plan in make_plans(BOOK, list(BOOK.constructs), PANEL.raters)
        for prompt in plan.prompts
        for session in Corpus(exchanges).sessions()
        for request, _ in requests_of(session, BOOK, plan, prompt)
        if request is not None
        for question in request.questions
    }
    with open_ledger(sample / "ratings.sqlite", create=False) as ledger:
        assert ledger.has(list(keys)) == keys
        assert len(ledger) == len(keys)  # and it holds nothing else


def test_both_raters_are_complete(ratings: pd.DataFrame, exchanges: pd.DataFrame) -> None:
    counts = Counter(zip(ratings["rater"], ratings["construct"], strict=True))
    assert counts == {(rater, name): len(exchanges) for rater in RATERS for name in BOOK.constructs}
    unrated = ratings[ratings["value"].isna()]
    assert len(unrated) <= 5
    assert all("on the scale" in reason for reason in unrated["reason"])


def test_it_says_where_it_comes_from_and_quotes_no_transcript(sample: Path, exchanges: pd.DataFrame) -> None:
    with open_ledger(sample / "ratings.sqlite", create=False) as ledger:
        records = ledger.provenance()
    assert {record["rater"] for record in records} == RATERS
    for record in records:
        weights = next(rater.weights for rater in PANEL.raters if rater.name == record["rater"])
        assert record["weights_sha256"] == WEIGHTS[weights or ""].sha256
        assert record["decoding"]["cache_prompt"] is True
        assert record["packages"]["xllamacpp"]
    content = (sample / "ratings.sqlite").read_bytes()
    for text in exchanges["client_text"]:
        assert text.encode() not in content


def test_rating_the_sample_again_asks_nothing_and_changes_nothing(
    sample: Path,
    exchanges: pd.DataFrame,
    ratings: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("BAYESDYN_CACHE", str(tmp_path))  # no weights: a question would be an error
    before = (sample / "ratings.sqlite").read_bytes()
    again = rate(exchanges, BOOK, PANEL, sample / "ratings.sqlite", progress=False)
    pd.testing.assert_frame_equal(again, ratings)
    assert (sample / "ratings.sqlite").read_bytes() == before


def test_expected_scores_follow_the_levels_that_the_transcripts_were_written_for(
    sample: Path, ratings: pd.DataFrame
) -> None:
    """A plausibility check and no validation: the levels are their author's, there is no human coding.

    Thresholds lie well under what was measured when the ledger was made (README of the sample).
    """
    intended = pd.read_csv(sample / "intended.csv", dtype={"dyad": str, "session": str})
    levels = intended.melt(["dyad", "session", "t"], var_name="construct", value_name="level")
    joined = ratings.merge(levels, on=["dyad", "session", "t", "construct"], validate="many_to_one")
    assert len(joined) == len(ratings)
    spearman = {
        (rater, construct): group["value"].corr(group["level"], method="spearman")
        for (rater, construct), group in joined.groupby(["rater", "construct"])
    }
    means = {rater: np.mean([rho for (who, _), rho in spearman.items() if who == rater]) for rater in RATERS}
    assert min(rho for (rater, _), rho in spearman.items() if rater.startswith("qwen")) > 0.25
    assert means["qwen2.5-coder-1.5b"] > 0.45
    assert means["smollm2"] > 0.3
