"""Multi-head self-attention as the paper writes it (Eq. 6 and 11)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import masked_attention
from hmar_keras.layers.behavior_dense import BehaviorDense

# Depends on fan-in alone, so each of three square kernels side by side is drawn as by Glorot.
_INITIALIZER = "lecun_uniform"


@keras.saving.register_keras_serializable(package="hmar_keras")
class SelfAttention(keras.layers.Layer):
    """SA(x) = concat of the heads' Att(x W_Q, x W_K, x W_V), without bias or output projection.

    Args:
        num_heads: number of heads H; must divide the input's width.
        num_behaviors: None for one set of projections (Eq. 11); K for one set per behaviour
            (Eq. 6), where each position uses the set of its behaviour. Together with
            `masks.same_behavior_mask` this equals K separate attentions.

    Call arguments:
        inputs: float `[batch, length, dim]`.
        mask: bool `[batch, query, key]`, True where a query may attend to a key; see
            `hmar_keras.masks`.
        behavior_ids: int `[batch, length]`, only with `num_behaviors`.

    Returns:
        float `[batch, length, dim]`. A query that may attend to nothing gets finite but
        meaningless values, which the caller masks.

    Raises:
        ValueError: if `num_heads` does not divide `dim`.
    """

    def __init__(self, num_heads: int = 1, num_behaviors: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_heads = num_heads
        self.num_behaviors = num_behaviors

    def compute_mask(self, inputs, previous_mask=None):
        """Returns the mask of the inputs; Keras would take the argument `mask` for it."""
        return getattr(inputs, "_keras_mask", None)

    def build(self, inputs_shape, mask_shape=None, behavior_ids_shape=None):
        """Creates W_Q, W_K and W_V side by side, `[dim, 3 * dim]`, or K sets of them."""
        dim = inputs_shape[-1]
        if self.num_heads < 1 or dim % self.num_heads:
            raise ValueError(
                f"num_heads must divide dim, got num_heads={self.num_heads} and dim={dim}; "
                f"choose a divisor of {dim}."
            )
        shared = {
            "use_bias": False,
            "kernel_initializer": _INITIALIZER,
            "dtype": self.dtype_policy,
            "name": "query_key_value",
        }
        if self.num_behaviors is None:
            self.query_key_value = keras.layers.Dense(3 * dim, **shared)
        else:
            self.query_key_value = BehaviorDense(self.num_behaviors, 3 * dim, **shared)
        self.query_key_value.build(inputs_shape)

    def call(self, inputs, mask, behavior_ids=None):
        """Applies attention under the mask."""
        extra = () if self.num_behaviors is None else (behavior_ids,)
        projections = self.query_key_value(inputs, *extra)
        batch, length, dim = ops.shape(inputs)
        shape = (batch, length, self.num_heads, dim // self.num_heads)
        # The gradient of a split is one concatenation; that of three slices is three full arrays.
        parts = ops.split(projections, 3, axis=-1)
        attended = masked_attention(*(ops.reshape(part, shape) for part in parts), mask)
        return ops.reshape(attended, (batch, length, dim))

    def compute_output_shape(self, inputs_shape, mask_shape=None, behavior_ids_shape=None):
        """Returns the shape of the input."""
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_behaviors": self.num_behaviors,
        }
