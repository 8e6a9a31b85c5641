import keras
import numpy as np
import pytest
import reference
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import ItemBehaviorEmbedding

ITEMS, DIM, BEHAVIORS = 5, 4, 3


@pytest.fixture(params=[False, True], ids=["plain", "scaled"])
def layer(request):
    layer = ItemBehaviorEmbedding(ITEMS, DIM, scale_embeddings=request.param)
    layer.build((None, None), (None, None, BEHAVIORS))
    randomize(layer)
    return layer


def weights_of(layer):
    array = ops.convert_to_numpy
    return {
        "W_v": array(layer.item_table.embeddings)[1:],
        "B_v": array(layer.item_bias),
        "W_c": array(layer.indicator_dense.kernel),
        "B_c": array(layer.indicator_dense.bias),
        "W_r": array(layer.combine.kernel),
        "B_r": array(layer.combine.bias),
    }


@pytest.mark.parametrize("shape", [(2, 6), (2, 3, 4)], ids=["sequence", "candidates"])
def test_layer(tmp_path, shape):
    rng = np.random.default_rng(0)
    items = rng.integers(0, ITEMS + 1, shape).astype("int32")
    counts = rng.integers(0, 4, (*shape, BEHAVIORS)).astype("float32")
    kwargs = {"num_items": ITEMS, "dim": DIM, "scale_embeddings": True}
    run_layer_test(ItemBehaviorEmbedding, kwargs, (items, counts), tmp_path)


def test_equals_the_reference(layer):
    rng = np.random.default_rng(1)
    items = np.arange(ITEMS + 1, dtype="int32").reshape(1, 2, 3)
    counts = rng.integers(0, 4, (1, 2, 3, BEHAVIORS)).astype("float32")
    encoded = ops.convert_to_numpy(layer(items, counts))
    for index in np.ndindex(items.shape):
        expected = reference.encode(
            items[index], counts[index], weights_of(layer), scale_embeddings=layer.scale_embeddings
        )
        assert_close(encoded[index], expected)


@pytest.mark.parametrize("item_buckets", [0, 2])
def test_the_catalogue_is_scored_as_every_item_is(item_buckets):
    layer = ItemBehaviorEmbedding(ITEMS, DIM, item_buckets=item_buckets)
    layer.build((None, None), (None, None, BEHAVIORS))
    randomize(layer)
    rng = np.random.default_rng(3)
    states = rng.normal(size=(2, 1, DIM)).astype("float32")
    items = np.tile(np.arange(1, ITEMS + 1, dtype="int32"), (2, 1, 1))
    counts = rng.integers(0, 4, (2, 1, ITEMS, BEHAVIORS)).astype("float32")
    each = ops.convert_to_numpy(layer(items, counts, states))[:, 0]
    vectors, offsets, gains = layer.catalog_query(states[:, 0])
    scores = ops.convert_to_numpy(layer.item_table.dot_all_items(vectors) + offsets)
    gains = ops.convert_to_numpy(gains)
    assert scores.shape == (2, ITEMS + 1)
    assert gains.shape == (2, BEHAVIORS)
    assert_close(scores[:, 1:] + np.einsum("bck,bk->bc", counts[:, 0], gains), each)
    encoded = ops.convert_to_numpy(layer(items, counts))[:, 0]
    assert_close(np.einsum("bd,bcd->bc", states[:, 0], encoded), each)


def test_a_hashed_layer(tmp_path):
    items = np.array([[0, 1, 2], [3, 4, 5]], "int32")
    counts = np.ones((2, 3, BEHAVIORS), "float32")
    kwargs = {"num_items": ITEMS, "dim": DIM, "item_buckets": 2}
    run_layer_test(ItemBehaviorEmbedding, kwargs, (items, counts), tmp_path)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("item_buckets", [0, 2])
def test_a_shared_lookup_gives_the_same_bits(policy, item_buckets):
    layer = ItemBehaviorEmbedding(ITEMS, DIM, item_buckets=item_buckets, dtype=policy)
    layer.build((None, None, None), (None, None, None, BEHAVIORS))
    randomize(layer)
    rng = np.random.default_rng(4)
    items = rng.integers(0, ITEMS + 1, (2, 3, 4)).astype("int32")
    counts = rng.integers(0, 4, (2, 3, 4, BEHAVIORS)).astype("float32")
    states = rng.normal(size=(2, 3, DIM)).astype("float32")
    found = layer.look_up(items)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    for states_or_none in (None, states):
        alone, shared = (
            ops.convert_to_numpy(ops.cast(layer(items, counts, states_or_none, **more), "float32"))
            for more in ({}, {"items": found})
        )
        np.testing.assert_array_equal(shared, alone)
        assert np.any(alone)
