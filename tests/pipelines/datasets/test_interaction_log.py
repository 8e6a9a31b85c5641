import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmar_keras.schema import Behaviors
from pipelines.datasets import interaction_dataset
from pipelines.datasets.interaction_log import group_by_user
from pipelines.runtime.errors import InputError

BEHAVIORS = Behaviors(("view", "cart", "buy"), "buy")


def group(rows, id_type=None):
    users, items, behavior_ids, timestamps = zip(*rows, strict=True)
    return group_by_user(
        "log",
        BEHAVIORS,
        True,
        users=np.array(users, id_type),
        items=np.array(items, id_type),
        behavior_ids=np.array(behavior_ids),
        timestamps=np.array(timestamps),
    )


def slowly(rows):
    """Returns the histories by user id, and the two vocabularies, without NumPy."""

    def shortlex(ids):
        return sorted({str(each) for each in ids}, key=lambda text: (len(text), text))

    users = shortlex(row[0] for row in rows)
    items = shortlex(row[1] for row in rows)
    histories = []
    for user in users:
        own = sorted((row for row in rows if str(row[0]) == user), key=lambda row: row[3])
        histories.append([(items.index(str(i)) + 1, b, t) for _, i, b, t in own])
    return users, items, histories


def histories_of(dataset):
    spans = zip(dataset.offsets[:-1], dataset.offsets[1:], strict=True)
    columns = (dataset.item_ids, dataset.behavior_ids, dataset.timestamps)
    return [list(zip(*(c[s:e].tolist() for c in columns), strict=True)) for s, e in spans]


def logs(ids):
    events = st.tuples(ids, ids, st.integers(1, 3), st.integers(-3, 3))
    return st.lists(events, min_size=1, max_size=40)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(logs(st.integers(0, 120)))
def test_numeric_ids_against_reference(rows):
    dataset = group(rows)
    users, items, histories = slowly(rows)
    assert dataset.users.tolist() == users
    assert dataset.items.tolist() == items
    assert histories_of(dataset) == histories


@given(logs(st.integers(-20, 20)))
def test_negative_ids_against_reference(rows):
    dataset = group(rows)
    assert (dataset.users.tolist(), dataset.items.tolist(), histories_of(dataset)) == slowly(rows)


@pytest.mark.parametrize("id_type", [None, object])
@given(rows=logs(texts))
def test_text_ids_against_reference(rows, id_type):
    dataset = group(rows, id_type)
    assert (dataset.users.tolist(), dataset.items.tolist(), histories_of(dataset)) == slowly(rows)


def test_shards_hold_the_users_one_after_the_other(log, monkeypatch):
    monkeypatch.setattr(interaction_dataset, "_EVENTS_PER_SHARD", 100)
    shards = [read() for read in log.shards()]
    assert len(shards) > 2
    assert [user for each in shards for user in each.users] == log.users.tolist()
    found = [events for each in shards for events in histories_of(each)]
    assert found == histories_of(log)


def test_types_and_defaults():
    dataset = group([(7, 30, 1, 2.5), (7, 4, 3, 2.25)])
    assert dataset.items.tolist() == ["4", "30"]
    assert dataset.item_ids.tolist() == [1, 2]  # fractions decide the order
    assert dataset.timestamps.tolist() == [2, 2]
    assert dataset.offsets.dtype == np.int64
    assert dataset.item_ids.dtype == dataset.behavior_ids.dtype == np.int32
    assert dataset.timestamps.dtype == np.int64
    assert dataset.held_out_items.tolist() == [0]
    assert not dataset.has_official_test


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"items": [1]}, "same length, got user 2, item 1, behavior 2, timestamp 2"),
        ({"users": [[1, 2]]}, "field user must be one column"),
        ({"behavior_ids": [1, 4]}, "field behavior must be from 1 to 3, got 4 in row 2"),
        ({"behavior_ids": [0, 1]}, "field behavior must be from 1 to 3, got 0 in row 1"),
        ({"behavior_ids": [1.0, 2.0]}, "field behavior must hold whole numbers"),
        ({"timestamps": [1.0, np.nan]}, "field timestamp must hold finite times .* got nan in row"),
        ({"timestamps": [np.inf, 1.0]}, "field timestamp must hold finite times .* got inf in row"),
        ({"timestamps": ["a", "b"]}, "field timestamp must hold numbers"),
        ({"users": [1.5, 2.0]}, "field user must hold ids as text or as whole numbers, got .*1.5"),
        ({"items": np.array(["a", None])}, "field item must hold ids as text .* got None"),
        ({"items": ["a", ""]}, "field item is empty in row 2"),
        ({"users": [], "items": [], "behavior_ids": [], "timestamps": []}, "the log is empty"),
    ],
)
def test_bad_columns_are_named(changed, message):
    columns = {"users": [1, 2], "items": [3, 4], "behavior_ids": [1, 2], "timestamps": [5, 6]}
    with pytest.raises(InputError, match=message) as caught:
        group_by_user("my_log", BEHAVIORS, True, **(columns | changed))
    assert str(caught.value).startswith("my_log")
    assert "\n" not in str(caught.value)
