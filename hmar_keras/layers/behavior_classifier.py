"""The behaviour of the next event, given its item (Eq. 16)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import last_steps


@keras.saving.register_keras_serializable(package="hmar_keras")
class BehaviorClassifier(keras.layers.Layer):
    """Logits of the behaviours, (concat(z, q) W_1 + B_1) W_2 + B_2.

    As in Eq. 16, there is no activation between the two layers; the softmax is in the loss.

    Args:
        num_behaviors: number of behaviours K.

    Call arguments:
        states: float `[batch, length, dim]` (z).
        candidates: float `[batch, steps, dim]` (q), one item for each of the last `steps` states.

    Returns:
        float32 `[batch, steps, K]`, even under a mixed precision policy; column i belongs to
        behaviour id i + 1.
    """

    def __init__(self, num_behaviors: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.supports_masking = True
        self.num_behaviors = num_behaviors
        self.output_dense = keras.layers.Dense(num_behaviors, dtype="float32", name="output")

    def build(self, states_shape, candidates_shape):
        """Creates the two dense layers."""
        dim = states_shape[-1]
        self.hidden = keras.layers.Dense(dim, dtype="float32", name="hidden")
        self.hidden.build((*states_shape[:-1], 2 * dim))
        self.output_dense.build((*states_shape[:-1], dim))

    def call(self, states, candidates):
        """Returns the logits of the behaviours."""
        # Eq. 16 is linear, so its two layers are applied as one, with K columns instead of d.
        kernel = ops.matmul(self.hidden.kernel, self.output_dense.kernel)
        bias = ops.matmul(self.hidden.bias[None], self.output_dense.kernel)[0]
        dim = states.shape[-1]
        states, candidates = (ops.cast(x, "float32") for x in (states, candidates))
        logits = ops.matmul(last_steps(states, candidates), kernel[:dim])
        return logits + ops.matmul(candidates, kernel[dim:]) + bias + self.output_dense.bias

    def compute_mask(self, inputs, previous_mask=None):
        """Returns None, because the losses exclude padding themselves."""
        return None

    def compute_output_shape(self, states_shape, candidates_shape):
        """Returns `[batch, steps, K]`."""
        return (*candidates_shape[:-1], self.num_behaviors)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_behaviors": self.num_behaviors}
