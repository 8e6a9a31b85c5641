"""The table of item embeddings."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from hmar_keras.kernels import dot_candidates, take_rows

# 31 random bits for each value of each of an id's four bytes, for both hash functions,
# [byte, value, function]. They are part of every trained hashed table and must never change;
# NumPy keeps the numbers of a `RandomState` as they are (NEP 19).
_BITS = np.random.RandomState(0).randint(0, 2**31 - 1, size=(4, 256, 2), dtype=np.int32)


@keras.saving.register_keras_serializable(package="hmar_keras")
class ItemTable(keras.layers.Embedding):
    """As `keras.layers.Embedding`, but reads the rows that are asked for and no others.

    On TensorFlow `keras.layers.Embedding` reads the whole variable first, and that is a copy of
    it in every lookup once an optimiser, as `LazyAdam`, has written single rows.

    With `buckets`, the table is hashed: an item's embedding is the sum of two rows, each found by
    a hash function of its own in `buckets` rows of its own. Items share single rows, but seldom
    both: of I items, a share of about I / `buckets`^2 has a twin with the same embedding, which
    is 1 in 25,000 for ten million items in 500,000 buckets.

    Args:
        input_dim: number of ids, padding included.
        output_dim: width of an embedding.
        buckets: rows of each hash function, or 0 for one row an id.
        **kwargs: as in `keras.layers.Embedding`; always float32, so that no lookup casts the
            table.

    Call arguments:
        inputs: int `[...]`.

    Returns:
        float32 `[..., output_dim]`.

    Example:

    >>> table = ItemTable(1_000_001, 4, buckets=50_000)
    >>> tuple(table(ops.array([[7, 8, 9]])).shape), tuple(table.embeddings.shape)
    ((1, 3, 4), (100000, 4))
    """

    def __init__(self, input_dim: int, output_dim: int, buckets: int = 0, **kwargs: Any) -> None:
        super().__init__(input_dim, output_dim, **{**kwargs, "dtype": "float32"})
        self.buckets = buckets

    def build(self, input_shape=None):
        """Creates the table, `[input_dim, output_dim]` or `[2 * buckets, output_dim]`."""
        if self.built:
            return
        self._embeddings = self.add_weight(
            shape=(2 * self.buckets or self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            name="embeddings",
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    def call(self, inputs):
        """Looks the rows up."""
        if self.buckets:
            return ops.sum(self._read(hashed_rows(inputs, self.buckets)), axis=-2)
        return self._read(inputs)

    def _read(self, rows):
        return take_rows(self.embeddings.value, ops.convert_to_tensor(rows))

    def all_items(self):
        """The embeddings of all ids, `[input_dim, output_dim]`."""
        if self.buckets:
            return self(ops.arange(self.input_dim, dtype="int32"))
        return ops.convert_to_tensor(self.embeddings)

    def dot(self, vectors, item_ids):
        """The products of `vectors`, `[batch, steps, output_dim]`, with items.

        Args:
            vectors: float32, as above.
            item_ids: int `[batch, steps, items]`, for every step its own; or `[batch, items]`,
                the same for all steps.

        Returns:
            float32 `[batch, steps, items]`.
        """
        if len(item_ids.shape) == 2:
            return ops.matmul(vectors, ops.transpose(self(item_ids), (0, 2, 1)))
        return dot_candidates(vectors, self(item_ids))

    def dot_all_items(self, vectors):
        """The products of `vectors`, `[batch, output_dim]`, with every id: `[batch, input_dim]`.

        A hashed table multiplies its rows and adds up numbers, not embeddings.
        """
        products = ops.matmul(vectors, ops.transpose(ops.convert_to_tensor(self.embeddings)))
        if not self.buckets:
            return products
        rows = hashed_rows(ops.arange(self.input_dim, dtype="int32"), self.buckets)
        return ops.take(products, rows[:, 0], axis=1) + ops.take(products, rows[:, 1], axis=1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "buckets": self.buckets}


def hashed_rows(item_ids, buckets):
    """The two rows of each item in a table of `2 * buckets` rows, the second `buckets` its own.

    Simple tabulation hashing: every byte of an id picks random bits, which are combined by
    exclusive or. Without a product there is nothing to overflow in 32 bits, and so no backend or
    device that would do so differently.

    Args:
        item_ids: int `[...]`, from 0.
        buckets: rows of each hash function.

    Returns:
        int32 `[..., 2]`.
    """
    item_ids = ops.cast(item_ids, "int32")
    bits = ops.zeros((1, 2), "int32")
    for place, numbers in enumerate(_BITS):
        byte = ops.bitwise_and(ops.right_shift(item_ids, 8 * place), 255)
        bits = ops.bitwise_xor(bits, ops.take(numbers, byte, axis=0))
    return ops.mod(bits, buckets) + ops.array([0, buckets], "int32")
