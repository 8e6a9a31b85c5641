"""Dropout that draws fewer random numbers."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="hmar_keras")
class Dropout(keras.layers.Dropout):
    """A `keras.layers.Dropout` that on TensorFlow draws one 32-bit number for several units.

    On a CPU, drawing the numbers is a large part of a TensorFlow step. Four units share a number,
    eight bits each, if that changes the rate by at most a fiftieth of it: 0.45 becomes 115 / 256.
    Otherwise two units share a number, which changes the rate by at most 2^-17. The kept units are
    scaled by the actual rate, so that their mean is right.

    Arguments and outputs are those of `keras.layers.Dropout`.
    """

    def call(self, inputs, training=False):
        """Drops units in training."""
        plain = keras.backend.backend() != "tensorflow" or self.noise_shape is not None
        bits = _bits(self.rate, inputs.shape[-1])
        if plain or not bits or not (training and self.rate):
            return super().call(inputs, training=training)
        shape = (*ops.shape(inputs)[:-1], inputs.shape[-1] * bits // 32)
        # The full 32-bit range: for a smaller one TensorFlow divides, and takes 1.5 times as long.
        numbers = keras.random.randint(shape, None, None, "int32", self.seed_generator)
        limit = round(self.rate * 2**bits)
        units = ops.view(numbers, f"uint{bits}")
        kept = ops.greater_equal(units, ops.cast(limit, units.dtype))
        # Not `where` with two scalars: broadcasting them takes longer than a cast and a product.
        return inputs * (ops.cast(kept, inputs.dtype) * (2**bits / (2**bits - limit)))


def _bits(rate, units):
    """Returns how many bits decide a unit; 0 if none suit the rate and the number of units."""
    exact_enough = abs(round(rate * 256) / 256 - rate) <= rate / 50
    if units and units % 4 == 0 and exact_enough and rate * 256 < 255.5:
        return 8
    return 16 if units and units % 2 == 0 and rate * 2**16 < 2**16 - 0.5 else 0
