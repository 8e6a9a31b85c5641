import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.training.batch_plan import BatchPlan, padded_lengths

property_test = settings(deadline=None, max_examples=50, derandomize=True, database=None)


def plan_of(lengths, config, **changes):
    config = config.replace(**changes)
    return BatchPlan.of(np.asarray(lengths), config.training, config.model.max_length)


def cut(plan):
    """Returns the windows and the length of each batch, for one order of windows within a class."""
    order = np.argsort(plan.classes, kind="stable")
    rows = np.split(order, plan.starts[1:-1])
    return list(zip(rows, plan.lengths.tolist(), strict=True))


def skewed_lengths(count, longest, seed=0):
    drawn = np.random.default_rng(seed).lognormal(np.log(longest / 5), 0.9, count)
    return np.clip(drawn.astype(int), 1, longest)


@property_test
@given(length=st.integers(1, 2000), longest=st.integers(1, 2000))
def test_fewer_lengths_are_enough_and_less_than_twice_too_long(length, longest):
    length = min(length, longest)
    padded = int(padded_lengths(length, longest, few=True))
    assert length <= padded <= longest
    assert padded < max(2 * length, 17)


@property_test
@given(
    length=st.integers(1, 2000),
    longest=st.integers(1, 2000),
    step=st.sampled_from([1, 2, 4, 8]),
)
def test_padding_is_enough_and_little(length, longest, step):
    length = min(length, longest)
    padded = int(padded_lengths(length, longest, step=step))
    assert length <= padded <= longest
    assert padded < length + step or padded <= length * (1 + step / 64)
    assert padded % step == 0 or padded == longest


@pytest.mark.parametrize(
    ("windows", "step"),
    # 48 lengths are 6 classes in steps of 8, 12 of 4, 24 of 2; 8 batches of 16 are 128 windows.
    [(100, 8), (12 * 128 - 1, 8), (12 * 128, 4), (24 * 128 - 1, 4), (24 * 128, 2), (48 * 128, 1)],
)
def test_the_more_windows_the_finer_the_classes(config, windows, step):
    lengths = np.resize(np.arange(1, 49), windows)
    plan = plan_of(lengths, config, max_length=48, batch_size=16)
    expected = padded_lengths(lengths, 48, step=step)
    np.testing.assert_array_equal(np.unique(48 - plan.classes), np.unique(expected))
    training = config.training.replace(batch_size=16)
    few = BatchPlan.of(lengths, training, 48, few_lengths=True)
    assert set(48 - few.classes) == {16, 32, 48}


def test_there_are_few_lengths():
    assert len(set(padded_lengths(np.arange(1, 51), 50).tolist())) == 7
    assert len(set(padded_lengths(np.arange(1, 151), 150).tolist())) == 18
    assert len(set(padded_lengths(np.arange(1, 1001), 1000).tolist())) == 16 + 8 + 8 + 8
    few = padded_lengths(np.arange(1, 151), 150, few=True)
    assert sorted(set(few.tolist())) == [16, 32, 64, 128, 150]


@pytest.mark.parametrize("batching", ["by_length", "mixed"])
def test_every_window_comes_once_an_epoch_and_fits(config, batching):
    lengths = skewed_lengths(999, 100)
    plan = plan_of(lengths, config, max_length=100, batching=batching, batch_size=32)
    batches = cut(plan)
    assert plan.num_batches == len(batches)
    windows = np.concatenate([rows for rows, _ in batches])
    assert sorted(windows.tolist()) == list(range(999))
    assert all(lengths[rows].max() <= length for rows, length in batches)


def test_batches_have_about_the_same_number_of_events(config):
    lengths = skewed_lengths(80_000, 150)
    plan = plan_of(lengths, config, max_length=150, batch_size=128)
    assert plan.num_batches == pytest.approx(80_000 / 128, rel=0.03)
    positions = [len(rows) * length for rows, length in cut(plan)]
    budget = 128 * padded_lengths(lengths, 150, step=2).mean()
    full = sorted(positions)[1:]  # the last batch holds the rest
    assert min(full) > 0.95 * budget
    assert max(full) < 1.05 * budget
    # Little is padding; padded to one length, most of it would be.
    assert sum(lengths) > 0.95 * sum(positions)
    assert sum(lengths) < 0.35 * 150 * len(lengths)


def test_a_batch_of_one_length_has_one_shape(config):
    plan = plan_of(skewed_lengths(5000, 150), config, max_length=150, batch_size=64)
    shapes = {(len(rows), length) for rows, length in cut(plan)}
    assert len(shapes) <= len({length for _, length in shapes}) + 1  # and a last, smaller batch


def test_mixed_batches_are_of_the_size_and_length_asked_for(config):
    plan = plan_of(skewed_lengths(100, 50), config, max_length=50, batching="mixed", batch_size=16)
    shapes = sorted((len(rows), length) for rows, length in cut(plan))
    assert shapes == [(4, 50), *[(16, 50)] * 6]


def test_a_window_longer_than_the_budget_is_a_batch(config):
    plan = plan_of([1] * 50 + [48], config, batch_size=1, max_length=48)
    sizes = [len(rows) for rows, length in cut(plan) if length == 48]
    assert sizes == [1]
    assert dataclasses.asdict(plan)["starts"][-1] == 51
