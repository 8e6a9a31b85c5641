"""The initial values of a model's items."""

import keras
import numpy as np
import pytest
from keras import ops

from hmar_keras.layers import ItemNeighbors, ItemTable
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import touched_items
from pipelines.training import item_initialization
from pipelines.training.fit import train
from pipelines.training.item_initialization import cooccurrence_embeddings, find_neighbors
from pipelines.training.run_directory import RunDirectory

MAX_LENGTH = 3  # of the model's input


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


def neighbors_of(splits, num_neighbors, weight=1.0):
    layer = ItemNeighbors(splits.dataset.num_items, num_neighbors, 3)
    layer.build((None, None))
    layer.assign_neighbors(*find_neighbors(splits, num_neighbors, MAX_LENGTH, weight))
    return layer


def weights_of(layer):
    weights = (layer.neighbor_ids, layer.similarities, layer.user_shares)
    return [np.array(ops.convert_to_numpy(weight)) for weight in weights]


def cosines(touched):
    """Returns item similarities, by NumPy's dense product of all pairs, without self-similarity."""
    lengths = np.sqrt(np.maximum(touched.sum(axis=0), 1))
    alike = touched.T @ touched / lengths[:, None] / lengths[None]
    np.fill_diagonal(alike, 0)
    return alike


@pytest.mark.parametrize("num_neighbors", [1, 3, 40])
def test_neighbors_are_the_most_alike_items(log, num_neighbors, monkeypatch):
    monkeypatch.setattr(item_initialization, "_PAIRS_AT_ONCE", 50)
    splits = split(log)
    ids, similarities, shares = weights_of(neighbors_of(splits, num_neighbors))
    touched = touched_items(splits).toarray().astype(float)
    alike = cosines(touched)
    scale = similarities.max() / alike.max()
    lengths = np.sqrt(np.maximum(touched.sum(axis=0), 1))
    np.testing.assert_allclose(shares, np.sqrt(scale) / lengths, rtol=1e-5)
    assert np.all(np.diff(ids, axis=1) >= 0)
    np.testing.assert_array_equal(similarities[ids == 0], 0)
    for item, (row, values) in enumerate(zip(ids, similarities / scale, strict=True)):
        best = np.argsort(-alike[item], kind="stable")[:num_neighbors]
        best = best[alike[item, best] > 0]
        assert len(np.unique(row[row > 0])) == np.count_nonzero(row) == len(best)
        np.testing.assert_allclose(values[row > 0], alike[item, row[row > 0]], rtol=1e-5)
        np.testing.assert_allclose(np.sort(values[row > 0]), np.sort(alike[item, best]), rtol=1e-5)


def test_alone_they_foretell_the_log_best(log):
    """Any other scale predicts worse, by NumPy's dense softmax over all users."""
    splits = split(log)
    ids, similarities, shares = weights_of(neighbors_of(splits, 4))
    alike = np.zeros((log.num_items + 1,) * 2)
    np.put_along_axis(alike, ids, similarities, axis=1)
    alike[:, 0] = 0

    def loss(times):
        losses = []
        for user in range(log.num_users):
            items = log.item_ids[log.offsets[user] : splits.train_ends[user]]
            if len(items) < 2:
                continue
            others = [item for item in items[-1 - MAX_LENGTH : -1] if item != items[-1]]
            scores = alike[others].sum(axis=0)
            own = shares[others] * shares[items[-1]] * (alike[others, items[-1]] > 0)
            answer = scores[items[-1]] - own.sum()
            scores = np.delete(scores, [0, *items])
            losses.append(np.log(np.exp(times * np.append(scores, answer)).sum()) - times * answer)
        return np.mean(losses)

    assert log.num_users < 1000  # all users are used
    assert np.max(splits.train_ends - log.offsets[:-1]) > MAX_LENGTH + 1
    assert loss(1) < min(loss(0.97), loss(1.03), loss(0.5), loss(2), loss(0))


def test_their_weight_is_what_it_is_multiplied_by(log):
    ids, similarities, shares = weights_of(neighbors_of(split(log), 4))
    same, doubled, shares_of_doubled = weights_of(neighbors_of(split(log), 4, weight=2.0))
    np.testing.assert_array_equal(same, ids)
    np.testing.assert_allclose(doubled, 2 * similarities, rtol=1e-6)
    np.testing.assert_allclose(shares_of_doubled**2, 2 * shares**2, rtol=1e-6)


def test_what_is_taken_off_in_training_is_what_the_user_added(log):
    """As if the user had not been counted, except in the norms of the items' rows."""
    splits = split(log)
    layer = neighbors_of(splits, log.num_items)
    touched = touched_items(splits).toarray().astype(float)
    scale = weights_of(layer)[1].max() / cosines(touched).max()
    lengths = np.sqrt(np.maximum(touched.sum(axis=0), 1))
    tried = 0
    for user in range(8):
        items = np.flatnonzero(touched[user]).astype("int32")
        others = np.delete(touched, user, axis=0)
        expected = scale * (others.T @ others) / lengths[:, None] / lengths[None]
        np.fill_diagonal(expected, 0)
        # Each item is a history by itself, and the last item is the answer to all of them.
        histories, answers = items[:, None], np.full((len(items), 1, 1), items[-1])
        actual = layer(histories, np.ones_like(histories), answers, training=True)
        actual = ops.convert_to_numpy(actual)[:, 0, 0]
        np.testing.assert_allclose(actual, expected[items, items[-1]], atol=1e-5)
        tried += np.count_nonzero(actual)
    assert tried > 5


@pytest.mark.slow
def test_a_trained_model_keeps_its_neighbors(log, config, tmp_path):
    config = config.replace(num_neighbors=4, max_length=MAX_LENGTH, epochs=2)
    run = RunDirectory.create(tmp_path / "a", {}, config)
    train(split(log), config, run, seed=0, until=1)
    model = train(split(log), config, run, seed=0)
    expected = neighbors_of(split(log), 4)
    for ours, other in zip(
        model.neighbors.non_trainable_weights, expected.non_trainable_weights, strict=True
    ):
        np.testing.assert_array_equal(*(ops.convert_to_numpy(x) for x in (ours, other)))
    assert not np.array_equal(ops.convert_to_numpy(model.neighbors.gain), np.ones(3))
    loaded = keras.saving.load_model(run.model)
    history = {
        "item_ids": np.array([[0, 1, 2]], "int32"),
        "behavior_ids": np.array([[0, 1, 3]], "int32"),
    }
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(each.score_catalog(history)) for each in (model, loaded))
    )
