import numpy as np

from pipelines.evaluation.baselines import RepeatHistory
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity


def test_popularity_counts_targets_and_breaks_ties_by_events(datasets):
    users = [
        [(1, 3), (2, 1), (2, 1), (3, 3), (4, 1), (5, 3), (5, 3)],  # the first five are for training
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
