"""Fixtures for ratings: exchanges, and a panel whose one rater a scripted server answers for."""

from collections.abc import Callable

import pandas as pd
import pytest

from bayesdyn.ratings.scoring.panel import Decoding, Panel, Rater


@pytest.fixture
def exchanges() -> pd.DataFrame:
    """Return 12 exchanges of two dyads, each turn with words of its own."""
    rows = [
        {
            "dyad": dyad,
            "session": "1",
            "t": t,
            "therapist_text": f"therapist {dyad} says {t}",
            "client_text": f"client {dyad} says {t}",
        }
        for dyad in ("a", "b")
        for t in range(6)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def make_panel() -> Callable[..., Panel]:
    """Return a maker of panels with one rater at an address."""

    def make(base_url: str, **changes: object) -> Panel:
        rater = Rater(
            name="scripted", model="scripted", base_url=base_url, prompt="plain", labels="words",
            decoding=Decoding(), concurrency=3, retries=0, time_out=5,
        )  # fmt: skip
        return Panel(name="test", raters=(rater.model_copy(update=changes),))

    return make
