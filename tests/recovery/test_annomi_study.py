"""The whole pipeline on real transcripts with a real local LLM; prints the figures of docs/measured.md.

BAYESDYN_ANNOMI_RATERS names the raters (default smollm2, about 10 minutes on two cores);
BAYESDYN_ANNOMI_LEDGER keeps the ratings for another run.
"""

import json
import os
import time

import numpy as np
import pytest

import bayesdyn as bd
from bayesdyn.fitting.diagnostics import diagnose
from bayesdyn.transcripts.annomi import annomi_codes

# These studies have few dyads; that a fit warns of them is tested in tests/fitting.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")]

SESSIONS, EXCHANGES = 12, 300


@pytest.fixture(scope="module")
def exchanges(shared_data):
    """Return whole sessions of at most 64 exchanges: dyads with several sessions first, in order of ids.

    Longer sessions are left out to keep the run short; nothing is chosen by what was said.
    """
    every = bd.read_transcripts(shared_data / "annomi" / "annomi.csv", format="annomi")
    sizes = every.groupby(["dyad", "session"]).size().rename("size").reset_index()
    sizes = sizes[sizes["size"] <= 64]
    several = sizes.groupby("dyad")["session"].transform("count")
    sizes = sizes.assign(several=several > 1).sort_values(
        ["several", "dyad", "session"], ascending=[False, True, True]
    )
    before = sizes["size"].cumsum().shift(fill_value=0)
    kept = sizes[(before < EXCHANGES) | (np.arange(len(sizes)) < SESSIONS)]
    chosen = every.merge(kept[["dyad", "session"]], on=["dyad", "session"])
    assert chosen.groupby(["dyad", "session"]).ngroups >= SESSIONS
    assert len(chosen) >= EXCHANGES
    return chosen


def test_annomi_from_transcripts_to_report(exchanges, shared_data, tmp_path):
    raters = os.environ.get("BAYESDYN_ANNOMI_RATERS", "smollm2").split(",")
    ledger = os.environ.get("BAYESDYN_ANNOMI_LEDGER", str(tmp_path / "annomi.sqlite"))
    clock = {"start": time.perf_counter()}
    ratings = bd.rate(exchanges, panel="local", ledger=ledger, raters=raters, progress=False)
    clock["rated"] = time.perf_counter()
    seconds = clock["rated"] - clock["start"]
    sessions = exchanges.groupby(["dyad", "session"]).ngroups
    print(f"{len(exchanges)} exchanges, {sessions} sessions, raters {raters}")
    print(f"{len(ratings)} ratings in {seconds:.0f} s: {len(ratings) / seconds:.2f} per second")
    print("unrated by reason:", ratings.loc[ratings["value"].isna(), "reason"].value_counts().to_dict())
    print(
        "mean mass on the scale:",
        (1 - ratings.groupby(["rater", "construct"])["off_scale"].mean()).round(3).to_dict(),
    )
    assert ratings["value"].notna().mean() > 0.8
    assert len(ratings) == len(exchanges) * 6 * len(raters)

    codes = annomi_codes(shared_data / "annomi" / "annomi.csv")
    codes = codes.merge(exchanges[["dyad", "session", "t"]], on=["dyad", "session", "t"])
    agreement = bd.agreement(ratings, human=codes)
    print(agreement.round(3).to_string())
    assert {"empathy", "exploration"} <= set(agreement["construct"])

    measures = bd.measure(ratings, exchanges=exchanges)
    clock["measured"] = time.perf_counter()
    print(measures["reliability"].to_series().round(3).to_string())
    print("\n".join(json.loads(measures.attrs["notes"])))
    assert measures.attrs["identification"] == ("prior" if len(raters) == 1 else "two_raters")

    # Not the whole of chen2026: a small rater hardly tells the three client constructs apart (the notes
    # printed above say so), and equations for scores that are nearly the same have no posterior to speak of.
    spec = bd.load_model("chen2026_disclosure")
    fit = bd.fit(measures, spec, draws=1500, tune=700, random_seed=1)
    clock["fitted"] = time.perf_counter()
    naive = bd.fit(measures, spec, measurement="none", draws=500, tune=500, random_seed=1)
    clock["naive"] = time.perf_counter()
    print(bd.summary(fit).round(3).to_string())
    print(bd.summary(naive).round(3).to_string())
    print(bd.check_claims(fit)[["claim", "probability", "prior_probability", "verdict"]].to_string())
    print(diagnose(fit))
    path = bd.report(fit, naive=naive, measures=measures, agreement=agreement, out=tmp_path / "report.html")
    names = list(clock)
    print({name: round(clock[name] - clock[names[i]], 1) for i, name in enumerate(names[1:])})
    assert path.stat().st_size > 50_000
    text = path.read_text(encoding="utf-8")
    assert not any(passage in text for passage in exchanges["client_text"] if len(passage) > 40)
