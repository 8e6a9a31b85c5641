"""Learned positions, counted from the newest event backwards (Eq. 4)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="hmar_keras")
class PositionEmbedding(keras.layers.Layer):
    """g = q + P, where the newest event always gets the last row of P.

    Because the sequences are padded on the left, adding or trimming padding changes nothing.

    Args:
        max_length: the maximum length of a sequence.

    Call arguments:
        inputs: float `[batch, length, dim]`, `length <= max_length`.

    Returns:
        float `[batch, length, dim]`.

    Raises:
        ValueError: if a sequence is known to be longer than `max_length`.
    """

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.max_length = max_length

    def build(self, input_shape):
        """Creates P, `[max_length, dim]`, oldest first."""
        self.positions = self.add_weight(
            shape=(self.max_length, input_shape[-1]), initializer="uniform", name="positions"
        )

    def call(self, inputs):
        """Adds the last `length` rows of P."""
        if inputs.shape[1] is not None and inputs.shape[1] > self.max_length:
            raise ValueError(
                f"sequence of length {inputs.shape[1]} is longer than max_length "
                f"{self.max_length}; keep its most recent {self.max_length} events."
            )
        start = self.max_length - ops.shape(inputs)[1]
        if not isinstance(start, int):
            # The length is known only at run time. A sequence that is too long must fail on the
            # shapes below and not wrap around.
            start = ops.maximum(start, 0)
        positions = ops.convert_to_tensor(self.positions)[start:]
        return inputs + ops.cast(positions[None], inputs.dtype)

    def compute_output_shape(self, input_shape):
        """Returns the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "max_length": self.max_length}
