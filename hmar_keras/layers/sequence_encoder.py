"""The second stage of HMAR's attention: the whole sequence, across behaviours (Eq. 11 to 13)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.layers.feed_forward import FeedForward
from hmar_keras.layers.self_attention import SelfAttention
from hmar_keras.masks import event_mask, history_mask


@keras.saving.register_keras_serializable(package="hmar_keras")
class SequenceEncoder(keras.layers.Layer):
    """One block of Z = FFN(SA(O) + G), causal and blind to padding.

    To stack blocks, pass Z as both O and G of the next block.

    Args:
        num_heads: attention heads; must divide the width.
        dropout: dropout rate in the feed-forward network.
        feed_forward_residual: see `FeedForward`.
        layer_norm: normalise the input of the feed-forward network. The authors' release does, the
            paper does not.
        seed: seed of the dropout.

    Call arguments:
        inputs: float `[batch, length, dim]` (O, the behaviour encoders' output).
        residual: float `[batch, length, dim]` (G, the encoded items).
        ids: int `[batch, length]`, item or behaviour ids; only which are padding (0) matters.

    Returns:
        float `[batch, length, dim]` (Z), zero at padding.
    """

    def __init__(
        self,
        num_heads: int = 1,
        dropout: float = 0.0,
        feed_forward_residual: bool = False,
        layer_norm: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_heads = num_heads
        self.dropout = dropout
        self.feed_forward_residual = feed_forward_residual
        self.layer_norm = layer_norm
        self.seed = seed
        policy = self.dtype_policy
        self.attention = SelfAttention(num_heads, dtype=policy, name="attention")
        self.feed_forward = FeedForward(
            dropout, feed_forward_residual, seed=seed, dtype=policy, name="feed_forward"
        )
        if layer_norm:
            self.norm = keras.layers.LayerNormalization(dtype=policy, name="norm")

    def build(self, inputs_shape, residual_shape=None, ids_shape=None):
        """Creates the weights of Eq. 11 to 13."""
        self.attention.build(inputs_shape)
        self.feed_forward.build(inputs_shape)
        if self.layer_norm:
            self.norm.build(inputs_shape)

    def call(self, inputs, residual, ids, training=None):
        """Encodes the sequence."""
        attended = self.attention(inputs, history_mask(ids)) + residual  # Eq. 11 and 12
        if self.layer_norm:
            attended = self.norm(attended)
        outputs = self.feed_forward(attended, training=training)  # Eq. 13
        return outputs * ops.cast(event_mask(ids)[..., None], outputs.dtype)

    def compute_output_shape(self, inputs_shape, residual_shape=None, ids_shape=None):
        """Returns the shape of the input."""
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "feed_forward_residual": self.feed_forward_residual,
            "layer_norm": self.layer_norm,
            "seed": self.seed,
        }
