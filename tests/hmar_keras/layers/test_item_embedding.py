import numpy as np
import pytest
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import ItemEmbedding

ITEMS, DIM = 5, 4


@pytest.fixture
def layer():
    layer = ItemEmbedding(ITEMS, DIM)
    layer.build((None, None))
    randomize(layer)
    return layer


@pytest.mark.parametrize("item_buckets", [0, 2])
def test_layer(tmp_path, item_buckets):
    items = np.array([[0, 1, 2], [3, 4, 5]], "int32")
    kwargs = {"num_items": ITEMS, "dim": DIM, "scale_embeddings": True}
    run_layer_test(ItemEmbedding, {**kwargs, "item_buckets": item_buckets}, (items,), tmp_path)


def test_history_and_candidates_have_one_embedding(layer):
    table = ops.convert_to_numpy(layer.item_table.embeddings)
    items = np.array([[0, 3, 5]], "int32")
    encoded = ops.convert_to_numpy(layer(items))
    assert_close(encoded[0], np.stack([np.zeros(DIM), table[3], table[5]]))

    rng = np.random.default_rng(0)
    states = rng.normal(size=(1, 3, DIM)).astype("float32")
    candidates = np.array([[[1, 0], [4, 2]]], "int32")  # for the last two states
    negatives = np.array([[5, 1, 3]], "int32")
    scores = ops.convert_to_numpy(layer(candidates, states, negatives))
    for step in range(2):
        state = states[0, 1 + step]
        own = [state @ table[item] if item else 0.0 for item in candidates[0, step]]
        assert_close(scores[0, step], [*own, *(state @ table[item] for item in (5, 1, 3))])
    catalog = ops.convert_to_numpy(layer.item_table.dot_all_items(states[:, -1]))
    assert_close(catalog[0, 1:], table[1:] @ states[0, -1])


def test_scaling_is_of_the_history_alone(layer):
    scaled = ItemEmbedding(ITEMS, DIM, scale_embeddings=True)
    scaled.build((None, None))
    scaled.set_weights(layer.get_weights())
    items = np.array([[1, 2]], "int32")
    assert_close(ops.convert_to_numpy(scaled(items)), 2 * ops.convert_to_numpy(layer(items)))
    states = np.ones((1, 2, DIM), "float32")
    one, other = (ops.convert_to_numpy(x(items[..., None], states)) for x in (layer, scaled))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("negatives", [None, (2, 6)])
def test_shapes_of_scores(layer, negatives):
    shape = layer.compute_output_shape((2, 3, 4), (2, 5, DIM), negatives)
    assert shape == (2, 3, 4 if negatives is None else 10)
    assert layer.compute_output_shape((2, 3, None), (2, 5, DIM), negatives)[2] is None
