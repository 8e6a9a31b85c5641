"""A table of what pairs of items share, with one place per pair and few places per item."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from hmar_keras.kernels import take_rows

_MOST_PAIRS = 1 << 23  # 64 MiB
_FEWEST, _MOST_PLACES = 32, 128


def places_per_item(num_items: int) -> int:
    """Returns how many pairs a `PairTable` keeps per item: a power of two from 32 to 128.

    More places make scores hardly better, and requests slower.

    Example:

    >>> places_per_item(500), places_per_item(100_000), places_per_item(10_000_000)
    (128, 64, 32)
    """
    room = 1 << max((_MOST_PAIRS // (num_items + 1)).bit_length() - 1, 0)
    return max(min(room, _MOST_PLACES), _FEWEST)


@keras.saving.register_keras_serializable(package="hmar_keras")
class PairTable(keras.layers.Layer):
    """The number kept for each ordered pair of items, 0 for pairs that are not kept.

    The pair (i, c) has one possible place, number c modulo P in row i. So a pair is found by two
    lookups, without a search, whatever the size of the catalogue. Of the pairs with the same place,
    whoever fills the table keeps one. Nothing in it is trained.

    Args:
        num_items: size I of the catalogue, up to 2^24; ids run from 1 to I, 0 is padding.
        num_places: P, places per item.

    Call arguments:
        item_ids: int `[batch, length]`.
        candidate_ids: int `[batch, candidates]`.

    Returns:
        float32 `[batch, length, candidates]`.

    Example:

    >>> table = PairTable(9, num_places=4)
    >>> table.build()
    >>> tuple(table(ops.array([[1, 2, 3]]), ops.array([[7, 8]])).shape)
    (1, 3, 2)
    """

    def __init__(self, num_items: int, num_places: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_items = num_items
        self.num_places = num_places

    def build(self, item_ids_shape=None, candidate_ids_shape=None):
        """Creates the empty table, `[(num_items + 1) * P, 2]`: ids and values side by side."""
        rows = (self.num_items + 1) * self.num_places
        self.pairs = self.add_weight(
            shape=(rows, 2), initializer="zeros", trainable=False, name="pairs"
        )
        self.rivals = self.add_weight(
            shape=(rows, 1), initializer="zeros", trainable=False, name="rivals"
        )
        self.built = True

    def assign(self, candidate_ids, values, rivals) -> None:
        """Fills the table, which must be built.

        Args:
            candidate_ids: int `[num_items + 1, P]`, the id c of the pair at each place, 0 for none.
            values: float `[num_items + 1, P]`.
            rivals: float `[num_items + 1, P]`, the highest value that is not kept at each place.
        """
        self.pairs.assign(np.stack([candidate_ids, values], axis=-1).reshape(-1, 2))
        self.rivals.assign(np.reshape(rivals, (-1, 1)))

    def call(self, item_ids, candidate_ids):
        """Looks the pairs up."""
        places = self._places(item_ids, candidate_ids)
        # Both numbers of a pair in one read, because memory is the bottleneck.
        found = take_rows(self.pairs.value, places)
        ids, values = ops.unstack(found, axis=-1)
        is_hit = ops.equal(ids, ops.cast(candidate_ids, "float32")[:, None])
        return ops.where(is_hit, values, 0.0)

    def least(self, item_ids, candidate_ids):
        """Returns the value above which a pair is kept at its place.

        Args:
            item_ids: int `[batch, length]`.
            candidate_ids: int `[batch, candidates]`.

        Returns:
            float32 `[batch, length, candidates]`; that of the pair itself does not count.
        """
        return take_rows(self.rivals.value, self._places(item_ids, candidate_ids))[..., 0]

    def _places(self, item_ids, candidate_ids):
        places = candidate_ids % self.num_places
        return item_ids[:, :, None] * self.num_places + places[:, None]

    def rows(self, item_ids):
        """Returns all pairs of items.

        Args:
            item_ids: int `[batch, length]`.

        Returns:
            ids and values, int32 and float32 `[batch, length, P]`; 0 where there is none.
        """
        places = item_ids[:, :, None] * self.num_places + ops.arange(self.num_places)
        found = take_rows(self.pairs.value, places)
        return ops.cast(found[..., 0], "int32"), found[..., 1]

    def compute_output_shape(self, item_ids_shape, candidate_ids_shape):
        """Returns `[batch, length, candidates]`."""
        return (*item_ids_shape, candidate_ids_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        settings = {"num_items": self.num_items, "num_places": self.num_places}
        return {**super().get_config(), **settings}
