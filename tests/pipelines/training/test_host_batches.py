import numpy as np

from pipelines.protocol.questions import evaluation_candidates, history_features, history_items
from pipelines.protocol.splits import split
from pipelines.training.host_batches import evaluation_dataset

from ..asked_models import asked
from .epochs import left_padded


def questions_of(splits, config):
    return evaluation_dataset(splits, splits.test, asked(config), config.training.batch_size, 0)


def test_histories_are_the_newest_events_left_padded(log, config):
    test = split(log).test
    read = history_features(log, test, config.model.max_length)
    item_ids, behavior_ids = read["item_ids"], read["behavior_ids"]
    for row, (start, end) in enumerate(zip(test.starts, test.ends, strict=True)):
        expected = left_padded(log.item_ids[start:end], config.model.max_length)
        assert item_ids[row].tolist() == expected
        expected = left_padded(log.behavior_ids[start:end], config.model.max_length)
        assert behavior_ids[row].tolist() == expected
    rows, items = history_items(log, test)
    for row, (start, end) in enumerate(zip(test.starts, test.ends, strict=True)):
        assert items[rows == row].tolist() == log.item_ids[start:end].tolist()


def test_users_and_times_of_a_question_are_those_of_the_log(log, config):
    test, length = split(log).test, config.model.max_length
    read = history_features(log, test, length, ("user_ids", "timestamps"))
    assert read["user_ids"].tolist() == (test.users + 1).tolist()
    for row, (start, end) in enumerate(zip(test.starts, test.ends, strict=True)):
        shown = log.timestamps[max(start, end - length) : end]
        assert read["timestamps"][row].tolist() == left_padded(shown - shown[0], length)


def test_evaluation_candidates_are_new_to_the_user_and_distinct(log, config):
    test = split(log).test
    candidates = evaluation_candidates(log, test, seed=0)
    assert np.array_equal(candidates[:, 0], test.positives)
    fewest = log.num_items
    for row, (start, end) in enumerate(zip(test.starts, test.ends, strict=True)):
        known = set(log.item_ids[start:end].tolist()) | {int(test.positives[row])}
        negatives = candidates[row, 1:].tolist()
        assert len(set(negatives)) == len(negatives)
        assert not set(negatives) & known
        fewest = min(fewest, log.num_items - len(known))
    assert candidates.shape[1] == 1 + min(99, fewest)


def test_evaluation_dataset_asks_for_the_target(log, config):
    splits = split(log)
    parts = list(questions_of(splits, config).as_numpy_iterator())
    targets = np.concatenate([targets["ranking"] for _, targets in parts])
    assert targets.shape == (len(splits.test), 1)
    assert np.all(targets == log.behaviors.target_id)
    positives = np.concatenate([inputs["candidate_ids"] for inputs, _ in parts])[:, 0, 0]
    assert np.array_equal(positives, splits.test.positives)


def test_shared_negatives_are_none_where_candidates_are_drawn(log, config):
    splits, config = split(log), config.replace(shared_negatives=True)
    inputs, _ = next(questions_of(splits, config).as_numpy_iterator())
    assert inputs["negative_ids"].shape == (len(inputs["item_ids"]), 0)


def test_a_model_of_target_events_is_asked_with_those_alone(log, config):
    splits = split(log)
    target = log.behaviors.target_id
    inputs, _ = next(
        questions_of(splits, config.replace(input_behaviors="target"))
        .unbatch()
        .batch(1000)
        .as_numpy_iterator()
    )
    for row, (start, end) in enumerate(zip(splits.test.starts, splits.test.ends, strict=True)):
        kept = log.item_ids[start:end][log.behavior_ids[start:end] == target]
        assert inputs["item_ids"][row].tolist() == left_padded(kept, config.model.max_length)
    # The candidates do not depend on which behaviours a model sees.
    everything, _ = next(questions_of(splits, config).unbatch().batch(1000).as_numpy_iterator())
    assert np.array_equal(inputs["candidate_ids"], everything["candidate_ids"])
