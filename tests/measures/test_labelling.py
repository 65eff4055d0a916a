"""Human ratings of exchanges that were chosen with known probabilities."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import bayesdyn as bd
from bayesdyn.errors import FaultList, InputError
from bayesdyn.measures.dataset import Notes, read_notes
from bayesdyn.measures.gathering.cells import gather_cells
from bayesdyn.measures.gathering.labelling import labelling_weights
from bayesdyn.measures.graded.answers import gather_answers
from bayesdyn.measures.graded.density import Graded
from bayesdyn.measures.graded.density import log_likelihood as graded_likelihood
from bayesdyn.measures.graded.prepare import prepare_graded
from bayesdyn.measures.rater.density import Data, Parameters, log_likelihood
from bayesdyn.measures.rater.model import SHARED_PRIOR
from bayesdyn.measures.rater.parts import CODER_PRIOR, Assumed, prepare
from bayesdyn.measures.rater.patterns import gather_statistics
from bayesdyn.measures.rater.places import find_places
from bayesdyn.ratings.tables import read_ratings
from bayesdyn.tables import KEY, LABELLING, check_ratings


def long_table(value, raters, kind):
    rows, columns = np.nonzero(np.isfinite(value))
    return pd.DataFrame(
        {
            "dyad": np.char.mod("d%02d", rows // 50), "session": (rows // 25 % 2).astype(str), "t": rows % 25,
            "construct": "empathy", "rater": np.array(raters)[columns], "value": value[rows, columns],
            "rater_kind": kind,
        }
    )  # fmt: skip


def chosen_study(seed, n=1000):
    """Three LLMs that rate .2 too high and share an error, and two coders of a part of the exchanges.

    An exchange is more often coded where the LLMs' shared error is above the coders' mean error: that is in
    no rating that is at hand before coding. Returns the ratings and the coders' with their probabilities.
    """
    rng = np.random.default_rng(seed)
    theta, shared = 0.7 * rng.normal(size=n), 0.3 * rng.normal(size=n)
    llm = 3.2 + theta[:, None] + shared[:, None] + 0.4 * rng.normal(size=(n, 3))
    error = 0.4 * rng.normal(size=(n, 2))
    probability = np.where(shared > error.mean(axis=1), 0.6, 0.1)
    coders = 3 + theta[:, None] + error
    coders[rng.random(n) > probability] = np.nan
    coded = long_table(coders, ["anna", "ben"], "human")
    rows = np.repeat(np.flatnonzero(np.isfinite(coders[:, 0])), 2)
    return long_table(llm, ["a", "b", "c"], "llm"), coded.assign(labelling_probability=probability[rows])


def measured(ratings, human):
    return bd.measure(ratings, human, random_seed=4, levels=False)


@pytest.fixture(scope="module")
def study():
    """The ratings, the coders', and the measures of both as if nothing were known of the choice."""
    ratings, human = chosen_study(1)
    return ratings, human, measured(ratings, human.drop(columns="labelling_probability"))


@pytest.mark.slow
def test_a_choice_that_only_humans_could_see_is_undone(study):
    """Threshold: within 4 posterior SDs of the truth with the probabilities, more than 4 off without.

    The LLMs' severity is .2; of what they have in common .09 / (.49 + .09) = .155 is error.
    """
    ratings, human, without = study
    with_weights = measured(ratings, human)

    def away(measures):
        draws = measures["severity_draws"].sel(rater=["a", "b", "c"], construct="empathy")
        return ((draws.mean("draw") - 0.2) / draws.std("draw", ddof=1)).values

    print("severities away in SDs", away(with_weights), away(without))
    assert (np.abs(away(with_weights)) < 4).all()
    assert (away(without) > 4).all()
    low, share, high = (float(with_weights[f"shared_error{end}"][0]) for end in ("_lower", "", "_upper"))
    assert abs(share - 0.155) < 4 * (high - low) / 2 / 1.645
    told = [note for note in read_notes(with_weights) if "labelling_probability (0.1 to 0.6)" in note]
    assert len(told) == 1
    probability = human.drop_duplicates(["dyad", "session", "t"])["labelling_probability"].to_numpy()
    kish = (1 / probability).sum() ** 2 / np.square(1 / probability).sum()
    assert f"the {len(probability)} coded exchanges" in told[0]
    assert f"count as {kish:.1f}" in told[0]


def on_points(table):
    """A long table with its values on the points 1 to 5, and the scale."""
    return table.assign(value=table["value"].round().clip(1, 5), scale_min=1.0, scale_max=5.0)


@pytest.mark.slow
def test_a_choice_that_only_humans_could_see_is_undone_with_an_ordinal_likelihood():
    """Threshold: LLMs' severity within 4 posterior SDs of .2 with the probabilities, above it without."""
    ratings, human = (on_points(table) for table in chosen_study(2, 2000))

    def severity(human):
        measures = bd.measure(ratings, human, likelihood="ordinal", random_seed=4, levels=False)
        draws = measures["severity_draws"].sel(rater=["a", "b", "c"], construct="empathy")
        return draws.mean("draw").values, draws.std("draw", ddof=1).values

    with_weights, spread = severity(human)
    without, narrow = severity(human.drop(columns=LABELLING))
    print("severities", with_weights, spread, without, narrow)
    assert (np.abs(with_weights - 0.2) < 4 * spread).all()
    assert (without - 0.2 > 4 * narrow).all()


def test_the_weighted_ordinal_density_is_that_of_humans_given_llms_to_the_power_of_the_weight():
    ratings, human = (on_points(table) for table in chosen_study(3, 200))
    table = check_ratings(pd.concat([ratings, human], ignore_index=True))
    notes, faults = Notes(), FaultList()
    keys = table[KEY].drop_duplicates().sort_values(KEY, ignore_index=True)
    cells = gather_cells(table, keys)
    places = find_places(cells, 400, notes)
    part = prepare(
        cells,
        places,
        0,
        np.arange(5),
        Assumed("auto", (6, 4), CODER_PRIOR, SHARED_PRIOR, levels=False),
        notes,
    )
    answers = gather_answers(table, cells.keys, "empathy", cells.raters, faults)
    coded = np.isfinite(part.value[:, part.human]).any(axis=1)

    def density(weight, with_humans=True):
        problem = prepare_graded(replace(part, weight=weight), answers, places)
        pattern = problem.data.pattern if with_humans else np.where(part.human, 0, problem.data.pattern)
        at = Graded(
            cut=jnp.tile(jnp.array([-2.0, -0.7, 0.7, 2.0]), (5, 1)), own=jnp.linspace(0.5, 0.9, 5),
            blur=jnp.ones(5), s=jnp.asarray(0.2), true_share=jnp.array([1.0, 0, 0]),
        )  # fmt: skip
        return float(graded_likelihood(replace(problem.data, pattern=pattern), at, problem.form))

    with jax.enable_x64(True):
        whole, llms = density(None), density(None, with_humans=False)
        # Twice the humans' part; what the weights are where nobody coded does not count.
        assert density(np.where(coded, 2.0, 7.0)) == pytest.approx(2 * whole - llms, rel=1e-10)
        assert density(np.where(coded, 0.0, 7.0)) == pytest.approx(llms, rel=1e-10)
        some = coded & (np.arange(len(coded)) % 2 == 0)
        left = density(np.where(some, 0.0, 1.0))
        assert llms > left > whole
        assert density(np.where(some, 0.25, 1.0)) == pytest.approx(0.25 * whole + 0.75 * left, rel=1e-10)


@pytest.mark.slow
def test_equal_probabilities_change_nothing(study):
    ratings, human, without = study
    with_weights = measured(ratings, human.assign(labelling_probability=0.3))
    for name in without.variables:
        np.testing.assert_array_equal(with_weights[name].values, without[name].values)
    extra = set(read_notes(with_weights)) - set(read_notes(without))
    assert len(extra) == 1
    assert "one probability, 0.3: they need no weights" in extra.pop()


def test_weights_sum_to_kishs_effective_number_of_the_exchanges_that_are_learnt_from():
    # 1 / p: 2, 2, 10; (14)^2 / (4 + 4 + 100) = 1.815; the fourth is coded and not learnt from.
    probability = np.array([0.5, 0.5, 0.1, 0.25, np.nan])
    coded = np.array([True, True, True, False, False])
    weight, effective = labelling_weights(probability, coded)
    assert effective == pytest.approx(196 / 108)
    assert weight[:3].sum() == pytest.approx(effective)
    np.testing.assert_allclose(weight / weight[0], [1, 1, 5, 2, 1 / weight[0]])
    assert weight[4] == 1
    same, count = labelling_weights(np.array([0.3, 0.3, 0.3, np.nan, np.nan]), coded)
    np.testing.assert_array_equal(same, 1.0)
    assert count == 3


def levels_off(raters, human):
    loading = np.linspace(0.8, 1.2, raters)
    return Parameters(
        mu=jnp.linspace(2.8, 3.2, raters), g=jnp.asarray(loading), h=jnp.asarray(np.where(human, 0, 0.3)),
        sigma=jnp.linspace(0.4, 0.6, raters), w=jnp.asarray(0.3), true_share=jnp.array([1.0, 0, 0]),
        error_share=jnp.array([1.0, 0, 0]),
    )  # fmt: skip


def test_the_weighted_density_is_that_of_humans_given_llms_to_the_power_of_the_weight():
    rng = np.random.default_rng(5)
    human = np.array([False, False, True, True])
    value = 3 + rng.normal(size=(6, 4))
    value[3:5, 2:], value[5, :3] = np.nan, np.nan
    q = rng.gamma(2, 0.5, value.shape)
    weight = np.array([2.5, 0.4, 1.0, 1.0, 1.0, 3.0])

    def density(value, q, weight):
        place = np.zeros(len(value), dtype=np.int64)
        made = gather_statistics(
            value, q, np.full_like(q, 0.01), place, place, np.full(4, 3.0), weight, human
        )
        arrays = {name: jnp.asarray(part) for name, part in vars(made).items()}
        return float(log_likelihood(Data(**arrays), levels_off(4, human)))

    with jax.enable_x64(True):
        expected = 0.0
        for i in range(6):
            one = slice(i, i + 1)
            whole = density(value[one], q[one], None)
            llms = np.where(human, np.nan, value[one])
            rest = density(llms, q[one], None) if np.isfinite(llms).any() else 0.0
            expected += weight[i] * whole + (1 - weight[i]) * rest
        assert density(value, q, weight) == pytest.approx(expected, rel=1e-10)


def test_what_a_session_is_told_stays_positive_semidefinite():
    """A weight of 40 takes 39 exchanges of LLMs off, and sessions and dyads still have a density."""
    rng = np.random.default_rng(6)
    human = np.array([False, False, False, True])
    value = 3 + rng.normal(size=(30, 4))
    session = np.arange(30) // 5
    weight = np.where(np.arange(30) % 3 == 0, 40.0, 0.01)
    made = gather_statistics(
        value,
        np.ones_like(value),
        np.zeros_like(value),
        session,
        session // 2,
        np.full(4, 3.0),
        weight,
        human,
    )
    # The first session: 2 (1 - 40) + 3 (1 - .01).
    assert made.count[0].min() == pytest.approx(-75.03)
    assert made.exchanges == pytest.approx(30)
    with jax.enable_x64(True):
        at = levels_off(4, human)
        nested = replace(at, true_share=jnp.array([0.5, 0.3, 0.2]), error_share=jnp.array([0.7, 0.2, 0.1]))
        arrays = {name: jnp.asarray(part) for name, part in vars(made).items()}
        assert np.isfinite(float(log_likelihood(Data(**arrays), nested)))


def coders(**changes):
    frame = pd.DataFrame(
        {
            "dyad": ["a", "a", "b"], "session": "1", "t": [0, 1, 0], "construct": "empathy", "rater": "anna",
            "value": [2.0, 3.0, 4.0], "labelling_probability": [0.2, 0.4, 1.0],
        }
    )  # fmt: skip
    return frame.assign(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({LABELLING: [0.2, 0.0, 1.2]}, "row 1: labelling_probability is no probability (found 0.0)"),
        ({LABELLING: [0.2, 0.0, 1.2]}, "row 2: labelling_probability is no probability"),
        ({LABELLING: [0.2, 0.4, -1.0]}, "Give it above 0, and 1 at most"),
        ({LABELLING: [0.2, None, 1.0]}, "t 1, empathy, rater anna: labelling_probability is missing"),
        ({"rater_kind": ["human", "human", "llm"]}, "t 0, empathy, rater anna: an LLM's rating"),
        ({"t": [0, 0, 0], "rater": ["anna", "ben", "anna"]}, "t 0: labelling_probability is 0.2 and 0.4"),
    ],
)  # fmt: skip
def test_faults_of_labelling_probabilities_are_told_with_their_place(changes, said):
    with pytest.raises(InputError) as caught:
        check_ratings(coders(**changes))
    assert said in str(caught.value)


def test_the_column_passes_from_a_file(tmp_path):
    assert check_ratings(coders())["labelling_probability"].tolist() == [0.2, 0.4, 1.0]
    coders().rename(columns={"labelling_probability": "pi"}).to_csv(tmp_path / "coders.csv", index=False)
    table = read_ratings(tmp_path / "coders.csv", {"labelling_probability": "pi"})
    assert table["labelling_probability"].tolist() == [0.2, 0.4, 1.0]
    assert "labelling_probability" not in read_ratings(coders().drop(columns="labelling_probability")).columns
    unrated = check_ratings(coders(value=[2.0, None, 4.0], labelling_probability=[0.2, None, 1.0]))
    assert unrated["labelling_probability"].isna().sum() == 1


def test_the_ratings_of_llms_and_half_a_choice_are_refused():
    ratings, human = chosen_study(3, n=100)
    with pytest.raises(InputError, match="labelling_probability stands in the ratings"):
        bd.measure(pd.concat([ratings, human.assign(rater=lambda frame: frame["rater"] + "2")]))
    more = human.drop(columns="labelling_probability").assign(rater=lambda frame: frame["rater"] + "2", t=24)
    with pytest.raises(InputError, match="was coded but has no labelling_probability"):
        bd.measure(pd.concat([ratings, more.drop_duplicates(["dyad", "session", "t"])]), human)
