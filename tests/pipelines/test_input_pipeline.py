import itertools

import numpy as np
import pytest
import tensorflow as tf

from pipelines.errors import InputError
from pipelines.input_pipeline import (
    TrainingData,
    evaluation_candidates,
    evaluation_dataset,
    history_arrays,
    history_items,
    in_random_order,
    training_windows,
)
from pipelines.splits import split


def batches(data, first, last):
    """Epochs `first` to `last` as NumPy: a list of (inputs, targets)."""
    return list(data.dataset(first, last).as_numpy_iterator())


def joined(batches, name):
    return np.concatenate([inputs[name].ravel() for inputs, _ in batches])


def padded(rows, length):
    """Rows `[rows, steps]` with as much padding on the left as is missing to `length`."""
    return np.pad(rows, ((0, 0), (length - rows.shape[1], 0)))


def left_padded(values, length):
    values = list(values)[-length:] if length else []
    return [0] * (length - len(values)) + values


def test_every_target_comes_once_when_all_windows_are_used(log, config):
    splits = split(log)
    windows = training_windows(splits, config.replace(windows="all"))
    seen = [(user, event) for user, start, end in windows for event in range(start + 1, end)]
    expected = [
        (user, event)
        for user in range(log.num_users)
        for event in range(splits.train_starts[user] + 1, splits.train_ends[user])
    ]
    assert sorted(seen) == expected
    assert all(end - start <= config.max_length + 1 for _, start, end in windows)


def test_last_windows_are_each_users_newest(log, config):
    splits = split(log)
    windows = training_windows(splits, config)
    lengths = splits.train_ends - splits.train_starts
    assert windows[:, 0].tolist() == np.flatnonzero(lengths >= 2).tolist()
    assert windows[:, 2].tolist() == splits.train_ends[windows[:, 0]].tolist()


@pytest.mark.parametrize("batching", ["by_length", "mixed"])
@pytest.mark.parametrize("windows", ["last", "all"])
def test_an_epoch_is_what_the_log_says(log, config, windows, batching):
    config = config.replace(
        windows=windows, batching=batching, num_negatives=3, max_length=20, batch_size=5
    )
    splits = split(log)
    data = TrainingData(splits, config, seed=3)
    epoch = batches(data, 0, 1)
    assert len(epoch) == data.steps_per_epoch
    length = config.max_length
    expected = []
    for user, start, end in training_windows(splits, config).tolist():
        items, behaviors = log.item_ids[start:end], log.behavior_ids[start:end]
        expected.append(
            (
                user,
                *left_padded(items[:-1], length),
                *left_padded(behaviors[:-1], length),
                *left_padded(items[1:], length),
                *left_padded(behaviors[1:], length),
            )
        )
    got = []
    for inputs, targets in epoch:
        assert np.array_equal(targets["ranking"], targets["behavior"])
        parts = (
            inputs["item_ids"],
            inputs["behavior_ids"],
            # The first event of a window is no target: nothing precedes it.
            np.where(inputs["item_ids"] > 0, inputs["candidate_ids"][..., 0], 0),
            targets["ranking"],
        )
        got += np.concatenate([padded(part, length) for part in parts], axis=1).tolist()
    assert sorted(got) == sorted(rest for _, *rest in expected)
    shapes = {inputs["item_ids"].shape for inputs, _ in epoch}
    assert len({length for _, length in shapes}) == (1 if batching == "mixed" else 3)


def test_negatives_never_hit_the_history(log, config):
    config = config.replace(num_negatives=5)
    splits = split(log)
    data = TrainingData(splits, config, seed=0)
    touched = {}
    for user, start, end in training_windows(splits, config).tolist():
        history = set(log.item_ids[splits.train_starts[user] : splits.train_ends[user]].tolist())
        touched[tuple(left_padded(log.item_ids[start:end][:-1], config.max_length))] = history
    rows = 0
    for inputs, _ in batches(data, 0, 20):
        histories = padded(inputs["item_ids"], config.max_length)
        for items, candidates in zip(histories, inputs["candidate_ids"], strict=True):
            negatives = candidates[:, 1:]
            assert negatives.min() >= 1
            assert negatives.max() <= log.num_items
            assert not set(negatives.ravel().tolist()) & touched[tuple(items.tolist())]
            rows += 1
    assert rows == 20 * data.num_windows


def test_negatives_are_uniform_outside_the_history(datasets, config):
    users = [[(1, 3), (4, 3), (2, 3), (4, 3), (6, 1)]]
    splits = split(datasets["make"](users, num_items=8))  # trained on 1 and 4
    config = config.replace(num_negatives=4000, max_length=4)
    ((inputs, _),) = batches(TrainingData(splits, config, seed=0), 0, 1)
    negatives = inputs["candidate_ids"][0, :, 1:]
    share = np.bincount(negatives.ravel(), minlength=9) / negatives.size
    outside = [2, 3, 5, 6, 7, 8]
    assert share[outside].sum() == 1
    assert np.all(np.abs(share[outside] - 1 / 6) < 6 * np.sqrt(5 / 36 / negatives.size))


def test_the_seed_and_the_epoch_decide_alone(log, config):
    splits = split(log)
    data = TrainingData(splits, config, seed=5)
    whole = batches(data, 0, 3)
    again = batches(TrainingData(splits, config, seed=5), 0, 3)
    steps = data.steps_per_epoch
    resumed = batches(data, 2, 3)
    for name in ("item_ids", "behavior_ids", "candidate_ids"):
        assert np.array_equal(joined(whole, name), joined(again, name))
        assert np.array_equal(joined(whole[2 * steps :], name), joined(resumed, name))
        first, second = joined(whole[:steps], name), joined(whole[steps : 2 * steps], name)
        assert not np.array_equal(first, second)
    other = batches(TrainingData(splits, config, seed=6), 0, 1)
    assert not np.array_equal(joined(whole[:steps], "item_ids"), joined(other, "item_ids"))
    # Steps of one epoch differ in their negatives, too.
    assert not np.array_equal(
        whole[0][0]["candidate_ids"][:8, :, 1:], whole[1][0]["candidate_ids"][:8, :, 1:]
    )


def test_fewer_lengths_hold_the_same_events(datasets, config):
    events = [[(1 + n % 9, 1 + n % 3) for n in range(count)] for count in range(2, 60)]
    splits = split(datasets["make"](events, num_items=20))
    config = config.replace(max_length=40, batch_size=4)
    lengths, items = {}, {}
    for few in (False, True):
        found = batches(TrainingData(splits, config, 0, few_lengths=few), 0, 1)
        lengths[few] = {inputs["item_ids"].shape[1] for inputs, _ in found}
        items[few] = np.sort(joined(found, "item_ids"))
    assert lengths[True] == {16, 32, 40}
    assert lengths[False] == {8, 16, 24, 32, 40}
    np.testing.assert_array_equal(*(each[each > 0] for each in items.values()))


def test_histories_are_the_newest_events_left_padded(log, config):
    test = split(log).test
    item_ids, behavior_ids = history_arrays(log, test, config.max_length)
    for row, (start, end) in enumerate(zip(test.starts, test.ends, strict=True)):
        expected = left_padded(log.item_ids[start:end], config.max_length)
        assert item_ids[row].tolist() == expected
        expected = left_padded(log.behavior_ids[start:end], config.max_length)
        assert behavior_ids[row].tolist() == expected
    rows, items = history_items(log, test)
    for row, (start, end) in enumerate(zip(test.starts, test.ends, strict=True)):
        assert items[rows == row].tolist() == log.item_ids[start:end].tolist()


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
    parts = list(evaluation_dataset(splits, splits.test, config, seed=0).as_numpy_iterator())
    targets = np.concatenate([targets["ranking"] for _, targets in parts])
    assert targets.shape == (len(splits.test), 1)
    assert np.all(targets == log.behaviors.target_id)
    positives = np.concatenate([inputs["candidate_ids"] for inputs, _ in parts])[:, 0, 0]
    assert np.array_equal(positives, splits.test.positives)


def test_a_user_who_touched_everything_is_an_error(datasets, config):
    users = [[(1, 3), (2, 3), (1, 3), (2, 3)]]
    with pytest.raises(InputError, match="touched every item"):
        TrainingData(split(datasets["make"](users, num_items=2)), config, 0)


def test_nothing_to_train_on_is_an_error(datasets, config):
    splits = split(datasets["make"]([[(1, 3), (2, 3), (3, 3)]], num_items=9))
    with pytest.raises(InputError, match="two training events"):
        TrainingData(splits, config, 0)


@pytest.mark.parametrize("batching", ["by_length", "mixed"])
def test_shared_negatives_are_one_set_a_window(log, config, batching):
    config = config.replace(
        shared_negatives=True, num_negatives=7, batching=batching, max_length=20, batch_size=5
    )
    splits = split(log)
    rows = 0
    for inputs, targets in batches(TrainingData(splits, config, seed=0), 0, 2):
        count, length = inputs["item_ids"].shape
        assert inputs["candidate_ids"].shape == (count, length, 1)
        assert inputs["negative_ids"].shape == (count, 7)
        assert inputs["negative_ids"].min() >= 1
        for items, next_items, drawn in zip(
            inputs["item_ids"], inputs["candidate_ids"][..., 0], inputs["negative_ids"], strict=True
        ):
            window = {*items.tolist(), *next_items.tolist()} - {0}
            assert not window & set(drawn.tolist())
        rows += count
        assert set(targets) == {"ranking", "behavior"}
    assert rows == 2 * TrainingData(splits, config, seed=0).num_windows
    evaluated, _ = next(evaluation_dataset(splits, splits.test, config, seed=0).as_numpy_iterator())
    assert evaluated["negative_ids"].shape == (len(evaluated["item_ids"]), 0)


def test_new_items_alone_are_ranked(datasets, config):
    users = [[(1, 1), (2, 2), (1, 3), (3, 1), (2, 3), (4, 3), (9, 3), (9, 3)]]
    splits = split(datasets["make"](users, num_items=12))
    config = config.replace(targets="new_items", max_length=10)
    ((inputs, targets),) = batches(TrainingData(splits, config, seed=0), 0, 1)
    assert inputs["candidate_ids"][0, -5:, 0].tolist() == [2, 1, 3, 2, 4]
    # What has been touched is no answer: the item that the position is on is a negative, too.
    assert inputs["candidate_ids"][0, -5:, 1].tolist() == [1, 2, 1, 3, 2]
    assert inputs["candidate_ids"].shape[-1] == 2 + config.num_negatives
    assert targets["ranking"][0, -5:].tolist() == [2, 0, 1, 0, 3]
    assert targets["behavior"][0, -5:].tolist() == [2, 3, 1, 3, 3]


def test_a_model_of_target_events_trains_on_those_alone(log, config):
    splits = split(log)
    target = log.behaviors.target_id
    seen = batches(TrainingData(splits, config.replace(events="target"), seed=0), 0, 1)
    assert {row for inputs, _ in seen for row in np.unique(inputs["behavior_ids"])} == {0, target}
    inputs, _ = next(
        evaluation_dataset(splits, splits.test, config.replace(events="target"), seed=0)
        .unbatch()
        .batch(1000)
        .as_numpy_iterator()
    )
    for row, (start, end) in enumerate(zip(splits.test.starts, splits.test.ends, strict=True)):
        kept = log.item_ids[start:end][log.behavior_ids[start:end] == target]
        assert inputs["item_ids"][row].tolist() == left_padded(kept, config.max_length)
    # Everybody is asked the same, whatever a model sees.
    everything, _ = next(
        evaluation_dataset(splits, splits.test, config, seed=0)
        .unbatch()
        .batch(1000)
        .as_numpy_iterator()
    )
    assert np.array_equal(inputs["candidate_ids"], everything["candidate_ids"])


def test_items_in_random_order_keep_their_events(log, config):
    config = config.replace(order="random", targets="new_items", max_length=20, batch_size=5)
    splits = split(log)
    data = TrainingData(splits, config, seed=0)
    windows = {}
    for user, start, end in training_windows(splits, config).tolist():
        events = zip(log.item_ids[start:end], log.behavior_ids[start:end], strict=True)
        by_item = {}
        for item, behavior in events:
            by_item.setdefault(int(item), []).append(int(behavior))
        windows.setdefault(frozenset((i, tuple(b)) for i, b in by_item.items()), []).append(user)
    orders = []
    for epoch in range(2):
        seen = []
        for inputs, targets in batches(data, epoch, epoch + 1):
            for row in range(len(inputs["item_ids"])):
                ids = inputs["item_ids"][row].tolist()
                real = [place for place, item in enumerate(ids) if item]
                assert real == list(range(len(ids) - len(real), len(ids)))
                last = int(inputs["candidate_ids"][row, -1, 0])
                items = [*(ids[place] for place in real), last]
                behaviors = [*inputs["behavior_ids"][row, real].tolist()]
                behaviors.append(int(targets["behavior"][row, -1]))
                by_item = {}
                for item, behavior in zip(items, behaviors, strict=True):
                    by_item.setdefault(item, []).append(behavior)
                # The events on an item stand side by side and in their order.
                assert len([1 for a, b in itertools.pairwise(items) if a != b]) == len(by_item) - 1
                seen.append(frozenset((i, tuple(b)) for i, b in by_item.items()))
                ranked = targets["ranking"][row, real].tolist()
                news = [later != item for item, later in itertools.pairwise(items)]
                assert [behavior > 0 for behavior in ranked] == news
                orders.append((epoch, tuple(items)))
        assert sorted(map(sorted, seen)) == sorted(
            sorted(window) for window, users in windows.items() for _ in users
        )
    first, second = ({items for e, items in orders if e == epoch} for epoch in range(2))
    assert len(first & second) < len(first) / 2
    again = [inputs["item_ids"] for inputs, _ in batches(data, 1, 2)]
    whole = [inputs["item_ids"] for inputs, _ in batches(data, 0, 2)][data.steps_per_epoch :]
    assert all(np.array_equal(*pair) for pair in zip(again, whole, strict=True))


def test_every_order_of_items_is_as_likely():
    """Of three items, one of them with two events; 6 sigma."""
    rows = 6000
    items = tf.constant([[0, 7, 5, 7, 9]] * rows)
    behaviors = tf.constant([[0, 1, 2, 3, 1]] * rows)
    found, _, is_first = in_random_order(items, behaviors, [3, 4])
    orders, counts = np.unique(found.numpy(), axis=0, return_counts=True)
    assert sorted(map(tuple, orders.tolist())) == sorted(
        {(0, *(x for item in order for x in ([7, 7] if item == 7 else [item])))
         for order in itertools.permutations([5, 7, 9])}
    )  # fmt: skip
    assert np.all(np.abs(counts / rows - 1 / 6) < 6 * np.sqrt(5 / 36 / rows))
    assert is_first.numpy()[:, 1:].sum(axis=1).tolist() == [3] * rows
