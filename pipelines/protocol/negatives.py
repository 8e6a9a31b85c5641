"""Negatives drawn exactly from outside a set of items, without rejection.

For uniform negatives, every question has a sorted set of excluded items. One binary search finds
the r-th item outside the set (r from 0): `h_j - 1 - j` items lie outside the set and below the
j-th excluded item h_j, so with j excluded items at or below it, the r-th outside item has the id
`r + j + 1`. All sets are concatenated in one array of keys, so one `searchsorted` serves a batch.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.runtime.errors import InputError

_NUMBERS_AT_ONCE = 1 << 23  # 64 MiB


@dataclasses.dataclass(frozen=True)
class ExcludedItems:
    """One set of excluded items per row, ready for sampling from its complement.

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
        """Collects pairs: `items[i]` is excluded from row `rows[i]`; any order, repeats allowed."""
        stride = num_items + 1
        pairs = np.unique(np.asarray(rows, np.int64) * stride + np.asarray(items, np.int64))
        rows, items = np.divmod(pairs, stride)
        starts = np.searchsorted(rows, np.arange(num_rows + 1))
        place = np.arange(len(rows)) - starts[rows]
        return cls(num_items, rows * stride + items - 1 - place, starts)

    def outside(self) -> np.ndarray:
        """Counts the items that are not excluded: int64 [rows]."""
        return self.num_items - np.diff(self.starts)

    def below(self) -> np.ndarray:
        """Counts `h_j - 1 - j`, the items outside a set and below each of its items.

        Returns:
            int32 [excluded].
        """
        rows = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        return (self.keys - rows * (self.num_items + 1)).astype(np.int32)

    def items_at(self, rows, places):
        """Returns the items outside the sets of `rows` at `places`, counted from 0 by id.

        Args:
            rows: int64 [...].
            places: int64 [...], each below `outside()` of its row.
        """
        wanted = rows * (self.num_items + 1) + places
        below = np.searchsorted(self.keys, wanted, side="right") - self.starts[rows]
        return places + below + 1


def sample_weighted(
    rows, items, num_rows: int, weights: np.ndarray, count: int, seed: int
) -> np.ndarray:
    """Draws `count` different items outside each row's set, one after the other by weight.

    Uses the Gumbel trick: the items with the largest sums of log weight and Gumbel noise are such a
    sample (Efraimidis and Spirakis 2006). Items of weight 0 come last, so they are only drawn if
    nothing else is left.

    Args:
        rows: int64 [excluded]; `items[i]` is excluded from row `rows[i]`, and pairs may repeat.
        items: int64 [excluded].
        num_rows: number of rows.
        weights: float [num_items + 1] by item id; id 0 is never drawn.
        count: number of items to draw per row.
        seed: seed of the draw.

    Returns:
        int32 [num_rows, count], or fewer columns if some row has fewer items outside its set.

    Raises:
        InputError: if some row excludes every item.
    """
    order = np.argsort(rows, kind="stable")
    rows, items = np.asarray(rows)[order], np.asarray(items)[order]
    weights = np.asarray(weights, np.float64)
    logs = np.log(np.maximum(weights, weights.max() * 1e-12))
    pairs = np.unique(rows * len(weights) + items)
    touched = np.bincount(pairs // len(weights), minlength=num_rows)
    count = _enough(count, int(len(weights) - 1 - touched.max()))
    generator = np.random.default_rng(seed)
    chosen = np.empty((num_rows, count), np.int32)
    size = max(1, _NUMBERS_AT_ONCE // len(weights))
    for first in range(0, num_rows, size):
        block = slice(*np.searchsorted(rows, [first, first + size]))
        keys = logs + generator.gumbel(size=(min(size, num_rows - first), len(weights)))
        keys[:, 0] = -np.inf
        keys[rows[block] - first, items[block]] = -np.inf
        best = np.argpartition(-keys, count - 1, axis=1)[:, :count]
        chosen[first : first + size] = np.sort(best, axis=1)
    return chosen


def _enough(count, left):
    """Returns `count`, or the number of items left if there are fewer.

    Raises:
        InputError: if there are none.
    """
    if left < 1:
        raise InputError(
            "no negatives can be drawn, because a user has touched every item of the catalogue; "
            "use a log with more items."
        )
    return min(count, left)


def sample_distinct(excluded: ExcludedItems, count: int, seed: int) -> np.ndarray:
    """Draws `count` different items outside each row's set, uniformly.

    Uses Robert Floyd's algorithm on all rows at once: `count` random numbers per row and no
    rejection.

    Returns:
        int32 [rows, count], or fewer columns if some row has fewer items outside its set: all rows
        get the same number.

    Raises:
        InputError: if some row excludes every item.
    """
    outside = excluded.outside()
    count = _enough(count, int(outside.min()))
    generator = np.random.default_rng(seed)
    chosen = np.full((len(outside), count), -1, np.int64)
    for column in range(count):
        highest = outside - count + column
        drawn = generator.integers(0, highest + 1)
        taken = np.any(chosen[:, :column] == drawn[:, None], axis=1)
        chosen[:, column] = np.where(taken, highest, drawn)
    rows = np.broadcast_to(np.arange(len(outside))[:, None], chosen.shape)
    return excluded.items_at(rows, chosen).astype(np.int32)
