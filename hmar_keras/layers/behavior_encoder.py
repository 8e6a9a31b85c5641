"""The first stage of HMAR's attention: each behaviour by itself (Eq. 5 to 10)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import at_every_position
from hmar_keras.layers.feed_forward import FeedForward
from hmar_keras.layers.rezero import ReZero
from hmar_keras.layers.self_attention import SelfAttention
from hmar_keras.masks import event_mask, same_behavior_mask

PROJECTIONS = ("shared", "none")


@keras.saving.register_keras_serializable(package="hmar_keras")
class BehaviorEncoder(keras.layers.Layer):
    """All K masked behaviour encoders of one block, summed.

    Encoder b reads and writes only the positions of behaviour b (M_b, Eq. 9), and each of them
    attends only to those that are not later. Since every event has exactly one behaviour, the K
    outputs that Eq. 10 adds never overlap, and the K attentions are one attention under the mask
    "same behaviour and not later". To stack blocks, pass O as the G of the next block.

    Args:
        num_behaviors: number of behaviours K.
        num_heads: attention heads; must divide the width.
        dropout: dropout rate in the feed-forward networks.
        projection: the dense layer W_e of Eq. 5: `"shared"` by all behaviours, as the equation
            is written; or `"none"`, as in the authors' release.
        feed_forward_residual: see `FeedForward`.
        seed: seed of the dropout.

    Call arguments:
        inputs: float `[batch, length, dim]` (G).
        behavior_ids: int `[batch, length]`, 0 for padding.

    Returns:
        float `[batch, length, dim]` (O), zero at padding.

    Raises:
        ValueError: if `projection` is unknown, or `num_heads` does not divide the width.
    """

    def __init__(
        self,
        num_behaviors: int,
        num_heads: int = 1,
        dropout: float = 0.0,
        projection: str = "shared",
        feed_forward_residual: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        if projection not in PROJECTIONS:
            raise ValueError(f"projection must be one of {PROJECTIONS}, got {projection!r}.")
        self.num_behaviors = num_behaviors
        self.num_heads = num_heads
        self.dropout = dropout
        self.projection = projection
        self.feed_forward_residual = feed_forward_residual
        self.seed = seed
        policy = self.dtype_policy
        self.attention = SelfAttention(num_heads, num_behaviors, dtype=policy, name="attention")
        self.feed_forward = FeedForward(
            dropout,
            feed_forward_residual,
            num_behaviors,
            seed=seed,
            dtype=policy,
            name="feed_forward",
        )
        self.rezero = ReZero(num_behaviors, dtype=policy, name="rezero")

    def build(self, inputs_shape, behavior_ids_shape):
        """Creates the weights of Eq. 5 to 8."""
        dim = inputs_shape[-1]
        if self.projection == "shared":
            self.input_dense = keras.layers.Dense(dim, dtype=self.dtype_policy, name="input_dense")
            self.input_dense.build(inputs_shape)
        for layer in (self.attention, self.feed_forward, self.rezero):
            layer.build(inputs_shape)

    def call(self, inputs, behavior_ids, training=None):
        """Encodes the events of each behaviour among themselves."""
        encoded = inputs
        if self.projection == "shared":
            encoded = at_every_position(self.input_dense, inputs)  # Eq. 5
        mask = same_behavior_mask(behavior_ids)
        encoded = self.attention(encoded, mask, behavior_ids)  # Eq. 6
        encoded = self.feed_forward(encoded, behavior_ids, training=training)  # Eq. 7
        encoded = self.rezero(inputs, encoded, behavior_ids)  # Eq. 8
        # Eq. 9 and 10: the masked outputs add up to everything but padding. Padding has no network
        # and no gamma, so without a residual it is 0 already.
        if self.feed_forward_residual:
            encoded = encoded * ops.cast(event_mask(behavior_ids)[..., None], encoded.dtype)
        return encoded

    def compute_output_shape(self, inputs_shape, behavior_ids_shape):
        """Returns the shape of the input."""
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_behaviors": self.num_behaviors,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "projection": self.projection,
            "feed_forward_residual": self.feed_forward_residual,
            "seed": self.seed,
        }
