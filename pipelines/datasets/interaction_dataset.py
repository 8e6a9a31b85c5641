"""A prepared dataset in memory, which splits, input pipeline, evaluation and export work on."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hmar_keras.schema import Behaviors

if TYPE_CHECKING:
    from pipelines.datasets.event_log.report import PreparationReport

_EVENTS_PER_SHARD = 1 << 20


@dataclasses.dataclass(frozen=True)
class InteractionDataset:
    """The events of all users in flat arrays: user after user, each in time order.

    Args:
        name: e.g. `"movielens/1m"`.
        behaviors: names from weak to strong, and the target.
        repeats: whether an item that the user already knows may be the answer (true for shops,
            false for ratings). It decides whether seen items are recommended.
        users: str [users], the original user ids.
        items: str [items]; item id `i` of the arrays below is `items[i - 1]`.
        offsets: int64 [users + 1]; the events of user `u` are `offsets[u]:offsets[u + 1]`.
        item_ids: int32 [events], from 1.
        behavior_ids: int32 [events], from 1.
        timestamps: int64 [events], in the source's unit.
        held_out_items: int32 [users], the official test item of each user, 0 where there is
            none; all 0 if the source has no official test list.
        held_out_anywhere: whether the official test items were taken from anywhere in the users'
            histories rather than from their ends. Validation answers are then chosen the same way.
        report: what happened to the rows of the log, if it was cleaned.
        prepared: name of the cache folder it was read from; None if it comes from elsewhere.
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
    held_out_anywhere: bool = False
    report: PreparationReport | None = None
    prepared: str | None = None

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
        """Number of events, without the official held-out ones."""
        return len(self.item_ids)

    @property
    def has_official_test(self) -> bool:
        """Whether the source has an official list of held-out items."""
        return bool(np.any(self.held_out_items > 0))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content: names, catalogue, events in order, and held-out items.

        Two logs with the same fingerprint give the same training and evaluation for every model.
        The name of the dataset, the names of its files and the report are not part of it.
        """
        behaviors = [list(self.behaviors.names), self.behaviors.target, bool(self.repeats)]
        names = [behaviors, self.users.tolist(), self.items.tolist()]
        digest = hashlib.sha256(json.dumps(names).encode())
        for values in (self.offsets, self.timestamps):
            digest.update(np.ascontiguousarray(values, "<i8"))
        for values in (self.item_ids, self.behavior_ids, self.held_out_items):
            digest.update(np.ascontiguousarray(values, "<i4"))
        return digest.hexdigest()

    def events_by_behavior(self) -> dict[str, int]:
        """Returns the number of events of each behaviour, by name."""
        counts = np.bincount(self.behavior_ids, minlength=len(self.behaviors) + 1)[1:]
        return dict(zip(self.behaviors.names, counts.tolist(), strict=True))

    def shards(self) -> list[Callable[[], InteractionDataset]]:
        """Returns functions that each give the next users in order, about a million events each."""
        cuts = shard_bounds(np.diff(self.offsets))
        pairs = itertools.pairwise(cuts)
        return [functools.partial(self._users, first, end) for first, end in pairs]

    def _users(self, first, end):
        events = slice(self.offsets[first], self.offsets[end])
        return dataclasses.replace(
            self,
            users=self.users[first:end],
            offsets=self.offsets[first : end + 1] - self.offsets[first],
            item_ids=self.item_ids[events],
            behavior_ids=self.behavior_ids[events],
            timestamps=self.timestamps[events],
            held_out_items=self.held_out_items[first:end],
        )


def shard_bounds(lengths: np.ndarray) -> list[int]:
    """Computes where to cut the users into shards of about a million events.

    Each shard has at least one user.

    Args:
        lengths: int [users], the number of events of each user.

    Returns:
        the cut points as user rows, from 0 to the number of users.
    """
    ends = np.cumsum(lengths)
    full = np.arange(_EVENTS_PER_SHARD, ends[-1], _EVENTS_PER_SHARD)
    cuts = np.searchsorted(ends, full) + 1
    return np.unique([0, *cuts, len(lengths)]).tolist()
