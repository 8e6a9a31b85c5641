import json

import keras
import numpy as np
import pytest
import reference
from keras import ops

from hmar_keras import NDCG, BehaviorAccuracy, HitRate
from hmar_keras.metrics import positive_rank

NAN, INF = float("nan"), float("inf")
METRICS = {"hr": HitRate, "ndcg": NDCG}
each_metric = pytest.mark.parametrize("kind", METRICS)


def gain(kind, rank, k):
    if rank >= k:
        return 0.0
    return 1.0 if kind == "hr" else np.log(2) / np.log(rank + 2)


def result(metric):
    return float(ops.convert_to_numpy(metric.result()))


def measure(metric, *update):
    metric.update_state(*update)
    return result(metric)


def draw(seed, batch=4, steps=3, candidates=8):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (batch, steps)).astype("int32")
    # Few values, so that ties are common.
    scores = rng.integers(0, 6, (batch, steps, candidates)).astype("float32")
    scores[0, 0, 0], scores[1, 1, 2], scores[2, 2, 1] = NAN, NAN, INF
    return truth, scores


def test_rank_equals_the_reference():
    values = np.array([NAN, INF, -INF, -1.0, 0.0, 1.0, 2.5], "float32")
    scores = np.random.default_rng(0).choice(values, (500, 6))
    rank = ops.convert_to_numpy(positive_rank(scores))
    assert rank.dtype == "int32"
    assert rank.tolist() == [reference.positive_rank(row) for row in scores]


@pytest.mark.parametrize(
    ("scores", "rank"),
    [
        ([2.0, 1.0, 0.0], 0),
        ([1.0, 1.0, 1.0], 2),
        ([1.0, 1.0, 2.0, 0.0], 2),
        ([NAN, 0.0, -1.0], 2),
        ([INF, 0.0, -1.0], 2),
        ([-INF, NAN, INF], 2),
        ([5.0, NAN, -INF, 0.0], 2),
    ],
)
def test_rank_of_ties_and_broken_scores(scores, rank):
    assert ops.convert_to_numpy(positive_rank(np.array(scores, "float32"))) == rank


@each_metric
@pytest.mark.parametrize("k", [1, 3, 8])
def test_values_equal_brute_force_over_events(kind, k):
    truth, scores = draw(seed=k)
    ranks = [reference.positive_rank(scores[index]) for index in zip(*truth.nonzero(), strict=True)]
    expected = np.mean([gain(kind, rank, k) for rank in ranks])
    assert 0 < expected < 1 or k == 8
    assert measure(METRICS[kind](k), truth, scores) == pytest.approx(expected, rel=1e-5)


@each_metric
def test_sample_weights_weigh_the_mean(kind):
    truth, scores = draw(seed=7)
    for weights in (np.array([1.0, 0.0, 2.0, 0.5]), np.random.default_rng(1).uniform(size=(4, 3))):
        by_position = np.broadcast_to(weights.T, truth.T.shape).T
        total = weight = 0.0
        for index in zip(*truth.nonzero(), strict=True):
            total += by_position[index] * gain(kind, reference.positive_rank(scores[index]), 3)
            weight += by_position[index]
        actual = measure(METRICS[kind](3), truth, scores, weights.astype("float32"))
        assert actual == pytest.approx(total / weight, rel=1e-5)


@each_metric
def test_a_constant_scorer_earns_nothing(kind):
    truth = np.ones((2, 3), "int32")
    assert measure(METRICS[kind](10), truth, np.zeros((2, 3, 100), "float32")) == 0
    assert measure(METRICS[kind](10), truth, np.zeros((2, 3, 11), "float32")) == 0
    # A list of all candidates includes the positive, in last place.
    last = measure(METRICS[kind](10), truth, np.zeros((2, 3, 10), "float32"))
    assert last == pytest.approx(gain(kind, 9, 10))


@each_metric
@pytest.mark.parametrize("broken", [NAN, INF, -INF])
def test_a_broken_positive_earns_nothing(kind, broken):
    scores = np.zeros((1, 1, 20), "float32")
    scores[..., 0] = broken
    assert measure(METRICS[kind](10), [[1]], scores) == 0


@pytest.mark.parametrize("metric", [HitRate(2), NDCG(2), BehaviorAccuracy()])
def test_updates_accumulate_and_padding_does_not_count(metric):
    # Right, wrong, and padding where the prediction would be right or wrong.
    right, wrong = [9.0, 1.0, 2.0], [1.0, 2.0, 3.0]
    metric.reset_state()
    assert result(metric) == 0
    metric.update_state([[0, 1]], np.array([[right, wrong]], "float32"))
    assert result(metric) == 0
    metric.update_state([[1, 0]], np.array([[right, wrong]], "float32"))
    assert result(metric) == pytest.approx(0.5)
    metric.update_state([[0, 0]], np.array([[wrong, right]], "float32"))
    assert result(metric) == pytest.approx(0.5)
    metric.reset_state()
    metric.update_state([[1, 0]], np.array([[right, wrong]], "float32"))
    assert result(metric) == pytest.approx(1.0)


def test_behavior_accuracy_equals_brute_force():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (6, 5)).astype("int32")
    logits = rng.normal(size=(6, 5, 3)).astype("float32")
    pairs = [
        (b, row.tolist()) for b, row in zip(truth.flat, logits.reshape(-1, 3), strict=True) if b
    ]
    expected = np.mean([row.index(max(row)) == b - 1 for b, row in pairs])
    assert measure(BehaviorAccuracy(), truth, logits) == pytest.approx(expected)


def test_names():
    assert (HitRate(10).name, NDCG(10).name) == ("hr@10", "ndcg@10")
    assert (HitRate().name, NDCG(5).name) == ("hr@10", "ndcg@5")
    assert HitRate(3, name="mine").name == "mine"
    assert BehaviorAccuracy().name == "accuracy"


@each_metric
@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(kind, k):
    with pytest.raises(ValueError, match=f"k must be at least 1, got {k}"):
        METRICS[kind](k)


@pytest.mark.parametrize("metric", [HitRate(3), NDCG(4, name="x"), BehaviorAccuracy()])
def test_config_round_trip(metric):
    text = json.dumps(keras.saving.serialize_keras_object(metric))
    revived = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(revived) is type(metric)
    assert revived.get_config() == metric.get_config()
    truth, logits = draw(seed=9, candidates=3)
    logits = np.nan_to_num(logits, posinf=0)
    metric.reset_state()
    assert measure(revived, truth, logits) == measure(metric, truth, logits)


def test_an_event_counts_the_same_in_batches_of_any_length():
    metric = HitRate(k=1)
    hit, miss = [0.9, 0.1], [0.1, 0.9]
    metric.update_state([[1]], [[hit]])
    metric.update_state([[1, 1, 1, 0]], [[miss, miss, hit, hit]])
    assert float(metric.result()) == pytest.approx(2 / 4)
