"""Warm-up requests, which TensorFlow Serving runs before a version goes live.

The first request of each kind is slow: TensorFlow prepares the graph, and a GPU its kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from pipelines.datasets.interaction_dataset import InteractionDataset

PLACE = Path("assets.extra") / "tf_serving_warmup_requests"
BATCH_SIZES = (1, 8, 32)
_CANDIDATES = 10

History = Sequence[tuple[str, str]]  # (item, behaviour), oldest first


def real_histories(dataset: InteractionDataset, length: int) -> list[History]:
    """Returns the latest `length` events of the first users, enough for the largest batch."""
    with_events = np.flatnonzero(np.diff(dataset.offsets))[: max(BATCH_SIZES)]
    histories = []
    for user in with_events:
        start, end = dataset.offsets[user], dataset.offsets[user + 1]
        rows = slice(max(start, end - length), end)
        items = dataset.items[dataset.item_ids[rows] - 1].tolist()
        names = [dataset.behaviors.names[row - 1] for row in dataset.behavior_ids[rows]]
        histories.append(list(zip(items, names, strict=True)))
    return histories


def write_warmup(
    path: Path, name: str, signatures: Sequence[str], histories: Sequence[History]
) -> None:
    """Writes one request for each signature and batch size.

    Args:
        path: the file.
        name: name of the model.
        signatures: names of its signatures.
        histories: real ones; repeated where a batch needs more.
    """
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for rows in BATCH_SIZES:
            batch = [histories[row % len(histories)] for row in range(rows)]
            for signature in signatures:
                request = predict_request(name, signature, batch)
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())


def predict_request(name: str, signature: str, batch: Sequence[History]):
    """Returns a `PredictRequest` for some histories, as a client would send it.

    Candidates are the items of the first history.
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in _inputs(signature, batch).items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def _inputs(signature, batch):
    if signature == "examples":
        return {"examples": [_example(history) for history in batch]}
    longest = max(map(len, batch))
    padded = [[("", "")] * (longest - len(history)) + list(history) for history in batch]
    inputs = {
        "items": [[item for item, _ in history] for history in padded],
        "behaviors": [[behavior for _, behavior in history] for history in padded],
    }
    if signature in ("rank", "behavior", "reasons"):
        candidates = [item for item, _ in batch[0]][-_CANDIDATES:]
        return {**inputs, "candidates": [candidates] * len(batch)}
    if signature == "explain":
        return inputs
    rows = len(batch)
    return {**inputs, "k": tf.fill([rows], 10), "exclude_seen": tf.fill([rows], False)}


def _example(history):
    columns = zip(*history, strict=True)
    features = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[text.encode() for text in column])
        )
        for name, column in zip(("items", "behaviors"), columns, strict=True)
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
