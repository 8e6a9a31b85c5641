"""Dropout that draws fewer random numbers."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="hmar_keras")
class Dropout(keras.layers.Dropout):
    """As `keras.layers.Dropout`; on TensorFlow one random number of 32 bits decides several units.

    There drawing the numbers is a good part of a step on a CPU. Four units share a number, eight
    bits each, where that keeps the rate to within a fiftieth of itself: 0.45 becomes 115 / 256.
    Otherwise two share it, and the rate is kept to within 2^-17. What is left is scaled by the
    rate that was kept, so that its mean is right.

    Takes what `keras.layers.Dropout` takes, and returns what it returns.
    """

    def call(self, inputs, training=False):
        """Drops units in training."""
        plain = keras.backend.backend() != "tensorflow" or self.noise_shape is not None
        bits = _bits(self.rate, inputs.shape[-1])
        if plain or not bits or not (training and self.rate):
            return super().call(inputs, training=training)
        shape = (*ops.shape(inputs)[:-1], inputs.shape[-1] * bits // 32)
        # All integers of 32 bits: for a range TensorFlow divides, which takes half as long again.
        numbers = keras.random.randint(shape, None, None, "int32", self.seed_generator)
        limit = round(self.rate * 2**bits)
        units = ops.view(numbers, f"uint{bits}")
        kept = ops.greater_equal(units, ops.cast(limit, units.dtype))
        # Not `where` with two scalars: broadcasting these takes longer than cast and product.
        return inputs * (ops.cast(kept, inputs.dtype) * (2**bits / (2**bits - limit)))


def _bits(rate, units):
    """How many bits decide a unit; 0 if `units` of that many do not fill whole numbers."""
    exact_enough = abs(round(rate * 256) / 256 - rate) <= rate / 50
    if units and units % 4 == 0 and exact_enough and rate * 256 < 255.5:
        return 8
    return 16 if units and units % 2 == 0 and rate * 2**16 < 2**16 - 0.5 else 0
