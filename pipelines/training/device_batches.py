"""Training batches that are made where they are needed: on the device, under JAX.

The log stays in the device's memory, and one small compiled program per batch gathers the windows,
draws the negatives and shuffles the items. The host sends only a number. On a GPU a step takes less
time than the host needs to make a batch, so training on batches from the host waits for them.

The batches are those of `pipelines/training/host_batches.py` except for the random numbers. Here,
too, the order of the windows and the negatives depend only on the seed and the epoch.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np

from hmar_keras.models import SequentialRecommender
from hmar_keras.objectives import Objective, TrainingWindows
from hmar_keras.schema import TIMESTAMPS, USER_IDS
from hmar_keras.training_config import TrainingConfig
from pipelines.protocol.questions import newest_events
from pipelines.protocol.splits import Splits
from pipelines.runtime.errors import InputError
from pipelines.training.examples import TrainingExamples

_MOST_EVENTS = 2**31 - 1  # JAX's integers have 32 bits by default
_ON_HOST = "pass --no-data-on-device to make the batches on the host."


class DeviceBatches(keras.utils.PyDataset):
    """The training examples of a split dataset, for `fit` under JAX.

    It holds the batches of the epoch passed to `begin` last, initially epoch 0. Used as
    `model.fit(**data.fit_arguments(callbacks), epochs=...)`, it begins every epoch itself.

    Args:
        splits: the split dataset.
        model: the model to train; its `config`, `features` and `objective` are used.
        training: settings of the training.
        seed: seed of the order and the negatives.
        few_lengths: pad batches to fewer lengths, each of which is compiled.

    Attributes:
        num_windows: examples per epoch.
        steps_per_epoch: batches per epoch.

    Raises:
        InputError: if there is nothing to train on, a user has touched every item, which leaves no
            negatives, or the log is too large for the device.
    """

    def __init__(
        self,
        splits: Splits,
        model: SequentialRecommender,
        training: TrainingConfig,
        seed: int,
        few_lengths: bool = True,
    ):
        super().__init__()
        if splits.dataset.num_events > _MOST_EVENTS:
            raise InputError(f"the log has more than {_MOST_EVENTS:,} events; {_ON_HOST}")
        examples = TrainingExamples.of(splits, model, training, few_lengths)
        plan, excluded = examples.plan, examples.excluded
        self.num_windows = len(examples.windows)
        self.steps_per_epoch = plan.num_batches
        self._shapes = list(zip(np.diff(plan.starts).tolist(), plan.lengths.tolist(), strict=True))
        self._seed = jax.random.key(seed)
        users, starts, ends = examples.windows.T
        held = {
            "classes": plan.classes,
            "batch_starts": plan.starts,
            "users": users,
            "starts": starts,
            "ends": ends,
            "item_ids": examples.item_ids,
            "behavior_ids": examples.behavior_ids,
            "is_first": examples.is_first,
            "below": excluded.below(),
            "below_starts": excluded.starts,
            "outside": excluded.outside(),
        }
        small = {n: v if v.dtype == bool else v.astype(np.int32) for n, v in held.items()}
        if TIMESTAMPS in examples.features:
            small |= _halved(examples.timestamps)
        sizes = None
        if examples.own_shares is not None:
            small |= examples.own_shares.arrays()
            small["share_starts"] = small["share_starts"].astype(np.int32)
            sizes = examples.own_shares.sizes()
        self._held = _on_device(small)
        # On the device as well; otherwise each would be sent when its batch is requested.
        self._batch_ids = jax.device_put(list(np.arange(plan.num_batches, dtype=np.int32)))
        halvings = int(np.diff(excluded.starts).max()).bit_length()
        make = functools.partial(_batch, examples.objective, examples.features, halvings, sizes)
        self._make = jax.jit(make, static_argnames=("rows", "length"))
        self._shuffle = jax.jit(_shuffled)
        self.begin(0)

    @property
    def num_batches(self) -> int:
        """Batches per epoch, under the name that Keras uses."""
        return self.steps_per_epoch

    def steps_per_execution(self, at_most: int) -> int:
        """Returns the steps per execution: `at_most`, or an epoch's steps if these are fewer."""
        return min(at_most, self.steps_per_epoch)

    def begin(self, epoch: int) -> None:
        """Switches to the batches of an epoch, counted from 0."""
        keys = jax.random.split(jax.random.fold_in(self._seed, epoch), 3)
        self._order = self._shuffle(keys[0], self._held["classes"])
        self._numbers = np.asarray(jax.random.permutation(keys[1], self.steps_per_epoch))
        self._key = keys[2]

    def fit_arguments(self, callbacks: list, initial_epoch: int = 0) -> dict:
        """Returns the arguments of `fit`: the batches, the first epoch and the callbacks.

        Args:
            callbacks: callbacks of the training.
            initial_epoch: the epoch to begin with, from 0.
        """
        begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: self.begin(epoch))
        return {
            "x": self,  # knows the length of an epoch, so no steps_per_epoch
            "initial_epoch": initial_epoch,
            "callbacks": [begin, *callbacks],
            "shuffle": False,  # Keras would ignore the seed
        }

    def __getitem__(self, index: int):
        """Returns a batch of the epoch, see `Objective.batch`."""
        number = int(self._numbers[index])
        rows, length = self._shapes[number]
        batch_id = self._batch_ids[number]
        return self._make(self._held, self._order, self._key, batch_id, rows=rows, length=length)


def _on_device(arrays):
    try:
        return jax.block_until_ready(jax.device_put(arrays))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        size = sum(array.nbytes for array in arrays.values()) / 2**30
        raise InputError(f"the log needs {size:.1f} GiB on the device; {_ON_HOST}") from error


def _shuffled(key, classes):
    """Returns the order of the windows that is cut into batches, shuffled within each bucket."""
    ties = jax.random.bits(key, classes.shape)
    return jnp.lexsort((ties, classes))


def _halved(times):
    """Splits times, which have more digits than JAX's numbers, into sums of two numbers."""
    high = times.astype(np.float32)
    return {"times_high": high, "times_low": (times - high.astype(np.float64)).astype(np.float32)}


def _batch(objective: Objective, features, halvings, sizes, held, order, key, number, rows, length):
    windows = jax.lax.dynamic_slice_in_dim(order, held["batch_starts"][number], rows)
    users, starts, ends = (held[name][windows] for name in ("users", "starts", "ends"))
    ages = jnp.arange(length + objective.lookahead, 0, -1)
    events = _events(held, features, sizes, *newest_events(jnp, starts, ends, ages))
    negatives_key, order_key = jax.random.split(jax.random.fold_in(key, number))
    if objective.order == "random":
        order, is_first = in_random_order(events["item_ids"], order_key)
        events["is_first"] = is_first
        rows_of = jnp.arange(rows)[:, None]
        events = {name: each[rows_of, order] for name, each in events.items()}
    shape = (rows, 1 if objective.shared_negatives else length, objective.num_negatives)
    return objective.batch(
        TrainingWindows(
            jnp,
            features,
            user_ids=users + 1 if USER_IDS in features else None,
            negatives=lambda: _negatives(
                held, halvings, users[:, None, None], shape, negatives_key
            ),
            uniform=lambda: jax.random.uniform(
                jax.random.fold_in(order_key, 1), events["item_ids"].shape
            ),
            **{"timestamps": None, **events},
        )
    )


def _events(held, features, sizes, events, real):
    """Returns the features of the events by name, `[rows, length]` each."""
    ids = ("item_ids", "behavior_ids")
    found = {name: jnp.where(real, held[name][events], 0) for name in ids}
    found["is_first"] = held["is_first"][events]
    if TIMESTAMPS in features:
        parts = (held[name][events] for name in ("times_high", "times_low"))
        times = sum(part - part[:, :1] for part in parts)
        found["timestamps"] = jnp.where(real, times, 0.0)
    if sizes is not None:
        found["own_shares"] = _own_shares(
            held, *sizes, jnp.where(real, held["share_pairs"][events], 0)
        )
    return found


def _own_shares(held, most, sessions, pairs):
    """Returns the shares of (user, item) pairs, `[rows, length, sessions]`."""
    first = held["share_starts"][pairs][..., None]
    places = jnp.arange(most)
    real = places < held["share_starts"][pairs + 1][..., None] - first
    places = jnp.where(real, first + places, 0)
    shares = jnp.where(real, held["share_shares"][places], 0.0)
    found = jnp.zeros((pairs.size, sessions))
    rows = jnp.arange(pairs.size)[:, None]
    columns = held["share_sessions"][places].reshape(pairs.size, most)
    found = found.at[rows, columns].add(shares.reshape(pairs.size, most))
    return found.reshape(*pairs.shape, sessions)


def _negatives(held, halvings, users, shape, key):
    """Draws negatives: `ExcludedItems.items_at` at uniformly random places."""
    places = jax.random.randint(key, shape, 0, held["outside"][users])
    first = held["below_starts"][users]
    count = held["below_starts"][users + 1] - first
    # A binary search, from the highest bit on: how many excluded items are at or below a place.
    found = jnp.zeros_like(places)
    for bit in reversed(range(halvings)):
        more = found + 2**bit
        highest = held["below"][first + jnp.minimum(more, count) - 1]
        found = jnp.where((more <= count) & (highest <= places), more, found)
    return places + found + 1


def in_random_order(items, key):
    """Does the same as `host_batches.in_random_order`, with a JAX key."""
    numbers = jax.random.uniform(key, items.shape)
    # The first place of each item.
    first = jnp.argmax(items[:, :, None] == items[:, None, :], axis=2).astype(jnp.int32)
    keys = jnp.where(items > 0, jnp.take_along_axis(numbers, first, axis=1), -1.0)
    order = jnp.lexsort((first, keys), axis=1)
    return order, first == jnp.arange(items.shape[1])
