import numpy as np
import pandas as pd
import pytest

from bayesdyn.errors import InputError
from bayesdyn.measures.agreement import agreement


def rating_rows(values, raters, construct="empathy", rater_kind="llm"):
    """Long ratings from an array (exchange, rater); NaN is unrated."""
    rows = [
        {"dyad": "d1", "session": "s1", "t": t, "construct": construct, "rater": rater, "value": values[t, j],
         "rater_kind": rater_kind, "scale_min": 1.0, "scale_max": 5.0}
        for t in range(len(values))
        for j, rater in enumerate(raters)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def simulated(n=60, seed=1):
    rng = np.random.default_rng(seed)
    theta = rng.normal(3, 0.7, size=(n, 1))
    return np.clip(theta + rng.normal(0, 0.5, size=(n, 4)), 1, 5)


def test_panels_are_labelled_and_sized():
    values = simulated()
    llm, human = (
        rating_rows(values[:, :2], ["a", "b"]),
        rating_rows(values[:40, 2:], ["h1", "h2"], rater_kind="human"),
    )
    table = agreement(llm, human)
    kinds = table.drop_duplicates("panel").set_index("panel")["kind"].to_dict()
    assert kinds == {
        "all raters": "human - LLM", "mean of humans, mean of LLMs": "human - LLM", "a, b": "LLM - LLM",
        "a, h1": "human - LLM", "a, h2": "human - LLM", "b, h1": "human - LLM", "b, h2": "human - LLM",
        "h1, h2": "human - human",
    }  # fmt: skip
    pair = table[(table["panel"] == "a, h1") & (table["statistic"] == "pearson")].iloc[0]
    assert (pair["n"], pair["k"], pair["dropped"]) == (40, 2, 20)
    assert pair["estimate"] == pytest.approx(np.corrcoef(values[:40, 0], values[:40, 2])[0, 1])
    assert pair["lower"] < pair["estimate"] < pair["upper"]


def test_three_llms_make_a_panel_and_missing_rows_are_counted():
    values = simulated()[:, :3]
    values[:5, 1] = np.nan
    values[7] = np.nan
    table = agreement(rating_rows(values, ["a", "b", "c"]))
    panel = table[(table["panel"] == "all LLM") & (table["statistic"] == "ICC(C,1)")].iloc[0]
    assert (panel["n"], panel["k"], panel["dropped"]) == (54, 3, 5)


def test_replicates_are_averaged():
    values = simulated()[:, :2]
    once = rating_rows(values, ["a", "b"])
    up, down = once.assign(value=once["value"] + 0.1), once.assign(value=once["value"] - 0.1, replicate=1)
    table = agreement(pd.concat([up.assign(replicate=0), down]).assign(scale_max=9.0, scale_min=0.0))
    expected = agreement(once)
    np.testing.assert_allclose(table["estimate"], expected["estimate"])


def test_a_constant_rater_is_named_undefined():
    values = simulated()[:, :2]
    values[:, 1] = 1.0
    table = agreement(rating_rows(values, ["a", "b"]))
    row = table[table["statistic"] == "pearson"].iloc[0]
    assert np.isnan(row["estimate"])
    assert "undefined" in row["note"]


def test_faults_are_gathered():
    values = simulated()
    llm = rating_rows(values[:, :1], ["a"])
    human = rating_rows(values[:, :1], ["a"], construct="warmth")
    with pytest.raises(InputError) as caught:
        agreement(llm, human, ci_prob=95)
    message = str(caught.value)
    assert "ci_prob is 95" in message
    assert "stands in both tables" in message
    assert "no exchange and construct" in message
    assert "needs two raters" in message


def nested(dyads=8, sessions=2, exchanges=6, raters=("a", "b"), seed=3):
    rng = np.random.default_rng(seed)
    rows = [
        {"dyad": f"d{d}", "session": f"s{s}", "t": t, "construct": "empathy", "rater": rater,
         "value": float(np.clip(np.round(level + rng.normal(0, 0.6)), 1, 5)),
         "scale_min": 1.0, "scale_max": 5.0}
        for d in range(dyads)
        for s in range(sessions)
        for t, level in enumerate(3 + rng.normal(0, 1, size=exchanges))
        for rater in raters
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_levels_are_means_of_what_all_raters_rated():
    ratings = nested()
    ratings.loc[(ratings["rater"] == "b") & (ratings["t"] == 0), "value"] = np.nan
    table = agreement(ratings, bootstrap=0)
    one = table[table["statistic"] == "pearson"].set_index("level")
    assert one["n"].to_dict() == {"exchange": 80, "session": 16, "dyad": 8}
    assert one["dropped"].tolist() == [16, 16, 16]
    kept = ratings[ratings["t"] > 0].pivot_table(index=["dyad", "session"], columns="rater", values="value")
    assert one.loc["session", "estimate"] == pytest.approx(np.corrcoef(kept["a"], kept["b"])[0, 1])
    assert set(agreement(ratings, levels=["dyad"], bootstrap=0)["level"]) == {"dyad"}
    # Rounding a session's mean to a scale point would make up agreement.
    assert set(table.loc[table["statistic"].str.startswith("kappa"), "level"]) == {"exchange"}


def test_missing_ratings_bring_the_coefficients_that_can_use_them():
    ratings = nested(raters=("a", "b", "c"))
    assert not agreement(ratings, bootstrap=0)["statistic"].str.endswith("REML").any()
    ratings = ratings.drop(index=ratings.index[(ratings["rater"] == "c") & (ratings["dyad"] > "d3")])
    table = agreement(ratings, bootstrap=0, pairs=False).set_index(["level", "statistic"])
    assert table.loc[("exchange", "ICC(A,1)"), "n"] == 48
    assert table.loc[("exchange", "ICC(A,1) REML"), "n"] == 96
    assert table.loc[("exchange", "ICC(A,1) REML"), "shrout_fleiss"] == "ICC2"
    assert table.loc[("exchange", "alpha ordinal"), "n"] == 96
    assert set(table["panel"]) == {"all human"}


def test_whole_dyads_are_drawn_and_few_are_told():
    table = agreement(nested(dyads=8)).set_index(["level", "statistic"])
    row = table.loc[("exchange", "ICC(C,1)")]
    assert row["cluster_lower"] < row["estimate"] < row["cluster_upper"]
    assert row["dyads"] == 8
    assert "fewer than 20 dyads" in row["note"]
    again = agreement(nested(dyads=8)).set_index(["level", "statistic"])
    pd.testing.assert_frame_equal(table, again)
    few = agreement(nested(dyads=4))
    assert few["cluster_lower"].isna().all()
    assert few["note"].str.contains("no cluster bootstrap").any()
    assert (agreement(nested(dyads=20)).query("level == 'exchange'")["note"] == "").all()


def test_ratings_without_a_scale_have_no_categories():
    ratings = nested().drop(columns=["scale_min", "scale_max"])
    found = set(agreement(ratings, bootstrap=0)["statistic"])
    assert "alpha interval" in found
    assert not {"alpha ordinal", "kappa", "kappa quadratic", "kappa Fleiss"} & found


def test_options_that_cannot_be_are_told_together():
    with pytest.raises(InputError, match=r"(?s)bootstrap is -1.*level 'week' is not known"):
        agreement(nested(), bootstrap=-1, levels=["week"])  # type: ignore[list-item]
