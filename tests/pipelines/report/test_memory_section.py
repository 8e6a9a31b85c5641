"""What a report says about a memory: its weights, and reasons for the items of one user."""

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from keras import ops

from hmar_keras.layers.memory_parts import memory_weights
from pipelines.description.reason_text import Reason, reason_text
from pipelines.report import memory_section as section
from pipelines.report.one_user import choose_question, top_reasons, walk_through

from .html_page import HTMLPage


@pytest.fixture(scope="module")
def parsed(page):
    return HTMLPage(page)


def test_sets_and_ages_are_those_of_the_model(parsed, opened):
    weights, names = memory_weights(opened.model.memory), opened.behavior_names
    _, *rows = parsed.table("Sets of behaviours")
    assert len(rows) == 2 ** len(names) - 1  # all sets of four behaviours but the empty one
    scores = [float(row[1]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    for name, score, slope in rows:
        index = sum(2 ** names.index(each) for each in name.split(" + "))
        assert (score, slope) == (f"{weights.sets[index]:.3f}", f"{weights.slopes[index]:.3f}")
    header, *rows = parsed.table("How much an event says")
    assert header[1:] == list(names)
    assert [row[0] for row in rows] == ["0", "1", "3", "7"]  # of 8 events at most
    for age, *cells in rows:
        added = weights.shared[:, int(age)] + weights.root[:, int(age)]
        assert cells == [f"{value:.3f}" for value in added]


def test_weak_behaviours_that_share_a_bit_are_alternatives():
    names = tuple("abcdefgh")
    assert section._set_name(1, names) == "a or b or c"
    assert section._set_name(1 + 2 + 32, names) == "a or b or c + d + h"
    weights = SimpleNamespace(sets=np.arange(64.0), slopes=np.zeros(64))
    first, others = section._set_tables(weights, names)
    assert (len(first.rows), len(others.rows)) == (15, 48)
    assert others.folded


def test_each_item_has_a_reason(parsed, opened):
    walk = walk_through(opened, choose_question(opened))
    header, *rows = parsed.table("Full catalogue; scores are logits")
    column = header.index("why")
    assert [row[column] for row in rows] == [reason_text(each) for each in walk.reasons]
    kinds = {each.kind for each in walk.reasons}
    assert "touched" in kinds
    for (_, item, _, counts), reason in zip(walk.top, walk.reasons, strict=True):
        assert (reason.kind == "touched") == (item in walk.item_ids)
        if reason.kind == "touched":
            expected = zip(opened.behavior_names, counts.astype(int).tolist(), strict=True)
            assert list(reason.counts) == list(expected)
            assert reason.ago == np.flatnonzero(walk.item_ids[::-1] == item)[0]


def test_an_event_is_named(opened):
    """The event of the item that shares most sessions with another."""
    memory = opened.model.memory
    table = ops.convert_to_numpy(memory.pairs.pairs).reshape(-1, memory.pairs.num_places, 2)
    item, place = np.unravel_index(table[..., 1].argmax(), table.shape[:2])
    other = int(table[item, place, 0])
    features = {"item_ids": np.array([[item]]), "behavior_ids": np.array([[1]])}
    (reason,) = top_reasons(opened, features, [other])
    items, names = opened.dataset.items, opened.behavior_names
    expected = [(name, 0) for name in names]
    assert reason == Reason("together", items[item - 1], names[0], 0, expected)


def test_without_a_memory_nothing_is_said_of_it(opened):
    with mock.patch.object(opened.model, "memory", None):
        assert section.memory_section(opened) is None
        assert top_reasons(opened, {}, [1]) is None
    assert section.memory_section(opened).name == "memory"
