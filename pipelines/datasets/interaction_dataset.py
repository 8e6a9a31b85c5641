"""A prepared dataset in memory: what splits, input pipeline, evaluation and export work on."""

from __future__ import annotations

import dataclasses

import numpy as np

from hmar_keras.schema import Behaviors


@dataclasses.dataclass(frozen=True)
class InteractionDataset:
    """All users' events, back to back in one array each, every user's in time order.

    Args:
        name: e.g. `"movielens/1m"`.
        behaviors: names from weak to strong, and the target.
        repeats: whether an item that a user has already touched may be the answer again (true
            of shops, false of ratings). It decides whether seen items are recommended.
        users: str [users], the original user ids.
        items: str [items]; item id `i` of the arrays below is `items[i - 1]`.
        offsets: int64 [users + 1]; the events of user `u` are `offsets[u]:offsets[u + 1]`.
        item_ids: int32 [events], from 1.
        behavior_ids: int32 [events], from 1.
        timestamps: int64 [events], in the source's own unit.
        held_out_items: int32 [users], the official test item of each user, 0 where there is
            none; all 0 where the source ships no official test list.
    """

    name: str
    behaviors: Behaviors
    repeats: bool
    users: np.ndarray
    items: np.ndarray
    offsets: np.ndarray
    item_ids: np.ndarray
    behavior_ids: np.ndarray
    timestamps: np.ndarray
    held_out_items: np.ndarray

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return len(self.items)

    @property
    def num_events(self) -> int:
        """Number of events, official held-out ones not included."""
        return len(self.item_ids)

    @property
    def has_official_test(self) -> bool:
        """Whether the source ships its own held-out list."""
        return bool(np.any(self.held_out_items > 0))

    def events_by_behavior(self) -> dict[str, int]:
        """Number of events of each behaviour, by name."""
        counts = np.bincount(self.behavior_ids, minlength=len(self.behaviors) + 1)[1:]
        return dict(zip(self.behaviors.names, counts.tolist(), strict=True))
