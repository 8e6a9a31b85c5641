"""The table of item embeddings."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import dot_candidates, take_rows


@keras.saving.register_keras_serializable(package="hmar_keras")
class ItemTable(keras.layers.Embedding):
    """A `keras.layers.Embedding` that reads only the requested rows.

    On TensorFlow, `keras.layers.Embedding` reads the whole variable first, which copies it in every
    lookup once an optimiser such as `LazyAdam` has written single rows.

    Args:
        input_dim: number of ids, padding included.
        output_dim: width of an embedding.
        **kwargs: as in `keras.layers.Embedding`; always float32, so that no lookup casts the
            table.

    Call arguments:
        inputs: int `[...]`.

    Returns:
        float32 `[..., output_dim]`.

    Example:

    >>> table = ItemTable(1_001, 4)
    >>> tuple(table(ops.array([[7, 8, 9]])).shape), tuple(table.embeddings.shape)
    ((1, 3, 4), (1001, 4))
    """

    def __init__(self, input_dim: int, output_dim: int, **kwargs: Any) -> None:
        super().__init__(input_dim, output_dim, **{**kwargs, "dtype": "float32"})

    @property
    def num_rows(self) -> int:
        """Rows of the weight `embeddings`."""
        return self.input_dim

    def build(self, input_shape=None):
        """Creates the table, `[num_rows, output_dim]`."""
        if self.built:
            return
        self._embeddings = self.add_weight(
            shape=(self.num_rows, self.output_dim),
            initializer=self.embeddings_initializer,
            name="embeddings",
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    def call(self, inputs):
        """Looks the rows up."""
        return self.read_rows(inputs)

    def read_rows(self, rows):
        """Reads rows of the weight: int `[...]` to float32 `[..., output_dim]`."""
        return take_rows(self.embeddings.value, ops.convert_to_tensor(rows))

    def dot(self, vectors, item_ids):
        """Multiplies vectors by the embeddings of items.

        Args:
            vectors: float32 `[batch, steps, output_dim]`.
            item_ids: int `[batch, steps, items]`, different for each step, or `[batch, items]`,
                the same for all steps.

        Returns:
            float32 `[batch, steps, items]`.
        """
        if len(item_ids.shape) == 2:
            return ops.matmul(vectors, ops.transpose(self(item_ids), (0, 2, 1)))
        return dot_candidates(vectors, self(item_ids))

    def dot_all_items(self, vectors):
        """Multiplies `vectors`, `[batch, output_dim]`, by every embedding: `[batch, input_dim]`."""
        return ops.matmul(vectors, ops.transpose(ops.convert_to_tensor(self.embeddings)))
