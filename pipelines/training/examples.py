"""What is learned from a split dataset: windows, the items that are no negatives, and targets.

Without TensorFlow. `pipelines/training/host_batches.py` makes batches of it with tf.data, and
`pipelines/training/device_batches.py` makes them on the device.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hmar_keras.config import HMARConfig
from hmar_keras.models.registry import outputs_of
from hmar_keras.schema import BEHAVIOR, BEHAVIOR_IDS, CANDIDATE_IDS, ITEM_IDS, NEGATIVE_IDS, RANKING
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.negatives import ExcludedItems
from pipelines.protocol.splits import Splits, event_users
from pipelines.runtime.errors import InputError
from pipelines.training.batch_plan import BatchPlan


def training_windows(splits: Splits, config: HMARConfig) -> np.ndarray:
    """What a training example is cut from: events `start:end` of one user.

    A window holds up to `max_length + 1` events: the inputs and, one to the right, the targets.
    With `config.windows == "all"` the windows of a user overlap by one event, so that every
    event but the first is a target exactly once.

    Returns:
        int64 [windows, 3]: user, start, end; by user, and a user's newest window first.
    """
    starts, ends = splits.train_starts, splits.train_ends
    targets = np.maximum(ends - starts - 1, 0)
    pieces = -(-targets // config.max_length)
    if config.windows == "last":
        pieces = np.minimum(pieces, 1)
    users = np.repeat(np.arange(len(starts)), pieces)
    piece = np.arange(len(users)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    window_ends = ends[users] - piece * config.max_length
    window_starts = np.maximum(starts[users], window_ends - config.max_length - 1)
    return np.stack([users, window_starts, window_ends], axis=1)


def known_items(splits: Splits) -> ExcludedItems:
    """What each user has touched in training: never a negative of that user in training."""
    dataset = splits.dataset
    trained = splits.training_events()
    return ExcludedItems.from_pairs(
        event_users(dataset)[trained],
        dataset.item_ids[trained],
        dataset.num_users,
        dataset.num_items,
    )


def first_on_its_item(dataset: InteractionDataset) -> np.ndarray:
    """Which events are their user's first on their item, bool [events]."""
    pairs = event_users(dataset) * (dataset.num_items + 1) + dataset.item_ids
    first = np.zeros(dataset.num_events, bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    return first


@dataclasses.dataclass(frozen=True)
class TrainingExamples:
    """All that an epoch is made of.

    Args:
        windows: int64 [windows, 3], see `training_windows`.
        item_ids: int32 [events].
        behavior_ids: int32 [events].
        is_first: bool [events], see `first_on_its_item`.
        excluded: what is no negative, a row a user.
        plan: which windows share a batch.
    """

    windows: np.ndarray
    item_ids: np.ndarray
    behavior_ids: np.ndarray
    is_first: np.ndarray
    excluded: ExcludedItems
    plan: BatchPlan

    @classmethod
    def of(cls, splits: Splits, config: HMARConfig, few_lengths: bool = False) -> TrainingExamples:
        """The examples of a split dataset.

        Args:
            splits: the split dataset.
            config: the settings.
            few_lengths: see `padded_lengths`.

        Raises:
            InputError: if there is nothing to train on or some user leaves no item as a negative.
        """
        splits = splits.visible(config.events)
        dataset = splits.dataset
        windows = training_windows(splits, config)
        if not len(windows):
            raise InputError(
                f"{dataset.name} has no user with two training events; use a longer log."
            )
        excluded = known_items(splits)
        if excluded.outside().min() < 1:
            raise InputError(
                f"some user of {dataset.name} has touched every item, which leaves no "
                "negatives to train with; use a log with more items."
            )
        plan = BatchPlan.of(windows[:, 2] - windows[:, 1] - 1, config, few_lengths)
        first = first_on_its_item(dataset)
        return cls(windows, dataset.item_ids, dataset.behavior_ids, first, excluded, plan)


def inputs_and_targets(xp, config: HMARConfig, items, behaviors, is_first, negatives):
    """A batch as a model takes it.

    Args:
        xp: `tensorflow` or `jax.numpy`, what the arrays are of.
        config: what is a target and which outputs there are.
        items: int32 `[rows, length + 1]`, left-padded with 0.
        behaviors: int32 `[rows, length + 1]`.
        is_first: bool `[rows, length + 1]`, see `first_on_its_item`.
        negatives: int32 `[rows, length, negatives]`; length 1 where a window's positions share
            them.

    Returns:
        `(inputs, targets)`, see `TrainingData.dataset`.
    """
    inputs, candidates = items[:, :-1], items[:, 1:, None]
    if config.targets == "new_items":
        # What has been touched is no answer, and no other negative would tell the model so.
        candidates = xp.stack([items[:, 1:], inputs], axis=-1)
    # Before the first event there is nothing to predict from.
    next_behaviors = xp.where(inputs > 0, behaviors[:, 1:], 0)
    features = {ITEM_IDS: inputs, BEHAVIOR_IDS: behaviors[:, :-1]}
    if config.shared_negatives:
        features |= {CANDIDATE_IDS: candidates, NEGATIVE_IDS: negatives[:, 0]}
    else:
        features[CANDIDATE_IDS] = xp.concat([candidates, negatives], axis=-1)
    targets = {
        RANKING: xp.where(is_first[:, 1:] | (config.targets == "all"), next_behaviors, 0),
        BEHAVIOR: next_behaviors,
    }
    return features, {output: targets[output] for output in outputs_of(config)}
