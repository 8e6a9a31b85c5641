import json

import keras
import numpy as np
import pytest
import reference
from keras import ops
from layer_checks import gradients
from reference_model import assert_close

from hmar_keras import BehaviorLoss, WeightedRankingLoss

ALPHA, BETA = [0.1, 0.3, 0.7], 0.9
K = len(ALPHA)
LOSSES = {"ranking": WeightedRankingLoss(ALPHA, BETA), "behavior": BehaviorLoss()}
EXTREMES = [0.0, 1e4, -1e4]
each_loss = pytest.mark.parametrize("kind", LOSSES)


def expected_loss(kind, logits, truth):
    if kind == "ranking":
        return reference.ranking_loss(logits, truth, ALPHA, BETA)
    return reference.behavior_loss(logits, truth)


def draw(seed, batch=4, steps=5, width=K):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K + 1, (batch, steps)).astype("int32")
    return truth, rng.normal(scale=3, size=(batch, steps, width)).astype("float32")


def value(kind, truth, logits, **kwargs):
    return float(ops.convert_to_numpy(LOSSES[kind](truth, logits, **kwargs)))


class Logits(keras.layers.Layer):
    """Returns constant logits plus a weight that starts at zero and receives the gradient."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits
        self.shift = self.add_weight(shape=logits.shape, initializer="zeros", name="shift")

    def call(self, inputs):
        return ops.convert_to_tensor(self.logits) + self.shift + 0.0 * inputs[:, :, None]


def loss_and_gradient(kind, truth, logits):
    inputs = keras.Input(batch_shape=truth.shape)
    model = keras.Model(inputs, Logits(logits)(inputs))
    loss, (gradient,) = (
        part if index == 0 else part.values()
        for index, part in enumerate(
            gradients(model, np.zeros(truth.shape, "float32"), truth, loss=LOSSES[kind])
        )
    )
    return loss, gradient


def sigmoid(x):
    return np.exp(-np.logaddexp(0, -x.astype("float64")))


@each_loss
@pytest.mark.parametrize("width", [3, 5, 2])
def test_equals_the_reference(kind, width):
    truth, logits = draw(seed=width, width=width if kind == "ranking" else K)
    assert value(kind, truth, logits) == pytest.approx(expected_loss(kind, logits, truth), rel=1e-5)


@pytest.mark.parametrize("behavior", range(1, K + 1))
@pytest.mark.parametrize("negatives", [1, 4])
def test_logits_of_zero_have_a_closed_form(behavior, negatives):
    truth = np.full((2, 3), behavior, "int32")
    ranking = value("ranking", truth, np.zeros((2, 3, 1 + negatives), "float32"))
    assert ranking == pytest.approx((ALPHA[behavior - 1] + BETA) * np.log(2), rel=1e-6)
    behavior = value("behavior", truth, np.zeros((2, 3, K), "float32"))
    assert behavior == pytest.approx(np.log(K), rel=1e-6)


def test_a_certain_and_right_model_loses_nothing():
    truth = np.array([[2]], "int32")
    assert value("ranking", truth, np.array([[[50.0, -50.0, -50.0]]], "float32")) < 1e-6
    assert value("behavior", truth, np.array([[[-50.0, 50.0, -50.0]]], "float32")) < 1e-6


@each_loss
def test_padding_neither_counts_nor_dilutes(kind):
    truth, logits = draw(seed=0)
    truth[0], truth[1, :2] = 0, 0
    garbage = np.where((truth == 0)[..., None], np.float32(1e4), logits)
    expected = value(kind, truth, logits)
    assert value(kind, truth, garbage) == pytest.approx(expected, rel=1e-6)
    assert value(kind, truth[1:], logits[1:]) == pytest.approx(expected, rel=1e-6)


@each_loss
@pytest.mark.parametrize("per_position", [False, True])
def test_sample_weights_weigh_the_mean(kind, per_position):
    truth, logits = draw(seed=1)
    rng = np.random.default_rng(2)
    weights = rng.uniform(0, 2, truth.shape if per_position else len(truth)).astype("float32")
    by_position = np.broadcast_to(weights.T, truth.T.shape).T
    total = weight = 0.0
    for index in np.argwhere(truth != 0):
        index = tuple(index)
        one = expected_loss(kind, logits[index][None, None], [[truth[index]]])
        total, weight = total + by_position[index] * one, weight + by_position[index]
    actual = value(kind, truth, logits, sample_weight=weights)
    assert actual == pytest.approx(total / weight, rel=1e-5)


def test_several_negatives_are_averaged():
    truth, logits = draw(seed=3)
    doubled = np.concatenate([logits, logits[..., 1:]], axis=-1)
    expected = value("ranking", truth, logits)
    assert value("ranking", truth, doubled) == pytest.approx(expected, rel=1e-6)


@each_loss
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_a_batch_of_padding_has_no_loss_and_no_gradient(kind, scale):
    truth, logits = draw(seed=4)
    loss, gradient = loss_and_gradient(kind, np.zeros_like(truth), scale * logits)
    assert loss == 0
    np.testing.assert_array_equal(gradient, 0.0)


def test_gradient_of_the_ranking_loss_also_at_extremes():
    logits = np.array(np.meshgrid(EXTREMES, EXTREMES, EXTREMES), "float32").reshape(3, 1, -1).T
    logits = logits.reshape(-1, 3, 3)  # [batch, steps, candidates]: all 27 combinations
    truth = np.arange(27, dtype="int32").reshape(-1, 3) % (K + 1)
    loss, gradient = loss_and_gradient("ranking", truth, logits)
    assert loss == pytest.approx(expected_loss("ranking", logits, truth), rel=1e-5)
    real = (truth != 0)[..., None] / (truth != 0).sum()
    alpha = np.array([0.0, *ALPHA])[truth][..., None]
    positive = alpha * (sigmoid(logits[..., :1]) - 1)
    negative = BETA / 2 * sigmoid(logits[..., 1:])
    assert_close(gradient, real * np.concatenate([positive, negative], axis=-1), 1e-6)


def test_gradient_of_the_behavior_loss_also_at_extremes():
    logits = np.array(np.meshgrid(EXTREMES, EXTREMES, EXTREMES), "float32").reshape(3, -1).T
    logits = logits.reshape(-1, 3, 3)
    truth = np.arange(27, dtype="int32").reshape(-1, 3) % (K + 1)
    loss, gradient = loss_and_gradient("behavior", truth, logits)
    assert loss == pytest.approx(expected_loss("behavior", logits, truth), rel=1e-5)
    shares = np.exp(logits - logits.max(-1, keepdims=True).astype("float64"))
    shares /= shares.sum(-1, keepdims=True)
    one_hot = truth[..., None] == np.arange(1, K + 1)
    real = (truth != 0)[..., None] / (truth != 0).sum()
    assert_close(gradient, real * (shares - one_hot), 1e-6)


@each_loss
def test_half_precision_logits_are_judged_in_float32(kind):
    truth, logits = draw(seed=5)
    logits = ops.cast(logits, "bfloat16")
    rounded = ops.convert_to_numpy(ops.cast(logits, "float32"))
    actual = LOSSES[kind](truth, logits)
    assert keras.backend.standardize_dtype(actual.dtype) == "float32"
    expected = expected_loss(kind, rounded, truth)
    assert float(ops.convert_to_numpy(actual)) == pytest.approx(expected, rel=1e-5)


@each_loss
def test_config_round_trip(kind):
    text = json.dumps(keras.saving.serialize_keras_object(LOSSES[kind]))
    revived = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(revived) is type(LOSSES[kind])
    assert revived.get_config() == LOSSES[kind].get_config()
    truth, logits = draw(seed=6)
    actual = float(ops.convert_to_numpy(revived(truth, logits)))
    assert actual == value(kind, truth, logits)
