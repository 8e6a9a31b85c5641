"""A stock Keras layer after layers of this package receives the padding mask."""

import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import randomize
from reference_model import make_config, random_batch

from hmar_keras import HMAR
from hmar_keras.layers import (
    BehaviorEncoder,
    Dropout,
    HistoricalBehaviorIndicators,
    ItemBehaviorEmbedding,
    ItemEmbedding,
    PositionEmbedding,
    SequenceEncoder,
)

ITEMS = np.array([[0, 0, 3, 1], [0, 2, 2, 4], [1, 2, 3, 4]], "int32")
BEHAVIORS = np.where(ITEMS > 0, 1 + ITEMS % 2, 0).astype("int32")


def encoded(kind):
    """Returns a function from ids to encoded events that chains the layers."""
    indicators = HistoricalBehaviorIndicators(2)
    embed = ItemEmbedding(4, 8) if kind == "items" else ItemBehaviorEmbedding(4, 8)
    positions, dropout = PositionEmbedding(4), Dropout(0.5)
    by_behavior, in_sequence = BehaviorEncoder(2), SequenceEncoder()

    def encode(items, behaviors):
        given = (items,) if kind == "items" else (items, indicators(items, behaviors))
        events = dropout(positions(embed(*given)))
        if kind == "items":
            return events
        return in_sequence(by_behavior(events, behaviors), events, items)

    return encode


@pytest.mark.parametrize("kind", ["items", "encoders"])
@pytest.mark.parametrize(
    "behind", [keras.layers.GlobalAveragePooling1D(), keras.layers.GRU(3, use_cudnn=False)]
)
def test_a_stock_layer_leaves_padding_out(kind, behind):
    items, behaviors = (keras.Input((None,), dtype="int32") for _ in range(2))
    events = encoded(kind)(items, behaviors)
    model = keras.Model([items, behaviors], [behind(events), events])
    randomize(model)
    masked, events = (ops.convert_to_numpy(x) for x in model([ITEMS, BEHAVIORS]))
    for row, ids in enumerate(ITEMS):
        expected = ops.convert_to_numpy(behind(events[row : row + 1, ids > 0]))
        np.testing.assert_allclose(masked[row], expected[0], atol=1e-5)


def test_what_a_model_gives_has_no_mask_that_a_loss_would_apply():
    config = make_config()
    outputs = HMAR(config)(random_batch(np.random.default_rng(0), config))
    assert all(getattr(value, "_keras_mask", None) is None for value in outputs.values())
