import numpy as np
import pytest
from scipy import stats

from pipelines.evaluation.evaluator import Ranks
from pipelines.experiments.comparison import (
    compare,
    gains,
    mean_and_deviation,
    paired_difference,
)
from pipelines.experiments.table import experiment_tables


def ranks_of(values):
    values = np.array(values)
    return Ranks(values, np.full(len(values), 100))


def test_gains_are_what_the_metrics_are_means_of():
    ranks = ranks_of([0, 3, -1, 9, 10, 42])
    assert gains(ranks, "hr@10").tolist() == [1, 1, 1, 0, 0]
    expected = [1, 1 / np.log2(5), 1 / np.log2(11), 0, 0]
    assert gains(ranks, "ndcg@10").tolist() == pytest.approx(expected)
    metrics = ranks.metrics()
    for metric in ("hr@5", "ndcg@20", "hr@1"):
        assert gains(ranks, metric).mean() == pytest.approx(metrics[metric])


def test_deviation_is_the_samples():
    assert mean_and_deviation([0.1, 0.2, 0.6]) == pytest.approx((0.3, np.sqrt(0.07)))
    assert mean_and_deviation([0.4]) == (0.4, 0.0)


def test_the_interval_is_that_of_the_paired_differences():
    """With many questions it is the normal interval, narrower than that of either mean."""
    rng = np.random.default_rng(0)
    common = rng.random(20_000)
    one, other = common + 0.1 * rng.random(20_000), common
    found = paired_difference(one, other)
    differences = one - other
    assert found["difference"] == pytest.approx(differences.mean())
    error = stats.sem(differences)
    assert found["low"] == pytest.approx(differences.mean() - 1.96 * error, abs=0.1 * error)
    assert found["high"] == pytest.approx(differences.mean() + 1.96 * error, abs=0.1 * error)
    assert found["high"] - found["low"] < 0.3 * 2 * 1.96 * stats.sem(common)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        wins = (rng.random(400) < 0.3).astype(float) - (rng.random(400) < 0.25)
        found = paired_difference(wins, np.zeros(400), seed)
        covered += found["low"] <= 0.05 <= found["high"]
    assert 0.95 - 4 * np.sqrt(0.95 * 0.05 / 200) <= covered / 200 <= 1


def test_what_does_not_vary_has_no_interval():
    same = paired_difference(np.ones(5), np.full(5, 0.5))
    assert same == {"difference": 0.5, "low": 0.5, "high": 0.5}
    nothing = paired_difference(np.zeros(0), np.zeros(0))
    assert nothing == {"difference": 0.0, "low": 0.0, "high": 0.0}


def test_seeds_are_averaged_before_questions_are_drawn():
    one = [{"full": ranks_of([0, 0, 20])}, {"full": ranks_of([0, 20, 20])}]
    other = [{"full": ranks_of([20, 20, 20])}, {"full": ranks_of([20, 0, 20])}]
    found = compare(one, other)["full"]
    assert set(found) == {"hr@10", "ndcg@10"}
    assert found["hr@10"]["difference"] == pytest.approx(np.mean([1, 0, 0]))
    assert compare(one, one)["full"]["ndcg@10"] == {"difference": 0, "low": 0, "high": 0}


def test_a_protocol_that_an_earlier_version_did_not_have_is_left_out():
    earlier, later = {"full": ranks_of([0, 20])}, {"full": ranks_of([0, 0])}
    later["full_returnable"] = ranks_of([0, 0])
    for one, other in ((earlier, later), (later, earlier)):
        assert set(compare([one], [other])) == {"full"}
    assert set(compare([later, earlier], [later, later])) == {"full"}
    assert set(compare([later], [later])) == {"full", "full_returnable"}


def row_of(name, *protocols, trained=False):
    metrics = {"hr@10": 0.5, "ndcg@10": 0.25, "questions": 9, "candidates": 30.0}
    return {
        "name": name,
        "trained": trained,
        "seeds": [{"test": dict.fromkeys(each, metrics)} for each in protocols],
    }


@pytest.mark.parametrize("complete", [True, False])
def test_there_is_a_table_for_each_protocol_that_all_have(complete):
    new = ("full", "full_unseen", "full_returnable")
    old = new if complete else new[:2]
    variants = [row_of("HMAR", new, new, trained=True), row_of("popularity", new, old)]
    results = {"reference": "HMAR", "variants": variants, "differences": {}}
    titles = [table.title for table in experiment_tables(results)]
    assert [title.split(" (")[0] for title in titles] == [
        "test, full catalogue",
        "test, full catalogue, new items only",
        *(["test, full catalogue, items that can return"] if complete else []),
    ]
