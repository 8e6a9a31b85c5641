"""What a model's `prepare` receives: the events that it is trained on, and counts of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hmar_keras.layers import LogCounts
from hmar_keras.schema import Behaviors


class TrainingLog(Protocol):
    """The training events that a model sees, and no others, by user and in time order.

    `pipelines.training.training_log.SplitLog` is one.

    Attributes:
        num_users: users of the log; ids run from 1.
        num_items: size of the catalogue; ids run from 1.
        behaviors: names from weak to strong, and the target.
        user_ids: int64 [events], ascending.
        item_ids: int32 [events].
        behavior_ids: int32 [events].
        timestamps: int64 [events], in the log's own unit.
    """

    num_users: int
    num_items: int
    behaviors: Behaviors
    user_ids: np.ndarray
    item_ids: np.ndarray
    behavior_ids: np.ndarray
    timestamps: np.ndarray

    def popularity(self) -> np.ndarray:
        """Counts the target behaviour by item, scaled to [0, 1): float64 [num_items + 1]."""

    def cooccurrence_start(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns embeddings whose products show which items share users.

        Args:
            embeddings: float32 [num_items + 1, dim], the random embeddings to replace.

        Returns:
            float32 of the same shape.
        """

    def counts(self, num_places: int) -> LogCounts:
        """Returns what `hmar_keras.layers.LogMemory.assign` takes.

        Args:
            num_places: pairs to keep per item.
        """
