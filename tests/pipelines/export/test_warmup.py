"""Warm-up requests, replayed as TensorFlow Serving does."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from pipelines.export import export
from pipelines.export.warmup import BATCH_SIZES, PLACE, real_histories
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity

from ..exports import memory_model, random_model

pytestmark = pytest.mark.slow

SIGNATURES = {
    "hmar": ["serving_default", "recommend", "examples", "rank", "explain", "behavior"],
    "sasrec": ["serving_default", "recommend", "examples", "rank", "explain"],
    "sasrec with a memory": [
        *("serving_default", "recommend", "examples", "rank", "explain", "reasons"),
    ],
}


def requests_in(version):
    for record in tf.data.TFRecordDataset(str(version / PLACE)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        yield log.predict_log.request


def test_real_histories_are_the_latest_events(log):
    histories = real_histories(log, 3)
    assert len(histories) == max(BATCH_SIZES)
    names = log.behaviors.names
    users = [u for u in range(log.num_users) if log.offsets[u] < log.offsets[u + 1]]
    for user, history in zip(users, histories, strict=False):
        events = range(log.offsets[user], log.offsets[user + 1])
        whole = [(f"i{log.item_ids[e]}", names[log.behavior_ids[e] - 1]) for e in events]
        assert history == whole[-3:]


@pytest.mark.parametrize("model", list(SIGNATURES))
def test_every_request_is_answered(model, log, tmp_path):
    name, _, memory = model.partition(" with a ")
    build = memory_model if memory else random_model
    version = export(
        build(log, model=name),
        log.items,
        item_popularity(split(log)),
        tmp_path / "shop",
        {},
        real_histories(log, 9),
    )
    loaded = tf.saved_model.load(str(version))
    asked = []
    for request in requests_in(version):
        assert request.model_spec.name == "shop"
        function = loaded.signatures[request.model_spec.signature_name]
        # Like the server, by the names and types of the signature.
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        answer = function(**{name: tf.constant(value) for name, value in inputs.items()})
        rows = len(next(iter(inputs.values())))
        assert all(len(value) == rows for value in answer.values())
        if "unknown" in answer:
            assert not np.any(answer["unknown"])
        asked.append((request.model_spec.signature_name, rows))
    expected = [(name, rows) for rows in BATCH_SIZES for name in SIGNATURES[model]]
    assert asked == expected
