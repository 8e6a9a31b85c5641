"""Encoding of items together with their historical behaviour indicators (Eq. 1 to 3)."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import dot_candidates, last_steps, scores_shape
from hmar_keras.layers.hashed_item_table import make_item_table
from hmar_keras.masks import event_mask


@keras.saving.register_keras_serializable(package="hmar_keras")
class ItemBehaviorEmbedding(keras.layers.Layer):
    """q = concat(v W_v + B_v, c W_c + B_c) W_r + B_r, for histories and candidates alike.

    Args:
        num_items: size of the catalogue; ids run from 1 to `num_items`, 0 is padding.
        dim: width d of every embedding.
        scale_embeddings: multiply item embeddings by sqrt(d), as the authors' release does. The
            paper's Eq. 1 does not.
        item_buckets: rows of each hash function of a `HashedItemTable`; 0 for an `ItemTable`.

    Call arguments:
        item_ids: int `[...]`, any shape.
        indicators: float `[..., K]`, see `HistoricalBehaviorIndicators`.
        states: optional float `[batch, length, dim]`; if given, `item_ids` are candidates,
            `[batch, steps, candidates]`, for the last `steps` states.
        negative_ids: optional int `[batch, negatives]`, only with `states`: more candidates, the
            same for every step, that are not in the history, so that their counts are 0.
        items: optional float32 `[..., dim]`, the result of `look_up(item_ids)`, for calls that
            share a lookup.

    Returns:
        float `[..., dim]`, zero at padding; histories `[batch, length]` carry a Keras mask.
        With `states`, float32 `[batch, steps, candidates + negatives]`: the logits z . q (Eq. 14),
        computed without encoding the candidates. The sigmoid of Eq. 14 is left to the loss. It is
        monotone, so it changes no ranking, but in float32 it makes large scores equal.
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        scale_embeddings: bool = False,
        item_buckets: int = 0,
        **kwargs: Any,
    ) -> None:
        # No autocast: `items` are float32 in every precision, as in the table.
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        self.num_items = num_items
        self.dim = dim
        self.scale_embeddings = scale_embeddings
        self.item_buckets = item_buckets
        # W_v. The bias of Eq. 1 is a separate weight, shared by all items.
        self.item_table = make_item_table(num_items, dim, item_buckets)
        self.indicator_dense = keras.layers.Dense(
            dim, dtype=self.dtype_policy, name="indicator_dense"
        )
        self.combine = keras.layers.Dense(dim, dtype=self.dtype_policy, name="combine")

    def build(
        self,
        item_ids_shape,
        indicators_shape,
        states_shape=None,
        negative_ids_shape=None,
        items_shape=None,
    ):
        """Creates the weights of Eq. 1 to 3."""
        self.item_table.build(item_ids_shape)
        self.item_bias = self.add_weight(shape=(self.dim,), initializer="zeros", name="item_bias")
        self.indicator_dense.build(indicators_shape)
        self.combine.build((*item_ids_shape, 2 * self.dim))

    def look_up(self, item_ids):
        """Looks up the embeddings of items without indicators, float32 `[..., dim]`."""
        return self.item_table(item_ids)

    def call(self, item_ids, indicators, states=None, negative_ids=None, items=None):
        """Encodes items with the given counts, or scores them if `states` are given."""
        items = self.look_up(item_ids) if items is None else items
        if states is not None:
            return self._score(item_ids, items, indicators, states, negative_ids)
        item_kernel, effect, offset = self._linear(self.compute_dtype)
        items, counts = (ops.cast(x, self.compute_dtype) for x in (items, indicators))
        encoded = ops.matmul(items, item_kernel) + ops.matmul(counts, effect) + offset
        return encoded * ops.cast(event_mask(item_ids)[..., None], encoded.dtype)

    def _score(self, item_ids, items, indicators, states, negative_ids):
        """Computes z . q = (z item_kernel^T) . item + (z effect^T) . counts + z . offset."""
        states = last_steps(ops.cast(states, "float32"), item_ids)
        item_kernel, effect, offset = self._linear()
        by_item = ops.matmul(states, ops.transpose(item_kernel))
        by_count = ops.matmul(states, ops.transpose(effect))[:, :, None, :]
        scores = dot_candidates(by_item, items)
        scores = scores + ops.sum(ops.cast(indicators, "float32") * by_count, axis=-1)
        constant = ops.matmul(states, offset[:, None])
        scores = (scores + constant) * ops.cast(event_mask(item_ids), "float32")
        if negative_ids is None:
            return scores
        negatives = self.item_table.dot(by_item, negative_ids) + constant
        return ops.concatenate([scores, negatives], axis=-1)

    def catalog_query(self, states):
        """Returns the terms of z . q, so that one product with the table scores all items.

        Args:
            states: float32 `[batch, dim]`.

        Returns:
            `(vectors, offsets, gains)`: float32 `[batch, dim]`, `[batch, 1]` and `[batch, K]`. For
            an item without history, z . q is `vectors . item + offsets`; each event on the item
            adds the entry of its behaviour in `gains`.
        """
        item_kernel, effect, offset = self._linear()
        vectors = ops.matmul(states, ops.transpose(item_kernel))
        offsets = ops.matmul(states, offset[:, None])
        return vectors, offsets, ops.matmul(states, ops.transpose(effect))

    def _linear(self, dtype="float32"):
        """Multiplies out Eq. 1 to 3: q = item @ item_kernel + counts @ effect + offset."""
        kernel = ops.convert_to_tensor(self.combine.kernel)  # W_r
        item_kernel, history_kernel = kernel[: self.dim], kernel[self.dim :]
        effect = ops.matmul(self.indicator_dense.kernel, history_kernel)  # of Eq. 2
        offset = ops.matmul(self.item_bias[None], item_kernel)  # of Eq. 1
        offset = offset + ops.matmul(self.indicator_dense.bias[None], history_kernel)
        if self.scale_embeddings:
            item_kernel = item_kernel * math.sqrt(self.dim)
        offset = offset[0] + self.combine.bias
        return [ops.cast(part, dtype) for part in (item_kernel, effect, offset)]

    def compute_mask(self, inputs, previous_mask=None):
        """Returns the mask of a history `[batch, length]`; candidates have none."""
        return event_mask(inputs) if len(inputs.shape) == 2 else None

    def compute_output_spec(self, item_ids, indicators, states=None, negative_ids=None, items=None):
        """Returns `[..., dim]`, or `[batch, steps, candidates + negatives]` with `states`."""
        shapes = [None if x is None else x.shape for x in (item_ids, indicators, states)]
        shapes.append(None if negative_ids is None else negative_ids.shape)
        dtype = self.compute_dtype if states is None else "float32"
        return keras.KerasTensor(self.compute_output_shape(*shapes), dtype)

    def compute_output_shape(
        self, item_ids_shape, indicators_shape, states_shape=None, negative_ids_shape=None
    ):
        """Returns `[..., dim]`, or `[batch, steps, candidates + negatives]` with `states`."""
        if states_shape is None:
            return (*item_ids_shape, self.dim)
        return scores_shape(item_ids_shape, negative_ids_shape)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_items": self.num_items,
            "dim": self.dim,
            "scale_embeddings": self.scale_embeddings,
            "item_buckets": self.item_buckets,
        }
