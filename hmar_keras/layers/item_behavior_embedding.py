"""Encoding of an item together with its historical behaviour indicators (Eq. 1 to 3)."""

from __future__ import annotations

import math

import keras
from keras import ops

from hmar_keras.masks import event_mask


@keras.saving.register_keras_serializable(package="hmar_keras")
class ItemBehaviorEmbedding(keras.layers.Layer):
    """q = concat(v W_v + B_v, c W_c + B_c) W_r + B_r, for history and candidates alike.

    Args:
        num_items: size of the catalogue; ids run from 1 to `num_items`, 0 is padding.
        dim: width d of every embedding.
        scale_embeddings: multiply item embeddings by sqrt(d), as the authors' release does. The
            paper's Eq. 1 does not.

    Call arguments:
        item_ids: int `[...]`, any shape.
        indicators: float `[..., K]`, see `HistoricalBehaviorIndicators`.

    Returns:
        float `[..., dim]`, zero at padding.
    """

    def __init__(self, num_items, dim, scale_embeddings=False, **kwargs):
        super().__init__(**kwargs)
        self.num_items = num_items
        self.dim = dim
        self.scale_embeddings = scale_embeddings
        # W_v. The bias of Eq. 1 is a weight of its own, shared by all items.
        self.item_table = keras.layers.Embedding(
            num_items + 1, dim, dtype=self.dtype_policy, name="item_table"
        )
        self.indicator_dense = keras.layers.Dense(
            dim, dtype=self.dtype_policy, name="indicator_dense"
        )
        self.combine = keras.layers.Dense(dim, dtype=self.dtype_policy, name="combine")

    def build(self, item_ids_shape, indicators_shape):
        """Creates the weights of Eq. 1 to 3."""
        self.item_table.build(item_ids_shape)
        self.item_bias = self.add_weight(shape=(self.dim,), initializer="zeros", name="item_bias")
        self.indicator_dense.build(indicators_shape)
        self.combine.build((*item_ids_shape, 2 * self.dim))

    def call(self, item_ids, indicators):
        """Encodes items that come with the given counts."""
        items = self._embed(self.item_table(item_ids))
        history = self.indicator_dense(indicators)  # Eq. 2
        encoded = self.combine(ops.concatenate([items, history], axis=-1))  # Eq. 3
        return encoded * ops.cast(event_mask(item_ids)[..., None], encoded.dtype)

    def fold(self):
        """What Eq. 1 to 3 become for a whole catalogue, since they are linear in the counts.

        Returns:
            `(base, effect)`: `base` `[num_items + 1, dim]` is the encoding of every id (0 is
            padding) without any history, `effect` `[K, dim]` what one more event of each
            behaviour adds, so that `q(item, counts) == base[item] + counts @ effect`.
        """
        items = self._embed(ops.convert_to_tensor(self.item_table.embeddings))
        kernel = ops.convert_to_tensor(self.combine.kernel)
        item_kernel, history_kernel = kernel[: self.dim], kernel[self.dim :]
        no_history = ops.matmul(self.indicator_dense.bias[None], history_kernel)
        base = ops.matmul(items, item_kernel) + no_history + self.combine.bias
        return base, ops.matmul(self.indicator_dense.kernel, history_kernel)

    def _embed(self, items):
        if self.scale_embeddings:
            items = items * ops.cast(math.sqrt(self.dim), items.dtype)
        return items + ops.cast(self.item_bias, items.dtype)  # Eq. 1

    def compute_output_shape(self, item_ids_shape, indicators_shape):
        """`[..., dim]`."""
        return (*item_ids_shape, self.dim)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_items": self.num_items,
            "dim": self.dim,
            "scale_embeddings": self.scale_embeddings,
        }
