"""HMAR models with the reference's weights, and random batches for them."""

import numpy as np
import reference
import slow_memory
from keras import ops

from hmar_keras import HMAR, Behaviors
from hmar_keras.models import MODELS

NAMES = ("view", "like", "share", "cart", "buy")


def make_config(num_behaviors=3, model="hmar", **changes):
    """Returns the settings of a tiny model with the given number of behaviours.

    With `memory=True` they include what a memory needs.
    """
    behaviors = Behaviors(NAMES[-num_behaviors:], target="buy")
    settings = {"num_items": 7, "dim": 4, "max_length": 6, "dropout": 0.0}
    if changes.get("memory"):
        settings |= {"loss": "sampled_softmax", "shared_negatives": True}
    return MODELS[model].Settings(behaviors=behaviors, **{**settings, **changes})


def make_weights(config, seed=0):
    """Returns random weights for the reference, with the shapes of a configuration."""
    return reference.random_weights(
        np.random.default_rng(seed),
        config.num_items,
        config.num_behaviors,
        config.dim,
        config.max_length,
        config.num_behavior_blocks,
        config.num_sequence_blocks,
        "none" if config.variant == "release" else "shared",
        norm=config.variant == "release",
    )


def make_pair(config, seed=0):
    """Returns a model and the reference weights that are loaded into it.

    A memory gets counts and weights of its own.
    """
    model, w = HMAR(config), make_weights(config, seed)
    load_reference_weights(model, w)
    if model.memory is not None:
        slow_memory.fill(model.memory, seed)
    return model, w


def load_reference_weights(model, w, padding_row=0.0):
    """Copies the reference's weights into the model's.

    `padding_row` fills the embedding of the padding id, which must have no effect.
    """
    backbone, classifier = model.backbone, model.get_layer("behavior")
    items = backbone.item_encoder
    padding = np.full((1, w["W_v"].shape[1]), padding_row)
    items.item_table.embeddings.assign(np.concatenate([padding, w["W_v"]]))
    items.item_bias.assign(w["B_v"])
    _load_dense(items.indicator_dense, w["W_c"], w["B_c"])
    _load_dense(items.combine, w["W_r"], w["B_r"])
    backbone.get_layer("position_embedding").positions.assign(w["P"])
    for number, block in enumerate(w["behavior_blocks"]):
        load_behavior_block(backbone.get_layer(f"behavior_encoder_{number}"), block)
    for number, block in enumerate(w["sequence_blocks"]):
        load_sequence_block(backbone.get_layer(f"sequence_encoder_{number}"), block)
    _load_dense(classifier.hidden, w["classifier"]["W_1"], w["classifier"]["B_1"])
    _load_dense(classifier.output_dense, w["classifier"]["W_2"], w["classifier"]["B_2"])


def load_behavior_block(encoder, block):
    """Copies one behaviour block, whose weights are lists per behaviour, into the layer."""
    if encoder.projection == "shared":
        _load_dense(encoder.input_dense, block["W_e"][0], block["B_e"][0])
    stacks = (block["W_Q"], block["W_K"], block["W_V"])
    fused = [fuse(*weights) for weights in zip(*stacks, strict=True)]
    encoder.attention.query_key_value.kernel.assign(np.stack(fused))
    _load_dense(encoder.feed_forward.hidden, np.stack(block["W_1"]), np.stack(block["B_1"]))
    _load_dense(encoder.feed_forward.output_dense, np.stack(block["W_2"]), np.stack(block["B_2"]))
    encoder.rezero.gamma.assign(block["gamma"])


def load_sequence_block(encoder, block):
    """Copies one sequence block into the layer."""
    kernel = fuse(block["W_Q"], block["W_K"], block["W_V"])
    encoder.attention.query_key_value.kernel.assign(kernel)
    _load_dense(encoder.feed_forward.hidden, block["W_1"], block["B_1"])
    _load_dense(encoder.feed_forward.output_dense, block["W_2"], block["B_2"])
    if encoder.layer_norm:
        encoder.norm.gamma.assign(block["norm_scale"])
        encoder.norm.beta.assign(block["norm_offset"])


def fuse(query, key, value):
    """Concatenates the three kernels as the fused layer stores them."""
    return np.concatenate([query, key, value], axis=1)


def _load_dense(layer, kernel, bias):
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)


def random_histories(rng, config, batch=5, length=None):
    """Returns item and behaviour ids: row 0 full, row 1 all padding, the others left-padded.

    Items repeat, and if there are several behaviours, every row lacks one of them.
    """
    length = length or config.max_length
    items = rng.integers(1, config.num_items + 1, (batch, length))
    items[:, ::2] = items[:, :1]
    behaviors = np.zeros_like(items)
    for row in range(batch):
        present = 1 + rng.permutation(config.num_behaviors)[: max(1, config.num_behaviors - 1)]
        behaviors[row] = rng.choice(present, length)
    lengths = rng.integers(1, length + 1, batch)
    lengths[:2] = [length, 0][:batch]
    padding = np.arange(length)[None] < length - lengths[:, None]
    items[padding] = behaviors[padding] = 0
    return {"item_ids": items.astype("int32"), "behavior_ids": behaviors.astype("int32")}


def random_batch(rng, config, batch=5, length=None, steps=None, candidates=4):
    """Returns histories with candidates: touched and untouched items and padding."""
    histories = random_histories(rng, config, batch, length)
    length = histories["item_ids"].shape[1]
    shape = (batch, steps or length, candidates)
    chosen = rng.integers(0, config.num_items + 1, shape)
    columns = rng.integers(0, length, shape)
    touched = histories["item_ids"][np.arange(batch)[:, None, None], columns]
    chosen = np.where(rng.random(shape) < 0.5, touched, chosen)
    return {**histories, "candidate_ids": chosen.astype("int32")}


def random_targets(rng, config, batch):
    """Returns next behaviours `[batch, steps]`, 0 where the history of a step is empty."""
    steps = batch["candidate_ids"].shape[1]
    known = batch["item_ids"][:, -steps:] != 0
    behaviors = rng.integers(1, config.num_behaviors + 1, known.shape)
    return np.where(known, behaviors, 0).astype("int32")


def to_numpy(outputs):
    """Converts a dict of tensors to a dict of arrays."""
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}


def call(model, batch):
    """Returns the model's outputs and its backbone's states, as arrays."""
    history = {name: batch[name] for name in model.backbone.input}
    states = model.backbone(history, training=False)
    asked = {**asked_for_targets(model.config, batch), **batch}
    asked = {name: asked[name] for name in model.input}
    return to_numpy({**model(asked, training=False), "states": states})


def asked_for_targets(config, batch):
    """Returns the inputs, besides histories and candidates, of a model outside training."""
    (rows, steps, _), length = batch["candidate_ids"].shape, batch["item_ids"].shape[1]
    return {
        "negative_ids": np.zeros((rows, 0), "int32"),
        "answer_behaviors": np.full((rows, steps), config.behaviors.target_id, "int32"),
        "own_shares": np.zeros((rows, length, 0), "float32"),
        "answer_shares": np.zeros((rows, steps, 0), "float32"),
    }


def call_reference(w, config, batch, memory=None):
    """Returns the expected result of `call`.

    Args:
        w: weights of the reference.
        config: the model's settings.
        batch: its inputs.
        memory: the model's `LogMemory`, if it has one.
    """
    outputs = reference.hmar(
        *(batch[name] for name in ("item_ids", "behavior_ids", "candidate_ids")),
        w,
        num_heads=config.num_heads,
        feed_forward_residual=config.variant == "release",
        scale_embeddings=config.variant == "release",
    )
    if memory is not None:
        outputs["ranking"] = slow_memory.with_memory(memory, batch, outputs["ranking"])
    return outputs


def assert_close(actual, expected, tolerance=1e-5):
    """Fails where the two differ by more than `tolerance` of the scale of `expected`."""
    actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    assert np.abs(actual - expected).max(initial=0.0) <= tolerance * scale
