import math

import numpy as np
import pytest

from hmar_keras.models.hmar import HMAR
from pipelines.baselines import ItemCooccurrence, Popularity, RepeatHistory, item_popularity
from pipelines.evaluation import CUTOFFS, Evaluator, model_scorer, validation_score
from pipelines.splits import split


def by_hand(dataset, questions, candidates, scores):
    """All metrics, one question at a time."""
    ranks = {"sampled": [], "full": [], "full_unseen": []}
    for row in range(len(questions)):
        positive = int(questions.positives[row])
        history = dataset.item_ids[questions.starts[row] : questions.ends[row]].tolist()
        everything = range(1, dataset.num_items + 1)

        def rank(items, own=scores[row], positive=positive):
            if not math.isfinite(own[positive]):
                return sum(1 for item in items if item != positive)
            return sum(
                1
                for item in items
                if item != positive and (not math.isfinite(own[item]) or own[item] >= own[positive])
            )

        ranks["sampled"].append(rank(candidates[row].tolist()))
        ranks["full"].append(rank(everything))
        if positive not in history:
            ranks["full_unseen"].append(rank([i for i in everything if i not in history]))
    results = {}
    for protocol, values in ranks.items():
        results[protocol] = {"questions": len(values)}
        for k in CUTOFFS:
            hits = [rank for rank in values if rank < k]
            results[protocol][f"hr@{k}"] = len(hits) / len(values)
            gains = sum(1 / math.log2(rank + 2) for rank in hits)
            results[protocol][f"ndcg@{k}"] = gains / len(values)
    return results


@pytest.mark.parametrize("case", ["random", "ties", "broken"])
def test_metrics_equal_a_slow_count(log, case):
    questions = split(log).test
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(len(questions), log.num_items + 1)).astype(np.float32)
    if case == "ties":
        scores = np.round(scores)
    if case == "broken":
        broken = rng.choice([np.nan, np.inf, -np.inf], size=scores.shape)
        scores = np.where(rng.random(scores.shape) < 0.1, broken, scores).astype(np.float32)
    evaluator = Evaluator(log, questions, seed=0)
    place = {user: row for row, user in enumerate(questions.users.tolist())}
    results = evaluator(lambda asked: scores[[place[user] for user in asked.users.tolist()]])
    expected = by_hand(log, questions, evaluator.candidates, scores)
    for protocol, metrics in expected.items():
        for name, value in metrics.items():
            assert results[protocol][name] == pytest.approx(value, abs=1e-9), (protocol, name)


def test_batching_changes_nothing(log, monkeypatch):
    questions = split(log).test
    scorer = Popularity(split(log))
    whole = Evaluator(log, questions, seed=0)(scorer)
    monkeypatch.setattr("pipelines.evaluation._SCORES_AT_ONCE", 3 * (log.num_items + 1))
    assert Evaluator(log, questions, seed=0)(scorer) == whole


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_constant_scorer_earns_nothing(datasets, value):
    log = datasets["random"](0, num_items=200)  # last of more than 20 is no hit at 20
    results = Evaluator(log, split(log).test, seed=0)(
        lambda asked: np.full((len(asked), log.num_items + 1), value, np.float32)
    )
    for metrics in results.values():
        assert all(metrics[f"hr@{k}"] == 0 for k in CUTOFFS)


def test_an_oracle_earns_everything(log):
    def oracle(asked):
        scores = np.zeros((len(asked), log.num_items + 1), np.float32)
        scores[np.arange(len(asked)), asked.positives] = 1
        return scores

    for metrics in Evaluator(log, split(log).test, seed=0)(oracle).values():
        assert all(metrics[f"ndcg@{k}"] == 1 for k in CUTOFFS)


def test_the_models_scorer_scores_as_the_model(log, config):
    model = HMAR(config)
    questions = split(log).test
    scores = model_scorer(model, log)(questions)
    row = 3
    start, end = questions.starts[row], questions.ends[row]
    item_ids = log.item_ids[start:end][-config.max_length :][None]
    behavior_ids = log.behavior_ids[start:end][-config.max_length :][None]
    everything = np.arange(1, log.num_items + 1, dtype=np.int32)[None, None]
    outputs = model(
        {"item_ids": item_ids, "behavior_ids": behavior_ids, "candidate_ids": everything}
    )
    expected = np.asarray(outputs["ranking"])[0, 0]
    np.testing.assert_allclose(scores[row, 1:], expected, atol=1e-5)


def test_the_validation_score_follows_the_dataset(datasets):
    results = {"full": {"ndcg@10": 0.4}, "full_unseen": {"ndcg@10": 0.1}}
    users = [[(1, 3)]]
    assert validation_score(datasets["make"](users, repeats=True), results) == 0.25
    assert validation_score(datasets["make"](users, repeats=False), results) == 0.1


def test_popularity_counts_targets_and_breaks_ties_by_events(datasets):
    users = [
        [(1, 3), (2, 1), (2, 1), (3, 3), (4, 1), (5, 3), (5, 3)],  # trained on the first five
        [(3, 3), (6, 1)],
    ]
    splits = split(datasets["make"](users, num_items=7))
    order = np.argsort(-item_popularity(splits)[1:], kind="stable") + 1
    # 3 was bought twice in training, 1 once, 2 viewed twice, 4 and 6 once; 5 is held out.
    assert order[:3].tolist() == [3, 1, 2]
    popularity = item_popularity(splits)
    assert popularity[5] == popularity[7] == 0


def test_repeat_history_goes_by_recency_then_popularity(datasets):
    users = [
        [(4, 1), (2, 1), (4, 2), (1, 3), (5, 3), (9, 3), (6, 3)],
        [(7, 3), (8, 1)],
    ]
    dataset = datasets["make"](users, num_items=10)
    splits = split(dataset)
    scores = RepeatHistory(splits)(splits.validation)
    order = np.argsort(-scores[0, 1:], kind="stable") + 1
    # The history of the validation question is 4 2 4 1 5, newest first: 5 1 4 2; then 7, bought.
    assert order[:5].tolist() == [5, 1, 4, 2, 7]


def test_cooccurrence_equals_the_cosine(log):
    splits = split(log)
    scorer = ItemCooccurrence(splits)
    touched = np.zeros((log.num_users, log.num_items + 1))
    for user in range(log.num_users):
        touched[user, log.item_ids[splits.train_starts[user] : splits.train_ends[user]]] = 1
    norms = np.maximum(np.sqrt(touched.sum(axis=0)), 1)
    cosine = touched.T @ touched / norms[:, None] / norms[None]
    np.fill_diagonal(cosine, 0)
    scores = scorer(splits.test)
    for row in range(len(splits.test)):
        history = set(log.item_ids[splits.test.starts[row] : splits.test.ends[row]].tolist())
        expected = sum(cosine[item] for item in history)
        np.testing.assert_allclose(scores[row], expected, atol=1e-4)
