"""Training examples of a split dataset: windows of histories, and items that are not negatives.

This module does not need TensorFlow. `pipelines/training/host_batches.py` makes batches of the
examples with tf.data, and `pipelines/training/device_batches.py` makes them on the device.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hmar_keras.models import SequentialRecommender
from hmar_keras.objectives import Objective
from hmar_keras.training_config import TrainingConfig
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.negatives import ExcludedItems
from pipelines.protocol.splits import Splits, event_users
from pipelines.runtime.errors import InputError
from pipelines.training.batch_plan import BatchPlan
from pipelines.training.own_shares import OwnShares


def training_windows(splits: Splits, objective: Objective, max_length: int) -> np.ndarray:
    """Returns the windows that examples are cut from: events `start:end` of one user.

    A window holds up to `max_length` events plus the objective's `lookahead`. With
    `objective.windows == "all"`, consecutive windows of a user overlap by the lookahead, so that
    every event after the first `lookahead` ones is predicted exactly once.

    Args:
        splits: the split dataset, as the model sees it.
        objective: objective of the training.
        max_length: the largest number of events that the model reads.

    Returns:
        int64 [windows, 3]: user, start, end; ordered by user, newest window first.
    """
    starts, ends = splits.train_starts, splits.train_ends
    targets = np.maximum(ends - starts - objective.lookahead, 0)
    pieces = -(-targets // max_length)
    if objective.windows == "last":
        pieces = np.minimum(pieces, 1)
    users = np.repeat(np.arange(len(starts)), pieces)
    piece = np.arange(len(users)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    window_ends = ends[users] - piece * max_length
    longest = max_length + objective.lookahead
    window_starts = np.maximum(starts[users], window_ends - longest)
    return np.stack([users, window_starts, window_ends], axis=1)


def known_items(splits: Splits) -> ExcludedItems:
    """Collects the items that each user has touched in training, which are never negatives."""
    dataset = splits.dataset
    trained = splits.training_events()
    return ExcludedItems.from_pairs(
        event_users(dataset)[trained],
        dataset.item_ids[trained],
        dataset.num_users,
        dataset.num_items,
    )


def first_on_its_item(dataset: InteractionDataset) -> np.ndarray:
    """Marks the events that are their user's first on their item: bool [events]."""
    pairs = event_users(dataset) * (dataset.num_items + 1) + dataset.item_ids
    first = np.zeros(dataset.num_events, bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    return first


@dataclasses.dataclass(frozen=True)
class TrainingExamples:
    """Everything that the batches of an epoch are made of.

    Args:
        windows: int64 [windows, 3], see `training_windows`.
        item_ids: int32 [events].
        behavior_ids: int32 [events].
        timestamps: int64 [events].
        is_first: bool [events], see `first_on_its_item`.
        excluded: the items that are not negatives, one row per user.
        plan: which windows share a batch.
        objective: turns windows into inputs and labels.
        features: names of the inputs that the model reads.
        own_shares: the users' own sessions; None unless the objective reads them.
    """

    windows: np.ndarray
    item_ids: np.ndarray
    behavior_ids: np.ndarray
    timestamps: np.ndarray
    is_first: np.ndarray
    excluded: ExcludedItems
    plan: BatchPlan
    objective: Objective
    features: tuple[str, ...]
    own_shares: OwnShares | None = None

    @classmethod
    def of(
        cls,
        splits: Splits,
        model: SequentialRecommender,
        training: TrainingConfig,
        few_lengths: bool = False,
    ) -> TrainingExamples:
        """Collects the examples of a split dataset.

        Args:
            splits: the split dataset.
            model: the model to train; its `config`, `features` and `objective` are used.
            training: settings of the training.
            few_lengths: see `padded_lengths`.

        Raises:
            InputError: if there is nothing to train on, or a user has touched every item, which
                leaves no negatives.
        """
        objective, max_length = model.objective(), model.config.max_length
        splits = splits.visible(model.config.input_behaviors)
        dataset = splits.dataset
        windows = training_windows(splits, objective, max_length)
        if not len(windows):
            least = {1: "a training event", 2: "two training events"}
            needed = least.get(
                objective.lookahead + 1, f"{objective.lookahead + 1} training events"
            )
            raise InputError(f"{dataset.name} has no user with {needed}; use a longer log.")
        excluded = known_items(splits)
        if excluded.outside().min() < 1:
            raise InputError(
                f"some user of {dataset.name} has touched every item, which leaves no "
                "negatives to train with; use a log with more items."
            )
        lengths = windows[:, 2] - windows[:, 1] - objective.lookahead
        plan = BatchPlan.of(lengths, training, max_length, few_lengths)
        return cls(
            windows,
            dataset.item_ids,
            dataset.behavior_ids,
            dataset.timestamps,
            first_on_its_item(dataset),
            excluded,
            plan,
            objective,
            tuple(model.features),
            OwnShares.of(splits) if objective.reads_shares else None,
        )
