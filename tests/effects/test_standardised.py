"""Within-session standardisation against scipy, a long simulation, and scores by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import solve_discrete_lyapunov

from bayesdyn.effects import standardised, within_sd
from bayesdyn.effects.standardising import stationary_covariance
from bayesdyn.errors import BayesdynWarning, InputError
from bayesdyn.fitting.fits import spec_as_fitted
from drawn_fits import COLUMNS, LINEAR, band_of, drawn_fit, draws_of
from recursion import residual_cov, run


@pytest.fixture(scope="module")
def fit():
    return drawn_fit()


def test_stationary_covariance_is_that_of_scipy():
    rng = np.random.default_rng(5)
    transition = rng.normal(0, 0.3, (40, 5, 5))
    transition[0] *= 0.9999 / np.abs(np.linalg.eigvals(transition[0])).max()  # hardly stationary
    root = rng.standard_normal((40, 5, 5))
    innovation = root @ root.swapaxes(1, 2)
    found = stationary_covariance(transition, innovation)
    stable = np.abs(np.linalg.eigvals(transition)).max(axis=1) < 1
    assert 5 < stable.sum() < 40
    assert np.isnan(found[~stable]).all()
    for n in np.flatnonzero(stable):
        expected = solve_discrete_lyapunov(transition[n], innovation[n])
        np.testing.assert_allclose(found[n], expected, rtol=1e-8, atol=1e-10)


def test_the_sd_is_that_of_a_long_simulation_of_the_equations():
    """20,000 sessions after 60 exchanges are as many independent draws of the stationary states.

    A sample variance of n normals has standard error sqrt(2 / n) of itself, an SD half of that: 0.5 %. Four
    constructs in two draws of the posterior, each within four standard errors.
    """
    fit, sessions = drawn_fit(LINEAR, draws=1), 20_000
    spec, constructs = spec_as_fitted(fit), list(map(str, fit["constant_data"]["construct"].values))
    found = within_sd(fit)
    assert found.dims == ("chain", "draw", "construct")
    assert found.attrs == {"sd_from": "model"}
    rng = np.random.default_rng(8)
    for n, cov in enumerate(residual_cov(fit, constructs)):
        path = {name: float(values[n]) for name, values in draws_of(fit).items()}
        factor = np.linalg.cholesky(cov)
        shocks = (rng.standard_normal((sessions, len(constructs))) @ factor.T for _ in range(60))
        innovations = (dict(zip(constructs, shock.T, strict=True)) for shock in shocks)
        start = {name: np.zeros(sessions) for name in constructs}
        last = run(spec, path, start, innovations, {"phase": 0.0})[-1]
        sd = found.isel(chain=n, draw=0).values
        for name, expected in zip(constructs, sd, strict=True):
            assert abs(last[name].std(ddof=1) / expected - 1) < 4 * np.sqrt(0.5 / sessions)


def test_paths_are_scaled_by_sds_draw_by_draw(fit):
    table, sd, b = standardised(fit, ci_prob=0.9).set_index("path"), within_sd(fit), draws_of(fit)
    sd = {str(name): sd.sel(construct=name).values.ravel() for name in sd["construct"].values}
    for name, ratio in {
        "disclosure ~ empathy": sd["empathy"] / sd["disclosure"],
        "disclosure ~ lag(disclosure)": np.ones(120),
        "disclosure ~ empathy:rapport": sd["empathy"] * sd["rapport"] / sd["disclosure"],
        "disclosure ~ empathy:rapport:phase": sd["empathy"] * sd["rapport"] / sd["disclosure"],
        "disclosure ~ phase": 1 / sd["disclosure"],
        "self_negative ~ lag(rapport):empathy": sd["rapport"] * sd["empathy"] / sd["self_negative"],
        "empathy ~ lag(self_negative)": sd["self_negative"] / sd["empathy"],
    }.items():
        np.testing.assert_allclose(table.loc[name, COLUMNS].astype(float), band_of(b[name] * ratio, 0.9))
    assert "disclosure ~ mean(empathy)" not in table.index
    assert table.attrs["units"] == "within-session sd"
    assert (table.attrs["sd_from"], table.attrs["unstable_share"]) == ("model", 0.0)
    # Empathy works on disclosure through rapport's place, so the SDs depend on where rapport is held.
    assert standardised(fit, at={"rapport": 2}).attrs["at"].startswith("empathy = 0, rapport = 2")
    assert not np.allclose(within_sd(fit, at={"rapport": 2}), within_sd(fit))


def test_draws_without_a_stationary_variance_are_left_out_and_said(fit):
    wild = fit.copy(deep=True)
    posterior = wild["posterior"].to_dataset()
    own = posterior["path"]["path_name"].values == "rapport ~ lag(rapport)"
    posterior["path"].values[:, :6, own] = 1.2
    wild["posterior"] = posterior
    with pytest.warns(BayesdynWarning, match="10 % of the draws are not stationary"):
        table = standardised(wild)
    assert table.attrs["unstable_share"] == pytest.approx(0.1)
    assert np.isfinite(table[COLUMNS].to_numpy()).all()
    posterior["path"].values[:, :, own] = 1.2
    wild["posterior"] = posterior
    with pytest.raises(InputError, match="no stationary variance"):
        standardised(wild)


def test_scores_as_they_are_have_their_own_sd_within_sessions():
    fit = drawn_fit("chen2026", "none", draws=4)
    score = fit["observed_data"]["score"].sel(construct="empathy")
    groups = pd.Series(score.values).groupby(score["session"].values)
    by_hand = np.sqrt(
        groups.apply(lambda one: ((one - one.mean()) ** 2).sum()).sum() / (len(score) - len(groups))
    )
    found = within_sd(fit)
    np.testing.assert_allclose(found.sel(construct="empathy"), by_hand)
    assert found.attrs["sd_from"] == standardised(fit).attrs["sd_from"] == "scores"


@pytest.mark.parametrize("name", ["empathy", "disclosure"])
def test_a_construct_that_never_varies_within_a_session_has_no_standardised_path(name):
    fit = drawn_fit("chen2026", "none", draws=4)
    score = fit["observed_data"]["score"]
    score.loc[{"construct": name}] = score["session"].str.len().values
    table = standardised(fit).set_index("path")
    own = [path for path in table.index if name in path]
    assert table.loc[own, COLUMNS].isna().all(axis=None)
    assert table.loc[table.index.difference(own), COLUMNS].notna().all(axis=None)
    assert np.isnan(within_sd(fit).sel(construct=name)).all()
    assert table.attrs["unstable_share"] == 0


def test_what_cannot_be_asked(fit):
    with pytest.raises(InputError, match=r"'raport' is no moderator.*'rapport'(.|\n)*ci_prob"):
        standardised(fit, at={"raport": 1}, ci_prob=95)
    with pytest.raises(InputError, match="'raport'"):
        within_sd(fit, at={"raport": 1})
