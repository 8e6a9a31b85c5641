"""Statistics of answers, against plain loops."""

import numpy as np
import pytest
from scipy import stats

from pipelines.evaluation.baselines import baselines
from pipelines.evaluation.evaluator import CUTOFFS, PROTOCOLS, Evaluator, model_scorer
from pipelines.report.answers import answer_all, bootstrap_means, gains, length_groups

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def test_answers(opened):
    return answer_all(opened)["test"]


def test_means_are_those_of_the_evaluation(opened, test_answers):
    scorers = {"HMAR": model_scorer(opened.model, opened.dataset), **baselines(opened.splits)}
    evaluator = Evaluator(opened.dataset, opened.splits.test, opened.seed)
    assert test_answers.scorers == list(scorers)
    assert test_answers.protocols == list(PROTOCOLS)
    for protocol in PROTOCOLS:
        estimates = test_answers.estimates(protocol)
        for name, scorer in scorers.items():
            expected = evaluator(scorer)[protocol]
            assert estimates.questions == expected["questions"]
            assert test_answers.candidates(protocol) == pytest.approx(expected["candidates"])
            for metric in ("hr", "ndcg"):
                curve = test_answers.curve(name, protocol, metric)
                for cutoff in CUTOFFS:
                    value = expected[f"{metric}@{cutoff}"]
                    assert estimates.of(name, f"{metric}@{cutoff}").mean == pytest.approx(value)
                    assert curve[cutoff - 1] == pytest.approx(value)


def test_intervals_are_those_of_scipy(test_answers):
    ranks = test_answers.ranks["popularity"]["full"].ranks
    estimate = test_answers.estimates("full").of("popularity", "ndcg@10")
    expected = stats.bootstrap(
        (gains(ranks, "ndcg", 10),), np.mean, method="percentile", n_resamples=4000, rng=0
    ).confidence_interval
    assert estimate.low == pytest.approx(expected.low, abs=0.01)
    assert estimate.high == pytest.approx(expected.high, abs=0.01)
    assert estimate.low < estimate.mean < estimate.high


def test_differences_are_paired(test_answers):
    estimates = test_answers.estimates("full")
    assert estimates.difference("HMAR", "HMAR", "hr@10").high == 0
    there = estimates.difference("HMAR", "popularity", "hr@10")
    back = estimates.difference("popularity", "HMAR", "hr@10")
    assert there.mean == pytest.approx(-back.mean)
    assert there.low == pytest.approx(-back.high)


def test_bootstrap_means_have_a_seed():
    values = np.random.default_rng(1).random((50, 3))
    first = bootstrap_means(values, 0, 200)
    assert first.shape == (200, 3)
    np.testing.assert_array_equal(first, bootstrap_means(values, 0, 200))
    assert not np.array_equal(first, bootstrap_means(values, 1, 200))
    np.testing.assert_allclose(first.mean(axis=0), values.mean(axis=0), atol=0.02)
    assert np.isnan(bootstrap_means(values[:0], 0, 5)).all()


@pytest.mark.parametrize(
    "lengths",
    [np.arange(1, 101), np.array([5] * 10), np.array([1, 1, 1, 1, 2, 9]), np.array([3])],
)
def test_every_length_is_in_one_group(lengths):
    groups = length_groups(lengths)
    assert 1 <= len(groups) <= 4
    np.testing.assert_array_equal(sum(group.astype(int) for group in groups.values()), 1)
    assert all(group.any() for group in groups.values())


def test_length_groups_are_about_equally_large():
    groups = length_groups(np.arange(1, 101))
    assert all(20 <= group.sum() <= 30 for group in groups.values())
    assert next(iter(groups)).startswith("1–")


def test_seen_tells_whether_the_answer_stands_in_the_history(opened, test_answers):
    questions = opened.splits.test
    for row in range(len(questions)):
        history = opened.dataset.item_ids[questions.starts[row] : questions.ends[row]]
        assert test_answers.seen[row] == (questions.positives[row] in history)
        assert test_answers.lengths[row] == len(history)
    # The protocol of new items includes exactly the other questions.
    np.testing.assert_array_equal(test_answers.asked("full_unseen"), ~test_answers.seen)
