"""Uniform negatives that are exactly outside a set of items, without rejection.

Every question has a set of excluded items, sorted. The r-th item outside the set (r from 0) is
found by one binary search: `h_j - 1 - j` items lie outside and below the j-th excluded item h_j,
so with j excluded items at or below it the r-th outside item has the id `r + j + 1`. All sets
stand back to back in one array of keys, so one `searchsorted` serves a whole batch.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.errors import InputError


@dataclasses.dataclass(frozen=True)
class ExcludedItems:
    """One set of excluded items a row, ready for sampling from its complement.

    Args:
        num_items: size of the catalogue I; item ids run from 1 to I.
        keys: int64 [excluded], `row * (num_items + 1) + (h_j - 1 - j)`, ascending.
        starts: int64 [rows + 1]; the keys of row `i` are `keys[starts[i]:starts[i + 1]]`.
    """

    num_items: int
    keys: np.ndarray
    starts: np.ndarray

    @classmethod
    def from_pairs(cls, rows, items, num_rows: int, num_items: int) -> ExcludedItems:
        """Collects `items[i]`, excluded from row `rows[i]`, in any order, with repetitions."""
        stride = num_items + 1
        pairs = np.unique(np.asarray(rows, np.int64) * stride + np.asarray(items, np.int64))
        rows, items = np.divmod(pairs, stride)
        starts = np.searchsorted(rows, np.arange(num_rows + 1))
        place = np.arange(len(rows)) - starts[rows]
        return cls(num_items, rows * stride + items - 1 - place, starts)

    def outside(self) -> np.ndarray:
        """int64 [rows]: how many items are not excluded."""
        return self.num_items - np.diff(self.starts)

    def items_at(self, rows, places):
        """The items outside the sets of `rows` at `places`, counted from 0 in order of id.

        Args:
            rows: int64 [...].
            places: int64 [...], each below `outside()` of its row.
        """
        wanted = rows * (self.num_items + 1) + places
        below = np.searchsorted(self.keys, wanted, side="right") - self.starts[rows]
        return places + below + 1


def sample_distinct(excluded: ExcludedItems, count: int, seed: int) -> np.ndarray:
    """Draws `count` different items outside each row's set, uniformly.

    Robert Floyd's algorithm, over all rows at once: `count` random numbers a row and no
    rejection.

    Returns:
        int32 [rows, count], or fewer columns if some row has fewer items outside its set, so
        that all rows get equally many.

    Raises:
        InputError: if some row excludes every item.
    """
    outside = excluded.outside()
    count = min(count, int(outside.min()))
    if count < 1:
        raise InputError(
            "no negatives can be drawn: some user has touched every item of the catalogue; "
            "use a log with more items."
        )
    generator = np.random.default_rng(seed)
    chosen = np.full((len(outside), count), -1, np.int64)
    for column in range(count):
        highest = outside - count + column
        drawn = generator.integers(0, highest + 1)
        taken = np.any(chosen[:, :column] == drawn[:, None], axis=1)
        chosen[:, column] = np.where(taken, highest, drawn)
    rows = np.broadcast_to(np.arange(len(outside))[:, None], chosen.shape)
    return excluded.items_at(rows, chosen).astype(np.int32)
