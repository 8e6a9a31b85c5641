"""The ranking losses that are not from the paper: gBCE and the sampled softmax."""

import keras
import numpy as np
import pytest
from keras import ops

from hmar_keras import GBCELoss, SampledSoftmaxLoss

ALPHA = [0.1, 0.3, 0.7]


def draw(seed=0, negatives=4):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, (3, 5)).astype("int32")
    return truth, rng.normal(scale=3, size=(3, 5, 1 + negatives)).astype("float32")


def value(loss, truth, logits):
    return float(ops.convert_to_numpy(loss(truth, logits)))


def slow_gbce(truth, logits, beta, rate, calibration):
    """Computes the loss from its definition, on probabilities, position by position."""
    power = rate * ((1 - 1 / rate) * calibration + 1 / rate)
    losses = []
    for place in np.argwhere(truth > 0):
        scores = logits[tuple(place)].astype("float64")
        chances = 1 / (1 + np.exp(-scores))
        positive = np.log(chances[0] ** power)
        negative = sum(np.log(1 - chance) for chance in chances[1:])
        losses.append(-(ALPHA[truth[tuple(place)] - 1] * positive + beta * negative))
    return np.mean(losses)


@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_equals_the_definition(rate, calibration):
    truth, logits = draw()
    loss = GBCELoss(ALPHA, 0.9, rate, calibration)
    expected = slow_gbce(truth, logits, 0.9, rate, calibration)
    assert value(loss, truth, logits) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("calibration", "learned"), [(1.0, 0.02), (0.0, 0.5)])
def test_what_probability_gbce_teaches(calibration, learned):
    """Each of 50 items follows equally often; one negative is drawn from the 49 others.

    The calibrated loss (t = 1) is minimal at an item's true probability, 1/50; plain binary
    cross-entropy (t = 0) is minimal at 1/2, since there is one negative per positive.
    """
    rate = 1 / 49
    loss = GBCELoss([1.0], 1.0, rate, calibration)
    scores = np.linspace(-8, 4, 12001).astype("float32")
    # Positive and negative have the same score; the mean loss over positions is its expectation.
    values = [loss.call(np.ones(len(scores)), np.stack([scores, scores], axis=-1))]
    best = scores[int(np.argmin(ops.convert_to_numpy(values[0])))]
    assert 1 / (1 + np.exp(-best)) == pytest.approx(learned, rel=0.01)


def test_the_softmax_over_all_items_is_cross_entropy():
    truth, logits = draw(negatives=6)
    expected = []
    for place in np.argwhere(truth > 0):
        scores = logits[tuple(place)].astype("float64")
        share = np.exp(scores[0]) / np.exp(scores).sum()
        expected.append(-ALPHA[truth[tuple(place)] - 1] * np.log(share))
    loss = SampledSoftmaxLoss(ALPHA, sampling_rate=1.0)
    assert value(loss, truth, logits) == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("drawn", [20, 500])
def test_a_sample_stands_for_the_catalogue(drawn):
    """The estimated sum is unbiased: on average it equals the sum over all negatives."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=200)
    loss = SampledSoftmaxLoss([1.0], drawn / 200)
    # With replacement, like the pipeline, so that there can be more draws than items.
    samples = rng.choice(scores, (20000, drawn))
    logits = np.concatenate([np.zeros((len(samples), 1)), samples], axis=1).astype("float32")
    losses = ops.convert_to_numpy(loss.call(np.ones(len(samples)), logits)).astype("float64")
    estimated = np.mean(np.exp(losses) - 1)  # e^loss = 1 + sum / rate, for a positive of 0
    assert estimated == pytest.approx(np.exp(scores).sum(), rel=0.01)


def test_only_drawn_negatives_stand_for_others():
    truth, logits = draw(negatives=6)
    expected = []
    for place in np.argwhere(truth > 0):
        scores = np.exp(logits[tuple(place)].astype("float64"))
        total = scores[:3].sum() + scores[3:].sum() / 0.1
        expected.append(-ALPHA[truth[tuple(place)] - 1] * np.log(scores[0] / total))
    loss = SampledSoftmaxLoss(ALPHA, sampling_rate=0.1, num_drawn=4)
    assert value(loss, truth, logits) == pytest.approx(np.mean(expected), rel=1e-5)
    assert value(type(loss).from_config(loss.get_config()), truth, logits) == pytest.approx(
        np.mean(expected), rel=1e-5
    )


@pytest.mark.parametrize("loss", [GBCELoss(ALPHA, 1.0, 0.1), SampledSoftmaxLoss(ALPHA, 0.1)])
def test_padding_extremes_and_serialisation(loss):
    truth, logits = draw()
    assert value(loss, np.zeros_like(truth), logits) == 0
    expected = value(loss, truth, logits)
    logits[truth == 0] = 1e4
    assert value(loss, truth, logits) == expected
    for extreme in (1e4, -1e4):
        assert np.isfinite(value(loss, truth, np.full_like(logits, extreme)))
    perfect = np.full_like(logits, -50.0)
    perfect[..., 0] = 50.0
    assert value(loss, truth, perfect) == pytest.approx(0, abs=1e-6)
    revived = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(revived) is type(loss)
    assert revived.get_config() == loss.get_config()
    assert value(revived, truth, logits) == value(loss, truth, logits)


@pytest.mark.parametrize("rate", [0, -0.1])
@pytest.mark.parametrize("loss", [GBCELoss, SampledSoftmaxLoss])
def test_a_rate_that_is_none_is_an_error(loss, rate):
    with pytest.raises(ValueError, match="sampling_rate must be greater"):
        loss(ALPHA, sampling_rate=rate)
