"""A table of item embeddings with fewer rows than items."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from hmar_keras.layers.item_table import ItemTable

# 31 random bits for each value of each of an id's four bytes, for both hash functions,
# [byte, value, function]. They are part of every trained hashed table and must never change;
# NumPy never changes the numbers of a `RandomState` (NEP 19).
_BITS = np.random.RandomState(0).randint(0, 2**31 - 1, size=(4, 256, 2), dtype=np.int32)


@keras.saving.register_keras_serializable(package="hmar_keras")
class HashedItemTable(ItemTable):
    """Looks an item up as the sum of two rows, each found by its own hash function.

    Each hash function has `buckets` rows. Items share single rows, but rarely both: of I items, a
    share of about I / `buckets`^2 has the same embedding as another item. That is 1 in 25,000 for
    ten million items in 500,000 buckets.

    Args:
        input_dim: number of ids, padding included.
        output_dim: width of an embedding.
        buckets: rows of each hash function.
        **kwargs: as in `ItemTable`.

    Call arguments:
        inputs: int `[...]`.

    Returns:
        float32 `[..., output_dim]`.

    Example:

    >>> table = HashedItemTable(1_000_001, 4, buckets=50_000)
    >>> tuple(table(ops.array([[7, 8, 9]])).shape), tuple(table.embeddings.shape)
    ((1, 3, 4), (100000, 4))
    """

    def __init__(self, input_dim: int, output_dim: int, buckets: int, **kwargs: Any) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        self.buckets = buckets

    @property
    def num_rows(self) -> int:
        """Rows of the weight `embeddings`."""
        return 2 * self.buckets

    def call(self, inputs):
        """Looks the rows up and adds them."""
        return ops.sum(self.read_rows(hashed_rows(inputs, self.buckets)), axis=-2)

    def dot_all_items(self, vectors):
        """Multiplies `vectors`, `[batch, output_dim]`, by every embedding: `[batch, input_dim]`.

        Multiplies by the rows of the table and adds the products, not the embeddings.
        """
        products = super().dot_all_items(vectors)
        rows = hashed_rows(ops.arange(self.input_dim, dtype="int32"), self.buckets)
        return ops.take(products, rows[:, 0], axis=1) + ops.take(products, rows[:, 1], axis=1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "buckets": self.buckets}


def make_item_table(num_items: int, dim: int, buckets: int) -> ItemTable:
    """Creates the table `item_table` of a catalogue, hashed if there are buckets.

    Args:
        num_items: size of the catalogue; ids run from 1 to `num_items`, 0 is padding.
        dim: width of an embedding.
        buckets: rows of each hash function, or 0 for one row per id.
    """
    if buckets:
        return HashedItemTable(num_items + 1, dim, buckets, name="item_table")
    return ItemTable(num_items + 1, dim, name="item_table")


def hashed_rows(item_ids, buckets):
    """Returns the two rows of each item in a table of `2 * buckets` rows, one from each half.

    Simple tabulation hashing: every byte of an id picks random bits, which are combined by
    exclusive or. There is no multiplication that could overflow 32 bits, so all backends and
    devices agree.

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
