"""Counts of the training events by item: who touched it, and how often."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.splits import Splits, event_users


def touched_items(splits: Splits) -> sparse.csr_array:
    """Returns which users touched which items in training: 1 at `[user, item id]`, however often.

    Returns:
        float32 [users, num_items + 1].
    """
    dataset: InteractionDataset = splits.dataset
    trained = splits.training_events()
    users, items = event_users(dataset)[trained], dataset.item_ids[trained]
    shape = (dataset.num_users, dataset.num_items + 1)
    touched = sparse.csr_array((np.ones(len(users), np.float32), (users, items)), shape)
    touched.data[:] = 1
    return touched


def item_popularity(splits: Splits) -> np.ndarray:
    """Returns how often each item got the target behaviour in training, scaled to less than 1.

    Ties are broken by the number of events of any behaviour.

    Returns:
        float64 [num_items + 1] by item id, in [0, 1).
    """
    dataset = splits.dataset
    trained = splits.training_events()
    on_target = trained & (dataset.behavior_ids == dataset.behaviors.target_id)
    size = dataset.num_items + 1
    events = np.bincount(dataset.item_ids[trained], minlength=size).astype(np.float64)
    targets = np.bincount(dataset.item_ids[on_target], minlength=size)
    counts = targets + events / (events.max() + 1)
    return counts / (counts.max() + 1)
