"""From prepared TFDS records back to arrays in memory."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.log_builder import LogBuilder
from pipelines.errors import InputError

_USERS_PER_BATCH = 4096


def read_prepared(builder: LogBuilder, name: str) -> InteractionDataset:
    """Reads all records of a prepared dataset.

    Args:
        builder: a builder whose data were prepared, in this process or another.
        name: to give to the dataset.

    Raises:
        InputError: if the records are damaged.
    """
    try:
        return _read(builder, name)
    except (tf.errors.OpError, OSError, LookupError, ValueError, AssertionError) as error:
        raise InputError(
            f"the prepared records in {builder.data_dir} are damaged; delete that folder."
        ) from error


def _read(builder, name):
    # One file after the other, so that users stay in order.
    read_config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    records = builder.as_dataset(split="train", shuffle_files=False, read_config=read_config)
    batches = list(records.ragged_batch(_USERS_PER_BATCH))
    users = [user.decode() for batch in batches for user in batch["user"].numpy()]
    expected = builder.info.splits["train"].num_examples
    if len(users) != expected:
        raise ValueError(f"{len(users)} records instead of {expected}")

    metadata = builder.info.metadata
    lengths = np.concatenate([batch["item_ids"].row_lengths().numpy() for batch in batches])
    return InteractionDataset(
        name=name,
        behaviors=Behaviors(tuple(metadata["behaviors"]), metadata["target"]),
        repeats=metadata["repeats"],
        users=np.array(users),
        items=np.array(metadata["items"]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item_ids=_flat(batches, "item_ids"),
        behavior_ids=_flat(batches, "behavior_ids"),
        timestamps=_flat(batches, "timestamps"),
        held_out_items=np.concatenate([batch["held_out_item"].numpy() for batch in batches]),
    )


def _flat(batches, feature):
    return np.concatenate([batch[feature].flat_values.numpy() for batch in batches])
