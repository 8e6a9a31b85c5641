import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.protocol.negatives import ExcludedItems, sample_distinct, sample_weighted
from pipelines.runtime.errors import InputError

SETS = st.lists(st.sets(st.integers(1, 12), max_size=11), min_size=1, max_size=6)


def collected(sets, num_items=12):
    rows = [row for row, items in enumerate(sets) for item in items]
    items = [item for items in sets for item in items]
    return ExcludedItems.from_pairs(rows, items, len(sets), num_items)


@settings(deadline=None, derandomize=True)
@given(SETS)
def test_items_at_enumerates_exactly_the_complement(sets):
    excluded = collected(sets)
    for row, items in enumerate(sets):
        complement = [item for item in range(1, 13) if item not in items]
        assert excluded.outside()[row] == len(complement)
        places = np.arange(len(complement))
        assert excluded.items_at(np.full(len(places), row), places).tolist() == complement


@settings(deadline=None, derandomize=True)
@given(SETS, st.integers(1, 12), st.integers(0, 5))
def test_samples_are_distinct_and_outside(sets, count, seed):
    excluded = collected(sets)
    sample = sample_distinct(excluded, count, seed)
    fewest = min(12 - len(items) for items in sets)
    assert sample.shape == (len(sets), min(count, fewest))
    for row, items in zip(sample.tolist(), sets, strict=True):
        assert len(set(row)) == len(row)
        assert not set(row) & items
        assert all(1 <= item <= 12 for item in row)
    assert np.array_equal(sample, sample_distinct(excluded, count, seed))


def test_samples_are_uniform():
    # 3 of 6 items, 20,000 times: each item is drawn half of the time. The bound is 6 sigma.
    excluded = collected([{2, 5}] * 20_000, num_items=8)
    sample = sample_distinct(excluded, 3, seed=1)
    share = np.bincount(sample.ravel(), minlength=9)[[1, 3, 4, 6, 7, 8]] / 20_000
    assert np.all(np.abs(share - 0.5) < 6 * np.sqrt(0.25 / 20_000))


def weighted(sets, weights, count, seed=0):
    rows = np.array([row for row, items in enumerate(sets) for item in items], np.int64)
    items = np.array([item for items in sets for item in items], np.int64)
    return sample_weighted(rows, items, len(sets), weights, count, seed)


@settings(deadline=None, derandomize=True)
@given(SETS, st.integers(1, 12), st.integers(0, 5))
def test_weighted_samples_are_distinct_and_outside(sets, count, seed):
    weights = np.random.default_rng(seed).integers(0, 9, 13)
    weights[1] = 1
    sample = weighted(sets, weights, count, seed)
    assert sample.shape == (len(sets), min(count, *(12 - len(items) for items in sets)))
    for row, items in zip(sample.tolist(), sets, strict=True):
        assert len(set(row)) == len(row)
        assert not set(row) & items
        assert all(1 <= item <= 12 for item in row)
        # Items without weight are drawn only if no others are left.
        left = [i for i in range(1, 13) if i not in items and i not in row and weights[i] > 0]
        assert not left or all(weights[item] > 0 for item in row)
    assert np.array_equal(sample, weighted(sets, weights, count, seed))


def test_items_are_drawn_by_their_weight():
    """Two draws without replacement match the closed form. The bound is 6 sigma."""
    weights, rows = np.array([9.0, 1, 2, 3, 4]), 40_000
    sample = weighted([{2}] * rows, weights, 2)
    left = {1: 1, 3: 3, 4: 4}
    for item, weight in left.items():
        first = weight / 8
        second = sum(other / 8 * weight / (8 - other) for o, other in left.items() if o != item)
        share = np.mean((sample == item).any(axis=1))
        assert abs(share - first - second) < 6 * np.sqrt(0.25 / rows)
    assert not (sample == 2).any()


def test_nothing_to_sample_is_an_error():
    with pytest.raises(InputError, match="touched every item"):
        sample_distinct(collected([{1, 2}], num_items=2), 1, 0)
    with pytest.raises(InputError, match="touched every item"):
        weighted([{1, 2}], np.ones(3), 1)
