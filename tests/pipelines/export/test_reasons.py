"""Exports of models with a memory say, in names, why they recommend an item."""

import numpy as np
import pytest
import tensorflow as tf

from hmar_keras.reasons import KINDS, reasons
from pipelines.description.reason_text import Reason, reason_text
from pipelines.export import export
from pipelines.export.loaded_export import Recommender
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity
from pipelines.runtime.errors import InputError

from ..exports import memory_model

NAMES = ("view", "cart", "buy")
HISTORIES = [
    [("i3", "view"), ("i7", "view"), ("i3", "cart"), ("i9", "view")],
    [("i5", "buy")],
    # Longer than `max_length`: i30 and the first view of i1 are out of sight.
    [(f"i{item}", "view") for item in (30, 1, 2, 8, 1, 4, 1, 12)],
]


@pytest.fixture(scope="module")
def remembering(log):
    return memory_model(log)


@pytest.fixture(scope="module")
def exported(remembering, log, tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "shop"
    return export(remembering, log.items, item_popularity(split(log)), directory, {})


@pytest.fixture(scope="module")
def recommender(exported):
    return Recommender(exported)


def in_process(model, history, items):
    """Returns the model's reasons for items, as arrays `[items]`, and the events that it sees."""
    seen = history[-model.config.max_length :]
    ids = np.array([[int(item[1:]) for item, _ in seen]])
    behaviors = np.array([[NAMES.index(name) + 1 for _, name in seen]])
    asked = np.array([[int(item[1:]) for item in items]])
    found = reasons(model, {"item_ids": ids, "behavior_ids": behaviors}, asked)
    return {name: np.asarray(value)[0] for name, value in vars(found).items()}, seen


@pytest.mark.parametrize("history", HISTORIES)
def test_every_item_has_the_reason_that_the_model_has(remembering, recommender, history, log):
    items = log.items.tolist()
    expected, seen = in_process(remembering, history, items)
    told = recommender.reasons(history, items)
    for row, reason in enumerate(told):
        kind = KINDS[expected["kinds"][row]]
        assert reason.kind == kind
        if kind in ("popularity", "network"):
            assert (reason.item, reason.behavior, reason.ago) == ("", "", -1)
        else:
            event = int(expected["events"][row])
            assert (reason.item, reason.behavior) == seen[event]
            assert reason.ago == len(seen) - 1 - event
        counts = [sum(event == (items[row], name) for event in seen) for name in NAMES]
        assert list(reason.counts) == list(zip(NAMES, counts, strict=True))
    assert {reason.kind for reason in told} >= {"touched", "together"}


def test_all_rows_of_a_batch_and_what_is_unknown(exported, recommender):
    signature = tf.saved_model.load(str(exported)).signatures["reasons"]
    history = HISTORIES[0]
    rows = [history, [("", "")] * 4, [("?", "view"), ("", ""), *history[2:]]]
    answer = signature(
        items=tf.constant([[item for item, _ in row] for row in rows]),
        behaviors=tf.constant([[behavior for _, behavior in row] for row in rows]),
        candidates=tf.constant([["i3", "nothing", "i8"]] * 3),
    )
    told = {name: values.numpy() for name, values in answer.items()}
    assert told["unknown"].tolist() == [0, 0, 1]
    assert told["names"].astype(str).tolist() == [list(NAMES)] * 3
    kinds = told["kinds"].astype(str)
    assert kinds[:, 0].tolist() == ["touched", "popularity", "touched"]
    assert kinds[1].tolist() == ["popularity", "", "popularity"]  # as `recommend` ranks
    assert told["counts"][:, 0].tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]
    for name, nothing in {"kinds": "", "items": "", "behaviors": "", "ago": -1}.items():
        assert set(told[name][:, 1].astype(type(nothing)).tolist()) == {nothing}
    assert not told["shares"][:, 1].any() and not told["counts"][:, 1].any()
    assert told["shares"][0, 0] == 1
    assert recommender.reasons([], ["i8"]) == [
        Reason("popularity", "", "", -1, [(name, 0) for name in NAMES])
    ]
    assert recommender.reasons(history, []) == []


def test_words():
    counts = [("view", 2), ("cart", 0), ("buy", 1)]
    touched = Reason("touched", "Lamp", "view", ago=3, counts=counts)
    assert reason_text(touched) == "you: view x2, buy, last 3 events ago"
    assert "1 event ago" in reason_text(Reason("touched", ago=1, counts=counts))
    assert reason_text(Reason("touched", ago=0, counts=counts)).endswith("the newest event")
    assert reason_text(Reason("together", "Desk", "buy")) == "goes with Desk (buy)"
    words = [reason_text(Reason(kind)) for kind in ("popularity", "network")]
    assert words == ["popular", "the model's network"]


@pytest.mark.slow
def test_a_model_without_a_memory_gives_none(version):
    recommender = Recommender(version)
    with pytest.raises(InputError, match=r"no memory; omit --explain"):
        recommender.reasons([("i3", "view")], ["i3"])
