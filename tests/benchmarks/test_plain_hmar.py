"""The plain model computes what the fast one does, so comparing their speed is fair."""

import numpy as np
import pytest
import reference_model
import tensorflow as tf
from plain_hmar import PlainHMAR, plain_compile_arguments

from hmar_keras import HMAR, TrainingConfig, compile_arguments


def _pairs(plain, fast):
    """Returns triples: plain weight, fast weight, the part of the fast one that holds the plain."""
    backbone, classifier = fast.backbone, fast.get_layer("behavior")
    encoder, items = backbone.get_layer("behavior_encoder_0"), backbone.item_encoder
    sequence = backbone.get_layer("sequence_encoder_0")
    positions = backbone.get_layer("position_embedding").positions
    pairs = [
        (plain.items.embeddings, items.item_table.embeddings, ...),
        (plain.item_bias, items.item_bias, ...),
        (plain.positions.embeddings, positions, ...),
        *_dense(plain.indicator_dense, items.indicator_dense),
        *_dense(plain.combine, items.combine),
        *_dense(plain.behavior_encoders[0].input_dense, encoder.input_dense),
        *_dense(plain.classifier[0], classifier.hidden),
        *_dense(plain.classifier[1], classifier.output_dense),
        *_attention(plain.attention, sequence.attention, ()),
        *_feed_forward(plain.feed_forward, sequence.feed_forward, ...),
    ]
    for number, one in enumerate(plain.behavior_encoders):
        pairs += _attention(one.attention, encoder.attention, (number,))
        pairs += _feed_forward(one.feed_forward, encoder.feed_forward, number)
        pairs.append((one.gamma, encoder.rezero.gamma, number))
    return pairs


def _dense(plain, fast, part=...):
    return [(plain.kernel, fast.kernel, part), (plain.bias, fast.bias, part)]


def _feed_forward(plain, fast, part):
    return _dense(plain.hidden, fast.hidden, part) + _dense(
        plain.output_dense, fast.output_dense, part
    )


def _attention(plain, fast, part):
    kernel, dim = fast.query_key_value.kernel, plain.query.kernel.shape[0]
    return [
        (dense.kernel, kernel, (*part, slice(None), slice(i * dim, (i + 1) * dim)))
        for i, dense in enumerate((plain.query, plain.key, plain.value))
    ]


def _loss_and_gradients(model, batch, targets):
    with tf.GradientTape() as tape:
        outputs = model(batch, training=True)
        loss = model.compute_loss(batch, targets, outputs)
    weights = model.trainable_variables
    gradients = [np.array(tf.convert_to_tensor(x)) for x in tape.gradient(loss, weights)]
    return outputs, loss, {id(weight): x for weight, x in zip(weights, gradients, strict=True)}


@pytest.mark.parametrize("num_heads", [1, 2])
def test_equals_the_fast_model_in_values_and_gradients(num_heads):
    config = reference_model.make_config(3, num_heads=num_heads)
    rng = np.random.default_rng(num_heads)
    batch = reference_model.random_batch(rng, config, candidates=2)
    behavior = reference_model.random_targets(rng, config, batch)
    targets = {"ranking": behavior, "behavior": behavior}
    fast, _ = reference_model.make_pair(config)
    plain = PlainHMAR(config)
    plain(batch)
    pairs = _pairs(plain, fast)
    for weight, other, part in pairs:
        weight.assign(np.array(other)[part])
    assert {id(weight) for weight, _, _ in pairs} == {id(x) for x in plain.trainable_variables}

    fast.compile(**compile_arguments(fast))
    plain.compile(**plain_compile_arguments(plain, TrainingConfig()))
    outputs, loss, gradients = _loss_and_gradients(plain, batch, targets)
    fast_outputs, fast_loss, fast_gradients = _loss_and_gradients(fast, batch, targets)

    for name, values in outputs.items():
        reference_model.assert_close(values, fast_outputs[name])
    assert float(loss) == pytest.approx(float(fast_loss), rel=1e-5)
    for weight, other, part in pairs:
        reference_model.assert_close(gradients[id(weight)], fast_gradients[id(other)][part])


def test_both_have_as_many_weights():
    config = reference_model.make_config(3)
    fast, plain = HMAR(config), PlainHMAR(config)
    plain(reference_model.random_batch(np.random.default_rng(0), config))
    assert plain.count_params() == fast.count_params()
