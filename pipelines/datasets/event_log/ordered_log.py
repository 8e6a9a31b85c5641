"""A log whose events are in order on disk, user after user."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np

from hmar_keras.schema import Behaviors
from pipelines.datasets.event_log.report import PreparationReport
from pipelines.datasets.interaction_dataset import InteractionDataset, shard_bounds


class CleanedLog:
    """The summary of a log that has been read, cleaned and ordered, without its events.

    Args:
        name: name of the dataset.
        behaviors: weak to strong, with the target.
        report: what was read, dropped and kept.
        items: str [items], in shortlex order.
    """

    def __init__(self, name, behaviors: Behaviors, report: PreparationReport, items):
        self.name = name
        self.behaviors = behaviors
        self.report = report
        self.repeats = report.repeats
        self.items = items
        self.num_items = report.items
        self.num_users = report.users
        self.num_events = report.events

    def events_by_behavior(self) -> dict[str, int]:
        """Returns the number of events of each behaviour, by name."""
        return dict(self.report.behaviors)


class OrderedLog(CleanedLog):
    """The result of `read_event_log` without Beam; valid as long as its workspace exists.

    Args:
        name: name of the dataset.
        behaviors: weak to strong, with the target.
        report: what was read, dropped and kept.
        items: str [items], in shortlex order.
        lengths: int64 [users], the number of events of each user.
        database: has the tables `ordered_users` (`id` from 0, `name`) and `ordered_events`
            (`user`, `item`, `behavior`, `time`), the latter in order.
    """

    def __init__(self, name, behaviors, report, items, lengths, database):
        super().__init__(name, behaviors, report, items)
        self._lengths = lengths
        self._database = database

    def shards(self) -> list[Callable[[], InteractionDataset]]:
        """Returns functions that each read the next users in order, about a million events each."""
        cuts = shard_bounds(self._lengths)
        pairs = itertools.pairwise(cuts)
        return [functools.partial(self._read, first, end) for first, end in pairs]

    def _read(self, first, end):
        events = self._database.execute(
            "SELECT item, behavior, time FROM ordered_events "
            f'WHERE "user" >= {first} AND "user" < {end} ORDER BY rowid'
        ).fetchnumpy()
        users = self._database.execute(
            f"SELECT name FROM ordered_users WHERE id >= {first} AND id < {end} ORDER BY id"
        ).fetchnumpy()
        return InteractionDataset(
            name=self.name,
            behaviors=self.behaviors,
            repeats=self.repeats,
            users=users["name"].astype(str),
            items=self.items,
            offsets=np.concatenate([[0], np.cumsum(self._lengths[first:end])]).astype(np.int64),
            item_ids=events["item"].astype(np.int32),
            behavior_ids=events["behavior"].astype(np.int32),
            timestamps=events["time"].astype(np.int64),
            held_out_items=np.zeros(end - first, np.int32),
        )
