"""The initial values of a model's items."""

import keras
import numpy as np
import pytest
from keras import ops

from hmar_keras.layers import ItemTable
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import touched_items
from pipelines.training.fit import train
from pipelines.training.item_initialization import cooccurrence_embeddings
from pipelines.training.run_directory import RunDirectory


def table_of(num_items, dim):
    keras.utils.set_random_seed(0)
    table = ItemTable(num_items + 1, dim)
    table.build()
    return table


def start_from_cooccurrence(table, splits):
    """Fills a table like a model's `prepare`."""
    old = np.array(ops.convert_to_numpy(table.embeddings))
    table.embeddings.assign(cooccurrence_embeddings(old, splits))


def test_touched_items_are_those_of_the_training_events(log):
    splits = split(log)
    expected = np.zeros((log.num_users, log.num_items + 1), np.float32)
    for user in range(log.num_users):
        for event in range(log.offsets[user], splits.train_ends[user]):
            expected[user, log.item_ids[event]] = 1
    np.testing.assert_array_equal(touched_items(splits).toarray(), expected)


def test_products_are_those_of_the_normalised_matrix(log):
    """Compares with NumPy's dense eigenvectors of the items' co-occurrence."""
    splits = split(log)
    table = table_of(log.num_items, 6)
    random = np.array(ops.convert_to_numpy(table.embeddings))
    start_from_cooccurrence(table, splits)
    rows = np.array(ops.convert_to_numpy(table.embeddings))

    touched = touched_items(splits).toarray()
    weighted = touched / np.sqrt(np.maximum(touched.sum(1, keepdims=True), 1))
    weighted /= np.sqrt(np.maximum(touched.sum(0, keepdims=True), 1))
    values, vectors = np.linalg.eigh(weighted.T @ weighted)
    best = vectors[:, -6:] * values[-6:] ** 0.25  # eigenvalues are squared singular values
    unit = best[1:] / np.linalg.norm(best[1:], axis=1, keepdims=True)
    ours = rows[1:] / np.linalg.norm(rows[1:], axis=1, keepdims=True)
    np.testing.assert_allclose(ours @ ours.T, unit @ unit.T, atol=1e-4)
    length = np.sqrt(np.mean(np.sum(random**2, axis=1)))
    np.testing.assert_allclose(np.linalg.norm(rows[1:], axis=1), length, rtol=1e-5)


def test_untouched_items_and_padding_keep_their_random_rows(datasets):
    events = [[(1, 3), (2, 3), (4, 3), (5, 3), (6, 3)], [(2, 1), (4, 1)], [(1, 1), (2, 2)]]
    splits = split(datasets["make"](events, num_items=9))  # 5 and 6 are held out, 3 never occurs
    table = table_of(9, 2)
    random = np.array(ops.convert_to_numpy(table.embeddings))
    start_from_cooccurrence(table, splits)
    rows = np.array(ops.convert_to_numpy(table.embeddings))
    moved = np.any(rows != random, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(moved), [1, 2, 4])


def test_columns_beyond_the_rank_stay_random(datasets):
    splits = split(datasets["make"]([[(1, 3), (2, 3), (4, 3), (5, 3)], [(2, 1), (4, 1)]]))
    table = table_of(5, 8)
    random = np.array(ops.convert_to_numpy(table.embeddings))
    start_from_cooccurrence(table, splits)  # two users give only one vector
    rows = np.array(ops.convert_to_numpy(table.embeddings))
    np.testing.assert_array_equal(rows[:, 1:], random[:, 1:])
    assert np.any(rows[:, 0] != random[:, 0])


@pytest.mark.slow
def test_a_model_of_the_target_behaviour_starts_from_its_events_alone(log, config, tmp_path):
    config = config.replace(
        input_behaviors="target", epochs=1, item_start="cooccurrence", learning_rate=1e-12
    )
    trained = train(split(log), config, RunDirectory.create(tmp_path / "a", {}, config), seed=0)
    keras.utils.set_random_seed(0)
    expected = config.build_model()
    start_from_cooccurrence(expected.item_table, split(log).visible("target"))
    np.testing.assert_allclose(
        expected.item_table.embeddings, trained.item_table.embeddings, atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["hmar", "sasrec"])
def test_training_starts_there_and_is_repeated(model, log, config, tmp_path):
    """The first epoch starts from the vectors; with a learning rate near 0 it also ends there."""
    config = config.replace(
        model=model, epochs=1, item_start="cooccurrence", learning_rate=1e-12, dropout=0.0
    )
    trained = train(split(log), config, RunDirectory.create(tmp_path / "a", {}, config), seed=3)
    keras.utils.set_random_seed(3)
    expected = config.build_model()
    assert not np.allclose(expected.item_table.embeddings, trained.item_table.embeddings)
    start_from_cooccurrence(expected.item_table, split(log))
    np.testing.assert_allclose(
        expected.item_table.embeddings, trained.item_table.embeddings, atol=1e-6
    )
    again = train(split(log), config, RunDirectory.create(tmp_path / "b", {}, config), seed=3)
    for one, other in zip(trained.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
