"""Both batch makers, tf.data on the host and JAX on the device, against the log itself."""

import itertools

import numpy as np
import pytest

from pipelines.protocol.negatives import ExcludedItems
from pipelines.protocol.splits import split
from pipelines.training import host_batches as input_pipeline
from pipelines.training.host_batches import TrainingData

from ..asked_models import data_of, windows_of
from .epochs import epochs_of, left_padded


def joined(batches, name):
    return np.concatenate([inputs[name].ravel() for inputs, _ in batches])


def padded(rows, length):
    """Left-pads rows `[rows, steps]` to `length`."""
    return np.pad(rows, ((0, 0), (length - rows.shape[1], 0)))


@pytest.mark.parametrize("batching", ["by_length", "mixed"])
@pytest.mark.parametrize("windows", ["last", "all"])
def test_an_epoch_is_what_the_log_says(way, log, config, windows, batching):
    config = config.replace(
        training_windows=windows, batching=batching, num_negatives=3, max_length=20, batch_size=5
    )
    splits = split(log)
    data = data_of(way, splits, config, 3, few_lengths=False)
    epoch = epochs_of(data, 0, 1)
    assert len(epoch) == data.steps_per_epoch
    length = config.model.max_length
    expected = []
    for user, start, end in windows_of(splits, config).tolist():
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
            # The first event of a window is not a label: nothing precedes it.
            np.where(inputs["item_ids"] > 0, inputs["candidate_ids"][..., 0], 0),
            targets["ranking"],
        )
        got += np.concatenate([padded(part, length) for part in parts], axis=1).tolist()
    assert sorted(got) == sorted(rest for _, *rest in expected)
    shapes = {inputs["item_ids"].shape for inputs, _ in epoch}
    assert len({length for _, length in shapes}) == (1 if batching == "mixed" else 3)


def test_negatives_never_hit_the_history(way, log, config):
    config = config.replace(num_negatives=5)
    splits = split(log)
    data = data_of(way, splits, config, 0)
    touched = {}
    for user, start, end in windows_of(splits, config).tolist():
        history = set(log.item_ids[splits.train_starts[user] : splits.train_ends[user]].tolist())
        touched[tuple(left_padded(log.item_ids[start:end][:-1], config.model.max_length))] = history
    rows = 0
    for inputs, _ in epochs_of(data, 0, 20):
        histories = padded(inputs["item_ids"], config.model.max_length)
        for items, candidates in zip(histories, inputs["candidate_ids"], strict=True):
            negatives = candidates[:, 1:]
            assert negatives.min() >= 1
            assert negatives.max() <= log.num_items
            assert not set(negatives.ravel().tolist()) & touched[tuple(items.tolist())]
            rows += 1
    assert rows == 20 * data.num_windows


def test_negatives_are_uniform_outside_the_history(way, datasets, config):
    users = [[(1, 3), (4, 3), (2, 3), (4, 3), (6, 1)]]
    splits = split(datasets["make"](users, num_items=8))  # trained on 1 and 4
    config = config.replace(num_negatives=4000, max_length=4)
    ((inputs, _),) = epochs_of(data_of(way, splits, config, 0), 0, 1)
    negatives = inputs["candidate_ids"][0, :, 1:]
    share = np.bincount(negatives.ravel(), minlength=9) / negatives.size
    outside = [2, 3, 5, 6, 7, 8]
    assert share[outside].sum() == 1
    assert np.all(np.abs(share[outside] - 1 / 6) < 6 * np.sqrt(5 / 36 / negatives.size))


def test_the_device_draws_all_items_outside_a_history_and_no_others():
    jax = pytest.importorskip("jax")
    from pipelines.training.device_batches import _negatives

    excluded = ExcludedItems.from_pairs([0, 0, 0, 1], [1, 4, 5, 9], 2, 9)
    held = {"below": excluded.below(), "outside": excluded.outside()}
    held = jax.device_put({**held, "below_starts": excluded.starts})
    users = np.arange(2)[:, None, None]
    drawn = np.asarray(_negatives(held, 2, users, (2, 1, 1000), jax.random.key(0)))
    assert np.unique(drawn[0]).tolist() == [2, 3, 6, 7, 8, 9]
    assert np.unique(drawn[1]).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_seed_and_the_epoch_decide_alone(way, log, config):
    splits = split(log)
    data = data_of(way, splits, config, 5)
    whole = epochs_of(data, 0, 3)
    again = epochs_of(data_of(way, splits, config, 5), 0, 3)
    steps = data.steps_per_epoch
    resumed = epochs_of(data, 2, 3)
    for name in ("item_ids", "behavior_ids", "candidate_ids"):
        assert np.array_equal(joined(whole, name), joined(again, name))
        assert np.array_equal(joined(whole[2 * steps :], name), joined(resumed, name))
        first, second = joined(whole[:steps], name), joined(whole[steps : 2 * steps], name)
        assert not np.array_equal(first, second)
    other = epochs_of(data_of(way, splits, config, 6), 0, 1)
    assert not np.array_equal(joined(whole[:steps], "item_ids"), joined(other, "item_ids"))
    # Steps of one epoch also differ in their negatives.
    assert not np.array_equal(
        whole[0][0]["candidate_ids"][:8, :, 1:], whole[1][0]["candidate_ids"][:8, :, 1:]
    )


def test_fewer_lengths_hold_the_same_events(way, datasets, config):
    events = [[(1 + n % 9, 1 + n % 3) for n in range(count)] for count in range(2, 60)]
    splits = split(datasets["make"](events, num_items=20))
    config = config.replace(max_length=40, batch_size=4)
    lengths, items = {}, {}
    for few in (False, True):
        found = epochs_of(data_of(way, splits, config, 0, few_lengths=few), 0, 1)
        lengths[few] = {inputs["item_ids"].shape[1] for inputs, _ in found}
        items[few] = np.sort(joined(found, "item_ids"))
    assert lengths[True] == {16, 32, 40}
    assert lengths[False] == {8, 16, 24, 32, 40}
    np.testing.assert_array_equal(*(each[each > 0] for each in items.values()))


@pytest.mark.parametrize("batching", ["by_length", "mixed"])
def test_shared_negatives_are_one_set_a_window(way, log, config, batching):
    config = config.replace(
        shared_negatives=True, num_negatives=7, batching=batching, max_length=20, batch_size=5
    )
    splits = split(log)
    rows = 0
    for inputs, targets in epochs_of(data_of(way, splits, config, 0), 0, 2):
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
    assert rows == 2 * data_of(way, splits, config, 0).num_windows


def test_new_items_alone_are_ranked(way, datasets, config):
    users = [[(1, 1), (2, 2), (1, 3), (3, 1), (2, 3), (4, 3), (9, 3), (9, 3)]]
    splits = split(datasets["make"](users, num_items=12))
    config = config.replace(labels="new_items", max_length=10)
    ((inputs, targets),) = epochs_of(data_of(way, splits, config, 0), 0, 1)
    assert inputs["candidate_ids"][0, -5:, 0].tolist() == [2, 1, 3, 2, 4]
    # Touched items are not answers, so the item of a position is also one of its negatives.
    assert inputs["candidate_ids"][0, -5:, 1].tolist() == [1, 2, 1, 3, 2]
    assert inputs["candidate_ids"].shape[-1] == 2 + config.model.num_negatives
    assert targets["ranking"][0, -5:].tolist() == [2, 0, 1, 0, 3]
    assert targets["behavior"][0, -5:].tolist() == [2, 3, 1, 3, 3]


def test_with_a_memory_the_network_learns_new_items(way, datasets, config):
    users = [[(1, 1), (2, 2), (1, 3), (3, 1), (2, 3), (4, 3), (9, 3), (9, 3)]]
    splits = split(datasets["make"](users, num_items=12))
    changes = {"memory": True, "loss": "sampled_softmax", "shared_negatives": True}
    for labels, ranked in (("all", [2, 3, 1, 3, 3]), ("new_items", [2, 0, 1, 0, 3])):
        changed = config.replace(max_length=10, labels=labels, **changes)
        ((inputs, targets),) = epochs_of(data_of(way, splits, changed, 0), 0, 1)
        assert inputs["candidate_ids"][0, -5:, 0].tolist() == [2, 1, 3, 2, 4]
        assert targets["ranking"][0, -5:].tolist() == ranked
        assert targets["behavior"][0, -5:].tolist() == [2, 3, 1, 3, 3]
        assert targets["network"][0, -5:].tolist() == [2, 0, 1, 0, 3]
        for values in targets.values():
            assert not values[0, :-5].any()


def test_a_model_of_target_events_trains_on_those_alone(way, log, config):
    splits = split(log)
    target = log.behaviors.target_id
    seen = epochs_of(data_of(way, splits, config.replace(input_behaviors="target")), 0, 1)
    assert {row for inputs, _ in seen for row in np.unique(inputs["behavior_ids"])} == {0, target}


def test_items_in_random_order_keep_their_events(way, log, config):
    config = config.replace(
        training_order="random", labels="new_items", max_length=20, batch_size=5
    )
    splits = split(log)
    data = data_of(way, splits, config, 0)
    windows = {}
    for user, start, end in windows_of(splits, config).tolist():
        events = zip(log.item_ids[start:end], log.behavior_ids[start:end], strict=True)
        by_item = {}
        for item, behavior in events:
            by_item.setdefault(int(item), []).append(int(behavior))
        windows.setdefault(frozenset((i, tuple(b)) for i, b in by_item.items()), []).append(user)
    orders = []
    for epoch in range(2):
        seen = []
        for inputs, targets in epochs_of(data, epoch, epoch + 1):
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
                # The events on an item are adjacent and keep their order.
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
    again = [inputs["item_ids"] for inputs, _ in epochs_of(data, 1, 2)]
    whole = [inputs["item_ids"] for inputs, _ in epochs_of(data, 0, 2)][data.steps_per_epoch :]
    assert all(np.array_equal(*pair) for pair in zip(again, whole, strict=True))


def test_every_order_of_items_is_as_likely(way):
    """All orders of three items, one with two events, within 6 sigma."""
    rows = 6000
    items = np.array([[0, 7, 5, 7, 9]] * rows, np.int32)
    if way is TrainingData:
        order, is_first = input_pipeline.in_random_order(items, [3, 4])
    else:
        import jax

        from pipelines.training.device_batches import in_random_order

        order, is_first = in_random_order(items, jax.random.key(3))
    found = np.take_along_axis(items, np.asarray(order), axis=1)
    orders, counts = np.unique(found, axis=0, return_counts=True)
    assert sorted(map(tuple, orders.tolist())) == sorted(
        {(0, *(x for item in order for x in ([7, 7] if item == 7 else [item])))
         for order in itertools.permutations([5, 7, 9])}
    )  # fmt: skip
    assert np.all(np.abs(counts / rows - 1 / 6) < 6 * np.sqrt(5 / 36 / rows))
    assert np.asarray(is_first)[:, 1:].sum(axis=1).tolist() == [3] * rows


def test_whom_a_window_meets_is_uniform_among_its_like(way, datasets, config):
    """Ten windows of the same length in two batches: each pair meets in 4 of 9 epochs."""
    users = [[(user, 1)] * 6 for user in range(1, 11)]
    users.append([(12, 3), (13, 3), (14, 3)])  # evaluated; one training event gives no window
    splits = split(datasets["make"](users, num_items=14))
    config = config.replace(batch_size=5, max_length=5, num_negatives=1)
    data = data_of(way, splits, config, 0)
    assert data.num_windows == 10
    assert data.steps_per_epoch == 2
    meetings = np.zeros((11, 11))
    epochs = 600
    for inputs, _ in epochs_of(data, 0, epochs):
        users = inputs["item_ids"][:, -1]
        meetings[np.ix_(users, users)] += 1
    share = meetings[1:, 1:][np.triu_indices(10, 1)] / epochs
    deviation = np.sqrt(4 / 9 * 5 / 9 / epochs)
    assert np.abs(share - 4 / 9).max() < 5 * deviation


def test_batches_of_all_lengths_come_in_an_order_of_chance(way, datasets, config):
    """Four lengths with one batch each: each comes first in a quarter of the epochs."""
    users = [[(1, 1)] * count for count in (9, 17, 25, 33)]
    users.append([(12, 3), (13, 3), (14, 3)])
    splits = split(datasets["make"](users, num_items=14))
    config = config.replace(batch_size=1, max_length=32, num_negatives=1)
    data = data_of(way, splits, config, 0, few_lengths=False)
    epochs = 400
    lengths = [inputs["item_ids"].shape[1] for inputs, _ in epochs_of(data, 0, epochs)]
    orders = np.reshape(lengths, (epochs, -1))
    assert np.all(np.sort(orders, axis=1) == np.unique(orders))
    share = np.mean(orders[:, 0, None] == np.unique(orders), axis=0)
    assert np.abs(share - 1 / 4).max() < 5 * np.sqrt(3 / 16 / epochs)


def test_every_batch_epoch_and_position_has_its_own_draw(way, datasets, config):
    """With identical users, only the draw can differ."""
    users = [[(1, 1), (2, 1), (3, 1), (4, 1)]] * 32 + [[(5, 3), (6, 3), (7, 3)]]
    splits = split(datasets["make"](users, num_items=10_000))
    config = config.replace(batch_size=16, max_length=3, num_negatives=2)
    drawn = [
        inputs["candidate_ids"][:, :, 1:].ravel().tolist()
        for seed in range(2)
        for inputs, _ in epochs_of(data_of(way, splits, config, seed), 0, 2)
    ]
    assert len(drawn) == 8
    # 96 of 9,996 numbers per batch; two draws share about one number in a hundred.
    for one, other in itertools.combinations(drawn, 2):
        assert len(set(one) & set(other)) < 20
    assert all(len(set(each)) > 85 for each in drawn)


@pytest.mark.backends
def test_the_host_and_the_device_have_the_same_windows(log, config):
    """Except for their order, the rows are the same, with as many of every length."""
    pytest.importorskip("jax")
    from pipelines.training.device_batches import DeviceBatches

    config = config.replace(max_length=20, batch_size=5)
    found = []
    for data in (
        data_of(TrainingData, split(log), config, few_lengths=True),
        data_of(DeviceBatches, split(log), config),
    ):
        epoch = epochs_of(data, 0, 1)
        shapes = sorted(inputs["item_ids"].shape for inputs, _ in epoch)
        rows = [padded(inputs["item_ids"], 20).tolist() for inputs, _ in epoch]
        found.append((shapes, sorted(itertools.chain.from_iterable(rows))))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("steps", "at_most", "host", "device"),
    [(12, 1, 1, 1), (12, 8, 6, 8), (12, 99, 12, 12), (7, 6, 1, 6), (4, 16, 4, 4)],
)
def test_an_execution_ends_with_the_epoch(way, datasets, config, steps, at_most, host, device):
    """tf.data continues into the next epoch, so there an execution must divide the epoch."""
    users = [[(1, 1), (2, 1)] for _ in range(steps)] + [[(12, 3), (13, 3), (14, 3)]]
    splits = split(datasets["make"](users, num_items=14))
    data = data_of(way, splits, config.replace(batch_size=1))
    assert data.steps_per_epoch == steps
    assert data.steps_per_execution(at_most) == (host if way is TrainingData else device)
