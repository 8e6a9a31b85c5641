"""What a model's `prepare` is given: the events that it is trained on, and counts of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hmar_keras.schema import Behaviors


class TrainingLog(Protocol):
    """The training events that a model sees, and no others, every user's in time order.

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
        """How often each item got the target behaviour: float64 [num_items + 1], in [0, 1)."""

    def cooccurrence_start(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings whose products tell which items have users in common.

        Args:
            embeddings: float32 [num_items + 1, dim], the random ones that they take the place of.

        Returns:
            of the same shape.
        """

    def item_neighbors(
        self, count: int, max_length: int, weight: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which items have most users in common.

        Args:
            count: so many of each item.
            max_length: the most recent events of a user that the model sees.
            weight: of the similarities, 1 for what would predict the log best alone.

        Returns:
            what `ItemNeighbors.assign_neighbors` takes: ids, similarities and users' shares.
        """
