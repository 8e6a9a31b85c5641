"""The ReZero connection around the behaviour encoders (Eq. 8)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import values_of_behaviors


@keras.saving.register_keras_serializable(package="hmar_keras")
class ReZero(keras.layers.Layer):
    """L = F + gamma^b x: a skip connection that starts closed.

    There is one learnable scalar gamma per behaviour, initialised to 0.

    Args:
        num_behaviors: number of behaviours K.

    Call arguments:
        inputs: float `[batch, length, dim]`, the skipped x (G of Eq. 8).
        outputs: float `[batch, length, dim]`, what was computed from x (F of Eq. 8).
        behavior_ids: int `[batch, length]`; padding (0) has gamma 0.

    Returns:
        float `[batch, length, dim]`.
    """

    def __init__(self, num_behaviors: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_behaviors = num_behaviors

    def build(self, inputs_shape, outputs_shape=None, behavior_ids_shape=None):
        """Creates gamma, `[K]`."""
        self.gamma = self.add_weight(shape=(self.num_behaviors,), initializer="zeros", name="gamma")

    def call(self, inputs, outputs, behavior_ids):
        """Adds the gated input."""
        gates = values_of_behaviors(ops.cast(self.gamma, inputs.dtype), behavior_ids)
        return outputs + gates[..., None] * inputs  # Eq. 8

    def compute_output_shape(self, inputs_shape, outputs_shape, behavior_ids_shape=None):
        """Returns the shape of the input."""
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_behaviors": self.num_behaviors}
