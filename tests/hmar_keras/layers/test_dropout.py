import keras
import numpy as np
import pytest
from keras import ops

from hmar_keras.layers import Dropout


@pytest.mark.parametrize("units", [6, 7, 8])
@pytest.mark.parametrize("rate", [0.01, 0.25, 0.45, 0.9])
def test_as_many_are_dropped_as_should_be(rate, units):
    inputs = np.full((50, 400, units), 3.0, "float32")
    outputs = ops.convert_to_numpy(Dropout(rate, seed=1)(inputs, training=True))
    kept = outputs != 0
    if keras.backend.backend() == "tensorflow" and units == 8 and rate > 0.01:
        rate = {0.25: 64, 0.45: 115, 0.9: 230}[rate] / 256  # eight random bits per unit
    np.testing.assert_allclose(outputs[kept], 3 / (1 - rate), rtol=1e-4)
    deviation = np.sqrt(rate * (1 - rate) / outputs.size)
    assert abs(kept.mean() - (1 - rate)) < 5 * deviation
    # Units that share a random number are dropped independently of each other.
    for other in range(1, units):
        together = (kept[..., 0] & kept[..., other]).mean()
        assert abs(together - (1 - rate) ** 2) < 5 * np.sqrt(0.25 / kept[..., 0].size)


def test_its_gradient_passes_where_its_input_does():
    layer = keras.layers.Dense(8, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer, Dropout(0.5, seed=3)])
    model.compile(keras.optimizers.SGD(1.0), "mean_absolute_error")
    model.train_on_batch(np.ones((1, 1), "float32"), np.full((1, 8), -9.0, "float32"))
    moved = 1 - ops.convert_to_numpy(layer.kernel)[0]
    assert set(np.round(moved, 4).tolist()) == {0.0, 0.25}


def test_nothing_is_dropped_but_in_training():
    inputs = np.ones((4, 4), "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(Dropout(0.5)(inputs)), inputs)
    np.testing.assert_array_equal(ops.convert_to_numpy(Dropout(0.0)(inputs, training=True)), inputs)


@pytest.mark.parametrize("rate", [1.0, 1 - 1e-7])
def test_everything_may_be_dropped(rate):
    outputs = ops.convert_to_numpy(Dropout(rate, seed=1)(np.ones((4, 8)), training=True))
    assert (outputs == 0).all()


def test_the_seed_decides():
    inputs = np.ones((20, 20), "float32")

    def draw(seed):
        layer = Dropout(0.5, seed=seed)
        return [ops.convert_to_numpy(layer(inputs, training=True)) for _ in range(2)]

    first, again, other = draw(1), draw(1), draw(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_half_precision_and_other_shapes():
    inputs = np.ones((3, 8), "float32")
    outputs = Dropout(0.5, dtype="mixed_bfloat16")(inputs, training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    rows = ops.convert_to_numpy(Dropout(0.5, noise_shape=(None, 1), seed=0)(inputs, training=True))
    assert (rows == rows[:, :1]).all()
