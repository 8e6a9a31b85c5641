"""A state that begins as the sum of its history."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import values_of_behaviors
from hmar_keras.masks import event_mask


@keras.saving.register_keras_serializable(package="hmar_keras")
class HistorySum(keras.layers.Layer):
    """gamma z_t + sum over s <= t of g^b(s) q_s / sqrt(t), t counting the events so far.

    A state scores the next item by a product with that item's encoding. The sum of the encodings q
    of the history therefore scores it by how alike it is to each item of the history, as
    item-to-item co-occurrence does. With gamma, a learnable scalar that starts at 0 as in `ReZero`,
    whatever has encoded the sequence learns what to add to that. The gains g, one learnable scalar
    a behaviour, start at 1.

    Beyond the paper. Sums of item vectors as users: S. Kabbur, X. Ning and G. Karypis, "FISM",
    KDD 2013.

    Args:
        num_behaviors: number of behaviours K.

    Call arguments:
        states: float `[batch, length, dim]` (z of Eq. 13).
        encoded: float `[batch, length, dim]` (q of Eq. 3), 0 at padding.
        behavior_ids: int `[batch, length]`, left-padded with 0.

    Returns:
        float `[batch, length, dim]`, 0 at padding if the states are.
    """

    def __init__(self, num_behaviors: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_behaviors = num_behaviors

    def build(self, states_shape, encoded_shape=None, behavior_ids_shape=None):
        """Creates gamma, a scalar, and g, `[K]`."""
        self.gamma = self.add_weight(shape=(), initializer="zeros", name="gamma")
        self.gain = self.add_weight(shape=(self.num_behaviors,), initializer="ones", name="gain")

    def call(self, states, encoded, behavior_ids):
        """Adds the sums to the gated states."""
        # In half precision the sum of a long history would lose its last digits.
        gains = values_of_behaviors(ops.cast(self.gain, "float32"), behavior_ids)
        sums = ops.cumsum(gains[..., None] * ops.cast(encoded, "float32"), axis=1)
        events = ops.cumsum(ops.cast(event_mask(behavior_ids), "float32"), axis=1)[..., None]
        sums = sums * ops.rsqrt(ops.maximum(events, 1.0))
        return ops.cast(self.gamma, states.dtype) * states + ops.cast(sums, states.dtype)

    def compute_output_shape(self, states_shape, encoded_shape=None, behavior_ids_shape=None):
        """Same as the states'."""
        return states_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_behaviors": self.num_behaviors}
