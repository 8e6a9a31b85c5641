"""Batches for `model.fit` from a split dataset, made with tf.data.

Every batch is gathered by tensor operations from the dataset's flat arrays; no Python runs per
record. The order of the windows and the negatives depend only on the seed and the epoch, so a
training that resumes at epoch n sees the same batches as an uninterrupted one.
`pipelines/training/batch_plan.py` decides which windows share a batch.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from keras import ops

from hmar_keras.models import SequentialRecommender
from hmar_keras.objectives import TrainingWindows
from hmar_keras.schema import CANDIDATE_IDS, NEGATIVE_IDS, TIMESTAMPS, USER_IDS
from hmar_keras.training_config import TrainingConfig
from pipelines.protocol.questions import (
    evaluation_candidates,
    history_features,
    newest_events,
    since_first,
)
from pipelines.protocol.splits import EvaluationSet, Splits, visible_events
from pipelines.training.examples import TrainingExamples

_NEGATIVES, _ORDER, _UNIFORM = 0, 1, 2  # uses of random numbers, each with its own stream


def in_random_order(items, seed):
    """Shuffles the items of each row; the events on one item stay together and in order.

    Args:
        items: int `[rows, length]`, left-padded with 0.
        seed: int `[2]`.

    Returns:
        the new order, int `[rows, length]`, and a mask of the events, in the old order, that are
        the first on their item, bool of the same shape. Padding stays on the left.
    """
    numbers = tf.random.stateless_uniform(tf.shape(items), seed)
    same = tf.cast(items[:, :, None] == items[:, None, :], tf.int8)
    first = tf.argmax(same, axis=2, output_type=tf.int32)  # the first place of each item
    keys = tf.where(items > 0, tf.gather(numbers, first, batch_dims=1), -1.0)
    order = tf.argsort(keys, axis=1, stable=True)
    return order, first == tf.range(tf.shape(items)[1])


class TrainingData:
    """The training examples of a split dataset.

    Args:
        splits: the split dataset.
        model: the model to train; its `config`, `features` and `objective` are used.
        training: settings of the training.
        seed: seed of the order and the negatives.
        few_lengths: pad batches to fewer lengths, because XLA compiles a step for each.

    Attributes:
        num_windows: examples per epoch.
        steps_per_epoch: batches per epoch.

    Raises:
        InputError: if there is nothing to train on, or a user has touched every item, which leaves
            no negatives.
    """

    def __init__(
        self,
        splits: Splits,
        model: SequentialRecommender,
        training: TrainingConfig,
        seed: int,
        few_lengths: bool = False,
    ):
        examples = TrainingExamples.of(splits, model, training, few_lengths)
        self.num_windows = len(examples.windows)
        self.steps_per_epoch = examples.plan.num_batches
        self._plan = examples.plan
        self._objective = examples.objective
        self._features = examples.features
        self._epochs = training.epochs
        self._seed = seed
        self._windows = tf.constant(examples.windows)
        self._item_ids = tf.constant(examples.item_ids)
        self._behavior_ids = tf.constant(examples.behavior_ids)
        if TIMESTAMPS in self._features:
            self._timestamps = tf.constant(examples.timestamps)
        self._is_first = tf.constant(examples.is_first)
        shares = examples.own_shares
        self._shares = shares and {n: tf.constant(x) for n, x in shares.arrays().items()}
        self._keys = tf.constant(examples.excluded.keys)
        self._key_starts = tf.constant(examples.excluded.starts)
        self._outside = tf.constant(examples.excluded.outside())
        self._stride = examples.excluded.num_items + 1

    def steps_per_execution(self, at_most: int) -> int:
        """Returns the largest divisor of the epoch's steps, at most `at_most`.

        With any other number an execution would begin in one epoch and end in the next.
        """
        return max(n for n in range(1, at_most + 1) if self.steps_per_epoch % n == 0)

    def fit_arguments(self, callbacks: list, initial_epoch: int = 0) -> dict:
        """Returns the arguments of `fit` that depend on where the batches are made.

        Args:
            callbacks: callbacks of the training.
            initial_epoch: the epoch to begin with, from 0.
        """
        return {
            "x": self.dataset(initial_epoch),
            "steps_per_epoch": self.steps_per_epoch,
            "initial_epoch": initial_epoch,
            "callbacks": callbacks,
            "shuffle": False,  # the batches are shuffled already, by the seed
        }

    def dataset(self, initial_epoch: int = 0, epochs: int | None = None) -> tf.data.Dataset:
        """Returns the batches of all epochs in a row; use it with `steps_per_epoch`.

        Args:
            initial_epoch: the epoch to begin with, from 0, as passed to `fit`.
            epochs: the epoch to stop before; None for the training's `epochs`.

        Returns:
            a dataset of what `Objective.batch` returns. Rows and length vary from batch to batch,
            see `BatchPlan`.
        """
        epochs = self._epochs if epochs is None else epochs
        return (
            tf.data.Dataset.range(initial_epoch, epochs)
            .flat_map(self._epoch)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _epoch(self, epoch):
        seeds = tf.random.split([self._seed, epoch], 2)
        classes = tf.constant(self._plan.classes, tf.float64)
        # Windows are shuffled within their bucket.
        ties = tf.random.stateless_uniform(classes.shape, seeds[0], dtype=tf.float64)
        order = tf.argsort(classes + ties)
        starts, lengths = tf.constant(self._plan.starts), tf.constant(self._plan.lengths)

        def batch(number):
            rows = order[starts[number] : starts[number + 1]]
            return self._batch(epoch, number, rows, lengths[number])

        batches = tf.range(self.steps_per_epoch, dtype=tf.int64)
        batches = tf.random.experimental.stateless_shuffle(batches, seeds[1])
        return tf.data.Dataset.from_tensor_slices(batches).map(
            batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )

    def _batch(self, epoch, number, rows, length):
        windows = tf.gather(self._windows, rows)
        events = self._events(windows, length + self._objective.lookahead)
        if self._objective.order == "random":
            order, is_first = in_random_order(
                events["item_ids"], self._stream(_ORDER, epoch, number)
            )
            events["is_first"] = is_first
            events = {name: tf.gather(each, order, batch_dims=1) for name, each in events.items()}
        users = windows[:, 0]
        shape = tf.shape(events["item_ids"])
        return self._objective.batch(
            TrainingWindows(
                tf,
                self._features,
                user_ids=tf.cast(users + 1, tf.int32) if USER_IDS in self._features else None,
                negatives=lambda: self._negatives(users, length, epoch, number),
                uniform=lambda: tf.random.stateless_uniform(
                    shape, self._stream(_UNIFORM, epoch, number)
                ),
                **{"timestamps": None, **events},
            )
        )

    def _events(self, windows, length):
        """Returns the features of the events by name, `[rows, length]` each."""
        events, real = newest_events(tf, windows[:, 1], windows[:, 2], tf.range(length, 0, -1))
        ids = {"item_ids": self._item_ids, "behavior_ids": self._behavior_ids}
        found = {name: tf.where(real, tf.gather(each, events), 0) for name, each in ids.items()}
        found["is_first"] = tf.gather(self._is_first, events)
        if TIMESTAMPS in self._features:
            times = tf.gather(self._timestamps, events)
            found["timestamps"] = tf.cast(since_first(tf, times, real), tf.float32)
        if self._shares is not None:
            pairs = tf.where(real, tf.gather(self._shares["share_pairs"], events), 0)
            found["own_shares"] = self._own_shares(pairs)
        return found

    def _own_shares(self, pairs):
        """Returns the shares of (user, item) pairs, `[rows, length, sessions]`."""
        shape = tf.shape(pairs)
        pairs = tf.reshape(pairs, [-1])
        starts = tf.gather(self._shares["share_starts"], pairs)
        counts = tf.gather(self._shares["share_starts"], pairs + 1) - starts
        places = tf.range(tf.reduce_sum(counts))
        places += tf.repeat(starts - tf.cumsum(counts, exclusive=True), counts)
        sessions = tf.gather(self._shares["share_sessions"], places)
        most = tf.reduce_max(tf.concat([sessions, [0]], 0)) + 1
        rows = tf.repeat(tf.range(tf.size(pairs)), counts)
        shares = tf.scatter_nd(
            tf.stack([rows, sessions], axis=-1),
            tf.gather(self._shares["share_shares"], places),
            [tf.size(pairs), most],
        )
        return tf.reshape(shares, [shape[0], shape[1], most])

    def _stream(self, use, epoch, number):
        """Returns the seed of a use in a batch, hashed from the epoch, the number and the use."""
        seed = tf.random.experimental.stateless_fold_in([self._seed, epoch], number)
        return tf.random.experimental.stateless_fold_in(seed, use) if use else seed

    def _negatives(self, users, length, epoch, number):
        """Draws negatives, `[rows, length, negatives]`.

        They are `ExcludedItems.items_at` at uniformly random places. If the positions of a window
        share them, length is 1.
        """
        length = 1 if self._objective.shared_negatives else length
        shape = (tf.size(users, tf.int64), length, self._objective.num_negatives)
        users = users[:, None, None]
        seed = self._stream(_NEGATIVES, epoch, number)
        # The remainder of one of 2^64 numbers is uniform to within I / 2^64.
        numbers = tf.random.stateless_uniform(shape, seed, None, None, tf.int64)
        places = tf.math.floormod(numbers, tf.gather(self._outside, users))
        wanted = tf.reshape(users * self._stride + places, [-1])
        below = tf.searchsorted(self._keys, wanted, side="right", out_type=tf.int64)
        below = tf.reshape(below, shape) - tf.gather(self._key_starts, users)
        return tf.cast(places + below + 1, tf.int32)


def evaluation_dataset(
    splits: Splits,
    questions: EvaluationSet,
    model: SequentialRecommender,
    batch_size: int,
    seed: int,
) -> tf.data.Dataset:
    """Returns validation or test questions under the paper's protocol, for `fit` and `evaluate`.

    Args:
        splits: the split dataset.
        questions: the validation or test questions.
        model: the model to evaluate.
        batch_size: questions per batch.
        seed: seed of the sampled negatives.

    Returns:
        a dataset of `(inputs, labels)` like that of `TrainingData.dataset`, with one step and
        100 candidates.
    """
    candidates = evaluation_candidates(splits.dataset, questions, seed)
    events = visible_events(splits.dataset, model.config.input_behaviors)
    inputs = history_features(
        events.dataset, events.questions(questions), model.config.max_length, model.features
    )
    objective = model.objective()
    asked = objective.question({name: ops.convert_to_tensor(x) for name, x in inputs.items()})
    inputs = {name: ops.convert_to_numpy(x) for name, x in asked.items()}
    target = np.full((len(questions), 1), splits.dataset.behaviors.target_id, np.int32)
    inputs[CANDIDATE_IDS] = candidates[:, None, :]
    if objective.shared_negatives:
        inputs[NEGATIVE_IDS] = candidates[:, :0]
    # Outputs with their own labels have none here.
    truths = {
        name: target if output.truth is None else np.zeros_like(target)
        for name, output in objective.outputs.items()
    }
    data = tf.data.Dataset.from_tensor_slices((inputs, truths))
    return data.batch(batch_size).prefetch(tf.data.AUTOTUNE)
