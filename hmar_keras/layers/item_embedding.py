"""Item embeddings without indicators, shared by histories and candidates."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import last_steps, scores_shape
from hmar_keras.layers.hashed_item_table import make_item_table
from hmar_keras.masks import event_mask


@keras.saving.register_keras_serializable(package="hmar_keras")
class ItemEmbedding(keras.layers.Layer):
    """v for the items of a history and z . v for candidates, from one table (SASRec, Eq. 6).

    Args:
        num_items: size of the catalogue; ids run from 1 to `num_items`, 0 is padding.
        dim: width d of an embedding.
        scale_embeddings: multiply the history's embeddings by sqrt(d), as SASRec's code does.
        item_buckets: rows of each hash function of a `HashedItemTable`; 0 for an `ItemTable`.

    Call arguments:
        item_ids: int `[...]`, any shape.
        states: optional float `[batch, length, dim]`; if given, `item_ids` are candidates,
            `[batch, steps, candidates]`, for the last `steps` states.
        negative_ids: optional int `[batch, negatives]`, only with `states`: more candidates, the
            same for every step.

    Returns:
        float `[..., dim]`, zero at padding; histories `[batch, length]` carry a Keras mask. With
        `states`, float32 `[batch, steps, candidates + negatives]`, zero for padding.
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        scale_embeddings: bool = False,
        item_buckets: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_items = num_items
        self.dim = dim
        self.scale_embeddings = scale_embeddings
        self.item_buckets = item_buckets
        self.item_table = make_item_table(num_items, dim, item_buckets)

    def build(self, item_ids_shape, states_shape=None, negative_ids_shape=None):
        """Creates the table."""
        self.item_table.build(item_ids_shape)

    def call(self, item_ids, states=None, negative_ids=None):
        """Looks items up, or scores them if `states` are given."""
        if states is None:
            items = self.item_table(item_ids)
            if self.scale_embeddings:
                items = items * math.sqrt(self.dim)
            items = items * ops.cast(event_mask(item_ids)[..., None], items.dtype)
            return ops.cast(items, self.compute_dtype)
        states = last_steps(ops.cast(states, "float32"), item_ids)
        scores = self.item_table.dot(states, item_ids)
        scores = scores * ops.cast(event_mask(item_ids), "float32")
        if negative_ids is None:
            return scores
        return ops.concatenate([scores, self.item_table.dot(states, negative_ids)], axis=-1)

    def compute_mask(self, inputs, previous_mask=None):
        """Returns the mask of a history `[batch, length]`; candidates have none."""
        return event_mask(inputs) if len(inputs.shape) == 2 else None

    def compute_output_spec(self, item_ids, states=None, negative_ids=None):
        """Returns `[..., dim]`, or `[batch, steps, candidates + negatives]` with `states`."""
        shapes = [None if x is None else x.shape for x in (item_ids, states, negative_ids)]
        dtype = self.compute_dtype if states is None else "float32"
        return keras.KerasTensor(self.compute_output_shape(*shapes), dtype)

    def compute_output_shape(self, item_ids_shape, states_shape=None, negative_ids_shape=None):
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
