"""Recomputed attention weights equal those that the layers used."""

import keras
import numpy as np
import pytest
from keras import ops

from hmar_keras.inspection import recorded_attention
from hmar_keras.layers.self_attention import SelfAttention
from hmar_keras.models.hmar import HMAR, HMARConfig
from hmar_keras.schema import Behaviors

HISTORY = {
    "item_ids": [[0, 0, 4, 2, 2, 7, 1, 4], [3, 3, 9, 8, 5, 1, 2, 6]],
    "behavior_ids": [[0, 0, 1, 2, 1, 3, 2, 1], [1, 1, 3, 2, 1, 1, 1, 2]],
}


@pytest.fixture(scope="module")
def calls():
    keras.utils.set_random_seed(0)
    shop = Behaviors(("view", "cart", "buy"), "buy")
    config = HMARConfig(
        9, shop, dim=8, num_heads=2, max_length=8, num_behavior_blocks=2, num_sequence_blocks=2
    )
    model = HMAR(config)
    layers = [x for x in model._flatten_layers() if isinstance(x, SelfAttention)]
    assert len(layers) == 4
    before = numpy(model.score_catalog(tensors()))
    with recorded_attention(layers) as calls:
        np.testing.assert_array_equal(before, numpy(model.score_catalog(tensors())))
    assert all("call" not in layer.__dict__ for layer in layers)
    return calls


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def tensors():
    return {name: ops.convert_to_tensor(ids, "int32") for name, ids in HISTORY.items()}


def test_every_layer_is_recorded_in_the_order_of_the_graph(calls):
    names = [path.split("/")[-2] for path in calls]
    assert names == [f"{kind}_encoder_{n}" for kind in ("behavior", "sequence") for n in (0, 1)]


def test_weights_times_values_are_the_layers_outputs(calls):
    for call in calls.values():
        real = np.array(HISTORY["item_ids"]) > 0
        value = numpy(call.projections()[2])  # [batch, length, heads, dim / heads]
        attended = np.einsum("bhqk,bkhd->bqhd", numpy(call.weights()), value)
        outputs = numpy(call.outputs)
        np.testing.assert_allclose(attended.reshape(outputs.shape)[real], outputs[real], atol=1e-5)


def test_weights_add_up_to_one_and_keep_to_the_masks(calls):
    items, behaviors = (np.array(ids) for ids in HISTORY.values())
    for path, call in calls.items():
        weights = numpy(call.weights())  # [batch, heads, query, key]
        assert weights.shape == (2, 2, 8, 8)
        np.testing.assert_allclose(weights.sum(axis=-1)[:, 0][items > 0], 1, atol=1e-6)
        assert not weights[..., np.triu_indices(8, 1)[0], np.triu_indices(8, 1)[1]].any()
        assert not weights[0, :, 2:, :2].any()  # padding
        if "behavior" in path:
            other = behaviors[:, None, :, None] != behaviors[:, None, None, :]
            assert not weights[np.broadcast_to(other, weights.shape)].any()
