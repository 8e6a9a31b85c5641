"""The prepared records on disk: TFDS's files of `tf.train.Example`, one per user.

They are written one by one and read in batches, both without TFDS's features, which take six and
ten times as long.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from hmar_keras.schema import Behaviors
from pipelines.datasets.event_log import PreparationReport
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_USERS_PER_BATCH = 4096
_OF_DAMAGE = (
    *(OSError, LookupError, ValueError, TypeError, AttributeError, AssertionError),
    RecursionError,  # from JSON that is nested too deep
)
# The features of `LogBuilder` as they are stored.
_FEATURES = {
    "user": tf.io.FixedLenFeature((), tf.string),
    "item_ids": tf.io.RaggedFeature(tf.int64),
    "behavior_ids": tf.io.RaggedFeature(tf.int64),
    "timestamps": tf.io.RaggedFeature(tf.int64),
    "held_out_item": tf.io.FixedLenFeature((), tf.int64),
}


def write_records(path: str | os.PathLike, examples: Iterable[tuple[str, dict]]) -> int:
    """Writes a file of examples.

    Args:
        path: path of the file.
        examples: pairs of a key, which is ignored, and an example with the features of
            `LogBuilder`.

    Returns:
        the number of examples.
    """
    count = 0
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for _, example in examples:
            record = tf.train.Example()
            features = record.features.feature
            for name, value in example.items():
                if isinstance(value, str):
                    features[name].bytes_list.value.append(value.encode())
                else:
                    features[name].int64_list.value.extend(np.atleast_1d(value).tolist())
            writer.write(record.SerializeToString(deterministic=True))
            count += 1
    return count


def read_prepared(builder: tfds.core.DatasetBuilder, name: str) -> InteractionDataset:
    """Reads all records of a prepared dataset.

    Args:
        builder: a `LogBuilder` whose data is prepared, by this process or another.
        name: the name to give to the dataset.

    Raises:
        InputError: if the records are damaged.
    """
    try:
        return _read(builder, name)
    except (tf.errors.OpError, *_OF_DAMAGE) as error:
        raise InputError(
            f"the prepared records in {builder.data_dir} are damaged; delete that folder."
        ) from error


def _read(builder, name):
    split = builder.info.splits["train"]
    columns = _columns([os.fspath(path) for path in split.filepaths])
    if len(columns["user"]) != split.num_examples:
        raise ValueError(f"{len(columns['user'])} records instead of {split.num_examples}")
    metadata = builder.info.metadata
    report = metadata.get("report")
    return InteractionDataset(
        name=name,
        behaviors=Behaviors(tuple(metadata["behaviors"]), metadata["target"]),
        repeats=metadata["repeats"],
        users=columns["user"],
        items=np.array(metadata["items"]),
        offsets=np.concatenate([[0], np.cumsum(columns["lengths"])]).astype(np.int64),
        item_ids=columns["item_ids"],
        behavior_ids=columns["behavior_ids"],
        timestamps=columns["timestamps"],
        held_out_items=columns["held_out_item"],
        held_out_anywhere=builder.HELD_OUT_ANYWHERE,
        report=PreparationReport.from_dict(report) if report else None,
    )


def _columns(paths):
    """Returns all records as arrays, in file order, which is the order of the users."""
    records = tf.data.TFRecordDataset(paths).batch(_USERS_PER_BATCH)
    parsed = records.map(lambda batch: tf.io.parse_example(batch, _FEATURES)).prefetch(1)
    parts = {field: [] for field in ("lengths", *_FEATURES)}
    for batch in parsed:
        parts["lengths"].append(batch["item_ids"].row_lengths().numpy())
        for field, values in batch.items():
            flat = values.flat_values if isinstance(values, tf.RaggedTensor) else values
            parts[field].append(_narrow(field, flat.numpy()))
    return {field: np.concatenate(parts.pop(field)) for field in list(parts)}


def _narrow(field, values):
    if field == "user":
        return np.array([user.decode() for user in values])
    return values if field == "timestamps" else values.astype(np.int32)
