"""SASRec against a slow NumPy model of its equations, and its properties."""

import keras
import numpy as np
import pytest
import reference
from histories import many_histories
from keras import ops
from layer_checks import randomize
from reference_model import assert_close, call, make_config, random_batch
from slow_memory import fill, with_memory

from hmar_keras import SASRec, TrainingConfig, compile_arguments
from hmar_keras.models.sequential_recommender import LOWEST_SCORE


def make_sasrec(**changes):
    model = SASRec(make_config(model="sasrec", num_sequence_blocks=2, **changes))
    randomize(model)
    if model.memory is not None:
        fill(model.memory)
    return model


def slow_states(model, items):
    """Computes the states `[length, dim]` of one history from the weights, position by position."""
    array, config = ops.convert_to_numpy, model.config
    table = array(model.items.item_table.embeddings).astype("float64")
    real = items > 0
    x = np.where(real[:, None], table[items], 0.0)
    x = x * np.sqrt(config.dim)
    positions = array(model.backbone.get_layer("position_embedding").positions)
    x = x + positions[len(positions) - len(items) :]
    allowed = np.tril(np.ones((len(items), len(items)), bool)) & real[None]
    for number in range(config.num_sequence_blocks):
        x = slow_norm(x, model.backbone.get_layer(f"norm_{number}"))
        encoder = model.backbone.get_layer(f"sequence_encoder_{number}")
        kernels = np.split(array(encoder.attention.query_key_value.kernel), 3, axis=1)
        x = x + reference.attention(x, *kernels, allowed, config.num_heads)
        x = slow_norm(x, encoder.norm)
        network = encoder.feed_forward
        weights = [array(w) for d in (network.hidden, network.output_dense) for w in d.weights]
        x = reference.feed_forward(x, *weights, residual=True) * real[:, None]
    return slow_norm(x, model.backbone.get_layer("last_norm"))


def slow_norm(x, layer):
    return reference.layer_norm(
        x, ops.convert_to_numpy(layer.gamma), ops.convert_to_numpy(layer.beta)
    )


@pytest.mark.parametrize(("num_heads", "memory"), [(1, False), (2, True), (1, True), (2, False)])
def test_equals_the_reference(num_heads, memory):
    model = make_sasrec(num_heads=num_heads, memory=memory)
    batch = random_batch(np.random.default_rng(0), model.config)
    table = ops.convert_to_numpy(model.items.item_table.embeddings)
    scores = call(model, batch)["ranking"]
    assert scores.std() > 0.1
    expected = np.zeros(scores.shape)
    for row, items in enumerate(batch["item_ids"]):
        states = slow_states(model, items)
        for step, candidates in enumerate(batch["candidate_ids"][row]):
            expected[row, step] = [states[step] @ table[item] if item else 0 for item in candidates]
    if memory:
        expected = with_memory(model.memory, batch, expected)
    is_event = batch["item_ids"] > 0
    assert_close(scores[is_event], expected[is_event])


def test_three_ways_to_score_agree():
    """Shared negatives in a call, `score_candidates` and `score_catalog`."""
    model = make_sasrec(shared_negatives=True)
    rng = np.random.default_rng(1)
    batch = random_batch(rng, model.config)
    history = {"item_ids": batch["item_ids"]}
    catalog = ops.convert_to_numpy(model.score_catalog(history))
    assert (catalog[:, 0] == np.float32(LOWEST_SCORE)).all()
    every = np.tile(np.arange(1, model.config.num_items + 1, dtype="int32"), (len(catalog), 1))
    assert_close(ops.convert_to_numpy(model.score_candidates(history, every)), catalog[:, 1:])
    asked = {name: {**batch, "negative_ids": every}[name] for name in model.input}
    outputs = model(asked)["ranking"]
    width = batch["candidate_ids"].shape[2]
    assert_close(ops.convert_to_numpy(outputs)[:, -1, width:], catalog[:, 1:])


def test_the_future_and_padding_change_nothing():
    model, (items, _) = make_sasrec(), many_histories(40, 6, 7, 3, min_events=2)
    whole = ops.convert_to_numpy(model.backbone({"item_ids": items}))
    changed = items.copy()
    changed[:, -1] = changed[:, -1] % 7 + 1
    later = ops.convert_to_numpy(model.backbone({"item_ids": changed}))
    is_event = items[:, :-1] > 0
    assert_close(later[:, :-1][is_event], whole[:, :-1][is_event])
    for events in range(2, 6):
        rows = (items > 0).sum(axis=1) == events
        trimmed = model.backbone({"item_ids": items[rows, -events:]})
        assert_close(ops.convert_to_numpy(trimmed), whole[rows, -events:])


def test_behaviours_are_not_looked_at():
    assert set(make_sasrec().input) == {"item_ids", "candidate_ids"}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("loss", ["bce", "gbce", "sampled_softmax"])
def test_it_learns_what_always_follows(loss, precision):
    """Item i is followed by i + 1; every loss, with shared negatives."""
    config = make_config(
        model="sasrec", dim=16, num_sequence_blocks=1, loss=loss, shared_negatives=True,
        num_negatives=3,
    )  # fmt: skip
    keras.utils.set_random_seed(0)
    model = SASRec(config, dtype=precision)
    model.compile(**compile_arguments(model, TrainingConfig(learning_rate=0.02)))
    first = np.arange(14)[:, None] % 7
    items = ((first + np.arange(6)) % 7 + 1).astype("int32")
    following = (items % 7 + 1)[..., None]
    inputs = {
        "item_ids": items,
        "candidate_ids": following,
        "negative_ids": np.tile(np.arange(1, 8, dtype="int32"), (14, 1)),
    }
    for _ in range(150):
        model.train_on_batch(inputs, {"ranking": np.full_like(items, 3)})
    scores = ops.convert_to_numpy(model.score_catalog({"item_ids": items}))
    assert (scores.argmax(axis=1) == following[:, -1, 0]).all()
    assert keras.backend.standardize_dtype(model(inputs)["ranking"].dtype) == "float32"


def test_saving(tmp_path):
    model = make_sasrec(shared_negatives=True)
    batch = random_batch(np.random.default_rng(3), model.config)
    batch["negative_ids"] = np.array([[1, 2]] * len(batch["item_ids"]), "int32")
    expected = call(model, batch)["ranking"]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is SASRec
    assert loaded.config == model.config
    np.testing.assert_array_equal(call(loaded, batch)["ranking"], expected)
    model.save_weights(tmp_path / "model.weights.h5")
    refilled = SASRec(model.config)
    refilled.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(call(refilled, batch)["ranking"], expected)
