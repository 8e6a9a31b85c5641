"""Counted work, against small cases worked out by hand."""

import numpy as np
import pytest
from machine import Machine
from roofline import Counts, Floors, Work, catalog_work, training_work

from hmar_keras import Behaviors, HMARConfig

BATCH = {
    "item_ids": np.array([[0, 5, 6, 5], [0, 0, 0, 7]]),
    "behavior_ids": np.array([[0, 1, 2, 1], [0, 0, 0, 2]]),
    # Candidates at padded positions do not count; a candidate may itself be padding.
    "candidate_ids": np.array([[[5, 9], [6, 8], [5, 3], [1, 2]], [[9, 9]] * 3 + [[4, 0]]]),
}


def _config(**changes):
    return HMARConfig(10, Behaviors(("view", "buy"), "buy"), dim=3, max_length=4, **changes)


def test_counts_real_positions_and_pairs():
    counts = Counts.of(BATCH)
    assert counts.positions == 3 + 1
    assert counts.pairs == (1 + 2 + 3) + 1
    assert counts.behavior_pairs == (1 + 2) + 1 + 1  # view and buy in row 0, buy in row 1
    assert counts.candidates == 2 + 2 + 2 + 1
    assert counts.touched == len({5, 6, 7} | {6, 8, 3, 1, 2, 4})
    assert (counts.padded, counts.padded_pairs) == (2 * 4, 2 * 4 * 4)


def test_mean_of_counts():
    smaller = {name: values[1:] for name, values in BATCH.items()}
    assert Counts.mean([BATCH, smaller]).positions == (4 + 1) / 2


def test_operations_of_the_encoders():
    work = training_work(_config(), Counts.of(BATCH))
    # Q, K, V and two layers of 3 x 3, forward and twice backward; per pair, 2 products forward and
    # 4 backward.
    dense, attention = 3 * 2 * 4 * (5 * 9), 6 * 2 * 3
    assert work["sequence encoder"].flops == dense + 7 * attention
    assert work["behaviour encoder"].flops == dense + 3 * 2 * 4 * 9 + 5 * attention


def test_operations_of_items_and_heads():
    work = training_work(_config(), Counts.of(BATCH))
    assert work["items and positions"].flops == 3 * 2 * 4 * (9 + 2 * 3)
    states = 3 * 2 * 4 * (2 * (9 + 2 * 3) + 2 * 3 * 2)
    candidates = 3 * 2 * 7 * (3 + 2)
    assert work["heads and losses"].flops == states + candidates
    assert work["optimiser"].flops == 0


def test_optimiser_moves_all_dense_weights_and_touched_rows():
    from hmar_keras import HMAR

    config = _config()
    model = HMAR(config)
    dense = model.count_params() - 11 * 3
    # Gradient, weight and two moments are read; the last three are written.
    moved = training_work(config, Counts.of(BATCH))["optimiser"].moved
    assert moved == 4 * (7 * dense + Counts.of(BATCH).touched * (5 * 3 + 2))


def test_bytes_of_the_sequence_encoder():
    moved = training_work(_config(), Counts.of(BATCH))["sequence encoder"].moved
    weights = 5 * 9 + 2 * 3
    activations = 4 * (6 * 3) + 7  # Q, K, V, attended, hidden, output; one weight per pair
    assert moved == 4 * (3 * weights + 2 * activations)


def test_blocks_and_projections_count():
    counts = Counts.of(BATCH)
    one, two = (
        training_work(_config(), counts),
        training_work(_config(num_behavior_blocks=2), counts),
    )
    assert two["behaviour encoder"] == one["behaviour encoder"] + one["behaviour encoder"]
    bare = training_work(_config(variant="release"), counts)["behaviour encoder"]
    assert one["behaviour encoder"].flops - bare.flops == 3 * 2 * 4 * 9


def test_scoring_a_catalogue():
    work = catalog_work(_config(), questions=2)
    assert work == Work(2 * 2 * 10 * 3, 4 * (10 * 3 + 2 * 2 * 10))


def test_floors():
    machine = Machine(flops=1e3, bandwidth=1e3)
    floors = Floors.of({"a": Work(4, 1), "b": Work(1, 3)}, machine)
    assert floors.classic == pytest.approx(5)  # 5 operations, 4 bytes; 1 ms each
    assert floors.by_part == pytest.approx(4 + 3)
    assert floors.one_by_one == pytest.approx(9)
