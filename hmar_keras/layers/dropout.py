"""Dropout that draws fewer random numbers."""

from __future__ import annotations

import keras
from keras import ops

_VALUES = 1 << 16  # of half a random number


@keras.saving.register_keras_serializable(package="hmar_keras")
class Dropout(keras.layers.Dropout):
    """As `keras.layers.Dropout`; on TensorFlow one random number of 32 bits decides two units.

    There drawing the numbers is a good part of a step on a CPU. The rate is kept to within 2^-17.

    Takes what `keras.layers.Dropout` takes, and returns what it returns.
    """

    def call(self, inputs, training=False):
        """Drops units in training."""
        units = inputs.shape[-1]
        plain = keras.backend.backend() != "tensorflow" or self.noise_shape is not None
        if plain or units is None or units % 2 or not (training and self.rate):
            return super().call(inputs, training=training)
        shape = (*ops.shape(inputs)[:-1], units // 2)
        numbers = keras.random.randint(shape, -(2**31), 2**31 - 1, seed=self.seed_generator)
        limit = round(self.rate * _VALUES)
        kept = ops.greater_equal(ops.view(numbers, "uint16"), limit)
        scale = ops.cast(_VALUES / (_VALUES - limit), inputs.dtype)
        return inputs * ops.where(kept, scale, ops.zeros((), inputs.dtype))
