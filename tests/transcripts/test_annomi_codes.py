"""AnnoMI's codes as ratings: at the exchanges that read_transcripts gives, never with text."""

import pandas as pd

from bayesdyn import read_transcripts
from bayesdyn.transcripts.annomi import annomi_annotators, annomi_codes

KEY = ["dyad", "session", "t"]


def test_the_experts_main_behaviours_by_exchange(shared_data):
    folder = shared_data / "annomi"
    codes = annomi_codes(folder)
    exchanges = read_transcripts(folder, "annomi")
    assert len(codes) == 2 * len(exchanges)
    keys = set(map(tuple, exchanges[KEY].to_numpy().tolist()))
    assert set(map(tuple, codes[KEY].to_numpy().tolist())) == keys
    assert set(codes["value"]) == {0.0, 1.0}
    assert set(codes["rater"]) == {"annomi_expert"}
    assert not [name for name in codes.columns if "text" in name]
    # Of 3,195 therapist rows, 51 are set aside and at most 22 are merged into the row above.
    raw = pd.read_csv(folder / "annomi.csv")
    raw = raw[raw["interlocutor"] == "therapist"]
    for construct, behaviour in (("empathy", "reflection"), ("exploration", "question")):
        share = codes.loc[codes["construct"] == construct, "value"].sum()
        total = (raw["main_therapist_behaviour"] == behaviour).sum()
        assert total - 51 - 22 <= share <= total


def test_a_code_stands_at_its_own_utterance(shared_data):
    folder = shared_data / "annomi"
    raw = pd.read_csv(folder / "annomi.csv", keep_default_na=False)
    exchanges = read_transcripts(folder, "annomi")
    codes = annomi_codes(folder)
    wide = codes.pivot_table(index=KEY, columns="construct", values="value").reset_index()
    merged = exchanges.merge(wide, on=KEY, validate="one_to_one")
    once = raw[~raw["utterance_text"].str.strip().duplicated(keep=False)]
    behaviour = merged["therapist_text"].map(
        dict(zip(once["utterance_text"].str.strip(), once["main_therapist_behaviour"], strict=True))
    )
    known = behaviour.notna()
    assert known.sum() > 2400
    assert ((behaviour[known] == "reflection") == (merged.loc[known, "empathy"] == 1)).all()
    assert ((behaviour[known] == "question") == (merged.loc[known, "exploration"] == 1)).all()


def test_ten_annotators_are_fully_crossed_with_subtypes(shared_data):
    codes = annomi_annotators(shared_data / "annomi")
    assert codes["rater"].nunique() == 10
    assert (codes.groupby([*KEY, "construct"]).size() == 10).all()
    assert set(codes["value"]) == {0.0, 1.0, 2.0}
    assert (codes["scale_max"] == 2).all()
    keys = codes[KEY].drop_duplicates()
    exchanges = read_transcripts(shared_data / "annomi", "annomi")
    assert len(keys.merge(exchanges, on=KEY)) == len(keys) == 211


def test_open_questions_are_above_closed_ones(shared_data):
    # Which number means open is not written beside the data; wh-questions and yes-no questions tell it.
    raw = pd.read_csv(shared_data / "annomi" / "annomi.csv", keep_default_na=False)
    codes = pd.read_csv(shared_data / "annomi" / "ten_annotator_long.csv").dropna(subset=["question"])
    first = raw["utterance_text"].str.lower().str.extract(r"^(what|how|is|are|do|did)\b")[0]
    coded = codes.merge(raw.assign(first=first), on=["transcript_id", "utterance_id"])
    coded = coded[coded["question"] > 0]
    mean = coded.groupby(coded["first"].isin(["what", "how"]) & coded["first"].notna())["question"].mean()
    closed = coded.loc[coded["first"].isin(["is", "are", "do", "did"]), "question"].mean()
    assert mean[True] > 1.6
    assert closed < 1.4
