import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.artefacts import read_dataset, write_dataset
from bayesdyn.errors import InputError
from bayesdyn.measures.dataset import read_notes


def scores_table(n=40, seed=2):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "dyad": np.repeat(["a", "b"], n // 2), "session": 1, "t": np.tile(np.arange(n // 2), 2),
            "emp": rng.normal(3, 1, n), "emp_se": rng.uniform(0.3, 0.5, n), "rap": rng.normal(2, 0.5, n),
            "words": rng.integers(5, 50, n), "arm": "cbt", "client_text": "secret",
        }
    )  # fmt: skip


def test_scores_errors_and_covariates_are_taken_over(tmp_path):
    frame = scores_table()
    frame.loc[3, "rap"] = np.nan
    measures = bd.as_measures(
        frame.sample(frac=1, random_state=1),
        scores={"empathy": "emp", "rapport": "rap"},
        se={"empathy": "emp_se"},
        reliability={"rapport": 0.75},
        covariates=["words", "arm", "client_text"],
    )
    np.testing.assert_allclose(measures["score"].sel(construct="empathy"), frame["emp"])
    np.testing.assert_allclose(measures["se"].sel(construct="empathy"), frame["emp_se"])
    rapport = measures.sel(construct="rapport")
    assert np.isnan(rapport["se"].values[3])
    assert np.isnan(rapport["score"].values[3])
    # se = sd sqrt(1 - .75) = sd / 2, so that 1 - se^2 / var is the reliability given.
    np.testing.assert_allclose(np.nanmax(rapport["se"]), np.nanstd(frame["rap"], ddof=1) / 2)
    assert float(rapport["reliability"]) == pytest.approx(0.75)
    assert measures["words"].dtype == np.float64
    assert measures["arm"].values[0] == "cbt"
    assert "client_text" not in measures
    assert measures.attrs["identification"] == "given"
    assert any("client_text was not kept" in note for note in read_notes(measures))
    write_dataset(measures, tmp_path / "m.nc", "measures")
    back = read_dataset(tmp_path / "m.nc", "measures")
    np.testing.assert_array_equal(back["score"], measures["score"])
    assert read_notes(back) == read_notes(measures)
    assert list(back["construct2"].values) == ["empathy", "rapport"]


def test_kappa_widens_the_interval_of_the_reliability():
    measures = bd.as_measures(scores_table(), {"empathy": "emp"}, {"empathy": 0.4}, kappa_sd=0.3)
    low, mid, high = (float(measures[f"reliability{end}"].item()) for end in ("_lower", "", "_upper"))
    # The 95th percentile of a log-normal factor of sd .3 is exp(1.645 x .3) = 1.638.
    assert (1 - low) / (1 - mid) == pytest.approx(1.638, abs=1e-3)
    assert (1 - mid) / (1 - high) == pytest.approx(1.638, abs=1e-3)


def test_errors_as_large_as_the_scores_are_noted():
    measures = bd.as_measures(scores_table(), {"empathy": "emp"}, {"empathy": 5.0})
    assert float(measures["reliability"].item()) == 0
    assert any("nothing is left for the true score" in note for note in read_notes(measures))


def test_error_corr_is_put_in_the_order_of_the_scores():
    corr = pd.DataFrame([[1, 0.4], [0.4, 1]], index=["rapport", "empathy"], columns=["rapport", "empathy"])
    measures = bd.as_measures(
        scores_table(), {"empathy": "emp", "rapport": "rap"}, reliability=0.6, error_corr=corr
    )
    assert float(measures["error_corr"].sel(construct="empathy", construct2="rapport")) == 0.4


def test_every_fault_is_named_at_once():
    frame = scores_table().assign(flat=1.0, gone=np.nan, bad=-1.0)
    frame = pd.concat([frame, frame.iloc[[0]]])
    with pytest.raises(InputError) as caught:
        bd.as_measures(
            frame,
            {
                "empathy": "emp",
                "rapport": "flat",
                "disclosure": "gone",
                "exploration": "rapp",
                "score": "rap",
            },
            {"empathy": "bad", "raport": 0.1},
            error_corr=[[1, 2], [2, 1]],
            covariates=["wards"],
        )
    message = str(caught.value)
    for part in (
        "se of empathy is missing, infinite, zero or negative at 41 scores", "construct rapport is constant",
        "construct disclosure has no score at all", "column 'rapp' is missing. Did you mean 'rap'",
        "construct score bears the name", "se names 'raport', which has no score. Did you mean 'rapport'",
        "t 0 stands in more than one row", "error_corr has shape (2, 2)", "covariate wards is no column",
    ):  # fmt: skip
        assert part in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": 0.5}, "t is no whole number"),
        ({"dyad": None}, "40 rows lack dyad, session or t"),
        ({"emp": "high"}, "no finite numbers"),
    ],
)
def test_bad_cells_are_faults(change, message):
    with pytest.raises(InputError, match=message):
        bd.as_measures(scores_table().assign(**change), {"empathy": "emp"}, {"empathy": 0.1})


@pytest.mark.parametrize("se", [np.inf, "wide"])
def test_an_infinite_error_is_a_fault(se):
    frame = scores_table().assign(wide=np.inf)
    with pytest.raises(InputError, match=r"infinite, zero or negative at 40 scores|no finite numbers"):
        bd.as_measures(frame, {"empathy": "emp"}, {"empathy": se})


def test_neither_or_both_errors_are_faults():
    with pytest.raises(InputError, match="neither se nor reliability"):
        bd.as_measures(scores_table(), {"empathy": "emp"})
    with pytest.raises(InputError, match="both se and reliability"):
        bd.as_measures(scores_table(), {"empathy": "emp"}, {"empathy": 0.1}, {"empathy": 0.5})
