"""What a model may read of the log before its first step: the training events and no others."""

from __future__ import annotations

import functools

import numpy as np

from hmar_keras.layers import LogCounts
from hmar_keras.schema import Behaviors
from pipelines.protocol.splits import Splits, event_users
from pipelines.protocol.training_counts import item_popularity
from pipelines.training.item_initialization import cooccurrence_embeddings
from pipelines.training.memory_counts import log_counts


class SplitLog:
    """The training part of a split dataset, see `hmar_keras.training_log.TrainingLog`.

    Args:
        splits: the split dataset.
        input_behaviors: `"all"` or `"target"`, see `hmar_keras.config.ModelConfig`.
    """

    def __init__(self, splits: Splits, input_behaviors: str):
        self._splits = splits.visible(input_behaviors)

    @property
    def num_users(self) -> int:
        """Number of users in the log; ids run from 1."""
        return self._splits.dataset.num_users

    @property
    def num_items(self) -> int:
        """Size of the catalogue; ids run from 1."""
        return self._splits.dataset.num_items

    @property
    def behaviors(self) -> Behaviors:
        """Names from weak to strong, and the target."""
        return self._splits.dataset.behaviors

    @functools.cached_property
    def user_ids(self) -> np.ndarray:
        """int64 [events], ascending."""
        return event_users(self._splits.dataset)[self._trained] + 1

    @functools.cached_property
    def item_ids(self) -> np.ndarray:
        """int32 [events]."""
        return self._splits.dataset.item_ids[self._trained]

    @functools.cached_property
    def behavior_ids(self) -> np.ndarray:
        """int32 [events]."""
        return self._splits.dataset.behavior_ids[self._trained]

    @functools.cached_property
    def timestamps(self) -> np.ndarray:
        """int64 [events], in the log's own unit."""
        return self._splits.dataset.timestamps[self._trained]

    @functools.cached_property
    def _trained(self):
        return self._splits.training_events()

    def popularity(self) -> np.ndarray:
        """Returns how often each item got the target behaviour: float64 [num_items + 1], in [0, 1).

        See `pipelines.protocol.training_counts.item_popularity`.
        """
        return item_popularity(self._splits)

    def cooccurrence_start(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns embeddings whose products tell which items have users in common."""
        return cooccurrence_embeddings(embeddings, self._splits)

    def counts(self, num_places: int) -> LogCounts:
        """Returns what `hmar_keras.layers.LogMemory.assign` takes."""
        return log_counts(self._splits, num_places)
