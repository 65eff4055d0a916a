import numpy as np
import pandas as pd
import pytest

from bayesdyn.measures.agreeing.icc import FORMS, intraclass
from bayesdyn.measures.agreeing.pairs import pearson

PSYCH = ["ICC1", "ICC2", "ICC3", "ICC1k", "ICC2k", "ICC3k"]
FIELDS = {
    "icc": "estimate",
    "F": "F",
    "df1": "df1",
    "df2": "df2",
    "p": "p",
    "lower": "lower",
    "upper": "upper",
}


@pytest.fixture(scope="module")
def tables(request):
    data = request.getfixturevalue("shared_data")
    small = data / "icc_reference"
    wine = pd.read_csv(small / "wine_long.csv").pivot_table(index="Wine", columns="Judge", values="Scores")
    found = {
        "shrout_fleiss_1979": pd.read_csv(small / "shrout_fleiss_1979.csv").iloc[:, 1:],
        "irr_anxiety": pd.read_csv(small / "irr_anxiety.csv").iloc[:, 1:],
        "wine (real-statistics; pingouin icc.csv)": wine,
    }
    long = pd.read_csv(data / "lend_an_ear" / "ratings_long.csv")
    for (framework, dimension), part in long.groupby(["framework", "dimension"]):
        wide = part.pivot_table(index="item_id", columns="rater", values="value")
        experts, llms = wide[["expert1", "expert2", "expert3"]], wide[["gpt", "claude", "gemini"]]
        head = f"{framework}/{dimension}"
        found[f"{head}/3experts"], found[f"{head}/3llms"] = experts, llms
        found[f"{head}/expertmean_vs_llmmean"] = pd.DataFrame(
            {"e": experts.mean(axis=1), "l": llms.mean(axis=1)}
        )
    coders = pd.read_csv(data / "annomi" / "ten_annotator_long.csv")
    coders = coders[coders["interlocutor"] == "therapist"]
    for code in ("question", "reflection", "therapist_input"):
        wide = coders.pivot_table(
            index=["transcript_id", "utterance_id"], columns="annotator_id", values=code
        )
        found[f"annomi10/utterance/{code}"] = wide
    return {name: table.to_numpy(dtype=float) for name, table in found.items()}


def test_all_six_agree_with_psych_to_six_digits(tables, shared_data):
    expected = pd.read_csv(shared_data / "icc_reference" / "icc_expected_psych.csv")
    expected = expected[expected["dataset"].isin(tables)]
    assert expected["dataset"].nunique() == len(tables) == 33
    for name, part in expected.groupby("dataset"):
        got = intraclass(tables[name])
        part = part.set_index("type").loc[PSYCH]
        for field, ours in FIELDS.items():
            np.testing.assert_allclose(
                [getattr(c, ours) for c in got],
                part[field].to_numpy(),
                rtol=1e-6,
                atol=1e-9,
                err_msg=f"{name} {field}",
            )


def test_single_ratings_of_shrout_and_fleiss_by_hand():
    # Table 2 of the paper: BMS 11.24, JMS 32.49, EMS 1.02, WMS 6.26; published .17, .29, .71, .44, .62, .91.
    table = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
    )
    got = intraclass(table)
    assert [c.statistic for c in got] == list(FORMS)
    np.testing.assert_allclose([c.estimate for c in got], [0.17, 0.29, 0.71, 0.44, 0.62, 0.91], atol=0.005)


def test_no_disagreement_is_undefined_not_a_crash():
    column = np.arange(5.0)
    assert all(np.isnan(c.estimate) for c in intraclass(np.column_stack([column, column])))
    assert np.isnan(pearson(np.column_stack([column, np.ones(5)]))[0].estimate)


def test_pearson_interval_covers_a_known_correlation():
    # 400 replicates of n = 50 at rho = .5; 95 % coverage has a standard error of .011: within 3 of it.
    rng = np.random.default_rng(3)
    draws = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=(400, 50))
    found = [pearson(sample)[0] for sample in draws]
    covered = np.mean([c.lower < 0.5 < c.upper for c in found])
    assert abs(covered - 0.95) < 0.033
