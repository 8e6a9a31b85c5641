"""Every public layer inside a third-party model, between plain Keras layers."""

import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import randomize

from hmar_keras import layers
from hmar_keras.masks import same_behavior_mask
from hmar_keras.schema import Behaviors

NUM_ITEMS, NUM_BEHAVIORS, DIM, LENGTH, BATCH = 20, 3, 8, 5, 6

# How to call each layer with item ids, behaviour ids, features and a mask. The mask is a separate
# input because not every backend can build it from symbolic ids.
LAYERS = {
    "BehaviorClassifier": lambda layer, items, behaviors, x, mask: layer(x, x),
    "BehaviorDense": lambda layer, items, behaviors, x, mask: layer(x, behaviors),
    "BehaviorEncoder": lambda layer, items, behaviors, x, mask: layer(x, behaviors),
    "Dropout": lambda layer, items, behaviors, x, mask: layer(x),
    "FeedForward": lambda layer, items, behaviors, x, mask: layer(x),
    "HashedItemTable": lambda layer, items, behaviors, x, mask: layer(items),
    "HistoricalBehaviorIndicators": lambda layer, items, behaviors, x, mask: layer(
        items, behaviors
    ),
    "ItemBehaviorEmbedding": lambda layer, items, behaviors, x, mask: layer(
        items, keras.layers.Dense(NUM_BEHAVIORS)(x)
    ),
    "ItemEmbedding": lambda layer, items, behaviors, x, mask: layer(items),
    "ItemTable": lambda layer, items, behaviors, x, mask: layer(items),
    "LogMemory": lambda layer, items, behaviors, x, mask: layer(
        x,
        items,
        behaviors,
        behaviors,
        ops.stack([items, behaviors] * (DIM // 2), axis=-1),
        items[:, :0],
        ops.sigmoid(x),
        ops.sigmoid(x),
    ),
    "PairTable": lambda layer, items, behaviors, x, mask: layer(items, behaviors),
    "PositionEmbedding": lambda layer, items, behaviors, x, mask: layer(x),
    "ReZero": lambda layer, items, behaviors, x, mask: layer(x, ops.tanh(x), behaviors),
    "SelfAttention": lambda layer, items, behaviors, x, mask: layer(x, mask),
    "SequenceEncoder": lambda layer, items, behaviors, x, mask: layer(x, x, items),
}
ARGUMENTS = {
    "BehaviorClassifier": {"num_behaviors": NUM_BEHAVIORS},
    "BehaviorDense": {"num_behaviors": NUM_BEHAVIORS, "units": DIM},
    "BehaviorEncoder": {"num_behaviors": NUM_BEHAVIORS},
    "Dropout": {"rate": 0.5},
    "HashedItemTable": {"input_dim": NUM_ITEMS + 1, "output_dim": DIM, "buckets": 7},
    "HistoricalBehaviorIndicators": {"num_behaviors": NUM_BEHAVIORS},
    "ItemBehaviorEmbedding": {"num_items": NUM_ITEMS, "dim": DIM},
    "ItemEmbedding": {"num_items": NUM_ITEMS, "dim": DIM},
    "ItemTable": {"input_dim": NUM_ITEMS + 1, "output_dim": DIM},
    "LogMemory": {
        "num_items": NUM_ITEMS,
        "behaviors": Behaviors(("view", "cart", "buy"), "buy"),
        "max_length": LENGTH,
    },
    "PairTable": {"num_items": NUM_ITEMS, "num_places": 4},
    "PositionEmbedding": {"max_length": LENGTH},
    "ReZero": {"num_behaviors": NUM_BEHAVIORS},
}


def foreign_model(name):
    """Builds a click model as a user might: features, the layer, a GRU, a probability."""
    items = keras.Input((LENGTH,), dtype="int32", name="items")
    behaviors = keras.Input((LENGTH,), dtype="int32", name="behaviors")
    mask = keras.Input((LENGTH, LENGTH), dtype="bool", name="mask")
    price = keras.Input((LENGTH, 1), name="price")
    kind = keras.layers.Embedding(NUM_BEHAVIORS + 1, DIM)(behaviors)
    features = keras.layers.Dense(DIM, activation="relu")(keras.layers.Concatenate()([kind, price]))
    layer = getattr(layers, name)(**ARGUMENTS.get(name, {}))
    ours = LAYERS[name](layer, items, behaviors, features, mask)
    both = keras.layers.Concatenate()([ours, features])
    click = keras.layers.Dense(1, activation="sigmoid")(keras.layers.GRU(4)(both))
    inputs = {"items": items, "behaviors": behaviors, "mask": mask, "price": price}
    return keras.Model(inputs, click), layer


def batch():
    rng = np.random.default_rng(0)
    items = rng.integers(1, NUM_ITEMS + 1, (BATCH, LENGTH)).astype("int32")
    behaviors = rng.integers(1, NUM_BEHAVIORS + 1, (BATCH, LENGTH)).astype("int32")
    items[0, :3], behaviors[0, :3] = 0, 0
    mask = ops.convert_to_numpy(same_behavior_mask(behaviors))
    price = rng.random((BATCH, LENGTH, 1)).astype("float32")
    return {"items": items, "behaviors": behaviors, "mask": mask, "price": price}


def test_every_public_layer_is_here():
    public = {name: getattr(layers, name) for name in layers.__all__}
    assert set(LAYERS) == {n for n, each in public.items() if issubclass(each, keras.Layer)}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_in_a_foreign_model(name, tmp_path):
    model, layer = foreign_model(name)
    randomize(model)
    data, clicks = batch(), np.array([[0], [1]] * (BATCH // 2), "float32")
    before = [ops.convert_to_numpy(weight).copy() for weight in layer.trainable_weights]
    model.compile("sgd", "binary_crossentropy", jit_compile=False)
    model.fit(data, clicks, batch_size=BATCH, epochs=2, verbose=0)
    after = [ops.convert_to_numpy(weight) for weight in layer.trainable_weights]
    assert all((a != b).any() for a, b in zip(after, before, strict=True))
    expected = ops.convert_to_numpy(model(data))
    assert np.isfinite(expected).all() and np.ptp(expected) > 0
    model.save(tmp_path / "foreign.keras")
    loaded = keras.saving.load_model(tmp_path / "foreign.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(data)), expected)
